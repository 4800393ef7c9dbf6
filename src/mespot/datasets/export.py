"""export: a feature store as the segment files that the authors of AUW-GCN published.

The way back of `features.import_published`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from mespot import store
from mespot.datasets.segments import CONTEXT, PUBLISHED_REGIONS, SEGMENT
from mespot.errors import InputError
from mespot.feature_store import Feature, load
from mespot.intervals import load_intervals
from mespot.networks.targets import cut, labels, windows
from mespot.settings import Features


def export_segments(
    features: Path,
    annotation: Path,
    out: Path,
    settings: Features,
    without: Collection[str] = (),
) -> None:
    """Write a feature store as the authors' segment files: one folder a subject.

    `{out}/{subject}/{video}_{first row:04d}.npz` holds `feature` (270, 12, 2) in units of
    `settings.published_unit` px/frame, float32, or float64 where it is padded; `label` (270, 8)
    int64, what `targets.labels` makes of the rows of `annotation` as they are, read the published
    way (a video without rows has zeros); and `video_name`. What was imported comes back so, its
    features to a step of float32; zero rows at a video's end are padding to whoever reads it.

    `without` names videos to leave out. Raises InputError for a video with rows that do not count
    or regions other than the published ones (their order is put right), which the form cannot say;
    for an annotation without whole onset, apex and offset; and if `out` holds anything. Nothing is
    written then.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(
            f"{out}: exists and is not an empty folder; segments of another export would mix with "
            "these: name a new folder, or delete it"
        )
    chosen = load(features)
    names = {feature.video for feature in chosen}
    if unknown := sorted(set(without) - names):
        raise InputError(f"{features}: no video {', '.join(unknown)} to leave out")
    annotated = _as_given(annotation)
    if absent := sorted(set(annotated) - names):
        message = f"{annotation}: {features} does not have {len(absent)} of its videos"
        if len(absent) == len(annotated):
            raise InputError(f"{message}, which are all ({absent[0]}, ...); name the store's own")
        print(f"warning: {message}: {', '.join(absent)}", file=sys.stderr)
    chosen = [feature for feature in chosen if feature.video not in without]
    if not chosen:
        raise InputError(f"{features}: no video left to write")
    # All that can be wrong is looked at before the first file is written.
    rows = [_published_rows(feature, features, settings) for feature in chosen]
    none = pd.DataFrame(columns=["type", "onset", "apex", "offset"])
    marks = []
    for feature in chosen:
        intervals = annotated.get(feature.video, none)
        try:
            marks.append(labels(intervals, len(feature.mdmo), published=True))
        except ValueError as error:
            raise InputError(f"{annotation}: {feature.video}: {error}; correct that row") from None
    with store.replacing(out) as folder:
        for feature, *both in zip(chosen, rows, marks, strict=True):
            _write_segments(folder / feature.subject, feature.video, *both)


def _as_given(annotation: Path) -> dict[str, pd.DataFrame]:
    """The annotated rows of each video, nothing repaired. Raises InputError."""
    table = load_intervals(annotation)
    if "apex" not in table:
        raise InputError(f"{annotation}: no column apex; add one, with 0 where it is unknown")
    for name in ("onset", "apex", "offset"):
        # What is no number or infinite becomes NaN, which equals nothing.
        numbers = pd.to_numeric(table[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
        for index in table.index[numbers != numbers.round()]:
            raise InputError(
                f"{annotation}: row {index + 2}: {name} is {str(table[name][index]) or 'empty'}; a whole frame number "
                "was expected: correct it, or run `mespot annotation` first, which decides on such rows"
            )
    return dict(list(table.groupby("video")))


def _published_rows(feature: Feature, features: Path, settings: Features) -> np.ndarray:
    """A video's rows (T-1, 12, 2) float32 in the published unit and order of regions."""
    where = f"{features}: {feature.video}"
    leave_out = f"leave it out (--without {feature.video})"
    if sorted(feature.regions) != sorted(PUBLISHED_REGIONS):
        raise InputError(
            f"{where}: regions {', '.join(feature.regions)}; a published segment has the "
            f"{len(PUBLISHED_REGIONS)} {', '.join(PUBLISHED_REGIONS)}: set roi.set in config.yaml to "
            f"the set of these and run it again, or {leave_out}"
        )
    odd = np.flatnonzero(~feature.valid)
    if len(odd):
        raise InputError(
            f"{where}: {len(odd)} of {len(feature.mdmo)} rows do not count (no face was seen), the first "
            f"is row {odd[0]}; a published segment cannot say so, every row of it counts: bridge longer gaps (mdmo.max_gap in config.yaml) and run it again, or "
            f"{leave_out}"
        )
    order = [feature.regions.index(name) for name in PUBLISHED_REGIONS]
    return feature.mdmo[:, order] / np.float32(settings.published_unit)


def _write_segments(folder: Path, video: str, rows: np.ndarray, marks: np.ndarray) -> None:
    """Cut one video's `rows` (T-1, 12, 2) float32 and `marks` (T-1, 8), and write a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    padded = (windows(len(rows), SEGMENT, CONTEXT) < 0).any(1)
    parts = zip(cut(rows, SEGMENT, CONTEXT), cut(marks, SEGMENT, CONTEXT), padded, strict=True)
    for number, (feature, label, pad) in enumerate(parts):
        np.savez(
            folder / f"{video}_{SEGMENT * number:04d}.npz",
            # As published: what was joined to padding has become float64.
            feature=feature.astype(np.float64 if pad else np.float32),
            label=label.astype(np.int64),
            video_name=video,
        )
