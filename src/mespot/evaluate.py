"""evaluate: how sure a candidate is, learnt from people whom neither the networks nor the scored one's fold saw.

The subjects are dealt into groups; for each pair of groups networks were trained that left both out. What
a fold of one group goes by is learnt from the candidates that those networks find in the other groups,
each by the networks that left it out, and the fold's own group, too: nothing of the left-out subject
takes part in it, neither through the second stage nor through the curves it looks at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from mespot import store
from mespot.datasets.layouts import ALL
from mespot.errors import InputError
from mespot.feature_store import Feature, load
from mespot.intervals import TYPES, load_intervals, overlaps
from mespot.networks.multiscale_trained import Model, load_model
from mespot.progress import progress
from mespot.settings import Evaluate
from mespot.spotting import evaluation
from mespot.spotting.candidates import TOLD, agreed, best, neighbours
from mespot.spotting.evaluation import ENOUGH, Evaluation
from mespot.spotting.two_stage import found_in

GRID = np.arange(2, 100, 2) / 100  # of probabilities that an interval may have to have
Group = frozenset[str]


class Found(NamedTuple):
    """The candidates of one type in one video."""

    frames: np.ndarray  # (N, 2) first and last
    told: np.ndarray  # (N, TOLD)
    overlap: np.ndarray  # (N,) the largest IoU with an annotated expression
    annotated: np.ndarray  # (M, 2)


def evaluate(
    features: Path, annotation: Path, models: Sequence[Path], out: Path, settings: Evaluate
) -> None:
    """Write an evaluation for each group of subjects, and one (`all`) for other people's videos.

    `models` left out two groups each; several of the same pair count as their mean. Raises InputError
    where they did not.
    """
    stored = load(features)
    table = load_intervals(annotation)
    truth = {
        name: rows[["onset", "offset"]].to_numpy(float)
        for name, rows in table.groupby(["video", "type"])
    }
    pairs: dict[Group, list[Model]] = defaultdict(list)
    for path in models:
        model = load_model(path)
        pairs[frozenset(model.facts.left_out)].append(model)
    groups = groups_of(pairs)
    found: dict[tuple[Group, Group], list[dict[str, Found]]] = {}
    work = [(pair, group) for pair in pairs for group in groups if group < pair]
    for pair, group in progress(work, "evaluate: candidates", len(work)):
        theirs = [feature for feature in stored if feature.subject in group]
        found[pair, group] = [candidates_of(one, pairs[pair], truth) for one in theirs]
    fps, source = _known(features)
    with (
        threadpool_limits(1),  # or sums would differ from machine to machine
        store.create(
            out,
            stage="evaluate",
            settings=settings.plain(),
            units="probability",
            fps=fps,
            source=source,
        ) as file,
    ):
        for number, own in enumerate(progress([*groups, frozenset()], "evaluate", len(groups) + 1)):
            others = [other for other in groups if other != own]
            # For other people's videos each group as one other pair left it out.
            by = [
                own | other if own else other | groups[(k + 1) % len(groups)]
                for k, other in enumerate(others)
            ]
            parts = [found[pair, other] for pair, other in zip(by, others, strict=True)]
            group = file.create_group(f"{number + 1}" if own else ALL)
            store.tell(group, left_out=sorted(own) or [""])
            for type_, one in learn(parts, settings).items():
                evaluation.save(group.create_group(type_), one)


def _known(features: Path) -> tuple[float, str]:
    with store.read(features) as file:
        return store.attribute(file, "fps", float), store.attribute(file, "source")


def groups_of(pairs: Mapping[Group, Sequence[Model]]) -> list[Group]:
    """The groups of subjects, told by the pairs that were left out. Raises InputError if they are none."""
    subjects = sorted(frozenset().union(*pairs))
    groups = {
        frozenset.intersection(*(pair for pair in pairs if name in pair)) for name in subjects
    }
    groups = sorted(groups, key=sorted)
    expected = {one | other for one in groups for other in groups if one != other}
    if len(groups) < 3 or set(pairs) != expected:
        raise InputError(
            f"--model: the {sum(map(len, pairs.values()))} models leave out {len(pairs)} sets of subjects; one for "
            "each pair of at least three groups was expected (folds/inner_I_J), and none besides"
        )
    return groups


def candidates_of(
    feature: Feature, models: Sequence[Model], truth: Mapping[tuple[str, str], np.ndarray]
) -> dict[str, Found]:
    """The candidates of each type in a video."""
    found = {}
    for type_, (frames, told) in found_in(feature, models)[1].items():
        annotated = truth.get((feature.video, type_), np.zeros((0, 2)))
        overlap = np.zeros(len(frames))
        for span, near in zip(annotated, neighbours(annotated, frames), strict=True):
            overlap[near] = np.maximum(overlap[near], overlaps(frames[near], span[None])[:, 0])
        found[type_] = Found(frames, told, overlap, annotated)
    return found


def learn(
    parts: Sequence[Sequence[Mapping[str, Found]]], settings: Evaluate
) -> dict[str, Evaluation]:
    """An evaluation for each type, from the videos of each group.

    How much its probabilities are worth, and how large they must be, is told by those that it has when
    it has learnt from the other groups alone.
    """
    learnt = {}
    for type_ in TYPES:
        videos = [[one[type_] for one in part] for part in parts]
        everybody = [one for part in videos for one in part]
        # Of a group whose videos all failed there is nothing.
        probability, right = [np.zeros(0)], [np.zeros(0, bool)]
        for number, part in enumerate(videos):
            others = videos[:number] + videos[number + 1 :]
            by_others = _fit([one for other in others for one in other])
            for one in part:
                score = by_others.probability(one.told)
                kept = best(one.frames, score, settings.overlap)
                probability.append(score[kept])
                right.append(matched(agreed(one.frames, score, kept), one.annotated))
        probability, right = np.concatenate(probability), np.concatenate(right)
        whole = _fit(everybody)._replace(scale=worth(probability, right), overlap=settings.overlap)
        annotated = sum(len(one.annotated) for one in everybody)
        learnt[type_] = whole._replace(least=enough(whole.calibrated(probability), annotated))
    return learnt


def _fit(videos: Sequence[Found]) -> Evaluation:
    return evaluation.fit(
        np.concatenate([np.zeros((0, len(TOLD))), *(one.told for one in videos)]),
        np.concatenate([np.zeros(0), *(one.overlap for one in videos)]),
    )


def matched(frames: np.ndarray, annotated: np.ndarray, iou: float = ENOUGH) -> np.ndarray:
    """Which of the intervals (N, 2), best first, are right (N,) bool: each annotated one is hit once."""
    overlap = overlaps(frames, annotated)
    free = np.ones(len(annotated), bool)
    right = np.zeros(len(frames), bool)
    for number, row in enumerate(overlap):
        row = np.where(free, row, 0)
        if len(row) and row.max() >= iou:
            right[number], free[row.argmax()] = True, False
    return right


def worth(probability: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logit that make probabilities those of being right (Platt).

    One right and one wrong interval of no great probability are added, so that neither is unheard of.
    Where so few are right that the slope would turn their order round, it is 1, and only how many are
    right is told.
    """
    logits = logit(np.clip(probability, evaluation.SURE, 1 - evaluation.SURE))
    middle = np.median(logits) if len(logits) else 0.0
    logits, right = np.append(logits, [middle, middle]), np.append(right, [True, False])
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], right)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope > 0:
        return slope, offset
    most = 2 * logit(1 - evaluation.SURE)
    return 1.0, brentq(lambda by: (expit(logits + by) - right).sum(), -most, most)


def enough(probability: np.ndarray, annotated: int) -> float:
    """The least probability of GRID with which F1 is to be expected largest; of equals the largest.

    By what the probabilities (N,) say and not by which intervals were right: their sum over so many is
    far steadier, and on the first half of the subjects it was better (docs/method.md).
    """
    over = probability >= GRID[:, None]
    expected = 2 * (over * probability).sum(1) / (over.sum(1) + annotated).clip(min=1)
    return float(GRID[len(GRID) - 1 - expected[::-1].argmax()])
