"""The page of one's own videos: the intervals with faces and curves, and a timeline of each video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from mespot import store, video
from mespot.curves import of_video
from mespot.errors import InputError, damaged
from mespot.feature_store import Feature, load, missing
from mespot.intervals import INTERVALS, LANE_COLUMNS, TYPES, load_intervals, load_table
from mespot.own import MUCH
from mespot.progress import progress
from mespot.settings import Displacement
from mespot.spot import Files
from mespot.spotting.displacement import displacement
from mespot.spotting.lanes import LANES
from mespot.store import replacing

# Motion is drawn on one scale over all videos, so that a still face looks still: displacement in
# inter-ocular distances. On ten real videos strong expressions reach .1 to .4, still faces .01.
TOP = 0.2
BESIDE = 1.0  # seconds before and after an interval that its curve shows
STRONGEST = 3  # regions in an interval's curve
STRIP = 60  # seconds at most in one strip of the timeline

# White to a dark purple, darker for more; grey is kept for what was left out.
MOTION = ["#ffffff", "#b9a3d8", "#5f3a96", "#1b0a33"]
LEFT_OUT = "#bdbdbd"

# Pixels of the drawings, at the page's full width.
GUTTER, WIDTH = 104, 1034
BAR, LANE, REGION = 17, 10, 10
LABEL = 62  # right of a bar: its number and score
CURVE_WIDTH, CURVE_HEIGHT = 156, 84
FACE, GAP = 128, 4  # px of one face's picture, and between two


def report_own(features: Path, files: Files, aligned: Path, about: str, out: Path) -> None:
    """Write the page `out` and, beside it, `pictures/`.

    `features` is the feature store of one's own videos, `files` are what `spot` wrote, `aligned` the
    folder of their crops, {video}.mkv, and `about` says which method spotted and how far it can be
    believed. Raises InputError for a file that is not there or lacks a column.
    """
    tables = [
        _in_order(load_intervals(path, INTERVALS), path).assign(counted=counted)
        for path, counted in ((files.intervals, True), (files.not_counted, False))
    ]
    spotted = pd.concat(tables, ignore_index=True)
    spotted = spotted.sort_values(["video", "onset", "offset"])
    marked = load_lanes(files.lanes)
    stored = load(features)
    shown = []
    with replacing(out.parent / "pictures") as pictures, store.read(files.curves) as file:
        pictures.mkdir()
        for number, feature in enumerate(progress(stored, "report", len(stored)), start=1):
            known = of_video(file, feature)
            if known is None:
                raise InputError(
                    f"{files.curves}: no video {feature.video}; run the stage spot again"
                )
            own = spotted[spotted["video"] == feature.video]
            beside = marked[marked["video"] == feature.video]
            crops = aligned / f"{feature.video}.mkv"
            shown.append(_video(number, feature, own, beside, known, crops, pictures))
    environment = Environment(
        loader=PackageLoader("mespot.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("own.html.jinja").render(
        about=about,
        videos=shown,
        failed=missing(features),
        columns=INTERVALS,
        lanes=LANES,
        top=TOP,
        much=MUCH,
        motion=MOTION,
        left_out=LEFT_OUT,
        beside=BESIDE,
    )
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def load_lanes(path: Path) -> pd.DataFrame:
    """The stretches of LANES in each video. Raises InputError for a file that is none of lanes."""
    table = load_table(path, LANE_COLUMNS)
    if unknown := sorted(set(table["lane"]) - set(LANES)):
        raise InputError(f"{path}: lane {unknown[0]!r}; one of {', '.join(LANES)} was expected")
    return table


def _in_order(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    frames = [table[name] for name in ("onset", "apex", "offset")]
    right = (frames[0] >= 0) & (frames[0] <= frames[1]) & (frames[1] <= frames[2])
    if not right.all():
        raise InputError(
            f"{path}: row {right.idxmin() + 2}: 0 <= onset <= apex <= offset was expected; run the stage spot "
            "again"
        )
    return table


def _video(
    number: int,
    feature: Feature,
    spotted: pd.DataFrame,
    lanes: pd.DataFrame,
    curves: pd.DataFrame,
    crops: Path,
    pictures: Path,
) -> dict[str, Any]:
    """All that the template says of one video; its pictures are written."""
    n_frames = len(feature.mdmo) + 1
    rows = spotted.to_dict("records")
    if set(feature.regions) <= set(curves):
        motion = curves[list(feature.regions)].to_numpy()
    else:
        motion = np.linalg.norm(displacement(feature, Displacement()), axis=2)
    motion = motion[: len(feature.mdmo)]
    for index, row in enumerate(rows, start=1):
        row["number"], row["id"] = index, f"v{number}-{index}"
        row["regions"] = [name for name in str(row["regions"]).split("+") if name]
        row["curve"] = _curve(row, curves, feature)
        row["faces"] = f"pictures/{number}_{index}.jpg"
    _faces(crops, [(row, pictures / f"{number}_{row['number']}.jpg") for row in rows])
    return {
        "id": f"v{number}",
        "name": feature.video,
        "subject": feature.subject,
        "seconds": n_frames / feature.fps,
        "fps": feature.fps,
        "left_out": float((~feature.valid).mean()),
        "detectors": feature.detectors,
        "counts": {t: sum(row["counted"] and row["type"] == t for row in rows) for t in TYPES},
        "not_counted": sum(not row["counted"] for row in rows),
        "rows": rows,
        "strips": list(_strips(number, feature, rows, lanes, motion, pictures)),
    }


def _faces(crops: Path, rows: list[tuple[dict[str, Any], Path]]) -> None:
    """One picture for each interval: the face at its onset, apex and offset, side by side."""
    frames = {int(row[name]) for row, _ in rows for name in ("onset", "apex", "offset")}
    if not frames:
        return
    if not crops.is_file():
        raise InputError(f"{crops}: no such file; run the stage align first")
    seen = islice(video.read(crops), max(frames) + 1)
    kept = {t: _small(frame) for t, frame in enumerate(seen) if t in frames}
    if beyond := frames - kept.keys():
        raise damaged(crops, f"it has no frame {max(beyond)}, in which there is an interval")
    for row, path in rows:
        faces = [kept[int(row[name])] for name in ("onset", "apex", "offset")]
        strip = Image.new("L", (3 * FACE + 2 * GAP, FACE), 255)
        for k, face in enumerate(faces):
            strip.paste(face, (k * (FACE + GAP), 0))
        strip.save(path, quality=85)


def _small(frame: np.ndarray) -> Image.Image:
    image = Image.fromarray(frame)
    return image if image.size == (FACE, FACE) else image.resize((FACE, FACE))


def _curve(row: dict[str, Any], curves: pd.DataFrame, feature: Feature) -> dict[str, Any]:
    """An interval's curve: lines to draw, and where its shaded span and its apex are.

    Of a method that follows displacement, the regions that moved most; of a network, the probability
    of an apex.
    """
    names = [name for name in row["regions"] if name in curves][:STRONGEST]
    names, top = (names, TOP) if names else ([f"{row['type']}_apex"], 1.0)
    margin = BESIDE * feature.fps
    first, last = row["onset"] - margin, row["offset"] + 1 + margin

    def x(frame: float) -> float:
        return round((frame - first) / (last - first) * CURVE_WIDTH, 1)

    start, stop = max(0, math.ceil(first)), min(len(curves), math.floor(last) + 1)
    at = [x(frame) for frame in range(start, stop)]
    lines = []
    for name in names if set(names) <= set(curves) else []:
        heights = (1 - np.clip(curves[name].to_numpy()[start:stop] / top, 0, 1)) * CURVE_HEIGHT
        points = " ".join(f"{a:g},{b:.1f}" for a, b in zip(at, heights, strict=True))
        lines.append({"name": name, "points": points})
    return {
        "width": CURVE_WIDTH,
        "height": CURVE_HEIGHT,
        "lines": lines,
        "onset": x(row["onset"]),
        "apex": x(row["apex"]),
        "offset": x(row["offset"] + 1),
        # What lies before the video's start and after its end is left white.
        "left": max(x(0), 0),
        "right": min(x(len(curves) + 1), CURVE_WIDTH),
        "top": top,
    }


def _strips(
    number: int,
    feature: Feature,
    rows: list[dict[str, Any]],
    lanes: pd.DataFrame,
    motion: np.ndarray,
    pictures: Path,
) -> Iterator[dict[str, Any]]:
    """The timeline in strips of a minute or less, all of one length: what is drawn, and where."""
    moving, begin = len(motion) / feature.fps, feature.seconds(0)
    parts = math.ceil(moving / STRIP)
    span = moving + 1 / feature.fps if parts == 1 else math.ceil(moving / parts)
    for part in range(parts):
        first = part * span * feature.fps
        last = min(first + span * feature.fps, len(motion) + 1)

        def x(frame: float, first: float = first, last: float = last) -> float:
            frame = min(max(frame, first), last)
            return round(GUTTER + (frame - first) / (span * feature.fps) * WIDTH, 1)

        y, labels, bars, marks = 4, [], [], []
        for type_ in TYPES:
            labels.append({"text": type_, "y": y + BAR / 2, "strong": True})
            within = [row for row in rows if row["type"] == type_ and _meets(row, first, last)]
            ends = [(x(row["onset"]), x(row["offset"] + 1)) for row in within]
            places = list(_stacked((start, end + LABEL) for start, end in ends))
            for row, place, (start, end) in zip(within, places, ends, strict=True):
                apex = x(row["apex"] + 0.5) if first <= row["apex"] < last else None
                bar = {"row": row, "x": start, "width": _width(start, end), "apex": apex}
                bars.append(bar | {"y": y + place * BAR})
            y += BAR * (max(places, default=0) + 1) + 3
        for lane in LANES:
            labels.append({"text": lane.replace("_", " "), "y": y + LANE / 2, "strong": False})
            for mark in lanes[lanes["lane"] == lane].to_dict("records"):
                if _meets(mark, first, last):
                    start, end = x(mark["onset"]), x(mark["offset"] + 1)
                    marks.append({"lane": lane, "x": start, "width": _width(start, end), "y": y})
            y += LANE + 2
        y += 4
        for k, name in enumerate(feature.regions):
            at = y + REGION * (k + 0.5)
            labels.append({"text": name.replace("_", " "), "y": at, "strong": False})
        start, stop = math.floor(first), min(math.ceil(last), len(motion))
        picture = pictures / f"{number}_motion_{part + 1}.png"
        _motion(motion[start:stop], feature.valid[start:stop], picture)
        bottom = y + REGION * len(feature.regions)
        times = _ticks(begin + first / feature.fps, begin + last / feature.fps, span)
        yield {
            "from": begin + first / feature.fps,
            "to": begin + last / feature.fps,
            "labels": labels,
            "bars": bars,
            "marks": marks,
            "counted": sum(bar["row"]["counted"] for bar in bars),
            "ticks": [(x((time - begin) * feature.fps), time) for time in times],
            "motion": f"pictures/{picture.name}",
            "box": (x(start), y, _width(x(start), x(stop)), bottom - y),
            "left": GUTTER,
            "right": x(last),
            "bottom": bottom,
            "width": GUTTER + WIDTH + LABEL,
            "height": bottom + 18,
        }


def _width(start: float, end: float) -> float:
    """From x to x, wide enough to be seen."""
    return max(round(end - start, 1), 1)


def _meets(row: dict[str, Any], first: float, last: float) -> bool:
    return row["onset"] < last and row["offset"] + 1 > first


def _stacked(taken: Iterable[tuple[float, float]]) -> Iterator[int]:
    """In which row each span (from, to), sorted by from, lies so that none hides another."""
    ends: list[float] = []
    for start, end in taken:
        row = next((k for k, before in enumerate(ends) if before <= start), len(ends))
        ends[row : row + 1] = [end]
        yield row


def _ticks(start: float, stop: float, span: float) -> Iterator[float]:
    """Round seconds from `start` to `stop`, some ten over a whole strip of `span`."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5) if span / step <= 13)
    for k in range(math.ceil(start / step - 1e-9), math.floor(stop / step + 1e-9) + 1):
        yield round(k * step, 1)


def _motion(motion: np.ndarray, valid: np.ndarray, path: Path) -> None:
    """A picture of displacements (n, R), one column a frame: darker for more, grey for left out."""
    stops = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in MOTION])
    at = np.linspace(0, 254, len(stops))
    palette = np.stack([np.interp(np.arange(255), at, stops[:, k]) for k in range(3)], axis=1)
    grey = [int(LEFT_OUT[k : k + 2], 16) for k in (1, 3, 5)]
    shades = np.rint(np.clip(motion / TOP, 0, 1) * 254).astype(np.uint8)
    shades[~valid] = 255
    # Each row as high as it is drawn: browsers smooth what they enlarge.
    image = Image.fromarray(np.repeat(shades.T, REGION, axis=0), mode="P")
    image.putpalette(np.rint([*palette, grey]).astype(np.uint8).tobytes())
    image.save(path, optimize=True)
