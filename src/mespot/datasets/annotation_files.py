"""annotation_files: annotations as they are written, read from each of the known forms.

The published CSV, the plain one, and the spreadsheets of CAS(ME)^2 and SAMM-LV.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mespot.datasets.layouts import video_name
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS

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

    path: Path
    rows: pd.DataFrame  # COLUMNS, unconverted, and the expression's name where it has one
    first_frame: int = 0  # the number that the annotation gives to a video's first frame
    frames_per_row: float = 1  # its frames that make one at the working rate

    def frame(self, number: float) -> int:
        """The 0-based working frame of a frame number; below 0 before the video's first."""
        return math.floor((number - self.first_frame) / self.frames_per_row)

    def named(self, videos: Container[str]) -> Source:
        """With the names that the dataset's videos have: one of many called `1`, of anna, is anna_1."""
        names = zip(self.rows["subject"], self.rows["video"], strict=True)
        both = ((video, f"{subject}_{video}") for subject, video in names)
        known = [whole if whole in videos and name not in videos else name for name, whole in both]
        return self._replace(rows=self.rows.assign(video=known))

    def where(self, row: Mapping[str, Any]) -> str:
        return f"{self.path}: row {row['source_row']}"

    def type_of(self, row: Mapping[str, Any]) -> str:
        """macro or micro. Raises InputError."""
        type_ = TYPES.get(str(row["type"]).strip().lower())
        if type_ is None:
            raise InputError(
                f"{self.where(row)}: type {row['type']!r}; one of {', '.join(TYPES)} was expected"
            )
        return type_

    def numbers(self, row: Mapping[str, Any]) -> list[float]:
        """Onset, apex and offset as numbers of the file's own frames. Raises InputError."""
        numbers = []
        for name in FRAMES:
            try:
                # Spreadsheets hold 7284.999999999999 where 7285 was meant.
                number = round(float(row[name]), 6)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise InputError(
                    f"{self.where(row)}: {name} is {row[name]!r}; a frame number was expected"
                )
            numbers.append(number)
        return numbers


def read(path: Path, frames_per_row: float = 1) -> Source:
    """The rows of an annotation file: its form is known from its ending, sheets and columns.

    `frames_per_row` counts for spreadsheets; a CSV's frames are at the working rate already. Raises
    InputError for an unreadable file or another form.
    """
    if not path.exists():
        raise InputError(f"{path}: no such annotation file; name the dataset's spreadsheet or CSV")
    try:
        if path.suffix.lower() == ".csv":
            return _csv(_read_csv(path), path)
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype=object)
    except (ValueError, OSError, zipfile.BadZipFile, KeyError, ImportError, SyntaxError) as error:
        raise InputError(
            f"{path}: cannot be read as an annotation ({error}); a CSV with as many cells in each line as in "
            "its first, or the dataset's own .xlsx without a password, was expected: copy it again"
        ) from None
    for sheet, reader in SPREADSHEETS.items():
        if sheet in sheets:
            # The frames' files are numbered from 1, and taken at the dataset's own rate.
            return Source(path, reader(sheets[sheet], sheets, path), 1, frames_per_row)
    raise InputError(
        f"{path}: sheets {list(sheets)}; one named {' or '.join(SPREADSHEETS)} was expected"
    )


def subjects(path: Path) -> dict[str, str]:
    """The subject that an annotation names for each video, where it names one."""
    named: dict[str, set[str]] = {}
    for row in read(path).rows.itertuples():
        named.setdefault(row.video, set()).add(row.subject)
    return {video: (said - {""}).pop() for video, said in named.items() if len(said - {""}) == 1}


def _read_csv(path: Path) -> pd.DataFrame:
    """All cells as text; a line of more cells than there are columns is a ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,
                skipinitialspace=True,
            )
        except pd.errors.ParserWarning as warning:
            raise ValueError(warning) from None


def _csv(table: pd.DataFrame, path: Path) -> Source:
    """The published CSV or the plain one; both count frames from 0."""
    table = table.rename(columns=lambda name: PUBLISHED.get(name.strip(), name.strip()))
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise InputError(f"{path}: two columns are called {twice}; rename one")
    missing = [name for name in ("video", "type", "onset", "offset") if name not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; there are {', '.join(table)}")
    rows = table.assign(source_row=range(2, len(table) + 2))
    rows = rows[(table.map(str.strip) != "").any(axis=1)]  # Excel writes lines of commas alone
    apex = rows.get("apex", pd.Series("", index=rows.index))
    rows["apex"] = apex.where(apex.str.strip() != "", "-1")  # not known
    rows["au"] = rows.get("au", "")
    rows["subject"] = rows.get("subject", "")
    for name in ("subject", "video"):  # as `layouts` names what lies in folders; "one.mp4" is one
        cells = rows[name].str.strip()
        rows[name] = [video_name(Path(cell)) if cell else "" for cell in cells]
    return Source(path, rows[COLUMNS])


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
