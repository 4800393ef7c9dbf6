"""report: the page to look at after a run, or after spotting in one's own videos.

`index.html` holds the table, the figures and the list of all intervals; what is drawn of one video lies beside
it, in `videos/`, and is loaded when that video is opened: a page of 250 videos opens as fast as one of two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import h5py
import numpy as np
import pandas as pd
from pydantic import BaseModel

from mespot import __version__, pages, provenance, store
from mespot.aggregate import KINDS, POOLED, load_summary, whole
from mespot.curves import of_video
from mespot.errors import InputError, failure, reading
from mespot.experiments import SPOTTED, Experiment, of_folder, spotted_in
from mespot.feature_store import Feature, load, missing
from mespot.intervals import INTERVALS, LANE_COLUMNS, TYPES, load_intervals, load_table
from mespot.matches import matches
from mespot.own import MUCH
from mespot.pages import sidecar, strips
from mespot.papers.table import PAPER
from mespot.progress import progress
from mespot.roi import SIDES
from mespot.settings import Name, Report
from mespot.spotting.lanes import LANES
from mespot.store import parsed, replacing

# What the page is told of an interval, in this order.
EVENT = (
    "video",
    "run",
    "what",
    "type",
    "onset",
    "apex",
    "offset",
    "score",
    "outcome",
    "iou",
    "strip",
)
EVENT += ("regions", "remarks")
ANNOTATED, NOT_COUNTED = "annotated", "not counted"


class Run(NamedTuple):
    """What a method spotted in a dataset."""

    folder: str  # below the results: DATASET/METHOD/...
    spotted: pd.DataFrame
    not_counted: pd.DataFrame
    lanes: pd.DataFrame
    curves: h5py.File


class Listed(BaseModel):
    """What `figures.json` says of a figure."""

    dataset: str
    method: str
    name: Name
    title: str
    caption: str
    alt: str


class Dataset(NamedTuple):
    """What is known of a dataset before its videos are looked at one by one."""

    name: str
    stored: list[Feature]
    failed: dict[str, str]
    annotated: pd.DataFrame | None
    runs: list[Run]


def report(
    results: Path,
    shown: Sequence[str],
    summary: Path | None,
    out: Path,
    settings: Report,
    about: str = "",
    figures: Sequence[Path] = (),
) -> None:
    """Write the page `out` and, beside it, the folder `videos` with scripts and pictures.

    `shown` are folders below `results`, DATASET/METHOD/... (see `experiments`). `about` says what a page of
    one's own videos begins with; `figures` are lists of figures, RUN.json beside the folder RUN. Nothing is loaded from
    elsewhere. Raises InputError for a file that is not there or lacks a column.
    """
    by_dataset: dict[str, list[str]] = {}
    for folder in shown:
        by_dataset.setdefault(of_folder(folder).dataset, []).append(folder)
    runs = [{"dataset": of_folder(folder).dataset, "name": name_of(folder)} for folder in shown]
    index: dict[str, Any] = {"runs": runs, "event": EVENT, "videos": [], "events": []}
    listed = []
    with ExitStack() as files, replacing(out.parent / "videos") as folder:
        folder.mkdir()
        datasets = []
        for name, folders in by_dataset.items():
            dataset = _dataset(results, name, folders, files)
            datasets.append(_told(dataset))
            for feature in progress(dataset.stored, f"report {name}", len(dataset.stored)):
                rows = _video(results, dataset, feature, shown, out, folder, index)
                if dataset.annotated is None:
                    listed.append(_listed(feature, index["videos"][-1], rows))
    page = pages.environment().get_template("page.html.jinja").render(
        about=about,
        datasets=datasets,
        listed=listed,
        index=index,
        told=sidecar.plain(index),
        sheets=_worst_first(index["videos"]),
        table=_table(summary, settings.headline, shown) if summary else None,
        headline=settings.headline,
        figures=[one for path in figures for one in _figures(path, out.parent)],
        versions=_versions(results, shown),
        columns=INTERVALS,
        lanes=LANES,
        much=MUCH,
        top=sidecar.TOP,
        full=strips.FULL,
    )  # fmt: skip
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def name_of(folder: str) -> str:
    """A run's name for people, beside its dataset's."""
    of, (_, *run) = of_folder(folder), spotted_in(folder).split("/")
    return "/".join(run) + (f", trained on {of.trained_on}" if of.trained_on != of.dataset else "")


def _dataset(results: Path, name: str, folders: Sequence[str], files: ExitStack) -> Dataset:
    store_ = results / name / "features.h5"
    annotation = results / name / "annotation.csv"
    return Dataset(
        name,
        load(store_),
        missing(store_),
        load_intervals(annotation, ("apex",)) if annotation.exists() else None,
        [_run(results / spotted_in(folder), folder, files) for folder in folders],
    )


def _run(where: Path, folder: str, files: ExitStack) -> Run:
    tables = [
        _in_order(load_intervals(where / name, INTERVALS), where / name) for name in SPOTTED[:2]
    ]
    curves = files.enter_context(store.read(where / SPOTTED[3]))
    return Run(folder, *tables, load_lanes(where / SPOTTED[2]), curves)


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
    results: Path,
    dataset: Dataset,
    feature: Feature,
    shown: Sequence[str],
    out: Path,
    folder: Path,
    index: dict[str, Any],
) -> list[dict[str, Any]]:
    """Add a video and its intervals, which are returned, to the page's index; write its script and pictures."""
    number = len(index["videos"])
    file = f"{dataset.name}_{feature.video}"
    tables = {run.folder: of_video(run.curves, feature) for run in dataset.runs}
    for run in dataset.runs:
        if tables[run.folder] is None:
            raise InputError(
                f"{run.curves.filename}: no video {feature.video}; run the stage spot again"
            )
    events = []
    for run in dataset.runs:
        for row in _intervals(dataset, run, feature.video):
            events.append(row | {"video": number, "run": shown.index(run.folder)})
    quality = _pictures(results, dataset, feature, events, folder / file)
    events.sort(key=lambda row: (row["onset"], row["offset"]))
    for at, row in enumerate(events, len(index["events"])):
        row["event"] = at
    index["events"] += [[row.get(name) for name in EVENT] for row in events]
    lanes = _of(dataset.runs[0].lanes, feature.video)
    tables = {shown.index(run): table for run, table in tables.items()}
    told = sidecar.of_video(feature, tables) | {
        "lanes": {
            lane: lanes.loc[lanes["lane"] == lane, ["onset", "offset"]].astype(int).values.tolist()
            for lane in LANES
        },
    }
    folder.joinpath(f"{file}.js").write_text(sidecar.script(file, told), encoding="utf-8")
    film = results / spotted_in(dataset.runs[0].folder) / "overlay" / f"{feature.video}.mp4"
    index["videos"].append(
        {
            "name": feature.video,
            "subject": feature.subject,
            "dataset": dataset.name,
            "file": file,
            "href": f"videos/{quote(file)}",
            "fps": feature.fps,
            "start": feature.seconds(0),
            "frames": len(feature.mdmo) + 1,
            "left_out": round(float((~feature.valid).mean()), 4),
            "labelled": dataset.annotated is not None,
            "envelope": {run: sidecar.envelope(table, feature) for run, table in tables.items()},
            "overlay": quote(os.path.relpath(film, out.parent)) if _whole(film) else None,
            **quality,
        }
    )
    return events


def _worst_first(videos: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with a face on the contact sheet: what was left out most, then what trembles most."""
    shown = [video | {"at": at} for at, video in enumerate(videos) if "sheet" in video]
    return sorted(shown, key=lambda one: (-one["left_out"], -(one["trembling"] or 0)))


def _whole(film: Path) -> bool:
    return film.is_file() and failure(film) is None


def _listed(
    feature: Feature, about: Mapping[str, Any], rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """One of one's own videos, as its table on the page says it."""
    counted = [row for row in rows if row["what"] == "spotted"]
    return {
        "about": about,
        "rows": rows,
        "detectors": feature.detectors,
        "counts": {type_: sum(row["type"] == type_ for row in counted) for type_ in TYPES},
        "not_counted": len(rows) - len(counted),
    }


def _intervals(dataset: Dataset, run: Run, video: str) -> list[dict[str, Any]]:
    """What a run spotted in a video and what is annotated there, and what became of each."""
    spotted = _of(run.spotted, video)
    others = _of(run.not_counted, video).assign(what=NOT_COUNTED)
    if dataset.annotated is None:
        tables = [spotted.assign(what="spotted"), others]
    else:
        truth, spotted = matches(_of(dataset.annotated, video), spotted)
        truth = truth.assign(what=ANNOTATED, score=np.nan)
        tables = [spotted.assign(what="spotted"), truth, others]
    rows = []
    for row in (row for table in tables for row in table.to_dict("records")):
        row |= {name: int(row[name]) for name in ("onset", "apex", "offset")}
        row["strip"] = None
        row["score"] = None if np.isnan(row["score"]) else round(row["score"], 4)
        row["iou"] = round(row["iou"], 3) if "iou" in row else None
        rows.append(row)
    return rows


def _pictures(
    results: Path, dataset: Dataset, feature: Feature, events: Sequence[dict[str, Any]], place: Path
) -> dict[str, Any]:
    """Draw the strip of each interval, and the face for the contact sheet; what that tells of quality."""
    where = results / dataset.name
    crops = where / "align" / f"{feature.video}.mkv"
    if feature.face is None:
        return {}  # published features: nobody's face
    with ExitStack() as files:
        points = _points(where / "landmarks" / f"{feature.video}.h5", len(feature.seen), files)
        flow = _flow(where / "flow" / f"{feature.video}.h5", len(feature.seen), files)
        # What is found is shown once, as it was spotted.
        drawn = [row for row in events if (row["what"], row.get("outcome")) != (ANNOTATED, "found")]
        spans = [(row["onset"], row["apex"], row["offset"]) for row in drawn]
        at = strips.middle(feature)
        last = len(feature.seen) - 1
        spans = [tuple(min(frame, last) for frame in span) for span in spans]
        faces = strips.frames_at(crops, {at, *chain(*spans)})
        known: dict[tuple[int, int, int], int] = {}
        for row, span in zip(drawn, spans, strict=True):
            if span not in known:
                known[span] = len(known) + 1
                picture = place.with_name(f"{place.name}_{known[span]}.jpg")
                strips.strip(faces, span, flow, feature.inter_ocular, picture)
            row["strip"] = known[span]
        quality = {}
        if points is not None:
            strips.sheet(
                faces[at], points[at], feature, at, place.with_name(f"{place.name}_face.jpg")
            )
            quality = {"sheet": True, "trembling": strips.trembling(points, feature)}
    return quality


def _points(path: Path, frames: int, files: ExitStack) -> np.ndarray | None:
    if not path.is_file():
        return None
    file = files.enter_context(store.read(path))
    return store.array(file, "points", np.floating, frames, 68, 2)


def _flow(path: Path, frames: int, files: ExitStack) -> store.Rows | None:
    """The flow, where it was kept: it can be made again from what is left, and is large."""
    if not path.is_file():
        return None
    file = files.enter_context(store.read(path))
    return store.rows(file, "flow", np.int16, frames - 1, 2, SIDES, SIDES)


def _of(table: pd.DataFrame, video: str) -> pd.DataFrame:
    return table[table["video"] == video]


def _told(dataset: Dataset) -> dict[str, Any]:
    """What the page says of a dataset as a whole."""
    truth, stored = dataset.annotated, dataset.stored
    return {
        "name": dataset.name,
        "videos": len(stored),
        "subjects": len({feature.subject for feature in stored}),
        "seconds": sum((len(feature.mdmo) + 1) / feature.fps for feature in stored),
        "fps": sorted({feature.fps for feature in stored}),
        "annotated": None if truth is None else {t: int((truth["type"] == t).sum()) for t in TYPES},
        "left_out": float(np.mean(np.concatenate([~one.valid for one in stored])))
        if stored
        else 0.0,
        "detectors": "; ".join(sorted({feature.detectors for feature in stored})),
        "failed": {
            video: why.partition("\n")[2] or why for video, why in sorted(dataset.failed.items())
        },
        "n_failed": len(dataset.failed),
    }


def _table(summary: Path, headline: str, shown: Sequence[str]) -> dict[str, Any]:
    """The rows of `summary.csv`, those of the headline protocol first; after each dataset the paper's row."""
    table = load_summary(summary)
    first = (table["protocol"] != headline) + 2 * (table["selection"] == "oracle")
    table = table.assign(first=first).sort_values("first", kind="stable")
    rows = [_row(row, shown) for row in table.to_dict("records")]
    papers = [
        {"dataset": name, "f1": [None if f1 is None else f"{f1:.3f}" for f1 in PAPER[name]]}
        for name in dict.fromkeys(table["dataset"])
        if name in PAPER and {*table["dataset"]} & {*PAPER} != {POOLED}
    ]
    return {"rows": rows, "papers": papers}


def _row(row: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """One row as text; `run` is which of those that are shown it is the score of, if any."""
    counts = {name: row[f"overall_{name}"] for name in ("tp", "n", "m")}
    known = {of_folder(folder): number for number, folder in enumerate(shown)}
    of = Experiment(*(row[name] for name in Experiment._fields))
    if of.trained_on == "nothing":
        of = of._replace(trained_on=of.dataset)
    return {
        **{
            name: row[name] for name in ("method", "dataset", "trained_on", "selection", "protocol")
        },
        "seeds": int(row["seeds"]),
        "headline": row["first"] == 0,
        "f1": [_with_interval(row, kind) for kind in KINDS],
        "tp": whole(counts["tp"]),
        "fp": whole(counts["n"] - counts["tp"]),
        "fn": whole(counts["m"] - counts["tp"]),
        "run": known.get(of),
    }


def _with_interval(row: Mapping[str, Any], kind: str) -> dict[str, str]:
    spread, low, high = (row[f"{kind}_f1_{name}"] for name in ("sd", "low", "high"))
    return {
        "f1": f"{row[f'{kind}_f1']:.3f}",
        "sd": "" if np.isnan(spread) else f"{spread:.3f}",
        "interval": "" if np.isnan(low) else f"{low:.3f} to {high:.3f}",
    }


def _figures(path: Path, page: Path) -> list[dict[str, str]]:
    """What the stage `figures` lists of a run's, with the run's name and where they are. Raises InputError."""
    with reading(path):
        listed = parsed(path.read_bytes(), list[Listed])
    where = os.path.relpath(path.with_suffix(""), page)
    return [
        {
            **one,
            "run": f"{one['dataset']}: {one['method']}",
            "href": quote(f"{where}/{one['name']}"),
        }
        for one in (entry.model_dump() for entry in listed)
    ]


def _versions(results: Path, shown: Sequence[str]) -> dict[str, str]:
    """What the intervals were spotted with: mespot and the libraries."""
    for folder in shown:
        made = provenance.read(results / folder / "curves.h5")
        if made:
            return made["versions"]
    return {"mespot": __version__}
