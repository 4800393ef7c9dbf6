"""The multi-scale network trained, in and out of files, and what several of them see of a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field

from mespot import provenance
from mespot.errors import InputError, reading
from mespot.feature_store import Feature
from mespot.networks.inputs import CHANNELS, inputs, mirrored, steps
from mespot.networks.multiscale import PROBABILITIES, Multiscale
from mespot.networks.trained import MODEL, expect, faults, read, save
from mespot.settings import GraphKind, Name, Regions, TemporalKind
from mespot.store import checked

PART = 4096  # rows at a time: memory stays bounded however long the video


class Facts(BaseModel):
    """What a model's file says beside its weights."""

    model: Literal["multiscale"]
    left_out: list[Name]
    regions: Annotated[Regions, Field(max_length=256)]
    channels: Annotated[int, Field(ge=1, le=512)]
    temporal: TemporalKind
    graph: GraphKind
    aus: bool


class Model(NamedTuple):
    network: Multiscale
    facts: Facts
    path: Path | None = None  # where it was read


def untrained(facts: Facts, adjacency: np.ndarray | None, dropout: float = 0.0) -> Model:
    """A network with random weights. `adjacency` (R, R) is that of its graph, where it is a fixed one."""
    graph = None if adjacency is None else torch.from_numpy(adjacency).float()
    network = Multiscale(
        len(facts.regions),
        2 * CHANNELS,
        facts.channels,
        dropout,
        facts.temporal,
        "learned" if facts.graph == "learned" else graph,
        facts.aus,
    )
    return Model(network, facts)


def save_model(path: Path, model: Model) -> None:
    content = {
        **model.facts.model_dump(mode="json"),
        "state_dict": model.network.state_dict(),
        "made": provenance.inside(path),
    }
    save(path, content)


def load_model(path: Path) -> Model:
    """What `save_model` wrote, ready to spot. Raises InputError."""
    content = read(path)
    expect(content, "multiscale", path)
    with reading(path, f"not {MODEL}"):
        facts = checked(content, Facts)
        n = len(facts.regions)
        fixed = facts.graph not in ("none", "learned")
        model = untrained(facts, np.zeros((n, n)) if fixed else None)
        if wrong := next(faults(model.network.state_dict(), content["state_dict"]), None):
            raise ValueError(wrong)
    model.network.load_state_dict(content["state_dict"])
    model.network.to(memory_format=torch.channels_last).eval()
    return model._replace(path=path)


def curves(models: Sequence[Model], feature: Feature) -> np.ndarray:
    """What the models see of a video on average, and in its mirror: (12, T) at RATE.

    Probabilities, then distances as logarithms. Raises InputError for other regions than theirs.
    """
    for model in models:
        if feature.regions != model.facts.regions:
            raise InputError(
                f"{feature.video}: regions {', '.join(feature.regions)}; {model.path} was trained on "
                f"{', '.join(model.facts.regions)}: prepare both with the same roi.set"
            )
    seen = inputs(*steps(feature))
    both = torch.from_numpy(np.stack([seen, mirrored(seen, feature.regions)]))
    n = len(PROBABILITIES)
    with torch.inference_mode():
        found = []
        for model in models:
            logits = model.network.in_parts(both, PART)
            found.append(torch.cat([logits[:, :n].sigmoid(), logits[:, n : n + 4]], 1).mean(0))
        return torch.stack(found).mean(0).double().numpy()
