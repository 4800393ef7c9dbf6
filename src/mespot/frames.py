"""Folders of frames: which images are its frames, in which order, and their pixels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mespot.datasets.endings import IMAGES, visible
from mespot.errors import InputError

# Modes of images (as PIL names them) that become grey or RGB of 8 bits without loss.
EIGHT_BITS = {"L", "RGB", "RGBA", "LA", "P", "1"}


def read_folder(
    folder: Path, first: int | None = None, ordered: bool = False, skip_damaged: bool = False
) -> Iterator[np.ndarray | None]:
    """The frames of a folder, (H, W) or (H, W, 3) uint8, in the order of their numbers.

    Raises InputError that names the frame which is missing, unreadable or of another size.
    """
    first_shape = None
    for path in frame_files(folder, first):
        frame = read_image(path)
        first_shape = first_shape or frame.shape
        if frame.shape != first_shape:
            raise InputError(
                f"{path}: frame is {frame.shape}, the first of its folder {first_shape}"
            )
        yield frame


def read_image(path: Path) -> np.ndarray:
    """A frame, (H, W) or (H, W, 3) uint8, upright. Raises InputError."""
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
    return frame


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
