"""train: one model, on all subjects but one (arXiv 2303.09114, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mespot import graph, losses
from mespot.config import Train
from mespot.errors import InputError
from mespot.features import Feature, load
from mespot.intervals import load_intervals, write_table
from mespot.networks import Trained, fold_seed, in_unit, model_class, save_trained, unit_of
from mespot.progress import progress
from mespot.targets import cut, labels, training_targets


class Windows(NamedTuple):
    """The training windows: features (W, length + 2 context, R, 2) and their targets by name."""

    features: Tensor
    targets: dict[str, Tensor]
    valid: Tensor  # (W, length) rows that count

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Windows]:
        """All windows once, shuffled, in batches."""
        for chosen in torch.randperm(len(self.features), generator=generator).split(size):
            yield self.of(chosen)

    def of(self, chosen: Tensor) -> Windows:
        targets = {name: target[chosen] for name, target in self.targets.items()}
        return Windows(self.features[chosen], targets, self.valid[chosen])


def train(
    features: Path,
    annotation: Path,
    left_out: str,
    model: str,
    out: Path,
    history: Path,
    settings: Train,
) -> None:
    """Train on all subjects but `left_out` ("": on all) and write the last epoch's model.

    Normalisation and adjacency come from the training subjects alone. `history` gets a row an epoch
    with the mean of each loss term. Raises InputError if nothing is left to train on.
    """
    chosen = [feature for feature in load(features) if feature.subject != left_out]
    annotated = load_intervals(annotation)
    annotated = annotated[annotated["video"].isin({feature.video for feature in chosen})]
    units = {unit_of(feature) for feature in chosen}
    if not chosen or annotated.empty:
        raise InputError(f"{annotation}: no expression of a subject other than {left_out!r} in it")
    if len(units) > 1:
        raise InputError(f"{features}: videos with and without a known face size cannot be mixed")
    regions = chosen[0].regions
    rois_of_au = {
        au: [regions.index(name) for name in names if name in regions]
        for au, names in settings.graph_rois.items()
    }
    if not any(rois_of_au.values()):
        raise InputError(
            f"train.graph_rois names none of the regions {', '.join(regions)}: say in config.yaml which "
            "of them each action unit moves"
        )
    adjacency = graph.adjacency(annotated["au"], rois_of_au, len(regions))
    seed = fold_seed(settings.seed, left_out)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in another order give other bytes; folds share the cores
    network = model_class(model)(torch.from_numpy(adjacency).float())
    mean, std = moments(chosen)
    sizes = (settings.window, settings.context)
    trained = Trained(network, regions, adjacency, mean, std, units.pop(), *sizes)
    windows = make_windows(chosen, annotated, trained)
    rows = fit(network, windows, seed, settings, f"train without {left_out or 'nobody'}")
    save_trained(out, trained, model, {"epoch": settings.epochs, "left_out": left_out})
    write_table(rows, rows[0], history)


def moments(features: Sequence[Feature]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (2,) of (dx, dy) over all rows that count."""
    rows = np.concatenate([in_unit(f)[f.valid].reshape(-1, 2) for f in features]).astype(float)
    return rows.mean(0).astype(np.float32), rows.std(0).astype(np.float32)


def make_windows(features: Sequence[Feature], annotated: pd.DataFrame, trained: Trained) -> Windows:
    """The windows in which there is an expression, and their targets."""
    by_video = dict(list(annotated.groupby("video")))
    inputs, marks, valid = [], [], []
    for feature in features:
        if feature.video in by_video:
            video_marks = labels(by_video[feature.video], len(feature.mdmo))
            inputs.append(cut(trained.normalise(feature), trained.window, trained.context))
            marks.append(cut(video_marks, trained.window, trained.context))
            # Rows beyond the video's end count, as nothing happening; covered faces do not.
            valid.append(~cut(~feature.valid, trained.window, trained.context))
    inputs, marks, valid = (np.concatenate(parts) for parts in (inputs, marks, valid))
    inner = slice(trained.context, trained.context + trained.window)
    expressive = marks[:, inner].any((1, 2))
    targets = training_targets(marks[expressive], trained.context, published=False)
    return Windows(
        torch.from_numpy(inputs[expressive]),
        {name: torch.from_numpy(target) for name, target in targets.items()},
        torch.from_numpy(valid[expressive][:, inner]),
    )


def counted(logits: Tensor, batch: Windows) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits (1, 10, N) and targets (1, N) of the N rows that count, in a row."""
    rows = logits.transpose(1, 2)[batch.valid].T[None]
    return rows, {name: target[batch.valid][None] for name, target in batch.targets.items()}


def decayed(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters in two groups: as published, biases and batch norms do not decay."""
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in network.parameters():
        groups[parameter.ndim > 1].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def fit(
    network: torch.nn.Module, windows: Windows, seed: int, settings: Train, what: str
) -> list[dict[str, float]]:
    """Train in place; the history, a row an epoch. Leaves the network on the CPU."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).train()
    targets = {name: target.to(device) for name, target in windows.targets.items()}
    windows = Windows(windows.features.to(device), targets, windows.valid.to(device))
    optimiser = torch.optim.AdamW(decayed(network, settings.weight_decay), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, settings.decay)
    generator = torch.Generator().manual_seed(seed)
    history = []
    for epoch in progress(range(1, settings.epochs + 1), what, settings.epochs):
        steps = []
        for batch in windows.batches(settings.batch, generator):
            logits = network(batch.features)[:, :, settings.context :][:, :, : settings.window]
            terms = losses.loss_terms(*counted(logits, batch))
            total = losses.total_loss(
                terms,
                settings.macro_weight,
                settings.apex_weight,
                settings.boundary_weight,
                settings.action_weight,
            )
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            steps.append({"loss": total.item(), **{k: v.item() for k, v in terms.items()}})
        schedule.step()
        means = pd.DataFrame(steps).mean().to_dict()
        history.append({"epoch": epoch, **means})
    network.cpu().eval()
    return history
