"""Frames in and out of files: any video or folder of frames in, lossless FFV1 out."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mespot.datasets.endings import IMAGES, visible
from mespot.errors import InputError
from mespot.store import replacing

# Modes of images (as PIL names them) that become grey or RGB of 8 bits without loss.
EIGHT_BITS = {"L", "RGB", "RGBA", "LA", "P", "1"}
# How much earlier than announced a video may end, in seconds: containers round and pad.
EARLY = 0.5


class Info(NamedTuple):
    fps: float
    n_frames: int
    width: int
    height: int
    source: str  # fingerprint of the file or folder that the user gave


def read_folder(folder: Path, first: int | None = None) -> Iterator[np.ndarray]:
    """The frames of a folder, (H, W) or (H, W, 3) uint8, in the order of their numbers.

    Raises InputError that names the frame which is missing, unreadable or of another size.
    """
    first_shape = None
    for path in frame_files(folder, first):
        try:
            with Image.open(path) as image:
                mode = image.mode
                upright = ImageOps.exif_transpose(image)
                frame = np.asarray(upright if mode == "L" else upright.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise InputError(
                f"{path}: frame cannot be read ({error}); "
                f"a whole image was expected ({path.stat().st_size} bytes are there): copy it again"
            ) from None
        if mode not in EIGHT_BITS:
            raise InputError(
                f"{path}: frame is of mode {mode}; 8 bits a channel were expected: convert the frames"
            )
        first_shape = first_shape or frame.shape
        if frame.shape != first_shape:
            raise InputError(
                f"{path}: frame is {frame.shape}, the first of its folder {first_shape}"
            )
        yield frame


def frame_files(folder: Path, first: int | None = None) -> list[Path]:
    """The image files of a folder by the last number in their names (natural sort).

    `first`, if given, is the number that they begin with. Raises InputError where a name has no
    number or a number is missing or there twice.
    """
    images = [path for path in visible(folder) if path.suffix.lower() in IMAGES]
    if len(images) == 1 and first is None:
        return images
    numbered = []
    for path in images:
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise InputError(f"{path}: a frame's name must hold its number, as in img_12.jpg")
        numbered.append((int(numbers[-1]), path))
    numbered.sort()
    if first is not None and numbered and numbered[0][0] != first:
        raise InputError(
            f"{folder}: its first frame is {numbered[0][1].name}; the annotation counts from number {first}: "
            "copy the folder again, or rename the frames if none is lost"
        )
    for (number, path), (following, next_path) in itertools.pairwise(numbered):
        if following == number:
            raise InputError(f"{path} and {next_path.name}: two frames of number {number}")
        if following != number + 1:
            missing = f"{number + 1}" + (f" to {following - 1}" if following > number + 2 else "")
            raise InputError(
                f"{folder}: frame {missing} is missing, between {path.name} and {next_path.name}; "
                "copy the folder again"
            )
    return [path for _, path in numbered]


def read_timed(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of a video file with the time, in seconds from the first, at which each appears.

    Upright: rotation metadata is honoured. The last item is (end of the video, last frame again).
    Raises InputError for what cannot be decoded, naming the frame.
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
                    picture = _upright(frame)
                    yield time, picture
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
    yield time + length, picture


def _upright(frame: av.VideoFrame) -> np.ndarray:
    grey = frame.format.name.startswith("gray")
    picture = frame.to_ndarray(format="gray" if grey else "rgb24")
    turns = round((frame.rotation or 0) / 90)  # counter-clockwise, as np.rot90
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns % 4 else picture


def write(path: Path, frames: Iterable[np.ndarray], fps: float, source: str) -> int:
    """Write frames, (H, W) grey or (H, W, 3) RGB, losslessly (FFV1); how many there were."""
    n = 0
    with replacing(path) as temporary:
        with av.open(
            str(temporary), "w", format="matroska", options={"fflags": "+bitexact"}
        ) as file:
            file.metadata["SOURCE"] = source
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
    return n


def info(path: Path) -> Info:
    """What a video written by `write` holds; counts its packets, decodes none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        n_frames = sum(packet.size > 0 for packet in container.demux(stream))
        fps = float(stream.average_rate)
        return Info(
            fps, n_frames, stream.width, stream.height, container.metadata.get("SOURCE", "")
        )


def read(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video written by `write`: (H, W) grey or (H, W, 3) RGB uint8."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")


def fingerprint(path: Path) -> str:
    """SHA-256 over a video file, or over the names and sizes of a folder's frames."""
    digest = hashlib.sha256()
    if path.is_dir():
        for frame in frame_files(path):
            digest.update(f"{frame.name} {frame.stat().st_size}\n".encode())
    else:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
