"""Tables of intervals: annotated or spotted, one row an expression, frames inclusive and 0-based."""

from __future__ import annotations

from collections.abc import Sequence
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
    "score": "how strong the sign is, from 0 to 1; higher is surer, but it is no probability",
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


def load_intervals(path: Path) -> pd.DataFrame:
    """A table with at least the columns video, type, onset and offset.

    Raises InputError for an unreadable file, a missing column or an unknown type.
    """
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(("subject", "video", "au"), str), keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None
    missing = [name for name in ("video", "type", "onset", "offset") if name not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; there are {', '.join(table)}")
    for name in ("onset", "offset"):
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(f"{path}: column {name} holds something other than frame numbers")
    unknown = sorted(set(table["type"]) - set(TYPES))
    if unknown:
        raise InputError(f"{path}: type {unknown[0]!r}; macro or micro was expected")
    return table


def read_selection(path: Path) -> dict[str, pd.Series]:
    """The chosen epoch and thresholds of each fold, as `select` writes them."""
    try:
        table = pd.read_csv(path, dtype={"fold": str})
        return {row["fold"]: row for _, row in table[SELECTION_COLUMNS].iterrows()}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a table of chosen epochs ({error})") from None


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
