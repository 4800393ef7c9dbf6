"""score: F1 of spotted against annotated intervals under each named protocol (docs/protocols.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mespot.errors import InputError
from mespot.intervals import NEEDED, TYPES, load_intervals, overlaps, write_table


class Protocol(NamedTuple):
    """How overlap is measured, when it is enough, and what counts as true positive."""

    inclusive: bool  # whether an interval has offset - onset + 1 frames, or one less
    enough: Callable[[np.ndarray], np.ndarray]  # on intersection over union
    true: Callable[[np.ndarray, np.ndarray], int]  # TP from hits (M, N) bool and overlaps (M, N)
    as_given: bool  # whether annotated frames count as they were given, an offset of 0 included


class Count(NamedTuple):
    tp: int
    n: int  # spotted intervals
    m: int  # annotated intervals

    @property
    def f1(self) -> float:
        """2 TP / (N + M); 0 where there is nothing at all."""
        return 2 * self.tp / (self.n + self.m) if self.n + self.m else 0.0

    def __add__(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    def as_dict(self) -> dict[str, float]:
        return {**self._asdict(), "f1": self.f1}


def one_to_one(hits: np.ndarray, overlap: np.ndarray) -> int:
    """The largest number of pairs in which each interval stands once."""
    return int((maximum_bipartite_matching(csr_array(hits), perm_type="column") >= 0).sum())


def annotated_hit(hits: np.ndarray, overlap: np.ndarray) -> int:
    """Annotated intervals that some spotted one hits."""
    return int(hits.any(1).sum())


def spotted_hit(hits: np.ndarray, overlap: np.ndarray) -> int:
    """Spotted intervals that hit some annotated one."""
    return int(hits.any(0).sum())


def best_match(hits: np.ndarray, overlap: np.ndarray) -> int:
    """Distinct spotted intervals that are the best match of some annotated one, and hit it."""
    best = overlap.argmax(1)
    return len(set(best[hits[np.arange(len(best)), best]]))


def at_least_half(overlap: np.ndarray) -> np.ndarray:
    return overlap >= 0.5


def more_than_half(overlap: np.ndarray) -> np.ndarray:
    return overlap > 0.5


SUBJECT_COLUMNS = ["protocol", "subject", "type", *Count._fields]

PROTOCOLS = {
    "strict": Protocol(True, at_least_half, one_to_one, False),
    "megc2020": Protocol(True, at_least_half, annotated_hit, False),
    "auw_gcn": Protocol(False, more_than_half, spotted_hit, True),
    "auw_gcn_distinct": Protocol(False, more_than_half, best_match, True),
}


def score(annotated: pd.DataFrame, spotted: pd.DataFrame, protocol: str) -> dict[str, Count]:
    """Counts for `macro`, `micro` and `overall`, added up over videos and types.

    Both tables need the columns video, type, onset, offset; intervals are inclusive frames.
    """
    counts = {}
    for type_ in TYPES:
        truth = dict(list(annotated[annotated["type"] == type_].groupby("video")))
        found = dict(list(spotted[spotted["type"] == type_].groupby("video")))
        total = Count(0, 0, 0)
        for video in sorted({*truth, *found}):
            total += count(_intervals(truth.get(video)), _intervals(found.get(video)), protocol)
        counts[type_] = total
    counts["overall"] = counts["macro"] + counts["micro"]
    return counts


def by_subject(annotated: pd.DataFrame, spotted: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """`tp`, `n` and `m` of each `subject` and `type`; the tables of `score` with a column subject."""
    rows = []
    for subject in sorted({*annotated["subject"], *spotted["subject"]}):
        theirs = (table[table["subject"] == subject] for table in (annotated, spotted))
        counts = score(*theirs, protocol)
        rows += [(subject, type_, *counts[type_]) for type_ in TYPES]
    return pd.DataFrame(rows, columns=["subject", "type", *Count._fields])


def pairs(truth: np.ndarray, found: np.ndarray) -> list[tuple[int, int]]:
    """Which annotated interval (M, 2) each of the spotted (N, 2) is, under `strict`: pairs of indices.

    As many as `strict` counts, and of these the ones that overlap most.
    """
    overlap = overlaps(truth, found)
    hits = at_least_half(overlap)
    # One pair more outweighs any overlap that is lost by it.
    chosen = linear_sum_assignment(hits * (1 + overlap / (1 + min(overlap.shape))), maximize=True)
    return [(int(i), int(j)) for i, j in zip(*chosen, strict=True) if hits[i, j]]


def score_files(
    annotation: Path,
    as_given: Path | None,
    intervals: Sequence[Path],
    protocols: Sequence[str],
    videos: Collection[str] | None = None,
    subjects: Path | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores by protocol and type of CSV files of the contract's form; see `score`.

    `as_given`, if there is one, stands instead of `annotation` for the protocols that take frames as
    they were given. What was spotted in others than these `videos` does not count. `subjects` is where to
    write the counts of each subject, if they are wanted. Raises InputError for an unknown protocol or a
    file without the needed columns.
    """
    protocols = [
        *dict.fromkeys(protocols)
    ]  # or each subject counts twice in the intervals of confidence
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise InputError(f"protocol {protocol!r}; one of {', '.join(PROTOCOLS)} was expected")
    needed = (*NEEDED, "subject") if subjects else NEEDED
    repaired = load_intervals(annotation, needed)
    given = repaired if as_given is None else load_intervals(as_given, needed)
    spotted = pd.concat([load_intervals(path, needed) for path in intervals], ignore_index=True)
    if videos is not None:
        spotted = spotted[spotted["video"].isin(videos)]
    scores, apart = {}, []
    for protocol in protocols:
        annotated = given if PROTOCOLS[protocol].as_given else repaired
        counts = score(annotated, spotted, protocol)
        scores[protocol] = {name: one.as_dict() for name, one in counts.items()}
        if subjects:
            apart.append(by_subject(annotated, spotted, protocol).assign(protocol=protocol))
    if subjects:
        write_table(pd.concat(apart), SUBJECT_COLUMNS, subjects)
    return scores


def count(truth: np.ndarray, found: np.ndarray, protocol: str) -> Count:
    """The counts of one video and type, from intervals (M, 2) and (N, 2)."""
    rules = PROTOCOLS[protocol]
    if not len(truth) or not len(found):
        return Count(0, len(found), len(truth))
    overlap = overlaps(truth, found, rules.inclusive)
    return Count(rules.true(rules.enough(overlap), overlap), len(found), len(truth))


def _intervals(table: pd.DataFrame | None) -> np.ndarray:
    if table is None:
        return np.zeros((0, 2))
    return table[["onset", "offset"]].to_numpy(float)
