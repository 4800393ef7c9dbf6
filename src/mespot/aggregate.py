"""aggregate: one table of all scores, with the rows pooled over datasets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mespot.errors import InputError
from mespot.intervals import write_table
from mespot.score import Count

POOLED = "pooled"
# How the epoch was chosen: the last, so nothing was selected on anybody.
SELECTION = "last"
KINDS = ("macro", "micro", "overall")
COLUMNS = ["method", "dataset", "trained_on", "selection", "protocol"]
COLUMNS += [f"{kind}_{figure}" for kind in KINDS for figure in ("tp", "n", "m", "f1")]


def aggregate(scores: Sequence[Path], results: Path, out: Path) -> None:
    """Write `summary.csv`: a row per method, dataset, selection and protocol.

    `trained_on` is the dataset whose other subjects trained the model (left one subject out), or
    another dataset. Rows of dataset `pooled` add the counts of all datasets up before the F1.
    """
    counts = dict(_counts(path, results) for path in scores)
    protocols = list(next(iter(counts.values())))
    rows = []
    pooled: dict[tuple[str, str], list[dict[str, Count]]] = defaultdict(list)
    for (method, dataset, trained_on), by_protocol in counts.items():
        for protocol in protocols:
            count = by_protocol[protocol]
            rows.append(_row(method, dataset, trained_on, protocol, count))
            if trained_on == dataset:
                pooled[method, protocol].append(count)
    for (method, protocol), parts in pooled.items():
        if len(parts) > 1:
            total = {kind: _sum(part[kind] for part in parts) for kind in KINDS}
            rows.append(_row(method, POOLED, POOLED, protocol, total))
    write_table(rows, COLUMNS, out)


def headline(summary: Path, protocol: str) -> str:
    """The table's rows of one protocol as text, for people."""
    table = pd.read_csv(summary)
    table = table[table["protocol"] == protocol]
    shown = table[["method", "dataset", "trained_on", *(f"{kind}_f1" for kind in KINDS)]].copy()
    shown["TP/N/M"] = [f"{r.overall_tp}/{r.overall_n}/{r.overall_m}" for r in table.itertuples()]
    title = f"F1 under protocol {protocol}, one subject left out, {SELECTION} epoch\n"
    return title + shown.to_string(index=False, float_format="%.3f")


def _counts(path: Path, results: Path) -> tuple[tuple[str, str, str], dict[str, dict[str, Count]]]:
    """Method, dataset, what it was trained on, and the counts by protocol and kind, of a score file.

    Its path tells: {dataset}/{method}/score.json, or {dataset}/{method}/cross/{source}/score.json.
    """
    parts = path.relative_to(results).parts
    if len(parts) not in (3, 5):
        raise InputError(f"{path}: {results}/DATASET/METHOD/score.json was expected")
    dataset, method = parts[:2]
    trained_on = parts[3] if len(parts) == 5 else dataset
    scores = json.loads(path.read_text())
    counts = {
        protocol: {kind: Count(*(kinds[kind][name] for name in Count._fields)) for kind in KINDS}
        for protocol, kinds in scores.items()
    }
    return (method, dataset, trained_on), counts


def _row(
    method: str, dataset: str, trained_on: str, protocol: str, counts: dict[str, Count]
) -> dict[str, Any]:
    row = dict(zip(COLUMNS, (method, dataset, trained_on, SELECTION, protocol), strict=False))
    for kind in KINDS:
        row |= {f"{kind}_{name}": value for name, value in counts[kind].as_dict().items()}
    return row


def _sum(counts: Iterable[Count]) -> Count:
    return sum(counts, Count(0, 0, 0))
