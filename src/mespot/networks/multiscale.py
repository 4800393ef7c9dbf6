"""The network of the two-stage method: regions as a graph, then dilated convolutions over time.

Each frame's regions are mixed, by a graph convolution or freely; residual blocks of dilated convolutions
(WaveNet, arXiv 1609.03499; MS-TCN, arXiv 1903.01945) look at some seconds around it; and the outputs
say for each type whether an expression begins, peaks, ends or goes on there (BSN, arXiv 1806.02964), and
how far away its ends are (arXiv 1904.01355).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TYPES = ("micro", "macro")
MARKS = ("onset", "apex", "offset", "inside")
PROBABILITIES = tuple(f"{type_}_{mark}" for type_ in TYPES for mark in MARKS)
# Logarithm of one more than the rows to the interval's first and last.
DISTANCES = tuple(f"{type_}_{end}" for type_ in TYPES for end in ("since", "until"))
DILATIONS = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)
RARE = -3.0  # what a probability's logit begins at: marks are rare


class Convolution(nn.Conv1d):
    """Over time, of (B, C, 1, T) kept channels-last: faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        sides, apart = (0, *self.padding), (1, *self.dilation)
        return F.conv2d(x, self.weight.unsqueeze(2), self.bias, padding=sides, dilation=apart)


class Block(nn.Module):
    def __init__(self, channels: int, dilation: int, dropout: float):
        super().__init__()
        self.around = Convolution(
            channels, channels, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)
        self.mix = Convolution(channels, channels, 1, bias=False)
        self.out = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout2d(dropout)  # whole channels: cheaper than single values

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.out(self.mix(F.relu(self.norm(self.around(x))))))


class Multiscale(nn.Module):
    """(B, T, R, C) inputs -> (B, 12, T): logits of PROBABILITIES, then DISTANCES."""

    def __init__(self, regions: int, inputs: int, channels: int, dropout: float):
        super().__init__()
        self.stem = Convolution(regions * inputs, channels, 1)
        self.blocks = nn.Sequential(*(Block(channels, d, dropout) for d in DILATIONS))
        self.head = Convolution(channels, len(PROBABILITIES) + len(DISTANCES), 1)
        nn.init.constant_(self.head.bias[: len(PROBABILITIES)], RARE)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.flatten(2).unsqueeze(1).permute(0, 3, 1, 2)
        return self.head(F.relu(self.blocks(self.stem(x)))).squeeze(2)
