"""The feature store: a group /{subject}/{video} for each video of a dataset.

`mdmo` (T-1, R, 2) float32 px/frame and `valid` (T-1,) bool; attributes `fps`, `regions` (names of the
R), `inter_ocular` (px; NaN where unknown) and `detectors` (who found faces and landmarks). Of filmed
videos also what the landmarks and the alignment tell (`Face`) and the source's own frames (`Clock`).
Videos that failed are in the file's attribute `missing`, as a JSON object from video to the error's
message.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import h5py
import numpy as np
from pydantic import AfterValidator, FiniteFloat, NonNegativeFloat

from mespot import store
from mespot.errors import reading
from mespot.settings import Rate, Regions

# What tells of the source's own frames.
CLOCK = "source_frame"


def _size(pixels: float) -> float:
    if pixels <= 0 or np.isinf(pixels):
        raise ValueError("a size in px, or NaN, was expected")
    return pixels


Size = Annotated[float, AfterValidator(_size)]


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
        return [read_video(group, *names) for names, group in _videos(file)]


def lengths(path: Path) -> dict[str, tuple[str, int]]:
    """Subject and number of frames of each video in a feature store. Raises InputError."""
    with store.read(path) as file:
        return {
            video: (subject, len(store.array(group, "valid", np.bool_, None)) + 1)
            for (subject, video), group in _videos(file)
        }


def timing(path: Path) -> tuple[float, float]:
    """Frames a second of a dataset's videos, and when their first is shown, s of the source.

    Raises InputError.
    """
    with store.read(path) as file:
        for _, group in _videos(file):
            told = store.has(group, CLOCK)
            start = store.attribute(group, "start_s", FiniteFloat) if told else 0.0
            return store.attribute(group, "fps", Rate), start
    return 1.0, 0.0  # no video: whatever is annotated is left out


def _videos(file: h5py.File) -> Iterator[tuple[tuple[str, str], h5py.Group]]:
    for subject, videos in store.groups(file).items():
        for video, group in store.groups(videos).items():
            yield (subject, video), group


def missing(path: Path) -> dict[str, str]:
    """The videos that failed, and why, of a feature store. Raises InputError."""
    with store.read(path) as file, reading(path):
        return store.parsed(store.attribute(file, "missing"), dict[str, str])


def read_video(group: h5py.Group, subject: str, video: str) -> Feature:
    """One video's features, from its mdmo file or its group in a feature store. Raises InputError."""
    regions = store.attribute(group, "regions", Regions)
    mdmo = store.array(group, "mdmo", np.floating, store.SOME, len(regions), 2)
    n = len(mdmo) + 1
    valid = store.array(group, "valid", np.bool_, n - 1)
    fps = store.attribute(group, "fps", Rate)
    inter_ocular = store.attribute(group, "inter_ocular", Size)
    detectors = store.attribute(group, "detectors")
    face = clock = None
    if store.has(group, "place"):
        face = Face(
            store.array(group, "place", np.floating, n, len(regions), 2),
            store.array(group, "openings", np.floating, n, 3),
            store.array(group, "pose", np.floating, n, 4),
        )
    if store.has(group, CLOCK):
        clock = Clock(
            store.array(group, CLOCK, np.integer, n),
            store.attribute(group, "source_fps", NonNegativeFloat),
            store.attribute(group, "start_s", FiniteFloat),
        )
    return Feature(subject, video, mdmo, valid, fps, inter_ocular, regions, detectors, face, clock)


def write(file: h5py.File, feature: Feature) -> None:
    group = file.create_group(f"{feature.subject}/{feature.video}")
    group["mdmo"], group["valid"] = feature.mdmo, feature.valid
    names = ("fps", "inter_ocular", "regions", "detectors")
    store.tell(group, **{name: getattr(feature, name) for name in names})
    if feature.face:
        for name, values in feature.face._asdict().items():
            group[name] = values
    if feature.clock:
        group[CLOCK] = feature.clock.frames
        store.tell(group, source_fps=feature.clock.fps, start_s=feature.clock.start)
