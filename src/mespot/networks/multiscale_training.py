"""How the multi-scale network is trained: its losses, and a number of steps with one rise and fall of the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mespot.errors import InputError
from mespot.networks.clips import Batch, Clip, batches
from mespot.networks.multiscale import AUS, DISTANCES, MARKS, PROBABILITIES, TYPES, Multiscale
from mespot.networks.optimiser import AdamW
from mespot.progress import progress
from mespot.settings import Multiscale as Settings

INSIDE = [k for k, name in enumerate(PROBABILITIES) if name.endswith(MARKS[-1])]
# Of each type for itself: a mark of a long expression is many rows, and there are more macro-expressions.
PEAKS = [
    [k for k, name in enumerate(PROBABILITIES) if name.startswith(type_) and k not in INSIDE]
    for type_ in TYPES
]
TOP = 0.95  # a target from which on a row is the mark itself
RISE = 0.15  # part of the steps in which the rate rises
STEEPEST = 2.0  # norm of the gradient
SHOWN = 50  # steps between two rows of the history


def losses(logits: Tensor, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """Each term, a scalar, weighted.

    peaks: the focal loss of CornerNet (arXiv 1808.01244, eq. 1) over onset, apex and offset, the mean of
    both types'. inside: cross-entropy. distances: smooth L1 of their logarithms. consistency: how much
    neighbouring rows differ in 'inside', as in MS-TCN (arXiv 1903.01945). aus: cross-entropy within
    expressions.
    """
    n, until = len(PROBABILITIES), len(PROBABILITIES) + len(DISTANCES)
    targets, counts = batch.targets, batch.counts
    peaks = [focal(logits[:, of], targets[:, of], counts[:, of]) for of in PEAKS]
    inside = F.binary_cross_entropy_with_logits(
        logits[:, INSIDE], targets[:, INSIDE], counts[:, INSIDE], reduction="sum"
    )
    apart = F.smooth_l1_loss(logits[:, n:until], targets[:, n:until], reduction="none", beta=0.3)
    known = counts[:, n:until]
    terms = {
        "peaks": sum(peaks) / len(peaks),
        "inside": settings.inside_weight * len(INSIDE) * inside / counts[:, INSIDE].sum().clamp(1),
        "distances": settings.distance_weight * 2 * (apart * known).sum() / (known.sum() + 1),
    }
    if settings.consistency_weight:
        change = F.logsigmoid(logits[:, INSIDE]).diff(dim=2).clamp(-4, 4)
        both = counts[:, INSIDE, 1:]
        terms["consistency"] = (
            settings.consistency_weight * (change**2 * both).sum() / both.sum().clamp(1)
        )
    if settings.au_weight:
        told = F.binary_cross_entropy_with_logits(
            logits[:, until:], targets[:, until:], counts[:, until:], reduction="sum"
        )
        terms["aus"] = settings.au_weight * told / (counts[:, until:].sum() / len(AUS) + 1)
    return terms


def focal(logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """CornerNet's focal loss of some curves' marks, all (B, C, T), for each row that is a mark."""
    probability = logits.sigmoid()
    top = (targets > TOP).float() * counts
    hit = top * (1 - probability) ** 2 * F.softplus(-logits)
    miss = (counts - top) * (1 - targets) ** 4 * probability**2 * F.softplus(logits)
    return (hit + miss).sum() / (top.sum() + 1)


def rise_and_fall(done: float) -> float:
    """The rate as a part of its largest, when so much is `done`: one cycle (arXiv 1708.07120)."""
    if done < RISE:
        return (1 + math.cos(math.pi * (1 - done / RISE))) / 2
    return (1 + math.cos(math.pi * (done - RISE) / (1 - RISE))) / 2


def fit(
    network: Multiscale, clips: Sequence[Clip], settings: Settings, seed: int, what: str
) -> list[dict[str, float]]:
    """Train; returns the mean of each term, a row every SHOWN steps. Leaves the network on the CPU.

    Raises InputError for a loss that is no finite number.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=torch.channels_last).train()
    optimiser = AdamW(network, 0.0, settings.weight_decay)
    drawn = batches(clips, settings, seed)
    history, shown = [], []
    for step in progress(range(1, settings.steps + 1), what, settings.steps):
        batch = Batch(*(each.to(device) for each in next(drawn)))
        terms = losses(network(batch.inputs), batch, settings)
        optimiser.rate = settings.learning_rate * rise_and_fall(step / settings.steps)
        optimiser.step(sum(terms.values()), STEEPEST)
        shown.append(torch.stack(list(terms.values())).detach())
        if len(shown) == SHOWN or step == settings.steps:
            means = torch.stack(shown).mean(0).tolist()
            if not math.isfinite(sum(means)):
                raise InputError(
                    f"{what}: the loss is no finite number by step {step}; lower multiscale.learning_rate, or "
                    "multiscale.amplitude where it is above 1"
                )
            history.append(
                dict(zip(("step", "loss", *terms), (step, sum(means), *means), strict=True))
            )
            shown = []
    network.cpu().eval()
    return history
