"""annotation: the dataset's spreadsheet or CSV in one normal form, and all that had to be decided.

Frames of the normal form are 0-based at the working rate and inclusive at both ends. Each decision
is a row of the audit: `source_row,video,field,was,now,why`. Beside it stands the same table as given:
brought to the working rate and nothing else, for whatever imitates the published code.
"""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS
from mespot.intervals import load_intervals, write_table
from mespot.settings import Annotation

AUDIT_COLUMNS = ["source_row", "video", "field", "was", "now", "why"]
FRAMES = ("onset", "apex", "offset")
TYPES = {
    "1": "macro",
    "macro": "macro",
    "macro-expression": "macro",
    "2": "micro",
    "micro": "micro",
    "micro-expression": "micro",
    "micro - 1/2": "micro",
}
SAMM_LV_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units"]
PUBLISHED = {
    "video_name": "video",
    "start_frame": "onset",
    "apex_frame": "apex",
    "end_frame": "offset",
    "type_idx": "type",
}


class Source(NamedTuple):
    """Rows as they are written, and how their frames are counted."""

    rows: pd.DataFrame  # COLUMNS, unconverted
    first_frame: int  # the number that the annotation gives to a video's first frame
    at_own_rate: bool  # whether its frames are those of the source, not those at the working rate


def annotation(
    path: Path,
    lengths: Mapping[str, tuple[str, int]],
    failed: Collection[str],
    frames_per_row: float,
    out: Path,
    as_given: Path,
    audit: Path,
    settings: Annotation,
) -> None:
    """Normalise an annotation and write it, as given too, with its audit.

    `lengths` gives subject and number of frames of each video of the dataset (`features.lengths`),
    `failed` names the videos that could not be prepared, `frames_per_row` how many of the
    annotation's frames make one at the working rate (8 for 200 fps worked at 25). Raises InputError
    for a file or row that cannot be read.
    """
    source = read(path)
    if not source.at_own_rate:
        frames_per_row = 1
    decisions: list[dict[str, Any]] = []
    kept, given, seen = [], [], set()
    for row in source.rows.to_dict("records"):

        def decide(field: str, was: Any, now: Any, why: str, row: dict = row) -> None:
            values = (row["source_row"], row["video"], field, was, now, why)
            decisions.append(dict(zip(AUDIT_COLUMNS, values, strict=True)))

        if row["video"] not in lengths:
            why = "the video failed" if row["video"] in failed else "the dataset has no such video"
            decide("row", row["video"], "left out", why)
            continue
        given.append(_given(row, path, source.first_frame, frames_per_row, lengths))
        normal = _normalise(
            row, path, source.first_frame, frames_per_row, lengths, settings, decide
        )
        if normal is None:
            continue
        key = tuple(normal[name] for name in ("video", "type", *FRAMES))
        if key in seen:
            decide("row", "duplicate", "left out", "the same expression is annotated twice")
            continue
        seen.add(key)
        kept.append(normal)
    write_table(kept, COLUMNS, out)
    write_table(given, COLUMNS, as_given)
    write_table(decisions, AUDIT_COLUMNS, audit)
    lost = sum(decision["now"] == "left out" for decision in decisions)
    print(
        f"annotation: {len(source.rows)} rows read, {len(kept)} kept, {lost} left out, "
        f"{len(decisions)} decisions in {audit}",
        file=sys.stderr,
    )


def read(path: Path) -> Source:
    """The rows of an annotation file: its form is known from its ending, sheets and columns.

    Raises InputError for an unreadable file or another form.
    """
    if not path.exists():
        raise InputError(
            f"{path}: no such annotation file; set the dataset's annotation in config.yaml"
        )
    try:
        if path.suffix.lower() == ".csv":
            return _csv(pd.read_csv(path, dtype=str, keep_default_na=False), path)
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype=object)
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read as an annotation ({error}); a CSV or the dataset's own .xlsx was "
            "expected: copy it again"
        ) from None
    for sheet, reader in SPREADSHEETS.items():
        if sheet in sheets:
            return reader(sheets, path)
    raise InputError(
        f"{path}: sheets {list(sheets)}; one named {' or '.join(SPREADSHEETS)} was expected"
    )


def _normalise(
    row: dict[str, Any],
    path: Path,
    first_frame: int,
    frames_per_row: float,
    lengths: Mapping[str, tuple[str, int]],
    settings: Annotation,
    decide: Callable[[str, Any, Any, str], None],
) -> dict[str, Any] | None:
    """One row in the normal form, or None where it cannot stand; `decide` hears of every decision."""
    where = f"{path}: row {row['source_row']}"
    subject, n_frames = lengths[row["video"]]
    type_ = _type(row, where)
    if row["subject"] not in ("", subject):
        raise InputError(
            f"{where}: {row['video']} is annotated as subject {row['subject']!r}, but lies where "
            f"subject {subject!r} is; put each subject's videos in a folder of that subject's name"
        )
    onset, apex, offset = (_number(row[name], name, where) for name in FRAMES)
    if offset == 0:
        if settings.offset_zero == "drop":
            decide("offset", 0, "left out", "offset 0: not annotated (offset_zero: drop)")
            return None
        offset = {"mirror": 2 * apex - onset, "apex": apex, "apex_plus_20": apex + 20}[
            settings.offset_zero
        ]
        decide(
            "offset", 0, offset, f"offset 0: not annotated (offset_zero: {settings.offset_zero})"
        )
    frames = {}
    for name, number in zip(FRAMES, (onset, apex, offset), strict=True):
        frames[name] = math.floor((number - first_frame) / frames_per_row)
        if name != "apex":  # an expression already under way begins with the video
            frames[name] = max(0, frames[name])
        if number != math.floor(number):
            decide(name, number, frames[name], "not a whole frame: rounded down")
    if frames["onset"] > frames["offset"]:
        was = f"{row['onset']}, {row['apex']}, {row['offset']}"
        decide("offset", was, "left out", "onset after offset")
        return None
    if frames["onset"] >= n_frames:
        was = f"{row['onset']}-{row['offset']}"
        decide("onset", was, "left out", f"beyond the video's end ({n_frames} frames)")
        print(
            f"warning: {where}: {row['video']}: {was} is beyond its {n_frames} frames",
            file=sys.stderr,
        )
        return None
    if frames["offset"] >= n_frames:
        decide(
            "offset", frames["offset"], n_frames - 1, f"beyond the video's end ({n_frames} frames)"
        )
        frames["offset"] = n_frames - 1
    if not frames["onset"] <= frames["apex"] <= frames["offset"]:
        middle = (frames["onset"] + frames["offset"]) // 2
        decide("apex", row["apex"], middle, "apex not between onset and offset: the middle")
        frames["apex"] = middle
    known = {"subject": subject, "video": row["video"], "type": type_}
    return {**known, **frames, "au": row["au"], "source_row": row["source_row"]}


def _given(
    row: dict[str, Any],
    path: Path,
    first_frame: int,
    frames_per_row: float,
    lengths: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    """One row at the working rate. What is no frame (an offset of 0, an apex of 0 or -1) stays."""
    where = f"{path}: row {row['source_row']}"
    frames = {}
    for name in FRAMES:
        number = _number(row[name], name, where)
        unknown = number <= 0 and name != "onset"
        frame = number if unknown else (number - first_frame) / frames_per_row
        frames[name] = math.floor(frame) if unknown else max(0, math.floor(frame))
    known = {"subject": lengths[row["video"]][0], "video": row["video"], "type": _type(row, where)}
    return {**known, **frames, "au": row["au"], "source_row": row["source_row"]}


def _type(row: dict[str, Any], where: str) -> str:
    type_ = TYPES.get(str(row["type"]).strip().lower())
    if type_ is None:
        raise InputError(f"{where}: type {row['type']!r}; one of {', '.join(TYPES)} was expected")
    return type_


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise InputError(f"{where}: {name} is {value!r}; a frame number was expected")
    return number


def _csv(table: pd.DataFrame, path: Path) -> Source:
    """The published CSV or the plain one; both count frames from 0."""
    table = table.rename(columns=PUBLISHED)
    missing = [name for name in ("video", "type", "onset", "offset") if name not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; there are {', '.join(table)}")
    rows = table.assign(source_row=range(2, len(table) + 2))
    rows["apex"] = rows.get("apex", pd.Series([-1] * len(rows), index=rows.index))
    rows["au"] = rows.get("au", "")
    rows["subject"] = rows.get("subject", "")
    return Source(rows[COLUMNS], first_frame=0, at_own_rate=False)


def _cas_me_sq(sheets: dict[str, pd.DataFrame], path: Path) -> Source:
    """CAS(ME)^2: three sheets without header rows; the two naming rules tell the folder's name."""
    codes = sheets["CASFEcode_final"]
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
    rows = []
    for number, row in enumerate(codes.itertuples(index=False), start=1):
        if pd.isna(row[0]) and pd.isna(row[1]):
            continue
        person, clip = str(row[0]).removesuffix(".0"), str(row[1]).split("_")[0]
        if person not in subject_of or clip not in code_of:
            raise InputError(f"{path}: row {number}: {row[0]}, {row[1]} is in neither naming rule")
        video = f"{subject_of[person]}_{code_of[clip]}"
        frames = (row[2], row[3], row[4])
        rows.append((subject_of[person], video, row[7], *frames, _au(row[5]), number))
    return Source(pd.DataFrame(rows, columns=COLUMNS), first_frame=1, at_own_rate=True)


def _samm_lv(sheets: dict[str, pd.DataFrame], path: Path) -> Source:
    """SAMM-LV: one sheet; a preamble, then the header, then the rows."""
    sheet = sheets["FACS_Movement_Only"]
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
        rows.append((f"samm_{number}", video, row["Type"], *frames, au, int(index) + 1))
    return Source(pd.DataFrame(rows, columns=COLUMNS), first_frame=1, at_own_rate=True)


SPREADSHEETS = {"CASFEcode_final": _cas_me_sq, "FACS_Movement_Only": _samm_lv}


def _au(cell: Any) -> str:
    return "" if pd.isna(cell) else str(cell).strip()


def join_tables(parts: Sequence[Path], out: Path) -> None:
    """The tables of several datasets as one. Raises InputError for a row that cannot be read."""
    table = pd.concat([load_intervals(path) for path in parts])
    write_table(table.to_dict("records"), COLUMNS, out)
