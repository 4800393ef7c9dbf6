"""What the page needs of one video once it is opened: a script that hands it over.

A page opened from disk may load scripts, and nothing else (`fetch` does not work from file://). Curves
are whole numbers in base64: a third of what they would be as text, and quickly read.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mespot.curves import TOP, moved_by
from mespot.feature_store import Feature
from mespot.stretches import runs

# Published features tell no inter-ocular distance: motion is in each video's own scale (`displacement`).
TOP_OF_PUBLISHED = 8.0
BINS = 400  # of the envelope that the list of videos draws
LACKING = 65535


def script(video: str, of_video: Mapping[str, Any]) -> str:
    """The sidecar file: one call of the page's function."""
    return f"mespot.video({plain(video)},{plain(of_video)});\n"


def plain(value: Any) -> str:
    """JSON that may stand in a script of a page: ASCII without `<`."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def of_video(feature: Feature, curves: Mapping[int, pd.DataFrame]) -> dict[str, Any]:
    """All that is drawn of a video but its intervals: motion (R, T), what was left out, each run's curves by
    its number on the page."""
    motion = np.nan_to_num(motion_of(feature, curves))
    top = top_of(feature)
    return {
        "regions": list(feature.regions),
        "top": top,
        "unit": "inter-ocular" if top == TOP else "own scale",
        "motion": packed(np.rint((motion / top).clip(0, 1).T * 255), np.uint8),
        "left_out": runs(~feature.valid),
        "source": None if feature.clock is None else packed(feature.clock.frames, np.uint32),
        "curves": {
            run: [{"name": name, **_curve(table[name].to_numpy(float))} for name in table]
            for run, table in curves.items()
        },
    }


def top_of(feature: Feature) -> float:
    """The motion that is drawn darkest."""
    return TOP if np.isfinite(feature.inter_ocular) else TOP_OF_PUBLISHED


def motion_of(feature: Feature, curves: Mapping[int, pd.DataFrame]) -> np.ndarray:
    """How far each region is from its neutral place: (T-1, R)."""
    followed = (table for table in curves.values() if set(feature.regions) <= set(table))
    return moved_by(feature, next(followed, None))[: len(feature.mdmo)]


def envelope(table: pd.DataFrame, feature: Feature) -> str:
    """The highest curve of a run in each of BINS parts of a video, 0 to 255."""
    names = [name for name in table if name.endswith("_apex")]
    top = 1.0 if names else top_of(feature)
    highest = np.nan_to_num(table[names or list(table)].to_numpy(float)).max(1)
    starts = np.unique(
        np.linspace(0, len(highest), min(BINS, len(highest)), endpoint=False).astype(int)
    )
    return packed(np.rint((np.maximum.reduceat(highest, starts) / top).clip(0, 1) * 255), np.uint8)


def _curve(values: np.ndarray) -> dict[str, Any]:
    """A curve (T,), in steps of its largest value / 65534."""
    known = np.isfinite(values)
    values = np.where(known, values, 0).clip(0)
    top = float(values.max(initial=0)) or 1.0
    steps = np.where(known, np.rint(values / top * (LACKING - 1)), LACKING)
    return {"max": top, "data": packed(steps, np.uint16)}


def packed(values: np.ndarray, kind: type) -> str:
    """Whole numbers as base64, little-endian."""
    return b64encode(
        np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()
    ).decode()
