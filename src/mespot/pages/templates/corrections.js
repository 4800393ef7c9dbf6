// What is decided of each interval of one's own videos: kept in the browser, saved as training data.

const MICRO = 0.5;  // s: the longest micro-expression

// By interval: status (accepted, rejected, moved, added), and what was changed of it.
const KEPT = `mespot ${location.pathname}`, KEEPING = ["accepted", "moved", "added"];
const changes = new Map(), added = [], elsewhere = [];  // elsewhere: added to videos that are not on this page
// Kept over a new page of other intervals too: what was decided is known by the interval, not by its number.
const frames = video => `${video.file} ${video.start} ${video.fps}`;
const key = event => event.what === "added" ? event.at
  : [frames(page.videos[event.video]), page.runs[event.run].name, event.type, event.onset, event.apex, event.offset].join(" ");

function corrected(event) {
  return {...event, ...changes.get(key(event))};
}

function everything() {
  return [...shownEvents(), ...added.filter(event => event.video === view.at)];
}

function change(event, what) {
  changes.set(key(event), {...changes.get(key(event)), ...what});
  keep();
  changed();
}

function changed() {
  told();
  view.plot.redraw(false);
  lanes(view.plot);
  write();
  mark();
}

function undo() {
  const {event} = view;
  if (!event) return;
  changes.delete(key(event));
  const at = added.indexOf(event);
  if (at >= 0) {
    added.splice(at, 1);
    view.event = null;
    refresh();
  }
  keep();
  changed();
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({changes: [...changes], added: [...added, ...elsewhere]}));
    removeEventListener("beforeunload", unkept);
  } catch {
    addEventListener("beforeunload", unkept);
  }
}

// A browser that keeps nothing asks before the page is left.
const unkept = event => event.preventDefault();

function remember() {
  changes.clear();
  for (const events of [added, elsewhere]) events.length = 0;
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    for (const [of, what] of kept?.changes ?? []) changes.set(of, what);
    for (const event of kept?.added ?? []) {
      const video = page.videos.findIndex(one => frames(one) === event.of);
      (video < 0 ? elsewhere : added).push(video < 0 ? event : {...event, video});
    }
  } catch { /* as if nothing had been kept */ }
}

function fields() {
  if (!$("v-edit")) return;
  const now = view.event && corrected(view.event), form = ["accept", "reject", "type", "onset", "apex", "offset"];
  for (const name of form) $(`e-${name}`).disabled = !now;
  $("e-undo").disabled = !now?.status;
  if (now) {
    $("e-type").value = now.type;
    // As in the list and in intervals.csv an offset is when its last frame goes.
    for (const name of ["onset", "apex", "offset"]) $(`e-${name}`).value = seconds(view.video, now[name] + (name === "offset")).toFixed(3);
  }
  const states = [...page.events, ...added].map(outcomeOf), count = status => states.filter(one => one === status).length;
  $("e-told").textContent = (now ? `This one: ${outcomeOf(view.event)}. ` : "")
    + `${count("accepted")} accepted, ${count("moved")} moved, ${count("added")} added, ${count("rejected")} rejected, ${count("undecided")} undecided.`;
}

// As its duration says, unless someone has said otherwise.
const kind = event => lasts(event) <= MICRO + 1e-6 ? "micro" : "macro";

function moved(event, name, frame) {
  const before = corrected(event), now = {...before, [name]: Math.min(Math.max(frame, 0), view.video.frames - 1)};
  if (now.onset > now.offset) {
    told();
    $("e-told").textContent = name === "onset" ? "An onset after the offset: set the offset first." : "An offset before the onset: set the onset first.";
    return;
  }
  now.apex = Math.min(Math.max(now.apex, now.onset), now.offset);
  if (before.type === kind(before)) now.type = kind(now);
  const {onset, apex, offset, type} = now;
  change(event, {onset, apex, offset, type, status: event.what === "added" ? "added" : "moved"});
}

// What is decided is done with: on to the next that is not.
function decide(status) {
  const {event} = view;
  if (!event) return;
  change(event, {status: event.what === "added" && status === "accepted" ? "added" : status});
  const next = list.rows.findIndex((row, at) => at > list.at && "what" in row && outcomeOf(row) === "undecided");
  if (next >= 0) openRow(next);
}

function add() {
  const {min, max} = view.plot.scales.x, {video} = view, half = Math.round(video.fps / 2);
  const [first, last] = [min, max].map(time => (time - video.start) * video.fps);
  const middle = view.cursor >= first && view.cursor < last ? view.cursor : Math.round((first + last) / 2);
  const onset = Math.max(middle - half, 0), offset = Math.min(middle + half, video.frames - 1);
  const event = {at: `added ${Date.now()}`, of: frames(video), video: view.at, run: view.run, what: "added", type: "macro", onset, offset,
    apex: Math.round((onset + offset) / 2), score: null, iou: null, outcome: null, strip: null};
  added.push(event);
  changes.set(key(event), {status: "added"});
  keep();
  refresh();
  open(view.at, event);
}

const accepted = () => [...page.events, ...added].filter(event => KEEPING.includes(corrected(event).status));

// Times at which each of the frames appears, as `annotation` reads a table in seconds.
function checked() {
  const lines = ["subject,video,type,onset_s,apex_s,offset_s,status"];
  for (const event of accepted()) {
    const now = corrected(event), video = page.videos[event.video];
    const times = ["onset", "apex", "offset"].map(name => seconds(video, now[name]).toFixed(3));
    lines.push([video.subject, video.name, now.type, ...times, now.status].join(","));
  }
  return `${lines.join("\n")}\n`;
}

if ($("v-edit")) {
  remember();
  $("e-accept").addEventListener("click", () => decide("accepted"));
  $("e-reject").addEventListener("click", () => decide("rejected"));
  $("e-undo").addEventListener("click", undo);
  addEventListener("storage", event => {  // decided in another window
    if (event.key !== KEPT) return;
    remember();
    if (view.event?.what === "added") view.event = added.find(one => one.at === view.event.at) ?? null;
    refresh();
    if (view.plot) changed();
  });
  $("e-type").addEventListener("change", () => change(view.event, {type: $("e-type").value, status: view.event.what === "added" ? "added" : "moved"}));
  for (const name of ["onset", "apex", "offset"]) {
    const field = $(`e-${name}`);
    field.addEventListener("change", () => field.value === "" ? told()
      : moved(view.event, name, Math.round((Number(field.value) - view.video.start) * view.video.fps) - (name === "offset")));
    field.addEventListener("keydown", event => event.key === "Enter" && field.blur());  // the keys are the page's again
  }
  $("e-add").addEventListener("click", add);
  $("e-save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([checked()], {type: "text/csv"}));
    link.download = "checked.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    const kept = accepted(), videos = new Set(kept.map(event => event.video)).size;
    $("e-told").textContent = `checked.csv: ${kept.length} intervals of ${videos} of ${page.videos.length} videos, in the folder of your downloads.`;
  });
}
