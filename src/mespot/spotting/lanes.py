"""lanes: stretches of a video in which something else happens: talking, blinks, head motion, no face.

What is found here is no expression by itself. It is told from the landmarks and the alignment alone,
sound is not used; published features tell none of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import find_peaks, peak_widths

from mespot.feature_store import Feature
from mespot.settings import Lanes
from mespot.spotting.displacement import running_median

LANES = {
    "talking": "the mouth opens and closes as in speech",
    "blink": "the lids close and open",
    "head": "the whole head moves",
    "left_out": "no face, a covered face, or a face turned away: nothing is spotted here",
}


def lanes(feature: Feature, settings: Lanes) -> dict[str, np.ndarray]:
    """Which frames (T,) bool belong to each of LANES."""
    n = len(feature.valid) + 1
    left_out = ~np.append(feature.valid, feature.valid[-1:])
    if feature.face is None:
        return dict.fromkeys(LANES, np.zeros(n, bool)) | {"left_out": left_out}
    openings = feature.face.openings / feature.inter_ocular
    return {
        "talking": talking(openings[:, 2], feature.fps, settings) & ~left_out,
        "blink": blinks(openings[:, :2].mean(1), feature.fps, settings) & ~left_out,
        "head": head_moves(feature.face.pose, feature.fps, settings) & ~left_out,
        "left_out": left_out,
    }


def talking(mouth: np.ndarray, fps: float, settings: Lanes) -> np.ndarray:
    """Frames (T,) bool of speech: the mouth's opening (T,) turns round often, for a while.

    An expression opens the mouth once and closes it; speech does so several times a second.
    """
    width = round(settings.talking_window * fps) | 1
    turns = np.zeros(len(mouth))
    turns[turning_points(mouth, settings.talking_swing)] = 1
    among, seen = (
        uniform_filter1d(each, width, mode="constant") for each in (turns, np.ones(len(turns)))
    )
    often = among / seen * fps >= settings.talking_turns
    return lasting(often, round(settings.talking_shortest * fps), round(settings.talking_gap * fps))


def turning_points(values: np.ndarray, swing: float) -> list[int]:
    """Where `values` (T,) turn round after rising or falling by at least `swing`, and before as much."""
    turns: list[int] = []
    low = high = 0  # since the last turn
    rising = None
    for t, value in enumerate(values):
        low, high = (t if value < values[low] else low), (t if value > values[high] else high)
        if rising is not False and values[high] - value >= swing:
            turns += [high] if rising else []
            rising, low = False, t
            high = t
        elif rising is not True and value - values[low] >= swing:
            turns += [low] if rising is False else []
            rising, high = True, t
            low = t
    return turns


def blinks(eyes: np.ndarray, fps: float, settings: Lanes) -> np.ndarray:
    """Frames (T,) bool of blinks: short dips of the eyes' opening (T,), in inter-ocular distances."""
    dip = running_median(eyes, round(fps)) - eyes
    longest = settings.blink_longest * fps
    at, about = find_peaks(dip, prominence=settings.blink_dip, width=(0, longest), rel_height=0.5)
    bases = tuple(about[name] for name in ("prominences", "left_bases", "right_bases"))
    _, _, begins, ends = peak_widths(dip, at, 0.5, bases)
    closed = np.zeros(len(eyes), bool)
    for begin, end in zip(begins, ends, strict=True):
        closed[round(begin) : round(end) + 1] = True
    return closed


def head_moves(pose: np.ndarray, fps: float, settings: Lanes) -> np.ndarray:
    """Frames (T,) bool in which the head moves fast: `pose` (T, 4) of `feature_store.Face`."""
    smooth = gaussian_filter1d(pose, settings.head_smooth * fps, axis=0, mode="nearest")
    speed = np.linalg.norm(np.gradient(smooth, axis=0), axis=1) * fps
    return (
        gaussian_filter1d(speed, settings.head_window * fps, mode="nearest") >= settings.head_speed
    )


def lasting(flags: np.ndarray, shortest: int, gap: int) -> np.ndarray:
    """`flags` (T,) with gaps of fewer than `gap` frames closed, then without runs under `shortest`."""
    flags = flags.copy()
    for start, stop in runs(~flags):
        if start > 0 and stop < len(flags) and stop - start < gap:
            flags[start:stop] = True
    for start, stop in runs(flags):
        if stop - start < shortest:
            flags[start:stop] = False
    return flags


def runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and stop (one past the last frame) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return ((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
