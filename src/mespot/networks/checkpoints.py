"""Checkpoints in the form of the published code: {"epoch": int, "state_dict": tensors by name}.

The published code normalises with constants of its own (`trained.published_normalisation`) that its
files do not hold; a model with another normalisation is written with weights that make up for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mespot.datasets.segments import CONTEXT, PUBLISHED_REGIONS, SEGMENT
from mespot.errors import InputError
from mespot.networks.auw_gcn import AUWGCN
from mespot.networks.trained import (
    State,
    Trained,
    faults,
    load_epochs,
    load_trained,
    published_normalisation,
    read,
    save,
    save_trained,
)

PUBLISHED = "a checkpoint of the published code, {'epoch', 'state_dict'}"
GRAPH = "graph_embedding.0.gc1"


def import_checkpoint(path: Path, out: Path) -> None:
    """A published checkpoint to a model that `spot` and `train --start` take.

    Only tensors and plain values are read. Raises InputError that names each tensor that is missing,
    unknown, of another shape or not finite.
    """
    content = read(path, PUBLISHED, "get it again")
    if "regions" in content:
        raise InputError(f"{path}: a model of mespot's already; use it as it is")
    state, epoch = content.get("state_dict"), content.get("epoch")
    if not isinstance(state, dict) or not isinstance(epoch, int):
        raise InputError(f"{path}: not {PUBLISHED}: its keys are {', '.join(map(str, content))}")
    network = AUWGCN(torch.zeros(len(PUBLISHED_REGIONS), len(PUBLISHED_REGIONS)))
    wrong = list(faults(network.state_dict(), state))
    if wrong:
        raise InputError(f"{path}: not {PUBLISHED} of this network:\n  " + "\n  ".join(wrong))
    network.load_state_dict(state)
    adjacency = network.state_dict()[f"{GRAPH}.adj"].numpy()
    trained = Trained(
        network, PUBLISHED_REGIONS, adjacency, *published_normalisation(), "px", SEGMENT, CONTEXT
    )
    save_trained(out, trained, "auw_gcn", {"epoch": epoch, "left_out": []})


def export_checkpoint(model: Path, out: Path, epoch: int | None = None) -> None:
    """A model of `train` to a checkpoint that the published code loads, with the same outputs.

    `epoch`, if not the last, takes the weights of a training's `epochs.pt`. Raises InputError where
    that form cannot hold the model: another network, other regions, motion in inter-ocular distances.
    """
    if epoch is None:
        trained, _ = load_trained(model)
        epoch = read(model)["epoch"]
    else:
        trained, states, _ = load_epochs(model, "auw_gcn")
        if epoch not in states:
            raise InputError(f"{model}: epoch {epoch} was not kept; there are {sorted(states)}")
        trained = trained.with_weights(states[epoch])
    if trained.regions != PUBLISHED_REGIONS:
        raise InputError(
            f"{model}: trained on the regions {', '.join(trained.regions)}; the published code knows "
            f"{', '.join(PUBLISHED_REGIONS)} alone"
        )
    if trained.unit != "px":
        raise InputError(
            f"{model}: trained on motion in inter-ocular distances, which the published code does not "
            "know; train on published features, or with train.normalisation: published"
        )
    save(out, {"epoch": epoch, "state_dict": _renormalised(trained, model)})


def _renormalised(trained: Trained, path: Path) -> State:
    """The weights with which the published normalisation gives the model's outputs.

    With x = mean + std z for both normalisations, z = z' std' / std + (mean' - mean) / std: the first
    part is a factor of the graph convolution's weights, the second adds to its bias, the same for all
    ROIs if the rows of the adjacency have one sum.
    """
    state = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}
    mean, std = published_normalisation()
    if np.array_equal(mean, trained.mean) and np.array_equal(std, trained.std):
        return state
    sums = state[f"{GRAPH}.adj"].sum(1)
    if not torch.allclose(sums, sums[:1].expand_as(sums), atol=1e-5):
        raise InputError(
            f"{path}: some regions hear no other and not themselves, so that another normalisation "
            "cannot be made up for; train with train.normalisation: published"
        )
    weight = state[f"{GRAPH}.weight"]
    shift = torch.from_numpy((mean - trained.mean) / trained.std)
    state[f"{GRAPH}.bias"] += sums[0] * (shift @ weight)
    state[f"{GRAPH}.weight"] = torch.from_numpy(std / trained.std)[:, None] * weight
    return state
