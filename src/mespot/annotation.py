"""annotation: the dataset's spreadsheet, CSV or ELAN files in one normal form, and all that had to be decided.

Frames of the normal form are 0-based at the working rate and inclusive at both ends. Each decision
is a row of the audit: `source_row,video,field,was,now,rule,why`; the rules are `RULES`. Beside it stands
the same table as given: brought to the working rate and nothing else, for whatever imitates the
published code. Where a dataset has two annotations, the first counts and the second is compared with it.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mespot.datasets import action_units
from mespot.datasets.annotation_files import FRAMES, Source, Timing, read
from mespot.errors import InputError
from mespot.intervals import ANNOTATION_COLUMNS as COLUMNS
from mespot.intervals import load_intervals, write_table
from mespot.settings import Annotation

AUDIT_COLUMNS = ["source_row", "video", "field", "was", "now", "rule", "why"]
LEFT_OUT = "left out"
# Every decision there is, and what its line of the audit says; first those in reading the file.
RULES = {
    "encoding": "the text is in no encoding that says so; another would have other names and remarks",
    "separator": "by it the header has the columns that are needed",
    "above_header": "they are above the header",
    "other_sheet": "the sheet has no annotation's columns",
    "merged": "cells are merged, or one value stands for several rows",
    "header": "columns that are called otherwise",
    "beside": "seconds and frames stand side by side; one of them counts",
    "not_read": "they mean nothing here",
    "seconds": "by its time: the frame shown then",
    "filled_down": "empty below a name",
    "no_expression": "they have neither type nor frames nor AUs, or frames of 0 alone",
    "remark": "they begin with #",
    "header_again": "they are the header again, as where files were joined",
    "type": "so the published tables count, and so the field abbreviates",
    "decimal_comma": "the comma stands before decimals",
    "thousands": "the comma, space or apostrophe stands before thousands",
    "path": "the last part of a path is the video's name",
    "name": "the only one there that is alike but for case, hyphens, zeros or a letter before its number",
    "no_such_video": "the dataset has no such video",
    "video_failed": "the video failed",
    "counted_from_one": "the file's frames are counted from 1, as the frames' names; here from 0",
    "name_twice": "two expressions have this name; both are kept",
    "offset_zero": "offset 0: not annotated (offset_zero: {setting})",
    "before_start": "it ends before the first frame",
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
    timing: Timing | None = None,
) -> None:
    """Normalise an annotation and write it, as given too, with its audit.

    `lengths` gives subject and number of frames of each video of the dataset (`feature_store.lengths`),
    `failed` names the videos that could not be prepared, `frames_per_row` how many of the
    annotation's frames make one at the working rate (8 for 200 fps worked at 25). `compare` is
    another annotation of the same dataset, whose differences the audit lists. By `timing` annotations
    in seconds are taken. Raises InputError for a file or row that cannot be read.
    """
    names = {*lengths, *failed}, {subject for subject, _ in lengths.values()}
    source = read(path, frames_per_row, timing).named(*names)
    kept, given, decisions = normalise(source, lengths, failed, settings)
    if compare:
        other = read(compare, frames_per_row, timing).named(*names)
        decisions += [line | {"why": f"{compare.name}: {line['why']}"} for line in guesses(other)]
        decisions += disagreements(source, other)
    write_table(kept, COLUMNS, out)
    write_table(given, COLUMNS, as_given)
    write_table(decisions, AUDIT_COLUMNS, audit)
    lost = left_out(decisions)
    for rule in dict.fromkeys(line["rule"] for line in lost):
        of_rule = [line for line in lost if line["rule"] == rule]
        first, of_all = of_rule[0], hint(source, rule, len(of_rule), len(given))
        print(
            f"warning: {path}: {len(of_rule)} rows are {LEFT_OUT} ({rule}); the first is row "
            f"{first['source_row']}: {first['video']}: {first['field']} {first['was']}: {first['why']}"
            f"{of_all and '; '}{of_all}",
            file=sys.stderr,
        )
    print(
        f"annotation: {len(source.rows)} rows read, {len(kept)} kept, {len(lost)} {LEFT_OUT}, "
        f"{len(decisions)} decisions in {audit}",
        file=sys.stderr,
    )
    for rule, times in Counter(decision["rule"] for decision in decisions).most_common():
        print(f"  {rule:20}{times:6}", file=sys.stderr)


def guesses(source: Source) -> list[dict[str, Any]]:
    """A decision for each thing that was guessed in reading the file."""
    return [_decision({}, *guess) for guess in source.guesses]


def left_out(decisions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The decisions by which a row of the annotation itself is left out."""
    return [line for line in decisions if line["now"] == LEFT_OUT and line["source_row"] != ""]


def hint(source: Source, rule: str, times: int, rows: int) -> str:
    """What may be wrong with the whole file where so many of its rows go by a rule."""
    if rule == "onset_after_offset" and times > rows / 2:
        return "the columns onset and offset look swapped: exchange their names"
    if rule == "beyond_end" and source.plain and not source.timing:
        return (
            "frames of a table count at the working rate, whatever `frames_fps` says: if they are the video "
            "file's own, set `fps` to its rate, or give seconds in onset_s, apex_s and offset_s"
        )
    return ""


def normalise(
    source: Source,
    lengths: Mapping[str, tuple[str, int]],
    failed: Collection[str],
    settings: Annotation,
) -> Normal:
    """The source's rows in the normal form and as given, with each decision on the way."""
    normal = Normal([], [], guesses(source))
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
        if row.get("said", True) and row["subject"] not in ("", subject):
            raise InputError(
                f"{source.where(row)}: {row['video']} is annotated as subject {row['subject']!r}, "
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
    onset, apex, offset = source.numbers(row)
    if offset == 0 and float(row["offset"]) == 0:
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
    if source.timing and offset < 0:  # of a part that begins later
        decide("before_start", "offset", offset, LEFT_OUT)
        return None
    if frames["onset"] >= n_frames:
        was = _listed((onset, offset))
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
    for name, number in zip(FRAMES, source.numbers(row), strict=True):
        unknown = number <= 0 and name != "onset"
        frames[name] = math.floor(number) if unknown else max(0, source.frame(number))
    known = {name: row[name] for name in ("subject", "video", "au", "source_row")}
    return {**known, **frames, "type": source.type_of(row)}


def disagreements(source: Source, other: Source) -> list[dict[str, Any]]:
    """Where another annotation of the same dataset says otherwise: a decision for each field.

    Frames are compared at the working rate, as given. Numbers that are the same in both files but
    counted from 0 in one and from 1 in the other are one line for the file, not one for each row.
    """
    here, there = (
        [
            _given(row, of) | {"as": dict(zip(FRAMES, of.numbers(row), strict=True))}
            for row in of.rows.to_dict("records")
        ]
        for of in (source, other)
    )
    recounted = source.first_frame != other.first_frame and (
        source.frames_per_row == other.frames_per_row
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
            if recounted and field in FRAMES and ours["as"][field] == theirs["as"][field]:
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


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in values)


def join_tables(parts: Sequence[Path], out: Path) -> None:
    """The tables of several datasets as one. Raises InputError for a row that cannot be read."""
    table = pd.concat([load_intervals(path, COLUMNS) for path in parts])
    write_table(table.to_dict("records"), COLUMNS, out)
