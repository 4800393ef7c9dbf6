"""decode: every source becomes the same thing, a lossless video at the working rate.

Of each frame only what later stages look at is kept: no more pixels than the crop of the face needs,
and grey unless the face detector sees colour. Coding and reading the rest took most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from mespot import faces, video
from mespot.errors import InputError
from mespot.faces.dlib import detect_faces
from mespot.faces.dlib import grey as to_grey
from mespot.frames import is_frames
from mespot.frames import read as read_frames
from mespot.progress import progress
from mespot.settings import Align, Decode

Frame = TypeVar("Frame")

# A frame counts as there if it appears this much after the instant that asks for it, in seconds:
# containers round timestamps (Matroska to milliseconds).
TOLERANCE = 0.002
# Pixels of a decoded frame for a pixel of the crop, along a side: the face may come that much nearer.
FINER = 1.5
# A face is looked for this often, s, and only so far: one that comes later is decoded as it is.
PROBE, PROBED = 1.0, 60.0


def decode(source: Path, out: Path, settings: Decode, first: int | None = None) -> None:
    """Write `source`, a video file or a folder of frames, at `settings.fps` to `out` (FFV1).

    A folder's frames were taken at `settings.frames_fps` (the working rate if None); `first`, if given,
    is the number in the first one's name. Each instant from_s + k / fps before to_s shows the latest
    frame that has appeared by then: frames are dropped or repeated, never mixed, since a mixture moves
    like neither. With `settings.align` they are shrunk to what its crop needs, and grey if its detector
    is. Raises InputError.
    """
    if not source.exists():
        raise InputError(f"{source}: no such video file or folder of frames")
    kept = Kept(source, settings, first)
    frames = progress(kept.pictures(), f"decode {source.name}")
    n = video.write(out, frames, settings.fps, video.fingerprint(source), kept.origin)
    if n < 2:
        out.unlink()
        raise InputError(f"{source}: {n} frame at {settings.fps:g} fps; motion needs at least two")


class Kept:
    """What is kept of a source."""

    def __init__(self, source: Path, settings: Decode, first: int | None):
        self.source, self.settings, self.first = source, settings, first
        self.folder_rate = settings.frames_fps or settings.fps
        self.start = settings.from_s or 0.0
        self.end = float("inf") if settings.to_s is None else settings.to_s
        self.grey = settings.align is not None and settings.align.detector in faces.SEE_GREY
        self.numbers: list[int] = []
        self.scale = (1.0, 1.0)

    def pictures(self) -> Iterator[np.ndarray]:
        """The frames at the working rate, (H, W) grey or (H, W, 3) RGB uint8."""
        smaller = self._smaller()
        numbered = ((time, (n, frame)) for n, (time, frame) in enumerate(self._timed()))
        for n, frame in resample(numbered, self.settings.fps, self.start, self.end):
            if not self.numbers or n != self.numbers[-1]:
                shown = pixels(frame, self.grey, smaller)
                width, height = video.upright_size(frame)
                self.scale = (shown.shape[1] / width, shown.shape[0] / height)
            self.numbers.append(n)
            yield shown
        if not self.numbers:
            raise InputError(
                f"{self.source}: ends before {self.start:g} s; set decode.from_s to a time in it"
            )

    def origin(self) -> video.Origin:
        """Where the frames that were drawn come from."""
        rate = self.folder_rate if is_frames(self.source) else video.average_rate(self.source)
        return video.Origin(self.start, rate, self.scale, self.numbers)

    def _timed(self) -> Iterator[tuple[float, av.VideoFrame | np.ndarray]]:
        if is_frames(self.source):
            return _at_constant_rate(read_frames(self.source, self.first), self.folder_rate)
        return video.timed_frames(self.source)

    def _smaller(self) -> float:
        """By how much a frame may be made smaller: as the first face that is followed allows."""
        if self.settings.align is None:
            return 1.0
        due, until = self.start, min(self.end, self.start + PROBED)
        for time, frame in self._timed():
            if time >= until:
                break
            if time >= due - TOLERANCE:
                due = time + PROBE
                boxes = detect_faces(pixels(frame, grey=True))
                box = faces.person(boxes, self.settings.align.face)
                if box is not None:
                    return min(1.0, needed(self.settings.align) / float(max(box[2:] - box[:2])))
        return 1.0


def needed(align: Align) -> float:
    """Side of a face's box, px, that a decoded frame must have for align's crop."""
    return FINER * align.size / (1 + 2 * align.margin)


def pixels(frame: av.VideoFrame | np.ndarray, grey: bool, smaller: float = 1.0) -> np.ndarray:
    """A frame's pixels, (H, W) grey or (H, W, 3) RGB uint8, its sides `smaller` times as long."""
    if isinstance(frame, av.VideoFrame):
        return video.pixels(frame, grey, smaller)
    return video.shrunk(to_grey(frame) if grey else frame, smaller)


def resample(
    timed: Iterable[tuple[float, Frame]], fps: float, start: float = 0.0, end: float = float("inf")
) -> Iterator[Frame]:
    """The frame shown at each instant start + k / fps before `end`, from (time in s, frame) in order.

    The last pair ends the video; its frame is not shown.
    """
    k = 0
    shown = None
    for time, frame in timed:
        while shown is not None and start + k / fps < min(time, end) - TOLERANCE:
            yield shown
            k += 1
        if time >= end:
            return
        shown = frame


def _at_constant_rate(
    frames: Iterable[np.ndarray], rate: float
) -> Iterator[tuple[float, np.ndarray]]:
    n = 0
    for frame in frames:
        yield n / rate, frame
        n += 1
    if n:
        yield n / rate, frame
