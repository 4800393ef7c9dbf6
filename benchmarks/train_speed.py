"""Training: CPU time of AUW-GCN's plain formulation and of mespot's, in one run, on one thread.

    python benchmarks/train_speed.py FEATURES_H5 ANNOTATION_CSV [--left-out casme_015] [--epochs 5]

The plain formulation, written out here, works as the published code does: the targets of a window
are made by loops over its labels each time that it is fetched, and the graph convolution is a
batch of one small product a frame. Both start from the same weights and see the same windows,
targets and batches; that their losses agree is checked first. Reading the features, cutting the
windows and importing torch are in neither time; making mespot's targets is in its.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from plain import PlainNetwork
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from mespot.feature_store import load
from mespot.intervals import load_intervals
from mespot.networks import graph
from mespot.networks.auw_gcn import AUWGCN
from mespot.networks.targets import cut, labels, training_targets
from mespot.settings import Train
from mespot.train import Course, Windows, fit

LENGTH, CONTEXT, BATCH, SEED = 256, 7, 128, 1
AGREE = 2e-3  # relative, of the first step and epoch; other targets give 6e-3, another order 7e-2
STEPS = 6  # and epochs, in which the losses are compared


class Fold(NamedTuple):
    """The windows with an expression, before any target is made."""

    features: np.ndarray  # (W, padded length, R, 2) float32, normalised
    marks: np.ndarray  # (W, padded length, 8) int8, as `targets.labels` has them
    weights: dict[str, Tensor]  # that both start from

    def first(self, count: int) -> "Fold":
        return self._replace(features=self.features[:count], marks=self.marks[:count])


class PlainDataset(Dataset):
    """Windows, each with its targets made when it is fetched."""

    def __init__(self, fold: Fold):
        self.fold = fold

    def __len__(self) -> int:
        return len(self.fold.features)

    def __getitem__(self, item: int) -> tuple[Tensor, dict[str, Tensor]]:
        marks, targets = self.fold.marks[item], {}
        for first, type_, radius in ((0, "micro", 1), (4, "macro", 3)):
            onset, apex, offset, action = (marks[:, first + k] for k in range(4))
            near_apex, in_action = [0.0] * len(marks), [0.0] * len(marks)
            boundary = [2] * len(marks)  # neither; 0: onset, 1: offset
            for row, height in around(apex, radius):
                near_apex[row] = max(near_apex[row], height)
            for class_, column in enumerate((onset, offset)):
                for row, _ in around(column, radius):
                    boundary[row] = class_
            for row, mark in enumerate(action):
                if mark == 1:
                    in_action[row] = 1.0
            targets[f"{type_}_apex"] = torch.tensor(near_apex[CONTEXT:-CONTEXT])
            targets[f"{type_}_action"] = torch.tensor(in_action[CONTEXT:-CONTEXT])
            targets[f"{type_}_boundary"] = torch.tensor(boundary[CONTEXT:-CONTEXT])
        return torch.tensor(self.fold.features[item]), targets


def around(column: np.ndarray, radius: int) -> Iterator[tuple[int, float]]:
    """The rows near each mark and the height of its Gaussian there.

    As published, what spreads to the right ends at the padded window's row LENGTH - 1.
    """
    for row, mark in enumerate(column):
        if mark == 1:
            yield row, 1.0
            for distance in range(1, radius + 1):
                height = math.exp(-(distance**2) / (2 * 4.0**2))
                if row - distance >= 0:
                    yield row - distance, height
                if row + distance < LENGTH:
                    yield row + distance, height


class Order(Sampler):
    """All items, shuffled anew each epoch, as mespot shuffles them."""

    def __init__(self, count: int, seed: int):
        self.count, self.generator = count, torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.count, generator=self.generator).tolist())


def binary_term(logits: Tensor, target: Tensor, alpha: float) -> Tensor:
    p, y = torch.sigmoid(logits).reshape(-1), target.reshape(-1)
    marked = (y > 0).float()
    with_mark = alpha * torch.abs(y - p) * torch.log(p + 1e-5)
    without = (1 - alpha) * torch.abs(y + 0.16 - p) * torch.log(1 - p + 1e-5)
    return -torch.mean(marked * with_mark + (1 - marked) * without)


def boundary_term(logits: Tensor, classes: Tensor) -> Tensor:
    p = torch.softmax(logits.transpose(1, 2).reshape(-1, 3), dim=-1)
    of_class = nn.functional.one_hot(classes.reshape(-1), 3)
    p = (p * of_class).sum(-1)
    alpha = (torch.tensor([0.45, 0.45, 0.1]) * of_class).sum(-1)
    return torch.mean(-alpha * (1 - p) * torch.log(p))


def plain_terms(logits: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
    terms = {
        "micro_apex": binary_term(logits[:, 6], targets["micro_apex"], 0.9),
        "macro_apex": binary_term(logits[:, 7], targets["macro_apex"], 0.9),
        "micro_action": binary_term(logits[:, 8], targets["micro_action"], 0.8),
        "macro_action": binary_term(logits[:, 9], targets["macro_action"], 0.8),
        "micro_boundary": boundary_term(logits[:, 0:3], targets["micro_boundary"]),
        "macro_boundary": boundary_term(logits[:, 3:6], targets["macro_boundary"]),
    }
    micro = 1.8 * terms["micro_apex"] + terms["micro_boundary"] + 0.1 * terms["micro_action"]
    macro = terms["macro_apex"] + terms["macro_boundary"] + 0.1 * terms["macro_action"]
    return {"loss": micro + 0.5 * macro, **terms}


def train_plain(fold: Fold, epochs: int) -> list[dict[str, float]]:
    """The mean of each loss term, a row an epoch."""
    torch.use_deterministic_algorithms(False)
    network = PlainNetwork(fold.weights["graph_embedding.0.gc1.adj"]).train()
    network.load_state_dict(fold.weights)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.96)
    dataset = PlainDataset(fold)
    order = Order(len(dataset), SEED)
    loader = DataLoader(dataset, batch_size=BATCH, sampler=order, num_workers=0)
    history = []
    for _ in range(epochs):
        steps = []
        for features, targets in loader:
            terms = plain_terms(network(features)[:, :, CONTEXT:-CONTEXT], targets)
            optimiser.zero_grad()
            terms["loss"].backward()
            optimiser.step()
            steps.append({name: term.item() for name, term in terms.items()})
        schedule.step()
        history.append({name: float(np.mean([step[name] for step in steps])) for name in steps[0]})
    return history


def train_mespot(fold: Fold, epochs: int) -> list[dict[str, float]]:
    """The same by mespot: all that this script knows of how `mespot.train` is called."""
    torch.use_deterministic_algorithms(True)  # as `mespot.train.train` sets it
    network = AUWGCN(fold.weights["graph_embedding.0.gc1.adj"])
    network.load_state_dict(fold.weights)
    targets = training_targets(fold.marks, CONTEXT, published=True)
    windows = Windows(
        torch.from_numpy(fold.features),
        {name: torch.from_numpy(target) for name, target in targets.items()},
        torch.ones(len(fold.features), LENGTH, dtype=torch.bool),  # every row counts
    )
    settings = Train(epochs=epochs, keep=0)
    with TemporaryDirectory() as folder:
        course = Course(network, settings, SEED, Path(folder) / "checkpoint", "benchmark")
        fit(course, windows, settings, "mespot")
    return course.history


def prepare(features: Path, annotation: Path, left_out: str) -> Fold:
    """The fold's windows and the weights to start from."""
    chosen = [feature for feature in load(features) if feature.subject != left_out]
    annotated = load_intervals(annotation)
    annotated = annotated[annotated["video"].isin({feature.video for feature in chosen})]
    rows = np.concatenate([f.mdmo[f.valid].reshape(-1, 2) for f in chosen]).astype(float)
    mean, std = (moment.astype(np.float32) for moment in (rows.mean(0), rows.std(0)))
    by_video, inputs, marks = dict(list(annotated.groupby("video"))), [], []
    for feature in chosen:
        if feature.video in by_video:
            inputs.append(cut((feature.mdmo - mean) / std, LENGTH, CONTEXT))
            marked = labels(by_video[feature.video], len(feature.mdmo))
            marks.append(cut(marked, LENGTH, CONTEXT))
    inputs, marks = np.concatenate(inputs), np.concatenate(marks)
    expressive = marks[:, CONTEXT:-CONTEXT].any((1, 2))
    torch.manual_seed(SEED)
    adjacency = graph.adjacency(annotated["au"], n_rois=inputs.shape[2])
    weights = AUWGCN(torch.from_numpy(adjacency).float()).state_dict()
    return Fold(inputs[expressive].astype(np.float32), marks[expressive], weights)


def differences(fold: Fold, epochs: int) -> list[float]:
    """Each epoch's largest relative difference between the two in any loss term."""
    pairs = zip(train_plain(fold, epochs), train_mespot(fold, epochs), strict=True)
    return [
        max(abs(ours[name] / term - 1) for name, term in plain.items()) for plain, ours in pairs
    ]


def cpu_seconds(train: Callable, fold: Fold, epochs: int) -> float:
    """Per 100 epochs."""
    started = time.process_time()
    train(fold, epochs)
    return (time.process_time() - started) * 100 / epochs


def main(arguments: argparse.Namespace) -> None:
    if torch.cuda.is_available():
        raise SystemExit("CPU time is compared here: hide the GPU (CUDA_VISIBLE_DEVICES=)")
    torch.set_num_threads(1)
    fold = prepare(arguments.features, arguments.annotation, arguments.left_out)
    print(f"{arguments.left_out} left out: {len(fold.features)} windows with an expression\n")
    # Of one batch's windows an epoch is one step.
    for what, part in (("steps on one batch", fold.first(BATCH)), ("epochs, their means", fold)):
        apart = differences(part, STEPS)
        listed = ", ".join(f"{value:.0e}" for value in apart)
        print(f"Losses apart by at most, relative, in the first {STEPS} {what}: {listed}")
        if apart[0] > AGREE:
            raise SystemExit("the two do not train alike: their times say nothing")
    print("\n| round | plain, CPU s per 100 epochs | mespot | ratio |\n|---|---|---|---|")
    rounds = []
    for number in range(1, arguments.rounds + 1):
        plain, ours = (
            cpu_seconds(train, fold, arguments.epochs) for train in (train_plain, train_mespot)
        )
        rounds.append((plain, ours))
        print(f"| {number} | {plain:.1f} | {ours:.1f} | {plain / ours:.2f} |")
    plain, ours = np.median(rounds, axis=0)
    print(f"| median | {plain:.1f} | {ours:.1f} | {plain / ours:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("annotation", type=Path)
    parser.add_argument("--left-out", default="casme_015")
    parser.add_argument("--epochs", type=int, default=5, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
