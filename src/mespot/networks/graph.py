"""graph: which ROIs move together: the AU co-occurrence adjacency of the graph convolution.

Yin et al., ICME 2023, arXiv 2303.09114, section 3.2: action units that are annotated together link
the ROIs that they move.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

import numpy as np

from mespot.datasets.action_units import parse
from mespot.errors import InputError

# The ROIs that each action unit moves (the paper's table). ROIs are numbered as `roi` makes them:
# 0-2 right brow, 3-5 left brow, 6-7 nose, 8-11 mouth. Other AUs are left out of the count.
AU_ROIS: dict[int, tuple[int, ...]] = {
    1: (0, 1, 4, 5),
    2: (2, 3),
    12: (8, 10),
    14: (8, 10),
    25: (9, 11),
    26: (9, 11),
}


def rois_in(
    graph_rois: Mapping[int, Sequence[str]], regions: Sequence[str]
) -> dict[int, list[int]]:
    """Which of these regions, by number, each action unit moves; names that are not there do not count."""
    return {
        au: [regions.index(name) for name in names if name in regions]
        for au, names in graph_rois.items()
    }


def published_aus(text: str) -> list[int]:
    """The AUs of one annotated expression as the published adjacencies count them.

    One-sided AUs are left out, and more: an AU right after an L or R is skipped ("L12+25" -> [25]; "A12"
    and "(L/A)12" stay), and an annotation whose first letter is R is skipped whole
    ("R12B+25+26" -> []).
    """
    if text.startswith("R"):
        return []
    return [int(number) for number in re.findall(r"(?<![LR\d])\d+", text)]


def adjacency(
    aus: Iterable[str],
    rois_of_au: Mapping[int, Sequence[int]] = AU_ROIS,
    n_rois: int = 12,
    published: bool = False,
) -> np.ndarray:
    """(R, R) float64: how often ROI j moves along with ROI i, rows normalised by their sum.

    `aus` holds the AUs of each annotated expression as written. An expression with two or more AUs
    of the table links each ROI of one with each ROI of the other, for each pair of AUs; one with a
    single such AU links each of that AU's ROIs with itself alone. Rows of ROIs that no annotated AU
    moves would be zero (the nose's, in the paper's table), and nothing of those ROIs would be seen; so
    each ROI is linked with itself as strongly as with all others together.

    `published` leaves that out and reads the AUs as `published_aus` does.
    """
    for au, rois in rois_of_au.items():
        if any(not 0 <= roi < n_rois for roi in rois):
            raise ValueError(f"AU {au} must move ROIs between 0 and {n_rois - 1}, not {rois}")
    counts = np.zeros((n_rois, n_rois))
    for text in aus:
        numbers = published_aus(text) if published else [unit.number for unit in parse(text)]
        present = [au for au in dict.fromkeys(numbers) if au in rois_of_au]
        if len(present) == 1:
            rois = list(rois_of_au[present[0]])
            counts[rois, rois] += 1
        for one, other in permutations(present, 2):
            counts[np.ix_(rois_of_au[one], rois_of_au[other])] += 1
    linked = _rows_to_one(counts)
    return linked if published else _rows_to_one(linked + np.eye(n_rois))


# Where the regions lie on a face seen from the front, in inter-ocular distances from between the eyes.
PLACES = {
    "right_brow_outer": (-0.81, -0.41),
    "right_brow_middle": (-0.62, -0.45),
    "right_brow_inner": (-0.43, -0.44),
    "left_brow_inner": (0.43, -0.44),
    "left_brow_middle": (0.62, -0.45),
    "left_brow_outer": (0.81, -0.41),
    "nose_bridge": (0.0, 0.19),
    "nose_tip": (0.0, 0.64),
    "right_lip_corner": (-0.55, 1.15),
    "upper_lip": (0.0, 1.03),
    "left_lip_corner": (0.55, 1.15),
    "lower_lip": (0.0, 1.53),
    "right_brow": (-0.79, -0.38),
    "right_brow_head": (-0.34, -0.39),
    "left_brow_head": (0.34, -0.39),
    "left_brow": (0.79, -0.38),
    "right_eye": (-0.5, 0.0),
    "left_eye": (0.5, 0.0),
    "right_cheek": (-0.46, 0.65),
    "left_cheek": (0.46, 0.65),
    "nose": (0.0, 0.3),
    "right_lips": (-0.43, 1.2),
    "left_lips": (0.43, 1.2),
    "chin": (0.0, 1.88),
}
LIKELY = 0.4  # least probability of one action unit beside another, of a link


def conditional(
    aus: Iterable[str], rois_of_au: Mapping[int, Sequence[int]], n_rois: int
) -> np.ndarray:
    """(R, R): ROI j is linked to i where j moves in at least LIKELY of the expressions in which i does.

    After ML-GCN (arXiv 1904.03582, eq. 7); rows sum to one.
    """
    together = np.zeros((n_rois, n_rois))
    for text in aus:
        rois = [roi for unit in parse(text) for roi in rois_of_au.get(unit.number, ())]
        moved = np.isin(np.arange(n_rois), rois)
        together += np.outer(moved, moved)
    return _rows_to_one(together >= LIKELY * together.diagonal().clip(1e-9)[:, None])


def by_distance(regions: Sequence[str]) -> np.ndarray:
    """(R, R): the nearer two regions lie on a face, the more; rows sum to one.

    Raises InputError for a region whose place is unknown.
    """
    if unknown := [name for name in regions if name not in PLACES]:
        raise InputError(
            f"multiscale.graph: distance: where on a face {', '.join(unknown)} lies is unknown; "
            f"regions of roi.set, or another graph, were expected"
        )
    places = np.array([PLACES[name] for name in regions])
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    return _rows_to_one(np.exp(-(apart**2) / 2))


def _rows_to_one(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum, where there is one."""
    sums = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, sums, out=np.zeros(matrix.shape), where=sums > 0)
