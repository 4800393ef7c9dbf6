// Keys, clicks, and what begins.

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
