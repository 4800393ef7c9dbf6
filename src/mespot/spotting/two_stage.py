"""Spotting in two stages: networks' curves give candidates, and what tells of each how probable it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mespot import store
from mespot.datasets.layouts import ALL
from mespot.errors import InputError
from mespot.feature_store import Feature
from mespot.intervals import TYPES
from mespot.networks.inputs import RATE, steps, to_frames, to_rows
from mespot.networks.multiscale import PROBABILITIES
from mespot.networks.multiscale_trained import Model, curves, load_model
from mespot.progress import progress
from mespot.settings import Displacement, TwoStage
from mespot.spotting import Spotted, evaluation
from mespot.spotting.candidates import agreed, best, candidates, curve_of, look, mean
from mespot.spotting.displacement import displacement
from mespot.spotting.evaluation import Evaluation
from mespot.spotting.proposals import Proposal

UNITS = "probability"
HIDDEN = 0.5  # most of an interval that may be left out


def by_two_stages(
    stored: Sequence[Feature], models: Sequence[Path], learnt: Path, settings: TwoStage
) -> Iterator[Spotted]:
    """Spot with the mean of the models that left out the same subjects, in those subjects' videos.

    Models that left out nobody spot in all videos. `learnt` is what `evaluate` wrote. The curves are
    (T-1, 8) float32 PROBABILITIES. Raises InputError.
    """
    together: dict[tuple[str, ...], list[Model]] = defaultdict(list)
    for path in models:
        model = load_model(path)
        together[tuple(model.facts.left_out)].append(model)
    spotted = False
    for left_out, several in progress(together.items(), "spot", len(together)):
        theirs = [one for one in stored if not left_out or one.subject in left_out]
        own = load_evaluation(learnt, left_out)
        for feature in theirs:
            spotted = True
            yield spot_video(feature, several, own, settings)
    if not spotted:
        raise InputError(
            "no video of a subject whom the models left out; a model of all subjects (folds/all) spots "
            "in any video"
        )


def load_evaluation(path: Path, left_out: Sequence[str]) -> dict[str, Evaluation]:
    """Each type's evaluation that nobody of `left_out` had a part in. Raises InputError."""
    with store.read(path) as file:
        for name, group in store.groups(file).items():
            without = store.attribute(group, "left_out", list[str])
            if name == ALL if not left_out else set(left_out) <= {*without}:
                found = store.groups(group)
                if found.keys() == {*TYPES}:
                    return {type_: evaluation.load(found[type_]) for type_ in TYPES}
    whom = ", ".join(left_out) or "nobody"
    raise InputError(f"{path}: no evaluation without {whom}, whom the models left out, is in it")


def spot_video(
    feature: Feature, models: Sequence[Model], learnt: dict[str, Evaluation], settings: TwoStage
) -> Spotted:
    """The intervals of each type that are probable enough, most probable first.

    Of candidates that overlap, the most probable stands, with the ends on which those around it agree.
    """
    seen, found = found_in(feature, models)
    proposals = []
    for type_, (frames, told) in found.items():
        probability = learnt[type_].probability(told)
        kept = best(frames, probability, learnt[type_].overlap)
        scores = learnt[type_].calibrated(probability[kept])
        least = learnt[type_].least if settings.least is None else settings.least
        for ends, score in zip(agreed(frames, probability, kept), scores, strict=True):
            if score >= least:
                onset, offset = map(int, ends)
                apex = _apex(seen, type_, ends, feature.fps)
                apex = min(max(apex, onset), offset)
                proposals.append((type_, Proposal(onset, apex, offset, float(score))))
    moved = displacement(feature, Displacement())
    return Spotted(feature, list(PROBABILITIES), _at_frames(seen, feature), proposals, moved)


def found_in(
    feature: Feature, models: Sequence[Model]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The models' curves (12, T) of a video, and of each type the candidates that are not mostly hidden.

    A candidate is its first and last frame (N, 2), and what tells of it (N, TOLD).
    """
    torch.set_num_threads(1)  # or sums would differ from machine to machine
    seen = curves(models, feature)
    video = look(*steps(feature), feature.regions)._replace(curves=seen)
    found = {}
    for type_, (rows, told) in candidates(video).items():
        frames = to_frames(rows, feature.fps).clip(max=len(feature.valid) - 1)
        shown = mean(feature.valid[None], frames[:, 0], frames[:, 1] + 1)[0] >= 1 - HIDDEN
        found[type_] = frames[shown], told[shown]
    return seen, found


def _apex(seen: np.ndarray, type_: str, ends: np.ndarray, fps: float) -> int:
    """The frame at which an interval's apex is most probable."""
    first, last = np.rint(to_rows(ends[None], fps)[0]).astype(int)
    curve = curve_of(seen, type_, "apex")
    first = min(first, len(curve) - 1)
    return round((first + curve[first : last + 1].argmax() + 0.5) * fps / RATE - 0.5)


def _at_frames(seen: np.ndarray, feature: Feature) -> np.ndarray:
    """The probabilities (T-1, 8) float32 at the video's own rows."""
    own = (np.arange(len(feature.mdmo)) + 0.5) * RATE / feature.fps - 0.5
    rows = np.arange(seen.shape[1])
    return np.stack(
        [np.interp(own, rows, curve) for curve in seen[: len(PROBABILITIES)]], 1
    ).astype(np.float32)
