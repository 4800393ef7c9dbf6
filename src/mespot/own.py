"""One's own videos: whether there is something to spot in, who is in the picture, what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from mespot import errors
from mespot.datasets import layouts
from mespot.datasets.endings import VIDEOS, has_pages, shown
from mespot.datasets.folders import PassedOver, ending_for, in_short
from mespot.datasets.layouts import Misplaced, Video
from mespot.errors import InputError
from mespot.settings import Align

# A video of which more than this share was left out hardly speaks for itself: here and on the page.
MUCH = 0.2
People = Annotated[int, Field(ge=1, le=99)]  # in one picture
RED, PLAIN = "\033[31m", "\033[0m"


def find(path: str) -> list[Video]:
    """The videos of a path: a video file, a folder of videos or a folder of frames.

    Raises InputError where there is none.
    """
    if "://" in path:
        raise InputError(f"{path}: download the video first; a file or a folder was expected")
    root = Path(os.path.expanduser(path))
    if not os.path.exists(root):
        raise InputError(f"{path}: no such video or folder; look for a slip in the path")
    # A device or a pipe would be waited for.
    video = root.is_file() and (
        root.suffix.lower() in VIDEOS or has_pages(root) or ending_for(root)
    )
    if root.is_dir() or video:
        return layouts.find("videos", root)
    raise InputError(
        f"{path}: no video; a video, a folder of videos or a folder of frames was expected"
    )


def passed_over(path: str) -> list[str]:
    """A line for whatever else lies in a path of one's own; one for all that are alike."""
    _, left = layouts.survey("videos", os.path.expanduser(path))
    misplaced = [entry for entry in left if isinstance(entry, Misplaced)]
    lines = [f"{shown(entry.path)}: {entry.why}" for entry in misplaced]
    short = in_short(entry for entry in left if isinstance(entry, PassedOver))
    return lines + [f"{shown(entry.path)} is passed over: {entry.why}" for entry in short]


def tracks(videos: Iterable[Video], settings: Align, cache: Path) -> list[Video]:
    """A video for each person in the picture: NAME__1, NAME__2 and so on, from the left.

    Counting people takes seconds a video, and the Snakefile, which asks, is read again for many a
    job: the answers are kept in `cache`, a JSON file. A video without a face, or that cannot be read,
    is one track; the stages say what is wrong.
    """
    known = _known(cache)
    counts, found = {}, []
    for video in videos:
        state = Path(video.path).stat()
        key = f"{video.path} {state.st_size} {state.st_mtime_ns} {settings.model_dump_json()}"
        counts[key] = known.get(key) or _people(Path(video.path), settings)
        for person in range(1, counts[key] + 1):
            named = (f"{name}__{person}" for name in (video.subject, video.video))
            found.append(Video(*named, video.path))
    if counts != known:
        from mespot.store import replacing

        with replacing(cache) as temporary:
            temporary.write_text(json.dumps(counts, indent=1) + "\n")
    return found


def _known(cache: Path) -> dict[str, int]:
    """What was counted before; nothing if that cannot be read."""
    try:
        return TypeAdapter(dict[str, People]).validate_json(cache.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def _people(source: Path, settings: Align) -> int:
    from mespot.align import faces_in

    try:
        return max(1, faces_in(source, settings))
    except InputError:
        return 1


def person(video: str) -> int:
    """Which person from the left, from 1, one of `tracks` follows."""
    return int(video.rpartition("__")[2])


def failures(files: Iterable[Path]) -> str:
    """A line for each of the files, named by videos, that is a failure record."""
    said = {path.stem: errors.failure(path) for path in files if path.exists()}
    return "\n".join(
        f"{video} failed: {' '.join(why.split())}" for video, why in said.items() if why
    )


def overview(intervals: Path, not_counted: Path, features: Path, colour: bool) -> str:
    """A line for each video: how many intervals of each type, and which share was left out.

    `not_counted` is the table of the intervals that are no expressions, talking above all. With
    `colour`, for a terminal, videos of which much was left out are red.
    """
    from mespot.feature_store import load
    from mespot.intervals import TYPES, load_intervals

    spotted, others = load_intervals(intervals), load_intervals(not_counted)
    tables = [*(spotted[spotted["type"] == type_] for type_ in TYPES), others]
    rows, shares = [["video", *TYPES, "not counted", "left out"]], [0.0]
    for feature in load(features):
        counts = [str((table["video"] == feature.video).sum()) for table in tables]
        shares.append(1 - feature.valid.mean())
        rows.append([feature.video, *counts, f"{shares[-1]:.0%}"])
    red = [colour and share > MUCH for share in shares]
    return "\n".join(
        f"{RED}{line}{PLAIN}" if much else line
        for line, much in zip(_in_columns(rows), red, strict=True)
    )


def listing(intervals: Path) -> str:
    """The intervals as text, for people: times in seconds."""
    from mespot.intervals import load_intervals

    columns = ["type", "onset_s", "apex_s", "offset_s", "score", "regions", "remarks"]
    table = load_intervals(intervals, columns)[columns]
    return table.to_string(index=False, float_format="%.2f") if len(table) else "no intervals"


def _in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
