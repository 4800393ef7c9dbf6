"""Whether a face is free, by a sign that knows neither the person nor the pose.

Landmarks are found again from shifted boxes. On a free face the regression ends at the same places wherever
it starts; behind a hand, or without a face, each start ends somewhere else. A mouth wide open scatters its
own points and the nose's for a moment, a hand before the face those of several parts more and for
longer: so it is the mean over a third of a second that counts. The landmarks are dlib's, whoever finds
the box: what they tell was measured with them (docs/methods.md).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from mespot.faces.dlib import points_from
from mespot.faces.points import inter_ocular
from mespot.stretches import closed, runs

# Shifts (x, y) of the box, in parts of its width.
STARTS = [(0, 0), (0.06, 0), (-0.06, 0), (0, 0.06), (0, -0.06)]
# Jaw, nose, eyes and mouth; not the brows: where they are lowered some boxes take them for lashes.
GROUPS = [slice(17), slice(27, 36), slice(36, 48), slice(48, 68)]
# Landmarks' disagreement, in inter-ocular distances, of the second of nose, eyes and mouth. LOST: in a
# single frame it resembles a face by one half; a cut or a face turned away gives 0.05 to 0.2. COVERED:
# its mean over WHILE s; free faces stay below 0.027, mouths wide open included; a hand before the face
# comes to 0.045 and more, and the mean over jaw, nose, eyes and mouth stays above SLIGHT while it goes
# there and back; it is about 0.005 at rest. What a frame counts for is bounded, or one would decide.
LOST, COVERED, SLIGHT = 0.05, 0.035, 0.007
WHILE = 1 / 3
MOST, MOST_SLIGHT = 0.1, 0.015
# A face seen for less than this, s, between frames that show none is not trusted.
MOMENT = 0.2


def consistent_points(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dlib's 68 points (68, 2) px of the face in `box`, and how far other starting boxes disagree.

    The disagreement (4,) is that of jaw, nose, eyes and mouth in inter-ocular distances: the median
    distance from the median point, its mean over the group's points.
    """
    found = points_from(image, box, STARTS)
    middle = np.median(found, axis=0)
    apart = np.median(np.linalg.norm(found - middle, axis=2), axis=0) / inter_ocular(middle)
    return found[0], np.array([apart[group].mean() for group in GROUPS])


def agreement(apart: np.ndarray, half: float) -> np.ndarray:
    """How well a free face is resembled, (...,) 0 to 1: 0.5 where `apart` (..., 4) comes to `half`.

    Of nose, eyes and mouth the second largest disagreement counts: one alone may be an expression.
    """
    return _falling(_second(apart), half)


def judge(
    resemblance: np.ndarray, apart: np.ndarray, fps: float, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """How well each frame resembles a free face (T,), and whether it is to be trusted (T,) bool.

    `resemblance` (T,) is each frame's by itself, `apart` (T, 4) its disagreement, of `consistent_points`.
    Not trusted are frames that resemble one by less than `least`, a face seen for less than MOMENT
    between them, and a face that is covered: as long as its points disagree slightly, where at some
    time they disagree so much that it resembles a free one by less than `least`.
    """
    width = round(WHILE * fps) | 1
    much = uniform_filter1d(np.minimum(_second(apart), MOST), width)
    slightly = uniform_filter1d(np.minimum(apart.mean(1), MOST_SLIGHT), width) > SLIGHT
    resemblance, moment = resemblance.copy(), MOMENT * fps
    for start, end in runs(closed(slightly, moment)):
        worst = _falling(much[start:end].max(), COVERED)
        if worst < least:
            resemblance[start:end] = np.minimum(resemblance[start:end], worst)
    return resemblance, ~closed(resemblance < least, moment)


def _falling(apart: np.ndarray, half: float) -> np.ndarray:
    return 1 / (1 + (apart / half) ** 2)


def _second(apart: np.ndarray) -> np.ndarray:
    return np.sort(apart[..., 1:], axis=-1)[..., 1]
