// One video: its faces, curves, lanes and the motion of its regions.

const LEFT = 118, RIGHT = 12;  // px beside the curves, as beside the lanes
const BAR = 16, LANE = 9, REGION = 10;
const MOTION = [[255, 255, 255], [185, 163, 216], [95, 58, 150], [27, 10, 51]];
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1b1b1b", "#8a6d00"];

const view = {video: null, event: null, plot: null, run: 0, places: [], drawn: ""};
const shownEvents = () => ofVideo[view.at].filter(event => event.run === view.run);

async function open(at, event, scrolled = true) {
  const video = page.videos[at];
  Object.assign(view, {video, at, event, cursor: undefined});
  if (place() >= 0) list.at = place();
  if (event) view.run = event.run;
  else if (!(view.run in video.envelope)) view.run = run() in video.envelope ? run() : Number(Object.keys(video.envelope)[0]);
  $("viewer").hidden = false;
  let its;
  try {
    its = await content(video);
  } catch (error) {
    if (view.video === video) [$("v-name").textContent, $("v-now").textContent] = [video.name, error.message];
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
  $("v-name").textContent = video.name;
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
