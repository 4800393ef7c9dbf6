"""train: one model, on all subjects but one (arXiv 2303.09114, 4.1)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mespot.errors import InputError, reading
from mespot.feature_store import Feature
from mespot.intervals import write_table
from mespot.networks import graph, losses
from mespot.networks.auw_gcn import OUTPUTS
from mespot.networks.fold import compute_alike, to_train_on
from mespot.networks.optimiser import AdamW
from mespot.networks.targets import cut, labels, training_targets
from mespot.networks.trained import (
    State,
    Trained,
    fold_seed,
    in_unit,
    kept_epochs,
    load_trained,
    model_class,
    own_code,
    published_normalisation,
    read,
    save,
    save_trained,
    unit_of,
)
from mespot.progress import progress
from mespot.rerun import digest, file_digest
from mespot.settings import Train
from mespot.store import checked

CHECKPOINT = "the checkpoint of a training"
CHECKPOINT_EVERY = 10  # epochs: a few seconds of work


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
        return self._each(lambda tensor: tensor[chosen])

    def to(self, device: str) -> Windows:
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Windows:
        targets = {name: change(target) for name, target in self.targets.items()}
        return Windows(change(self.features), targets, change(self.valid))


def train(
    features: Path,
    annotation: Path,
    left_out: Sequence[str],
    network: str,
    start: Path | None,
    out: Path,
    epochs: Path,
    history: Path,
    settings: Train,
) -> None:
    """Train on all subjects but those `left_out` and write the model after the last epoch.

    `network` names the class; `start` is a model to begin with. `epochs` gets the weights after every
    `settings.keep` epochs too, to choose from; `history` a row an epoch with the mean of each loss
    term. What a killed run left in `out`.checkpoint is taken up: the result is the same to the byte.
    Raises InputError if nothing is left to train on.
    """
    chosen, table, annotated = to_train_on(features, annotation, left_out)
    seed = fold_seed(settings.seed, left_out)
    compute_alike(seed)
    aus = table["au"] if settings.graph == "published" else annotated["au"]
    trained = untrained(chosen, aus, network, settings)
    if start:
        begin_with(trained, start, network)
    try:
        windows = make_windows(chosen, annotated, trained, settings)
    except ValueError as error:
        raise InputError(f"{annotation}: {error}; correct that row") from None
    if not len(windows.features):
        raise InputError(
            f"{annotation}: no expression trained on lies where a face is seen, before its video's last frame: "
            "nothing is left to train on; annotate more, or look at why the face is not found (mespot info)"
        )
    fingerprint = fingerprint_of(trained.network, windows, network, settings)
    course = Course(trained.network, settings, seed, Path(f"{out}.checkpoint"), fingerprint)
    fit(course, windows, settings, f"train without {' '.join(left_out) or 'nobody'}")
    facts = {"epoch": settings.epochs, "left_out": list(left_out)}
    save_trained(epochs, trained, network, facts, course.kept)
    write_table(course.history, course.history[0], history)
    save_trained(out, trained, network, facts)
    course.checkpoint.unlink(missing_ok=True)


def untrained(
    chosen: Sequence[Feature], aus: Iterable[Any], network: str, settings: Train
) -> Trained:
    """A network with random weights, its adjacency and normalisation from these videos and AUs."""
    regions = chosen[0].regions
    known = {unit_of(feature) for feature in chosen}
    if settings.normalisation == "published":
        unit, (mean, std) = "px", published_normalisation()
    elif len(known) > 1:
        raise InputError(
            f"{chosen[0].video} and others: videos with and without a known face size do not mix"
        )
    else:
        unit = known.pop()
        mean, std = moments(chosen, unit)
    rois_of_au = graph.rois_in(settings.graph_rois, regions)
    if not any(rois_of_au.values()):
        raise InputError(
            f"train.graph_rois names none of the regions {', '.join(regions)}: say in config.yaml which "
            "of them each action unit moves"
        )
    adjacency = graph.adjacency(aus, rois_of_au, len(regions), settings.graph == "published")
    random = made(network, adjacency, settings)
    sizes = (settings.window, settings.context)
    return Trained(random, regions, adjacency, mean, std, unit, *sizes)


def made(network: str, adjacency: np.ndarray, settings: Train) -> torch.nn.Module:
    """A network with random weights; one of one's own is tried on a window of zeros.

    Raises InputError where its class cannot be made of an adjacency (R, R), or gives other logits than
    (1, 10, T).
    """
    kind = model_class(network)
    if network == "auw_gcn":
        return kind(torch.from_numpy(adjacency).float())
    length = settings.window + 2 * settings.context
    with own_code(network), torch.no_grad():
        own = kind(torch.from_numpy(adjacency).float())
        shape = tuple(own.eval()(torch.zeros(1, length, len(adjacency), 2)).shape)
    if shape != (1, len(OUTPUTS), length):
        raise InputError(
            f"{network}: features (1, {length}, {len(adjacency)}, 2) give {shape}; logits "
            f"(1, {len(OUTPUTS)}, {length}) were expected"
        )
    return own


def begin_with(trained: Trained, start: Path, network: str) -> None:
    """Take the weights of another model; adjacency and running statistics stay the fold's own."""
    source, _ = load_trained(start, network)
    if source.regions != trained.regions:
        raise InputError(
            f"{start}: trained on the regions {', '.join(source.regions)}, not on these"
        )
    weights = dict(source.network.named_parameters())
    with torch.no_grad():
        for name, parameter in trained.network.named_parameters():
            parameter.copy_(weights[name])


def fingerprint_of(network: torch.nn.Module, windows: Windows, name: str, settings: Train) -> str:
    """What a checkpoint is known by: the same code, settings, first weights, data and device."""
    own = "" if name == "auw_gcn" else file_digest(Path(name.rpartition(":")[0]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    machine = f"{device} {torch.__version__}"
    hashed = hashlib.sha256(f"{digest('train')} {own} {settings} {machine}".encode())
    tensors = [*network.state_dict().values(), windows.features, *windows.targets.values()]
    for tensor in [*tensors, windows.valid]:
        hashed.update(tensor.detach().cpu().numpy().tobytes())
    return hashed.hexdigest()


def moments(features: Sequence[Feature], unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (2,) of (dx, dy) over all rows that count.

    Raises InputError where nothing moves in them, or there are none.
    """
    rows = [in_unit(f, unit)[f.valid].reshape(-1, 2) for f in features]
    rows = np.concatenate(rows).astype(float)
    if not (rows != rows[:1]).any(0).all():
        what = "nothing moves" if len(rows) else "no face is seen"
        raise InputError(f"{features[0].video} and others: {what} in the videos trained on")
    return rows.mean(0).astype(np.float32), rows.std(0).astype(np.float32)


def make_windows(
    features: Sequence[Feature], annotated: pd.DataFrame, trained: Trained, settings: Train
) -> Windows:
    """The windows in which there is an expression, and their targets.

    As published, an expression in a window's context is enough, and targets are the published ones.
    Raises ValueError for a row that is no interval, with its video's name.
    """
    published = settings.labels == "published"
    by_video = dict(list(annotated.groupby("video")))
    inputs, marks, valid = [], [], []
    for feature in features:
        if feature.video in by_video:
            try:
                video_marks = labels(by_video[feature.video], len(feature.mdmo), published)
            except ValueError as error:
                raise ValueError(f"{feature.video}: {error}") from None
            inputs.append(trained.windows(feature))
            marks.append(cut(video_marks, trained.window, trained.context))
            # Rows beyond the video's end count, as nothing happening; covered faces do not.
            valid.append(~cut(~feature.valid, trained.window, trained.context))
    inputs, marks, valid = (np.concatenate(parts) for parts in (inputs, marks, valid))
    inner = slice(trained.context, trained.context + trained.window)
    expressive = (marks if published else marks[:, inner]).any((1, 2))
    expressive &= valid[:, inner].any(1)  # a batch of none that counts has no loss
    targets = training_targets(marks[expressive], trained.context, published)
    return Windows(
        torch.from_numpy(inputs[expressive]),
        {name: torch.from_numpy(target) for name, target in targets.items()},
        torch.from_numpy(valid[expressive][:, inner]),
    )


def counted(logits: Tensor, batch: Windows) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits (B, 10, T) and targets (B, T); where rows do not count, of those that do, in a row."""
    if batch.valid.all():
        return logits, batch.targets
    rows = logits.transpose(1, 2)[batch.valid].T[None]
    return rows, {name: target[batch.valid][None] for name, target in batch.targets.items()}


class Course:
    """A training on its way: all that the next epoch needs, in and out of a checkpoint file."""

    def __init__(
        self,
        network: torch.nn.Module,
        settings: Train,
        seed: int,
        checkpoint: Path,
        fingerprint: str,
    ):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = network.to(self.device).train()
        self.optimiser = AdamW(network, settings.learning_rate, settings.weight_decay)
        self.generator = torch.Generator().manual_seed(seed)
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.history: list[dict[str, float]] = []
        self.kept: dict[int, State] = {}
        if checkpoint.exists():
            self._resume()

    def keep(self) -> None:
        """Put the weights of this epoch by."""
        state = self.network.state_dict()
        # A name is the same object in every epoch, as after loading: the file's bytes depend on it.
        self.kept[len(self.history)] = {
            sys.intern(name): w.detach().cpu().clone() for name, w in state.items()
        }

    def save(self) -> None:
        on_gpu = torch.cuda.get_rng_state() if self.device == "cuda" else None
        content = {
            "fingerprint": self.fingerprint,
            "state_dict": self.network.state_dict(),
            "optimiser": self.optimiser.state(),
            # The order of the windows, and dropout and the like in a network of one's own.
            "random": (self.generator.get_state(), torch.get_rng_state(), on_gpu),
            "history": self.history,
            "kept": self.kept,
        }
        save(self.checkpoint, content)

    def _resume(self) -> None:
        """Go on where a killed run stopped; a checkpoint of other data, settings or code is none."""
        content = read(self.checkpoint, CHECKPOINT)
        if content.get("fingerprint") != self.fingerprint:
            return
        with reading(self.checkpoint, f"not {CHECKPOINT}"):
            self.network.load_state_dict(content["state_dict"])
            self.optimiser.restore(content["optimiser"])
            order, on_cpu, on_gpu = content["random"]
            self.generator.set_state(order)
            torch.set_rng_state(on_cpu)
            if on_gpu is not None and self.device == "cuda":
                torch.cuda.set_rng_state(on_gpu)
            self.history = checked(content["history"], list[dict[str, int | float]])
            self.kept = {
                epoch: {sys.intern(name): w for name, w in state.items()}
                for epoch, state in kept_epochs(content["kept"], self.network).items()
            }
        print(f"resumed after epoch {len(self.history)}", file=sys.stderr)


def fit(course: Course, windows: Windows, settings: Train, what: str) -> None:
    """Train to the last epoch. Leaves the network on the CPU, ready to spot."""
    windows = windows.to(course.device)
    for epoch in progress(range(1, settings.epochs + 1), what, settings.epochs):
        if epoch <= len(course.history):
            continue
        steps = []
        for batch in windows.batches(settings.batch, course.generator):
            logits = course.network(batch.features)
            inner = logits[:, :, settings.context : settings.context + settings.window]
            terms = losses.loss_terms(*counted(inner, batch))
            total = losses.total_loss(
                terms,
                settings.macro_weight,
                settings.apex_weight,
                settings.boundary_weight,
                settings.action_weight,
            )
            course.optimiser.step(total)
            steps.append(torch.stack([total, *terms.values()]).detach())
        course.optimiser.rate *= settings.decay
        means = torch.stack(steps).mean(0).tolist()
        if not np.isfinite(means).all():
            raise InputError(
                f"{what}: the loss is no finite number after epoch {epoch}; lower train.learning_rate or a weight"
            )
        course.history.append(dict(zip(("epoch", "loss", *terms), (epoch, *means), strict=True)))
        if epoch == settings.epochs or (settings.keep and epoch % settings.keep == 0):
            course.keep()
        if epoch % CHECKPOINT_EVERY == 0:
            course.save()
    course.network.cpu().eval()
