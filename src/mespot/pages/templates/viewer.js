"use strict";
// The list of intervals, one video's timeline, and corrections. What is drawn of a video comes from its script,
// videos/NAME.js, which calls mespot.video.

const page = JSON.parse(document.getElementById("index").textContent);
const $ = name => document.getElementById(name);
const style = getComputedStyle(document.documentElement);
const colour = name => style.getPropertyValue(`--${name}`).trim();
const LEFT = 118, RIGHT = 12;  // px beside the curves, as beside the lanes
const BAR = 16, LANE = 9, REGION = 10;
const MICRO = 0.5;  // s: the longest micro-expression
const SHOWN = 200;  // rows of the list at a time
const MOTION = [[255, 255, 255], [185, 163, 216], [95, 58, 150], [27, 10, 51]];
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1b1b1b", "#8a6d00"];

page.events = page.events.map((row, at) => {
  const event = {at};
  page.event.forEach((name, k) => { event[name] = row[k]; });
  return event;
});
const ofVideo = page.videos.map(() => []);
for (const event of page.events) ofVideo[event.video].push(event);

const seconds = (video, frame) => video.start + frame / video.fps;
const begins = event => seconds(page.videos[event.video], event.onset);
const ends = event => seconds(page.videos[event.video], event.offset + 1);
const lasts = event => (event.offset - event.onset + 1) / page.videos[event.video].fps;
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const numbers = (text, Kind) => new Kind(bytes(text).buffer);

// --- a video's script -----------------------------------------------------------------------------------

const scripts = new Map(), waiting = new Map();
window.mespot = {
  video(file, content) {
    content.motion = numbers(content.motion, Uint8Array);
    content.source = content.source && numbers(content.source, Uint32Array);
    for (const curves of Object.values(content.curves))
      for (const curve of curves) {
        const steps = numbers(curve.data, Uint16Array), values = new Array(steps.length);
        for (let t = 0; t < steps.length; t++) values[t] = steps[t] === 65535 ? null : steps[t] * curve.max / 65534;
        curve.values = values;
        delete curve.data;
      }
    waiting.get(file)?.(content);
  },
  page,
};

function content(video) {
  if (!scripts.has(video.file)) scripts.set(video.file, new Promise((done, failed) => {
    waiting.set(video.file, done);
    const script = document.createElement("script");
    script.src = `${video.href}.js`;
    script.onerror = () => {
      scripts.delete(video.file);
      failed(new Error(`${video.href}.js is not there: keep the folder videos beside the page`));
    };
    document.head.append(script);
  }));
  return scripts.get(video.file);
}

// --- the list -------------------------------------------------------------------------------------------

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

// --- one video ------------------------------------------------------------------------------------------

const view = {video: null, event: null, plot: null, run: 0, places: [], drawn: ""};
const shownEvents = () => ofVideo[view.at].filter(event => event.run === view.run);

async function open(at, event, scrolled = true) {
  const video = page.videos[at];
  Object.assign(view, {video, at, event, cursor: undefined});
  if (place() >= 0) list.at = place();
  if (event) view.run = event.run;
  else if (!(view.run in video.envelope)) view.run = run() in video.envelope ? run() : Number(Object.keys(video.envelope)[0]);
  $("viewer").hidden = false;
  $("v-name").textContent = video.name;
  let its;
  try {
    its = await content(video);
  } catch (error) {
    if (view.video === video) $("v-now").textContent = error.message;
    return;
  }
  if (view.video !== video) return;
  view.content = its;
  if (view.drawn !== `${video.file} ${view.run}`) draw();
  told();
  zoom();
  mark();
  const box = $("viewer");
  if (scrolled) box.scrollIntoView({block: box.offsetHeight > innerHeight - 40 ? "start" : "nearest"});
}

function zoom() {
  const {video, event} = view, first = video.start, last = seconds(video, video.frames);
  if (!event) return view.plot.setScale("x", {min: first, max: last});
  const around = Math.max(3, lasts(event));
  view.plot.setScale("x", {min: Math.max(first, begins(event) - around), max: Math.min(last, ends(event) + around)});
}

function told() {
  const {video, event} = view, strip = event?.strip;
  $("v-strip").hidden = $("v-strips").hidden = !strip;
  $("v-now").textContent = "";
  if (!event) {
    const own = shownEvents(), count = what => own.filter(one => one.what === what).length;
    $("v-now").textContent = `${(video.frames / video.fps).toFixed(1)} s, ${count("spotted")} spotted`
      + (video.labelled ? `, ${count("annotated")} annotated` : "");
  } else {
    const now = corrected(event);
    const parts = [`${outcomeOf(event)} ${now.type}`, `${begins(now).toFixed(2)} to ${ends(now).toFixed(2)} s`, `${lasts(now).toFixed(2)} s long`];
    if (event.score !== null) parts.push(`score ${event.score.toFixed(2)}`);
    if (event.iou !== null && video.labelled) parts.push(`best IoU ${event.iou.toFixed(2)}`);
    if (event.regions) parts.push(event.regions.replaceAll("_", " ").replaceAll("+", ", "));
    if (event.remarks) parts.push(event.remarks);
    if (view.content.source) parts.push(`source frames ${["onset", "apex", "offset"].map(name => view.content.source[now[name]]).join(", ")}`);
    $("v-now").textContent = parts.join("; ");
    if (strip) {
      $("v-strip").src = `${video.href}_${strip}.jpg`;
      $("v-strip").alt = `The face of ${video.name} at onset, apex and offset of this interval, and its flow`;
      const moved = ["onset", "apex", "offset"].some(name => now[name] !== event[name]);
      $("v-strips").firstElementChild.textContent = moved ? "onset, as it was spotted" : "onset";
    }
  }
  fields();
}

function draw() {
  view.drawn = `${view.video.file} ${view.run}`;
  const {video} = view, curves = view.content.curves[view.run], runs = Object.keys(view.content.curves);
  $("v-runs").hidden = runs.length < 2;
  $("v-name").dataset.run = runs.length < 2 ? "" : `, ${page.runs[view.run].name}`;
  $("v-run").replaceChildren(...runs.map(name => new Option(page.runs[name].name, name, false, Number(name) === view.run)));
  view.plot?.destroy();
  const n = Math.max(...curves.map(curve => curve.values.length)), x = Array.from({length: n}, (_, t) => seconds(video, t));
  // All of `displacement`'s regions; of a network the apexes, the rest by a click on its name.
  const probable = curves.some(curve => curve.name === "macro_apex");
  const series = curves.map((curve, k) => ({
    label: curve.name.replaceAll("_", " "), show: !probable || curve.name.endsWith("_apex"), width: 1.5,
    stroke: curve.name.startsWith("macro_apex") ? colour("macro") : curve.name.startsWith("micro_apex") ? colour("micro") : LINES[k % LINES.length],
    dash: k >= LINES.length ? [5, 3] : undefined, points: {show: false},
    value: (_, value) => value === null ? "–" : value.toFixed(3),
  }));
  const place = $("v-plot");
  view.plot = new uPlot({
    width: place.clientWidth, height: 200, pxAlign: false, padding: [8, RIGHT, 0, 0],
    cursor: {drag: {x: true, y: false}, y: false, points: {size: 6}},
    scales: {x: {time: false}, y: {range: (_, low, high) => [0, probable ? 1.02 : Math.max(high || 0, view.content.top / 2) * 1.05]}},
    axes: [{values: (_, ticks) => ticks.map(tick => `${+tick.toFixed(3)} s`)}, {size: LEFT - 22, label: probable ? "probability" : `displacement, ${view.content.unit}`, labelSize: 22, labelFont: '11px system-ui, "Noto Sans", sans-serif'}],
    legend: {markers: {dash: (plot, k) => plot.series[k].dash ? "dotted" : "solid"}},
    series: [{label: "time", value: (_, value) => value === null ? "–" : `${value.toFixed(3)} s`}, ...series],
    hooks: {setScale: [lanes], setCursor: [pointed], drawClear: [shade]},
  }, [x, ...curves.map(curve => curve.values.concat(new Array(n - curve.values.length).fill(null)))], place);
  place.setAttribute("aria-label", `Curves of ${video.name}: ${curves.map(curve => curve.name.replaceAll("_", " ")).join(", ")}`);
  for (const name of [...place.querySelectorAll(".u-series th")].slice(1)) {
    name.tabIndex = 0;
    name.setAttribute("role", "button");
  }
  const film = $("v-video");
  film.hidden = !video.overlay;
  if (video.overlay) film.src = video.overlay;
  else film.removeAttribute("src");
}

// Under the curves: the chosen interval, what was left out, and where the film is.
function shade(plot) {
  const pen = plot.ctx, {left, top, width, height} = plot.bbox;
  const stretch = (from, to, fill) => {
    const a = Math.max(plot.valToPos(from, "x", true), left), b = Math.min(plot.valToPos(to, "x", true), left + width);
    pen.fillStyle = fill;
    if (b > a) pen.fillRect(a, top, b - a, height);
  };
  for (const [from, to] of view.content.left_out) stretch(seconds(view.video, from), seconds(view.video, to), "#ececec");
  if (view.event) {
    const now = corrected(view.event);
    stretch(begins(now), ends(now), now.type === "macro" ? "#d3e6f3" : "#fbe0cc");
  }
  if (!$("v-video").hidden) {
    const at = view.video.start + $("v-video").currentTime;
    stretch(at, at + 1.5 * (plot.scales.x.max - plot.scales.x.min) / width, colour("bad"));
  }
}

function lanes(plot) {
  if (plot !== view.plot && view.plot) return;
  const {min, max} = plot.scales.x, canvas = $("v-lanes"), {video} = view;
  if (min === null || min === undefined) return;
  const rows = [["spotted", "spotted"]];
  if (video.labelled) rows.push(["annotated", "annotated"]);
  const names = Object.keys(view.content.lanes).filter(name => view.content.lanes[name].length || name === "left_out");
  const regions = view.content.regions, top = 2 * (rows.length * (BAR + 3)) + 4, under = top + names.length * (LANE + 3) + 4;
  const pen = sized(canvas, under + regions.length * REGION + 2), width = canvas.clientWidth - LEFT - RIGHT;
  const x = time => LEFT + Math.min(Math.max((time - min) / (max - min), 0), 1) * width;
  view.places = [];
  pen.textAlign = "right";
  let y = 2;
  for (const type of ["macro", "micro"])
    for (const [what, name] of rows) {
      pen.fillStyle = "#1b1b1b";
      pen.fillText(`${type} ${name}`, LEFT - 8, y + BAR - 4);
      for (const event of everything().filter(one => corrected(one).type === type)) {
        const now = corrected(event), mine = event.what === "annotated" ? "annotated" : "spotted";
        if (mine !== what || ends(now) < min || begins(now) > max) continue;
        const from = x(begins(now)), to = Math.max(x(ends(now)), from + 2);
        bar(pen, event, now, from, to, y);
        view.places.push([event, from, to, y]);
        const apex = seconds(video, now.apex + 0.5);
        pen.fillStyle = "#1b1b1b";
        if (apex >= min && apex <= max) pen.fillRect(x(apex) - 0.8, y, 1.6, BAR);
      }
      y += BAR + 3;
    }
  y = top;
  for (const name of names) {
    pen.fillStyle = "#5a5a5a";
    pen.fillText(name.replaceAll("_", " "), LEFT - 8, y + LANE);
    pen.fillStyle = colour(name);
    for (const [from, to] of view.content.lanes[name]) {
      const a = x(seconds(video, from)), b = x(seconds(video, to + 1));
      if (b > a) pen.fillRect(a, y, Math.max(b - a, 1), LANE);
    }
    y += LANE + 3;
  }
  field(pen, under, min, max, width);
  canvas.setAttribute("aria-label", `${video.name}, ${min.toFixed(1)} to ${max.toFixed(1)} s: ${view.places.length} intervals; lanes ${names.join(", ")}; motion of ${regions.length} regions`);
}

function bar(pen, event, now, from, to, y) {
  const main = colour(now.type), w = to - from, gone = now.status === "rejected" || !enough(event);
  pen.globalAlpha = gone ? 0.25 : 1;
  const uncounted = event.what === "not counted" && !KEEPING.includes(now.status);
  pen.fillStyle = uncounted ? "#e6e6e6" : main;
  pen.strokeStyle = main;
  if (event.outcome === "missed") pen.strokeRect(from + 0.75, y + 1.75, Math.max(w - 1.5, 1), BAR - 3.5);
  else pen.fillRect(from, y + 1, w, BAR - 2);
  if (uncounted) {
    pen.strokeStyle = "#5a5a5a";
    pen.setLineDash([3, 2]);
    pen.strokeRect(from + 0.5, y + 1.5, Math.max(w - 1, 1), BAR - 3);
    pen.setLineDash([]);
  }
  if (event.outcome === "false") {  // hatched, for those who see no colours
    pen.save();
    pen.beginPath();
    pen.rect(from, y + 1, w, BAR - 2);
    pen.clip();
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.beginPath();
    for (let k = from - BAR; k < to; k += 6) { pen.moveTo(k, y + BAR); pen.lineTo(k + BAR, y); }
    pen.stroke();
    pen.restore();
  }
  if (event === view.event) {
    pen.strokeStyle = "#1b1b1b";
    pen.lineWidth = 2;
    pen.strokeRect(from - 1, y, w + 2, BAR);
    pen.lineWidth = 1;
  }
  pen.globalAlpha = 1;
}

// The motion of all regions: in each column of pixels the largest there is.
function field(pen, top, min, max, width) {
  const {video} = view, {motion, regions} = view.content, n = motion.length / regions.length;
  const image = pen.createImageData(Math.max(Math.round(width), 1), regions.length), lost = new Uint8Array(n);
  for (const [from, to] of view.content.left_out) lost.fill(1, from, to);
  const frame = column => (min + column / image.width * (max - min) - video.start) * video.fps;
  for (let column = 0; column < image.width; column++) {
    const from = Math.max(Math.floor(frame(column)), 0), to = Math.min(Math.max(Math.floor(frame(column + 1)), from + 1), n);
    for (let region = 0; region < regions.length; region++) {
      let value = 0, out = 0;
      for (let t = from; t < to; t++) { value = Math.max(value, motion[region * n + t]); out |= lost[t]; }
      const at = 4 * (region * image.width + column), share = value / 255 * 3, low = Math.min(Math.floor(share), 2);
      const shade = MOTION[low].map((one, k) => one + (MOTION[low + 1][k] - one) * (share - low));
      image.data.set(to <= from ? [255, 255, 255, 255] : out ? [189, 189, 189, 255] : [...shade, 255], at);
    }
  }
  const buffer = Object.assign(document.createElement("canvas"), {width: image.width, height: image.height});
  buffer.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(buffer, LEFT, top, width, regions.length * REGION);
  pen.strokeStyle = "#9a9a9a";
  pen.strokeRect(LEFT, top, width, regions.length * REGION);
  pen.fillStyle = "#1b1b1b";
  regions.forEach((name, k) => pen.fillText(name.replaceAll("_", " "), LEFT - 8, top + REGION * k + 8.5));
}

function pointed(plot) {
  const {video} = view, at = plot.cursor.left;
  if (at === null || at < 0) return;
  const time = plot.posToVal(at, "x"), frame = Math.min(Math.max(Math.floor((time - video.start) * video.fps + 1e-6), 0), video.frames - 1);
  view.cursor = frame;
  const source = view.content.source ? view.content.source[frame] : frame;
  $("v-at").textContent = `${seconds(video, frame).toFixed(3)} s, working frame ${frame}, source frame ${source}`;
}

$("v-lanes").addEventListener("click", click => {
  const {left, top} = $("v-lanes").getBoundingClientRect(), x = click.clientX - left, y = click.clientY - top;
  const hit = view.places.findLast(([, from, to, at]) => x >= from - 3 && x <= to + 3 && y >= at && y < at + BAR + 3);
  if (hit) open(view.at, hit[0]);
  else if (!$("v-video").hidden && x > LEFT) {
    const {min, max} = view.plot.scales.x;
    $("v-video").currentTime = min + (x - LEFT) / ($("v-lanes").clientWidth - LEFT - RIGHT) * (max - min) - view.video.start;
  }
});
$("v-run").addEventListener("change", () => { view.run = Number($("v-run").value); view.event = null; draw(); told(); zoom(); mark(); });
$("v-whole").addEventListener("click", () => { view.event = null; told(); zoom(); mark(); });
$("v-back").addEventListener("click", () => openRow(list.at - 1));
$("v-next").addEventListener("click", () => openRow(list.at + 1));
$("v-video").addEventListener("timeupdate", () => view.plot?.redraw(false));
$("v-video").addEventListener("seeked", () => view.plot?.redraw(false));

// --- corrections ----------------------------------------------------------------------------------------

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

// --- keys, and what begins ------------------------------------------------------------------------------

function shift(share, factor) {
  const {min, max} = view.plot.scales.x, first = view.video.start, last = seconds(view.video, view.video.frames);
  const span = Math.min(Math.max((max - min) * factor, 4 / view.video.fps), last - first);
  const from = Math.min(Math.max((min + max - span) / 2 + share * span, first), last - span);
  view.plot.setScale("x", {min: from, max: from + span});
}

const KEYS = {
  n: () => $("v-next").click(), p: () => $("v-back").click(), 0: () => $("v-whole").click(),
  ArrowLeft: () => shift(-0.25, 1), ArrowRight: () => shift(0.25, 1), "+": () => shift(0, 0.5), "-": () => shift(0, 2),
  " ": () => $("v-video").hidden || ($("v-video").paused ? $("v-video").play() : $("v-video").pause()),
  a: () => $("e-accept")?.click(), r: () => $("e-reject")?.click(), u: () => $("e-undo")?.click(),
  1: () => point("onset"), 2: () => point("apex"), 3: () => point("offset"),
};
const point = name => $("v-edit") && view.event && view.cursor !== undefined && moved(view.event, name, view.cursor);

document.addEventListener("keydown", event => {
  const on = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || on.matches("input, select, video, textarea")) return;
  if ((event.key === "Enter" || event.key === " ") && on.matches("button, summary, a")) return;
  if ((event.key === "Enter" && on.matches("tr[tabindex]")) || (["Enter", " "].includes(event.key) && on.matches("[role=button]"))) {
    event.preventDefault();
    return on.click();
  }
  if (KEYS[event.key] && (view.plot || "np".includes(event.key))) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

for (const link of document.querySelectorAll("a[data-outcome]"))
  link.addEventListener("click", () => {
    if ($("l-run")) $("l-run").value = link.dataset.run;
    [$("l-outcome").value, $("l-type").value, $("l-least").value, list.by] = [link.dataset.outcome, "", 0, null];
    refresh();
    if (view.plot) lanes(view.plot);
  });
for (const name of ["l-run", "l-outcome", "l-type"])
  $(name)?.addEventListener("change", () => { list.by = null; list.shown = SHOWN; refresh(); });
for (const field of document.querySelectorAll("select")) field.addEventListener("change", () => field.blur());  // the keys are the page's again
$("l-least").addEventListener("input", () => { refresh(); if (view.plot) lanes(view.plot); });
$("more").addEventListener("click", () => { list.shown += SHOWN; fill(); });
for (const line of document.querySelectorAll("tr[data-event]"))
  line.addEventListener("click", () => {
    const event = page.events[line.dataset.event];
    open(event.video, event);
  });
for (const canvas of document.querySelectorAll("canvas.small")) seen.observe(canvas);
for (const table of document.querySelectorAll("table.sortable"))
  for (const button of table.querySelectorAll("th [role=button]"))
    button.addEventListener("click", () => {
      const head = button.parentElement, up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
      for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = row => {
        const cell = row.cells[head.cellIndex], text = cell.dataset.value ?? cell.textContent;
        return button.dataset.kind === "text" ? text.trim() : parseFloat(text);
      };
      const rows = [...body.rows].sort((a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
      body.append(...(up ? rows : rows.reverse()));
    });
for (const face of document.querySelectorAll("button.face")) face.addEventListener("click", () => open(Number(face.dataset.video), null));
function fit() {
  if (!view.plot) return;
  view.plot.setSize({width: $("v-plot").clientWidth, height: 200});
  lanes(view.plot);
}
new ResizeObserver(fit).observe($("v-plot"));
if ($("when")) $("when").textContent = new Date(document.lastModified).toLocaleString();
// On paper every picture is wanted, seen or not.
addEventListener("beforeprint", () => {
  document.querySelectorAll("img").forEach(img => { img.loading = "eager"; });
  document.querySelectorAll("canvas.small").forEach(drawSmall);
  document.querySelectorAll("details").forEach(part => { part.open = true; });
  printed("1000px");  // of a page in landscape
});
addEventListener("afterprint", () => printed(""));
function printed(width) {
  for (const part of [$("v-plot"), $("v-lanes")]) part.style.width = width;
  fit();
}
refresh();
if (!labelled && page.videos.length) open(0, null, false);
