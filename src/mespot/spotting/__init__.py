"""From curves or motion to intervals: a file each way of spotting, and what they give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mespot.feature_store import Feature
from mespot.spotting.proposals import Proposal


class Spotted(NamedTuple):
    """What was spotted in one video."""

    feature: Feature
    channels: list[str]  # names of the C curves
    curves: np.ndarray  # (T or T-1, C) float32
    found: list[tuple[str, Proposal]]  # type and interval
    moved: np.ndarray  # (T, R, 2) of `displacement`, which tells what of the face moved
