"""candidates: intervals in which there may be an expression, more than there are, and what tells of each.

Where a region leaves its place and comes back, and where the network's curves begin and end. Recall is
what counts here; which of them are expressions is `evaluation`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import find_peaks, peak_widths

from mespot.intervals import overlaps
from mespot.networks.inputs import RATE, unit_of
from mespot.networks.multiscale import MARKS, PROBABILITIES, TYPES
from mespot.spotting.displacement import running_median

# Of displacement: s of its running median, how far a peak has come down at the ends, least prominence
# in the video's own units, standard deviation of the Gaussian over it in rows, s around a peak.
BASELINES, ENDS, PROMINENCE, SMOOTH, AROUND = (4.0, 8.0), (0.5, 0.67, 0.8), 0.4, 1.5, 8.0
BOUNDARY = 0.05  # least probability of an onset or offset that may be a candidate's end
LONGEST = 8.0  # s
# Rows that a candidate of each type may have: a bit beyond half a second on both sides.
ROWS = {"micro": (5, 16), "macro": (15, None)}
AGREES, MEETS = 0.5, 0.2  # IoU from which on a candidate says the same as another, or is its rival
NEAR = 2  # rows by which a curve's peak may lie beside a candidate's end
# Of the first look: what counts, to which power; the least score; overlap above which the weaker goes.
POWERS, LEAST, OVERLAP = {"onset": 0.2, "apex": 0.3, "offset": 0.2, "inside": 0.3}, 0.02, 0.75
WHERE = ("at most", "inside", "before", "after")
# Of the candidates around one: their first looks, how many agree with it, how it compares.
RIVALS = ("first looks that agree", "agreeing, log", "of the best around", "best of the other type")
# What tells of a candidate: of the eight probabilities, of its ends, of how the face moves, of its rivals.
TOLD = (
    *("length, log", "first look", "prominence"),
    *(f"{name} {where}" for where in WHERE for name in PROBABILITIES),
    *(f"{type_}_{end} there" for type_ in TYPES for end in ("onset", "offset")),
    *("onset as seen", "offset as seen", "apex"),
    *("extent of brows", "extent of nose", "extent of mouth", "extent", "way left"),
    *("speed, largest", "speed", "speed before", "speed after", "straightness"),
    *RIVALS,
)


class Candidates(NamedTuple):
    """Of one video and type: rows (N, 2) first and last, and what tells of each, (N, TOLD)."""

    rows: np.ndarray
    told: np.ndarray


class Seen(NamedTuple):
    """One video: the network's curves (12, T), flow (T, R, 2) and displacement (T, R, 2) in its own units."""

    curves: np.ndarray
    moved: np.ndarray
    place: np.ndarray
    parts: Mapping[str, Sequence[int]]
    peaks: np.ndarray  # (P, 3): first and last row, prominence


PARTS = {"brows": ("brow", "eye"), "nose": ("nose", "cheek"), "mouth": ("lip", "chin")}


def parts_of(regions: Sequence[str]) -> dict[str, list[int]]:
    """Which regions belong to which part of the face; all, where none is known by name."""
    found = {
        part: [k for k, name in enumerate(regions) if any(word in name for word in words)]
        for part, words in PARTS.items()
    }
    return {part: which or list(range(len(regions))) for part, which in found.items()}


def look(moved: np.ndarray, valid: np.ndarray, regions: Sequence[str]) -> Seen:
    """All that is known of a video before the curves, from its `steps`."""
    parts = parts_of(regions)
    found, places = [], []
    for seconds in BASELINES:
        place = np.cumsum(moved, 0)
        place = gaussian_filter1d(
            place - running_median(place, round(seconds * RATE)), SMOOTH, axis=0, mode="nearest"
        )
        places.append(place)
        sizes = np.linalg.norm(place, axis=2)
        unit = unit_of(sizes, valid) + 1e-9
        joint = [sizes[:, which] for which in (parts["brows"], parts["mouth"])] + [sizes]
        for size in [*sizes.T, *(np.sqrt((one**2).mean(1)) for one in joint)]:
            at, about = find_peaks(
                size / unit, prominence=PROMINENCE, wlen=round(AROUND * RATE) | 1
            )
            known = (about["prominences"], about["left_bases"], about["right_bases"])
            for down in ENDS if len(at) else ():
                _, _, first, last = peak_widths(size / unit, at, down, known)
                found.append(np.stack([np.rint(first), np.rint(last), about["prominences"]], 1))
    peaks = np.concatenate(found) if found else np.zeros((0, 3))
    unit = unit_of(np.linalg.norm(places[0], axis=2), valid) + 1e-9
    speed = unit_of(np.linalg.norm(moved, axis=2), valid) + 1e-9
    return Seen(np.zeros((12, 0)), moved / speed, places[0] / unit, parts, peaks)


def between(curves: np.ndarray, type_: str) -> np.ndarray:
    """Candidates (N, 3) from each peak of the onset's curve to each of the offset's, prominence 0."""
    begins, ends = (
        find_peaks(np.r_[0, curve_of(curves, type_, mark), 0], height=BOUNDARY)[0] - 1
        for mark in ("onset", "offset")
    )
    after = np.searchsorted(ends, begins, "right")
    until = np.searchsorted(ends, begins + LONGEST * RATE)
    found = []
    for first, *some in zip(begins, after, until, strict=True):
        last = ends[slice(*some)]
        found.append(np.stack([np.full(len(last), first), last, np.zeros(len(last))], 1))
    return np.concatenate(found) if found else np.zeros((0, 3))


def curve_of(curves: np.ndarray, type_: str, mark: str) -> np.ndarray:
    return curves[PROBABILITIES.index(f"{type_}_{mark}")]


def candidates(seen: Seen) -> dict[str, Candidates]:
    """The candidates of each type, and what tells of them."""
    found = {type_: passing(seen, type_) for type_ in TYPES}
    for type_, other in zip(TYPES, TYPES[::-1], strict=True):
        rows, told = found[type_]
        found[type_] = Candidates(
            rows, np.concatenate([told, rivals(found[type_], found[other])], 1)
        )
    return found


def passing(seen: Seen, type_: str) -> Candidates:
    """The candidates of a type that pass the first look, and what tells of each by itself."""
    n_rows = seen.curves.shape[1]
    found = np.concatenate([seen.peaks, between(seen.curves, type_)])
    found[:, :2] = found[:, :2].clip(0, n_rows - 1)
    least, most = ROWS[type_]
    length = found[:, 1] - found[:, 0] + 1
    found = found[(length >= least) & (length <= (most or np.inf))]
    # Of one interval found twice the most prominent stands.
    found = found[np.lexsort((-found[:, 2], found[:, 1], found[:, 0]))]
    found = found[np.unique(found[:, :2], axis=0, return_index=True)[1]]
    score = first_look(seen.curves, type_, found[:, :2].astype(int))
    found, score = found[score > LEAST], score[score > LEAST]
    kept = best(found[:, :2], score, OVERLAP)
    rows = found[kept, :2].astype(int)
    return Candidates(rows, tell(seen, type_, rows, score[kept], found[kept, 2]))


def best(rows: np.ndarray, score: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of those that overlap no better one by more than `overlap` (IoU), best first."""
    in_time, begins, ends = _in_time(rows, rows)
    begins, ends = begins[in_time], ends[in_time]
    first, last = rows[in_time].T
    length = last - first + 1
    stands, kept = np.ones(len(rows), bool), []
    for k in np.lexsort((first, -score[in_time])):
        if stands[k]:
            kept.append(in_time[k])
            near = slice(begins[k], ends[k])
            shared = np.minimum(last[near], last[k]) - np.maximum(first[near], first[k]) + 1
            union = length[near] + length[k] - shared
            stands[near] &= shared <= overlap * union
    return np.array(kept, int)


def agreed(rows: np.ndarray, probability: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The ends (K, 2) int that those of `kept` get: the mean of all that overlap it by AGREES (IoU) or more.

    Each counts by the square of its probability (box voting, arXiv 1505.01749, here over time).
    """
    found = np.zeros((len(kept), 2))
    for number, (k, near) in enumerate(zip(kept, neighbours(rows[kept], rows), strict=True)):
        weight = probability[near] ** 2 * (overlaps(rows[[k]], rows[near])[0] >= AGREES)
        found[number] = weight @ rows[near] / weight.sum()
    return np.rint(found).astype(int)


def neighbours(rows: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    """For each of `rows` (N, 2) the indices of those of `others` (M, 2) that may meet it, few of a long video's."""
    in_time, begins, ends = _in_time(rows, others)
    return (in_time[begin:end] for begin, end in zip(begins, ends, strict=True))


def _in_time(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of `others` (M, 2) in time, and from which to before which of them each of `rows` may meet some."""
    in_time = np.lexsort((others[:, 1], others[:, 0]))
    first, last = others[in_time].T
    # Only what begins at most the longest interval earlier can reach into another.
    begins = np.searchsorted(first, rows[:, 0] - (last - first + 1).max(initial=0))
    return in_time, begins, np.searchsorted(first, rows[:, 1], "right")


def first_look(curves: np.ndarray, type_: str, rows: np.ndarray) -> np.ndarray:
    """Onset, apex, offset and inside of the curves, less what is inside just around."""
    first, last = rows.T
    of = {mark: curve_of(curves, type_, mark) for mark in MARKS}
    value = {
        "onset": maximum_filter1d(of["onset"], 2 * NEAR + 1)[first],
        "apex": largest(of["apex"][None], rows)[0],
        "offset": maximum_filter1d(of["offset"], 2 * NEAR + 1)[last],
        "inside": mean(of["inside"][None], first, last + 1)[0],
    }
    before, after = around(of["inside"][None], rows)
    score = np.prod([value[mark] ** power for mark, power in POWERS.items()], axis=0)
    return score * np.exp(-(before[0] + after[0]) / 2)


def mean(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Means (C, N) of `values` (C, T) over rows begin to end - 1; 0 where there is none."""
    summed = np.pad(np.cumsum(values, 1, dtype=float), ((0, 0), (1, 0)))
    return (summed[:, end] - summed[:, begin]) / np.maximum(end - begin, 1)


def around(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (C, N) over a third of each interval before it, and after it."""
    first, last = rows.T
    wide = np.maximum(3, (last - first + 1) // 3)
    n_rows = values.shape[1]
    before = mean(values, np.maximum(first - wide, 0), first)
    return before, mean(values, last + 1, np.minimum(last + 1 + wide, n_rows))


def largest(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The largest (C, N) of `values` (C, T) inside each interval."""
    found = np.zeros((len(values), len(rows)))
    if len(rows):
        # In time: `reduceat` goes over what lies between an interval and the next one, too.
        in_time = np.argsort(rows[:, 0], kind="stable")
        ends = (rows[in_time] + np.array([0, 1])).ravel()
        padded = np.pad(values, ((0, 0), (0, 1)), constant_values=-np.inf)
        found[:, in_time] = np.maximum.reduceat(padded, ends, axis=1)[:, ::2]
    return found


def tell(
    seen: Seen, type_: str, rows: np.ndarray, score: np.ndarray, prominence: np.ndarray
) -> np.ndarray:
    """What tells of each interval by itself, (N, TOLD less RIVALS) float64."""
    first, last = rows.T
    length = last - first + 1
    told = {"length, log": np.log(length), "first look": score, "prominence": prominence}
    told |= _of_curves(seen.curves[: len(PROBABILITIES)], rows)
    # Where the rows of its middle third see its ends.
    t = np.arange(seen.curves.shape[1])
    since, until = seen.curves[len(PROBABILITIES) + 2 * TYPES.index(type_) :][:2]
    third = length // 3
    ends = mean(
        np.stack([t - np.expm1(since), t + np.expm1(until)]), first + third, last + 1 - third
    )
    told |= {
        "onset as seen": (ends[0] - first) / length,
        "offset as seen": (ends[1] - last) / length,
    }
    apex = curve_of(seen.curves, type_, "apex")
    weight = mean(np.stack([apex, apex * t]), first, last + 1)
    told["apex"] = (weight[1] / (weight[0] + 1e-9) - first) / length
    told |= _of_motion(seen, rows)
    return np.stack([told[name] for name in TOLD[: -len(RIVALS)]], 1)


def rivals(own: Candidates, other: Candidates) -> np.ndarray:
    """What the candidates around each tell of it, RIVALS: those of its own type, and of the other."""
    look, others_look = (one.told[:, TOLD.index("first look")] for one in (own, other))
    told = np.zeros((len(own.rows), len(RIVALS)))
    around = (neighbours(own.rows, one.rows) for one in (own, other))
    for k, (near, beside) in enumerate(zip(*around, strict=True)):
        overlap = overlaps(own.rows[[k]], own.rows[near])[0]
        agree = overlap >= AGREES
        met = others_look[beside[overlaps(own.rows[[k]], other.rows[beside])[0] > MEETS]]
        told[k] = (
            look[near[agree]].sum(),
            np.log(agree.sum()),
            look[k] / look[near[overlap > MEETS]].max(),
            met.max(initial=0),
        )
    return told


def _of_curves(probable: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Each probability (8, T) in and around each interval, and those of ends at its ends."""
    first, last = rows.T
    values = (largest(probable, rows), mean(probable, first, last + 1), *around(probable, rows))
    told = {
        f"{name} {where}": value
        for where, of_each in zip(WHERE, values, strict=True)
        for name, value in zip(PROBABILITIES, of_each, strict=True)
    }
    for name, curve in zip(PROBABILITIES, probable, strict=True):
        if name.endswith(("onset", "offset")):
            at = first if name.endswith("onset") else last
            told[f"{name} there"] = maximum_filter1d(curve, 2 * NEAR + 1)[at]
    return told


def _of_motion(seen: Seen, rows: np.ndarray) -> dict[str, np.ndarray]:
    """How far each part of the face goes, and whether it comes back; how fast and how straight."""
    first, last = rows.T

    def sizes(flat: np.ndarray) -> np.ndarray:
        return np.hypot(*flat.reshape(*seen.place.shape[1:], len(rows)).transpose(1, 0, 2))

    flat = seen.place.reshape(len(seen.place), -1).T
    extent = sizes(largest(flat, rows) + largest(-flat, rows))
    told = {f"extent of {part}": extent[which].max(0) for part, which in seen.parts.items()}
    told["extent"] = np.sort(extent, 0)[-4:].mean(0)
    told["way left"] = np.linalg.norm(seen.place[last] - seen.place[first], axis=2).max(1)
    speed = np.linalg.norm(seen.moved, axis=2).T
    inside = mean(speed, first, last + 1)
    before, after = around(speed, rows)
    told |= {"speed, largest": inside.max(0), "speed": inside.mean(0)}
    told |= {"speed before": before.mean(0), "speed after": after.mean(0)}
    gone = sizes(mean(seen.moved.reshape(len(seen.moved), -1).T, first, last + 1))
    told["straightness"] = (gone / (inside + 1e-9)).mean(0)
    return told
