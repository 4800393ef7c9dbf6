"""clips: what the multi-scale network is trained on, and what it is to say of each row.

A clip is a video at one speed, at RATE; windows of it are drawn at random, most of them around an
expression, mirrored or not, their motion larger or smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mespot.datasets.action_units import parse
from mespot.feature_store import Feature
from mespot.networks.inputs import RATE, inputs, mirrored, steps, to_rows
from mespot.networks.multiscale import AUS, DISTANCES, MARKS, PROBABILITIES, TYPES
from mespot.settings import Multiscale

# Standard deviation of the Gaussian around a mark, in parts of the expression's length, and its least.
WIDTH, NARROWEST = {"onset": 0.08, "apex": 0.12, "offset": 0.08}, 1.0
JITTER = 0.4  # of a window's length, by which an expression in it may lie off its middle
MICRO = 0.5  # s: up to it an expression at another speed is a micro-expression


class Clip(NamedTuple):
    """One video at one speed, T rows."""

    inputs: np.ndarray  # (T, R, C)
    targets: np.ndarray  # (12 + 17, T): PROBABILITIES, DISTANCES, AUS
    counts: np.ndarray  # (12 + 17, T): 1 where a target counts
    middles: np.ndarray  # (E,) of its expressions
    regions: tuple[str, ...]  # names of the R


class Batch(NamedTuple):
    inputs: Tensor  # (B, T, R, C)
    targets: Tensor  # (B, 29, T)
    counts: Tensor  # the same


def clip(feature: Feature, annotated: pd.DataFrame, speed: float = 1.0) -> Clip:
    """A video `speed` times as fast, with its annotated expressions (columns of annotation.csv).

    Raises ValueError for a row that is no interval.
    """
    feature = feature._replace(fps=feature.fps * speed)
    moved, valid = steps(feature)
    seen = inputs(moved, valid)
    marked, within = marks(feature, annotated, len(seen), speed)
    counts = np.ones_like(marked)
    first = len(PROBABILITIES)
    counts[first : first + len(DISTANCES)] = np.repeat(within[:2], 2, 0)
    counts[first + len(DISTANCES) :] = within[2]
    counts *= valid
    spans = to_rows(annotated[["onset", "offset"]].to_numpy(float), feature.fps)
    middles = spans.mean(1)
    return Clip(
        seen,
        marked,
        counts,
        middles[middles < len(seen)].astype(int),
        feature.regions,
    )


def marks(
    feature: Feature, annotated: pd.DataFrame, n_rows: int, speed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (29, T) of each row, and where (3, T) one is in a micro-, in a macro-expression, and
    in one whose action units are known."""
    t = np.arange(n_rows)
    targets = np.zeros((len(PROBABILITIES) + len(DISTANCES) + len(AUS), n_rows), np.float32)
    within = np.zeros((3, n_rows), np.float32)
    frames = annotated[["onset", "offset"]].to_numpy(float)
    for row, (first, last) in zip(
        annotated.itertuples(), to_rows(frames, feature.fps), strict=True
    ):
        if not 0 <= row.onset <= row.offset:
            raise ValueError(
                f"{row.video}: an interval must have 0 <= onset <= offset, not {row.onset}, {row.offset}"
            )
        length = last - first + 1
        type_ = row.type
        if speed != 1:
            type_ = "micro" if length <= MICRO * RATE else "macro"
        which = TYPES.index(type_)
        apex = (min(max(row.apex, row.onset), row.offset) + 0.5) * RATE / feature.fps - 0.5
        places = {"onset": first, "apex": apex if row.apex >= 0 else None, "offset": last}
        for mark, at in places.items():
            if at is not None:
                width = max(NARROWEST, WIDTH[mark] * length)
                # Further away it is less than float32 tells from nothing beside 1.
                far = math.ceil(6 * width)
                near = slice(max(0, round(at) - far), max(0, round(at) + far + 1))
                bump = np.exp(-(((t[near] - round(at)) / width) ** 2) / 2)
                channel = targets[len(MARKS) * which + MARKS.index(mark), near]
                np.maximum(channel, bump, out=channel)
        inside = slice(round(first), round(last) + 1)
        targets[len(MARKS) * which + MARKS.index("inside"), inside] = 1
        since, until = len(PROBABILITIES) + 2 * which + np.array([0, 1])
        targets[since, inside] = np.log1p(np.maximum(t[inside] - first, 0))
        targets[until, inside] = np.log1p(np.maximum(last - t[inside], 0))
        within[which, inside] = 1
        numbers = {unit.number for unit in parse(str(row.au))}
        if numbers:
            within[2, inside] = 1
        for number in numbers & {*AUS}:
            targets[len(PROBABILITIES) + len(DISTANCES) + AUS.index(number), inside] = 1
    return targets, within


def batches(clips: Sequence[Clip], settings: Multiscale, seed: int) -> Iterator[Batch]:
    """Windows drawn at random, for ever."""
    random = np.random.default_rng(seed)
    around = [(one, middle) for one in clips for middle in one.middles]
    shape = clips[0].inputs.shape[1:]
    marked = len(clips[0].targets)
    size, length = settings.batch, settings.window
    while True:
        inputs = np.zeros((size, length, *shape), np.float32)
        targets, counts = np.zeros((2, size, marked, length), np.float32)
        for number in range(size):
            if around and random.random() < settings.expressive:
                one, middle = around[random.integers(len(around))]
                middle += int(random.uniform(-JITTER, JITTER) * length)
            else:
                one = clips[random.integers(len(clips))]
                middle = int(random.integers(len(one.inputs)))
            rows = len(one.inputs)
            if rows > length:
                start, place = min(max(middle - length // 2, 0), rows - length), 0
            else:
                start, place = 0, int(random.integers(length - rows + 1))
            taken, put = slice(start, start + length), slice(place, place + min(rows, length))
            seen = one.inputs[taken]
            if random.random() < settings.mirror:
                seen = mirrored(seen, one.regions)
            louder = np.float32(np.exp(random.normal() * settings.amplitude))
            inputs[number, put] = seen * louder
            targets[number, :, put] = one.targets[:, taken]
            counts[number, :, put] = one.counts[:, taken]
        yield Batch(*map(torch.from_numpy, (inputs, targets, counts)))
