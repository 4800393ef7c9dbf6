"""The tables of docs/method.md: each half of the subjects, intervals by resampling subjects, paired with other methods.

    python benchmarks/method_table.py RESULTS [--all INTERVALS_CSV] [--picture PNG]

RESULTS is what `snakemake --configfile paper.yaml` made. --all are two_stage's intervals from a least probability of
0 on (`mespot spot ... --settings '{"least": 0}'`): average precision and the reliability diagram are made of them.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mespot import store
from mespot.evaluate import matched
from mespot.feature_store import load
from mespot.intervals import TYPES, load_intervals, overlaps
from mespot.matches import FOUND, matches
from mespot.resampling import f1, resampled
from mespot.score import by_subject

HALVES = Path(__file__).with_name("halves.csv")
PARTS = ("cas_me_sq", "samm_lv")
IOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def of_type(counts: pd.DataFrame, type_: str, subjects: Iterable[str]) -> np.ndarray:
    """(subjects, 3) of one type, or of both."""
    chosen = counts if type_ == "overall" else counts[counts["type"] == type_]
    summed = chosen.groupby("subject")[["tp", "n", "m"]].sum()
    return summed.reindex(list(subjects), fill_value=0).to_numpy()


class Table:
    """Counts of several methods, by the same resamples of the same subjects."""

    def __init__(self, halves: pd.DataFrame, counts: dict[str, pd.DataFrame]):
        self.halves, self.counts = halves, counts

    def figures(
        self, method: str, type_: str, parts: tuple[str, ...], half: str | None
    ) -> np.ndarray:
        """F1 of all, then of each resample."""
        those = self.halves if half is None else self.halves[self.halves["half"] == half]
        subjects = [those.loc[those["dataset"] == part, "subject"].tolist() for part in parts]
        counts = [of_type(self.counts[method], type_, names) for names in subjects]
        return np.concatenate([[f1(sum(part.sum(0) for part in counts))], resampled(counts)])

    def cell(self, method: str, type_: str, parts: tuple[str, ...], half: str | None) -> str:
        values = self.figures(method, type_, parts, half)
        low, high = np.percentile(values[1:], [2.5, 97.5])
        return f"{values[0]:.3f} [{low:.3f}, {high:.3f}]"

    def paired(self, one: str, other: str) -> str:
        """How much better one is, pooled over all, and p, two-sided: how seldom resamples lie beyond 0.

        Models are as they were trained once: what another training changes is not in it.
        """
        apart = self.figures(one, "overall", PARTS, None) - self.figures(
            other, "overall", PARTS, None
        )
        low, high = np.percentile(apart[1:], [2.5, 97.5])
        beyond = min((apart[1:] <= 0).sum(), (apart[1:] >= 0).sum())
        p = min(1, 2 * (1 + beyond) / len(apart))
        return f"{apart[0]:+.3f} [{low:+.3f}, {high:+.3f}], p = {p:.4f}"


def of_method(results: Path, method: str) -> pd.DataFrame | None:
    """The intervals of a method: trained on both together, or on each for itself."""
    together = results / "both" / method / "intervals.csv"
    apart = [results / part / method / "intervals.csv" for part in PARTS]
    files = [together] if together.exists() else apart
    if not all(file.exists() for file in files):
        return None
    return pd.concat([load_intervals(file, ("subject", "score")) for file in files])


def hits(annotated: pd.DataFrame, spotted: pd.DataFrame, iou: float = 0.5) -> pd.DataFrame:
    """Score and whether it is right of each interval, the best first in each video."""
    truth = {
        key: rows[["onset", "offset"]].to_numpy(float)
        for key, rows in annotated.groupby(["video", "type"])
    }
    rows = []
    for key, found in spotted.groupby(["video", "type"]):
        found = found.sort_values("score", ascending=False, kind="stable")
        spans = found[["onset", "offset"]].to_numpy(float)
        right = matched(spans, truth.get(key, np.zeros((0, 2))), iou)
        rows.append(pd.DataFrame({"type": key[1], "score": found["score"], "right": right}))
    return pd.concat(rows)


def average_precision(found: pd.DataFrame, annotated: int) -> float:
    """The area under precision over recall, precision made to fall (as in THUMOS and ActivityNet)."""
    right = found.sort_values("score", ascending=False, kind="stable")["right"].to_numpy()
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * right).sum() / annotated)


def per_frame(results: Path, method: str, annotated: pd.DataFrame) -> dict[str, float]:
    """ROC-AUC of 'inside' over all frames."""
    from sklearn.metrics import roc_auc_score

    truth = {
        key: rows[["onset", "offset"]].to_numpy(int)
        for key, rows in annotated.groupby(["video", "type"])
    }
    said, inside = ({type_: [] for type_ in TYPES} for _ in range(2))
    with store.read(results / "both" / method / "curves.h5") as file:
        for feature in load(results / "both" / "features.h5"):
            channels = store.attribute(file[feature.video], "channels", list[str])
            for type_ in TYPES:
                said[type_].append(file[feature.video][:, channels.index(f"{type_}_inside")])
                flags = np.zeros(len(feature.mdmo), bool)
                for onset, offset in truth.get((feature.video, type_), ()):
                    flags[onset : offset + 1] = True
                inside[type_].append(flags)
    return {
        type_: roc_auc_score(np.concatenate(inside[type_]), np.concatenate(said[type_]))
        for type_ in TYPES
    }


def errors(annotated: pd.DataFrame, spotted: pd.DataFrame) -> pd.Series:
    """What each annotated interval that is not found, and each spotted one that is false, is."""
    annotated, spotted = matches(annotated, spotted)
    kinds = []
    for video in sorted({*annotated["video"], *spotted["video"]}):
        truth, found = (table[table["video"] == video] for table in (annotated, spotted))
        spans = [table[["onset", "offset"]].to_numpy(float) for table in (truth, found)]
        same = truth["type"].to_numpy()[:, None] == found["type"].to_numpy()
        overlap = (
            overlaps(*spans) if len(truth) and len(found) else np.zeros((len(truth), len(found)))
        )
        own = np.where(same, overlap, 0)
        for k in range(len(truth)):
            if truth["outcome"].iloc[k] == FOUND:
                continue
            if np.where(~same[k], overlap[k], 0).max(initial=0) >= 0.5:
                kinds.append(("annotated", truth["type"].iloc[k], "spotted as the other type"))
            elif own[k].max(initial=0) > 0:
                near = own[k].argmax()
                longer = np.ptp(spans[1][near]) > np.ptp(spans[0][k])
                what = (
                    "ends misplaced, spotted too long"
                    if longer
                    else "ends misplaced, spotted too short"
                )
                kinds.append(("annotated", truth["type"].iloc[k], what))
            else:
                kinds.append(("annotated", truth["type"].iloc[k], "missed"))
        for k in range(len(found)):
            if found["outcome"].iloc[k] != FOUND:
                what = "touches one" if overlap[:, k].max(initial=0) > 0 else "false"
                kinds.append(("spotted", found["type"].iloc[k], what))
    return pd.Series(kinds).value_counts().sort_index()


def draw(found: pd.DataFrame, out: Path) -> None:
    """How often an interval is right, by the probability that it is said to be."""
    figure, axes = plt.subplots(figsize=(4.5, 4.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for type_, colour in (("macro", "tab:blue"), ("micro", "tab:orange")):
        its = found[found["type"] == type_]
        bins = np.minimum((its["score"] * 10).astype(int), 9)
        shown = its.groupby(bins).agg(
            score=("score", "mean"), right=("right", "mean"), n=("right", "size")
        )
        shown = shown[shown["n"] >= 10]
        spread = 1.96 * np.sqrt(shown["right"] * (1 - shown["right"]) / shown["n"])
        axes.errorbar(
            shown["score"], shown["right"], spread, marker="o", color=colour, label=type_, capsize=2
        )
        for row in shown[shown["score"] > 0.05].itertuples():
            place = (6, -4) if type_ == "macro" else (6, 6)
            axes.annotate(
                row.n,
                (row.score, row.right),
                place,
                fontsize=7,
                color=colour,
                textcoords="offset points",
            )
    axes.set(xlabel="probability said", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(out, dpi=120)


def main(arguments: argparse.Namespace) -> None:
    results = arguments.results
    halves = pd.read_csv(HALVES, dtype=str)
    annotated = pd.concat(
        [load_intervals(results / part / "annotation.csv", ("subject",)) for part in PARTS]
    )
    methods = ("two_stage", "one_seed", "mespot", "published", "displacement")
    spotted = {name: of_method(results, name) for name in methods}
    spotted = {name: table for name, table in spotted.items() if table is not None}
    table = Table(
        halves, {name: by_subject(annotated, one, "strict") for name, one in spotted.items()}
    )
    names = [("cas_me_sq", PARTS[:1]), ("samm_lv", PARTS[1:]), ("pooled", PARTS)]
    for half in (None, "chosen_on", "kept_aside"):
        print(
            f"\n{half or 'all subjects'}\n\n| method | dataset | macro | micro | overall |\n|---|---|---|---|---|"
        )
        for method in spotted:
            for name, parts in names:
                cells = (table.cell(method, type_, parts, half) for type_ in (*TYPES, "overall"))
                print(f"| {method} | {name} | {' | '.join(cells)} |")
    print()
    best, *others = spotted
    for other in others:
        print(f"{best} less {other}, overall, pooled: {table.paired(best, other)}")
    print(f"\n{errors(annotated, spotted[best]).to_string()}\n")
    print("ROC-AUC per frame:", per_frame(results, best, annotated))
    if arguments.all:
        everything = load_intervals(arguments.all, ("subject", "score"))
        of_part = dict(zip(halves["subject"], halves["dataset"], strict=True))
        for part in PARTS:
            truth, found = (
                each[each["subject"].map(of_part) == part] for each in (annotated, everything)
            )
            for type_ in TYPES:
                m = (truth["type"] == type_).sum()
                values = []
                for iou in IOUS:
                    its = hits(truth, found, iou)
                    values.append(average_precision(its[its["type"] == type_], m))
                listed = ", ".join(f"{value:.3f}" for value in values)
                print(
                    f"average precision {part} {type_} at IoU {IOUS}: {listed}; mean {np.mean(values):.3f}"
                )
                its = found[found["type"] == type_]
                right = hits(truth, its)["right"].sum()
                print(
                    f"expected to be right {part} {type_}: {its['score'].sum():.0f}, right: {right}"
                )
        if arguments.picture:
            draw(hits(annotated, everything), arguments.picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--all", type=Path)
    parser.add_argument("--picture", type=Path)
    main(parser.parse_args())
