"""features: the dataset's feature store, from mdmo or from feature files as the authors published.

`features.h5` holds a group /{subject}/{video} with `mdmo` (T-1, R, 2) float32 px/frame and `valid`
(T-1,) bool; attributes `fps`, `regions` (names of the R), `inter_ocular` (px; NaN where unknown)
and `detectors` (who found faces and landmarks). Videos that failed are in the file's attribute `missing`, as a JSON object from video to the
error's message.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from mespot import store
from mespot.errors import InputError, failure
from mespot.layouts import segments
from mespot.settings import Features

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


class Feature(NamedTuple):
    subject: str
    video: str
    mdmo: np.ndarray  # (T-1, R, 2) float32 px/frame
    valid: np.ndarray  # (T-1,) bool
    fps: float
    inter_ocular: float  # px; NaN where unknown
    regions: tuple[str, ...]  # names of the R
    detectors: str = "faces and landmarks as published"  # who found them


def collect(files: Sequence[Path], subjects: Sequence[str], out: Path, settings: Features) -> None:
    """Gather the mdmo files of a dataset's videos; `subjects` names whose each one is."""
    missing, sources = {}, []
    with store.create(out, stage="features", settings=settings.plain(), units="px/frame") as store_:
        for path, subject in zip(files, subjects, strict=True):
            if message := failure(path):
                missing[path.stem] = message
                continue
            with store.read(path) as file:
                _write(store_, _feature(file, subject, path.stem))
                sources.append(str(file.attrs["source"]))
                store_.attrs["fps"] = file.attrs["fps"]
        store_.attrs["missing"] = json.dumps(missing)
        store_.attrs["source"] = fingerprint(sources)
        if len(missing) == len(files):
            raise InputError(
                f"every video of the dataset failed; the first: {missing[files[0].stem]}"
            )
    for video, message in missing.items():
        print(f"warning: {video} is left out: {message}", file=sys.stderr)


def import_published(root: Path, fps: float, out: Path, settings: Features) -> None:
    """Join the authors' segment files below `root` to whole videos.

    Raises InputError where two segments disagree on the rows that they share.
    """
    by_video: dict[tuple[str, str], dict[int, Path]] = {}
    for path, name in segments(root):
        by_video.setdefault((path.parent.name, name["video"]), {})[int(name["start"])] = path
    if not by_video:
        raise InputError(f"{root}: no segment file like casme_015/casme_015_0401_0256.npz in it")
    with store.create(
        out,
        stage="features",
        settings=settings.plain(),
        units="px/frame",
        fps=fps,
        source=fingerprint(f"{p.name} {p.stat().st_size}" for p in sorted(root.rglob("*.npz"))),
    ) as file:
        for (subject, video), parts in sorted(by_video.items()):
            mdmo = join(parts) * np.float32(settings.published_unit)
            valid = np.ones(len(mdmo), bool)
            regions = PUBLISHED_REGIONS
            _write(file, Feature(subject, video, mdmo, valid, fps, float("nan"), regions))
        file.attrs["missing"] = "{}"


def join_stores(stores: Sequence[Path], out: Path, settings: Features) -> None:
    """The videos of several datasets as one. Raises InputError where two have a video of one name."""
    seen: dict[str, Path] = {}
    lost: dict[str, str] = {}
    with store.create(out, stage="features", settings=settings.plain(), units="px/frame") as file:
        for path in stores:
            for feature in load(path):
                if feature.video in seen:
                    raise InputError(f"{path}: {feature.video} is in {seen[feature.video]} as well")
                seen[feature.video] = path
                _write(file, feature)
            lost |= missing(path)
        sources, rates = [], set()
        for path in stores:
            with store.read(path) as part:
                sources.append(str(part.attrs["source"]))
                rates.add(float(part.attrs["fps"]))
        # Where the datasets differ, each video has its own.
        file.attrs["fps"] = rates.pop() if len(rates) == 1 else float("nan")
        file.attrs["missing"] = json.dumps(lost)
        file.attrs["source"] = fingerprint(sources)


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
    return whole[: moving[-1] + 1 if len(moving) else 0]


def fingerprint(parts: Iterable[str]) -> str:
    """One fingerprint of all that a store comes from."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load(path: Path) -> list[Feature]:
    """All videos of a feature store, by subject and name. Raises InputError."""
    with store.read(path) as file:
        return [
            _feature(file[subject][video], subject, video)
            for subject in sorted(file)
            for video in sorted(file[subject])
        ]


def lengths(path: Path) -> dict[str, tuple[str, int]]:
    """Subject and number of frames of each video in a feature store."""
    with store.read(path) as file:
        return {
            video: (subject, file[subject][video]["valid"].shape[0] + 1)
            for subject in file
            for video in file[subject]
        }


def missing(path: Path) -> dict[str, str]:
    """The videos that failed, and why, of a feature store."""
    with store.read(path) as file:
        return json.loads(file.attrs["missing"])


def _feature(group: h5py.Group, subject: str, video: str) -> Feature:
    """One video's features, from its mdmo file or its group in a feature store."""
    scale = (float(group.attrs[name]) for name in ("fps", "inter_ocular"))
    regions = tuple(group.attrs["regions"])
    arrays = (group["mdmo"][:], group["valid"][:])
    return Feature(subject, video, *arrays, *scale, regions, group.attrs["detectors"])


def _segment(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            feature = file["feature"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not a published segment ({error}); `feature` was expected"
        ) from None
    expected = (SEGMENT + 2 * CONTEXT, len(PUBLISHED_REGIONS), 2)
    if feature.shape != expected:
        raise InputError(f"{path}: feature is {feature.shape}; {expected} was expected")
    return feature


def _write(file: h5py.File, feature: Feature) -> None:
    group = file.create_group(f"{feature.subject}/{feature.video}")
    group["mdmo"], group["valid"] = feature.mdmo, feature.valid
    for name in ("fps", "inter_ocular", "regions", "detectors"):
        group.attrs[name] = getattr(feature, name)
