"""spot: intervals in the user's terms, and what else happens in each video.

How they are found is `spotting`'s: `displacement`, which trains nothing, or a trained `network`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mespot import store
from mespot.feature_store import Feature
from mespot.intervals import INTERVAL_COLUMNS, LANE_COLUMNS, write_table
from mespot.settings import Lanes
from mespot.spotting import Spotted
from mespot.spotting.lanes import lanes
from mespot.spotting.proposals import Proposal
from mespot.stretches import runs

# Regions that moved at least this much of what the first of them moved are named, at most so many.
ALSO, MOST = 0.6, 4


class Files(NamedTuple):
    """What a run of this stage writes."""

    intervals: Path  # CSV of INTERVAL_COLUMNS: what counts
    not_counted: Path  # the same, of what is nothing but talking or a blink
    lanes: Path  # CSV of LANE_COLUMNS: stretches of talking, blinks, head motion, no face
    curves: Path  # HDF5: a dataset for each video, with attribute `channels`


def spot(
    features: Path,
    spotted: Iterable[Spotted],
    units: str,
    files: Files,
    settings: dict[str, Any],
    lane_settings: Lanes,
) -> None:
    """Write the intervals and curves that one of `spotting`'s ways finds, and the lanes beside them.

    `units` are those of the curves, `settings` the way's own.
    """
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    stretches = []
    with store.read(features) as file:
        fps, source = store.attribute(file, "fps", float), store.attribute(file, "source")
    known = {"units": units, "fps": fps, "source": source}
    with store.create(files.curves, stage="spot", settings=settings, **known) as file:
        for one in spotted:
            file[one.feature.video] = one.curves
            store.tell(file[one.feature.video], channels=one.channels)
            flags = lanes(one.feature, lane_settings)
            stretches += _stretches(one.feature, flags)
            for row in described(one.feature, one.found, flags, one.moved):
                without = set(row["remarks"].split("; ")) & set(lane_settings.not_counted)
                rows[not without].append(row)
    write_table(rows[True], INTERVAL_COLUMNS, files.intervals)
    write_table(rows[False], INTERVAL_COLUMNS, files.not_counted)
    write_table(stretches, LANE_COLUMNS, files.lanes)


def described(
    feature: Feature,
    found: list[tuple[str, Proposal]],
    flags: dict[str, np.ndarray],
    moved: np.ndarray,
) -> list[dict[str, Any]]:
    """A row of INTERVAL_COLUMNS for each interval of a video, in order of time.

    `flags` are `lanes`' (T,), `moved` is `displacement`'s (T, R, 2).
    """
    rows = []
    macros = [one for type_, one in found if type_ == "macro"]
    for type_, one in sorted(found, key=lambda each: (each[1].onset, each[0])):
        inside = slice(one.onset, one.offset + 1)
        travelled = np.linalg.norm(np.ptp(moved[inside], axis=0), axis=1)
        remarks = _remarks(one, flags, _upper_face(feature, travelled))
        if type_ == "micro":
            remarks += _within(feature, one, macros)
        rows.append(
            {
                "subject": feature.subject,
                "video": feature.video,
                "type": type_,
                **one._asdict(),
                **_times(feature, one),
                "regions": "+".join(_moved_most(feature.regions, travelled)),
                "remarks": "; ".join(remarks),
            }
        )
    return rows


def _upper_face(feature: Feature, travelled: np.ndarray) -> bool:
    """Whether what moved most, `travelled` (R,), lies above the nose, as what a blink moves does."""
    if feature.face is None:
        return False
    height = np.median(feature.face.place[:, travelled.argmax(), 1])
    return bool(height < 0)


def _remarks(one: Proposal, flags: dict[str, np.ndarray], upper: bool) -> list[str]:
    """What is to be known of an interval before it is believed."""
    inside = slice(one.onset, one.offset + 1)
    share = {lane: float(flag[inside].mean()) for lane, flag in flags.items()}
    remarks = []
    if share["talking"] > 0:
        remarks.append("talking" if share["talking"] >= 0.5 else "partly talking")
    if share["blink"] >= 0.5 and upper:
        remarks.append("blink")
    if share["head"] >= 0.5:
        remarks.append("head moves")
    last = len(flags["left_out"]) - 1
    if one.onset == 0:
        remarks.append("cut by the video's start")
    if one.offset >= last - 1:
        remarks.append("cut by the video's end")
    if flags["left_out"][max(0, one.onset - 1) : one.offset + 2].any():
        remarks.append("touches a left-out stretch")
    return remarks


def _within(feature: Feature, micro: Proposal, macros: list[Proposal]) -> list[str]:
    """Says so where a micro-expression is part of a macro-expression: one event, found twice."""
    for macro in macros:
        if 2 * micro.common(macro) > micro.frames:
            return [f"same event as the macro at {feature.seconds(macro.onset):.2f} s"]
    return []


def _times(feature: Feature, one: Proposal) -> dict[str, Any]:
    """An interval in seconds and frames of the source."""
    onset, apex, offset = one.onset, one.apex, one.offset
    last = len(feature.valid)
    frames = [onset, apex, min(offset, last)]
    source = [int(feature.clock.frames[t]) for t in frames] if feature.clock else frames
    return {
        "onset_s": round(feature.seconds(onset), 3),
        "apex_s": round(feature.seconds(apex), 3),
        "offset_s": round(feature.seconds(offset + 1), 3),
        "duration_s": round(one.frames / feature.fps, 3),
        **dict(zip(("source_onset", "source_apex", "source_offset"), source, strict=True)),
        "source_fps": round(feature.clock.fps if feature.clock else feature.fps, 3),
    }


def _moved_most(regions: tuple[str, ...], travelled: np.ndarray) -> list[str]:
    order = np.argsort(-travelled, kind="stable")[:MOST]
    return [regions[k] for k in order if travelled[k] >= ALSO * travelled[order[0]] > 0]


def _stretches(feature: Feature, flags: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {
            "subject": feature.subject,
            "video": feature.video,
            "lane": lane,
            "onset": start,
            "offset": stop - 1,
            "onset_s": round(feature.seconds(start), 3),
            "offset_s": round(feature.seconds(stop), 3),
        }
        for lane, flag in flags.items()
        for start, stop in runs(flag)
    ]
