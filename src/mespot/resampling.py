"""How sure an F1 is: other subjects might have been filmed, so subjects are drawn again and again.

The percentile bootstrap over subjects (Efron and Tibshirani 1993, ch. 13), who are what is independent: not
videos, not expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

RESAMPLES, SEED = 4000, 1
LEVEL = 95  # percent that an interval holds


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 of counts (..., 3) of tp, n, m; 0 where there is nothing."""
    return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)


def resampled(counts: Sequence[np.ndarray]) -> np.ndarray:
    """F1 (RESAMPLES,) of subjects drawn with replacement, of each dataset as many as it has.

    `counts` (subjects, 3), or (subjects, seeds, 3) of which F1 is the mean over seeds, of each dataset.
    Of datasets of the same sizes, and in the same order, the same subjects are drawn: two methods' F1
    can be compared resample by resample.
    """
    often = _drawn(tuple(len(of_subject) for of_subject in counts))
    total = sum(
        np.tensordot(one, of_subject, 1) for one, of_subject in zip(often, counts, strict=True)
    )
    f1s = f1(total)
    return f1s if f1s.ndim == 1 else f1s.mean(1)


@cache
def _drawn(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """How often each of so many subjects of each dataset is drawn: (RESAMPLES, subjects)."""
    random = np.random.default_rng(SEED)
    return [random.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float) for n in sizes]


def interval(counts: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 95 % interval of F1; see `resampled`."""
    low, high = np.percentile(resampled(counts), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)
