"""The figures of a run, each drawn from its table, in a paper's size and fonts; `figures` makes the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Patch, PathPatch
from matplotlib.path import Path as Bezier
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from mespot.intervals import TYPES
from mespot.matches import FALSE, FOUND, MISSED
from mespot.networks.graph import PLACES

COLUMN, PAGE = 3.4, 7.0  # in, the widths of one column and of two
DPI = 300  # of PNG
# Okabe and Ito's colours, told apart by colour-blind people too; and by marker and line on a grey print.
COLOURS = {"macro": "#0072B2", "micro": "#D55E00", "overall": "#000000"}
MARKERS = {"macro": "o", "micro": "^", "overall": "s"}
LINES = {"macro": "-", "micro": (0, (4, 1.2))}
GREY, PALE = "#999999", "#DDDDDD"
# Over matplotlib's own defaults, whatever the machine's are: the same tables give the same bytes.
STYLE = [
    "default",
    {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.2,
        "hatch.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "mespot",
    },
]
ALL = "all subjects"  # no subject's name: it has a space
MOST_NAMED, MOST_IN_A_COLUMN = 60, 14  # subjects that are named, and that one column holds
MOST_VECTORS = 1000  # marks of one kind that stand in an SVG one by one
BORDER = 0.5  # s between macro and micro
ENOUGH = 0.5  # IoU


def save(figure: Figure, stem: Path, title: str, alt: str) -> None:
    """Write `stem`.svg, with what is told instead of it, and `stem`.png."""
    told = {"Title": title, "Description": alt, "Date": None, "Creator": None}
    figure.savefig(f"{stem}.svg", metadata=told, dpi=DPI)
    figure.savefig(f"{stem}.png", metadata={"Software": None}, dpi=DPI)


def f1_per_subject(table: pd.DataFrame) -> Figure:
    """`table`: subject (in order, ALL the last), type or overall, f1, low, high."""
    each, pooled = table[table["subject"] != ALL], table[table["subject"] == ALL].set_index("type")
    names = list(dict.fromkeys(each["subject"]))
    width = COLUMN if len(names) <= MOST_IN_A_COLUMN else PAGE
    figure, axes = _panels(3, width, 3.5, sharex=True)
    size = float(np.clip(200 / max(len(names), 1), 1, 4))
    for axis, kind in zip(axes, ("overall", *TYPES), strict=True):
        f1 = each[each["type"] == kind].set_index("subject")["f1"].reindex(names).to_numpy(float)
        whole, colour, x = pooled.loc[kind], COLOURS[kind], np.arange(len(names))
        if np.isfinite(whole["low"]):
            axis.axhspan(whole["low"], whole["high"], color=colour, alpha=0.13, lw=0)
        axis.axhline(whole["f1"], color=colour, lw=0.8)
        axis.vlines(x, 0, f1, color=colour, lw=size / 4, alpha=0.6)
        axis.plot(x, f1, MARKERS[kind], color=colour, ms=size, clip_on=not names)
        axis.set(ylim=(0, 1.05), yticks=(0, 0.5, 1), ylabel="F1", xlim=(-0.7, len(names) - 0.3))
        axis.set_title(kind, loc="left", color=colour)
        axis.set_title(f"{ALL}: {_with_bounds(whole)}", loc="right", color=colour)
    if len(names) <= MOST_NAMED:
        axes[-1].set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    else:
        axes[-1].set_xlabel(f"{len(names)} subjects, by overall F1")
        axes[-1].xaxis.set_major_locator(NullLocator())
    return figure


def precision_recall(table: pd.DataFrame) -> Figure:
    """`table`: type, threshold (falling), precision, recall, f1; the last row is what was spotted."""
    figure, (axis,) = _panels(1, COLUMN, 3.1)
    recall = np.linspace(0.001, 1, 500)
    for f1 in (0.2, 0.4, 0.6, 0.8):
        with np.errstate(divide="ignore"):
            precision = f1 * recall / (2 * recall - f1)
        shown = (precision > 0) & (precision <= 1)
        axis.plot(recall[shown], precision[shown], color=PALE, lw=0.7, zorder=0)
        _note(axis, f"F1 {f1}", (1, f1 / (2 - f1)), (2, -2), GREY)
    for type_ in TYPES:
        its = table[table["type"] == type_]
        if not len(its):
            continue
        colour, last = COLOURS[type_], its.iloc[-1]
        axis.plot(its["recall"], its["precision"], ls=LINES[type_], color=colour)
        place, told = last[["recall", "precision"]], last[["precision", "recall", "f1"]]
        label = "{} as spotted: P {:.2f}, R {:.2f}, F1 {:.2f}".format(type_, *told)
        axis.plot(*place, MARKERS[type_], color=colour, ms=6, clip_on=False, label=label)
        for threshold in (0.8, 0.6, 0.4, 0.2):
            above = its[its["threshold"] >= threshold]
            if len(above) in (0, len(its)):
                continue
            place = above[["recall", "precision"]].iloc[-1]
            axis.plot(*place, MARKERS[type_], color=colour, mfc="white", ms=3, mew=0.7)
            _note(axis, f"{threshold:g}", place, (3, 3), colour)
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _legend_above(axis, 1)
    return figure


def durations(table: pd.DataFrame) -> Figure:
    """`table`: type, of (annotated or spotted), outcome, duration_s."""
    figure, axes = _panels(2, COLUMN, 4.0, sharex=True)
    known = table["duration_s"][table["duration_s"] > 0]
    low, high = (known.min(), known.max()) if len(known) else (0.1, 4)
    # Three bins to twice the duration; the border is between two.
    first, last = (int(np.floor(3 * np.log2(end / BORDER))) for end in (low, high))
    edges = BORDER * 2 ** (np.arange(first, last + 2) / 3)
    for axis, type_ in zip(axes, TYPES, strict=True):
        its, looks, shown = table[table["type"] == type_], _looks(COLOURS[type_]), []
        for of, sign, other in (("annotated", 1, MISSED), ("spotted", -1, FALSE)):
            below = np.zeros(len(edges) - 1)
            for outcome in (FOUND, other):
                seconds = its["duration_s"][(its["of"] == of) & (its["outcome"] == outcome)]
                count = sign * np.histogram(seconds, edges)[0]
                _bars(axis, edges, count, below, **looks[outcome])
                shown.append(Patch(label=f"{of}, {outcome}: {len(seconds)}", **looks[outcome]))
                below = below + count
            place = {"ha": "right", "va": "center", "transform": axis.transAxes}
            axis.text(1, 0.5 + sign * 0.45, of, color=GREY, **place)
        reach = 1.15 * max(1, *map(abs, axis.get_ylim()))
        axis.axhline(0, color="black", lw=0.6)
        axis.axvline(BORDER, color="black", lw=0.6, ls=":")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{abs(count):g}"))
        axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set(ylim=(-reach, reach), ylabel="intervals")
        _legend_above(axis, 2, type_, shown)
    axes[-1].set(xscale="log", xlabel="duration (s)", xlim=(edges[0], edges[-1]))
    axes[-1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[-1].xaxis.set_major_formatter("{x:g}")
    axes[-1].xaxis.set_minor_locator(NullLocator())
    return figure


def overlaps(table: pd.DataFrame) -> Figure:
    """`table`: type, iou (0 to 1) of each annotated expression."""
    figure, axes = _panels(2, COLUMN, 3.0, sharex=True)
    edges = np.arange(21) / 20
    for axis, type_ in zip(axes, TYPES, strict=True):
        iou = table["iou"][table["type"] == type_].to_numpy()
        looks = _looks(COLOURS[type_])
        touched, nothing = np.histogram(iou[iou > 0], edges)[0], int((iou == 0).sum())
        enough = edges[:-1] >= ENOUGH
        top = 1.15 * max(1, touched.max(initial=0))
        _bars(axis, edges, touched * enough, 0, **looks[FOUND])
        _bars(axis, edges, touched * ~enough, 0, **looks[MISSED])
        _bars(axis, np.array([-0.06, -0.01]), np.array([min(nothing, top)]), 0, **looks[FALSE])
        if nothing > top:  # cut off, or nothing of the others would be seen
            axis.plot(-0.035, 0.9 * top, "s", ms=8, mfc="white", mec="white")
            axis.text(-0.035, 0.9 * top, nothing, fontsize=6, ha="center", va="center")
        shown = [
            Patch(label=f"at least {ENOUGH}: {(iou >= ENOUGH).sum()}", **looks[FOUND]),
            Patch(label=f"less: {((iou > 0) & (iou < ENOUGH)).sum()}", **looks[MISSED]),
            Patch(label=f"nothing: {nothing}", **looks[FALSE]),
        ]
        axis.axvline(ENOUGH, color="black", lw=0.6, ls=":")
        axis.set(ylabel="expressions", ylim=(0, top))
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        _legend_above(axis, 3, type_, shown)
    axes[-1].set(xlim=(-0.08, 1), xlabel="IoU with the spotted interval that overlaps most")
    axes[-1].set_xticks([-0.035, 0.25, 0.5, 0.75, 1], ["none", "0.25", "0.5", "0.75", "1"])
    return figure


def boundary_errors(table: pd.DataFrame) -> Figure:
    """`table`: type, point (onset, apex or offset), error_ms of each pair."""
    figure, axes = _panels(2, COLUMN, 3.0)
    points = ("offset", "apex", "onset")  # from below
    random = np.random.default_rng(0)
    for axis, type_ in zip(axes, TYPES, strict=True):
        its, colour = table[table["type"] == type_], COLOURS[type_]
        reach = max(100, 1.1 * its["error_ms"].abs().quantile(0.95)) if len(its) else 100
        far = int((its["error_ms"].abs() > reach).sum())
        for y, point in enumerate(points):
            error = its["error_ms"][its["point"] == point].to_numpy()
            if not len(error):
                continue
            places = error.clip(-reach, reach), y + random.uniform(-0.3, 0.3, len(error))
            marks = {"color": colour, "ms": 2.2, "mew": 0, "alpha": 0.4, "clip_on": False}
            axis.plot(*places, MARKERS[type_], rasterized=len(error) > MOST_VECTORS, **marks)
            low, middle, high = np.percentile(error, (25, 50, 75))
            axis.plot([low, high], [y, y], color="black", lw=1.8, solid_capstyle="butt")
            axis.plot(middle, y, "|", color="black", ms=10, mew=1.4)
        axis.axvline(0, color="black", lw=0.6, ls=":")
        axis.set_yticks(range(3), points)
        axis.set(ylim=(-0.5, 2.5), xlim=(-reach, reach))
        beyond = f"; {far} of their points farther off, at the edge" if far else ""
        axis.set_title(type_, loc="left", color=colour)
        axis.set_title(f"{len(its) // len(points)} found{beyond}", loc="right", fontsize=7)
    axes[-1].set_xlabel(
        "too early  \N{LEFTWARDS ARROW}  error (ms)  \N{RIGHTWARDS ARROW}  too late"
    )
    return figure


def training(table: pd.DataFrame) -> Figure:
    """`table`: fold, epoch or step, loss."""
    figure, (axis,) = _panels(1, COLUMN, 2.4)
    time = "epoch" if "epoch" in table else "step"
    loss = table.pivot_table(index=time, columns="fold", values="loss")
    colour = COLOURS["macro"]
    axis.plot(loss.index, loss.to_numpy(), color=colour, lw=0.5, alpha=0.35)
    axis.plot([], [], color=colour, lw=0.5, label=f"each of {loss.shape[1]} folds")
    axis.plot(loss.index, loss.mean(axis=1), color="black", lw=1.6, label="mean")
    axis.set(xlabel=time, ylabel="training loss", yscale="log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 4, 6)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.legend(loc="upper right")
    return figure


def reliability(table: pd.DataFrame) -> Figure:
    """`table`: type, from, to, score (mean), n, right, share, low, high of each bin of scores."""
    figure, (axis,) = _panels(1, COLUMN, 3.1)
    axis.plot([0, 1], [0, 1], color=GREY, lw=0.7, ls=":")
    for type_, up in zip(TYPES, (-9, 4), strict=True):
        its, colour = table[table["type"] == type_], COLOURS[type_]
        spread = (its["share"] - its["low"], its["high"] - its["share"])
        look = {"marker": MARKERS[type_], "ms": 4, "ls": LINES[type_], "lw": 1, "elinewidth": 0.6}
        axis.errorbar(
            its["score"], its["share"], spread, color=colour, label=type_, clip_on=False, **look
        )
        for row in its.to_dict("records"):
            _note(axis, row["n"], (row["score"], row["share"]), (4, up), colour)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share that is right")
    _legend_above(axis, 2)
    return figure


def graph(table: pd.DataFrame) -> Figure:
    """`table`: region, other, weight (how much of what a region hears is the other's)."""
    figure, (axis,) = _panels(1, COLUMN, 3.3)
    _face(axis)
    weights = table.pivot(index="region", columns="other", values="weight")
    both, names = (weights + weights.T) / 2, list(weights)
    links = [(both.loc[a, b], a, b) for k, a in enumerate(names) for b in names[:k]]
    links = sorted(link for link in links if link[0])
    most = links[-1][0] if links else 0

    def line(part: float) -> dict[str, object]:
        return {"lw": 3.5 * part, "alpha": 0.3 + 0.5 * part, "color": COLOURS["macro"]}

    def point(itself: float) -> dict[str, object]:
        return {"ms": 6, "mew": 0.6, "mec": "black", "mfc": str(1 - 0.8 * min(itself, 1))}

    for weight, a, b in links:
        bent = _bent(PLACES[a], PLACES[b])
        axis.add_patch(PathPatch(bent, fill=False, **line(weight / most)))
    for name in names:
        axis.plot(*PLACES[name], "o", **point(weights.loc[name, name]))
        _name_region(axis, name, *PLACES[name])
    for part in (1, 0.5) if links else ():
        axis.plot([], [], label=f"link of {part * most:.2f}", **line(part))
    for itself in (1, 0.5):
        axis.plot([], [], "o", label=f"itself {itself:g}", **point(itself))
    axis.set(xlim=(-1.6, 1.6), ylim=(2.33, -1.12), aspect="equal")
    axis.axis("off")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, fontsize=6, columnspacing=1)
    look = {"rotation": 90, "fontsize": 6, "color": GREY, "ha": "center", "va": "center"}
    axis.text(-1.45, 0.68, "the person's right", **look)
    axis.text(1.45, 0.68, "the person's left", **look)
    return figure


def _bent(one: tuple[float, float], other: tuple[float, float]) -> Bezier:
    """A line between two places, bent to the middle of the face, so that none hides another."""
    (x, y), (dx, dy) = np.add(one, other) / 2, np.subtract(other, one)
    inwards = np.sign(dy * (0 - x) - dx * (0.5 - y))
    bend = (x + 0.25 * inwards * dy, y - 0.25 * inwards * dx)
    return Bezier([one, bend, other], [Bezier.MOVETO, Bezier.CURVE3, Bezier.CURVE3])


def _name_region(axis: Axes, name: str, x: float, y: float) -> None:
    """The region's name, its side left out, on the side of its point that looks away from the others."""
    name = name.removeprefix("right_").removeprefix("left_").replace("_", " ")
    if y < -0.2:  # brows stand close
        off, look = (1, 5), {"ha": "left", "va": "bottom", "rotation": 55}
    elif abs(x) > 0.1:
        off, look = (6 * np.sign(x), 0), {"ha": "left" if x > 0 else "right", "va": "center"}
    else:
        up = y < 1.3
        off, look = (0, 5 if up else -5), {"ha": "center", "va": "bottom" if up else "top"}
    axis.annotate(name, (x, y), off, textcoords="offset points", fontsize=6, zorder=4, **look)


def _face(axis: Axes) -> None:
    """A face behind the regions, in inter-ocular distances from between the eyes; y goes down."""
    line = {"color": PALE, "lw": 1, "zorder": 0}
    shape = {"fill": False, "ec": PALE, "lw": 1, "zorder": 0}
    axis.add_patch(Ellipse((0, 0.68), 2.5, 3.25, **shape))
    for x in (-0.5, 0.5):
        axis.add_patch(Ellipse((x, 0), 0.44, 0.18, **shape))
    axis.plot([-0.06, -0.16, 0, 0.16], [0.1, 0.68, 0.74, 0.68], **line)
    axis.add_patch(Ellipse((0, 1.26), 1.1, 0.48, **shape))


def _panels(rows: int, width: float, height: float, **shared: bool) -> tuple[Figure, np.ndarray]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots(rows, squeeze=False, **shared)[:, 0]


def _bars(
    axis: Axes, edges: np.ndarray, heights: np.ndarray, below: np.ndarray | float, **look: object
) -> None:
    """A histogram's bars; where there is nothing, no line either."""
    some = heights != 0
    below = np.broadcast_to(below, heights.shape)
    axis.bar(
        edges[:-1][some], heights[some], np.diff(edges)[some], below[some], align="edge", **look
    )


def _looks(colour: str) -> dict[str, dict[str, object]]:
    """How bars of each outcome look: they differ without their colours, too."""
    edge = {"lw": 0.5}
    return {
        FOUND: {"fc": colour, "ec": colour, **edge},
        MISSED: {"fc": "white", "ec": colour, **edge},
        FALSE: {"fc": PALE, "ec": "black", "hatch": "//////", **edge},
    }


def _note(
    axis: Axes, text: object, place: Sequence[float], off: tuple[float, float], colour: str
) -> None:
    """A small word beside a place, which lines do not cross out."""
    behind = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.4}
    look = {"fontsize": 6, "color": colour, "annotation_clip": False, "bbox": behind}
    axis.annotate(text, place, off, textcoords="offset points", **look)


def _legend_above(
    axis: Axes, columns: int, title: str | None = None, shown: Sequence[Patch] | None = None
) -> None:
    """What is seen, above the panel, where nothing is drawn."""
    look = {"handlelength": 1.6, "columnspacing": 1, "handletextpad": 0.5, "borderaxespad": 0.2}
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "alignment": "left"}
    if not (shown or axis.get_legend_handles_labels()[0]):
        return
    legend = axis.legend(handles=shown, ncols=columns, title=title, **place, **look)
    if title:
        legend.get_title().set(color=COLOURS[title], fontsize=8)


def _with_bounds(whole: pd.Series) -> str:
    bounds = f" [{whole['low']:.3f}, {whole['high']:.3f}]" if np.isfinite(whole["low"]) else ""
    return f"{whole['f1']:.3f}{bounds}"
