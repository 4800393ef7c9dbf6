"""temporal: what may look around each step of the multi-scale network, (B, C, 1, T) -> the same.

`dilated` is the method's own; the others are what the literature names instead.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
LEVELS = 4  # of the pyramid: its coarsest step is 8 of the finest
HEADS, BLOCK = 4, 64  # of the attention; a step looks at its block of steps and at those beside it


class Convolution(nn.Conv1d):
    """Over time, of (B, C, 1, T) kept channels-last: faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        sides, apart = (0, *self.padding), (1, *self.dilation)
        return F.conv2d(x, self.weight.unsqueeze(2), self.bias, padding=sides, dilation=apart)


class Block(nn.Module):
    """A residual block around a convolution three steps wide (MS-TCN, arXiv 1903.01945)."""

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


class Dilated(nn.Sequential):
    """Blocks that look further and further (WaveNet, arXiv 1609.03499), twice."""

    def __init__(self, channels: int, dropout: float):
        super().__init__(*(Block(channels, dilation, dropout) for dilation in DILATIONS))


class Gru(nn.Module):
    """A recurrent network in both directions, two layers (arXiv 1406.1078)."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.gru = nn.GRU(
            channels, channels // 2, 2, batch_first=True, bidirectional=True, dropout=dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        along = x.squeeze(2).transpose(1, 2)
        return x + self.gru(along)[0].transpose(1, 2).unsqueeze(2)


class Attention(nn.Module):
    """Two layers of self-attention (arXiv 1706.03762) among the steps nearby, convolutions between.

    The convolutions tell the steps' order.
    """

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.near = nn.ModuleList(Block(channels, dilation, dropout) for dilation in (1, 2, 4))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.threefold = nn.ModuleList(nn.Linear(channels, 3 * channels) for _ in range(2))
        self.back = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.near[0](x)
        for norm, threefold, back, near in zip(
            self.norms, self.threefold, self.back, self.near[1:], strict=True
        ):
            rows = x.squeeze(2).transpose(1, 2)
            x = near(x + back(self._attend(threefold(norm(rows)))).transpose(1, 2).unsqueeze(2))
        return x

    @staticmethod
    def _attend(rows: Tensor) -> Tensor:
        """(B, T, 3 C) -> (B, T, C)."""
        batch, length, wide = rows.shape
        blocks = -(-length // BLOCK)
        padded = F.pad(rows, (0, 0, BLOCK, (blocks + 1) * BLOCK - length))
        around = padded.unfold(1, 3 * BLOCK, BLOCK).transpose(2, 3)  # (B, blocks, 3 BLOCK, 3 C)
        query = around[:, :, BLOCK:-BLOCK, : wide // 3]
        key, value = around[..., wide // 3 :].chunk(2, -1)
        there = F.pad(rows.new_ones(length), (BLOCK, (blocks + 1) * BLOCK - length))
        there = there.unfold(0, 3 * BLOCK, BLOCK).bool()[None, :, None, None]

        def heads(part: Tensor) -> Tensor:
            return part.unflatten(-1, (HEADS, -1)).transpose(2, 3)

        out = F.scaled_dot_product_attention(heads(query), heads(key), heads(value), there)
        return out.transpose(2, 3).reshape(batch, blocks * BLOCK, -1)[:, :length]


class Pyramid(nn.Module):
    """Coarser and coarser by max-pooling (TemporalMaxer, arXiv 2303.09055), all levels added up."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(Block(channels, 1, dropout), Block(channels, 2, dropout))
            for _ in range(LEVELS)
        )

    def forward(self, x: Tensor) -> Tensor:
        length, total = x.shape[3], 0
        for number, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, (1, 2), ceil_mode=True) if number else x)
            total = total + x.repeat_interleave(2**number, 3)[..., :length]
        return total


KINDS = {"dilated": Dilated, "gru": Gru, "attention": Attention, "pyramid": Pyramid}
# Steps on each side that a step's output depends on (or hardly beyond, of a recurrent network); multiples of
# the blocks and of the pyramid's coarsest step, so that parts of a video fall as in the whole.
REACH = {"dilated": 32, "gru": 128, "attention": 5 * BLOCK, "pyramid": 64}
