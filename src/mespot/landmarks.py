"""landmarks: 68 points in every aligned frame, smoothed in time.

The points of several shifted boxes (`faces.covered`) are not averaged: against the demo's truth that adds error (0.58 px rather than 0.42
in the ROI points), since some boxes take lowered brows for lashes. A Gaussian of 2 frames leaves
the least error, and an eighth of the jitter from frame to frame (0.27 to 0.035 px, crop of 128 px).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt
from scipy.ndimage import gaussian_filter1d

from mespot import faces, store, video
from mespot.errors import InputError
from mespot.faces.points import inter_ocular, moved_box
from mespot.progress import progress
from mespot.settings import Landmarks
from mespot.stretches import interpolated

STAGE = "landmarks"
# Frames handed over at a time to a network that looks at each by itself.
AT_ONCE = 64


def landmarks(aligned_video: Path, align_h5: Path, out: Path, settings: Landmarks) -> None:
    """Write `points` (T, 68, 2) float32, crop px, iBUG order; attribute `inter_ocular` in px.

    Where align trusts no face, points are interpolated between frames where it does.
    """
    detector = faces.landmark_detector(settings)
    info = video.info(aligned_video)
    with store.read(align_h5) as file:
        valid, repeat = (store.array(file, name, np.bool_, None) for name in ("valid", "repeat"))
        x0, y0, x1, y1 = store.array(file, "box", np.floating, 4)
        at = store.attribute(file["box"], "reference_frame", NonNegativeInt)
        transforms = store.array(file, "transform", np.floating, None, 2, 3)
    lengths = {info.n_frames, len(valid), len(repeat), len(transforms)}
    if len(lengths) > 1 or at >= info.n_frames:
        raise InputError(
            f"{align_h5}: not of the {info.n_frames} frames of {aligned_video}: delete both and rerun"
        )
    to_crop = transforms[at]
    corners = np.array([[x0, y0], [x1, y1]]) @ to_crop[:, :2].T + to_crop[:, 2]
    frames = progress(video.read(aligned_video), f"landmarks {aligned_video.stem}", info.n_frames)
    points = find(frames, valid, repeat, corners.ravel(), detector)
    points = smooth(interpolated(points, valid), settings.smooth)
    with store.create(
        out,
        stage=STAGE,
        settings=settings.plain(),
        units="px",
        fps=info.fps,
        source=info.source,
        # Where no face is seen nothing is measured by it.
        inter_ocular=float(np.median(inter_ocular(points[valid]))) if valid.any() else 1.0,
        **faces.provenance(settings.detector),
    ) as file:
        file["points"] = points.astype(np.float32)


def find(
    frames: Iterator[np.ndarray],
    valid: np.ndarray,
    repeat: np.ndarray,
    box: np.ndarray,
    detector: faces.LandmarkDetector,
) -> np.ndarray:
    """The points (T, 68, 2) px of frames (S, S); zeros where not `valid`.

    `box` (4,) holds the face at the start, and aligned the face stays there. For a detector whose
    points start from the box it follows the points all the same, one frame after the other.
    """
    points = np.zeros((len(valid), 68, 2))
    # A repeat has the points of the frame before, where that has any.
    again = repeat & valid & np.concatenate([[False], valid[:-1]])
    looked_at = ((t, frame) for t, frame in enumerate(frames) if valid[t] and not again[t])
    first = last = None
    while batch := list(islice(looked_at, 1 if detector.starts_from_box else AT_ONCE)):
        here, images = zip(*batch, strict=True)
        now = box if first is None or not detector.starts_from_box else moved_box(box, first, last)
        images = np.repeat(np.stack(images)[..., None], 3, axis=3)
        points[list(here)] = detector(images, np.tile(now, (len(here), 1)))
        last = points[here[-1]]
        first = last if first is None else first
    for t in np.flatnonzero(again):
        points[t] = points[t - 1]
    return points


def smooth(points: np.ndarray, width: float) -> np.ndarray:
    """Points smoothed along time by a Gaussian of `width` frames; 0 leaves them."""
    return gaussian_filter1d(points, width, axis=0, mode="nearest") if width else points
