"""select: which epoch's weights, and which thresholds, a fold spots with.

`inner`: those that are best on inner left-out subjects. The subjects are dealt into groups; for each
pair of groups one training leaves out both. A fold's choice is made by the trainings that leave out
its own group and one other, on that other group: its subject takes no part in it.
`oracle`: the epoch that is best on the left-out subject's own labels, as in the published evaluation
(arXiv 2303.09114); it is not an honest estimate and stands beside one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mespot.datasets.layouts import ALL
from mespot.errors import InputError
from mespot.feature_store import Feature, load
from mespot.intervals import SELECTION_COLUMNS, TYPES, load_intervals, write_table
from mespot.networks.trained import load_epochs
from mespot.progress import progress
from mespot.score import PROTOCOLS, Count, count
from mespot.settings import Select, Spot
from mespot.spotting.network import probabilities, spot_type

# Least scores (start x apex x end) that `inner` chooses from, for each type on its own.
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
COUNTS = ["epoch", "subject", "type", "threshold", *Count._fields]


def select(
    policy: str,
    features: Path,
    annotation: Path,
    as_given: Path,
    epochs: Sequence[Path],
    network: str,
    out: Path,
    settings: Select,
    spotting: Spot,
) -> None:
    """Write the chosen epoch and thresholds of each fold, with the counts that they were chosen by.

    `epochs` are the trainings to choose by: those that left out two groups of subjects (`inner`), or
    the folds themselves (`oracle`). F1 is that of `settings.protocol`. Raises InputError where a fold
    has nothing to choose by.
    """
    table = load_intervals(as_given if PROTOCOLS[settings.protocol].as_given else annotation)
    truth = dict(list(table.groupby(["video", "type"])))
    stored = load(features)
    own = {type_: (getattr(spotting, f"min_{type_}"),) for type_ in TYPES}
    grid = dict.fromkeys(TYPES, THRESHOLDS) if policy == "inner" else own
    counts: dict[frozenset[str], pd.DataFrame] = {}
    for path in progress(epochs, f"select {policy}", len(epochs)):
        left_out, table = count_epochs(path, stored, truth, network, grid, settings, spotting)
        counts[left_out] = table
    folds = sorted({feature.subject for feature in stored}) + [ALL] * (policy == "inner")
    rows = []
    for fold in folds:
        known = to_choose_by(policy, fold, counts)
        if known.empty:
            raise InputError(
                f"{epochs[0]} and others: no training that left out {fold} is among them"
            )
        # The best F1; of equals the one that spots least; of equals the earliest.
        best = best_of_epochs(known).sort_values(
            ["f1", "n", "epoch"], ascending=[False, True, True]
        )
        rows.append({"fold": fold, **best.iloc[0].to_dict()})
    write_table(rows, SELECTION_COLUMNS, out)


def count_epochs(
    path: Path,
    stored: Sequence[Feature],
    truth: Mapping[tuple[str, str], pd.DataFrame],
    network: str,
    grid: Mapping[str, Sequence[float]],
    settings: Select,
    spotting: Spot,
) -> tuple[frozenset[str], pd.DataFrame]:
    """Whom a training left out, and how its epochs do on them with each threshold: COUNTS."""
    trained, states, left_out = load_epochs(path, network)
    lenient = spotting.model_copy(update={f"min_{type_}": min(grid[type_]) for type_ in TYPES})
    theirs = [feature for feature in stored if feature.subject in left_out]
    late = [epoch for epoch in states if epoch >= settings.first_epoch] or [max(states)]
    rows = []
    for epoch in late:
        one = trained.with_weights(states[epoch])
        for feature in theirs:
            windows = probabilities(one, feature)
            for type_ in TYPES:
                found = spot_type(windows, feature.valid, feature.fps, type_, lenient)
                spans = np.array([(p.onset, p.offset) for p in found], float).reshape(-1, 2)
                scores = np.array([p.score for p in found])
                known = truth.get((feature.video, type_))
                known = [] if known is None else known[["onset", "offset"]].to_numpy(float)
                for threshold in grid[type_]:
                    its = count(known, spans[scores >= threshold], settings.protocol)
                    rows.append((epoch, feature.subject, type_, threshold, *its))
    return frozenset(left_out), pd.DataFrame(rows, columns=COUNTS)


def to_choose_by(
    policy: str, fold: str, counts: Mapping[frozenset[str], pd.DataFrame]
) -> pd.DataFrame:
    """The counts that choose for a fold: for the oracle those of its own subject.

    For inner: of all trainings that left out its group and one other, those of the other groups'
    subjects; for the model of all subjects, those of all. Empty if there are none.
    """
    if policy == "oracle":
        return counts.get(frozenset([fold]), pd.DataFrame(columns=COUNTS))
    if fold == ALL:
        return pd.concat(counts.values())
    pairs = [left_out for left_out in counts if fold in left_out]
    own = frozenset.intersection(*pairs) if pairs else frozenset()
    parts = [counts[pair][~counts[pair]["subject"].isin(own)] for pair in pairs]
    return pd.concat(parts) if parts else pd.DataFrame(columns=COUNTS)


def best_of_epochs(counts: pd.DataFrame) -> pd.DataFrame:
    """For each epoch the pair of thresholds with the best F1 over both types."""
    names = list(Count._fields)
    summed = counts.groupby(["epoch", "type", "threshold"], as_index=False)[names].sum()
    both = [summed[summed["type"] == type_].drop(columns="type") for type_ in ("macro", "micro")]
    pairs = both[0].merge(both[1], on="epoch", suffixes=("", "_micro"))
    for name in names:
        pairs[name] += pairs.pop(f"{name}_micro")
    pairs = pairs.rename(columns={"threshold": "min_macro", "threshold_micro": "min_micro"})
    pairs["f1"] = 2 * pairs["tp"] / (pairs["n"] + pairs["m"]).clip(lower=1)
    ranked = pairs.sort_values(["epoch", "f1", "n"], ascending=[True, False, True], kind="stable")
    return ranked.groupby("epoch", as_index=False).first()
