"""export: a table of intervals, spotted or annotated, as files for other programs, one for each video."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from mespot.datasets import layouts
from mespot.datasets.layouts import video_name
from mespot.errors import InputError
from mespot.exchange import Interval, Recording, bids, boris, elan, textgrid, webvtt
from mespot.feature_store import lengths, timing
from mespot.intervals import NEEDED, load_intervals, load_table
from mespot.store import replacing

FORMATS = {
    "elan": elan.write,
    "textgrid": textgrid.write,
    "bids": bids.write,
    "boris": boris.write,
    "webvtt": webvtt.write,
}
TIMES = ("onset_s", "offset_s")
UNKNOWN = ("apex", "apex_s", "score")  # where a table may leave them empty
ABOUT = ("score", "au", "regions", "remarks")


def export_intervals(
    intervals: Path,
    format_: str,
    out: Path,
    features: Path | None = None,
    fps: float | None = None,
    media: Path | None = None,
) -> None:
    """Write the intervals of each video in a table to a file in the new folder `out`.

    A table without `onset_s` and `offset_s` counts frames, of which there are `fps` a second, or as many
    as in the feature store. The videos of that without an interval get a file, too. `media` is the
    folder of the videos, which ELAN's files are then linked to. Raises InputError; nothing is written then.
    """
    if format_ not in FORMATS:
        raise InputError(f"--format {format_}: one of {', '.join(FORMATS)} was expected")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(
            f"{out}: exists and is not an empty folder; what was corrected in it would be lost: name a new "
            "folder, or delete it"
        )
    known = lengths(features) if features else {}
    rate, start = timing(features) if features else (None, 0.0)
    table = _in_seconds(intervals, fps or rate, start)
    of = dict(list(table.groupby(table["video"].map(lambda name: video_name(Path(name))))))
    if not (videos := sorted({*known, *of})):
        raise InputError(f"{intervals}: no interval; name its videos by --features")
    linked = {one.video: Path(one.path) for one in layouts.find("videos", media)} if media else {}
    with replacing(out) as folder:
        folder.mkdir()
        for video in videos:
            subject, frames = known.get(video, ("", 0))
            rows = of.get(video, table[:0])
            if len(names := dict.fromkeys(rows["video"])) > 1:
                raise InputError(f"{intervals}: {' and '.join(names)} are one name; rename one")
            subject = next(filter(None, [subject, *map(_clean, rows.get("subject", ())), video]))
            ones = [_interval(row, f"{intervals}: row {n + 2}") for n, row in rows.iterrows()]
            ends = [round(1000 * (start + frames / (rate or 1))), *(one.offset for one in ones)]
            path = linked.get(video, linked.get(video.rpartition("__")[0]))  # of one of two people
            path = path if path and path.is_file() else None  # a folder of frames is none
            FORMATS[format_](Recording(subject, video, ones, max(ends), path), folder)


def _in_seconds(path: Path, fps: float | None, start: float) -> pd.DataFrame:
    """A table of intervals with their times in seconds of the source. Raises InputError."""
    there = [name for name in (*TIMES, *UNKNOWN) if name in load_intervals(path)]
    table = load_table(path, [*NEEDED, *there], blank=UNKNOWN)
    if {*TIMES} <= {*there}:
        return table
    if fps is None:
        raise InputError(
            f"{path}: no columns {' and '.join(TIMES)}: it counts frames; say how many are a second (--fps 30), "
            "or name the feature store (--features)"
        )
    times = {
        "onset_s": start + table["onset"] / fps,
        "offset_s": start + (table["offset"] + 1) / fps,
    }
    if "apex" in there:
        times["apex_s"] = start + table["apex"] / fps
    return table.assign(**times)


def _interval(row: pd.Series, where: str) -> Interval:
    onset, apex, offset = (row.get(name, math.nan) for name in ("onset_s", "apex_s", "offset_s"))
    if not 0 <= onset < offset:
        raise InputError(
            f"{where}: from {onset:g} to {offset:g} s; an offset after its onset was expected, and none before 0"
        )
    # An apex that is not known is written as 0 or -1, too.
    apex = round(1000 * apex) if onset <= apex <= offset else None
    first = round(1000 * onset)
    about = {name: _clean(row.get(name, "")) for name in ABOUT}
    about = {name: text for name, text in about.items() if text}
    return Interval(row["type"], first, apex, max(first + 1, round(1000 * offset)), about)


def _clean(cell: Any) -> str:
    """A cell as text in one line, without what no XML may hold."""
    text = ("" if math.isnan(cell) else f"{cell:.4g}") if isinstance(cell, float) else str(cell)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
