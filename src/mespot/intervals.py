"""Tables of intervals: annotated or spotted, one row an expression, frames inclusive and 0-based."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mespot.errors import InputError
from mespot.store import replacing

TYPES = ("macro", "micro")
ANNOTATION_COLUMNS = ["subject", "video", "type", "onset", "apex", "offset", "au", "source_row"]
SELECTION_COLUMNS = ["fold", "epoch", "min_macro", "min_micro", "tp", "n", "m", "f1"]
# What each column of intervals.csv means; the page says so too.
INTERVALS = {
    "subject": "who is seen: the folder around the video, or else the video itself",
    "video": "the video's name; NAME__2 is the second person in it from the left",
    "type": "macro: an expression of over half a second; micro: a shorter one",
    "onset": "working frame at which the expression begins; frames count from 0",
    "apex": "working frame at which it is strongest",
    "offset": "working frame at which it ends; this frame still belongs to it",
    "score": "how strong the sign is, from 0 to 1; higher is surer; of two stages the probability that it is right",
    "onset_s": "time at which the onset's frame appears, in seconds of the video",
    "apex_s": "time at which the apex's frame appears",
    "offset_s": "time at which the offset's frame goes",
    "duration_s": "offset_s less onset_s",
    "source_onset": "the onset in frames of the file that was given, from 0",
    "source_apex": "the apex in frames of that file",
    "source_offset": "the offset in frames of that file",
    "source_fps": "frames a second of that file",
    "regions": "the regions of the face that moved most, strongest first, joined by +; right and left are those "
    "of the person seen",
    "remarks": "what to keep in mind, separated by semicolons: talking or blink (nothing but that: in "
    "not_counted.csv), partly talking, head moves, cut by the video's start or end, touches a left-out "
    "stretch, same event as a macro",
}
INTERVAL_COLUMNS = list(INTERVALS)
LANE_COLUMNS = ["subject", "video", "lane", "onset", "offset", "onset_s", "offset_s"]


NEEDED = ("video", "type", "onset", "offset")
# The columns of all tables that hold text; the others hold numbers.
TEXTS = {"subject", "video", "type", "au", "lane", "regions", "remarks", "fold"}
TEXTS |= {"method", "dataset", "trained_on", "selection", "protocol"}
LARGEST = 10**9  # more frames than any video has


def load_table(path: Path, columns: Iterable[str], blank: Collection[str] = ()) -> pd.DataFrame:
    """A table with at least these columns; those of numbers hold finite ones, or nothing where `blank`.

    Raises InputError.
    """
    try:
        with warnings.catch_warnings(action="error"):  # that a row has more cells than the header
            table = pd.read_csv(
                path,
                dtype=dict.fromkeys(TEXTS, str),
                keep_default_na=False,
                na_values={name: [""] for name in blank},
                index_col=False,
                compression=None,
            )
    except (OSError, ValueError, Warning) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None
    if lacking := [name for name in columns if name not in table]:
        there = ", ".join(map(str, table))
        raise InputError(f"{path}: no column {', '.join(lacking)}; there are {there}")
    for name in columns:
        if f"{name}.1" in table:
            raise InputError(f"{path}: two columns {name}; one was expected")
        if name in TEXTS or not len(table):
            continue
        # As text: of whole numbers of hundreds of digits pandas would raise an error of its own.
        odd = table[name].dtype in (bool, object)
        written = table[name].astype(str) if odd else table[name]
        table[name] = pd.to_numeric(written, errors="coerce")
        wrong = ~(table[name].abs() <= LARGEST)
        wrong &= written.notna() | (name not in blank)
        if wrong.any():
            row = wrong.idxmax()
            was = str(written[row]) or "empty"
            raise InputError(f"{path}: row {row + 2}: {name} is {was}; a number was expected")
    return table


def load_intervals(path: Path, columns: Iterable[str] = NEEDED) -> pd.DataFrame:
    """A table of intervals with at least these columns.

    Raises InputError for an unreadable file, a missing column or an unknown type.
    """
    table = load_table(path, columns)
    unknown = sorted(set(table["type"]) - set(TYPES))
    if unknown:
        raise InputError(f"{path}: type {unknown[0]!r}; macro or micro was expected")
    return table


def read_selection(path: Path) -> dict[str, pd.Series]:
    """The chosen epoch and thresholds of each fold, as `select` writes them. Raises InputError."""
    table = load_table(path, SELECTION_COLUMNS)
    return {row["fold"]: row for _, row in table[SELECTION_COLUMNS].iterrows()}


def write_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as CSV with these columns, also where there is no row."""
    with replacing(path) as temporary:
        pd.DataFrame(rows, columns=list(columns)).to_csv(temporary, index=False)


def overlaps(first: np.ndarray, second: np.ndarray, inclusive: bool = True) -> np.ndarray:
    """Intersection over union of intervals (M, 2) and (N, 2): (M, N). Negative lengths count as 0."""
    one = 1 if inclusive else 0
    first, second = first[:, None], second[None]
    shared = (
        np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0]) + one
    )
    shared = shared.clip(min=0)
    lengths = (first[..., 1] - first[..., 0] + one).clip(min=0)
    union = lengths + (second[..., 1] - second[..., 0] + one).clip(min=0) - shared
    return np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
