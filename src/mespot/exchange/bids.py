"""bids: events of BIDS (Brain Imaging Data Structure): a table of tabs, and what its columns mean in JSON."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mespot.datasets import tables
from mespot.datasets.plain_table import NUMBER
from mespot.errors import InputError
from mespot.exchange import Recording, type_named
from mespot.intervals import INTERVALS

NEEDED = {"onset", "duration", "trial_type"}
EVENTS = "_events"
LONGEST = 10_000  # bytes of a header
SUBJECT = re.compile(r"sub-([0-9A-Za-z]+)_")
SIDECAR = {
    "onset": {"Description": "when its first frame appears", "Units": "s"},
    "duration": {"Description": "until its last frame goes", "Units": "s"},
    "trial_type": {
        "Description": "type of the facial expression",
        "Levels": {
            "macro": "macro-expression, of over half a second",
            "micro": "micro-expression, shorter",
        },
    },
    "apex": {"Description": INTERVALS["apex_s"], "Units": "s"},
    "score": {"Description": INTERVALS["score"]},
    "au": {"Description": "action units, joined by +"},
    "regions": {"Description": INTERVALS["regions"]},
    "remarks": {"Description": INTERVALS["remarks"]},
    "subject": {"Description": "the subject's whole name; its label has letters and digits alone"},
    "video": {"Description": "the video's whole name, of which the task's label is what is left"},
}


def write(recording: Recording, folder: Path) -> None:
    """Write a video's intervals as sub-{subject}_task-{video}_events.tsv, and .json.

    Labels have letters and digits alone; where two videos' become one, the second is run-2.
    """
    stem = f"sub-{_label(recording.subject)}_task-{_label(recording.video)}"
    if others := len(list(folder.glob(f"{stem}_*.tsv"))):
        stem += f"_run-{others + 1}"
    path = folder / f"{stem}{EVENTS}.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(SIDECAR)
        writer.writerows(_cells(recording))
    path.with_suffix(".json").write_text(json.dumps(SIDECAR, indent=2) + "\n", "utf-8")


def _label(name: str) -> str:
    kept = re.sub(r"[^0-9A-Za-z]", "", name)
    return kept or hashlib.sha256(name.encode()).hexdigest()[:8]


def _cells(recording: Recording) -> Iterator[list[str]]:
    def seconds(ms: int) -> str:
        return f"{ms / 1000:.3f}"

    for one in sorted(recording.intervals, key=lambda one: (one.onset, one.offset)):
        apex = "n/a" if one.apex is None else seconds(one.apex)
        about = [one.about.get(name, "n/a") for name in ("score", "au", "regions", "remarks")]
        times = [seconds(one.onset), seconds(one.offset - one.onset)]
        yield [*times, one.type, apex, *about, recording.subject, recording.video]


def is_events(path: Path) -> bool:
    """Whether a file is a table of events with types, by its first line."""
    try:
        with path.open("rb") as file:
            header = file.readline(LONGEST).decode("utf-8-sig")
    except (OSError, UnicodeError):
        return False
    return {*header.strip().split("\t")} >= NEEDED


def read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events of the trial types macro and micro, and the names of other types.

    Each is a row of an annotation as text, its times in seconds. `subject` and `video` are the columns of
    these names, else what the file is called. Raises InputError.
    """
    table = tables.of_text(path, tables.load(path), lambda header: len(NEEDED & {*header}))
    label = SUBJECT.match(path.name)
    named = {"subject": label[1] if label else "", "video": path.stem.removesuffix(EVENTS)}
    rows, others = [], []
    for number, cells in table.rows.items():
        row = dict(zip(table.header, map(str.strip, cells), strict=True))
        row = {name: cell for name, cell in row.items() if cell.lower() not in tables.NOT_KNOWN}
        type_ = type_named(row.get("trial_type", ""))
        if type_ is None:
            others.append(row.get("trial_type", "n/a"))
            continue
        where = f"{path}: row {number}"
        onset, duration = (_seconds(row, name, where) for name in ("onset", "duration"))
        rows.append(
            {
                "subject": row.get("subject", named["subject"]),
                "said": "subject" in row,
                "video": row.get("video", named["video"]),
                "type": type_,
                "onset": f"{onset:.6f}",
                "apex": row.get("apex", "-1"),
                "offset": f"{onset + duration:.6f}",
                "au": row.get("au", ""),
                "where": where,
            }
        )
    return rows, others


def _seconds(row: dict[str, str], name: str, where: str) -> float:
    cell = row.get(name, "n/a")
    if not NUMBER.fullmatch(cell) or (name == "duration" and float(cell) <= 0):
        expected = "more than 0 s" if name == "duration" else "a time in seconds"
        raise InputError(f"{where}: {name} is {cell!r}; {expected} was expected: correct it")
    return float(cell)
