"""The network of the two-stage method: regions, as a graph or freely mixed, then time.

Its outputs say for each type whether an expression begins, peaks, ends or goes on at a row (BSN,
arXiv 1806.02964), and how far away its ends are (FCOS, arXiv 1904.01355).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mespot.networks.targets import TYPES
from mespot.networks.temporal import KINDS, REACH, Convolution

MARKS = ("onset", "apex", "offset", "inside")
PROBABILITIES = tuple(f"{type_}_{mark}" for type_ in TYPES for mark in MARKS)
# Logarithm of one more than the rows to the first and the last of the expression that a row is in.
DISTANCES = tuple(f"{type_}_{end}" for type_ in TYPES for end in ("since", "until"))
OUTPUTS = PROBABILITIES + DISTANCES
# The action units that the auxiliary head tells: those with muscles around the regions.
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
# Rows that are one step of what looks around over time: half the work, and as good (docs/method.md).
TOGETHER = 2
NODE = 8  # channels of a region after the graph convolution
RARE = -3.0  # what a probability's logit begins at: marks are rare


class Graph(nn.Module):
    """relu(A X W + X V + b) on regions X (B, T, R, C): each hears its neighbours, and itself.

    `adjacency` (R, R) is kept, or where it is None learned, its rows a softmax.
    """

    def __init__(self, regions: int, inputs: int, adjacency: Tensor | None):
        super().__init__()
        self.neighbours = nn.Linear(inputs, NODE, bias=False)
        self.own = nn.Linear(inputs, NODE)
        if adjacency is None:
            self.free = nn.Parameter(torch.zeros(regions, regions))
        else:
            self.register_buffer("adjacency", adjacency.clone())

    def forward(self, x: Tensor) -> Tensor:
        adjacency = self.free.softmax(1) if hasattr(self, "free") else self.adjacency
        return F.relu(adjacency @ self.neighbours(x) + self.own(x))


class Multiscale(nn.Module):
    """(B, T, R, C) inputs -> (B, 12, T) logits of PROBABILITIES, then DISTANCES; then those of AUS.

    `graph` is an adjacency (R, R), "learned", or None: then each frame's regions are mixed freely.
    """

    def __init__(
        self,
        regions: int,
        inputs: int,
        channels: int,
        dropout: float,
        kind: str = "dilated",
        graph: Tensor | str | None = None,
        aus: bool = False,
    ):
        super().__init__()
        adjacency = None if isinstance(graph, str) else graph
        self.graph = nn.Identity() if graph is None else Graph(regions, inputs, adjacency)
        width = regions * (inputs if graph is None else NODE)
        self.mix = Convolution(TOGETHER * width, channels, 1)
        self.kind, self.temporal = kind, KINDS[kind](channels, dropout)
        outputs = len(OUTPUTS) + len(AUS) * aus
        self.head = Convolution(channels, TOGETHER * outputs, 1)
        nn.init.constant_(self.head.bias[: TOGETHER * len(PROBABILITIES)], RARE)

    def forward(self, inputs: Tensor) -> Tensor:
        length = inputs.shape[1]
        rows = F.pad(self.graph(inputs).flatten(2), (0, 0, 0, -length % TOGETHER))
        steps = rows.unflatten(1, (-1, TOGETHER)).flatten(2).unsqueeze(1).permute(0, 3, 1, 2)
        told = self.head(F.relu(self.temporal(self.mix(steps)))).squeeze(2)
        return told.unflatten(1, (-1, TOGETHER)).transpose(2, 3).flatten(2)[..., :length]

    def in_parts(self, inputs: Tensor, size: int) -> Tensor:
        """The same of a long video, `size` rows at a time: memory stays bounded."""
        length, reach = inputs.shape[1], TOGETHER * REACH[self.kind]
        parts = []
        for start in range(0, length, size):
            first, stop = max(0, start - reach), min(start + size, length)
            told = self(inputs[:, first : min(length, stop + reach)])
            parts.append(told[..., start - first : stop - first])
        return torch.cat(parts, -1)
