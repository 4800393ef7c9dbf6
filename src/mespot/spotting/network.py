"""Spotting by a trained network: per-frame probabilities and proposals around apexes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mespot.errors import InputError
from mespot.feature_store import Feature
from mespot.intervals import TYPES, read_selection
from mespot.networks.auw_gcn import OUTPUTS
from mespot.networks.trained import Trained, fold_name, load_epochs, load_trained
from mespot.progress import progress
from mespot.settings import Displacement, Spot
from mespot.spotting import Spotted
from mespot.spotting.displacement import displacement
from mespot.spotting.proposals import Proposal, propose, propose_published, suppress

BATCH = 128  # windows at a time: memory stays bounded however long the video
UNITS = "probability"


def by_networks(
    stored: Sequence[Feature],
    models: Sequence[Path],
    network: str,
    selection: Path | None,
    settings: Spot,
) -> Iterator[Spotted]:
    """Spot with each model in the videos of the subjects that it left out (all, if it left out none).

    With a `selection` (of `select`), in each training's chosen epoch and with its thresholds instead
    of those of `settings`. The curves are (T-1, 10) float32 probabilities. Raises InputError for a
    model of other features, and for models that leave out nobody of these.
    """
    chosen = None if selection is None else read_selection(selection)
    spotted: set[str] = set()
    for path in progress(models, "spot", len(models)):
        trained, left_out = load_trained(path, network)
        theirs = [one for one in stored if not left_out or one.subject in left_out]
        if not theirs:  # all their videos failed, or the features are another dataset's
            names = ", ".join(left_out)
            print(f"warning: no video of {names}, left out by {path}", file=sys.stderr)
            continue
        trained, own = _chosen(path, trained, left_out, network, chosen, settings)
        for feature in theirs:
            if feature.video in spotted:
                raise InputError(
                    f"{path}: {feature.video} was spotted in by another of the models already; give "
                    "one model for each left-out subject"
                )
            spotted.add(feature.video)
            windows = probabilities(trained, feature)
            found = [
                (type_, one)
                for type_ in TYPES
                for one in spot_type(windows, feature.valid, feature.fps, type_, own)
            ]
            curves, moved = of_rows(windows, feature.valid), displacement(feature, Displacement())
            yield Spotted(feature, list(OUTPUTS), curves, found, moved)
    if not spotted:
        raise InputError(
            "no video of a subject whom the models left out; a model of all subjects (folds/all) spots "
            "in any video"
        )


def _chosen(
    path: Path,
    trained: Trained,
    left_out: Sequence[str],
    network: str,
    chosen: Mapping[str, pd.Series] | None,
    settings: Spot,
) -> tuple[Trained, Spot]:
    """A training's last model or, if any was, its chosen one, and the settings to spot with."""
    if chosen is None:
        return trained, settings
    trained, states, _ = load_epochs(path, network)
    fold = fold_name(left_out)
    if fold not in chosen or chosen[fold]["epoch"] not in states:
        raise InputError(f"{path}: no epoch of fold {fold} is chosen that it holds; select anew")
    choice = chosen[fold]
    thresholds = {name: float(choice[name]) for name in ("min_macro", "min_micro")}
    trained = trained.with_weights(states[choice["epoch"]])
    return trained, settings.model_copy(update=thresholds)


def probabilities(trained: Trained, feature: Feature) -> np.ndarray:
    """Probabilities (W, L, 10) float32 of OUTPUTS for a video's windows of L rows, the last padded.

    Onset, offset and neither are a softmax for each type; apex and action a sigmoid each.
    """
    if feature.regions != trained.regions:
        raise InputError(
            f"{feature.video}: regions {', '.join(feature.regions)}; the model was trained on "
            f"{', '.join(trained.regions)}: prepare both with the same roi.set"
        )
    windows = torch.from_numpy(trained.windows(feature))
    inner = slice(trained.context, trained.context + trained.window)
    with torch.inference_mode():
        logits = [trained.network(part)[:, :, inner] for part in windows.split(BATCH)]
        logits = torch.cat(logits).transpose(1, 2)
        boundaries = (logits[..., first : first + 3].softmax(2) for first in (0, 3))
        return torch.cat([*boundaries, logits[..., 6:].sigmoid()], 2).numpy()


def of_rows(windows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(W, L, 10) of windows -> (T-1, 10) of the video's rows; 0 where a row does not count."""
    return windows.reshape(-1, windows.shape[2])[: len(valid)] * valid[:, None]


def spot_type(
    windows: np.ndarray, valid: np.ndarray, fps: float, type_: str, settings: Spot
) -> list[Proposal]:
    """The intervals of one type in a video, best first, from `probabilities`."""
    published = settings.proposals == "published"
    reach = [round(seconds * fps) for seconds in getattr(settings, f"{type_}_reach")]
    length = [round(seconds * fps) for seconds in getattr(settings, f"{type_}_seconds")]
    if published:
        proposals = propose_published(*_curves(windows, type_), reach, length, settings.apex)
    else:
        values = of_rows(windows, valid)[None]
        onset, offset, apex = (curve[0] for curve in _curves(values, type_))
        proposals = propose(onset, apex, offset, reach, length, settings.apex)
        covered = np.concatenate([[0], np.cumsum(~valid)])
        onsets, offsets = proposals[:, 0].astype(int), proposals[:, 2].astype(int)
        proposals = proposals[covered[offsets + 1] == covered[onsets]]
    proposals = proposals[proposals[:, 3] >= getattr(settings, f"min_{type_}")]
    kept = suppress(proposals, settings.overlap, not published, getattr(settings, f"top_{type_}"))
    return [Proposal(*map(int, row[:3]), float(row[3])) for row in kept]


def _curves(values: np.ndarray, type_: str) -> list[np.ndarray]:
    """Onset, offset and apex probabilities (...) of (..., 10)."""
    names = (f"{type_}_{kind}" for kind in ("onset", "offset", "apex"))
    return [values[..., OUTPUTS.index(name)] for name in names]
