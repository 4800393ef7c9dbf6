"""matches: which annotated expression each spotted interval is, and what is left over on either side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mespot.intervals import overlaps
from mespot.score import pairs

FOUND, MISSED, FALSE = "found", "missed", "false"


def matches(annotated: pd.DataFrame, spotted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with three columns more, rows in their order and numbered from 0.

    `outcome`: found or missed of what is annotated, found or false of what is spotted, under `strict`.
    `match`: the other's row that it is found as; -1 if none. `iou`: the largest intersection over union
    with any of the other's of the same video and type.
    """
    tables = [table.reset_index(drop=True) for table in (annotated, spotted)]
    match = [np.full(len(table), -1) for table in tables]
    iou = [np.zeros(len(table)) for table in tables]
    groups = [table.groupby(["video", "type"]).indices for table in tables]
    for key in groups[0].keys() & groups[1].keys():
        rows = [of[key] for of in groups]
        spans = [
            table.loc[at, ["onset", "offset"]].to_numpy(float)
            for table, at in zip(tables, rows, strict=True)
        ]
        overlap = overlaps(*spans)
        iou[0][rows[0]], iou[1][rows[1]] = overlap.max(1), overlap.max(0)
        for one, other in pairs(*spans):
            match[0][rows[0][one]], match[1][rows[1][other]] = rows[1][other], rows[0][one]
    return tuple(
        table.assign(outcome=np.where(of >= 0, FOUND, name), match=of, iou=best)
        for table, of, best, name in zip(tables, match, iou, (MISSED, FALSE), strict=True)
    )
