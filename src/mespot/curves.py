"""curves: what a video was spotted by, frame by frame, as a table for other programs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from mespot import store
from mespot.errors import InputError
from mespot.feature_store import Feature, load


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
        tables = [
            _table(one, list(file[one.video].attrs["channels"]), file[one.video][:])
            for one in chosen
            if one.video in file
        ]
    if not tables:
        raise InputError(f"{spotted}: {chosen[0].video} was not spotted in; run `spot` again")
    with store.replacing(out) if isinstance(out, Path) else nullcontext(out) as place:
        pd.concat(tables).to_csv(place, index=False, float_format="%.6g")


def _table(feature: Feature, channels: list[str], values: np.ndarray) -> pd.DataFrame:
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
    padded = np.full((n, len(channels)), np.nan)
    padded[: len(values)] = values
    columns |= dict(zip(channels, padded.T, strict=True))
    if feature.face:
        openings = (feature.face.openings / feature.inter_ocular).T
        columns |= dict(zip(("right_eye", "left_eye", "mouth"), openings, strict=True))
        columns |= dict(
            zip(("head_x", "head_y", "head_roll", "head_size"), feature.face.pose.T, strict=True)
        )
    return pd.DataFrame(columns)
