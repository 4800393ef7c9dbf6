"""decode: every source becomes the same thing, a lossless video at the working rate.

Of each frame only what later stages look at is kept: no more pixels than the crop of the face needs,
and grey unless the face detector sees colour. Coding and reading the rest took most of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import cv2
import numpy as np

from mespot import faces, video
from mespot.errors import InputError
from mespot.faces.dlib import detect_faces
from mespot.faces.dlib import grey as to_grey
from mespot.fingerprints import fingerprint
from mespot.frames import is_frames
from mespot.frames import read as read_frames
from mespot.progress import progress
from mespot.settings import Align, Decode
from mespot.source import Timed, seconds, silent, timed_frames
from mespot.video_file import Say, warn

Frame = TypeVar("Frame")

# A frame counts as there if it appears this much after the instant that asks for it, in seconds:
# containers round timestamps (Matroska to milliseconds).
TOLERANCE = 0.002
# Pixels of a decoded frame for a pixel of the crop, along a side: the face may come that much nearer.
FINER = 1.5
# A face is looked for this often, s, and only so far: one that comes later is decoded as it is.
PROBE, PROBED = 1.0, 60.0
# How much the ratio of a picture's sides may differ from the first one's.
SAME_SHAPE = 0.02
TOGETHER = 16  # pictures after which memory is given back


def decode(source: Path, out: Path, settings: Decode, first: int | None = None) -> None:
    """Write `source`, a video file or a folder of frames, at `settings.fps` to `out` (FFV1).

    Frames were taken at `settings.frames_fps` (if None, a folder's at the working rate, a file's as its
    timestamps say); `first`, if given, is the number in the first one's name. Each instant from_s + k / fps
    before to_s shows the latest frame that has appeared by then: frames are dropped or repeated, never
    mixed, since a mixture moves like neither. With `settings.align` they are shrunk to what its crop needs, and grey if its detector
    is. Raises InputError.
    """
    if not (source.is_file() or source.is_dir()):
        raise InputError(f"{source}: no such video file or folder of frames")
    kept = Kept(source, settings, first)
    frames = progress(kept.pictures(), f"decode {source.name}", kept.expected())
    video.write(out, frames, settings.fps, fingerprint(source), kept.origin)


class Still(NamedTuple):
    """An image of a folder of frames, (H, W) or (H, W, 3) RGB uint8."""

    image: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1::-1]

    coded = size

    def pixels(self, grey: bool = False, size: tuple[int, int] | None = None) -> np.ndarray:
        """As `source.Picture.pixels`."""
        image = to_grey(self.image) if grey else self.image
        if size in (None, self.size):
            return image
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class Kept:
    """What is kept of a source."""

    def __init__(self, source: Path, settings: Decode, first: int | None):
        self.source, self.settings, self.first = source, settings, first
        self.start = settings.from_s or 0.0
        self.end = float("inf") if settings.to_s is None else settings.to_s
        self.grey = settings.align is not None and settings.align.detector in faces.SEE_GREY
        self.numbers: list[int] = []
        self.unknown: list[int] = []
        self.scale = (1.0, 1.0)
        self.rate = 0.0

    def expected(self) -> int | None:
        """About how many frames at the working rate; None where neither names nor the header tell."""
        rate = self.settings.frames_fps
        if self.source.is_dir():
            length = sum(1 for _ in self.source.iterdir()) / (rate or self.settings.fps)
        else:
            length = None if is_frames(self.source) else seconds(self.source, rate)
        if not length:
            return None
        return max(1, round((min(length, self.end) - self.start) * self.settings.fps))

    def pictures(self) -> Iterator[np.ndarray]:
        """The frames at the working rate, (H, W) grey or (H, W, 3) RGB uint8."""
        # PyAV's frames refer to themselves once they were asked how they are turned: of 4K, Python lets
        # 3 GB of them gather. What is there already need not be looked through each time.
        gc.freeze()
        try:
            for t, picture in enumerate(self._pictures()):
                if t % TOGETHER == 0:
                    gc.collect()
                yield picture
        finally:
            gc.unfreeze()

    def _pictures(self) -> Iterator[np.ndarray]:
        smaller = self._smaller()
        size = None
        for shown in resample(self._followed(), self.settings.fps, self.start, self.end):
            if not self.numbers or shown.number != self.numbers[-1]:
                size = size or tuple(round(smaller * side) for side in shown.picture.size)
                pixels = self._pixels(shown, size)
            if not shown.known:
                self.unknown.append(len(self.numbers))
            self.numbers.append(shown.number)
            yield pixels
        if not self.numbers:
            raise InputError(
                f"{self.source}: ends before {self.start:g} s; set own.from to a time in it"
            )

    def origin(self) -> video.Origin:
        """Where the frames that were drawn come from. Raises InputError if it is one frame."""
        if len(self.numbers) < 2:
            raise InputError(
                f"{self.source}: 1 frame at {self.settings.fps:g} fps; motion needs at least two"
            )
        return video.Origin(self.start, self.rate, self.scale, self.numbers, self.unknown)

    def _pixels(self, shown: Timed, size: tuple[int, int]) -> np.ndarray:
        """A picture at the first one's size: recorders change theirs as the connection allows."""
        width, height = shown.picture.size
        if abs(width / height * size[1] / size[0] - 1) > SAME_SHAPE:
            raise InputError(
                f"{self.source}: frame {shown.number} is {width} x {height}, of another shape than the first "
                f"({size[0]} x {size[1]} here); cut the video there"
            )
        coded = shown.picture.coded
        self.scale = (size[0] / coded[0], size[1] / coded[1])
        return self._drawn(shown, self.grey, size)

    def _drawn(self, shown: Timed, grey: bool, size: tuple[int, int] | None = None) -> np.ndarray:
        try:
            return shown.picture.pixels(grey, size)
        except (av.FFmpegError, ValueError) as error:
            # Some codings of pixels ffmpeg cannot convert.
            raise InputError(
                f"{self.source}: frame {shown.number} cannot be converted ({error}); export the video again, "
                "as H.264"
            ) from None

    def _followed(self) -> Iterator[tuple[float, Timed]]:
        """What is shown, and when; tells at which rate."""
        for shown in self._timed():
            if shown.time:
                self.rate = shown.number / shown.time
            yield shown.time, shown

    def _timed(self, say: Say = warn) -> Iterator[Timed]:
        settings = self.settings
        leave_out = settings.damaged == "leave_out"
        if is_frames(self.source):
            ordered = settings.numbers == "ordered"
            frames = read_frames(self.source, self.first, ordered, leave_out)
            return self._at_constant_rate(frames, settings.frames_fps or settings.fps, say)
        return timed_frames(self.source, settings.frames_fps, leave_out, say)

    def _at_constant_rate(
        self, frames: Iterable[np.ndarray | None], rate: float, say: Say
    ) -> Iterator[Timed]:
        """The frames of a folder (None: one that cannot be read), and the end."""
        last, damaged, n = None, [], 0
        for n, frame in enumerate(frames, start=1):
            time = (n - 1) / rate
            if frame is not None:
                last = Timed(time, n - 1, Still(frame))
                if n == len(damaged) + 1 > 1:  # nothing is known before it
                    yield last._replace(time=0.0, known=False)
                yield last
                continue
            damaged.append(n - 1)
            if last:
                yield last._replace(time=time, known=False)
        if last:
            yield last._replace(time=n / rate, number=n)
        if damaged:
            say(
                self.source,
                f"{len(damaged)} of {n} frames cannot be read, the first is frame {damaged[0]} (from 0): left out "
                "of spotting where they follow each other for longer than mdmo.max_gap",
            )

    def _smaller(self) -> float:
        """By how much a frame may be made smaller: as the first face that is followed allows."""
        if self.settings.align is None:
            return 1.0
        due, until = self.start, min(self.end, self.start + PROBED)
        for shown in self._timed(silent):
            if shown.time >= until:
                break
            if shown.time >= due - TOLERANCE:
                due = shown.time + PROBE
                boxes = detect_faces(self._drawn(shown, grey=True))
                box = faces.person(boxes, self.settings.align.face)
                if box is not None:
                    return min(1.0, needed(self.settings.align) / float(max(box[2:] - box[:2])))
        return 1.0


def needed(align: Align) -> float:
    """Side of a face's box, px, that a decoded frame must have for align's crop."""
    return FINER * align.size / (1 + 2 * align.margin)


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
