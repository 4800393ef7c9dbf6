"""SAN: 68 points in iBUG order, by the network that the paper's authors used.

Style Aggregated Network (Dong, Yan, Ouyang and Yang, CVPR 2018, arXiv 1803.04108): two generators
draw the face in an average style; convolutional pose machines (Wei et al. 2016, arXiv 1602.00134)
look at both pictures and give one heatmap a point. Names and shapes of the tensors, the crop and
the reading of the heatmaps are those of the published code (github.com/D-X-Y/landmark-detection,
SAN) in the version that AUW-GCN's authors carry with theirs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from mespot.errors import InputError
from mespot.faces import LandmarkDetector, inference, weights
from mespot.settings import Landmarks

POINTS = 68
SIDE = 128  # px, the network's input
STRIDE = 8  # px of the input for one cell of a heatmap
EXPAND = 0.2  # of the face's width and height, added on each side
# Frames that go through the network at once: about 25 MB each.
BATCH = {"cpu": 4, "cuda": 64}


def landmark_detector(settings: Landmarks) -> LandmarkDetector:
    return San(weights.find("san"), settings.patch)


class San:
    """The network with its weights, on the GPU if there is one.

    `path` is the safetensors file that `mespot weights import san FILE` writes; `patch`, how many
    cells around a peak, on each side, a point is the mean of: no weight depends on it, and the
    published code takes it from the checkpoint's `args`. Raises InputError where the file is
    missing or holds other tensors.
    """

    starts_from_box = False

    def __init__(self, path: Path, patch: int):
        self.device = inference.device()
        self.patch = patch
        with torch.device("meta"):  # no time spent on weights that are replaced at once
            self.network = Network()
        self.network.load_state_dict(weights.load(path, shapes()), assign=True)
        self.network.to(self.device).eval()

    def __call__(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Points (N, 68, 2) px, float64, of the faces in `boxes` (N, 4) px as x0, y0, x1, y1.

        `images` is (N, H, W, 3) RGB uint8. The same images and boxes give the same bytes on the same
        machine. Raises InputError for a box that holds nothing of its image.
        """
        points = np.empty((len(images), POINTS, 2))
        edges = crop_edges(boxes, *images.shape[1:3])
        for start in range(0, len(images), BATCH[self.device]):
            part = slice(start, start + BATCH[self.device])
            inputs = [
                network_input(image[y0:y1, x0:x1])
                for image, (x0, y0, x1, y1) in zip(images[part], edges[part], strict=True)
            ]
            places, _ = soft_peaks(self.heatmaps(torch.stack(inputs)), self.patch)
            low, high = edges[part, None, :2], edges[part, None, 2:]
            points[part] = places * ((high - low) / SIDE) + low
        return points

    def heatmaps(self, inputs: torch.Tensor) -> np.ndarray:
        """The last stage's heatmaps (N, 69, 16, 16) of inputs (N, 3, 128, 128); the last: no point."""
        with inference.exact():
            return self.network(inputs.to(self.device)).cpu().numpy()


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's tensors."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Network().state_dict().items()}


def crop_edges(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whole-pixel edges (N, 4) x0, y0, x1, y1 of what is shown to the network.

    The box and EXPAND of its size on each side, as far as the image reaches. Raises InputError
    where nothing is left.
    """
    boxes = np.asarray(boxes, float)
    more = EXPAND * (boxes[:, 2:] - boxes[:, :2])
    low = np.maximum(np.floor(boxes[:, :2] - more), 0)
    high = np.minimum(np.ceil(boxes[:, 2:] + more), (width, height))
    empty = ~(high > low).all(1)  # also where a number is none
    if empty.any():
        frame = int(np.argmax(empty))
        raise InputError(
            f"frame {frame}: the face's box {boxes[frame].tolist()} holds nothing of the picture of "
            f"{width} x {height} px; x0, y0, x1, y1 in its pixels were expected"
        )
    return np.concatenate([low, high], 1).astype(int)


def network_input(crop: np.ndarray) -> torch.Tensor:
    """The crop (H, W, 3) RGB uint8 as the network takes it: (3, 128, 128) float32 from -1 to 1.

    Pillow's bilinear filter, which averages where it shrinks, is part of what the weights know.
    """
    scaled = Image.fromarray(crop).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    picture = torch.from_numpy(np.array(scaled)).permute(2, 0, 1).float()
    return ((picture / 255) - 0.5) / 0.5


def soft_peaks(heatmaps: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 68, 2) in px of the network's input, and scores (N, 68), of heatmaps (N, 69, S, S).

    A point is the mean place of the positive heat in a window of 2 `patch` + 1 samples a side around
    the highest cell. The published code lays the window's grid from the centres of the outermost
    cells and has it sampled as if from their outer edges (torch's convention since 1.3,
    `align_corners=False`): the samples are not quite one cell apart and not quite around the peak.
    The places they count for are whole cells all the same. Both are kept: the points are the same.
    """
    heat = heatmaps[:, :POINTS].astype(float)
    side = heat.shape[-1]
    flat = heat.reshape(*heat.shape[:2], -1)
    peak = np.stack([flat.argmax(-1) % side, flat.argmax(-1) // side], -1)  # (N, 68, 2) x, y
    steps = np.arange(-patch, patch + 1)
    spread = steps * (2 * patch / (2 * patch + 1))
    sampled = (peak[..., None] + spread) * (side / (side - 1)) - 0.5
    # Linear interpolation of cells; nothing lies beyond the outermost.
    share = np.maximum(1 - np.abs(sampled[..., None] - np.arange(side)), 0)
    window = share[..., 1, :, :] @ heat @ share[..., 0, :, :].swapaxes(-1, -2)  # (N, 68, y, x)
    window = np.where(window > 1e-6, window, np.finfo(float).eps)
    total = window.sum((-1, -2))
    across = (window.sum(-2) * steps).sum(-1) / total
    down = (window.sum(-1) * steps).sum(-1) / total
    places = peak + np.stack([across, down], -1)
    return places * STRIDE + (STRIDE - 1) / 2, flat.max(-1)


class Network(nn.Module):
    """ITN-CPM: pictures (N, 3, 128, 128) to the last stage's heatmaps (N, 69, 16, 16).

    The attributes' names are the published checkpoint's.
    """

    def __init__(self):
        super().__init__()
        maps = POINTS + 1
        self.netG_A = Generator()
        self.netG_B = Generator()
        self.features = _vgg()
        self.CPM_feature = nn.Sequential(*_convolutions([512, 256, 128], [3, 3]))
        self.stage1 = _stage([128, 128, 128, 128, 128, 512, maps], [3, 3, 3, 3, 1, 1])
        later = [128] * 8 + [maps]
        sides = [7, 7, 7, 3, 3, 3, 3, 1, 1]
        self.stage2 = _stage([2 * 128 + 2 * maps, *later], sides)
        self.stage3 = _stage([2 * 128 + maps, *later], sides)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        aggregated = (self.netG_A(picture) + self.netG_B(picture)) / 2
        seen = [self.CPM_feature(self.features(one)) for one in (picture, aggregated)]
        first = [self.stage1(one) for one in seen]
        second = self.stage2(torch.cat([*seen, *first], 1))
        return self.stage3(torch.cat([*seen, second], 1))


class Generator(nn.Module):
    """A picture (N, 3, S, S) from -1 to 1 in another style (CycleGAN's, arXiv 1703.10593)."""

    def __init__(self):
        super().__init__()
        down = [
            *_normalised(nn.Conv2d(64, 128, 3, 2, 1)),
            *_normalised(nn.Conv2d(128, 256, 3, 2, 1)),
        ]
        up = [
            *_normalised(nn.ConvTranspose2d(256, 128, 3, 2, 1, output_padding=1)),
            *_normalised(nn.ConvTranspose2d(128, 64, 3, 2, 1, output_padding=1)),
        ]
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normalised(nn.Conv2d(3, 64, 7)),
            *down,
            *(Residual() for _ in range(6)),
            *up,
            nn.ReflectionPad2d(3),
            nn.Conv2d(64, 3, 7),
            nn.Tanh(),
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.model(picture)


class Residual(nn.Module):
    """Two convolutions of 256 maps, added to what they were given."""

    def __init__(self):
        super().__init__()
        one = _normalised(nn.Conv2d(256, 256, 3))
        other = _normalised(nn.Conv2d(256, 256, 3))[:-1]
        self.conv_block = nn.Sequential(nn.ReflectionPad2d(1), *one, nn.ReflectionPad2d(1), *other)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.conv_block(maps)


def _normalised(convolution: nn.Module) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _vgg() -> nn.Sequential:
    """VGG-16 as far as its tenth convolution (arXiv 1409.1556): 512 maps at an eighth of the size."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3)):
        if layers:
            layers.append(nn.MaxPool2d(2))
        layers += _convolutions([channels] + [width] * count, [3] * count)
        channels = width
    return nn.Sequential(*layers)


def _stage(channels: list[int], sides: list[int]) -> nn.Sequential:
    """Convolutions to heatmaps, which may be negative."""
    return nn.Sequential(*_convolutions(channels, sides)[:-1])


def _convolutions(channels: list[int], sides: list[int]) -> list[nn.Module]:
    """Convolutions from each number of channels to the next, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for into, out, side in zip(channels[:-1], channels[1:], sides, strict=True):
        layers += [nn.Conv2d(into, out, side, padding=side // 2), nn.ReLU(inplace=True)]
    return layers
