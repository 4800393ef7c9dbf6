"""plain_table: a table of annotations as anyone may write it, and the published CSVs, made the same.

Columns, types and numbers are known by many spellings; what was guessed is told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mespot.datasets import tables
from mespot.datasets.action_units import parse
from mespot.datasets.layouts import video_name
from mespot.datasets.tables import CLOCK, NOT_KNOWN, Guess, Table
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS

FRAMES = ("onset", "apex", "offset")
NEEDED = ("video", "type", "onset", "offset")
MOST_AU = 99
IN_SECONDS = "call the columns onset_s, apex_s and offset_s if they are in seconds"
# As they are compared: small letters without spaces, hyphens and `expression`.
TYPES = {
    **dict.fromkeys(("1", "macro", "mae", "宏表情"), "macro"),
    **dict.fromkeys(("2", "micro", "mie", "me", "micro1/2", "微表情"), "micro"),
}
GUESSED_TYPES = ("1", "2", "me")
PUBLISHED = {
    "video_name": "video",
    "start_frame": "onset",
    "apex_frame": "apex",
    "end_frame": "offset",
    "type_idx": "type",
}
# The plain table's columns as people call them: small letters without spaces, `_` and the like.
SYNONYMS = {
    "subject": (
        "subjectid",
        "subjectno",
        "subjectnr",
        "subjectnumber",
        "subjectname",
        "subj",
        "participant",
        "participantid",
        "participantno",
        "person",
        "personid",
        "pid",
        "受试者",
        "被试",
        "被试编号",
    ),
    "video": ("videoname", "videoid", "videofile", "filename", "file", "视频", "视频名", "文件名"),
    "type": ("typeidx", "expressiontype", "类型", "表情类型"),
    "onset": (
        "onsetframe",
        "onsetframes",
        "start",
        "startframe",
        "begin",
        "beginframe",
        "起始帧",
        "开始帧",
    ),
    "apex": ("apexframe", "apexframes", "peak", "peakframe", "顶点帧", "峰值帧"),
    "offset": (
        "offsetframe",
        "offsetframes",
        "end",
        "endframe",
        "stop",
        "stopframe",
        "结束帧",
        "终止帧",
    ),
    "au": ("aus", "actionunit", "actionunits", "动作单元"),
}
_MEANT = {each: name for name, others in SYNONYMS.items() for each in (name, *others)}
# In seconds: onset_s, Start (s), offset time [sec], EndSeconds.
_SECONDS = re.compile(r"(?P<name>[a-z]+?)(?:_?time)?(?:_s|_?secs?|_?seconds?)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_SPACED = re.compile(r"[1-9]\d{0,2}(?:[\s'’]\d{3})+(?:[.,]\d+)?")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e-\d+)?", re.IGNORECASE)


def _column(header: str) -> tuple[str, bool] | None:
    """Which column of a plain table a header's cell names, and whether in seconds."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKC", header)).lower()
    words = re.sub(r"[\W_]+", "_", words).strip("_")
    name = _MEANT.get(words.replace("_", ""))
    if name:
        return name, False
    seconds = _SECONDS.fullmatch(words)
    name = _MEANT.get(seconds["name"]) if seconds else None
    return (name, True) if name in FRAMES else None


def _columns(header: Sequence[str]) -> Iterator[tuple[int, str, bool]]:
    """Place and name of each known column, and whether it is in seconds.

    Where frames stand beside seconds, as in mespot's own tables, frames count.
    """
    known = [(n, *column) for n, cell in enumerate(header) if (column := _column(cell))]
    frames = {name for _, name, seconds in known if name in FRAMES and not seconds}
    in_seconds = not {"onset", "offset"} <= frames
    for n, name, seconds in known:
        if name not in FRAMES or seconds == in_seconds or not any(s for *_, s in known):
            yield n, name, seconds


def known_columns(header: Sequence[str]) -> int:
    return len({name for _, name, _ in _columns(header)})


def missing_columns(header: Sequence[str]) -> list[str]:
    there = {name for _, name, _ in _columns(header)}
    return [name for name in NEEDED if name not in there]


class PlainTable(NamedTuple):
    """Rows made the same, and what was guessed on the way."""

    rows: (
        pd.DataFrame
    )  # COLUMNS as text, `said` (whether the row itself names its subject) and `folder`
    published: bool
    in_seconds: bool
    guesses: list[Guess]


def plain_table(table: Table, path: Path, fps: float) -> PlainTable:
    """The rows of a table; its frames count from 0. Raises InputError that names the row.

    `fps` is the working rate, at which times in seconds will be taken.
    """
    of = _places(table, path)
    header = {name: table.header[n] for name, (n, _) in of.items()}
    in_seconds = of["onset"][1]
    published = PUBLISHED.keys() - {"apex_frame"} <= {*table.header}
    rows = pd.DataFrame(
        {name: [row[n] for row in table.rows.values()] for name, (n, _) in of.items()}, dtype=object
    )
    rows = rows.reindex(columns=COLUMNS[:-1], fill_value="")
    as_written, rows = rows["au"], rows.map(str.strip).assign(source_row=[*table.rows])
    if published:
        rows["au"] = as_written  # the published tables differ in spaces, too
    guesses = [*table.guesses, *_of_columns(header, table, in_seconds, published, fps)]
    guesses += [*_fill_down(rows, "video"), *_fill_down(rows, "subject")]
    known = ~rows[["type", *FRAMES, "au"]].map(str.lower).isin(NOT_KNOWN).all(axis=1)
    if not published:  # as some write that there is no expression
        nothing = rows[[*FRAMES]].map(str.lower).isin({*NOT_KNOWN, "0", "0.0", "-1"}).all(axis=1)
        known &= ~(nothing & rows["offset"].isin(["0", "0.0"]))
    if not known.all():
        empty = ", ".join(map(str, rows.loc[~known, "source_row"]))
        guesses.append(Guess("no_expression", "rows", empty, "passed over"))
    rows = rows[known].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{path}: no row below its header; a row for each expression was expected")
    for name, unknown in (("apex", "-1"), ("au", ""), ("subject", "")):
        rows[name] = [unknown if cell.lower() in NOT_KNOWN else cell for cell in rows[name]]
    no_dates(rows, path)
    guesses += _numbers_as_text(rows, in_seconds, path)
    if not published:
        guesses += _of_types(rows["type"])
    for name in ("au", "subject"):  # a column of numbers, some empty, as pandas writes it
        rows[name] = [re.sub(r"^(\d+)\.0$", r"\1", cell) for cell in rows[name]]
    guesses += _named_by_paths(rows, path)
    return PlainTable(rows, published, in_seconds, guesses)


def _places(table: Table, path: Path) -> dict[str, tuple[int, bool]]:
    """Where each known column is, and whether it is in seconds. Raises InputError."""
    of: dict[str, tuple[int, bool]] = {}
    for n, name, seconds in _columns(table.header):
        if name in of:
            both = f"{table.header[of[name][0]]} and {table.header[n]}"
            raise InputError(f"{path}: two columns are the {name}: {both}; rename one")
        of[name] = (n, seconds)
    unit = "_s" if any(seconds for _, seconds in of.values()) else ""
    missing = [name + unit if name in FRAMES else name for name in missing_columns(table.header)]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; there are {listed(table.header)} ({table.form}); rename "
            "them (times in seconds are onset_s, apex_s and offset_s)"
        )
    return of


def _of_columns(
    header: Mapping[str, str], table: Table, in_seconds: bool, published: bool, fps: float
) -> Iterator[Guess]:
    """What was guessed of the columns: by the known ones' names in the file."""
    renamed = [name for name in header if header[name].lower() not in (name, f"{name}_s")]
    if renamed and not published:
        was = listed(header[name] for name in renamed)
        yield Guess("header", "columns", was, listed(renamed))
    beside = [cell for cell in table.header if (column := _column(cell)) and column[0] in FRAMES]
    beside = [cell for cell in beside if cell not in header.values()]
    if beside:
        yield Guess("beside", "columns", listed(beside), "passed over")
    used = {*header.values(), *beside}
    if others := [cell for cell in table.header if cell and cell not in used]:
        yield Guess("not_read", "columns", listed(others), "passed over")
    if in_seconds:
        was = listed(header[name] for name in FRAMES if name in header)
        yield Guess("seconds", "columns", was, f"frames at {fps:g} fps")


def _fill_down(rows: pd.DataFrame, name: str) -> Iterator[Guess]:
    """An empty cell has the value of the one above, as where a name stands once for several rows."""
    filled = rows[name].replace("", None).ffill().fillna("")
    changed = filled != rows[name]
    if changed.any():
        first = rows.loc[changed, "source_row"].iloc[0]
        was = f"{changed.sum()} empty, the first in row {first}"
        yield Guess("filled_down", name, was, "as above")
    if name == "subject":
        rows["said"] = ~changed
    rows[name] = filled


def no_dates(rows: pd.DataFrame, path: Path) -> None:
    """Raise InputError for a cell of which the spreadsheet program made a date."""
    for row in rows[COLUMNS].astype(str).to_dict("records"):
        for name in COLUMNS[:-1]:
            # A recording may be called by its day.
            form = tables.DATE_CELL if name in ("subject", "video") else tables.DATE
            dated = form.fullmatch(row[name])
            dated = dated or (name == "au" and CLOCK.fullmatch(row[name]))
            if dated or (name == "au" and any(unit.number > MOST_AU for unit in parse(row[name]))):
                raise InputError(
                    f"{path}: row {row['source_row']}: {name} is {row[name]!r}, "
                    f"{'which looks like' if dated else 'no AU, but perhaps'} a date or time that the spreadsheet "
                    "program made of it; format the column as text and type the cell again (AUs as 12+6)"
                )


def _of_types(cells: pd.Series) -> Iterator[Guess]:
    for was in dict.fromkeys(cells):
        type_ = spelled_type(was)
        if type_ in GUESSED_TYPES:
            yield Guess("type", "type", was, TYPES[type_])


def spelled_type(cell: Any) -> str:
    text = re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", str(cell)).lower())
    return re.sub(r"(expressions?|\.0+)$", "", text)


def _numbers_as_text(rows: pd.DataFrame, in_seconds: bool, path: Path) -> Iterator[Guess]:
    """Onset, apex and offset as Python writes numbers: no comma, no clock, no space between digits.

    Raises InputError for a comma that may stand before thousands or before decimals.
    """
    for name in FRAMES:
        cells = [unicodedata.normalize("NFKC", cell) for cell in rows[name]]
        rows[name] = [
            re.sub(r"[\s'’]", "", cell) if _SPACED.fullmatch(cell) else cell for cell in cells
        ]
        for was, now in zip(cells, rows[name], strict=True):
            if was != now:
                yield Guess("thousands", "frames", was, now)
                break
        if in_seconds:
            rows[name] = [_seconds(cell) for cell in rows[name]]
    numbers = rows[[*FRAMES]]
    points = numbers.map(lambda cell: bool(re.fullmatch(r"\d{1,3}(?:\.000)+", cell)))
    if (
        not in_seconds
        and points.any(axis=None)
        and not numbers[~points].map(_pointed).all(axis=None)
    ):
        first = points.any(axis=1).idxmax()
        cell = numbers.loc[first][points.loc[first]].iloc[0]
        raise InputError(
            f"{path}: row {rows.at[first, 'source_row']}: {cell!r} is {cell.split('.')[0]} or "
            f"{cell.replace('.', '')}; write frames without points"
        )
    commas = [cell for cell in numbers.to_numpy().ravel() if "," in cell and not CLOCK.match(cell)]
    if not commas:
        return
    decimals, thousands = (
        numbers.map(lambda cell, mark=mark: _if_number(cell, cell.replace(",", mark)))
        for mark in (".", "")
    )
    if not all(_THOUSANDS.fullmatch(cell) for cell in commas):
        rule, read = "decimal_comma", decimals
    elif any("." in cell for cell in commas) or (not _in_order(decimals) and _in_order(thousands)):
        rule, read = "thousands", thousands
    elif in_seconds or not _in_order(thousands):
        rule, read = "decimal_comma", decimals
    else:
        first = numbers.eq(commas[0]).any(axis=1).idxmax()
        raise InputError(
            f"{path}: row {rows.at[first, 'source_row']}: {commas[0]!r} is {commas[0].replace(',', '')} or "
            f"{commas[0].replace(',', '.')}; write frames without commas, or {IN_SECONDS}"
        )
    rows[[*FRAMES]] = read
    yield Guess(rule, "frames", commas[0], str(read.to_numpy()[numbers.eq(commas[0])][0]))


def _seconds(cell: str) -> str:
    """A clock's time as seconds; any other cell as it is."""
    clock = CLOCK.fullmatch(cell)
    if not clock:
        return cell
    hours, minutes, seconds = clock.groups()
    return f"{int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(',', '.')):.6f}"


def _pointed(cell: object) -> bool:
    """Whether a frame is written with a point, or not at all."""
    return not isinstance(cell, str) or "." in cell or not cell.isdigit()


def _if_number(cell: str, as_read: str) -> str:
    return as_read if NUMBER.fullmatch(as_read) else cell


def _in_order(numbers: pd.DataFrame) -> bool:
    """Whether in each row that has numbers the onset is not after the apex, nor that after the offset."""
    numbers = numbers.apply(pd.to_numeric, errors="coerce")
    apex = numbers["apex"].where(numbers["apex"] > 0)
    late = (numbers["onset"] > apex) | (apex > numbers["offset"])
    return not (late | (numbers["onset"] > numbers["offset"])).any()


def _named_by_paths(rows: pd.DataFrame, path: Path) -> Iterator[Guess]:
    """Subjects and videos as `layouts` names what lies in folders; "one.mp4" is one.

    Of a path the last part names the video, and the one before it may name the subject.
    """
    parts = [re.split(r"[/\\]", cell.strip("/\\")) for cell in rows["video"]]
    for number, (*_, name) in zip(rows["source_row"], parts, strict=True):
        if not name:
            raise InputError(f"{path}: row {number}: no video; the video's name was expected")
    for cell, part in zip(rows["video"], parts, strict=True):
        if part[1:]:
            yield Guess("path", "video", cell, video_name(Path(part[-1])))
            break
    rows["folder"] = [video_name(Path(part[-2])) if part[1:] else "" for part in parts]
    rows["video"] = [video_name(Path(part[-1])) for part in parts]
    whole = (re.sub(r"[/\\]", "_", cell) for cell in rows["subject"])
    rows["subject"] = [video_name(Path(cell)) if cell else "" for cell in whole]


def listed(names: Iterable[Any]) -> str:
    """In one line, the first dozen."""
    names = [" ".join(str(name).split())[:40] for name in names]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if names[12:] else "")
