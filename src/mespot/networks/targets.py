"""targets: what the network is trained to say of each frame (Yin et al., arXiv 2303.09114, 3.4, 4.1).

Intervals become marks per feature row (`labels`), a video is cut into windows (`windows`, `cut`),
and a window's marks become smooth training targets (`training_targets`). Frame t is feature row t,
the motion from frame t to t+1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

# The columns of `labels`, 0 or 1 each: the first frame, the apex, the last frame, and every frame
# from first to last of the video's micro-expressions; the same of its macro-expressions.
LABELS = tuple(
    f"{type_}_{mark}"
    for type_ in ("micro", "macro")
    for mark in ("onset", "apex", "offset", "action")
)
TYPES = ("micro", "macro")
ONSET, OFFSET, NO_BOUNDARY = 0, 1, 2  # the classes of a boundary target
RADIUS = {"micro": 1, "macro": 3}  # frames on each side of a mark that share its target
SIGMA = 4.0  # frames; of the Gaussian around an apex
# Mean and standard deviation of (dx, dy) that the published features were normalised with; they
# are not those of the features, which leaves the values nearly as they are.
MEAN = (0.003463, 0.003873)  # in units of 20 px/frame
STD = (0.548588, 0.645621)


def labels(intervals: pd.DataFrame, n_rows: int, published: bool = False) -> np.ndarray:
    """Marks of one video's expressions: (n_rows, 8) int8, columns as in LABELS.

    `intervals` has columns type ("macro" or "micro"), onset, apex, offset, in frames, inclusive. An
    interval that ends beyond the last row ends there; one that begins beyond it is left out. A
    negative apex is unknown and not marked.

    With `published` the frames are taken as the published code takes them from its CSVs: offset 0
    means 2 * apex - onset; apex 0 means the middle of onset and offset (rounded down); apex -1 marks
    the video's last row; an expression is left out whole if its apex lies beyond the last row, or
    if onset and apex are both 0.
    """
    if n_rows < 1:
        raise ValueError(f"a video must have at least one feature row, not {n_rows}")
    marks = np.zeros((n_rows, len(LABELS)), np.int8)
    columns = intervals[["type", "onset", "apex", "offset"]]
    for type_, *frames in columns.itertuples(index=False):
        if type_ not in TYPES:
            raise ValueError(f"the type of an interval must be macro or micro, not {type_!r}")
        onset, apex, offset = (int(frame) for frame in frames)
        if published:
            if onset == 0 and apex == 0:
                continue
            if offset == 0:
                offset = 2 * apex - onset
            if apex == 0:
                apex = (onset + offset) // 2
            if apex >= n_rows:
                continue
            if apex == -1:
                apex = n_rows - 1
        if onset >= n_rows:
            continue
        if not 0 <= onset <= offset:
            raise ValueError(f"an interval must have 0 <= onset <= offset, not {onset}, {offset}")
        offset = min(offset, n_rows - 1)
        first = 4 * TYPES.index(type_)
        marks[onset, first] = 1
        if 0 <= apex < n_rows:
            marks[apex, first + 1] = 1
        marks[offset, first + 2] = 1
        marks[onset : offset + 1, first + 3] = 1
    return marks


def windows(n_rows: int, length: int = 256, context: int = 7) -> np.ndarray:
    """The rows of each window of a video: (W, context + length + context) int64, -1 outside it.

    Windows stand side by side from row 0 and cover every row once, but for the context on each
    side, which the neighbouring windows hold as well.
    """
    if n_rows < 1 or length < 1 or context < 0:
        raise ValueError(
            "windows need n_rows >= 1, length >= 1 and context >= 0, "
            f"not {n_rows}, {length} and {context}"
        )
    starts = np.arange(0, n_rows, length)
    rows = starts[:, None] + np.arange(-context, length + context)
    return np.where((rows >= 0) & (rows < n_rows), rows, -1)


def cut(rows: np.ndarray, length: int = 256, context: int = 7) -> np.ndarray:
    """(T, ...) per row of a video -> (W, context + length + context, ...) per window, zero-padded."""
    index = windows(len(rows), length, context)
    cut_rows = rows[index]  # index -1 takes the last row, which the next line puts right
    cut_rows[index < 0] = 0
    return cut_rows


def training_targets(
    marks: np.ndarray, context: int = 7, published: bool = True
) -> dict[str, np.ndarray]:
    """Targets of windows cut from `labels`: (W, context + length + context, 8) -> (W, length) each.

    {micro,macro}_apex: float32, a Gaussian of 4 frames around each apex, cut off beyond 1 (micro)
    or 3 (macro) frames; where two meet, the larger counts. {micro,macro}_action: float32, 1 from
    onset to offset. {micro,macro}_boundary: int64, ONSET within 1 or 3 frames of an onset, OFFSET
    of an offset (which wins where both are near), else NO_BOUNDARY.

    With `published`, as in the published code, what a mark spreads to the right ends before row
    `length` of the padded window, so the last frames of a window (the last 7) are reached from the
    right only; without, a mark spreads evenly.
    """
    if marks.ndim != 3 or marks.shape[2] != len(LABELS) or marks.shape[1] <= 2 * context:
        raise ValueError(
            f"marks must be of shape (W, length + {2 * context}, {len(LABELS)}), not {marks.shape}"
        )
    length = marks.shape[1] - 2 * context
    right_end = length if published else marks.shape[1]

    def spread(column: int, radius: int) -> np.ndarray:
        """(W, padded length) float64: the Gaussian around the marks of a column, 0 elsewhere."""
        marked = marks[:, :, column] != 0
        out = np.zeros(marked.shape)
        for distance in range(-radius, radius + 1):
            height = np.exp(-(distance**2) / (2 * SIGMA**2))
            reached = np.zeros(marked.shape, bool)
            if distance <= 0:
                reached[:, : marked.shape[1] + distance] = marked[:, -distance:]
            else:
                reached[:, distance:] = marked[:, :-distance]
                reached[:, right_end:] = False
            out = np.maximum(out, height * reached)
        return out

    inner = slice(context, context + length)
    targets = {}
    for type_ in TYPES:
        first, radius = 4 * TYPES.index(type_), RADIUS[type_]
        boundary = np.full(marks.shape[:2], NO_BOUNDARY, np.int64)
        boundary[spread(first, radius) > 0] = ONSET
        boundary[spread(first + 2, radius) > 0] = OFFSET
        targets[f"{type_}_apex"] = spread(first + 1, radius)[:, inner].astype(np.float32)
        targets[f"{type_}_action"] = marks[:, inner, first + 3].astype(np.float32)
        targets[f"{type_}_boundary"] = boundary[:, inner]
    return targets
