"""Whether two results folders hold the same: what a fault, another number of cores or a cluster must not change."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import torch

from mespot.errors import UNFINISHED

# Byte for byte; of HDF5 and of models what is in them, since the files also keep when they were made.
BYTES = {".csv", ".json", ".html", ".png", ".svg", ".tex"}
# They tell how long it took, and of what time the sources are.
APART = {"logs", "benchmarks", "sources.json"}


def different(one: str | Path, other: str | Path) -> list[str]:
    """What differs between two results folders, a line for each file or array: [] if nothing does.

    The bytes of each CSV, JSON, page and picture, the arrays and attributes of each HDF5 file, the
    content of each model. What is in one folder alone differs; files of other kinds are not looked at.
    """
    one, other = Path(one), Path(other)
    names = _names(one), _names(other)
    lines = [f"{name}: only in {one}" for name in sorted(names[0] - names[1])]
    lines += [f"{name}: only in {other}" for name in sorted(names[1] - names[0])]
    for name in sorted(names[0] & names[1]):
        lines += _different_files(one / name, other / name, name)
    return lines


def _names(folder: Path) -> set[str]:
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        str(name)
        for name in files
        if name.parts[0] not in APART
        and name.suffix in {*BYTES, ".h5", ".pt"}
        and not name.name.startswith(UNFINISHED)  # of a killed job: the next run removes it
    }


def _different_files(one: Path, other: Path, name: str) -> list[str]:
    if one.read_bytes() == other.read_bytes():
        return []
    if one.suffix in BYTES:
        return [f"{name}: other bytes"]
    if one.suffix == ".pt":
        contents = [_leaves(torch.load(path, weights_only=True)) for path in (one, other)]
    else:
        contents = [_arrays(path) for path in (one, other)]
    keys = sorted(set(contents[0]) | set(contents[1]))
    return [f"{name}: {key}" for key in keys if not _equal(*(part.get(key) for part in contents))]


def _arrays(path: Path) -> dict[str, object]:
    """The arrays and attributes of an HDF5 file, by their place in it."""
    found: dict[str, object] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        found[name] = item[()] if isinstance(item, h5py.Dataset) else "group"
        found.update({f"{name}@{key}": value for key, value in item.attrs.items()})

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return found


def _leaves(value: object, name: str = "") -> dict[str, object]:
    """The tensors and plain values in nested dicts and lists, by their place in them."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            place: leaf
            for key, part in items
            for place, leaf in _leaves(part, f"{name}/{key}").items()
        } or {name: repr(value)}
    return {name: np.asarray(value) if isinstance(value, torch.Tensor) else value}


def _equal(one: object, other: object) -> bool:
    """Bits and all: NaN is NaN, 0 is not -0."""
    one, other = np.asarray(one), np.asarray(other)
    same_form = one.dtype == other.dtype and one.shape == other.shape
    if one.dtype == object:
        return same_form and one.tolist() == other.tolist()
    return same_form and one.tobytes() == other.tobytes()
