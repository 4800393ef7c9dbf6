"""mespot's own videos, in and out of files: lossless FFV1, grey or RGB.

What later stages must know of the source stands in the file's tags: SOURCE, its fingerprint, and
ORIGIN, JSON of an `Origin`. MADE is the file's record (`provenance`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from mespot import provenance
from mespot.errors import InputError
from mespot.store import replacing


class Origin(NamedTuple):
    """Where the frames of a decoded video come from."""

    start_s: float  # when its first frame is shown, seconds from the source's first frame
    fps: float  # the source's rate, on average
    scale: tuple[float, float]  # px of a frame for a px of the source, in x and y
    frames: list[int]  # number in the source, from 0, of each frame
    unknown: Sequence[
        int
    ] = ()  # frames that show nothing of their instant: in a gap, or after a cut


class Info(NamedTuple):
    fps: float
    n_frames: int
    width: int
    height: int
    source: str  # fingerprint of the file or folder that the user gave
    origin: Origin | None = None  # of a video that `decode` wrote


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
    if made := provenance.inside(path):
        tags["MADE"] = made
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
