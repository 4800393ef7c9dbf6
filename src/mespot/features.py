"""features: the dataset's feature store, from mdmo or from feature files as the authors published."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mespot import store
from mespot.datasets.layouts import segments
from mespot.datasets.segments import PUBLISHED_REGIONS, join
from mespot.errors import InputError, failure
from mespot.feature_store import Feature, load, missing, read_video, write
from mespot.fingerprints import fingerprint
from mespot.settings import Features, Rate


def collect(files: Sequence[Path], subjects: Sequence[str], out: Path, settings: Features) -> None:
    """Gather the mdmo files of a dataset's videos; `subjects` names whose each one is."""
    missing, sources = {}, []
    with store.create(out, stage="features", settings=settings.plain(), units="px/frame") as store_:
        for path, subject in zip(files, subjects, strict=True):
            if message := failure(path):
                missing[path.stem] = message
                continue
            with store.read(path) as file:
                write(store_, read_video(file, subject, path.stem))
                sources.append(store.attribute(file, "source"))
                store.tell(store_, fps=store.attribute(file, "fps", Rate))
        store.tell(store_, missing=json.dumps(missing), source=of_all(sources))
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
        source=fingerprint(root),
    ) as file:
        for (subject, video), parts in sorted(by_video.items()):
            mdmo = join(parts) * np.float32(settings.published_unit)
            valid = np.ones(len(mdmo), bool)
            regions = PUBLISHED_REGIONS
            write(file, Feature(subject, video, mdmo, valid, fps, float("nan"), regions))
        store.tell(file, missing="{}")


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
                write(file, feature)
            lost |= missing(path)
        sources, rates = [], set()
        for path in stores:
            with store.read(path) as part:
                sources.append(store.attribute(part, "source"))
                rates.add(store.attribute(part, "fps", float))
        # Where the datasets differ, each video has its own.
        fps = rates.pop() if len(rates) == 1 else float("nan")
        store.tell(file, fps=fps, missing=json.dumps(lost), source=of_all(sources))


def of_all(parts: Iterable[str]) -> str:
    """One fingerprint of all that a store comes from."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
