"""Face detectors and landmark networks, chosen by name: one file each.

A detector of one's own is a file here with one function or both, and its name among those of
`settings.Align.detector` or `settings.Landmarks.detector`:

- `face_detector(settings)` gives a callable: an image, (H, W, 3) RGB or (H, W) grey uint8, to face
  boxes (N, 4) float px as x0, y0, x1, y1, the largest first.
- `landmark_detector(settings)` gives a `LandmarkDetector`.

If it has weights, `weights.SOURCES` says under the same name where they come from, and its file has
`shapes()`. Nothing is imported but the one that was chosen: torch takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Protocol

import numpy as np

from mespot.faces import weights
from mespot.settings import Align, Landmarks

FaceDetector = Callable[[np.ndarray], np.ndarray]

# The face detectors that look at grey alone: decode then drops the colour.
SEE_GREY = {"dlib"}


class LandmarkDetector(Protocol):
    """Finds 68 points in iBUG order."""

    # Whether the points start from the box, which then has to follow a face from frame to frame;
    # else they are looked for everywhere in it and a little around it.
    starts_from_box: bool

    def __call__(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Points (N, 68, 2) float px in images (N, H, W, 3) RGB uint8, of the faces in boxes (N, 4)."""


def face_detector(settings: Align) -> FaceDetector:
    """The face detector that `settings.detector` names. Raises InputError without its weights."""
    return _file(settings.detector).face_detector(settings)


def landmark_detector(settings: Landmarks) -> LandmarkDetector:
    """The landmark detector that `settings.detector` names. Raises InputError without its weights."""
    return _file(settings.detector).landmark_detector(settings)


def provenance(detector: str) -> dict[str, str]:
    """What an output and the rerun digest say of a detector: `detector`, and `weights` if it has any.

    The first is for people to read; the second, the weights' facts, is JSON, the SHA-256 of the
    published file among them. Raises InputError.
    """
    if detector not in weights.SOURCES:
        return {"detector": detector}
    facts = weights.facts(weights.find(detector))
    whose = f"{facts.get('trained_by', facts['file'])}, SHA-256 {facts['sha256'][:12]}"
    return {"detector": f"{detector} ({whose})", "weights": json.dumps(facts, sort_keys=True)}


def person(boxes: np.ndarray, face: str | int) -> np.ndarray | None:
    """The box (4,) of boxes (N, 4), the largest first, that `face` (`Align.face`) means, if it is there."""
    if face == "largest":
        return boxes[0] if len(boxes) else None
    from_left = boxes[np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")]
    place = {"left": 1, "right": len(boxes)}.get(face, face)
    return from_left[place - 1] if 1 <= place <= len(boxes) else None


def nearest(boxes: np.ndarray, place: np.ndarray) -> np.ndarray | None:
    """The box (4,) of boxes (N, 4) whose centre is nearest to `place` (2,) px, if there is any."""
    if not len(boxes):
        return None
    return boxes[np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - place, axis=1).argmin()]


def largest_first(boxes: np.ndarray) -> np.ndarray:
    return boxes[np.argsort(boxes[:, 0] - boxes[:, 2], kind="stable")]


def _file(detector: str):
    return import_module(f"mespot.faces.{detector}")
