"""roi: flow windows around the regions of interest, and the nose region that shows head motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PositiveFloat

from mespot import store
from mespot.errors import InputError
from mespot.progress import progress
from mespot.settings import Rate, Region, Roi

OUTSIDE = -32768  # marks what is padding, or lies outside the image; flow never takes this value
FRAMES_A_BLOCK = 64
SIDES = range(1, 1025)  # px of a crop


def roi(flow: Path, landmarks: Path, out: Path, settings: Roi) -> None:
    """Write the flow windows of the regions.

    `roi` (T-1, R, H, W, 2) and `nose` (T-1, 1, H, W, 2), int16 as in the flow file, (dx, dy) last;
    OUTSIDE where a region is smaller than the array. Frame t's flow uses the landmarks of frame t+1.
    Also `place` (T, R, 2) and `openings` (T, 3), px, of `feature_store.Face`.
    """
    regions = settings.sets[settings.set]
    with store.read(flow) as flow_file, store.read(landmarks) as landmarks_file:
        rows = store.rows(flow_file, "flow", np.int16, store.SOME, 2, SIDES, SIDES)
        every_point = store.array(landmarks_file, "points", np.floating, None, 68, 2).astype(float)
        points = every_point[1:]
        if len(points) != len(rows):
            raise InputError(
                f"{landmarks}: {len(points) + 1} frames, {flow}: {len(rows)} frame pairs; one less "
                "than frames was expected: delete both and rerun"
            )
        inter_ocular = store.attribute(landmarks_file, "inter_ocular", PositiveFloat)
        boxes = {
            "roi": np.stack([box(points, r, inter_ocular) for r in regions.values()], 1),
            "nose": box(points, settings.nose, inter_ocular)[:, None],
        }
        sizes = {
            name: (corners[..., 2:] - corners[..., :2]).reshape(-1, 2).max(0) + 1
            for name, corners in boxes.items()
        }
        for name, (width, height) in sizes.items():
            row = np.dtype(np.int16).itemsize * 2 * boxes[name].shape[1] * int(width) * int(height)
            if min(width, height) < 1 or row > store.LARGEST:
                raise InputError(
                    f"{landmarks}: regions of {width} x {height} px: its points are none of a face (delete it and "
                    "rerun), or a margin in roi.sets is too large"
                )
        with store.create(
            out,
            stage="roi",
            settings=settings.plain(),
            units=store.attribute(flow_file, "units"),
            fps=store.attribute(flow_file, "fps", Rate),
            source=store.attribute(flow_file, "source"),
            regions=list(regions),
            inter_ocular=inter_ocular,
            crop=rows.shape[3],
            landmark_detector=store.attribute(landmarks_file, "detector"),
        ) as file:
            file["place"] = place(every_point, list(regions.values()), settings.nose)
            file["openings"] = openings(every_point)
            windows = {}
            for name, corners in boxes.items():
                width, height = sizes[name]
                shape = (len(rows), corners.shape[1], height, width, 2)
                windows[name] = store.frames_dataset(file, name, shape, np.int16, FRAMES_A_BLOCK)
            blocks = list(store.blocks(len(rows), FRAMES_A_BLOCK))
            for block in progress(blocks, f"roi {out.stem}", len(rows), FRAMES_A_BLOCK):
                motion = rows[block]
                for name, corners in boxes.items():
                    size = windows[name].shape[2:4]
                    store.write_rows(windows[name], block.start, cut(motion, corners[block], size))


def box(points: np.ndarray, region: Region, inter_ocular: float) -> np.ndarray:
    """The region's box in each frame: (T, 4) int px as x0, y0, x1, y1, ends inclusive.

    `points` (T, 68, 2) px; the margin is measured as the region's `unit` says: in px, in the video's
    inter-ocular distance, or in the frame's distance of the inner eye corners (the published code's
    nose: a margin of 0.35 of half that distance, cut to a whole number).
    """
    if region.unit == "inner_eye":
        inner = np.linalg.norm(points[:, 39] - points[:, 42], axis=1)
        margin = np.floor(region.margin * inner).astype(int)[:, None]
    else:
        unit = inter_ocular if region.unit == "inter_ocular" else 1
        margin = max(1, round(region.margin * unit))
    chosen = np.rint(points[:, region.landmarks]).astype(int)
    return np.concatenate([chosen.min(1) - margin, chosen.max(1) + margin], 1)


def place(points: np.ndarray, regions: list[Region], nose: Region) -> np.ndarray:
    """The middle of each region's landmarks, less that of the nose's: (T, R, 2) float32 px."""
    middles = [points[:, region.landmarks].mean(1) for region in [*regions, nose]]
    return np.stack([middle - middles[-1] for middle in middles[:-1]], 1).astype(np.float32)


def openings(points: np.ndarray) -> np.ndarray:
    """How far right eye, left eye and mouth are open: (T, 3) float32 px, from lid to lid, lip to lip."""
    pairs = (
        ((37, 41), (38, 40)),
        ((43, 47), (44, 46)),
        ((61, 67), (62, 66), (63, 65)),
    )
    apart = [
        np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in part], axis=0)
        for part in pairs
    ]
    return np.stack(apart, 1).astype(np.float32)


def cut(flow: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Windows (T, R, H, W, 2) int16 of `flow` (T, 2, S, S) int16 in `boxes` (T, R, 4).

    `size` is (H, W); what is beyond a box or the image is OUTSIDE.
    """
    height, width = flow.shape[2:]
    x0, y0, x1, y1 = (boxes[..., k, None, None] for k in range(4))
    y = y0 + np.arange(size[0])[:, None]
    x = x0 + np.arange(size[1])
    inside = (y <= y1) & (x <= x1) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    t = np.arange(len(flow))[:, None, None, None]
    windows = flow[t, :, y.clip(0, height - 1), x.clip(0, width - 1)]
    windows[~inside] = OUTSIDE
    return windows
