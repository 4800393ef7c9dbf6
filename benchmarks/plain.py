"""AUW-GCN in the plain formulation of the published code, which mespot folds into one matrix product.

As a method of one's own it shows whether the folding costs anything:

    snakemake --configfile benchmarks/plain.yaml
"""

import torch
from torch import Tensor, nn


class PlainGraphConvolution(nn.Module):
    def __init__(self, adjacency: Tensor):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, 16))
        self.bias = nn.Parameter(torch.empty(16))
        self.register_buffer("adj", adjacency.clone())
        nn.init.uniform_(self.weight, -0.25, 0.25)  # 1 / sqrt(16)
        nn.init.uniform_(self.bias, -0.25, 0.25)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B T, R, 2) -> (B T, R, 16)."""
        adjacency = self.adj.expand(len(nodes), -1, -1)
        return torch.bmm(adjacency, torch.matmul(nodes, self.weight)) + self.bias


class PlainGraphLayer(nn.Module):
    def __init__(self, adjacency: Tensor):
        super().__init__()
        self.gc1 = PlainGraphConvolution(adjacency)
        self.bn1 = nn.BatchNorm1d(16)

    def forward(self, nodes: Tensor) -> Tensor:
        by_channel = self.gc1(nodes).transpose(1, 2).contiguous()
        return torch.relu(self.bn1(by_channel).transpose(1, 2).contiguous())


class PlainNetwork(nn.Module):
    """The network with the names of `AUWGCN`'s state dict."""

    def __init__(self, adjacency: Tensor):
        super().__init__()
        n_rois = len(adjacency)
        self.graph_embedding = nn.Sequential(PlainGraphLayer(adjacency))
        self._sequential = nn.Sequential(
            nn.Conv1d(n_rois * 16, 64, 1, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(inplace=True),
            nn.Conv1d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(inplace=True),
            nn.Conv1d(64, 64, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(inplace=True),
        )
        self._classification = nn.Conv1d(64, 10, 3, padding=2, dilation=2, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, R, 2) -> (B, 10, T)."""
        batch, frames, n_rois, _ = features.shape
        nodes = self.graph_embedding(features.reshape(batch * frames, n_rois, 2))
        by_frame = nodes.reshape(batch, frames, n_rois * 16).transpose(1, 2)
        return self._classification(self._sequential(by_frame))
