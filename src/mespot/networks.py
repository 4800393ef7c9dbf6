"""Trained networks in and out of files, and a model class by its name."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mespot.errors import InputError
from mespot.features import Feature
from mespot.model import AUWGCN
from mespot.store import replacing


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

    def normalise(self, feature: Feature) -> np.ndarray:
        """A video's features (T-1, R, 2) as the network takes them, float32."""
        if unit_of(feature) != self.unit:
            raise InputError(
                f"{feature.video}: motion in {unit_of(feature)}; the model was trained in {self.unit}: "
                "published features tell no face size, so they go with published features only"
            )
        return ((in_unit(feature) - self.mean) / self.std).astype(np.float32)


def unit_of(feature: Feature) -> str:
    """In what a video's motion can be given: inter-ocular distances where they are known."""
    return "px" if np.isnan(feature.inter_ocular) else "inter_ocular"


def in_unit(feature: Feature) -> np.ndarray:
    """A video's motion (T-1, R, 2) in its unit, so that it does not depend on the crop's size."""
    known = unit_of(feature) == "inter_ocular"
    return feature.mdmo * np.float32(100 / feature.inter_ocular if known else 1)


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


def save_trained(path: Path, trained: Trained, model: str, facts: dict[str, Any]) -> None:
    """Write a trained network as tensors and plain values, readable with `weights_only=True`."""
    state = trained.network.state_dict()
    content = {
        "model": model,
        "state_dict": {name: tensor.cpu() for name, tensor in state.items()},
        "regions": list(trained.regions),
        "adjacency": trained.adjacency.tolist(),
        "mean": trained.mean.tolist(),
        "std": trained.std.tolist(),
        "unit": trained.unit,
        "window": trained.window,
        "context": trained.context,
        **facts,
    }
    # To an open file: given a path, torch writes that name, here a temporary one, into the file.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def load_trained(path: Path) -> Trained:
    """A trained network, ready to spot. Raises InputError for a file that is none."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        adjacency = np.array(content["adjacency"], np.float32)
        network = model_class(content["model"])(torch.from_numpy(adjacency))
        network.load_state_dict(content["state_dict"])
        arrays = [np.array(content[name], np.float32) for name in ("mean", "std")]
        rest = [content[name] for name in ("unit", "window", "context")]
        regions = tuple(content["regions"])
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: not a model that mespot trained ({error})") from None
    return Trained(network.eval(), regions, adjacency, *arrays, *rest)


def fold_seed(seed: int, left_out: str) -> int:
    """A seed for each fold."""
    return int.from_bytes(hashlib.sha256(f"{seed} {left_out}".encode()).digest()[:4], "big")
