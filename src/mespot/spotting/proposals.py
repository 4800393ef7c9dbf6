"""proposals: intervals around the apexes of curves, and their suppression (arXiv 2303.09114, 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mespot.intervals import overlaps


class Proposal(NamedTuple):
    onset: int
    apex: int
    offset: int
    score: float

    @property
    def frames(self) -> int:
        return self.offset - self.onset + 1

    def common(self, other: Proposal) -> int:
        """How many frames both have; not positive where they are apart."""
        return min(self.offset, other.offset) - max(self.onset, other.onset) + 1


def propose(
    onset: np.ndarray,
    apex: np.ndarray,
    offset: np.ndarray,
    reach: Sequence[int],
    length: Sequence[int],
    apex_over: float,
) -> np.ndarray:
    """Proposals (P, 4) of onset, apex, offset, score: one for each apex probability above `apex_over`.

    It begins at the likeliest onset between `reach` frames to the left and ends at the likeliest
    offset to the right; its score is onset x apex x offset. Only lengths within `length` frames
    stand. All curves are (T,) probabilities.
    """
    at = np.flatnonzero(apex > apex_over)
    steps = np.arange(max(1, reach[0]), max(1, reach[1]) + 1)
    left, right = at[:, None] - steps, at[:, None] + steps
    begins = left[np.arange(len(at)), _likeliest(onset, left)]
    ends = right[np.arange(len(at)), _likeliest(offset, right)]
    frames = ends - begins + 1
    stands = (begins >= 0) & (ends < len(apex)) & (frames >= length[0]) & (frames <= length[1])
    begins, at, ends = begins[stands], at[stands], ends[stands]
    return np.stack([begins, at, ends, onset[begins] * apex[at] * offset[ends]], 1)


def propose_published(
    onset: np.ndarray,
    offset: np.ndarray,
    apex: np.ndarray,
    reach: Sequence[int],
    length: Sequence[int],
    apex_over: float,
) -> np.ndarray:
    """Proposals (P, 4) as the published code makes them, of curves (W, L) of a video's windows.

    Each window stands for itself, padding included: the search ends at its first and last row. The
    onset must be likelier than an offset at the start, and the other way round at the end; offset -
    onset must be within `length`. Its frame numbers are one more than the rows they stand for.
    """
    proposals = []
    for number, (starts, ends, apexes) in enumerate(zip(onset, offset, apex, strict=True)):
        for k in np.flatnonzero(apexes > apex_over):
            first = max(0, k - reach[1])
            left = starts[first : max(0, k - reach[0]) + 1]  # at the left edge, row 0 alone
            right = ends[k + reach[0] : k + reach[1] + 1]
            if len(right):
                start, end = first + left.argmax(), k + reach[0] + right.argmax()
                if (
                    length[0] <= end - start <= length[1]
                    and starts[start] > ends[start]
                    and ends[end] > starts[end]
                ):
                    frames = number * len(starts) + np.array([start, k, end]) + 1
                    score = float(starts[start]) * float(apexes[k]) * float(ends[end])
                    proposals.append((*frames, score))
    return np.array(proposals, float).reshape(-1, 4)


def suppress(
    proposals: np.ndarray, overlap: float, inclusive: bool = True, top: int | None = None
) -> np.ndarray:
    """The best proposals (P, 4), none overlapping a better one by more than `overlap` (IoU)."""
    waiting = proposals[np.lexsort((proposals[:, 0], -proposals[:, 3]))]
    kept = []
    while len(waiting) and (top is None or len(kept) < top):
        kept.append(waiting[0])
        shared = overlaps(waiting[:1, [0, 2]], waiting[:, [0, 2]], inclusive)[0]
        shared[0] = np.inf
        waiting = waiting[shared <= overlap]
    return np.array(kept).reshape(-1, 4)


def _likeliest(curve: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Which column of `index` (C, S) has the largest value of the curve; beyond it there is none."""
    inside = (index >= 0) & (index < len(curve))
    return np.where(inside, curve[index.clip(0, len(curve) - 1)], -1).argmax(1)
