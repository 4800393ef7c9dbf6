"""lanes: stretches of a video in which something else happens: talking, blinks, head motion, no face.

What is found here is no expression by itself. It is told from the landmarks and the alignment alone,
sound is not used; published features tell none of it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from mespot.feature_store import Feature
from mespot.settings import Lanes
from mespot.spotting.displacement import running_median
from mespot.stretches import closed, runs

LANES = {
    "talking": "the mouth opens and closes as in speech",
    "blink": "the lids close and open",
    "head": "the whole head moves",
    "left_out": "no face, a covered face, or a face turned away: nothing is spotted here",
}


def lanes(feature: Feature, settings: Lanes) -> dict[str, np.ndarray]:
    """Which frames (T,) bool belong to each of LANES."""
    left_out = ~feature.seen
    if feature.face is None:
        return dict.fromkeys(LANES, np.zeros(len(left_out), bool)) | {"left_out": left_out}
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
    """Frames (T,) bool of blinks: short dips of the eyes' opening (T,), in inter-ocular distances.

    A dip that lasts longer than half the median's window is the median itself; a row of dips is not, and
    has a width.
    """
    longest = settings.blink_longest * fps
    dip = running_median(eyes, round(2 * longest)) - eyes
    _, about = find_peaks(dip, prominence=settings.blink_dip, width=(0, longest), rel_height=0.5)
    shut = np.zeros(len(eyes), bool)
    for begin, end in zip(about["left_ips"], about["right_ips"], strict=True):
        shut[round(begin) : round(end) + 1] = True
    return shut


def head_moves(pose: np.ndarray, fps: float, settings: Lanes) -> np.ndarray:
    """Frames (T,) bool in which the head moves fast: `pose` (T, 4) of `feature_store.Face`."""
    smooth = gaussian_filter1d(pose, settings.head_smooth * fps, axis=0, mode="nearest")
    speed = np.linalg.norm(np.gradient(smooth, axis=0), axis=1) * fps
    return (
        gaussian_filter1d(speed, settings.head_window * fps, mode="nearest") >= settings.head_speed
    )


def lasting(flags: np.ndarray, shortest: int, gap: int) -> np.ndarray:
    """`flags` (T,) with gaps of fewer than `gap` frames closed, then without runs under `shortest`."""
    flags = closed(flags, gap)
    for start, stop in runs(flags):
        if stop - start < shortest:
            flags[start:stop] = False
    return flags
