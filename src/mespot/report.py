"""report: one page with the table of scores and a timeline of each video."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from mespot import store
from mespot.aggregate import KINDS, load_summary, whole
from mespot.curves import of_video
from mespot.errors import InputError
from mespot.feature_store import Feature, load, missing
from mespot.intervals import TYPES, load_intervals
from mespot.progress import progress
from mespot.settings import Report
from mespot.store import replacing
from mespot.stretches import runs

matplotlib.use("agg")
from matplotlib import pyplot as plt

# Okabe and Ito's colours, told apart by colour-blind people too.
COLOURS = {"macro": "#0072B2", "micro": "#D55E00"}
EXCLUDED = "#999999"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em;
       color: #1b1b1b; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; } figure { margin: 1.5em 0; }
figure img { width: 100%; } figcaption { color: #555; font-size: .9em; }
table { border-collapse: collapse; font-size: .92em; }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.headline { background: #eef5fa; font-weight: 600; } .note { color: #a33; }
.scroll { overflow-x: auto; }
"""


def report(
    results: Path, shown: Sequence[str], summary: Path | None, out: Path, settings: Report
) -> None:
    """Write the page `out` and, beside it, `timelines/{dataset}_{video}_{method}.png`.

    `shown` are folders below `results`, DATASET/METHOD/..., with the intervals and curves to show.
    Everything is one file and a folder of pictures: nothing is loaded from elsewhere.
    """
    with replacing(out.parent / "timelines") as pictures:
        pictures.mkdir()
        page = _page(results, shown, summary, pictures, settings)
    with replacing(out) as temporary:
        temporary.write_text(page)


def _page(
    results: Path, shown: Sequence[str], summary: Path | None, pictures: Path, settings: Report
) -> str:
    """The page as HTML; its pictures are written."""
    sections = [_summary(summary, settings.headline)] if summary else []
    by_dataset: dict[str, list[str]] = {}
    for folder in shown:
        by_dataset.setdefault(folder.split("/")[0], []).append(folder)
    for dataset, folders in by_dataset.items():
        sections.append(f"<h2>{html.escape(dataset)}</h2>")
        store_ = results / dataset / "features.h5"
        sections.append(_missing(store_))
        annotated = results / dataset / "annotation.csv"
        truth = load_intervals(annotated) if annotated.exists() else None
        features = load(store_)
        made = "; ".join(sorted({feature.detectors for feature in features}))
        sections.append(f"<p>{len(features)} videos; {html.escape(made)}.</p>")
        for feature in progress(features, f"report {dataset}"):
            for folder in folders:
                run, method = results / folder, folder.split("/")[1]
                spotted = _of_video(load_intervals(run / "intervals.csv"), feature.video)
                known = None if truth is None else _of_video(truth, feature.video)
                picture = pictures / f"{dataset}_{feature.video}_{method}.png"
                with store.read(run / "curves.h5") as file:
                    curves = of_video(file, feature)
                if curves is None:
                    raise InputError(
                        f"{run / 'curves.h5'}: no video {feature.video}; run the stage spot again"
                    )
                timeline(feature, curves, known, spotted, picture, settings.dpi)
                sections.append(_figure(feature, method, known, spotted, picture))
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>mespot</title><style>{STYLE}</style>"
    return (
        f"{head}<h1>mespot: macro- and micro-expressions</h1>" + "\n".join(sections) + "</html>\n"
    )


def timeline(
    feature: Feature,
    curves: pd.DataFrame,
    annotated: pd.DataFrame | None,
    spotted: pd.DataFrame,
    path: Path,
    dpi: int,
) -> None:
    """One video's picture: motion of the regions, the method's curves, annotated and spotted bars.

    `curves` are a network's probabilities by channel, or each region's displacement.
    """
    seconds = np.arange(len(feature.mdmo)) / feature.fps
    end = max(seconds[-1], 1 / feature.fps)
    probable = "macro_apex" in curves
    heights = [1.6, *([1.3, 1.3] if probable else [2.6]), 0.9]
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(11, 6.4), sharex=True, height_ratios=heights
    )
    speed = np.linalg.norm(feature.mdmo, axis=2).T
    top = max(float(np.percentile(speed, 99.5)), 1e-6)
    extent = (0, end, len(speed) - 0.5, -0.5)
    axes[0].imshow(speed, aspect="auto", cmap="magma_r", vmin=0, vmax=top, extent=extent)
    names = [name.replace("_", " ") for name in feature.regions]
    axes[0].set_yticks(range(len(speed)), names, fontsize=6)
    axes[0].set_title("motion of each region", loc="right", fontsize=8)
    for axis, type_ in zip(axes[1:-1], TYPES if probable else (), strict=False):
        axis.plot(seconds, curves[f"{type_}_apex"], color=COLOURS[type_], lw=1.8, label="apex")
        axis.plot(seconds, curves[f"{type_}_onset"], color="#222222", lw=0.9, ls="-", label="onset")
        axis.plot(
            seconds, curves[f"{type_}_offset"], color="#222222", lw=0.9, ls=":", label="offset"
        )
        axis.set_ylim(0, 1.05)
        axis.set_ylabel(f"{type_}\nprobability")
        axis.legend(loc="upper right", fontsize=7, ncols=3, framealpha=0.8, edgecolor="none")
    if not probable:
        for name, size in curves.items():
            axes[1].plot(np.arange(len(size)) / feature.fps, size, lw=1, label=name)
        axes[1].set_ylabel("displacement")
        # Room for the legend above the curves.
        axes[1].set_ylim(0, 1.35 * float(np.nanmax(curves.to_numpy())) + 1e-6)
        axes[1].legend(loc="upper right", fontsize=5, ncols=4, framealpha=0.8, edgecolor="none")
    bars = axes[-1]
    rows = [("spotted", spotted)] + ([("annotated", annotated)] if annotated is not None else [])
    for y, (_, table) in enumerate(rows):
        for row in table.itertuples():
            start, length = row.onset / feature.fps, (row.offset - row.onset + 1) / feature.fps
            bars.broken_barh(
                [(start, length)], (y - 0.35, 0.7), color=COLOURS[row.type], alpha=0.85
            )
    bars.set_yticks(range(len(rows)), [name for name, _ in rows])
    bars.set_ylim(-0.6, len(rows) - 0.4)
    for axis in axes:
        for start, stop in runs(~feature.valid):
            axis.axvspan(start / feature.fps, stop / feature.fps, color=EXCLUDED, alpha=0.45, lw=0)
        axis.spines[["top", "right"]].set_visible(False)
    for type_ in TYPES:
        bars.barh(0, 0, color=COLOURS[type_], label=type_)
    if not feature.valid.all():
        bars.barh(0, 0, color=EXCLUDED, alpha=0.45, label="face covered or lost: left out")
    bars.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=3, fontsize=8, frameon=False)
    bars.set_xlabel("time (s)")
    bars.set_xlim(0, end)
    axes[0].set_title(f"{feature.video}", loc="left", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=dpi, metadata={"Software": None})
    plt.close(figure)


def _summary(summary: Path, headline: str) -> str:
    table = load_summary(summary)
    names = ["method", "dataset", "trained on", "selection", "protocol"]
    figures = [f"{kind} F1" for kind in KINDS]
    head = "".join(f"<th>{name}</th>" for name in (*names, *figures, "TP", "N", "M"))
    first = (table["protocol"] != headline) + 2 * (table["selection"] == "oracle")
    body = []
    for row in table.assign(first=first).sort_values("first", kind="stable").to_dict("records"):
        f1 = [_with_spread(row, kind) for kind in KINDS]
        counts = [whole(row[f"overall_{name}"]) for name in ("tp", "n", "m")]
        cells = [row[name.replace(" ", "_")] for name in names]
        mark = "" if row["first"] else " class=headline"
        cells = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in [*cells, *f1, *counts])
        body.append(f"<tr{mark}>{cells}</tr>")
    return (
        "<h2>F1</h2><p>Each row of one dataset: every subject spotted by a model that has not seen "
        "that subject, or by a method that is trained on nothing. Selection <b>last</b>: the last "
        "epoch, nothing was chosen; <b>inner</b>: epoch "
        "and thresholds chosen on other subjects of the training set; <b>oracle</b>: the epoch chosen "
        "on the left-out subject's own labels, which is no honest estimate. With several seeds: mean "
        f"&plusmn; standard deviation. Headline protocol: {html.escape(headline)}.</p>"
        f"<div class=scroll><table><tr>{head}</tr>{''.join(body)}</table></div>"
    )


def _with_spread(row: dict[str, Any], kind: str) -> str:
    spread = row[f"{kind}_f1_sd"]
    return f"{row[f'{kind}_f1']:.3f}" + ("" if np.isnan(spread) else f" \u00b1 {spread:.3f}")


def _missing(features: Path) -> str:
    failed = missing(features)
    if not failed:
        return ""
    lines = "".join(
        f"<li><b>{html.escape(video)}</b>: {html.escape(why.partition(chr(10))[2] or why)}</li>"
        for video, why in failed.items()
    )
    return f"<div class=note><p>{len(failed)} video(s) could not be prepared; they and their annotated expressions are in no score:</p><ul>{lines}</ul></div>"


def _figure(
    feature: Feature,
    method: str,
    annotated: pd.DataFrame | None,
    spotted: pd.DataFrame,
    picture: Path,
) -> str:
    counts = f"{len(spotted)} spotted"
    if annotated is not None:
        counts += f", {len(annotated)} annotated"
    lost = int((~feature.valid).sum())
    if lost:
        counts += f"; {lost} of {len(feature.valid)} frames left out (face covered or lost)"
    caption = html.escape(f"{feature.video}, subject {feature.subject}, method {method}: {counts}")
    return (
        f'<figure><img loading=lazy alt="{caption}" src="timelines/{html.escape(picture.name)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _of_video(table: pd.DataFrame, video: str) -> pd.DataFrame:
    return table[table["video"] == video]
