"""Face detectors and landmark networks. The default pair is dlib's: it works offline at once.

The models come with the package face-recognition-models. The 68-point model was trained on iBUG
300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import dlib
import numpy as np

from mespot.errors import InputError

# Longest side at which dlib's detector looks first, px: it finds faces of 80 px and more. Where it
# finds none it looks again at the whole picture.
DETECTION_SIDE = 640


def detect_faces(image: np.ndarray) -> np.ndarray:
    """Face boxes (N, 4) px as x0, y0, x1, y1, the largest first.

    `image` is (H, W) grey or (H, W, 3) RGB uint8. dlib's detector (histograms of oriented
    gradients: Dalal and Triggs 2005, doi 10.1109/CVPR.2005.177).
    """
    for side in (DETECTION_SIDE, max(image.shape[:2])):
        scale = min(1.0, side / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = _detector()(small, 1 if max(small.shape[:2]) < DETECTION_SIDE / 2 else 0)
        if len(found):
            break
    boxes = np.array([(r.left(), r.top(), r.right(), r.bottom()) for r in found], float)
    boxes = boxes.reshape(-1, 4) / scale
    return boxes[np.argsort(-(boxes[:, 2] - boxes[:, 0]), kind="stable")]


def find_landmarks(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """68 points (68, 2) px in iBUG order, of the face in `box`.

    dlib's regression trees (Kazemi and Sullivan 2014, doi 10.1109/CVPR.2014.241).
    """
    rectangle = dlib.rectangle(*(round(edge) for edge in box))
    shape = _predictor()(np.ascontiguousarray(image), rectangle)
    return np.array([(point.x, point.y) for point in shape.parts()], float)


def dlib_points(image: np.ndarray) -> np.ndarray:
    """The 68 points of the largest face. Raises InputError where there is none."""
    boxes = detect_faces(image)
    if not len(boxes):
        raise InputError("no face found in the picture; a face of 80 px or more was expected")
    return find_landmarks(image, boxes[0])


@cache
def _detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@cache
def _predictor() -> dlib.shape_predictor:
    # Not imported: its __init__ needs pkg_resources, which setuptools no longer has.
    package = importlib.util.find_spec("face_recognition_models")
    folder = Path(package.submodule_search_locations[0]) / "models"
    return dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
