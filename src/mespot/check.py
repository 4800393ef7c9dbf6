"""check: whether a dataset's folder and its annotation fit together, before anything long starts.

Finds the video of every annotated row and says which are missing, misplaced, unannotated or broken.
A fault is a line of the table, and costs its own video alone; what would stop training is an InputError.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mespot import annotation
from mespot.config import load_file
from mespot.datasets import annotation_files, layouts
from mespot.datasets.endings import IMAGES, shown, visible
from mespot.datasets.folders import PassedOver, in_short
from mespot.datasets.layouts import Misplaced, Video
from mespot.errors import InputError
from mespot.frames import count, is_frames
from mespot.intervals import TYPES, write_table
from mespot.settings import Annotation, Decode
from mespot.source import average_rate, seconds

COLUMNS = ["video", "subject", "frames", "rows", "fault", "what", "path"]
FAULTS = {
    "missing": "annotated videos that are not there",
    "misplaced": "folders and frames that lie elsewhere than their names say",
    "passed_over": "what else lies there, and is no video",
    "broken": "videos that cannot be read",
    "beyond_end": "annotated frames that a video does not have",
    "left_out": "annotated rows that cannot be used",
    "unannotated": "videos without an annotated expression",
    "disagreement": "values of which the second annotation says otherwise",
}
ENDLESS = 2**31  # length of a video whose length is not known
LISTED = 20  # lines of one kind of fault; an annotation at a wrong rate has hundreds


class Fault(NamedTuple):
    name: str  # one of FAULTS
    video: str
    what: str
    path: str = ""


def check(
    layout: str,
    root: Path,
    annotated: Path | None,
    compared: Path | None,
    out: Path | None,
    settings: Decode,
) -> str:
    """A table of what was found, to print, and of each video and fault in `out`.

    `annotated` is the dataset's annotation, `compared` a second one of it. Raises InputError where
    the folder or the annotation cannot be read, or nothing of the annotation is there.
    """
    subjects = annotation_files.subjects(annotated) if annotated else {}
    videos, left = layouts.survey(layout, root, subjects)
    faults = _left(left, [annotated, compared])
    frames = {}
    for video in videos:
        try:
            frames[video.video] = _frames(Path(video.path), layout, settings)
        except InputError as error:
            faults.append(Fault("broken", video.video, str(error), video.path))
        faults += _foreign_frames(video, layout)
    rows: Counter[str] = Counter()
    types: Counter[str] = Counter()
    hints: dict[str, str] = {}
    guessed: list[str] = []
    if annotated:
        source, other = _sources(annotated, compared, videos, settings)
        rows.update(source.rows["video"])
        types.update(source.type_of(row) for row in source.rows.to_dict("records"))
        against, hints = _against(source, videos, frames, settings)
        faults += against
        guessed = [*_guesses(source), *_other_rates(source, videos, settings)]
        if other:
            faults += _between(source, other)
            guessed += _guesses(other)
    faults = [Fault(*map(shown, fault)) for fault in faults]
    if out:
        write_table(_rows(videos, frames, rows, faults), COLUMNS, out)
    return _table(root, layout, videos, frames, rows, types, faults, hints, guessed, out)


def counted(path: Path) -> str:
    """How many faults of each kind a table of `check` has, in words."""
    times = Counter(pd.read_csv(path, keep_default_na=False)["fault"])
    return ", ".join(f"{times[name]} {name}" for name in FAULTS if times[name]) or "no fault"


def check_config(path: Path) -> Iterator[str]:
    """`check` of each dataset in a config file whose `root` is given, one after the other.

    Raises InputError, at the end, for all datasets together.
    """
    config = load_file(path)
    given = {name: entry for name, entry in config.datasets.items() if entry.root}
    if not given:
        raise InputError(f"{path}: no dataset with a folder; write where it is after `root`")
    failed = []
    for name, entry in given.items():
        try:
            files = [Path(entry.file(f)) if f else None for f in (entry.annotation, entry.compare)]
            settings = config.stage("decode", name)
            yield f"{name}: {check(entry.layout, Path(entry.root), *files, None, settings)}\n"
        except InputError as error:
            failed.append(f"{path}: datasets.{name}: {error}")
    if failed:
        raise InputError("\n".join(failed))


def check_annotation(
    annotated: Path, compared: Path | None, videos: list[Video], settings: Decode
) -> set[str]:
    """The subjects with an annotated expression: in seconds, since no video is looked at.

    Raises InputError for what would stop training.
    """
    source, other = _sources(annotated, compared, videos, settings)
    _against(source, videos, dict.fromkeys((video.video for video in videos), ENDLESS), settings)
    if other:
        _between(source, other)
    return {video.subject for video in videos if video.video in set(source.rows["video"])}


def _sources(
    annotated: Path, compared: Path | None, videos: list[Video], settings: Decode
) -> list[annotation_files.Source | None]:
    names = {video.video for video in videos}, {video.subject for video in videos}
    timing = annotation_files.Timing(settings.fps, settings.from_s or 0)
    return [
        annotation_files.read(path, settings.frames_per_row, timing).named(*names) if path else None
        for path in (annotated, compared)
    ]


def _against(
    source: annotation_files.Source,
    videos: list[Video],
    frames: dict[str, int | None],
    settings: Decode,
) -> tuple[list[Fault], dict[str, str]]:
    """The faults of an annotation beside the videos that there are, and hints by the faults' names."""
    lengths = {
        video.video: (video.subject, _working_length(video, frames.get(video.video), settings))
        for video in videos
    }
    rows = Counter(source.rows["video"])
    if not set(rows) & set(lengths):
        raise InputError(
            f"{source.path}: none of its {len(rows)} videos is there: it names {min(rows, default='none')}, "
            f"the folder has {min(lengths)}; give the annotation of these videos{_in_brackets(source)}"
        )
    faults = []
    for video in sorted(set(rows) - set(lengths)):
        faults.append(Fault("missing", video, f"{rows[video]} annotated rows"))
    # What training would stumble over in a row stops here, with its message.
    _, given, decisions = annotation.normalise(source, lengths, (), Annotation())
    cut: dict[int, int] = {}  # by the row, where its fault stands
    for line in decisions:
        lost = ": left out" if line["now"] == annotation.LEFT_OUT else ""
        what = f"{source.path.name} row {line['source_row']}: {line['field']} {line['was']}, {line['why']}{lost}"
        if line["rule"] == "beyond_end":
            cut[line["source_row"]] = len(faults)
            faults.append(Fault("beyond_end", line["video"], what))
        elif lost and (n := cut.get(line["source_row"])) is not None:
            # Held at the video's end it is as another row.
            faults[n] = faults[n]._replace(what=f"{faults[n].what}; {line['why']}{lost}")
        elif lost and line["rule"] != "no_such_video":
            faults.append(Fault("left_out", line["video"], what))
    hints = {}
    for rule, name in (("beyond_end", "beyond_end"), ("onset_after_offset", "left_out")):
        times = sum(line["rule"] == rule for line in decisions)
        if times and (hint := annotation.hint(source, rule, times, len(given))):
            hints[name] = hint
    unannotated = [
        Fault("unannotated", video.video, "", video.path)
        for video in videos
        if video.video not in rows
    ]
    return faults + unannotated, hints


def _guesses(source: annotation_files.Source) -> list[str]:
    return [
        f"{source.path.name}: {line['field']}: {line['was']} -> {line['now']}: {line['why']}"
        for line in annotation.guesses(source)
    ]


def _in_brackets(source: annotation_files.Source) -> str:
    """The readings that may be why nothing fits."""
    return (
        f" (read with these guesses: {'; '.join(_guesses(source)[:3])})" if source.guesses else ""
    )


def _other_rates(
    source: annotation_files.Source, videos: list[Video], settings: Decode
) -> list[str]:
    """A plain table's frames are the working rate's, and may be meant as those of the files."""
    if not source.plain or source.timing:
        return []
    annotated = set(source.rows["video"])
    rates = {
        video.video: rate
        for video in videos
        if video.video in annotated and (rate := _own_rate(Path(video.path), settings))
    }
    others = {video: rate for video, rate in rates.items() if abs(rate / settings.fps - 1) > 0.01}
    if not others:
        return []
    video, rate = next(iter(others.items()))
    return [
        f"{source.path.name}: {len(others)} videos have not {settings.fps:g} frames a second, as worked at; the first "
        f"is {video}, with {rate:g}: {annotation.hint(source, 'beyond_end', 1, 1)}"
    ]


def _own_rate(path: Path, settings: Decode) -> float | None:
    """Frames a second of a folder or file before decode; None where it cannot be told."""
    if settings.frames_fps or not path.is_file():
        return settings.frames_fps
    try:
        return average_rate(path)
    except InputError:  # listed as broken already
        return None


def _between(source: annotation_files.Source, other: annotation_files.Source) -> list[Fault]:
    """Where two annotations say otherwise; a spelling and a numbering are no fault."""
    return [
        Fault("disagreement", line["video"], f"{line['field']}: {line['why']}")
        for line in annotation.disagreements(source, other)
        if line["rule"] not in ("same_aus", "numbering")
    ]


def _left(left: list[Misplaced | PassedOver], known: list[Path | None]) -> list[Fault]:
    """What lies elsewhere or is no video, but for the annotations that the dataset is `known` by."""
    misplaced = [entry for entry in left if isinstance(entry, Misplaced)]
    others = [entry for entry in left if isinstance(entry, PassedOver)]
    given = [path for path in known if path]
    files = {
        os.path.realpath(file) for path in given for file in (path, *annotation_files.files(path))
    }
    short = in_short(entry for entry in others if os.path.realpath(entry.path) not in files)
    return [
        *(Fault("misplaced", entry.video, entry.why, entry.path) for entry in misplaced),
        *(Fault("passed_over", "", entry.why, entry.path) for entry in short),
    ]


def _frames(path: Path, layout: str, settings: Decode) -> int | None:
    """How many frames a folder has, or a stack; None for a video file, which only decoding tells.

    Raises InputError for frames that are missing, empty or there twice, or a file that is no video.
    """
    if layout == "features":
        return None
    if not is_frames(path):
        if not path.stat().st_size:
            raise InputError(f"{path}: an empty file; copy it again")
        seconds(path)
        return None
    number = count(path, layouts.FIRST_FRAME.get(layout), settings.numbers == "ordered")
    if number < 2:
        raise InputError(f"{path}: {number} frames lie in it; motion needs at least two")
    return number


def _working_length(video: Video, frames: int | None, settings: Decode) -> int:
    """About how many frames a video has at the working rate."""
    if frames is not None:
        return math.ceil(frames / settings.frames_per_row)
    path = Path(video.path)
    try:
        length = seconds(path, settings.frames_fps) if path.is_file() else None
    except InputError:  # listed as broken already
        length = None
    return math.ceil(length * settings.fps) if length else ENDLESS


def _foreign_frames(video: Video, layout: str) -> list[Fault]:
    """SAMM-LV's frames bear the name of their video: 006_1/006_1_0001.jpg."""
    if layout != "samm_lv":
        return []
    folder = Path(video.path)
    foreign = sorted(
        path.name
        for path in visible(folder)
        if path.suffix.lower() in IMAGES and not path.name.startswith(f"{folder.name}_")
    )
    if not foreign:
        return []
    what = f"{len(foreign)} frames are not named as its own are; the first is {foreign[0]}"
    return [Fault("misplaced", video.video, what, video.path)]


def _rows(
    videos: list[Video], frames: dict[str, int | None], rows: Counter[str], faults: list[Fault]
) -> Iterable[dict]:
    """A row for each video without a fault, and one for each fault."""
    of = defaultdict(list)
    for fault in faults:
        of[fault.video].append(fault)
    known = {video.video: video for video in videos}
    table = []
    for name in sorted({*known, *of}):
        subject, path = (known[name].subject, known[name].path) if name in known else ("", "")
        said = {"video": name, "subject": subject, "frames": frames.get(name), "rows": rows[name]}
        for fault in of[name] or [Fault("", name, "")]:
            found = {"fault": fault.name, "what": fault.what, "path": fault.path or path}
            table.append(said | found)
    return table


def _table(
    root: Path,
    layout: str,
    videos: list[Video],
    frames: dict[str, int | None],
    rows: Counter[str],
    types: Counter[str],
    faults: list[Fault],
    hints: dict[str, str],
    guessed: list[str],
    out: Path | None,
) -> str:
    """What was found, and each fault by name, of one kind the first LISTED."""
    lengths = [n for n in frames.values() if n is not None]
    lines = [f"{root} (layout {layout})"]
    subjects = len({video.subject for video in videos})
    where = _below(os.path.commonpath([Path(video.path).parent for video in videos]), root)
    lines.append(f"{'videos':14}{len(videos):8}  of {subjects} subjects, in {where}")
    lines.append(f"{'frames':14}{sum(lengths):8}  in {len(lengths)} folders of frames")
    said = ", ".join(f"{types[type_]} {type_}" for type_ in TYPES)
    lines.append(f"{'annotated':14}{rows.total():8}  rows of {len(rows)} videos: {said}")
    there = len(set(rows) & {video.video for video in videos})
    lines.append(f"{'matched':14}{there:8}  of the {len(rows)} annotated videos are there")
    for name, meaning in FAULTS.items():
        found = [fault for fault in faults if fault.name == name]
        lines.append(f"{name:14}{len(found):8}  {meaning}")
        if name in hints:
            lines.append(f"{'':24}{hints[name]}")
        for fault in found[:LISTED]:
            path = "" if fault.path in fault.what else _below(fault.path, root)
            parts = [part for part in (fault.video, path, fault.what) if part]
            lines.append(f"{'':24}{': '.join(parts)}")
        if len(found) > LISTED:
            where = f"all are in {out}" if out else "--out FILE writes them all"
            lines.append(f"{'':24}... and {len(found) - LISTED} more; {where}")
    if guessed:
        lines.append(
            f"{'guessed':14}{len(guessed):8}  readings of the annotation that may be wrong"
        )
        lines += [f"{'':24}{line}" for line in guessed[:LISTED]]
        if len(guessed) > LISTED:
            lines.append(
                f"{'':24}... and {len(guessed) - LISTED} more; annotation_audit.csv has all"
            )
    return "\n".join(lines)


def _below(path: str, root: Path) -> str:
    """A path as it lies in the dataset's folder."""
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path
