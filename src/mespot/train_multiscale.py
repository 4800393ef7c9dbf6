"""train of the two-stage method: one multi-scale network, on all subjects but those left out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mespot.datasets.action_units import parse
from mespot.errors import InputError
from mespot.intervals import write_table
from mespot.networks import graph, multiscale_trained, multiscale_training
from mespot.networks.clips import clip
from mespot.networks.fold import compute_alike, to_train_on
from mespot.networks.multiscale import AUS
from mespot.networks.multiscale_trained import Facts
from mespot.networks.trained import fold_seed
from mespot.settings import Multiscale


def train(
    features: Path,
    annotation: Path,
    left_out: Sequence[str],
    out: Path,
    history: Path,
    settings: Multiscale,
) -> None:
    """Train one network on all subjects but those `left_out`.

    `history` gets the mean of each loss term, a row every 50 steps. Raises InputError if nothing is left
    to train on.
    """
    chosen, _, annotated = to_train_on(features, annotation, left_out)
    seed = fold_seed(settings.seed, left_out)
    compute_alike(seed)
    regions = chosen[0].regions
    facts = Facts(
        model="multiscale",
        left_out=list(left_out),
        regions=regions,
        channels=settings.channels,
        temporal=settings.temporal,
        graph=settings.graph,
        aus=settings.au_weight > 0,
    )
    try:
        adjacency = linked(settings, annotated["au"], regions)
        clips = [
            clip(feature, annotated[annotated["video"] == feature.video], speed)
            for feature in chosen
            for speed in settings.speeds
        ]
    except ValueError as error:
        raise InputError(f"{annotation}: {error}; correct that row") from None
    model = multiscale_trained.untrained(facts, adjacency, settings.dropout)
    what = f"train without {' '.join(left_out) or 'nobody'}"
    course = multiscale_training.fit(model.network, clips, settings, seed, what)
    write_table(course, course[0], history)
    multiscale_trained.save_model(out, model)


def _warn(what: str) -> None:
    print(f"warning: multiscale.{what}", file=sys.stderr)


def linked(settings: Multiscale, aus: Sequence[str], regions: Sequence[str]) -> np.ndarray | None:
    """The adjacency (R, R) of the network's graph, where it is a fixed one."""
    rois_of_au = graph.rois_in(settings.graph_rois, regions)
    known = {unit.number for text in aus for unit in parse(text)}
    if settings.au_weight and known.isdisjoint(AUS):
        _warn("au_weight: no action unit that it would learn is annotated, so it does nothing")
    if settings.graph in ("co_occurrence", "conditional") and not any(
        rois_of_au.get(number) for number in known
    ):
        _warn(
            f"graph: {settings.graph}: no annotated action unit moves one of the regions, as graph_rois has "
            "them, so none are linked"
        )
    match settings.graph:
        case "co_occurrence":
            return graph.adjacency(aus, rois_of_au, len(regions))
        case "conditional":
            return graph.conditional(aus, rois_of_au, len(regions))
        case "distance":
            return graph.by_distance(regions)
    return None
