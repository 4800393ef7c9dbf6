"""annotation: the dataset's spreadsheet or CSV in one normal form, and all that had to be decided.

Frames of the normal form are 0-based at the working rate and inclusive at both ends. Each decision
is a row of the audit: `source_row,video,field,was,now,rule,why`; the rules are `RULES`. Beside it stands
the same table as given: brought to the working rate and nothing else, for whatever imitates the
published code. Where a dataset has two annotations, the first counts and the second is compared with it.
"""

from __future__ import annotations

import math
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mespot import action_units
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS
from mespot.intervals import load_intervals, write_table
from mespot.settings import Annotation

AUDIT_COLUMNS = ["source_row", "video", "field", "was", "now", "rule", "why"]
LEFT_OUT = "left out"
# Every decision there is, and what its line of the audit says.
RULES = {
    "no_such_video": "the dataset has no such video",
    "video_failed": "the video failed",
    "counted_from_one": "the file's frames are counted from 1, as the frames' names; here from 0",
    "name_twice": "two expressions have this name; both are kept",
    "offset_zero": "offset 0: not annotated (offset_zero: {setting})",
    "onset_before_start": "before the first frame: under way when the video begins",
    "fractional_frame": "not a whole frame: rounded down",
    "downsampled": "{rate:g} frames of the file are one at the working rate",
    "onset_after_offset": "onset after offset",
    "beyond_end": "beyond the video's end ({n_frames} frames)",
    "apex_zero": "apex not between onset and offset but 0, not annotated: the middle",
    "apex_unknown": "apex not between onset and offset but below 0, not annotated: the middle",
    "apex_after_offset": "apex not between onset and offset but after it: the middle",
    "apex_outside": "apex not between onset and offset: the middle",
    "au_spelling": "the AUs in one spelling: side, number, intensity",
    "duplicate": "the same expression is annotated twice",
    "disagreement": "{other} row {line} says {said}; {path} wins",
    "same_aus": "{other} row {line} spells the same AUs {said!r}",
    "numbering": "{other} has the same numbers, which count from {there} there and from {here} in {path}",
    "only_here": "{other} has no such expression; it is kept",
    "only_there": "{other} row {line} alone has it; {path} wins",
}
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


class Normal(NamedTuple):
    """What `normalise` makes of a source."""

    kept: list[dict[str, Any]]
    given: list[dict[str, Any]]  # at the working rate, nothing repaired
    decisions: list[dict[str, Any]]


def annotation(
    path: Path,
    lengths: Mapping[str, tuple[str, int]],
    failed: Collection[str],
    frames_per_row: float,
    out: Path,
    as_given: Path,
    audit: Path,
    settings: Annotation,
    compare: Path | None = None,
) -> None:
    """Normalise an annotation and write it, as given too, with its audit.

    `lengths` gives subject and number of frames of each video of the dataset (`features.lengths`),
    `failed` names the videos that could not be prepared, `frames_per_row` how many of the
    annotation's frames make one at the working rate (8 for 200 fps worked at 25). `compare` is
    another annotation of the same dataset, whose differences the audit lists. Raises InputError
    for a file or row that cannot be read.
    """
    source = read(path, frames_per_row)
    kept, given, decisions = normalise(source, lengths, failed, settings)
    if compare:
        decisions += disagreements(source, read(compare, frames_per_row))
    write_table(kept, COLUMNS, out)
    write_table(given, COLUMNS, as_given)
    write_table(decisions, AUDIT_COLUMNS, audit)
    for line in decisions:
        if line["rule"] == "beyond_end" and line["now"] == LEFT_OUT:
            where = f"{path}: row {line['source_row']}: {line['video']}"
            print(f"warning: {where}: {line['was']} is {line['why']}", file=sys.stderr)
    lost = len(source.rows) - len(kept)
    print(
        f"annotation: {len(source.rows)} rows read, {len(kept)} kept, {lost} {LEFT_OUT}, "
        f"{len(decisions)} decisions in {audit}",
        file=sys.stderr,
    )
    for rule, times in Counter(decision["rule"] for decision in decisions).most_common():
        print(f"  {rule:20}{times:6}", file=sys.stderr)


def normalise(
    source: Source,
    lengths: Mapping[str, tuple[str, int]],
    failed: Collection[str],
    settings: Annotation,
) -> Normal:
    """The source's rows in the normal form and as given, with each decision on the way."""
    normal = Normal([], [], [])
    if source.first_frame:
        normal.decisions.append(_decision({}, "counted_from_one", "frames", "from 1", "from 0"))
    seen, names = set(), set()
    for row in source.rows.to_dict("records"):

        def decide(rule: str, field: str, was: Any, now: Any, row: dict = row, **about) -> None:
            normal.decisions.append(_decision(row, rule, field, was, now, **about))

        if row["video"] not in lengths:
            rule = "video_failed" if row["video"] in failed else "no_such_video"
            decide(rule, "row", row["video"], LEFT_OUT)
            continue
        subject, n_frames = lengths[row["video"]]
        if row["subject"] not in ("", subject):
            raise InputError(
                f"{_where(source, row)}: {row['video']} is annotated as subject {row['subject']!r}, "
                f"but lies where subject {subject!r} is; put each subject's videos in a folder of "
                "that subject's name"
            )
        given = _given(row, source) | {"subject": subject}
        normal.given.append(given)
        repaired = _repair(row, given, source, n_frames, settings, decide)
        if repaired is None:
            continue
        key = tuple(repaired[name] for name in ("video", "type", *FRAMES))
        if key in seen:
            decide("duplicate", "row", "duplicate", LEFT_OUT)
            continue
        name = (row["subject"], row.get("name"))
        if row.get("name") and name in names:
            decide("name_twice", "name", row["name"], "kept")
        names.add(name)
        seen.add(key)
        normal.kept.append(repaired)
    return normal


def _repair(
    row: dict[str, Any],
    given: dict[str, Any],
    source: Source,
    n_frames: int,
    settings: Annotation,
    decide: Callable[..., None],
) -> dict[str, Any] | None:
    """One row in the normal form, or None where it cannot stand; `decide` hears of every decision.

    `given` is the row at the working rate; frames are repaired in the file's own numbers.
    """
    onset, apex, offset = _numbers(row, source)
    if offset == 0:
        setting = settings.offset_zero
        if setting == "drop":
            decide("offset_zero", "offset", 0, LEFT_OUT, setting=setting)
            return None
        offset = {"mirror": 2 * apex - onset, "apex": apex, "apex_plus_20": apex + 20}[setting]
        decide("offset_zero", "offset", 0, offset, setting=setting)
    frames = {}
    for name, number in zip(FRAMES, (onset, apex, offset), strict=True):
        frames[name] = source.frame(number)
        if name == "onset" and number < source.first_frame:
            decide("onset_before_start", name, number, 0)
        if name != "apex":  # an expression already under way begins with the video
            frames[name] = max(0, frames[name])
        if number != math.floor(number):
            decide("fractional_frame", name, number, frames[name])
    if source.frames_per_row != 1:
        was, now = (_listed(values) for values in ((onset, apex, offset), frames.values()))
        decide("downsampled", "frames", was, now, rate=source.frames_per_row)
    if frames["onset"] > frames["offset"]:
        was = _listed(row[name] for name in FRAMES)
        decide("onset_after_offset", "offset", was, LEFT_OUT)
        return None
    if frames["onset"] >= n_frames:
        was = f"{row['onset']}-{row['offset']}"
        decide("beyond_end", "onset", was, LEFT_OUT, n_frames=n_frames)
        return None
    if frames["offset"] >= n_frames:
        decide("beyond_end", "offset", frames["offset"], n_frames - 1, n_frames=n_frames)
        frames["offset"] = n_frames - 1
    if not frames["onset"] <= frames["apex"] <= frames["offset"]:
        frames["apex"] = (frames["onset"] + frames["offset"]) // 2
        decide(_apex_rule(apex, offset), "apex", row["apex"], frames["apex"])
    au = action_units.spell(action_units.parse(row["au"]))
    if au != row["au"]:
        decide("au_spelling", "au", row["au"], au)
    return {**given, **frames, "au": au}


def _apex_rule(apex: float, offset: float) -> str:
    """By which rule an apex goes that is not between onset and offset."""
    if apex <= 0:
        return "apex_zero" if apex == 0 else "apex_unknown"
    return "apex_after_offset" if apex > offset else "apex_outside"


def _given(row: dict[str, Any], source: Source) -> dict[str, Any]:
    """One row at the working rate. What is no frame (an offset of 0, an apex of 0 or -1) stays."""
    frames = {}
    for name, number in zip(FRAMES, _numbers(row, source), strict=True):
        unknown = number <= 0 and name != "onset"
        frames[name] = math.floor(number) if unknown else max(0, source.frame(number))
    known = {name: row[name] for name in ("subject", "video", "au", "source_row")}
    return {**known, **frames, "type": row_type(row, source)}


def disagreements(source: Source, other: Source) -> list[dict[str, Any]]:
    """Where another annotation of the same dataset says otherwise: a decision for each field.

    Frames are compared at the working rate, as given. Numbers that are the same in both files but
    counted from 0 in one and from 1 in the other are one line for the file, not one for each row.
    """
    here, there = (
        [_given(row, of) | {"as": row} for row in of.rows.to_dict("records")]
        for of in (source, other)
    )
    decisions, renumbered = [], 0
    pairs, alone, alone_there = _pair(here, there)
    names = {"other": other.path.name, "path": source.path.name}
    for ours, theirs in pairs:
        about = names | {"line": theirs["source_row"]}
        for field in ("type", *FRAMES, "au"):
            mine, said = ours[field], theirs[field]
            if mine == said:
                continue
            if field in FRAMES and float(ours["as"][field]) == float(theirs["as"][field]):
                renumbered += 1
                continue
            same = field == "au" and action_units.parse(mine) == action_units.parse(said)
            rule = "same_aus" if same else "disagreement"
            decisions.append(_decision(ours, rule, field, said, mine, said=said, **about))
    for ours in alone:
        decisions.append(_decision(ours, "only_here", "row", "", "kept", **names))
    for theirs in alone_there:
        was = _listed(theirs[name] for name in ("type", *FRAMES))
        about = names | {"line": theirs["source_row"]}
        lost = {"video": theirs["video"]}
        decisions.append(_decision(lost, "only_there", "row", was, LEFT_OUT, **about))
    if renumbered:
        about = names | {"there": other.first_frame, "here": source.first_frame}
        was, now = f"{renumbered} from {other.first_frame}", f"from {source.first_frame}"
        decisions.append(_decision({}, "numbering", "frames", was, now, **about))
    return decisions


def _pair(here: Sequence[dict], there: Sequence[dict]) -> tuple[list[tuple], list, list]:
    """The rows of two annotations that mean one expression, and those of each that are alone.

    Within a video they are paired so that onsets and apexes lie nearest in sum (offsets may be
    unknown), of one type where two lie alike.
    """
    from scipy.optimize import linear_sum_assignment

    pairs, alone, alone_there = [], [], []
    for video in dict.fromkeys(row["video"] for row in [*here, *there]):
        ours, theirs = ([row for row in rows if row["video"] == video] for rows in (here, there))
        distance = np.array(
            [
                [
                    abs(a["onset"] - b["onset"])
                    + abs(a["apex"] - b["apex"])
                    + (a["type"] != b["type"])
                    for b in theirs
                ]
                for a in ours
            ]
        ).reshape(len(ours), len(theirs))
        matched = list(zip(*linear_sum_assignment(distance), strict=True))
        pairs += [(ours[i], theirs[j]) for i, j in matched]
        alone += [row for i, row in enumerate(ours) if i not in {i for i, _ in matched}]
        alone_there += [row for j, row in enumerate(theirs) if j not in {j for _, j in matched}]
    return pairs, alone, alone_there


def _decision(
    row: Mapping[str, Any], rule: str, field: str, was: Any, now: Any, **about: Any
) -> dict[str, Any]:
    """A row of the audit; `row` is the annotation's, or empty where the whole file is meant."""
    where = (row.get("source_row", ""), row.get("video", ""))
    values = (*where, field, was, now, rule, RULES[rule].format(**about))
    return dict(zip(AUDIT_COLUMNS, values, strict=True))


def read(path: Path, frames_per_row: float = 1) -> Source:
    """The rows of an annotation file: its form is known from its ending, sheets and columns.

    `frames_per_row` counts for spreadsheets; a CSV's frames are at the working rate already. Raises
    InputError for an unreadable file or another form.
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
            # The frames' files are numbered from 1, and taken at the dataset's own rate.
            return Source(path, reader(sheets, path), 1, frames_per_row)
    raise InputError(
        f"{path}: sheets {list(sheets)}; one named {' or '.join(SPREADSHEETS)} was expected"
    )


def _where(source: Source, row: Mapping[str, Any]) -> str:
    return f"{source.path}: row {row['source_row']}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def row_type(row: Mapping[str, Any], source: Source) -> str:
    type_ = TYPES.get(str(row["type"]).strip().lower())
    if type_ is None:
        raise InputError(
            f"{_where(source, row)}: type {row['type']!r}; one of {', '.join(TYPES)} was expected"
        )
    return type_


def _numbers(row: Mapping[str, Any], source: Source) -> list[float]:
    """Onset, apex and offset as numbers of the file's own frames."""
    numbers = []
    for name in FRAMES:
        try:
            number = float(row[name])
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(
                f"{_where(source, row)}: {name} is {row[name]!r}; a frame number was expected"
            )
        numbers.append(number)
    return numbers


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
    return Source(path, rows[COLUMNS])


def _cas_me_sq(sheets: dict[str, pd.DataFrame], path: Path) -> pd.DataFrame:
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
        rows.append((subject_of[person], video, row[7], *frames, _au(row[5]), number, row[1]))
    return pd.DataFrame(rows, columns=[*COLUMNS, "name"])


def _samm_lv(sheets: dict[str, pd.DataFrame], path: Path) -> pd.DataFrame:
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
        named = (int(index) + 1, row["Filename"])
        rows.append((f"samm_{number}", video, row["Type"], *frames, au, *named))
    return pd.DataFrame(rows, columns=[*COLUMNS, "name"])


SPREADSHEETS = {"CASFEcode_final": _cas_me_sq, "FACS_Movement_Only": _samm_lv}


def _au(cell: Any) -> str:
    return "" if pd.isna(cell) else str(cell).strip()


def join_tables(parts: Sequence[Path], out: Path) -> None:
    """The tables of several datasets as one. Raises InputError for a row that cannot be read."""
    table = pd.concat([load_intervals(path) for path in parts])
    write_table(table.to_dict("records"), COLUMNS, out)
