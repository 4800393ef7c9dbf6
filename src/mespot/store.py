"""HDF5 in and out: one writer a file, a temporary name, then `os.replace`; readers open "r".

A file may be cut off, damaged or made to do harm, and HDF5 itself is no guard: over a text of variable
length that is damaged it runs for ever, and it reads on beyond a compressed chunk that is too short. So
text has a fixed length; what is compressed are `Rows`, which are unpacked here; and whoever reads says by
`array`, `rows` and `attribute` what is expected, and gets that or an InputError.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from pydantic import TypeAdapter, ValidationError

from mespot import provenance
from mespot.errors import UNFINISHED, reading
from mespot.settings import NAME

# The oldest form with checksums over all but the data; attributes may be longer than 64 KiB in it.
VERSION = ("v110", "v110")
LEVEL = 3  # of zstd
# Bytes of frames that are packed together, unless one has more; and of the largest one.
TOGETHER, LARGEST = 1 << 22, 1 << 24
FLOW_UNIT = 1 / 256  # px of one step of stored flow; int16 then reaches +-128 px


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` if the block succeeds.

    It is for a file or a folder. It has the same ending, by which libraries choose a form, and no more
    of a name, which may be as long as a name can be. What a killed process leaves there is removed by
    `start.tidy`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # no folder takes the place of a full one
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
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
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=VERSION) as file:
        tell(file, made=provenance.inside(Path(path), stage, settings), **attributes)
        yield file


def tell(of: h5py.HLObject, **attributes: Any) -> None:
    """Write attributes: numbers, texts or sequences of either; texts in a fixed length."""
    for name, value in attributes.items():
        value = np.asarray(value)
        if value.dtype.kind == "U":
            value = np.char.encode(value, "utf-8")
            value = value.astype(f"S{max(value.dtype.itemsize, 1)}")
        of.attrs[name] = value


@contextmanager
def read(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading.

    Raises InputError if there is no such file or it is not HDF5.
    """
    with reading(path):
        file = h5py.File(path, "r")
    with file:
        yield file


def has(of: h5py.Group, name: str) -> bool:
    """Whether there is anything of that name. Raises InputError."""
    with reading(of.file.filename):
        return name in of


def attribute(of: h5py.HLObject, name: str, kind: Any = str) -> Any:
    """An attribute of a file, group or dataset, as pydantic understands `kind`. Raises InputError."""
    with reading(of.file.filename):
        stored = of.attrs.get_id(name)
        if stored.dtype.kind not in "Sfiu":
            raise ValueError(f"attribute {name} is of type {stored.dtype}")
        value = of.attrs[name].tolist()
        return checked(_text(value), kind)


def groups(of: h5py.Group) -> dict[str, h5py.Group]:
    """The groups in a file or group by their names, sorted. Raises InputError."""
    with reading(of.file.filename):
        found = {
            name: of[name] for name in sorted(of) if NAME.fullmatch(name) and _is_own(of, name)
        }
        if len(found) < len(of) or not all(isinstance(one, h5py.Group) for one in found.values()):
            raise ValueError(f"{of.name} holds something else than mespot writes")
        return found


def attributes(of: h5py.HLObject) -> dict[str, Any]:
    """All attributes, as numbers, texts and lists. Raises InputError."""
    with reading(of.file.filename):
        names = list(of.attrs)
    return {name: attribute(of, name, Any) for name in names}


def checked(value: Any, kind: Any) -> Any:
    """A value as pydantic understands `kind`. Raises ValueError."""
    with _one_fault():
        return _checker(kind).validate_python(value)


def parsed(text: str | bytes, kind: Any) -> Any:
    """JSON as pydantic understands `kind`. Raises ValueError."""
    with _one_fault():
        return _checker(kind).validate_json(text)


@contextmanager
def _one_fault() -> Iterator[None]:
    """The first fault alone, without what was there: that may be too large to be written out."""
    try:
        yield
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"{key}: " for key in fault["loc"])
        raise ValueError(f"{place}{fault['msg']}") from None


@cache
def _checker(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


# What a dimension may be: a number, a range of numbers, or None, anything.
Sides = int | range | None
SOME = range(1, 2**63)


def array(of: h5py.Group, name: str, kind: Any, *shape: Sides) -> np.ndarray:
    """A whole dataset of a file or group: of such a shape, of `kind` (np.floating, np.bool_, ...), finite.

    Raises InputError.
    """
    dataset = _expected(of, name, kind, shape)
    path = of.file.filename
    with reading(path):
        # Nothing but what stands in the file as it is: it cannot fill more memory than that.
        if dataset.chunks or _bytes(dataset, dataset.shape) > os.path.getsize(path):
            raise ValueError(f"{dataset.name} is not there whole")
        values = dataset[()]
        known = values.view(np.uint8) <= 1 if values.dtype == bool else np.isfinite(values)
        if not known.all():
            raise ValueError(
                f"{dataset.name} holds something that is no number, or not true or false"
            )
        return values


class Rows:
    """Compressed frames of `frames_dataset`, to read by slices."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.path = dataset, dataset.file.filename
        self.shape: tuple[int, ...] = dataset.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """Rows (n, ...). Raises InputError."""
        each = self.dataset.chunks[0]
        first = part.start // each * each
        with reading(self.path):
            chunks = [self._chunk(row) for row in range(first, part.stop, each)]
            return np.concatenate(chunks)[part.start - first : part.stop - first]

    def _chunk(self, row: int) -> np.ndarray:
        """The rows that are packed together from `row` on."""
        import blosc2  # seconds: only where it is needed

        blosc2.set_nthreads(1)
        values = np.empty(self.dataset.chunks, self.dataset.dtype)
        at = (row, *(0 for _ in self.shape[1:]))
        frame = blosc2.schunk_from_cframe(self.dataset.id.read_direct_chunk(at)[1])
        unpacked = int.from_bytes(frame.get_chunk(0)[4:8], "little")  # as its header says
        if unpacked != values.nbytes:
            raise ValueError(f"{unpacked} bytes from row {row} on, not {values.nbytes}")
        frame.decompress_chunk(0, values)
        return values


def rows(of: h5py.Group, name: str, kind: Any, *shape: Sides) -> Rows:
    """A dataset that `frames_dataset` made, of such a shape and dtype. Raises InputError."""
    dataset = _expected(of, name, kind, shape)
    with reading(of.file.filename):
        each, *others = dataset.chunks or (0,)
        largest = LARGEST if each == 1 else TOGETHER
        if tuple(others) != dataset.shape[1:] or _bytes(dataset, dataset.chunks) > largest:
            raise ValueError(f"{dataset.name} is in other pieces than mespot writes")
    return Rows(dataset)


def _expected(of: h5py.Group, name: str, kind: Any, shape: tuple[Sides, ...]) -> h5py.Dataset:
    """The dataset of that name in this file, if it is as expected. Raises InputError."""
    with reading(of.file.filename):
        dataset = of[name] if _is_own(of, name) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise ValueError(f"no dataset {name} in {of.name}")
        fits = len(dataset.shape) == len(shape) and all(map(_fits, dataset.shape, shape))
        if not fits or not np.issubdtype(dataset.dtype, kind):
            raise ValueError(f"{dataset.name} is {dataset.dtype} of shape {dataset.shape}")
        return dataset


def _is_own(of: h5py.Group, name: str) -> bool:
    """Whether something is in the file itself: a link may lead to any other."""
    return isinstance(of.get(name, getlink=True), h5py.HardLink)


def _fits(side: int, expected: Sides) -> bool:
    return side in expected if isinstance(expected, range) else expected in (None, side)


def _bytes(dataset: h5py.Dataset, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * dataset.dtype.itemsize


def frames_dataset(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, frames_a_chunk: int = 1
) -> h5py.Dataset:
    """A dataset (time, ...) for `write_flow` or `write_rows`: Blosc2 zstd with bit shuffle (Choices in
    DESIGN.md)."""
    together = min(frames_a_chunk, max(shape[0], 1))
    while together > 1 and together * math.prod(shape[1:]) * np.dtype(dtype).itemsize > TOGETHER:
        together //= 2
    chunks = (together, *shape[1:])
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

    With `threads` they are compressed there: one compresses some 2000 of 256 x 256 a second.
    """
    saturated = 0
    for index, (packed, beyond) in enumerate(_encoded(flows, threads)):
        saturated += beyond
        rows.id.write_direct_chunk((index, 0, 0, 0), packed)
    return saturated


def _encoded(flows: Iterable[np.ndarray], threads: int) -> Iterator[tuple[bytes, int]]:
    def encode(flow: np.ndarray) -> tuple[bytes, int]:
        steps, beyond = flow_to_int16(flow)
        return _packed(steps), beyond

    if not threads:
        yield from map(encode, flows)
        return
    waiting: deque[Future[tuple[bytes, int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for flow in flows:
            waiting.append(pool.submit(encode, flow))
            if len(waiting) > 2 * threads:  # no more of a long video in memory than that
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def write_rows(rows: h5py.Dataset, start: int, values: np.ndarray) -> None:
    """Write `values` (n, ...) to a dataset of compressed frames, from a row on where a chunk begins."""
    each, *others = rows.chunks
    for first in range(0, len(values), each):
        part = values[first : first + each]
        rest = np.zeros((each - len(part), *others), rows.dtype)  # beyond the last row
        packed = _packed(np.concatenate([part, rest]))
        rows.id.write_direct_chunk((start + first, *(0 for _ in others)), packed)


def _packed(values: np.ndarray) -> bytes:
    """Compressed as HDF5's Blosc2 does it, which other programs read; but whole, and in no blocks of its own."""
    import blosc2  # seconds: only where it is needed

    blosc2.set_nthreads(1)
    blosc2.set_releasegil(True)
    settings = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": LEVEL,
        "filters": [blosc2.Filter.BITSHUFFLE],
        "filters_meta": [0],
        "typesize": values.itemsize,
        "nthreads": 1,
    }
    values = np.ascontiguousarray(values)
    return blosc2.SChunk(chunksize=values.nbytes, data=values, cparams=settings).to_cframe()


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover range(n)."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
