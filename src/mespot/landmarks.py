"""landmarks: 68 points in every aligned frame, smoothed in time.

How far the points change when the face's box is shifted tells a free face from a covered one. They
are not averaged over such boxes: against the demo's truth that adds error (0.58 px rather than 0.42
in the ROI points), since some boxes take lowered brows for lashes. A Gaussian of 2 frames leaves
the least error, and an eighth of the jitter from frame to frame (0.27 to 0.035 px, crop of 128 px).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from mespot import faces, store, video
from mespot.progress import progress
from mespot.settings import Landmarks

STAGE = "landmarks"
# Shifts (x, y) of the box, in parts of its width.
STARTS = [(0, 0), (0.06, 0), (-0.06, 0), (0, 0.06), (0, -0.06)]
# Side to which a face's box is enlarged first: dlib gives whole pixels.
SIDE = 300
# Nose, eyes and mouth. The jaw is often under hair, and lowered brows are taken for lashes.
GROUPS = [slice(27, 36), slice(36, 48), slice(48, 68)]


def landmarks(aligned_video: Path, align_h5: Path, out: Path, settings: Landmarks) -> None:
    """Write `points` (T, 68, 2) float32, crop px, iBUG order; attribute `inter_ocular` in px.

    Where align trusts no face, points are interpolated between frames where it does.
    """
    info = video.info(aligned_video)
    with store.read(align_h5) as file:
        valid, repeat = file["valid"][:], file["repeat"][:]
        x0, y0, x1, y1 = file["box"][:]
        to_crop = file["transform"][file["box"].attrs["reference_frame"]]
    corners = np.array([[x0, y0], [x1, y1]]) @ to_crop[:, :2].T + to_crop[:, 2]
    frames = progress(video.read(aligned_video), f"landmarks {aligned_video.stem}", info.n_frames)
    points = find(frames, valid, repeat, corners.ravel())
    points = smooth(bridge(points, valid), settings.smooth)
    with store.create(
        out,
        stage=STAGE,
        settings=settings.plain(),
        units="px",
        fps=info.fps,
        source=info.source,
        inter_ocular=float(np.median(inter_ocular(points[valid] if valid.any() else points))),
    ) as file:
        file.create_dataset("points", data=points.astype(np.float32), compression="gzip")


def find(
    frames: Iterator[np.ndarray], valid: np.ndarray, repeat: np.ndarray, box: np.ndarray
) -> np.ndarray:
    """The points (T, 68, 2) px of frames (S, S); zeros where not `valid`.

    `box` (4,) holds the face at the start; it follows the points.
    """
    points = np.zeros((len(valid), 68, 2))
    first = last = None
    for t, frame in enumerate(frames):
        if not valid[t]:
            continue
        if repeat[t] and last is not None and valid[t - 1]:
            points[t] = points[t - 1]
            continue
        points[t] = find_points(frame, box if last is None else moved_box(box, first, last))
        first, last = points[t] if first is None else first, points[t]
    return points


def find_points(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The 68 points (68, 2) px of the face in `box` (4,) of `image` (H, W) uint8."""
    return _points_from(image, box, STARTS[:1])[0]


def consistent_points(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """The 68 points (68, 2) px of the face in `box`, and how far other starting boxes disagree.

    The disagreement, in inter-ocular distances, is the median distance from the median point,
    its mean over nose, eyes or mouth, whichever is largest.
    """
    found = _points_from(image, box, STARTS)
    middle = np.median(found, axis=0)
    apart = np.median(np.linalg.norm(found - middle, axis=2), axis=0) / inter_ocular(middle)
    return found[0], float(max(apart[group].mean() for group in GROUPS))


def _points_from(
    image: np.ndarray, box: np.ndarray, starts: list[tuple[float, float]]
) -> np.ndarray:
    """The points (N, 68, 2) px that each of N shifts of the box leads to."""
    centre, scale = (box[:2] + box[2:]) / 2, SIDE / (box[2] - box[0])
    enlarge = np.column_stack([scale * np.eye(2), SIDE - scale * centre])
    large = cv2.warpAffine(image, enlarge, (2 * SIDE, 2 * SIDE), borderMode=cv2.BORDER_REPLICATE)
    middle = np.array([SIDE / 2, SIDE / 2, 3 * SIDE / 2, 3 * SIDE / 2])
    shifted = [middle + SIDE * np.array([dx, dy, dx, dy]) for dx, dy in starts]
    found = np.stack([faces.find_landmarks(large, start) for start in shifted])
    return (found - enlarge[:, 2]) / scale


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


def bridge(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`values` (T, ...) with what is not `valid` interpolated linearly, nearest at the ends."""
    if not valid.any():
        return values
    known = np.flatnonzero(valid)
    flat = values.reshape(len(values), -1)
    filled = [np.interp(np.arange(len(flat)), known, column[known]) for column in flat.T]
    return np.stack(filled, 1).reshape(values.shape)


def smooth(points: np.ndarray, width: float) -> np.ndarray:
    """Points smoothed along time by a Gaussian of `width` frames; 0 leaves them."""
    return gaussian_filter1d(points, width, axis=0, mode="nearest") if width else points
