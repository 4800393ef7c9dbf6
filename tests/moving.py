"""Image pairs whose motion is known: what the tests of the flow share."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage import color, data


def face(height, width):
    """A real face, grey 0-255, float32."""
    grey = color.rgb2gray(data.astronaut()[20:210, 130:320]) * 255
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def moving_pair(height, width, peak, seed, sigma=1.0):
    """(i0, i1, u): a face that moves by a smooth u of at most `peak` px; sensor noise sigma."""
    rng = np.random.default_rng(seed)
    u = gaussian_filter(rng.standard_normal((2, height, width)), (0, height / 8, width / 8))
    u *= peak / np.hypot(*u).max()
    i1 = face(height, width)
    i0 = map_coordinates(i1, np.mgrid[:height, :width] + u[::-1], order=5, mode="nearest")
    i0, i1 = (i + sigma * rng.standard_normal(i.shape) for i in (i0, i1))
    return tuple(torch.from_numpy(a.astype(np.float32)) for a in (i0, i1, u))


def moving_pairs(count, height, width, peak, sigma=1.0):
    pairs = [moving_pair(height, width, peak, seed, sigma) for seed in range(count)]
    return tuple(torch.stack(a) for a in zip(*pairs, strict=True))
