"""AUW-GCN (Yin et al., ICME 2023, arXiv 2303.09114, section 3), the network as published.

A graph convolution over the ROIs of each frame, weighted by how often their action units occur
together, then temporal convolutions over the frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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
    """The parameters of X -> adj X W + b on nodes X: n_in to n_out channels a node."""

    def __init__(self, adjacency: Tensor, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))
        # A buffer: it travels in a checkpoint and is not trained.
        self.register_buffer("adj", adjacency.detach().clone().float())
        bound = 1 / math.sqrt(n_out)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)


class GraphLayer(nn.Module):
    """Graph convolution, batch normalisation of each channel over frames and nodes, ReLU.

    All but the ReLU is linear in a frame's features, so it is one matrix product for all nodes. The
    normalisation's mean and variance follow from the first two moments of adj X, which the weights
    do not enter: no pass over the wide output is needed for them.
    """

    def __init__(self, adjacency: Tensor, n_in: int, n_out: int):
        super().__init__()
        self.gc1 = GraphConvolution(adjacency, n_in, n_out)
        self.bn1 = nn.BatchNorm1d(n_out)

    def forward(self, nodes: Tensor) -> Tensor:
        """(N, R, n_in) -> (N, R, n_out)."""
        gcn, norm = self.gc1, self.bn1
        frames, n_rois, n_in = nodes.shape
        if self.training:
            mean, variance = self._moments(nodes)
            self._remember(mean, variance, frames * n_rois)
        else:
            mean, variance = norm.running_mean, norm.running_var
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        shift = norm.bias + (gcn.bias - mean) * scale
        # (R in, n_in, R out, n_out): what each input of a frame gives to each output.
        whole = gcn.adj.T[:, None, :, None] * (gcn.weight * scale)[None, :, None, :]
        out = torch.addmm(
            shift.repeat(n_rois), nodes.reshape(frames, -1), whole.reshape(n_rois * n_in, -1)
        )
        return out.relu_().view(frames, n_rois, -1)

    def _moments(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (n_out,) of the graph convolution's output over frames and nodes."""
        with torch.no_grad():  # in float64: a variance as a difference of sums
            flat, adj = nodes.flatten(1).double(), self.gc1.adj.double()
            n_rois, n_in = nodes.shape[1:]
            mean = (adj @ flat.mean(0).view(n_rois, n_in)).mean(0)
            products = (flat.T @ flat / len(flat)).view(n_rois, n_in, n_rois, n_in)
            second = torch.einsum("ri,iajb,rj->ab", adj, products, adj) / n_rois
            covariance = (second - torch.outer(mean, mean)).to(nodes.dtype)
            mean = mean.to(nodes.dtype)
        weight = self.gc1.weight
        variance = (weight * (covariance @ weight)).sum(0)
        return mean @ weight + self.gc1.bias, variance.clamp(min=0)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """The running statistics for evaluation, as BatchNorm1d keeps them."""
        norm = self.bn1
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (n / max(1, n - 1)), norm.momentum)


class FrameConvolution(nn.Conv1d):
    """A convolution over frames of (B, C, 1, T), kept channels-last: a third faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            x,
            self.weight.unsqueeze(2),
            padding=(0, *self.padding),
            dilation=(1, *self.dilation),
        )


class AUWGCN(nn.Module):
    """The network of the paper: (B, T, R, 2) features -> (B, n_out, T) logits.

    `adjacency` (R, R) is `graph.adjacency`'s; R is any number of ROIs. The input is normalised
    (`trained.Trained.windows`). The names in the state dict are those of the published checkpoints.
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
                FrameConvolution(
                    n_in, CHANNELS, width, padding=padding, dilation=dilation, bias=False
                ),
                nn.BatchNorm2d(CHANNELS),
                nn.ReLU(inplace=True),
            ]

        self._sequential = nn.Sequential(
            *conv(n_rois * NODE_CHANNELS, 1), *conv(CHANNELS, 3), *conv(CHANNELS, 3, dilation=2)
        )
        self._classification = FrameConvolution(
            CHANNELS, n_out, 3, padding=2, dilation=2, bias=False
        )
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
        # A frame's channels, ROI by ROI, as a picture one row high.
        channels = nodes.reshape(batch, 1, frames, -1).permute(0, 3, 1, 2)
        return self._classification(self._sequential(channels)).squeeze(2)
