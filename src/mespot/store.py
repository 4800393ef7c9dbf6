"""HDF5 in and out: one writer a file, a temporary name, then `os.replace`; readers open "r"."""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mespot import provenance
from mespot.errors import InputError

LEVEL = 3  # of zstd
FLOW_UNIT = 1 / 256  # px of one step of stored flow; int16 then reaches +-128 px


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` if the block succeeds.

    It has the same ending, by which libraries choose a form, and no more of a name, which may be as
    long as a name can be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".mespot-{secrets.token_hex(8)}{path.suffix}")
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

    `made` is its record (`provenance`): of the command that runs, or else of the `stage` and its
    `settings`. The others are given, among them `units`, `fps` (frames/s) and `source` (fingerprint of
    the video that all comes from).
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["made"] = provenance.inside(Path(path), stage, settings)
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
    compression = hdf5plugin.Blosc2(
        cname="zstd", clevel=LEVEL, filters=hdf5plugin.Blosc2.BITSHUFFLE
    )
    return file.create_dataset(name, shape, dtype, chunks=chunks, compression=compression)


def flow_to_int16(flow: np.ndarray) -> tuple[np.ndarray, int]:
    """Flow in px/frame as int16 steps of 1/256 px, and how many components were beyond +-128 px.

    Those are held at the end.
    """
    steps = np.rint(flow / FLOW_UNIT)
    held = np.clip(steps, -32768, 32767)
    return held.astype(np.int16), int(np.count_nonzero(held != steps))


def write_flow(rows: h5py.Dataset, flows: Iterable[np.ndarray], threads: int = 0) -> int:
    """Write flows (2, H, W) px to consecutive `rows`; returns how many components were held.

    With `threads` they are compressed there and put into the file as they are: HDF5 itself compresses
    one chunk after the other, some 2000 of 256 x 256 a second.
    """
    saturated = 0
    for index, (chunk, beyond) in enumerate(_encoded(flows, threads)):
        saturated += beyond
        if isinstance(chunk, bytes):
            rows.id.write_direct_chunk((index, 0, 0, 0), chunk)
        else:
            rows[index] = chunk
    return saturated


def _encoded(flows: Iterable[np.ndarray], threads: int) -> Iterator[tuple[np.ndarray | bytes, int]]:
    if not threads:
        yield from map(flow_to_int16, flows)
        return
    import blosc2  # seconds: only where it is needed

    blosc2.set_nthreads(1)
    blosc2.set_releasegil(True)
    settings = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": LEVEL,
        "filters": [blosc2.Filter.BITSHUFFLE],
        "filters_meta": [0],
        "typesize": 2,
        "nthreads": 1,
    }

    def encode(flow: np.ndarray) -> tuple[bytes, int]:
        steps, beyond = flow_to_int16(flow)
        return blosc2.SChunk(
            chunksize=steps.nbytes, data=steps, cparams=settings
        ).to_cframe(), beyond

    waiting: deque[Future[tuple[bytes, int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for flow in flows:
            waiting.append(pool.submit(encode, flow))
            if len(waiting) > 2 * threads:  # no more of a long video in memory than that
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover range(n)."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
