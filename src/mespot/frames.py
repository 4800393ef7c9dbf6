"""Frames as pictures, in a folder or as the pages of one file: which, in which order, their pixels."""

from __future__ import annotations

import errno
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mespot.datasets.endings import IMAGES, has_pages, unfinished, visible
from mespot.errors import InputError

# Modes of images (as PIL names them) of 8 bits, which become grey or RGB.
EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}
EIGHT_BITS |= {"CMYK", "YCbCr", "LAB", "HSV"}


class Damaged(InputError):
    """A frame that cannot be read."""


def is_frames(path: Path) -> bool:
    """Whether a path is a folder of frames or a file of many, a TIFF stack above all.

    A GIF is a video file: its frames have times of their own.
    """
    return path.is_dir() or (path.suffix.lower() != ".gif" and has_pages(path))


def read(
    path: Path, first: int | None = None, ordered: bool = False, skip_damaged: bool = False
) -> Iterator[np.ndarray | None]:
    """The frames of a folder or of a file of many pages, (H, W) or (H, W, 3) uint8, one by one.

    All are grey or all RGB, as the first is. `first` and `ordered` are `frame_files`'; with
    `skip_damaged` a frame that cannot be read is None. Raises InputError that names the frame which
    is missing, unreadable or of another size.
    """
    pictures = _images(frame_files(path, first, ordered)) if path.is_dir() else _pages(path)
    return _alike(pictures, path, skip_damaged)


def sample(path: Path, number: int) -> Iterator[np.ndarray]:
    """Up to `number` frames, spread over those that `read` gives. Raises InputError."""
    if path.is_dir():
        files = frame_files(path, ordered=True)
        pictures = _images(files[k] for k in _spread(len(files), number))
    else:
        pictures = _pages(path, _spread(count(path), number))
    return _alike(pictures, path)


def count(path: Path, first: int | None = None, ordered: bool = False) -> int:
    """How many frames `read` gives, from names and headers. Raises InputError, of an empty file too."""
    if not path.is_dir():
        return sum(1 for _ in _pages(path))
    files = frame_files(path, first, ordered)
    for file in files:
        if not file.exists() or not file.stat().st_size:
            raise InputError(f"{file}: an empty file; copy it again")
    return len(files)


def frame_files(folder: Path, first: int | None = None, ordered: bool = False) -> list[Path]:
    """The image files of a folder by the last number in their names.

    `first`, if given, is the number that they begin with. Raises InputError where a name has no
    number or a number is missing or there twice. With `ordered` the numbers need not follow one
    another: the files come in the natural order of their whole names (img_2, img_10).
    """
    images = [
        path
        for path in visible(folder)
        if path.suffix.lower() in IMAGES and not unfinished(path.name)
    ]
    if len(images) == 1 and first is None:
        return images
    files = sorted(images, key=_natural if ordered else lambda path: (_number(path), path))
    if first is not None and files and _number(files[0]) != first:
        raise InputError(
            f"{folder}: its first frame is {files[0].name}; the annotation counts from number {first}: "
            "copy the folder again, or rename the frames if none is lost"
        )
    if not ordered:
        _must_follow(folder, files, known=first is not None)
    return files


def _must_follow(folder: Path, files: list[Path], known: bool) -> None:
    """Raise InputError unless each frame's number is one more than the last one's.

    They may count no frames at all but time, or every fifth frame: then it says what was understood,
    though not where they are `known` to, a benchmark's.
    """
    steps = [_number(after) - _number(before) for before, after in pairwise(files)]
    wrong = next((k for k, step in enumerate(steps) if step != 1), None)
    if wrong is None:
        return
    if 2 * steps.count(0) >= len(files) - 1:
        raise InputError(
            f"{folder}: two pictures of most numbers ({', '.join(path.name for path in files[:4])}), as of two "
            "cameras: leave one set in the folder"
        )
    usual, times = min(Counter(steps).items(), key=lambda step: (-step[1], step[0]))
    most_alike = max(Counter("".join(_parts(path)[:-2]) for path in files).values())
    if not known and (usual != 1 or 2 * most_alike <= len(files)):
        by = usual if usual != 1 and 2 * times > len(steps) else f"{min(steps)} to {max(steps)}"
        raise InputError(
            f"{folder}: the last number in its frames' names goes up by {by}, not by 1 "
            f"({', '.join(path.name for path in files[:3])}): if no frame is lost, set decode: "
            "{numbers: ordered}, to take them in the order of their names, and frames_fps, their rate"
        )
    before, after = files[wrong : wrong + 2]
    if steps[wrong] == 0:
        raise InputError(f"{before} and {after.name}: two frames of number {_number(before)}")
    missing = f"{_number(before) + 1}" + (f" to {_number(after) - 1}" if steps[wrong] > 2 else "")
    raise InputError(
        f"{folder}: frame {missing} is missing, between {before.name} and {after.name}; "
        "copy the folder again"
    )


def _number(path: Path) -> int:
    """The last number in a frame's name. Raises InputError."""
    parts = _parts(path)
    if len(parts) == 1:
        raise InputError(
            f"{path}: a frame's name must hold its number, as in img_12.jpg; rename it, or move it away"
        )
    return int(parts[-2])


def _natural(path: Path) -> tuple[list[str | int], Path]:
    return [int(part) if k % 2 else part for k, part in enumerate(_parts(path))], path


def _parts(path: Path) -> list[str]:
    """A file's name without its ending: text and digits in turn, text first and last."""
    return re.split(r"(\d+)", path.stem)


Load = Callable[[], np.ndarray]


def _alike(
    pictures: Iterable[tuple[str, Load]], path: Path, skip_damaged: bool = False
) -> Iterator[np.ndarray | None]:
    """The pictures, grey or RGB as the first is; `pictures` are names, and what reads them."""
    first, warned = None, False
    for name, load in pictures:
        try:
            frame = load()
        except Damaged:
            if not skip_damaged:
                raise
            yield None
            continue
        first = frame if first is None else first
        if frame.shape[:2] != first.shape[:2]:
            sizes = [f"{one.shape[1]} x {one.shape[0]}" for one in (frame, first)]
            raise InputError(f"{name}: frame of {sizes[0]} px, the first of its video {sizes[1]}")
        if frame.ndim != first.ndim:
            if not warned:
                kind = "grey" if first.ndim == 2 else "RGB"
                print(f"warning: {name}: made {kind}, as the first frame is", file=sys.stderr)
                warned = True
            frame = np.asarray(Image.fromarray(frame).convert("L" if first.ndim == 2 else "RGB"))
        yield frame
    if first is None:
        raise InputError(f"{path}: no frame in it that can be read; pictures were expected")


def _images(files: Iterable[Path]) -> Iterator[tuple[str, Load]]:
    for path in files:
        yield str(path), partial(read_image, path)


def read_image(path: Path) -> np.ndarray:
    """A frame, (H, W) or (H, W, 3) uint8, upright. Raises InputError."""
    with _reading(path), Image.open(path) as image:
        return _pixels(image, str(path))


def _pages(path: Path, chosen: Iterable[int] | None = None) -> Iterator[tuple[str, Load]]:
    """The pages of a file, all or those `chosen`, by their numbers from 0."""
    with _reading(path), Image.open(path) as image:
        # An animated PNG may have a picture before them for programs that show but one.
        before = int(bool(image.info.get("default_image")))
        pages = range(before, image.n_frames)
        for k in range(len(pages)) if chosen is None else chosen:
            yield f"{path}: page {k + 1}", partial(_page, path, image, pages[k])


def _page(path: Path, image: Image.Image, page: int) -> np.ndarray:
    with _reading(path):
        image.seek(page)
        return _pixels(image, f"{path}: page {page + 1}")


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    mode = image.mode
    if mode not in EIGHT_BITS:
        raise InputError(
            f"{name}: frame is of mode {mode}; 8 bits a channel were expected: convert the frames"
        )
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright if mode == "L" else upright.convert("RGB"))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever Pillow stumbles over in a damaged file is Damaged."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.EIO, errno.EMFILE):
            raise  # the drive's fault, or the system's: `cli` says so
        size = path.stat().st_size if path.exists() else 0
        raise Damaged(
            f"{path}: frame cannot be read ({error}); "
            f"a whole image was expected ({size} bytes are there): copy it again"
        ) from None


def _spread(length: int, number: int) -> list[int]:
    return sorted({int(k) for k in np.linspace(0, length - 1, number)}) if length else []
