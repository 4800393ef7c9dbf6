"""Pictures of the face for the pages: around an interval, and one a video to see whether the crop is right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mespot import store, video
from mespot.errors import InputError, damaged
from mespot.feature_store import Feature

FACE, GAP = 128, 4  # px of one face's picture, and between two
SHEET = 192  # px of a face on the contact sheet
FULL = 0.1  # inter-ocular distances that are drawn in full colour
NOSE = [29, 30]  # landmarks from which the regions' places are told (settings.Roi.nose)
QUALITY = 85  # of JPEG


def frames_at(crops: Path, frames: Collection[int]) -> dict[int, np.ndarray]:
    """These frames of a video of crops, (S, S) uint8, read in one go. Raises InputError."""
    if not frames:
        return {}
    if not crops.is_file():
        raise InputError(f"{crops}: no such file; run the stage align first")
    seen = islice(video.read(crops), max(frames) + 1)
    kept = {t: frame for t, frame in enumerate(seen) if t in frames}
    if beyond := set(frames) - kept.keys():
        raise damaged(crops, f"it has no frame {max(beyond)}, in which there is an interval")
    return kept


def strip(
    faces: Mapping[int, np.ndarray],
    span: tuple[int, int, int],
    flow: store.Rows | None,
    inter_ocular: float,
    path: Path,
) -> None:
    """Draw the face at onset, apex and offset, and the flow from onset to apex, side by side."""
    panels = [_face(faces[t], FACE) for t in span]
    if flow is not None:
        panels.append(Image.fromarray(wheel(_moved(flow, *span[:2]) / inter_ocular / FULL)))
    picture = Image.new("RGB", (len(panels) * (FACE + GAP) - GAP, FACE), "white")
    for k, panel in enumerate(panels):
        picture.paste(panel.resize((FACE, FACE)), (k * (FACE + GAP), 0))
    picture.save(path, quality=QUALITY)


def _moved(flow: store.Rows, onset: int, apex: int) -> np.ndarray:
    """The flow (2, S, S) px summed from onset to apex; of an apex at the onset one row."""
    return flow[onset : max(apex, onset + 1)].astype(np.float32).sum(0) * store.FLOW_UNIT


def wheel(flow: np.ndarray) -> np.ndarray:
    """Flow (2, H, W) in the usual colours, (H, W, 3) uint8: hue its direction, white where nothing moves.

    A length of 1 or more is the full colour; to the right red, downwards yellow green, to the left cyan.
    """
    size = np.rint(255 * np.hypot(*flow).clip(0, 1))
    hue = np.rint(255 * (np.arctan2(flow[1], flow[0]) / (2 * np.pi) % 1))
    coloured = np.stack([hue, size, np.full_like(size, 255)], -1).astype(np.uint8)
    return np.asarray(Image.fromarray(coloured, mode="HSV").convert("RGB"))


def sheet(face: np.ndarray, points: np.ndarray, feature: Feature, frame: int, path: Path) -> None:
    """Draw a filmed face with its landmarks (68, 2) px and the places of its regions."""
    scale = SHEET / len(face)
    picture = _face(face, SHEET)
    draw = ImageDraw.Draw(picture)
    for x, y in np.nan_to_num(points) * scale:
        draw.ellipse((x - 1.2, y - 1.2, x + 1.2, y + 1.2), fill="#56b4e9")
    half = max(0.05 * feature.inter_ocular * scale, 2)
    places = feature.face.place[frame] + points[NOSE].mean(0)
    for x, y in np.nan_to_num(places) * scale:
        draw.rectangle((x - half, y - half, x + half, y + half), outline="#e69f00")
    picture.save(path, quality=QUALITY)


def middle(feature: Feature) -> int:
    """The frame in which a face is seen that is nearest to the video's middle."""
    seen = np.flatnonzero(feature.seen)
    half = len(feature.seen) // 2
    return int(seen[np.abs(seen - half).argmin()]) if len(seen) else half


def trembling(points: np.ndarray, feature: Feature) -> float | None:
    """How much the nose still moves from frame to frame in the crop, in inter-ocular distances.

    The 95th percentile of the steps of its landmarks' middle; points (T, 68, 2) px. What registration
    leaves over is taken for expression. None where no face is seen.
    """
    steps = np.linalg.norm(np.diff(points[:, 27:36].mean(1), axis=0), axis=1)[feature.valid]
    if not len(steps):
        return None
    large = float(np.percentile(steps, 95) / feature.inter_ocular)
    return round(large, 4) if np.isfinite(large) else None


def _face(face: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(face).convert("RGB").resize((side, side))
