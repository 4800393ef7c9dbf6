"""Trained networks in and out of files, and a model class by its name."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import traceback
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat, PositiveFloat

from mespot import provenance
from mespot.datasets.layouts import ALL
from mespot.datasets.segments import PUBLISHED_UNIT
from mespot.errors import InputError, reading
from mespot.feature_store import Feature
from mespot.networks.auw_gcn import AUWGCN
from mespot.networks.targets import MEAN, STD, cut
from mespot.settings import Context, Name, Regions, Window
from mespot.store import checked, replacing

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
    if Path(path).suffix != ".py":
        raise InputError(f"{path}: a Python file, .py, was expected")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    with own_code(name):
        spec.loader.exec_module(module)
    if not hasattr(module, class_name):
        raise InputError(f"{path}: no class {class_name} in it")
    return getattr(module, class_name)


@contextmanager
def own_code(name: str) -> Iterator[None]:
    """Around what runs code of somebody's own, which raises anything. Raises InputError with the line."""
    try:
        yield
    except Exception as error:
        *_, at = traceback.extract_tb(error.__traceback__)
        where = f"{at.filename}, line {at.lineno}"
        raise InputError(f"model {name!r}: {type(error).__name__} in {where}: {error}") from error


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


def read(path: Path, what: str = MODEL, mend: str = "") -> dict[str, Any]:
    """The dictionary in a file of `torch.save`, read without running anything in it.

    Raises InputError for anything but tensors and plain values in a dictionary; it is then not `what` it
    should be, and to `mend`.
    """
    with reading(path, f"not {what}", mend):
        # torch packs nothing: what is packed may fill the memory.
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise ValueError("it unpacks to more than it is")
        content = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
        # A tensor may name one number for each of its own: whoever goes through them fills the memory.
        for tensor in _tensors(content):
            if tensor.numel() * tensor.element_size() > path.stat().st_size:
                raise ValueError(f"it holds {tensor.numel()} numbers that it does not store")
    return content


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """Those in nested values, each thing once: a file may name the same many times."""
    seen, ahead = {id(content)}, [content]
    while ahead:
        value = ahead.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict | list | tuple | set):
            inner = [*value, *(value.values() if isinstance(value, dict) else ())]
            ahead += [each for each in inner if id(each) not in seen]
            seen.update(map(id, inner))


def load_trained(path: Path, network: str = "auw_gcn") -> tuple[Trained, list[str]]:
    """A trained network of the class named `network`, ready to spot, and whom it left out.

    Raises InputError for a file that is none, or of another class: a file must not choose which code
    runs.
    """
    return _trained(read(path), network, path)


def load_epochs(path: Path, network: str) -> tuple[Trained, dict[int, State], list[str]]:
    """A training's last model, its weights after each epoch that was kept, and whom it left out."""
    content = read(path)
    trained, left_out = _trained(content, network, path)
    if "epochs" not in content:
        raise InputError(
            f"{path}: a model after its last epoch alone; the file of all kept epochs was expected, epochs.pt "
            "beside it"
        )
    with reading(path, "not the epochs of a training"):
        epochs = kept_epochs(content["epochs"], trained.network)
        if not epochs:
            raise ValueError("none was kept")
    return trained, epochs, left_out


def kept_epochs(epochs: dict[int, State], network: torch.nn.Module) -> dict[int, State]:
    """The weights after some epochs, as long as they are weights of this network.

    Raises ValueError and whatever else.
    """
    expected = network.state_dict()
    for epoch, state in epochs.items():
        if type(epoch) is not int or (wrong := next(faults(expected, state), None)):
            raise ValueError(f"epoch {epoch}: {wrong}")
    return epochs


def faults(expected: State, given: State) -> Iterator[str]:
    """What is wrong with the tensors that a file gives, a line each."""
    for name, tensor in expected.items():
        if name not in given:
            yield f"{name}: missing"
        elif not _is_plain(given[name], tensor.is_floating_point()):
            yield f"{name}: {type(given[name]).__name__} where plain numbers were expected"
        elif given[name].shape != tensor.shape:
            was, shape = tuple(given[name].shape), tuple(tensor.shape)
            yield f"{name}: {was} where shape {shape} was expected"
        elif not torch.isfinite(given[name]).all():
            yield f"{name}: holds something that is no finite number"
    for name in given:
        if name not in expected:
            yield f"{name}: unknown"


def _is_plain(tensor: Any, floating: bool) -> bool:
    return (
        type(tensor) is torch.Tensor
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and (tensor.is_floating_point() if floating else tensor.dtype == torch.int64)
    )


def fold_name(left_out: Sequence[str]) -> str:
    """What a fold that leaves out one subject, or none, is called."""
    return left_out[0] if left_out else ALL


def expect(content: dict[str, Any], network: str, path: Path) -> None:
    """Raises InputError for a model of another network: its file is whole, and is not to be deleted."""
    model = content.get("model")
    if type(model) is str and model != network:
        raise InputError(f"{path}: a model of the network {model!r}; {network!r} was expected")


class Facts(BaseModel):
    """What a model's file says beside its weights."""

    model: str
    epoch: int
    left_out: list[Name]
    regions: Regions
    adjacency: list[list[FiniteFloat]]
    mean: tuple[FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat]
    unit: Literal["px", "inter_ocular"]
    window: Window
    context: Context


def _trained(content: dict[str, Any], name: str, path: Path) -> tuple[Trained, list[str]]:
    """The network that `save_trained` wrote, and whom it left out.

    Raises InputError that names what does not fit.
    """
    expect(content, name, path)
    with reading(path, f"not {MODEL}"):
        facts = checked(content, Facts)
        adjacency, mean, std = (
            np.array(values, np.float32) for values in (facts.adjacency, facts.mean, facts.std)
        )
        if adjacency.shape != (len(facts.regions), len(facts.regions)):
            raise ValueError(f"adjacency {adjacency.shape} of {len(facts.regions)} regions")
    network = model_class(name)(torch.from_numpy(adjacency))
    with reading(path, f"not {MODEL}"):
        if wrong := next(faults(network.state_dict(), content["state_dict"]), None):
            raise ValueError(wrong)
    network.load_state_dict(content["state_dict"])
    rest = (facts.unit, facts.window, facts.context)
    trained = Trained(network.eval(), facts.regions, adjacency, mean, std, *rest)
    return trained, facts.left_out


def fold_seed(seed: int, left_out: Sequence[str]) -> int:
    """A seed for each fold."""
    named = f"{seed} {' '.join(left_out)}".encode()
    return int.from_bytes(hashlib.sha256(named).digest()[:4], "big")
