"""model: AUW-GCN (Yin et al., ICME 2023, arXiv 2303.09114, section 3), the network as published.

A graph convolution over the ROIs of each frame, weighted by how often their action units occur
together, then temporal convolutions over the frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# What the output channels say of a frame. Boundaries are classes of a softmax over three channels,
# apex and action a sigmoid each.
OUTPUTS = (
    "micro_onset",
    "micro_offset",
    "micro_no_boundary",
    "macro_onset",
    "macro_offset",
    "macro_no_boundary",
    "micro_apex",
    "macro_apex",
    "micro_action",
    "macro_action",
)
NODE_CHANNELS = 16  # of each ROI after the graph convolution
CHANNELS = 64  # of each frame after it


class GraphConvolution(nn.Module):
    """A linear map of each node's features, then their sum over the nodes, weighted by `adj`."""

    def __init__(self, adjacency: Tensor, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))
        # A buffer: it travels in a checkpoint and is not trained.
        self.register_buffer("adj", adjacency.detach().clone().float())
        bound = 1 / math.sqrt(n_out)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, nodes: Tensor) -> Tensor:
        """(..., R, n_in) -> (..., R, n_out)."""
        return self.adj @ (nodes @ self.weight) + self.bias


class GraphLayer(nn.Module):
    """Graph convolution, batch normalisation of each channel over frames and nodes, ReLU."""

    def __init__(self, adjacency: Tensor, n_in: int, n_out: int):
        super().__init__()
        self.gc1 = GraphConvolution(adjacency, n_in, n_out)
        self.bn1 = nn.BatchNorm1d(n_out)

    def forward(self, nodes: Tensor) -> Tensor:
        """(N, R, n_in) -> (N, R, n_out)."""
        # Contiguous: the batch norm's sums then round as the published code's.
        by_channel = self.gc1(nodes).transpose(1, 2).contiguous()
        return self.bn1(by_channel).transpose(1, 2).relu()


class AUWGCN(nn.Module):
    """The network of the paper: (B, T, R, 2) features -> (B, n_out, T) logits.

    `adjacency` (R, R) is `graph.adjacency`'s; R is any number of ROIs. The input is normalised as
    `targets.normalise` does. The names in the state dict are those of the published checkpoints.
    Frames beyond the window count as zero activations: the outer 5 outputs see that padding.
    """

    def __init__(self, adjacency: Tensor, n_out: int = len(OUTPUTS)):
        super().__init__()
        if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
            raise ValueError(
                f"the adjacency must be a square matrix (R, R), not of shape {(*adjacency.shape,)}"
            )
        n_rois = len(adjacency)
        self.graph_embedding = nn.Sequential(GraphLayer(adjacency, 2, NODE_CHANNELS))

        def conv(n_in: int, width: int, dilation: int = 1) -> list[nn.Module]:
            padding = dilation * (width // 2)
            return [
                nn.Conv1d(n_in, CHANNELS, width, padding=padding, dilation=dilation, bias=False),
                nn.BatchNorm1d(CHANNELS),
                nn.ReLU(),
            ]

        self._sequential = nn.Sequential(
            *conv(n_rois * NODE_CHANNELS, 1), *conv(CHANNELS, 3), *conv(CHANNELS, 3, dilation=2)
        )
        self._classification = nn.Conv1d(CHANNELS, n_out, 3, padding=2, dilation=2, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, R, 2) normalised features -> (B, n_out, T) logits, named by OUTPUTS."""
        n_rois = len(self.graph_embedding[0].gc1.adj)
        if features.ndim != 4 or tuple(features.shape[2:]) != (n_rois, 2):
            raise ValueError(
                f"the features must be of shape (B, T, {n_rois}, 2), not {(*features.shape,)}"
            )
        batch, frames = features.shape[:2]
        nodes = self.graph_embedding(features.flatten(0, 1))
        # A frame's channels, ROI by ROI.
        return self._classification(
            self._sequential(nodes.reshape(batch, frames, -1).transpose(1, 2))
        )
