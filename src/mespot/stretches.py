"""Stretches of frames: runs of a flag over time."""

from __future__ import annotations

import numpy as np


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop (one past the last frame) of each run of True in `flags` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def closed(flags: np.ndarray, gap: float) -> np.ndarray:
    """`flags` (T,) bool with the gaps of fewer than `gap` frames between runs of True filled."""
    flags = flags.copy()
    for start, stop in runs(~flags):
        if stop - start < gap and start > 0 and stop < len(flags):
            flags[start:stop] = True
    return flags


def interpolated(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`values` (T, ...) with what is not `valid` interpolated linearly, nearest at the ends."""
    if not valid.any():
        return values
    known = np.flatnonzero(valid)
    flat = values.reshape(len(values), -1)
    filled = [np.interp(np.arange(len(flat)), known, column[known]) for column in flat.T]
    return np.stack(filled, 1).reshape(values.shape)
