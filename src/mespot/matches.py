"""matches: which spotted interval is which annotated expression, interval by interval (`score.pairs`)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mespot.intervals import overlaps
from mespot.score import pairs

FOUND, MISSED, FALSE = "found", "missed", "false"
NOBODY = -1


def matches(annotated: pd.DataFrame, spotted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables in their order, rows numbered from 0, with the columns outcome, match and iou.

    They need the columns video, type, onset, offset (inclusive frames). As `strict` pairs them, an
    annotated interval is found or missed, a spotted one found or false; `match` is the partner's row in
    the other table, -1 without one; `iou` the best overlap with any of its video and type, 0 if none.
    """
    tables = annotated.reset_index(drop=True), spotted.reset_index(drop=True)
    spans = [table[["onset", "offset"]].to_numpy(float) for table in tables]
    rows = [table.groupby(["video", "type"]).indices for table in tables]
    match = [np.full(len(table), NOBODY) for table in tables]
    iou = [np.zeros(len(table)) for table in tables]
    for name in rows[0].keys() & rows[1].keys():
        one, other = (rows[k][name] for k in range(2))
        truth, found = spans[0][one], spans[1][other]
        overlap = overlaps(truth, found)
        iou[0][one], iou[1][other] = overlap.max(1), overlap.max(0)
        for i, j in pairs(truth, found):
            match[0][one[i]], match[1][other[j]] = other[j], one[i]
    return tuple(
        table.assign(outcome=np.where(partner == NOBODY, without, FOUND), match=partner, iou=best)
        for table, without, partner, best in zip(tables, (MISSED, FALSE), match, iou, strict=True)
    )
