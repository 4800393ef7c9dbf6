"""annotation_files: annotations as they are written, read from each of the known forms.

The published CSV, the plain table in frames or in seconds, the spreadsheets of CAS(ME)^2 and SAMM-LV, and
the files of other programs (`exchange`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mespot.datasets import tables
from mespot.datasets.endings import ANNOTATIONS, hidden
from mespot.datasets.layouts import video_name
from mespot.datasets.names import Names
from mespot.datasets.plain_table import (
    FRAMES,
    IN_SECONDS,
    NEEDED,
    NUMBER,
    TYPES,
    known_columns,
    listed,
    missing_columns,
    no_dates,
    plain_table,
    spelled_type,
)
from mespot.datasets.spreadsheets import SPREADSHEETS, frame
from mespot.datasets.tables import CLOCK, Guess, Table
from mespot.errors import InputError
from mespot.exchange import bids, elan

MOST_FRAMES = 10**9  # more than any video has
# s; times are written in milliseconds, so 2.333 means the frame shown from 2 1/3 on.
TOLERANCE = 0.5e-3


class Timing(NamedTuple):
    """When frames of the working rate are shown: frame k at start_s + k / fps of the source."""

    fps: float = 30.0
    start_s: float = 0.0


class Source(NamedTuple):
    """Rows as they are written, and how their frames are counted."""

    path: Path
    rows: pd.DataFrame  # COLUMNS, unconverted, and the expression's name where it has one
    first_frame: int = 0  # the number that the annotation gives to a video's first frame
    frames_per_row: float = 1  # its frames that make one at the working rate
    plain: bool = False  # whose frames are whole, and none before the first
    timing: Timing | None = None  # of onset, apex and offset in seconds
    ends: bool = False  # an offset's time is when its frame goes, not one at which it is shown
    guesses: tuple[Guess, ...] = ()

    def frame(self, number: float) -> int:
        """The 0-based working frame of a frame number; below 0 before the video's first."""
        return math.floor((number - self.first_frame) / self.frames_per_row)

    def named(self, videos: Collection[str], subjects: Collection[str] = ()) -> Source:
        """With the names that the dataset's videos and subjects have.

        One of many called `1`, of anna, is anna_1; one written otherwise is the only one that fits.
        """
        there = {"subject": Names(subjects, subjects=True), "video": Names(videos)}
        taken: dict[tuple[str, str], str] = {}

        def known(field: str, name: str) -> str:
            taken[field, name] = (there[field].meant(name) if name else None) or name
            return taken[field, name]

        names = []
        for row in self.rows.to_dict("records"):
            subject, video = row["subject"], row["video"]
            if not subject and row.get("folder") in subjects:
                subject = row["folder"]
            subject = known("subject", subject)
            whole = f"{subject}_{video}"
            if (whole in videos and video not in videos) or (
                not there["video"].meant(video) and there["video"].meant(whole)
            ):
                video = whole
            names.append((subject, known("video", video)))
        guesses = [
            Guess("name", field, was, now) for (field, was), now in taken.items() if was != now
        ]
        rows = self.rows.assign(
            subject=[subject for subject, _ in names], video=[video for _, video in names]
        )
        return self._replace(rows=rows, guesses=(*self.guesses, *guesses))

    def where(self, row: Mapping[str, Any]) -> str:
        return row.get("where") or f"{self.path}: row {row['source_row']}"

    def type_of(self, row: Mapping[str, Any]) -> str:
        """macro or micro. Raises InputError."""
        type_ = TYPES.get(spelled_type(row["type"]))
        if type_ is None:
            raise InputError(
                f"{self.where(row)}: type {row['type']!r}; macro or micro was expected (MaE, ME, 1 and 2 "
                "are known too)"
            )
        return type_

    def numbers(self, row: Mapping[str, Any]) -> list[float]:
        """Onset, apex and offset as numbers of the file's own frames, or of working ones where they
        are in seconds. Raises InputError.
        """
        return [self._number(row, name) for name in FRAMES]

    def _number(self, row: Mapping[str, Any], name: str) -> float:
        what = f"{self.where(row)}: {name} is {row[name]!r}"
        number = math.nan
        if not self.plain or NUMBER.fullmatch(row[name]):
            with suppress(TypeError, ValueError):
                # Spreadsheets hold 7284.999999999999 where 7285 was meant.
                number = round(float(row[name]), 6)
        if self.plain and CLOCK.fullmatch(row[name]):
            raise InputError(f"{what}, a time; {IN_SECONDS}")
        if not math.isfinite(number):
            expected = "a time in seconds" if self.timing else "a frame number"
            raise InputError(f"{what}; {expected} was expected")
        if self.plain and number < 0 and name != "apex":
            raise InputError(f"{what}; nothing begins or ends before the video, which begins at 0")
        if self.timing:
            if name == "apex" and number < 0:
                return -1
            number = self._shown(number, ends=self.ends and name == "offset")
        elif self.plain and number != math.floor(number):
            raise InputError(f"{what}, no whole frame; round it if it is a frame, or {IN_SECONDS}")
        if abs(number) > MOST_FRAMES:
            raise InputError(f"{what}; no video is that long: correct it")
        return number

    def _shown(self, seconds: float, ends: bool) -> int:
        """The working frame that is shown at a time, or that `ends` then; below 0 before the first."""
        if ends:
            return math.ceil(self._frames(seconds - TOLERANCE)) - 1
        return math.floor(self._frames(seconds + TOLERANCE))

    def _frames(self, seconds: float) -> float:
        return round((seconds - self.timing.start_s) * self.timing.fps, 6)


def read(path: Path, frames_per_row: float = 1, timing: Timing | None = None) -> Source:
    """The rows of an annotation file: its form is known from its sheets and columns.

    `frames_per_row` counts for the benchmarks' spreadsheets; other tables' frames are at the working
    rate already. By `timing` those in seconds become frames. Raises InputError for an unreadable file
    or another form.
    """
    timing = timing or Timing()
    if exchanged := files(path):
        return _of_programs(path, exchanged, timing)
    data = tables.load(path)
    sheets = tables.sheets(path, data)
    if sheets is None:
        return _plain(tables.of_text(path, data, known_columns), path, timing)
    frames = {sheet.name: frame(sheet) for sheet in sheets}
    for name, reader in SPREADSHEETS.items():
        if name in frames:
            # The frames' files are numbered from 1, and taken at the dataset's own rate.
            rows = reader(frames[name], frames, path)
            no_dates(rows, path)
            return Source(path, rows, 1, frames_per_row)
    found = [tables.of_sheet(sheet, known_columns) for sheet in sheets]
    whole = [table for table in found if table and not missing_columns(table.header)]
    if len(whole) > 1:
        raise InputError(
            f"{path}: {', '.join(table.form for table in whole)} each have the columns of an annotation; "
            "leave one of them"
        )
    if not whole:
        raise InputError(
            f"{path}: sheets {list(frames)}; one named {' or '.join(SPREADSHEETS)} was expected, or one "
            f"with the columns {', '.join(NEEDED)}"
            + "".join(f"; {table.form} has {listed(table.header)}" for table in found if table)
        )
    others = [sheet.name for sheet, table in zip(sheets, found, strict=True) if table != whole[0]]
    others = [Guess("other_sheet", "sheet", name, "passed over") for name in others]
    return _plain(whole[0]._replace(guesses=[*others, *whole[0].guesses]), path, timing)


def _plain(table: Table, path: Path, timing: Timing) -> Source:
    rows, published, in_seconds, guesses = plain_table(table, path, timing.fps)
    when = timing if in_seconds else None
    return Source(path, rows, plain=not published, timing=when, guesses=tuple(guesses))


def files(path: Path) -> list[Path]:
    """The files of ELAN and of BIDS events that an annotation is: itself, or those in a folder; none of a table."""
    within = [path]
    if path.is_dir():
        found = (Path(where, name) for where, _, names in os.walk(path) for name in names)
        within = sorted(one for one in found if not any(map(hidden, one.relative_to(path).parts)))
    by_ending = (one for one in within if one.suffix.lower() in ANNOTATIONS and one.is_file())
    return [one for one in by_ending if _is_elans(one) or bids.is_events(one)]


def _is_elans(file: Path) -> bool:
    return file.suffix.lower() == elan.ENDING


def _of_programs(path: Path, exchanged: list[Path], timing: Timing) -> Source:
    """Their rows, numbered from 1 over all files; one that is not named within is named by its file."""
    rows, others = [], {}
    for file in exchanged:
        found, left = (elan if _is_elans(file) else bids).read(file)
        folder = file.relative_to(path).parts[0] if file.parent not in (path, path.parent) else ""
        rows += [{"said": True, "folder": folder, **row} for row in found]
        others |= dict.fromkeys(left)
    if not rows:
        raise InputError(
            f"{path}: nothing in it is of a tier or trial type macro or micro; there are "
            f"{listed(others) or 'none'}: rename them"
        )
    for number, row in enumerate(rows, start=1):
        row["source_row"] = number
        for name in ("subject", "video", "folder"):
            row[name] = row[name] and video_name(Path(row[name]))
    guesses = [Guess("not_read", "tiers", listed(others), "passed over")] if others else []
    return Source(
        path, pd.DataFrame(rows), plain=True, timing=timing, ends=True, guesses=tuple(guesses)
    )


def subjects(path: Path) -> dict[str, str]:
    """The subject that an annotation names for each video, where it names one."""
    named: dict[str, set[str]] = {}
    people = Names(subjects=True)  # one who is written in several ways is one
    for row in read(path).rows.itertuples():
        subject = people.meant(row.subject) or row.subject
        people.add(subject)
        named.setdefault(row.video, set()).add(subject)
    return {video: (said - {""}).pop() for video, said in named.items() if len(said - {""}) == 1}
