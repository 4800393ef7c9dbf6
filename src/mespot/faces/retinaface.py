"""RetinaFace on ResNet-50: the face detector that the paper's authors used.

Deng et al., CVPR 2020 (arXiv 1905.00641). The network, its anchors and the decoding of boxes are
those of the package retinaface-pytorch; the two known sets of weights have the same tensors but were
trained on differently prepared images (`weights`).
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from retinaface.box_utils import decode
from retinaface.network import RetinaFace
from retinaface.prior_box import priorbox
from torchvision.ops import nms

from mespot.faces import FaceDetector, inference, largest_first, weights
from mespot.settings import Align

# Both published codes have these: anchors' sides at each step of px, the offsets' unit, and the
# intersection over union above which the likelier of two boxes stays alone.
SIDES = [[16, 32], [64, 128], [256, 512]]
STEPS = [8, 16, 32]
VARIANCES = (0.1, 0.2)
OVERLAP = 0.4
# Longest side of an image that is not shrunk first, px; a face of 16 px and more is found in it.
LONGEST = 2048


class Trained(NamedTuple):
    """What weights were trained to see, and from which probability on their authors take a face."""

    channels: list[int]  # of RGB, in the order of the input
    mean: tuple[float, float, float]  # grey levels
    deviation: tuple[float, float, float]
    least: float


TRAINED = {
    # ImageNet's mean and standard deviation; predict_single.py of the package.
    "ternaus/retinaface": Trained(
        [0, 1, 2], (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), least=0.7
    ),
    # BGR; detect.py, and feature_extraction/retinaface/api.py of AUW-GCN.
    "biubug6/Pytorch_Retinaface": Trained([2, 1, 0], (104, 117, 123), (1, 1, 1), least=0.5),
}


def face_detector(settings: Align) -> FaceDetector:
    return Detector(weights.find("retinaface"))


class Detector:
    """The network with its weights, on the GPU if there is one.

    `path` is the safetensors file that `mespot weights` writes; it tells how the weights were
    trained. Raises InputError where it is missing or holds other tensors.
    """

    def __init__(self, path: Path):
        self.device = inference.device()
        state = weights.load(path, shapes())
        self.trained = TRAINED[weights.facts(path)["trained_by"]]
        self.network = filled(state).to(self.device)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Face boxes (N, 4) px as x0, y0, x1, y1, the largest first; they may reach beyond the image.

        `image` is (H, W) grey or (H, W, 3) RGB uint8.
        """
        scale = min(1.0, LONGEST / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        with inference.exact():
            offsets, logits, _ = self.network(network_input(image, self.trained).to(self.device))
            boxes = found(offsets[0].cpu(), logits[0].cpu(), *image.shape[:2], self.trained.least)
        return largest_first(boxes / scale)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's tensors, less the counts that only training needs."""
    state = _network().state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not _counts(name)}


def filled(state: dict[str, torch.Tensor]) -> RetinaFace:
    """The network with these tensors, as `shapes` has them."""
    network = _network()
    counts = {name: torch.tensor(0) for name in network.state_dict() if _counts(name)}
    network.load_state_dict(state | counts, assign=True)
    return network.eval()


def network_input(image: np.ndarray, trained: Trained) -> torch.Tensor:
    """The image (H, W) or (H, W, 3) RGB uint8 as weights so trained take it: (1, 3, H, W) float32."""
    colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    seen = colour[:, :, trained.channels].astype(np.float32)
    seen = (seen - np.float32(trained.mean)) / np.float32(trained.deviation)
    return torch.from_numpy(seen).permute(2, 0, 1)[None]


def found(
    offsets: torch.Tensor, logits: torch.Tensor, height: int, width: int, least: float
) -> np.ndarray:
    """Boxes (N, 4) px, the likeliest first, of the network's output for an image of that size.

    `offsets` (A, 4) and `logits` (A, 2: none, face) are those of the A anchors. Of boxes that overlap
    the likeliest stays, if its probability is above `least` and it shows something of the image.
    """
    size = torch.tensor([width, height])
    boxes = decode(offsets, _anchors(height, width), VARIANCES) * size.repeat(2)
    scores = logits.softmax(-1)[:, 1]
    inside = ((boxes[:, :2] < size) & (boxes[:, 2:] > 0)).all(1)
    kept = inside & (scores > least)
    boxes, scores = boxes[kept], scores[kept]
    return boxes[nms(boxes, scores, OVERLAP)].numpy().astype(float)


@lru_cache(maxsize=2)
def _anchors(height: int, width: int) -> torch.Tensor:
    return priorbox(SIDES, STEPS, False, (height, width))


def _network() -> RetinaFace:
    """The network without numbers: no time is spent on weights that are replaced at once."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision in an old way
        return RetinaFace(
            name="Resnet50",
            pretrained=False,
            in_channels=256,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            out_channels=256,
        )


def _counts(name: str) -> bool:
    return name.endswith(".num_batches_tracked")
