"""segments: the feature files that the authors of AUW-GCN published, and a video's rows from them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mespot.errors import InputError, reading

# Rows of a published segment: 256 with 7 of context on each side.
SEGMENT, CONTEXT = 256, 7
PUBLISHED_UNIT = 20.0  # px/frame; of the values in the authors' files
# The paper's regions by name, as in config.yaml, in the order of the published files.
PUBLISHED_REGIONS = (
    "right_brow_outer",
    "right_brow_middle",
    "right_brow_inner",
    "left_brow_inner",
    "left_brow_middle",
    "left_brow_outer",
    "nose_bridge",
    "nose_tip",
    "right_lip_corner",
    "upper_lip",
    "left_lip_corner",
    "lower_lip",
)


def join(parts: Mapping[int, Path]) -> np.ndarray:
    """One video's rows (T-1, R, 2) from its segments by first row.

    Segment s holds rows s - 7 to s + 262; what is before row 0 and after the last is zero. Zero rows
    at the video's end are that padding, and go.
    """
    starts = sorted(parts)
    if starts != list(range(0, SEGMENT * len(starts), SEGMENT)):
        raise InputError(
            f"{parts[starts[0]]}: segments begin at rows {starts}; every {SEGMENT}th was expected"
        )
    arrays = [_segment(parts[start]) for start in starts]
    for first, second, start in zip(arrays, arrays[1:], starts[1:], strict=False):
        if not np.array_equal(first[SEGMENT:], second[: 2 * CONTEXT]):
            raise InputError(
                f"{parts[start]}: its first {2 * CONTEXT} rows are not the last of the segment before; "
                "both must come from the same video: unpack the published archive again"
            )
    rows = [array[CONTEXT : CONTEXT + SEGMENT] for array in arrays]
    whole = np.concatenate([*rows, arrays[-1][CONTEXT + SEGMENT :]]).astype(np.float32)
    moving = np.flatnonzero(whole.any((1, 2)))
    if not len(moving):
        raise InputError(
            f"{parts[0]}: nothing moves in any segment of its video; take them out of the folder"
        )
    return whole[: moving[-1] + 1]


def _segment(path: Path) -> np.ndarray:
    expected = (SEGMENT + 2 * CONTEXT, len(PUBLISHED_REGIONS), 2)
    again = "`feature` was expected: unpack the published archive again"
    with reading(path, "not a published segment", again), zipfile.ZipFile(path) as archive:
        with archive.open("feature.npy") as part:
            np.lib.format.read_magic(part)
            shape, _, dtype = np.lib.format.read_array_header_1_0(part)
        if shape != expected or dtype.kind != "f":  # an array of any size would be made
            raise ValueError(f"feature is {dtype} {shape}, not {expected}")
        with archive.open("feature.npy") as part:
            feature = np.lib.format.read_array(part, allow_pickle=False)
        if not np.isfinite(feature).all():
            raise ValueError("feature holds something that is no finite number")
    return feature
