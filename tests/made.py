"""Weights made by the rule of the reference's README, in the form of published checkpoints."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import torch


def state(
    shapes: Mapping[str, Sequence[int]], tag: str = "made:", prefix: str = ""
) -> dict[str, torch.Tensor]:
    """A state dict of tensors of these shapes, their names behind `prefix`."""
    return {prefix + name: _tensor(tag, name, shape) for name, shape in shapes.items()}


def _tensor(tag: str, name: str, shape: Sequence[int]) -> torch.Tensor:
    if name.endswith(("running_mean", "running_var")):
        return torch.full(shape, float(name.endswith("running_var")))
    generator = torch.Generator().manual_seed(zlib.crc32((tag + name).encode()))
    values = torch.randn(shape, generator=generator)
    if len(shape) >= 2:
        return values * math.sqrt(2 / math.prod(shape[1:]))
    return values * 0.01 + (1 if name.endswith("weight") else 0)
