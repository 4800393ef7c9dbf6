"""The feature store: a group /{subject}/{video} for each video of a dataset.

`mdmo` (T-1, R, 2) float32 px/frame and `valid` (T-1,) bool; attributes `fps`, `regions` (names of the
R), `inter_ocular` (px; NaN where unknown) and `detectors` (who found faces and landmarks). Of filmed
videos also what the landmarks and the alignment tell (`Face`) and the source's own frames (`Clock`).
Videos that failed are in the file's attribute `missing`, as a JSON object from video to the error's
message.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from mespot import store


class Face(NamedTuple):
    """What landmarks and alignment tell of each frame; published features tell nothing of it."""

    place: np.ndarray  # (T, R, 2) px: middle of each region's landmarks, less the nose's
    openings: np.ndarray  # (T, 3) px: right eye, left eye, mouth
    pose: (
        np.ndarray
    )  # (T, 4): head's x and y in inter-ocular distances, roll in rad, log of its size


class Clock(NamedTuple):
    """Where in the source each frame is."""

    frames: np.ndarray  # (T,) int: the source's own frame that is shown
    fps: float  # the source's own rate
    start: float  # s of the source at which frame 0 appears


class Feature(NamedTuple):
    subject: str
    video: str
    mdmo: np.ndarray  # (T-1, R, 2) float32 px/frame
    valid: np.ndarray  # (T-1,) bool
    fps: float
    inter_ocular: float  # px; NaN where unknown
    regions: tuple[str, ...]  # names of the R
    detectors: str = "faces and landmarks as published"  # who found them
    face: Face | None = None
    clock: Clock | None = None

    @property
    def seen(self) -> np.ndarray:
        """In which frames (T,) bool the face is seen: `valid`, the last frame as the row before it."""
        return np.append(self.valid, self.valid[-1:])

    def seconds(self, frame: int) -> float:
        """When a frame of the working rate appears, in seconds of the source."""
        return (self.clock.start if self.clock else 0.0) + frame / self.fps


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


def timing(path: Path) -> tuple[float, float]:
    """Frames a second of a dataset's videos, and when their first is shown, s of the source."""
    with store.read(path) as file:
        for videos in file.values():
            for group in videos.values():
                return float(group.attrs["fps"]), float(group.attrs.get("start_s", 0))
    return 1.0, 0.0  # no video: whatever is annotated is left out


def missing(path: Path) -> dict[str, str]:
    """The videos that failed, and why, of a feature store."""
    with store.read(path) as file:
        return json.loads(file.attrs["missing"])


def read_video(group: h5py.Group, subject: str, video: str) -> Feature:
    """One video's features, from its mdmo file or its group in a feature store."""
    scale = (float(group.attrs[name]) for name in ("fps", "inter_ocular"))
    regions = tuple(group.attrs["regions"])
    arrays = (group["mdmo"][:], group["valid"][:])
    face = clock = None
    if "place" in group:
        face = Face(*(group[name][:] for name in Face._fields))
    if "source_frame" in group:
        clock = Clock(
            group["source_frame"][:],
            float(group.attrs["source_fps"]),
            float(group.attrs["start_s"]),
        )
    return Feature(subject, video, *arrays, *scale, regions, group.attrs["detectors"], face, clock)


def write(file: h5py.File, feature: Feature) -> None:
    group = file.create_group(f"{feature.subject}/{feature.video}")
    group["mdmo"], group["valid"] = feature.mdmo, feature.valid
    for name in ("fps", "inter_ocular", "regions", "detectors"):
        group.attrs[name] = getattr(feature, name)
    if feature.face:
        for name, values in feature.face._asdict().items():
            group[name] = values
    if feature.clock:
        group["source_frame"] = feature.clock.frames
        group.attrs["source_fps"], group.attrs["start_s"] = feature.clock.fps, feature.clock.start
