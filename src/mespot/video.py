"""mespot's own videos, in and out of files: lossless FFV1, grey or RGB.

What later stages must know of the source stands in the file's tags: SOURCE, its fingerprint, FPS, and
ORIGIN, JSON of an `Origin`. CHECK, a checksum, tells whether all is there and as it was: ffmpeg takes the end of
a file that is cut off for its end, and draws on over damage. MADE is the file's record (`provenance`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, NamedTuple
from zlib import crc32

import av
import numpy as np
from pydantic import Field, FiniteFloat

from mespot import provenance
from mespot.errors import InputError, damaged, reading
from mespot.settings import Rate
from mespot.store import checked, parsed, replacing

Index = Annotated[int, Field(ge=0, lt=2**31)]
LARGEST = 1 << 26  # px of a frame


class Origin(NamedTuple):
    """Where the frames of a decoded video come from."""

    start_s: FiniteFloat  # when its first frame is shown, seconds from the source's first frame
    fps: Annotated[FiniteFloat, Field(ge=0)]  # the source's rate, on average
    scale: tuple[FiniteFloat, FiniteFloat]  # px of a frame for a px of the source, in x and y
    frames: list[Index]  # number in the source, from 0, of each frame
    unknown: Sequence[
        Index
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
    tags = {"SOURCE": source, "FPS": str(fps)}
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
            tags["ORIGIN"] = json.dumps(origin(), separators=(",", ":"))
        with _opened(temporary) as written:
            _, check = _checked(written, tags)
        _tag(temporary, tags | {"CHECK": check})
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


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A video written by `write`, to read. Raises InputError, also of an error in reading it."""
    with reading(path):
        open(path, "rb").close()  # what ffmpeg says of damage may be what systems say of a drive
        try:
            # Of another form it might lead to other files.
            with av.open(
                str(path.absolute()), format="matroska", metadata_errors="replace"
            ) as container:
                yield container
        except av.FFmpegError as error:
            raise damaged(path, error.strerror) from None


def _checked(container: av.container.InputContainer, tags: Mapping[str, str]) -> tuple[int, str]:
    """How many frames a video has, and a CRC-32 of all that it says and of its frames, still packed."""
    stream = container.streams.video[0]
    codec = stream.codec_context
    said = [tags.get(name) for name in ("SOURCE", "FPS", "ORIGIN")]
    facts = [codec.name, codec.width, codec.height, codec.extradata, *said]
    n, check = 0, crc32(repr(facts).encode())
    for packet in container.demux(stream):
        if packet.size:
            n, check = n + 1, crc32(packet, check)
    return n, f"{check:08x}"


def info(path: Path) -> Info:
    """What a video written by `write` holds; reads its packets, decodes none.

    Raises InputError if anything is lost or changed in it.
    """
    with _opened(path) as container:
        tags = container.metadata
        n, check = _checked(container, tags)
        if tags.get("CHECK") != check:
            raise damaged(path, f"the {n} frames in it are not those that were written")
        stream = container.streams.video[0]
        if stream.codec_context.name != "ffv1" or not 0 < stream.width * stream.height <= LARGEST:
            raise damaged(path, f"{stream.codec_context.name}, {stream.width} x {stream.height}")
        fps = checked(tags.get("FPS"), Rate)
        origin = parsed(tags["ORIGIN"], Origin) if "ORIGIN" in tags else None
        if origin and not len(origin.frames) == n > max(origin.unknown, default=0):
            raise damaged(path, f"it tells of {len(origin.frames)} frames and has {n}")
        return Info(fps, n, stream.width, stream.height, tags.get("SOURCE", ""), origin)


def tags(path: Path) -> dict[str, str]:
    """What a video says of itself. Raises InputError."""
    with _opened(path) as container:
        return dict(container.metadata)


def read(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video written by `write`: (H, W) grey or (H, W, 3) RGB uint8. Raises InputError."""
    waiting = 0
    with _opened(path) as container:
        for packet in container.demux(video=0):
            waiting += bool(packet.size)
            for frame in packet.decode():
                waiting -= 1
                yield frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
        if waiting:
            raise damaged(path, f"{waiting} frames cannot be decoded")
