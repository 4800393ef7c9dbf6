"""mdmo: main directional mean optical flow of each region, head motion removed.

MDMO: Liu et al. 2016, doi 10.1109/TAFFC.2015.2485205; the sectors and shares are AUW-GCN's.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import numpy as np
from pydantic import FiniteFloat, PositiveFloat, PositiveInt

from mespot import store
from mespot.errors import damaged
from mespot.feature_store import CLOCK
from mespot.progress import progress
from mespot.roi import OUTSIDE
from mespot.settings import Mdmo, Rate, Regions

# Where the four direction sectors are cut, degrees from +x towards +y.
ROI_CUTS = (30, 150, 210, 330)
NOSE_CUTS = (45, 135, 225, 315)
# Flow vectors looked at at once.
VECTORS_A_BLOCK = 2**21
# Longest time over which a repeated frame's motion is shared out, s: a longer standstill is one.
SHARED = 0.15


def mdmo(roi: Path, align: Path, out: Path, settings: Mdmo) -> None:
    """Write `mdmo` (T-1, R, 2) float32 px/frame, `head` (T-1, 2) px/frame and `valid` (T-1,) bool.

    Beside them what `feature_store.Face` and `Clock` hold.

    `valid` is False where the face was covered or lost, or its nose outside the crop, for longer than
    `settings.max_gap` seconds; the motion there is 0. Shorter gaps are interpolated.
    """
    with store.read(roi) as of_roi, store.read(align) as aligned:
        seen, repeat = (store.array(aligned, name, np.bool_, None) for name in ("valid", "repeat"))
        n_frames = len(seen)
        transform = store.array(aligned, "transform", np.floating, n_frames, 2, 3)
        regions = store.attribute(of_roi, "regions", Regions)
        n, n_rois = n_frames - 1, len(regions)
        windows = store.rows(of_roi, "roi", np.int16, n, n_rois, store.SOME, store.SOME, 2)
        nose = store.rows(of_roi, "nose", np.int16, n, 1, store.SOME, store.SOME, 2)
        if len(repeat) != n_frames or not (np.linalg.det(transform[:, :, :2]) > 0).all():
            raise damaged(align, "it has frames that are no crops")
        fps = store.attribute(of_roi, "fps", Rate)
        inter_ocular = store.attribute(of_roi, "inter_ocular", PositiveFloat)
        motion = np.zeros((n, n_rois, 2), np.float32)
        head = np.zeros((n, 2), np.float32)
        nose_seen = np.zeros(n, bool)
        vectors_a_frame = math.prod(windows.shape[1:4]) + math.prod(nose.shape[1:4])
        frames_a_block = max(1, VECTORS_A_BLOCK // vectors_a_frame)
        blocks = list(store.blocks(n, frames_a_block))
        for block in progress(blocks, f"mdmo {roi.stem}", n, frames_a_block):
            vectors, inside = _vectors(nose[block])
            nose_seen[block] = inside.any((1, 2))
            head[block] = main_direction(vectors, inside, NOSE_CUTS, settings.nose_share)[:, 0]
            vectors, inside = _vectors(windows[block])
            vectors -= head[block, None, None]
            motion[block] = main_direction(vectors, inside, ROI_CUTS, settings.roi_share)
        longest = round(SHARED * fps)
        motion, head = (share_repeats(each, repeat, longest) for each in (motion, head))
        # Rows that share one row's motion share what is not known of it.
        nose_seen = share_repeats(nose_seen.astype(float), repeat, longest) > 0
        # A gap of g frames takes the motion of g + 1 rows.
        seen_both = seen[1:] & seen[:-1]
        if not nose_seen[seen_both].all():
            print(
                f"warning: {roi}: the nose lies outside the crop in {(~nose_seen[seen_both]).sum()} of {n} rows, "
                "where the head's motion is not known; they count as without a face",
                file=sys.stderr,
            )
        valid = bridge(motion, seen_both & nose_seen, round(settings.max_gap * fps) + 1)
        with store.create(
            out,
            stage="mdmo",
            settings=settings.plain(),
            units="px/frame",
            fps=fps,
            source=store.attribute(of_roi, "source"),
            regions=regions,
            inter_ocular=inter_ocular,
            detectors=f"faces by {store.attribute(aligned, 'detector')}, landmarks by "
            f"{store.attribute(of_roi, 'landmark_detector')}",
        ) as file:
            file["mdmo"] = motion
            file["head"] = head
            file["valid"] = valid
            file["place"] = store.array(of_roi, "place", np.floating, n_frames, n_rois, 2)
            file["openings"] = store.array(of_roi, "openings", np.floating, n_frames, 3)
            crop = store.attribute(of_roi, "crop", PositiveInt)
            file["pose"] = pose(transform, inter_ocular, crop)
            file[CLOCK] = store.array(aligned, CLOCK, np.integer, n_frames)
            for name in ("source_fps", "start_s"):
                store.tell(file, **{name: store.attribute(aligned, name, FiniteFloat)})


def main_direction(
    vectors: np.ndarray, inside: np.ndarray, cuts: tuple[int, ...], share: float
) -> np.ndarray:
    """MDMO of each region: (T, R, 2) from flow vectors (T, R, P, 2), of which `inside` count.

    The fullest of the four sectors; of its vectors the strongest `share`, at least one; their mean
    direction (the unit vector of their sum) times their mean magnitude. 0 for an empty region.
    """
    # OpenCV's, as in the published code: on 8-bit flow many vectors lie exactly on a cut, and its
    # approximation of the angle in float32 decides where they belong (45 degrees are 44.99, 135 are 135.01).
    x, y = np.ascontiguousarray(vectors.reshape(-1, 2).T, np.float32)
    angle = cv2.cartToPolar(x, y, angleInDegrees=True)[1].reshape(inside.shape)
    sector = np.where(inside, np.digitize(angle, cuts) % 4, 4)
    counts = np.stack([(sector == k).sum(-1) for k in range(4)], -1)
    fullest = counts.argmax(-1)
    # Magnitudes of the fullest sector, strongest first; -1 stands behind all of them.
    magnitude = np.where(sector == fullest[..., None], np.linalg.norm(vectors, axis=-1), -1)
    order = np.argsort(-magnitude, axis=-1, kind="stable")
    kept = np.maximum((counts.max(-1) * share).astype(int), 1)
    strongest = (np.arange(order.shape[-1]) < kept[..., None]) & (counts.max(-1, keepdims=True) > 0)
    magnitude = np.take_along_axis(magnitude, order, -1)
    vectors = np.take_along_axis(vectors, order[..., None], -2)
    total = (vectors * strongest[..., None]).sum(-2)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    direction = np.divide(total, length, out=np.zeros_like(total), where=length > 0)
    mean = (magnitude * strongest).sum(-1) / kept
    return direction * mean[..., None]


def pose(transform: np.ndarray, inter_ocular: float, crop: int) -> np.ndarray:
    """Where the head is in the frame: (T, 4) float32, as in `feature_store.Face`.

    `transform` (T, 2, 3) goes from decoded px to px of the crop, `crop` px wide and high.
    """
    linear = transform[:, :, :2]
    size = np.sqrt(np.linalg.det(linear))
    middle = np.full(2, (crop - 1) / 2) - transform[:, :, 2]
    at = np.linalg.solve(linear, middle[:, :, None])[:, :, 0]
    roll = np.arctan2(linear[:, 0, 1], linear[:, 0, 0])
    eyes = inter_ocular / np.median(size)  # decoded px
    return np.column_stack([at / eyes, np.unwrap(roll), -np.log(size)]).astype(np.float32)


def share_repeats(motion: np.ndarray, repeat: np.ndarray, longest: int) -> np.ndarray:
    """Share out the motion where frames repeat (a source slower than the working rate).

    A repeated frame shows no motion and the next new one all of it: each row of such a run takes an
    equal share of the motion that ends it. Runs of more than `longest` rows stay as they are: there
    the picture stood still. `motion` (T-1, ...), `repeat` (T,) bool.
    """
    moves = np.flatnonzero(~repeat[1:])
    if not len(moves):
        return motion
    length = np.diff(moves, prepend=-1)
    shared = (motion[moves].T / length).T.repeat(length, axis=0)
    short = (length <= longest).repeat(length)
    shared[~short] = motion[: len(shared)][~short]
    return np.concatenate([shared, motion[len(shared) :]])


def bridge(motion: np.ndarray, seen: np.ndarray, longest: int) -> np.ndarray:
    """Interpolate `motion` (T-1, R, 2) in place over unseen rows; return which rows then count.

    Runs of at most `longest` unseen rows between seen ones are interpolated in time; longer runs,
    and those at an end, become 0 and do not count.
    """
    valid = seen.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], seen, [True]]).astype(int)))
    for start, stop in edges.reshape(-1, 2):
        if start > 0 and stop < len(seen) and stop - start <= longest:
            weight = (np.arange(start, stop) - (start - 1)) / (stop - start + 1)
            weight = weight[:, None, None]
            motion[start:stop] = (1 - weight) * motion[start - 1] + weight * motion[stop]
            valid[start:stop] = True
        else:
            motion[start:stop] = 0
    return valid


def _vectors(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (T, R, H, W, 2) int16 as vectors (T, R, H*W, 2) px and which of them are inside."""
    flat = windows.reshape(*windows.shape[:2], -1, 2)
    return flat * store.FLOW_UNIT, flat[..., 0] != OUTSIDE
