"""Which experiment a folder of results is of: told by its path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mespot.errors import InputError

SELECTIONS = ("last", "inner", "oracle")
# What the stage `spot` writes of a run.
SPOTTED = ("intervals.csv", "not_counted.csv", "lanes.csv", "curves.h5")


class Experiment(NamedTuple):
    """What a score is of, but for the seed."""

    method: str
    dataset: str
    trained_on: str
    selection: str


def experiment(path: Path, results: Path) -> tuple[Experiment, int]:
    """What a score file is of, and of which seed. Raises InputError.

    DATASET/METHOD[/seed_K][/cross/SOURCE | /part/PART][/SELECTION]/score.json
    """
    expected = InputError(f"{path}: {results}/DATASET/METHOD/.../score.json was expected")
    parts = path.relative_to(results).parts[:-1] if path.is_relative_to(results) else ()
    if len(parts) < 2:
        raise expected
    dataset, method, *rest = parts
    seed = 1
    if rest and (number := re.fullmatch(r"seed_(\d{1,9})", rest[0])):
        seed, rest = int(number[1]), rest[1:]
    trained_on = dataset
    if len(rest) > 1 and rest[0] == "cross":
        trained_on, rest = rest[1], rest[2:]
    elif len(rest) > 1 and rest[0] == "part":
        dataset, rest = rest[1], rest[2:]
    selection = rest[0] if rest else "last"
    if len(rest) > 1 or selection not in SELECTIONS:
        raise expected
    return Experiment(method, dataset, trained_on, selection), seed


def of_folder(folder: str) -> Experiment:
    """What a folder of results below their own is of. Raises InputError."""
    return experiment(Path(folder, "score.json"), Path())[0]


def spotted_in(folder: str) -> str:
    """Where the intervals of a score stand: those of a part of joined datasets with the others'."""
    return re.sub(r"^([^/]+/[^/]+(?:/seed_\d+)?)/part/[^/]+", r"\1", folder)
