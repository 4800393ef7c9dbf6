"""dlib: the default pair of face detector and landmarks, which works offline at once.

The models come with the package face-recognition-models. The 68-point model was trained on iBUG
300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import dlib
import numpy as np

from mespot.errors import InputError
from mespot.faces import FaceDetector, largest_first
from mespot.settings import Align, Landmarks

# Longest side at which dlib's detector looks first, px: it finds faces of 80 px and more. Where it
# finds none it looks again at the whole picture.
DETECTION_SIDE = 640
# Side to which a face's box is enlarged before its points are found: they are whole pixels.
SIDE = 300


def face_detector(settings: Align) -> FaceDetector:
    return lambda image: detect_faces(grey(image))


def landmark_detector(settings: Landmarks) -> Callable:
    return Trees()


class Trees:
    """dlib's regression trees (Kazemi and Sullivan 2014, doi 10.1109/CVPR.2014.241)."""

    starts_from_box = True

    def __call__(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        pairs = zip(images, boxes, strict=True)
        return np.concatenate([points_from(grey(image), box, [(0, 0)]) for image, box in pairs])


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
    return largest_first(boxes.reshape(-1, 4) / scale)


def points_from(
    image: np.ndarray, box: np.ndarray, shifts: list[tuple[float, float]]
) -> np.ndarray:
    """The 68 points (N, 68, 2) px in `image` (H, W) that each of N shifts of the box (4,) leads to.

    The shifts (x, y) are parts of the box's width.
    """
    centre, scale = (box[:2] + box[2:]) / 2, SIDE / (box[2] - box[0])
    enlarge = np.column_stack([scale * np.eye(2), SIDE - scale * centre])
    large = cv2.warpAffine(image, enlarge, (2 * SIDE, 2 * SIDE), borderMode=cv2.BORDER_REPLICATE)
    middle = np.array([SIDE / 2, SIDE / 2, 3 * SIDE / 2, 3 * SIDE / 2])
    shifted = [middle + SIDE * np.array([dx, dy, dx, dy]) for dx, dy in shifts]
    found = np.stack([_points(large, start) for start in shifted])
    return (found - enlarge[:, 2]) / scale


def points_of_largest(image: np.ndarray) -> np.ndarray:
    """The 68 points (68, 2) px of the largest face. Raises InputError where there is none."""
    boxes = detect_faces(image)
    if not len(boxes):
        raise InputError("no face found in the picture; a face of 80 px or more was expected")
    return _points(image, boxes[0])


def grey(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _points(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    rectangle = dlib.rectangle(*(round(edge) for edge in box))
    shape = _predictor()(np.ascontiguousarray(image), rectangle)
    return np.array([(point.x, point.y) for point in shape.parts()], float)


@cache
def _detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@cache
def _predictor() -> dlib.shape_predictor:
    # Not imported: its __init__ needs pkg_resources, which setuptools no longer has.
    package = importlib.util.find_spec("face_recognition_models")
    folder = Path(package.submodule_search_locations[0]) / "models"
    return dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
