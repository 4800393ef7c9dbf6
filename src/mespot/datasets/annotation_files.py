"""annotation_files: annotations as they are written, read from each of the known forms.

The published CSV, the plain table in frames or in seconds, and the spreadsheets of CAS(ME)^2 and SAMM-LV.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mespot.datasets import tables
from mespot.datasets.action_units import parse
from mespot.datasets.layouts import video_name
from mespot.datasets.names import Names
from mespot.datasets.tables import CLOCK, NOT_KNOWN, Guess, Sheet, Table
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS

FRAMES = ("onset", "apex", "offset")
NEEDED = ("video", "type", "onset", "offset")
MOST_FRAMES = 10**9  # more than any video has
MOST_AU = 99
IN_SECONDS = "call the columns onset_s, apex_s and offset_s if they are in seconds"
# s; times are written in milliseconds, so 2.333 means the frame shown from 2 1/3 on.
TOLERANCE = 0.5e-3
# As they are compared: small letters without spaces, hyphens and `expression`.
TYPES = {
    **dict.fromkeys(("1", "macro", "mae", "宏表情"), "macro"),
    **dict.fromkeys(("2", "micro", "mie", "me", "micro1/2", "微表情"), "micro"),
}
GUESSED_TYPES = ("1", "2", "me")
SAMM_LV_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units"]
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
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e-\d+)?", re.IGNORECASE)


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
        return f"{self.path}: row {row['source_row']}"

    def type_of(self, row: Mapping[str, Any]) -> str:
        """macro or micro. Raises InputError."""
        type_ = TYPES.get(_spelled_type(row["type"]))
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
        if not self.plain or _NUMBER.fullmatch(row[name]):
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
            number = math.floor((number + TOLERANCE - self.timing.start_s) * self.timing.fps)
        elif self.plain and number != math.floor(number):
            raise InputError(f"{what}, no whole frame; round it if it is a frame, or {IN_SECONDS}")
        if abs(number) > MOST_FRAMES:
            raise InputError(f"{what}; no video is that long: correct it")
        return number


def read(path: Path, frames_per_row: float = 1, timing: Timing | None = None) -> Source:
    """The rows of an annotation file: its form is known from its sheets and columns.

    `frames_per_row` counts for the benchmarks' spreadsheets; other tables' frames are at the working
    rate already. By `timing` those in seconds become frames. Raises InputError for an unreadable file
    or another form.
    """
    timing = timing or Timing()
    data = tables.load(path)
    sheets = tables.sheets(path, data)
    if sheets is None:
        return _table(tables.of_text(path, data, _known_columns), path, timing)
    frames = {sheet.name: _frame(sheet) for sheet in sheets}
    for name, reader in SPREADSHEETS.items():
        if name in frames:
            # The frames' files are numbered from 1, and taken at the dataset's own rate.
            rows = reader(frames[name], frames, path)
            _no_dates(rows, path)
            return Source(path, rows, 1, frames_per_row)
    found = [tables.of_sheet(sheet, _known_columns) for sheet in sheets]
    whole = [table for table in found if table and not _missing(table.header)]
    if len(whole) > 1:
        raise InputError(
            f"{path}: {', '.join(table.form for table in whole)} each have the columns of an annotation; "
            "leave one of them"
        )
    if not whole:
        raise InputError(
            f"{path}: sheets {list(frames)}; one named {' or '.join(SPREADSHEETS)} was expected, or one "
            f"with the columns {', '.join(NEEDED)}"
            + "".join(f"; {table.form} has {_listed(table.header)}" for table in found if table)
        )
    others = [sheet.name for sheet, table in zip(sheets, found, strict=True) if table != whole[0]]
    others = [Guess("other_sheet", "sheet", name, "passed over") for name in others]
    return _table(whole[0]._replace(guesses=[*others, *whole[0].guesses]), path, timing)


def subjects(path: Path) -> dict[str, str]:
    """The subject that an annotation names for each video, where it names one."""
    named: dict[str, set[str]] = {}
    people = Names(subjects=True)  # one who is written in several ways is one
    for row in read(path).rows.itertuples():
        subject = people.meant(row.subject) or row.subject
        people.add(subject)
        named.setdefault(row.video, set()).add(subject)
    return {video: (said - {""}).pop() for video, said in named.items() if len(said - {""}) == 1}


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


def _known_columns(header: Sequence[str]) -> int:
    return len({name for _, name, _ in _columns(header)})


def _missing(header: Sequence[str]) -> list[str]:
    there = {name for _, name, _ in _columns(header)}
    return [name for name in NEEDED if name not in there]


def _table(table: Table, path: Path, timing: Timing) -> Source:
    """The published CSV or the plain table; both count frames from 0."""
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
    guesses = [*table.guesses, *_of_columns(header, table, in_seconds, published, timing)]
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
    _no_dates(rows, path)
    guesses += _numbers_as_text(rows, in_seconds, path)
    if not published:
        guesses += _of_types(rows["type"])
    for name in ("au", "subject"):  # a column of numbers, some empty, as pandas writes it
        rows[name] = [re.sub(r"^(\d+)\.0$", r"\1", cell) for cell in rows[name]]
    guesses += _named_by_paths(rows, path)
    when = timing if in_seconds else None
    return Source(path, rows, plain=not published, timing=when, guesses=tuple(guesses))


def _places(table: Table, path: Path) -> dict[str, tuple[int, bool]]:
    """Where each known column is, and whether it is in seconds. Raises InputError."""
    of: dict[str, tuple[int, bool]] = {}
    for n, name, seconds in _columns(table.header):
        if name in of:
            both = f"{table.header[of[name][0]]} and {table.header[n]}"
            raise InputError(f"{path}: two columns are the {name}: {both}; rename one")
        of[name] = (n, seconds)
    unit = "_s" if any(seconds for _, seconds in of.values()) else ""
    missing = [name + unit if name in FRAMES else name for name in _missing(table.header)]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; there are {_listed(table.header)} ({table.form}); rename "
            "them (times in seconds are onset_s, apex_s and offset_s)"
        )
    return of


def _of_columns(
    header: Mapping[str, str], table: Table, in_seconds: bool, published: bool, timing: Timing
) -> Iterator[Guess]:
    """What was guessed of the columns: by the known ones' names in the file."""
    renamed = [name for name in header if header[name].lower() not in (name, f"{name}_s")]
    if renamed and not published:
        was = _listed(header[name] for name in renamed)
        yield Guess("header", "columns", was, _listed(renamed))
    beside = [cell for cell in table.header if (column := _column(cell)) and column[0] in FRAMES]
    beside = [cell for cell in beside if cell not in header.values()]
    if beside:
        yield Guess("beside", "columns", _listed(beside), "passed over")
    used = {*header.values(), *beside}
    if others := [cell for cell in table.header if cell and cell not in used]:
        yield Guess("not_read", "columns", _listed(others), "passed over")
    if in_seconds:
        was = _listed(header[name] for name in FRAMES if name in header)
        yield Guess("seconds", "columns", was, f"frames at {timing.fps:g} fps")


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


def _no_dates(rows: pd.DataFrame, path: Path) -> None:
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
        type_ = _spelled_type(was)
        if type_ in GUESSED_TYPES:
            yield Guess("type", "type", was, TYPES[type_])


def _spelled_type(cell: Any) -> str:
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
    return as_read if _NUMBER.fullmatch(as_read) else cell


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


def _frame(sheet: Sheet) -> pd.DataFrame:
    """A sheet as pandas reads it: whole numbers are int, what is empty is NaN."""
    return pd.DataFrame(
        [
            [
                math.nan
                if value is None or value == "#N/A"
                else int(value)
                if isinstance(value, float) and value.is_integer()
                else value
                for value in row
            ]
            for row in sheet.cells
        ],
        dtype=object,
    )


def _listed(names: Iterable[Any]) -> str:
    """In one line, the first dozen."""
    names = [" ".join(str(name).split())[:40] for name in names]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if names[12:] else "")


def _cas_me_sq(codes: pd.DataFrame, sheets: dict[str, pd.DataFrame], path: Path) -> pd.DataFrame:
    """CAS(ME)^2: three sheets without header rows; the two naming rules tell the folder's name."""
    try:
        people, clips = sheets["naming rule1"], sheets["naming rule2"]
        subject_of = {
            str(int(row[2])): f"casme_{int(row[0]):03d}" for row in people.itertuples(index=False)
        }
        code_of = {str(row[1]): f"{int(row[0]):04d}" for row in clips.itertuples(index=False)}
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"{path}: naming rule1 and naming rule2 cannot be read ({error})"
        ) from None
    if codes.shape[1] < 8:
        raise InputError(f"{path}: {codes.shape[1]} columns in the sheet of codes; 8 were expected")
    rows = []
    for number, row in enumerate(codes.itertuples(index=False), start=1):
        if pd.isna(row[0]) and pd.isna(row[1]):
            continue
        person, clip = str(row[0]).removesuffix(".0"), str(row[1]).split("_")[0]
        if person not in subject_of or clip not in code_of:
            raise InputError(f"{path}: row {number}: {row[0]}, {row[1]} is in neither naming rule")
        video = f"{subject_of[person]}_{code_of[clip]}"
        frames = (row[2], row[3], row[4])
        rows.append((subject_of[person], video, row[7], *frames, _au(row[5]), number, row[1]))
    return pd.DataFrame(rows, columns=[*COLUMNS, "name"])


def _samm_lv(sheet: pd.DataFrame, sheets: dict[str, pd.DataFrame], path: Path) -> pd.DataFrame:
    """SAMM-LV: one sheet; a preamble, then the header, then the rows."""
    heads = [i for i in range(len(sheet)) if {"Onset", "Offset"} <= set(sheet.iloc[i])]
    if not heads:
        raise InputError(f"{path}: no header row with Onset and Offset in FACS_Movement_Only")
    table = sheet.iloc[heads[0] + 1 :].set_axis([str(x) for x in sheet.iloc[heads[0]]], axis=1)
    missing = [name for name in SAMM_LV_HEADER if name not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)} in FACS_Movement_Only")
    rows = []
    for index, row in table.iterrows():
        if pd.isna(row["Filename"]) and pd.isna(row["Onset"]):
            continue
        number, clip, *_ = [*str(row["Filename"]).split("_"), ""]
        frames = (row["Onset"], row["Apex"], row["Offset"])
        au = _au(row["Action Units"])
        video = f"samm_{number}_{clip}"
        named = (int(index) + 1, row["Filename"])
        rows.append((f"samm_{number}", video, row["Type"], *frames, au, *named))
    return pd.DataFrame(rows, columns=[*COLUMNS, "name"])


SPREADSHEETS = {
    "CASFEcode_final": _cas_me_sq,
    "CASMEcode_final": _cas_me_sq,  # as code of other groups has it
    "FACS_Movement_Only": _samm_lv,
}


def _au(cell: Any) -> str:
    return "" if pd.isna(cell) else str(cell).strip()
