"""Trained networks in and out of files, and a model class by its name."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mespot import provenance
from mespot.datasets.layouts import ALL
from mespot.datasets.segments import PUBLISHED_UNIT
from mespot.errors import InputError
from mespot.feature_store import Feature
from mespot.networks.auw_gcn import AUWGCN
from mespot.networks.targets import MEAN, STD, cut
from mespot.store import replacing

MODEL = "a model that mespot trained"
State = dict[str, torch.Tensor]  # a network's weights by name


class Trained(NamedTuple):
    """A network with all that is needed to use it on new features."""

    network: torch.nn.Module
    regions: tuple[str, ...]  # names of the R regions
    adjacency: np.ndarray  # (R, R), of the graph convolution
    mean: np.ndarray  # (2,) and
    std: np.ndarray  # (2,) of the training features, in `unit`
    unit: str  # "inter_ocular" (1/100 of that distance a frame) or "px"
    window: int
    context: int

    def windows(self, feature: Feature) -> np.ndarray:
        """A video's windows (W, context + window + context, R, 2) as the network takes them, float32.

        What is beyond the video is no motion, before normalisation as in the published code.
        """
        motion = cut(in_unit(feature, self.unit), self.window, self.context)
        return ((motion - self.mean) / self.std).astype(np.float32)

    def with_weights(self, state: Mapping[str, torch.Tensor]) -> Trained:
        """The same with other weights, such as an earlier epoch's. Raises RuntimeError."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(state)
        return self._replace(network=network.eval())


def unit_of(feature: Feature) -> str:
    """In what a video's motion can be given: inter-ocular distances where they are known."""
    return "px" if np.isnan(feature.inter_ocular) else "inter_ocular"


def in_unit(feature: Feature, unit: str) -> np.ndarray:
    """A video's motion (T-1, R, 2) in px/frame, or in 1/100 of the inter-ocular distance a frame.

    Raises InputError where that distance is needed and not known.
    """
    if unit == "px":
        return feature.mdmo
    if unit_of(feature) == "px":
        raise InputError(
            f"{feature.video}: motion in px; the model was trained in {unit}: published features tell "
            "no face size: train a model on published features for them"
        )
    return feature.mdmo * np.float32(100 / feature.inter_ocular)


def published_normalisation() -> tuple[np.ndarray, np.ndarray]:
    """The published code's mean and standard deviation (2,) of (dx, dy), in px/frame."""
    return tuple(np.float32(PUBLISHED_UNIT) * np.float32(each) for each in (MEAN, STD))


def model_class(name: str) -> type[torch.nn.Module]:
    """`auw_gcn`, or the class in a file of one's own, `path/to/file.py:Class`.

    A class takes (adjacency (R, R)) and maps (B, T, R, 2) to logits (B, 10, T). Raises InputError.
    """
    if name == "auw_gcn":
        return AUWGCN
    path, colon, class_name = name.rpartition(":")
    if not colon or not Path(path).is_file():
        raise InputError(f"model {name!r}: auw_gcn or path/to/file.py:Class was expected")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, class_name):
        raise InputError(f"{path}: no class {class_name} in it")
    return getattr(module, class_name)


def save_trained(
    path: Path,
    trained: Trained,
    model: str,
    facts: Mapping[str, Any],
    epochs: Mapping[int, State] | None = None,
) -> None:
    """Write a trained network as tensors and plain values, readable with `weights_only=True`.

    `epochs` adds the weights after these epochs; `made` is the file's record (`provenance`).
    """
    content = {
        "model": model,
        "state_dict": {name: tensor.cpu() for name, tensor in trained.network.state_dict().items()},
        "regions": list(trained.regions),
        "adjacency": trained.adjacency.tolist(),
        "mean": trained.mean.tolist(),
        "std": trained.std.tolist(),
        "unit": trained.unit,
        "window": trained.window,
        "context": trained.context,
        "made": provenance.inside(path),
        **facts,
    }
    save(path, content | ({} if epochs is None else {"epochs": dict(epochs)}))


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values; the bytes depend on nothing but them."""
    # To an open file: given a path, torch writes that name, here a temporary one, into the file.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def read(path: Path, what: str) -> dict[str, Any]:
    """The dictionary in a file of `torch.save`, read without running anything in it.

    Raises InputError for anything but tensors and plain values in a dictionary.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a file of any content raises almost anything, and runs nothing
        raise InputError(f"{path}: not {what} ({error!r})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not {what}: it holds a {type(content).__name__}")
    return content


def load_trained(path: Path, network: str = "auw_gcn") -> tuple[Trained, list[str]]:
    """A trained network of the class named `network`, ready to spot, and whom it left out.

    Raises InputError for a file that is none, or of another class: a file must not choose which code
    runs.
    """
    content = read(path, MODEL)
    trained = _trained(content, network, path)
    return trained, list(content["left_out"])


def load_epochs(path: Path, network: str) -> tuple[Trained, dict[int, State], list[str]]:
    """A training's last model, its weights after each epoch that was kept, and whom it left out."""
    content = read(path, "the epochs of a training")
    trained = _trained(content, network, path)
    own = {name: tensor.shape for name, tensor in trained.network.state_dict().items()}
    try:
        for epoch, state in content["epochs"].items():
            if {name: tensor.shape for name, tensor in state.items()} != own:
                raise ValueError(f"epoch {epoch} has other weights than the last")
    except (KeyError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: not the epochs of a training ({error!r})") from None
    return trained, content["epochs"], list(content["left_out"])


def fold_name(left_out: Sequence[str]) -> str:
    """What a fold that leaves out one subject, or none, is called."""
    return left_out[0] if left_out else ALL


def _trained(content: Mapping[str, Any], name: str, path: Path) -> Trained:
    """The network that `save_trained` wrote. Raises InputError that names what does not fit."""
    if (named := content.get("model")) != name:
        raise InputError(f"{path}: a model of the network {named!r}; {name!r} was expected")
    try:
        adjacency = np.array(content["adjacency"], np.float32)
        network = model_class(name)(torch.from_numpy(adjacency))
        network.load_state_dict(content["state_dict"])
        arrays = [np.array(content[name], np.float32) for name in ("mean", "std")]
        rest = [content[name] for name in ("unit", "window", "context")]
        regions = tuple(content["regions"])
        if not isinstance(content["left_out"], list):
            raise TypeError("left_out, a list, was expected")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"{path}: not {MODEL} ({error!r})") from None
    return Trained(network.eval(), regions, adjacency, *arrays, *rest)


def fold_seed(seed: int, left_out: Sequence[str]) -> int:
    """A seed for each fold."""
    named = f"{seed} {' '.join(left_out)}".encode()
    return int.from_bytes(hashlib.sha256(named).digest()[:4], "big")
