"""curves: what a video was spotted by, frame by frame, as a table for other programs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

import h5py
import numpy as np
import pandas as pd

from mespot import store
from mespot.errors import InputError, damaged
from mespot.feature_store import Feature, load
from mespot.settings import Displacement

# Motion is drawn on one scale over all videos, so that a still face looks still: displacement in
# inter-ocular distances. On ten real videos strong expressions reach .1 to .4, still faces .01.
TOP = 0.2


def curves(features: Path, spotted: Path, video: str | None, out: Path | TextIO) -> None:
    """Write a row for each frame of each video, or of `video` alone.

    Columns: `video`, `frame` (working rate, from 0), `time_s`, `source_frame`, `counts` (False where the
    face is covered or lost), the curves that `spot` wrote, and where a face was filmed the opening of
    eyes and mouth in inter-ocular distances and where the head is. Raises InputError for a video that
    is not there.
    """
    stored = load(features)
    chosen = [one for one in stored if video in (None, one.video)]
    if not chosen:
        names = ", ".join(one.video for one in stored)
        raise InputError(f"{features}: no video {video}; there are {names}")
    with store.read(spotted) as file:
        found = ((one, of_video(file, one)) for one in chosen)
        tables = [_table(one, known) for one, known in found if known is not None]
    if not tables:
        raise InputError(f"{spotted}: {chosen[0].video} was not spotted in; run `spot` again")
    with store.replacing(out) if isinstance(out, Path) else nullcontext(out) as place:
        pd.concat(tables).to_csv(place, index=False, float_format="%.6g")


def of_video(file: h5py.File, feature: Feature) -> pd.DataFrame | None:
    """The curves of a video in what `spot` wrote, (T or T-1, C), by name; None if it has none.

    Raises InputError.
    """
    if not store.has(file, feature.video):
        return None
    n = len(feature.valid)
    values = store.array(file, feature.video, np.floating, range(n, n + 2), None)
    channels = store.attribute(file[feature.video], "channels", tuple[str, ...])
    if len({*channels}) != len(channels) or values.shape[1] != len(channels):
        raise damaged(Path(file.filename), f"{feature.video} has other curves than names of them")
    return pd.DataFrame(values, columns=list(channels))


def moved_by(feature: Feature, curves: pd.DataFrame | None) -> np.ndarray:
    """How far each region is from its neutral place: (T or T-1, R), in the units of `displacement`.

    Where the curves are of that method it has followed them already.
    """
    if curves is not None and set(feature.regions) <= set(curves):
        return curves[list(feature.regions)].to_numpy()
    from mespot.spotting.displacement import displacement  # scipy: for those who draw alone

    return np.linalg.norm(displacement(feature, Displacement()), axis=2)


def _table(feature: Feature, curves: pd.DataFrame) -> pd.DataFrame:
    n = len(feature.valid) + 1
    frames = np.arange(n)
    columns = {
        "video": feature.video,
        "frame": frames,
        "time_s": np.round([feature.seconds(t) for t in frames], 4),
        "source_frame": feature.clock.frames if feature.clock else frames,
        "counts": feature.seen,
    }
    # A network tells of rows, the motion from one frame to the next; the last frame has none.
    columns |= curves.reindex(frames)
    if feature.face:
        openings = (feature.face.openings / feature.inter_ocular).T
        columns |= dict(zip(("right_eye", "left_eye", "mouth"), openings, strict=True))
        columns |= dict(
            zip(("head_x", "head_y", "head_roll", "head_size"), feature.face.pose.T, strict=True)
        )
    return pd.DataFrame(columns)
