"""Weights made by the rule of the reference's README, in the form of published checkpoints."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
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


def retinaface_for(pictures: Sequence[np.ndarray], boxes: np.ndarray) -> dict[str, torch.Tensor]:
    """Made weights with fitted heads: they find one face in pictures like these.

    `pictures` (H, W, 3), all of one size, show a face in `boxes` (N, 4) px. Body, pyramid and context
    modules stay random. At the coarsest step, of the smaller anchor, the score is the least-squares map
    from the 256 random maps to yes in the cell in the middle of the boxes and no in the others; the
    box is their mean, whatever is seen. All other anchors say no.
    """
    from mespot.faces import inference, retinaface

    weights = state(retinaface.shapes())
    for name, tensor in weights.items():
        if "Head" in name:
            tensor.zero_()
    for level in range(3):
        weights[f"ClassHead.{level}.conv1x1.bias"][[1, 3]] = -20  # none, face; none, face
    inference.device()  # one thread
    network = retinaface.filled(weights)
    maps = []
    network.ssh3.register_forward_hook(lambda _module, _given, out: maps.append(out[0]))
    with inference.exact():
        for picture in pictures:
            network(retinaface.network_input(picture, retinaface.TRAINED["ternaus/retinaface"]))
    maps = torch.stack(maps).double()  # (N, 256, rows, columns)
    step, side = retinaface.STEPS[2], retinaface.SIDES[2][0]
    x0, y0, x1, y1 = (float(edge) for edge in np.mean(boxes, axis=0))
    column, row = int((x0 + x1) / 2 // step), int((y0 + y1) / 2 // step)
    wanted = torch.full_like(maps[:, 0], -5)
    wanted[:, row, column] = 5
    scale = maps.abs().mean()
    seen = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]) / scale
    fit = np.linalg.lstsq(seen.numpy(), wanted.flatten().numpy())[0] / scale.item()
    weights["ClassHead.2.conv1x1.weight"][1, :, 0, 0] = torch.from_numpy(fit)
    weights["ClassHead.2.conv1x1.bias"][1] = 0
    middle = torch.tensor([column + 0.5, row + 0.5]) * step
    shift = (torch.tensor([x0 + x1, y0 + y1]) / 2 - middle) / side / retinaface.VARIANCES[0]
    size = torch.log(torch.tensor([x1 - x0, y1 - y0]) / side) / retinaface.VARIANCES[1]
    weights["BboxHead.2.conv1x1.bias"][:4] = torch.cat([shift, size])
    return weights
