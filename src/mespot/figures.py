"""figures: what a run reached and where it fails, as SVG and PNG for a paper, each with its data as CSV."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.style import context
from pydantic import FiniteFloat
from scipy.stats import binomtest

from mespot import resampling, store
from mespot.errors import InputError, damaged, reading
from mespot.intervals import ANNOTATION_COLUMNS, TYPES, load_intervals, load_table
from mespot.matches import FALSE, FOUND, MISSED, matches
from mespot.networks.graph import PLACES
from mespot.papers import charts
from mespot.papers.charts import ALL, BORDER, ENOUGH
from mespot.score import SUBJECT_COLUMNS, Count, count
from mespot.settings import Rate, Regions, Report
from mespot.store import checked, replacing

COUNTS = list(Count._fields)
POINTS = ("onset", "apex", "offset")
BINS, LEAST = 10, 10  # of scores, from 0 to 1; intervals that are in one after merging


class Run(NamedTuple):
    """The files that a run's figures are made of."""

    annotation: Path
    intervals: Path
    subjects: Path  # of `score`
    features: Path
    histories: Sequence[Path]  # folds/FOLD/history.csv, if it trained
    model: Path | None  # whose network has a fixed graph


class Drawn(NamedTuple):
    """One figure, and the very data that are drawn."""

    name: str
    title: str
    caption: str  # what is drawn, and how to read it
    alt: str  # what is seen, for who does not see it
    data: pd.DataFrame
    figure: Figure


def figures(
    run: Run, dataset: str, method: str, out: Path, settings: Report, listed: Path | None = None
) -> None:
    """Write into the folder `out` NAME.svg, NAME.png and NAME.csv of each figure, and `figures.json`,
    which `listed` has as well.

    That is a list of objects with dataset, method (METHOD, or METHOD/inner), name, title, caption and
    alt. Raises InputError.
    """
    with replacing(out) as folder, context(charts.STYLE):
        folder.mkdir()
        known = []
        for one in drawn(run, settings.headline):
            charts.save(one.figure, folder / one.name, one.title, one.alt)
            one.data.to_csv(folder / f"{one.name}.csv", index=False)
            told = {key: getattr(one, key) for key in ("name", "title", "caption", "alt")}
            known.append({"dataset": dataset, "method": method, **told})
        told = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
        (folder / "figures.json").write_text(told, encoding="utf-8")
    if listed:
        with replacing(listed) as temporary:
            temporary.write_text(told, encoding="utf-8")


def drawn(run: Run, protocol: str) -> Iterator[Drawn]:
    """Every figure of a run; F1 is that of the `protocol`, pairs are those of `strict`."""
    counts = load_table(run.subjects, SUBJECT_COLUMNS)
    annotated = load_intervals(run.annotation, ANNOTATION_COLUMNS[:6])
    spotted = load_intervals(run.intervals, (*ANNOTATION_COLUMNS[:6], "score"))
    rates = frame_rates(run.features)
    for path, table in ((run.annotation, annotated), (run.intervals, spotted)):
        if unknown := sorted({*table["video"]} - rates.keys()):
            raise InputError(f"{path}: video {unknown[0]} is not in {run.features}")
    truth, found = (
        table.assign(fps=table["video"].map(rates).astype(float))
        for table in matches(annotated, spotted)
    )
    yield f1_per_subject(counts[counts["protocol"] == protocol], protocol)
    yield precision_recall(annotated, spotted)
    yield durations(truth, found)
    yield overlaps(truth)
    yield boundary_errors(truth, found)
    yield reliability(found)
    if run.histories:
        yield training(run.histories)
    if run.model:
        yield from graph(run.model)


def frame_rates(features: Path) -> dict[str, float]:
    """Frames a second of each video in a feature store. Raises InputError."""
    with store.read(features) as file:
        return {
            video: store.attribute(group, "fps", Rate)
            for videos in store.groups(file).values()
            for video, group in store.groups(videos).items()
        }


def f1_per_subject(counts: pd.DataFrame, protocol: str) -> Drawn:
    """`counts`: subject, type, tp, n, m of one protocol."""
    each = counts.groupby(["subject", "type"], as_index=False)[COUNTS].sum()
    both = each.groupby("subject", as_index=False)[COUNTS].sum().assign(type="overall")
    each = pd.concat([each, both], ignore_index=True)
    intervals = each["n"] + each["m"]
    each["f1"] = 2 * each["tp"] / intervals.where(intervals > 0)
    overall = each[each["type"] == "overall"].sort_values(
        ["f1", "subject"], ascending=[False, True]
    )
    order = dict(zip(overall["subject"], range(len(overall)), strict=True))
    each = each.iloc[np.lexsort([each["type"], each["subject"].map(order)])]
    pooled = []
    for kind in ("overall", *TYPES):
        of_kind = each.loc[each["type"] == kind, COUNTS].to_numpy(float)
        low, high = resampling.interval([of_kind]) if len(of_kind) > 1 else (np.nan, np.nan)
        whole = of_kind.sum(0)
        pooled.append((ALL, kind, *whole.astype(int), resampling.f1(whole), low, high))
    columns = [*each, "low", "high"]
    data = pd.concat([each, pd.DataFrame(pooled, columns=columns)], ignore_index=True)
    said = ", ".join(f"{kind} {_f1(f1, low, high)}" for _, kind, *_, f1, low, high in pooled)
    f1s = overall["f1"].dropna()
    single = (
        f"; single subjects reach {f1s.min():.2f} to {f1s.max():.2f} overall" if len(f1s) else ""
    )
    return Drawn(
        "f1_per_subject",
        "F1 of each subject",
        f"F1 of each subject under protocol {protocol}, sorted by the overall F1; without a mark nothing was "
        "annotated and nothing spotted. Line: F1 of all subjects' counts together, with its 95 % interval over "
        "subjects drawn again (percentile bootstrap). Of a method with several seeds: the first.",
        f"F1 of {len(order)} subjects together: {said}{single}.",
        data,
        charts.f1_per_subject(data),
    )


def precision_recall(annotated: pd.DataFrame, spotted: pd.DataFrame) -> Drawn:
    rows, said = [], []
    for type_ in TYPES:
        truth, found = (table[table["type"] == type_] for table in (annotated, spotted))
        rows += [(type_, *row) for row in over_thresholds(truth, found)]
        if len(truth) and len(found):
            *_, precision, recall, f1 = rows[-1]
            said.append(f"{type_} precision {precision:.2f} at recall {recall:.2f} (F1 {f1:.2f})")
        else:
            said.append(f"{type_} none, with {len(truth)} annotated and {len(found)} spotted")
    columns = ["type", "threshold", *COUNTS, "precision", "recall", "f1"]
    data = pd.DataFrame(rows, columns=columns)
    return Drawn(
        "precision_recall",
        "Precision and recall over the threshold",
        "Precision and recall of the intervals whose score is at least a threshold (small marks), under protocol "
        "strict; large marks: all that was spotted. Intervals below the run's own thresholds were never written, so "
        "the curves end there. Pale: equal F1.",
        f"As spotted: {'; '.join(said)}.",
        data,
        charts.precision_recall(data),
    )


def over_thresholds(truth: pd.DataFrame, found: pd.DataFrame) -> list[tuple[float, ...]]:
    """Threshold, tp, n, m, precision, recall, F1 for each score of one type, the highest first.

    Nothing where nothing is annotated or spotted.
    """
    if not len(truth):
        return []
    spans = {
        video: rows[["onset", "offset"]].to_numpy(float) for video, rows in truth.groupby("video")
    }
    above: dict[str, list[tuple[float, float]]] = defaultdict(list)
    right: dict[str, int] = {}
    rows, n = [], 0
    for score, added in found.sort_values("score", ascending=False).groupby("score", sort=False):
        for row in added.itertuples():
            above[row.video].append((row.onset, row.offset))
        for video in set(added["video"]) & spans.keys():
            right[video] = count(spans[video], np.array(above[video]), "strict").tp
        tp, n = sum(right.values()), n + len(added)
        rows.append(
            (score, tp, n, len(truth), tp / n, tp / len(truth), Count(tp, n, len(truth)).f1)
        )
    return rows


def durations(truth: pd.DataFrame, found: pd.DataFrame) -> Drawn:
    """Of annotated and spotted intervals with their outcome and fps."""
    parts = []
    for of, table in (("annotated", truth), ("spotted", found)):
        seconds = (table["offset"] - table["onset"] + 1) / table["fps"]
        parts.append(
            table[["type", "subject", "video", "outcome"]].assign(of=of, duration_s=seconds)
        )
    data = pd.concat(parts, ignore_index=True).sort_values("type", kind="stable", ignore_index=True)
    said = []
    for type_ in TYPES:
        for of, outcome in (("annotated", FOUND), ("annotated", MISSED), ("spotted", FALSE)):
            its = data[(data["type"] == type_) & (data["of"] == of) & (data["outcome"] == outcome)]
            middle = f" (median {its['duration_s'].median():.2f} s)" if len(its) else ""
            said.append(f"{len(its)} {type_} {outcome}{middle}")
    return Drawn(
        "durations",
        "Durations of found, missed and false intervals",
        "Durations of annotated intervals (upwards) and of spotted ones (downwards), three bins to twice the "
        f"duration; dotted: {BORDER} s, the border between macro and micro. Pairs are those of protocol strict.",
        f"{', '.join(said)}.",
        data,
        charts.durations(data),
    )


def overlaps(truth: pd.DataFrame) -> Drawn:
    data = truth[["type", "subject", "video", "onset", "offset", "outcome", "iou"]]
    data = data.sort_values("type", kind="stable", ignore_index=True)
    said = []
    for type_ in TYPES:
        iou = data["iou"][data["type"] == type_]
        enough, nothing = (iou >= ENOUGH).sum(), (iou == 0).sum()
        said.append(
            f"{type_}, {len(iou)} annotated: {enough} are overlapped by at least {ENOUGH}, "
            f"{len(iou) - enough - nothing} by less, {nothing} by nothing"
        )
    return Drawn(
        "overlaps",
        "Overlap of each annotated expression",
        "For each annotated expression the largest intersection over union (IoU) with a spotted interval of the "
        f"same video and type; from {ENOUGH} on it can be found (dotted).",
        f"Best overlaps. {'; '.join(said)}.",
        data,
        charts.overlaps(data),
    )


def boundary_errors(truth: pd.DataFrame, found: pd.DataFrame) -> Drawn:
    paired = truth[truth["outcome"] == FOUND].reset_index(drop=True)
    partner = found.loc[paired["match"]].reset_index(drop=True)
    parts = [
        paired[["type", "subject", "video"]].assign(
            point=point, error_ms=1000 * (partner[point] - paired[point]) / paired["fps"]
        )
        for point in POINTS
    ]
    data = pd.concat(parts, ignore_index=True).sort_values("type", kind="stable", ignore_index=True)
    said = []
    for type_ in TYPES:
        its = data[data["type"] == type_]
        middle = its.groupby("point")["error_ms"].median()
        told = ", ".join(
            f"{point} {round(middle[point]):+d} ms" for point in POINTS if point in middle
        )
        said.append(
            f"{len(its) // len(POINTS)} {type_} found" + (f", median errors {told}" if told else "")
        )
    return Drawn(
        "boundary_errors",
        "Errors of onset, apex and offset",
        "How much later (right) or earlier (left) than annotated each found expression's onset, apex and offset "
        "were spotted; bars: median and middle half. A found one overlaps by at least half, so long ones can "
        "be farther off.",
        f"{'; '.join(said)}.",
        data,
        charts.boundary_errors(data),
    )


def reliability(found: pd.DataFrame) -> Drawn:
    """Of spotted intervals with score and outcome."""
    columns = ["type", "from", "to", "score", "n", "right", "share", "low", "high"]
    rows = [
        (type_, *row)
        for type_ in TYPES
        for row in bins(found["score"][found["type"] == type_], found["outcome"] == FOUND)
    ]
    data = pd.DataFrame(rows, columns=columns)
    said = []
    for type_ in TYPES:
        its = data[data["type"] == type_].to_dict("records")
        each = [f"{row['share']:.0%} of {row['n']} at a score of {row['score']:.2f}" for row in its]
        ends = " up to ".join(dict.fromkeys([*each[:1], *each[-1:]]))
        said.append(f"{type_}: {ends} are right" if each else f"{type_}: nothing spotted")
    return Drawn(
        "reliability",
        "How often an interval is right, by its score",
        f"Share of spotted intervals that are right (pairs of protocol strict), in bins of scores merged until "
        f"each has {LEAST}; number: how many; bars: 95 % interval (Wilson). Dotted: where a score is the "
        "probability to be right, which it means to be in methods of two stages alone.",
        f"{'; '.join(said)}.",
        data,
        charts.reliability(data),
    )


def bins(scores: pd.Series, right: pd.Series) -> Iterator[tuple[float, ...]]:
    """From, to, mean score, n, right, share of right and its 95 % interval, of each bin of scores.

    Neighbouring bins are merged until each has LEAST; fewer in all are one.
    """
    tenth = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    number = np.bincount(tenth, minlength=BINS)
    ends, held = [], 0
    for k, n in enumerate(number):
        held += n
        if held >= LEAST:
            ends, held = [*ends, k + 1], 0
    if held:  # too few are left above the last
        ends = [*ends[:-1], BINS]
    for low, high in zip([0, *ends], ends, strict=False):
        its = scores[(tenth >= low) & (tenth < high)]
        n, k = len(its), int(right[its.index].sum())
        share = binomtest(k, n).proportion_ci(method="wilson")
        yield low / BINS, high / BINS, its.mean(), n, k, k / n, share.low, share.high


def training(histories: Sequence[Path]) -> Drawn:
    """Of the folds' history.csv: epoch or step, loss."""
    time = "epoch" if "epoch" in load_table(histories[0], ["loss"]) else "step"
    parts = []
    for path in histories:
        parts.append(load_table(path, [time, "loss"]).assign(fold=path.parent.name))
        if not len(parts[-1]):
            raise damaged(path, "no row in it")
    data = pd.concat(parts, ignore_index=True)[["fold", time, "loss"]]
    mean = data.groupby(time)["loss"].mean()
    return Drawn(
        "training",
        "Training loss of each fold",
        "Mean training loss of each fold (thin), and the mean of all (bold); what is left out of a fold takes no "
        "part in its loss.",
        f"The mean training loss of {len(parts)} folds goes from {mean.iloc[0]:.3g} at {time} {mean.index[0]} "
        f"to {mean.iloc[-1]:.3g} at {time} {mean.index[-1]}.",
        data,
        charts.training(data),
    )


# What the links of a model's fixed graph are told by.
LINKED = {
    "co_occurrence": "from how often their action units are annotated together",
    "conditional": "where one moves in enough of the annotated expressions in which the other does",
    "distance": "by how near they lie on a face",
}


def graph(model: Path) -> Iterator[Drawn]:
    """Of a model with a fixed graph; nothing where it is not known where its regions lie."""
    regions, adjacency, kind = linked(model)
    if not {*regions} <= PLACES.keys():
        return
    data = pd.DataFrame(
        [(one, other, adjacency[i, j]) for i, one in enumerate(regions) for j, other in enumerate(regions)],
        columns=["region", "other", "weight"],
    )  # fmt: skip
    off = (adjacency + adjacency.T) / 2 * np.tri(len(regions), k=-1)
    i, j = np.unravel_index(off.argmax(), off.shape)
    yield Drawn(
        "graph",
        "Regions that move together",
        "The graph of the network of all subjects: the wider a line, the more two regions hear each other (mean of "
        f"both ways), {LINKED[kind]}; the darker a point, the more it hears itself alone. The person's right is on the "
        "left.",
        f"{len(regions)} regions of the face with {np.count_nonzero(off)} links"
        + (f", the strongest between {_words(regions[j])} and {_words(regions[i])} ({off.max():.2f})." if off.any() else "."),
        data,
        charts.graph(data),
    )  # fmt: skip


def linked(model: Path) -> tuple[tuple[str, ...], np.ndarray, str]:
    """The regions of a model, the adjacency (R, R) of its graph and its kind. Raises InputError."""
    from mespot.networks.trained import MODEL, read  # torch: seconds

    content = read(model)
    with reading(model, f"not {MODEL}"):
        regions = checked(content["regions"], Regions)
        if "adjacency" not in content:  # a buffer of the multi-scale network
            content["adjacency"] = content["state_dict"]["graph.adjacency"].tolist()
        adjacency = np.array(checked(content["adjacency"], list[list[FiniteFloat]]))
        if adjacency.shape != (len(regions), len(regions)):
            raise ValueError(f"adjacency {adjacency.shape} of {len(regions)} regions")
        if (adjacency < 0).any():
            raise ValueError("an adjacency below 0")
        kind = checked(content.get("graph", "co_occurrence"), Literal[*LINKED])
    return regions, adjacency, kind


def _f1(f1: float, low: float, high: float) -> str:
    bounds = f" (95 % interval {low:.3f} to {high:.3f})" if np.isfinite(low) else ""
    return f"{f1:.3f}{bounds}"


def _words(name: str) -> str:
    return name.replace("_", " ")
