// The list of intervals or videos, the worst first, and each video in small.

const SHOWN = 200;  // rows of the list at a time

const list = {rows: [], shown: SHOWN, by: null, up: false, at: -1};
const chosen = name => $(name)?.value ?? "";
const run = () => Number(chosen("l-run") || 0);
const least = () => Number($("l-least").value);
const enough = event => event.score === null || event.score >= least();

const labelled = page.videos.some(video => video.labelled);
// Of one's own videos what was decided of an interval is its outcome.
const outcomeOf = event => (labelled ? event.outcome : corrected(event).status)
  || (event.what === "spotted" && !labelled ? "undecided" : event.what);
const COLUMNS = {
  outcome: [labelled ? "outcome" : "decision", event => outcomeOf(event) + (event.what === "annotated" && event.outcome === "found" ? " (annotated)" : ""), "text"],
  type: ["type", event => corrected(event).type, "text"],
  video: ["video", event => page.videos[event.video].name, "text"],
  onset: ["onset, s", event => begins(corrected(event))],
  duration: ["duration, s", event => lasts(corrected(event))],
  score: ["score", event => event.score],
  iou: ["best IoU", event => event.iou],
};
const VIDEOS = {
  video: ["video", row => row.video.name, "text"],
  subject: ["subject", row => row.video.subject, "text"],
  picture: ["", () => null, "picture"],
  length: ["length, s", row => row.video.frames / row.video.fps],
  lost: ["left out, %", row => 100 * row.video.left_out],
  spotted: ["spotted", row => row.spotted, "whole"],
  false: ["false", row => row.false, "whole"],
  missed: ["missed", row => row.missed, "whole"],
};
const columns = () => {
  const all = chosen("l-outcome") === "videos" ? VIDEOS : COLUMNS;
  return Object.entries(all).filter(([name]) => labelled || !["iou", "false", "missed"].includes(name));
};

function filtered() {
  const outcome = chosen("l-outcome"), type = chosen("l-type"), fits = event => !type || corrected(event).type === type;
  const events = [...page.events, ...added].filter(event => event.run === run() && fits(event));
  if (outcome === "videos") {
    return page.videos.map((video, at) => ({video, at})).filter(row => row.video.dataset === page.runs[run()].dataset).map(row => {
      const own = ofVideo[row.at].filter(event => event.run === run() && fits(event) && enough(event));
      const count = test => own.filter(test).length;
      return {...row, spotted: count(event => event.what === "spotted"),
        false: count(event => event.outcome === "false"), missed: count(event => event.outcome === "missed")};
    });
  }
  return events.filter(event => enough(event) && (outcome ? outcomeOf(event) === outcome
    && (outcome !== "found" || event.what === "spotted") : true));
}

// The worst first: the surest of the false, the longest of the missed.
const worst = {false: ["score", false], missed: ["duration", false], found: ["iou", true], videos: ["false", false]};

function refresh() {
  list.rows = filtered();
  const [by, up] = list.by ? [list.by, list.up] : worst[chosen("l-outcome")] ?? [labelled ? "score" : "video", !labelled];
  const column = Object.fromEntries(columns())[by];
  if (column) {
    const value = column[1], way = up ? 1 : -1;  // what has no value comes last, whichever way
    list.rows.sort((one, other) => {
      const a = value(one), b = value(other);
      return a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -way : way;
    });
  }
  const here = place();
  const head = document.createElement("tr");
  for (const [name, [title, , kind]] of columns()) {
    const cell = document.createElement("th"), button = document.createElement("span");
    cell.scope = "col";
    if (kind === "text") cell.className = "text";
    if (name === by) cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    if (kind !== "picture") {
      Object.assign(button, {textContent: title, tabIndex: 0});
      button.dataset.by = name;
      button.setAttribute("role", "button");
      button.addEventListener("click", () => {
        [list.by, list.up] = [name, name === by ? !up : kind === "text"];
        refresh();
        $("list").querySelector(`[data-by="${name}"]`)?.focus();
      });
      cell.append(button);
    }
    head.append(cell);
  }
  $("list").tHead.replaceChildren(head);
  list.at = here >= 0 ? here : Math.min(list.at, list.rows.length - 1);
  fill();
  count();
}

function fill() {
  $("list").tBodies[0].replaceChildren(...list.rows.slice(0, list.shown).map((row, at) => {
    const line = document.createElement("tr");
    line.tabIndex = 0;
    line.dataset.row = at;
    for (const [, [, , kind]] of columns()) {
      const cell = line.insertCell();
      if (kind === "picture") cell.append(small(row.at));
    }
    line.addEventListener("click", () => openRow(at));
    return line;
  }));
  $("more").hidden = list.rows.length <= list.shown;
  write();
  mark();
}

function write() {
  const all = columns();
  for (const line of $("list").tBodies[0].rows)
    all.forEach(([name, [, value, kind]], k) => {
      const of = value(list.rows[line.dataset.row]), cell = line.cells[k];
      if (kind === "text") cell.className = `text ${name === "type" ? of : ""}`;
      if (kind !== "picture") cell.textContent = of === null ? "" : typeof of === "number" && kind !== "whole" ? of.toFixed(2) : of;
    });
}

// Which row is shown in large; -1: none of them.
const place = () => list.rows.findIndex(row => "what" in row ? row === view.event : row.video === view.video);

function count() {
  const type = chosen("l-type"), own = page.events.filter(event => event.run === run() && event.what !== "not counted" && (!type || event.type === type));
  const spotted = own.filter(event => event.what === "spotted" && enough(event));
  const told = [`${$("l-outcome").selectedOptions[0].text}: ${list.rows.length} listed`];
  if (labelled) {
    const found = spotted.filter(event => event.outcome === "found").length;
    const truth = own.filter(event => event.what === "annotated").length;
    const share = (a, b) => b ? (a / b).toFixed(3) : "–";
    told.push(`${type || "both types"} with a score of ${least().toFixed(2)} or more: ${spotted.length} spotted, ${found} right, ${spotted.length - found} false, `
      + `${truth - found} missed; precision ${share(found, spotted.length)}, recall ${share(found, truth)}, F1 ${share(2 * found, spotted.length + truth)}`);
    if (chosen("l-outcome") === "missed" && least() > 0) told.push("the list holds those that are missed with any score");
  } else told.push(`${spotted.length} spotted with a score of ${least().toFixed(2)} or more`);
  $("l-count").textContent = told.join("; ");
  $("l-told").textContent = least().toFixed(2);
}

function mark() {
  const here = place();
  for (const line of document.querySelectorAll("#list tbody tr"))
    line.classList.toggle("chosen", Number(line.dataset.row) === here);
  for (const line of document.querySelectorAll("tr[data-event]")) {
    line.classList.toggle("chosen", Number(line.dataset.event) === view.event?.at);
    line.cells[0].dataset.decision = corrected(page.events[line.dataset.event]).status ?? "";
  }
  const box = document.querySelector(".list"), line = $("list").querySelector("tbody .chosen");
  if (line) {
    const {top, bottom} = box.getBoundingClientRect(), {top: above, bottom: below} = line.getBoundingClientRect(), head = $("list").tHead.offsetHeight;
    if (above < top + head || below > bottom) box.scrollTop += above < top + head ? above - top - head : below - bottom;
  }
}

function openRow(at) {
  const row = list.rows[at];
  if (!row) return;
  list.at = at;
  if ("what" in row) return open(row.video, row);
  if (run() in row.video.envelope) view.run = run();
  open(row.at, null);
}

// --- a video in small -----------------------------------------------------------------------------------

const seen = new IntersectionObserver(entries => entries.forEach(entry => entry.isIntersecting && drawSmall(entry.target)));

function small(at) {
  const canvas = document.createElement("canvas");
  canvas.className = "small";
  canvas.dataset.video = at;
  seen.observe(canvas);
  return canvas;
}

function drawSmall(canvas) {
  const video = page.videos[canvas.dataset.video], pen = sized(canvas, 30), width = canvas.clientWidth;
  const of = run() in video.envelope ? run() : Number(Object.keys(video.envelope)[0]);
  const high = bytes(video.envelope[of]);
  pen.fillStyle = "#e3e3e3";
  high.forEach((value, k) => pen.fillRect(k / high.length * width, 30 - value / 255 * 30, Math.max(width / high.length, 1), 30));
  for (const event of ofVideo[canvas.dataset.video])
    if (event.run === of && event.what !== "not counted") {
      pen.fillStyle = colour(event.type);
      const x = event.onset / video.frames * width, w = Math.max((event.offset - event.onset + 1) / video.frames * width, 1.5);
      pen.fillRect(x, event.what === "annotated" ? 17 : 4, w, 9);
    }
}

function sized(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = '11px system-ui, "Noto Sans", sans-serif';
  return pen;
}
