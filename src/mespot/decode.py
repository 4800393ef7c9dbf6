"""decode: every source becomes the same thing, a lossless video at the working rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mespot import video
from mespot.errors import InputError
from mespot.progress import progress
from mespot.settings import Decode

# A frame counts as there if it appears this much after the instant that asks for it, in seconds:
# containers round timestamps (Matroska to milliseconds).
TOLERANCE = 0.002


def decode(source: Path, out: Path, settings: Decode, first: int | None = None) -> None:
    """Write `source`, a video file or a folder of frames, at `settings.fps` to `out` (FFV1).

    A folder's frames were taken at `settings.frames_fps` (the working rate if None); `first`, if given,
    is the number in the first one's name. Each instant
    k / fps shows the latest frame that has appeared by then: frames are dropped or repeated, never
    mixed, since a mixture moves like neither. Raises InputError.
    """
    if not source.exists():
        raise InputError(f"{source}: no such video file or folder of frames")
    if source.is_dir():
        rate = settings.frames_fps or settings.fps
        timed = _at_constant_rate(video.read_folder(source, first), rate)
    else:
        timed = video.read_timed(source)
    frames = progress(resample(timed, settings.fps), f"decode {source.name}")
    n = video.write(out, frames, settings.fps, video.fingerprint(source))
    if n < 2:
        out.unlink()
        raise InputError(f"{source}: {n} frame at {settings.fps:g} fps; motion needs at least two")


def resample(timed: Iterable[tuple[float, np.ndarray]], fps: float) -> Iterator[np.ndarray]:
    """The frame shown at each instant k / fps, from (time in s, frame) pairs in order.

    The last pair ends the video; its frame is not shown.
    """
    k = 0
    shown = None
    for time, frame in timed:
        while shown is not None and k / fps < time - TOLERANCE:
            yield shown
            k += 1
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
