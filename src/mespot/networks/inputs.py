"""inputs: what the multi-scale network sees of a video, and where its rows lie in time.

How a face moves is told at several scales of time: the flow itself, its sums over a few rows, and how far
a region is from where it was on average. None has a unit: each is measured by the video's own size of
it, so that videos with and without a known face size, near and far faces go together; all are taken at
one rate, so that 25 and 30 frames/s do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from mespot.feature_store import Feature

RATE = 30.0  # rows a second
SUMS = (0.13, 0.33, 0.8)  # s over which flow is summed
BASELINE = 4.0  # s over which a region's place is averaged
CHANNELS = 2 + len(SUMS)  # of each region and axis: flow, sums, displacement
SCALE = 80  # percentile of a video's sizes that is their unit
# A region that hardly moves is measured by this part of the unit of all, or its noise would be large.
QUIET = 0.25
LARGEST = 6.0  # units


def steps(feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """The flow (T, R, 2) at RATE, of each of its rows the way gone meanwhile; where the face is seen (T,) bool."""
    if feature.fps == RATE:
        return feature.mdmo.astype(float), feature.valid
    gone = np.concatenate([np.zeros_like(feature.mdmo[:1]), np.cumsum(feature.mdmo, 0)]).astype(
        float
    )
    n = max(1, round(len(feature.mdmo) * RATE / feature.fps))
    at = np.linspace(0, len(feature.mdmo), n + 1)
    left = np.minimum(at.astype(int), len(feature.mdmo) - 1)
    part = (at - left)[:, None, None]
    moved = np.diff(gone[left] * (1 - part) + gone[left + 1] * part, axis=0)
    return moved, feature.valid[np.arange(n) * len(feature.valid) // n]


def to_rows(frames: np.ndarray, fps: float) -> np.ndarray:
    """Intervals (N, 2) in frames, inclusive, as first and last row at RATE (not rounded)."""
    return np.stack([frames[:, 0], frames[:, 1] + 1], 1) * RATE / fps - np.array([0, 1])


def to_frames(rows: np.ndarray, fps: float) -> np.ndarray:
    """The other way, (N, 2) int."""
    ends = (np.asarray(rows) + np.array([0, 1])) * fps / RATE
    first = np.rint(ends[:, 0]).astype(int)
    return np.stack([first, np.maximum(np.rint(ends[:, 1]).astype(int) - 1, first)], 1)


def inputs(moved: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`steps` (T, R, 2) -> (T, R, 2 * CHANNELS) float32 without unit."""
    flat = moved.reshape(len(moved), -1)
    scaled = np.stack([_scaled(one, valid) for one in _channels(flat)], 1)
    scaled = scaled.reshape(len(moved), CHANNELS, -1, 2).transpose(0, 2, 1, 3)
    return scaled.reshape(len(moved), moved.shape[1], -1)


def _channels(flat: np.ndarray) -> Iterator[np.ndarray]:
    """One at a time: all of a long video would be many times its features."""
    yield flat
    for seconds in SUMS:
        yield _summed(flat, round(seconds * RATE))
    place = np.cumsum(flat, 0)
    yield place - _mean(place, round(BASELINE * RATE))


def _scaled(channel: np.ndarray, valid: np.ndarray) -> np.ndarray:
    sizes = np.abs(channel)
    unit = unit_of(sizes, valid, axis=0)
    unit = np.maximum(unit, QUIET * unit_of(sizes, valid) + 1e-6)
    return np.clip(channel / (2 * unit), -LARGEST, LARGEST).astype(np.float32)


def unit_of(sizes: np.ndarray, valid: np.ndarray, axis: int | None = None) -> np.ndarray:
    """What sizes (T, ...) of a video are measured by: where the face is not seen, nothing moves, and that does not count."""
    return np.percentile(sizes[valid] if valid.any() else sizes, SCALE, axis=axis)


def _summed(values: np.ndarray, width: int) -> np.ndarray:
    """Sums over `width` rows around each; beyond the ends nothing moves."""
    return uniform_filter1d(values, width, axis=0, mode="constant") * width


def _mean(values: np.ndarray, width: int) -> np.ndarray:
    """Means over those of `width` rows around each that there are."""
    there = uniform_filter1d(np.ones(len(values)), width, mode="constant")
    return uniform_filter1d(values, width, axis=0, mode="constant") / there[:, None]


def mirrored(inputs: np.ndarray, regions: Sequence[str]) -> np.ndarray:
    """The same face in a mirror: (T, R, C) with left and right regions exchanged and x turned round."""
    swap = {"left": "right", "right": "left"}
    names = ["_".join(swap.get(part, part) for part in name.split("_")) for name in regions]
    other = [regions.index(name) if name in regions else k for k, name in enumerate(names)]
    return inputs[:, other] * np.tile(np.float32([-1, 1]), inputs.shape[2] // 2)
