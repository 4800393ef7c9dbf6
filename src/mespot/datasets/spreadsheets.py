"""spreadsheets: the annotations of CAS(ME)^2 and SAMM-LV as they are distributed, row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from mespot.datasets.tables import Sheet
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS

SAMM_LV_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units"]


def frame(sheet: Sheet) -> pd.DataFrame:
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
