"""HDF5 in and out: one writer a file, a temporary name, then `os.replace`; readers open "r"."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mespot import __version__
from mespot.errors import InputError

# Libraries whose version can change the numbers in a file.
LIBRARIES = ("numpy", "opencv-contrib-python", "torch", "av", "dlib-bin", "h5py")
FLOW_UNIT = 1 / 256  # px of one step of stored flow; int16 then reaches +-128 px


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def create(
    path: str | Path, *, stage: str, settings: Mapping[str, Any], **attributes: Any
) -> Iterator[h5py.File]:
    """An HDF5 file to write, with the attributes that every file of mespot carries.

    Parameters: the stage's name, its settings (stored as JSON) and further attributes, among them
    `units`, `fps` (frames/s) and `source` (fingerprint of the video that all comes from).
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["stage"] = stage
        file.attrs["settings"] = json.dumps(settings)
        file.attrs["mespot"] = __version__
        file.attrs["libraries"] = " ".join(f"{name}=={version(name)}" for name in LIBRARIES)
        file.attrs.update(attributes)
        yield file


@contextmanager
def read(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading.

    Raises InputError if there is no such file or it is not HDF5.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it first") from None
    except OSError as error:
        raise InputError(
            f"{path}: not a readable HDF5 file ({error}); delete it and rerun"
        ) from None
    with file:
        yield file


def frames_dataset(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, frames_a_chunk: int = 1
) -> h5py.Dataset:
    """A compressed dataset (time, ...): Blosc2 zstd with bit shuffle (Choices in DESIGN.md)."""
    chunks = (min(frames_a_chunk, max(shape[0], 1)), *shape[1:])
    compression = hdf5plugin.Blosc2(cname="zstd", clevel=3, filters=hdf5plugin.Blosc2.BITSHUFFLE)
    return file.create_dataset(name, shape, dtype, chunks=chunks, compression=compression)


def flow_to_int16(flow: np.ndarray) -> np.ndarray:
    """Flow in px/frame as int16 steps of 1/256 px; what is beyond +-128 px is held at the end."""
    return np.clip(np.rint(flow / FLOW_UNIT), -32768, 32767).astype(np.int16)


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover range(n)."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
