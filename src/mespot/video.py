"""Videos in and out of files: any that ffmpeg reads in, lossless FFV1 out.

What later stages must know of the source stands in the file's tags: SOURCE, its fingerprint, and
ORIGIN, JSON of an `Origin`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from mespot.errors import InputError
from mespot.frames import frame_files, is_frames
from mespot.frames import sample as sample_frames
from mespot.store import replacing

# How much earlier than announced a video may end, in seconds: containers round and pad.
EARLY = 0.5


class Origin(NamedTuple):
    """Where the frames of a decoded video come from."""

    start_s: float  # when its first frame is shown, seconds from the source's first frame
    fps: float  # the source's rate, on average
    scale: tuple[float, float]  # px of a frame for a px of the source, in x and y
    frames: list[int]  # number in the source, from 0, of each frame


class Info(NamedTuple):
    fps: float
    n_frames: int
    width: int
    height: int
    source: str  # fingerprint of the file or folder that the user gave
    origin: Origin | None = None  # of a video that `decode` wrote


def timed_frames(path: Path) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames of a video file with the time, in seconds from the first, at which each appears.

    Their `pixels` are not made yet. The last item is (end of the video, last frame again). Raises
    InputError for what cannot be decoded, naming the frame.
    """
    n = packets = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: no video stream in it; a video was expected")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}
            announced = stream.frames
            duration = (container.duration or 0) / av.time_base
            length = 1 / float(stream.average_rate or stream.guessed_rate or 25)
            start = time = None
            for packet in container.demux(stream):
                packets += packet.size > 0
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise InputError(
                            f"{path}: frame {n} is corrupt; copy or export the video again"
                        )
                    if start is None:
                        start = frame.time or 0.0
                    time = frame.time - start if frame.time is not None else n * length
                    yield time, frame
                    n += 1
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: cannot be decoded at frame {n} ({error}); copy or export the video again"
        ) from None
    if not n:
        raise InputError(f"{path}: no frame in it; a video was expected")
    # Packets, not frames: an edit list may rightly hide some of them.
    if packets < announced:
        raise InputError(
            f"{path}: ends at frame {n}, its header announces {announced}: it is cut off; copy it again"
        )
    if time + length < duration - EARLY:
        raise InputError(
            f"{path}: ends after {time + length:.1f} s (frame {n}), its header announces "
            f"{duration:.1f} s: it is cut off; copy it again"
        )
    yield time + length, frame


def sample(path: Path, number: int) -> Iterator[np.ndarray]:
    """Up to `number` frames, spread over a video file or a folder of frames. Raises InputError.

    Of a video file they are key frames where those differ, which are quickly reached.
    """
    if is_frames(path):
        yield from sample_frames(path, number)
        return
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: no video stream in it; a video was expected")
            first, length = container.start_time or 0, container.duration or 0
            seen = -1.0
            for k in range(number):
                target = first + length * k // number
                container.seek(target)
                for frame in container.decode(video=0):
                    time = frame.time or 0.0
                    if time > seen or time >= target / av.time_base:
                        break
                else:
                    return
                if time > seen:
                    seen = time
                    yield pixels(frame)
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: cannot be decoded ({error}); copy or export the video again"
        ) from None


def average_rate(path: Path) -> float:
    """Frames/s of a video file, on average."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.average_rate or stream.guessed_rate or 25)


def pixels(frame: av.VideoFrame, grey: bool = False, smaller: float = 1.0) -> np.ndarray:
    """A frame's pixels upright, (H, W) grey if it or the wish is, else (H, W, 3) RGB uint8.

    With `smaller` below 1 its sides are so many times as long, its pixels means of areas: made from the
    coded planes at once, a sixth of the time that it takes afterwards.
    """
    grey = grey or frame.format.name.startswith("gray")
    size = {} if smaller == 1 else _sides(frame.width, frame.height, smaller)
    layout = "gray" if grey else "rgb24"
    picture = frame.reformat(format=layout, interpolation="AREA", **size).to_ndarray()
    turns = _turns(frame)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns % 4 else picture


def shrunk(picture: np.ndarray, smaller: float) -> np.ndarray:
    """A picture whose sides are `smaller` times as long, its pixels means of areas; 1 leaves it."""
    if smaller == 1:
        return picture
    sides = _sides(picture.shape[1], picture.shape[0], smaller)
    return cv2.resize(picture, tuple(sides.values()), interpolation=cv2.INTER_AREA)


def upright_size(frame: av.VideoFrame | np.ndarray) -> tuple[int, int]:
    """Width and height, px."""
    if isinstance(frame, np.ndarray):
        return frame.shape[1], frame.shape[0]
    size = (frame.width, frame.height)
    return size[::-1] if _turns(frame) % 2 else size


def _turns(frame: av.VideoFrame) -> int:
    return round((frame.rotation or 0) / 90)  # counter-clockwise, as np.rot90


def _sides(width: int, height: int, smaller: float) -> dict[str, int]:
    return {"width": round(smaller * width), "height": round(smaller * height)}


def write(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    source: str,
    origin: Callable[[], Origin] | None = None,
) -> int:
    """Write frames, (H, W) grey or (H, W, 3) RGB, losslessly (FFV1); how many there were.

    `source` is the fingerprint of what they come from; `origin` is asked once all are drawn.
    """
    tags = {"SOURCE": source}
    n = 0
    with replacing(path) as temporary:
        with _matroska(temporary, tags) as file:
            stream = None
            for frame in frames:
                if stream is None:
                    # Four slices let decoders use cores; the file is the same whoever wrote it.
                    stream = file.add_stream("ffv1", rate=Fraction(fps).limit_denominator(1000))
                    stream.options = {"slices": "4", "level": "3", "flags": "+bitexact"}
                    stream.height, stream.width = frame.shape[:2]
                    stream.pix_fmt = "gray" if frame.ndim == 2 else "bgr0"
                layout = "gray" if frame.ndim == 2 else "rgb24"
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=layout)))
                n += 1
            if stream is not None:
                file.mux(stream.encode())
        if not n:
            raise InputError(f"{path}: no frame to write")
        if origin is not None:
            _tag(temporary, tags | {"ORIGIN": json.dumps(origin(), separators=(",", ":"))})
    return n


def _matroska(path: Path, tags: dict[str, str]) -> av.container.OutputContainer:
    file = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
    file.metadata.update(tags)
    return file


def _tag(path: Path, tags: dict[str, str]) -> None:
    """Give a video other tags: they stand before its frames, so these are copied behind new ones."""
    with (
        replacing(path) as temporary,
        av.open(str(path)) as old,
        _matroska(temporary, tags) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def info(path: Path) -> Info:
    """What a video written by `write` holds; counts its packets, decodes none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        n_frames = sum(packet.size > 0 for packet in container.demux(stream))
        fps = float(stream.average_rate or stream.guessed_rate)
        tags = container.metadata
        origin = Origin(*json.loads(tags["ORIGIN"])) if "ORIGIN" in tags else None
        return Info(fps, n_frames, stream.width, stream.height, tags.get("SOURCE", ""), origin)


def read(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video written by `write`: (H, W) grey or (H, W, 3) RGB uint8."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")


def fingerprint(path: Path) -> str:
    """SHA-256 over a video file, or over the names and sizes of a folder's frames."""
    digest = hashlib.sha256()
    if path.is_dir():
        for frame in frame_files(path, ordered=True):
            digest.update(os.fsencode(f"{frame.name} {frame.stat().st_size}\n"))
    else:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
