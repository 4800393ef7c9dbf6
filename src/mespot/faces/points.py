"""Measures of 68 landmarks (iBUG order)."""

from __future__ import annotations

import numpy as np


def moved_box(box: np.ndarray, points: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Where a face's box has gone when its points have moved to `now`: shifted and enlarged."""
    centre, centre_now = points.mean(0), now.mean(0)
    larger = np.sqrt(now.var(0).sum() / points.var(0).sum())
    corners = (box.reshape(2, 2) - centre) * larger + centre_now
    return corners.ravel()


def inter_ocular(points: np.ndarray) -> np.ndarray:
    """Distance of the eyes' centres, px, of points (..., 68, 2)."""
    eyes = points[..., 36:42, :].mean(-2) - points[..., 42:48, :].mean(-2)
    return np.maximum(np.linalg.norm(eyes, axis=-1), 1e-6)
