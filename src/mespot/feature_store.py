"""The feature store: a group /{subject}/{video} for each video of a dataset.

`mdmo` (T-1, R, 2) float32 px/frame and `valid` (T-1,) bool; attributes `fps`, `regions` (names of the
R), `inter_ocular` (px; NaN where unknown) and `detectors` (who found faces and landmarks). Videos that
failed are in the file's attribute `missing`, as a JSON object from video to the error's message.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from mespot import store


class Feature(NamedTuple):
    subject: str
    video: str
    mdmo: np.ndarray  # (T-1, R, 2) float32 px/frame
    valid: np.ndarray  # (T-1,) bool
    fps: float
    inter_ocular: float  # px; NaN where unknown
    regions: tuple[str, ...]  # names of the R
    detectors: str = "faces and landmarks as published"  # who found them


def load(path: Path) -> list[Feature]:
    """All videos of a feature store, by subject and name. Raises InputError."""
    with store.read(path) as file:
        return [
            read_video(file[subject][video], subject, video)
            for subject in sorted(file)
            for video in sorted(file[subject])
        ]


def lengths(path: Path) -> dict[str, tuple[str, int]]:
    """Subject and number of frames of each video in a feature store."""
    with store.read(path) as file:
        return {
            video: (subject, file[subject][video]["valid"].shape[0] + 1)
            for subject in file
            for video in file[subject]
        }


def missing(path: Path) -> dict[str, str]:
    """The videos that failed, and why, of a feature store."""
    with store.read(path) as file:
        return json.loads(file.attrs["missing"])


def read_video(group: h5py.Group, subject: str, video: str) -> Feature:
    """One video's features, from its mdmo file or its group in a feature store."""
    scale = (float(group.attrs[name]) for name in ("fps", "inter_ocular"))
    regions = tuple(group.attrs["regions"])
    arrays = (group["mdmo"][:], group["valid"][:])
    return Feature(subject, video, *arrays, *scale, regions, group.attrs["detectors"])


def write(file: h5py.File, feature: Feature) -> None:
    group = file.create_group(f"{feature.subject}/{feature.video}")
    group["mdmo"], group["valid"] = feature.mdmo, feature.valid
    for name in ("fps", "inter_ocular", "regions", "detectors"):
        group.attrs[name] = getattr(feature, name)
