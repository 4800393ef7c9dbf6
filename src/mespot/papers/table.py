"""The paper's Table 1 as LaTeX: F1 of each method on each dataset, for people who write a paper."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mespot.aggregate import KINDS, POOLED, load_summary
from mespot.settings import Report
from mespot.store import replacing

# Yin et al., ICME 2023, arXiv 2303.09114: macro, micro and overall.
PAPER: dict[str, tuple[float | None, ...]] = {
    "cas_me_sq": (0.4235, 0.1538, 0.3834),
    "samm_lv": (0.4293, 0.1984, 0.3728),
    POOLED: (None, None, 0.3771),
}
NAMES = {"cas_me_sq": r"CAS(ME)\textsuperscript{2}", "samm_lv": "SAMM-LV"}
MARKS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
MARKS |= {mark: f"\\{mark}" for mark in "&%$#_{}"}
NONE = "--"
TEXT = r"""%% Needs \usepackage{booktabs}.
\begin{table*}
\centering
\caption{F1 under protocol %(protocol)s, one subject left out at a time; below it the 95\,\%% interval over subjects
(percentile bootstrap). MaE: macro-expressions, ME: micro-expressions.%(note)s}
\label{tab:f1}
\small
\setlength{\tabcolsep}{4pt}
\begin{tabular}{l*{%(columns)d}{c}}
\toprule
%(body)s
\bottomrule
\end{tabular}
\end{table*}
"""
NOTE = (
    r" \textsuperscript{*}As published, by the published scorer; the epochs were chosen on the test subject's"
    " labels, which is no honest estimate."
)


def table1(summary: Path, joined: Collection[str], out: Path, settings: Report) -> None:
    """Write the table of the headline protocol; `joined` are the datasets that others were joined to.

    A row for each method, what it was trained on together, and selection `last` or `inner`; beside them
    the paper's, where its datasets are. Raises InputError.
    """
    table = load_summary(summary)
    table = table[(table["protocol"] == settings.headline) & (table["selection"] != "oracle")]
    together = table["trained_on"].isin(joined)
    apart = (table["trained_on"] == table["dataset"]) | (table["trained_on"] == "nothing")
    table = table[together | (apart & ~table["dataset"].isin(joined))]
    datasets = [name for name in table["dataset"].unique() if name not in (*joined, POOLED)]
    datasets += [POOLED] * bool(len(datasets) > 1)
    grouped = table.assign(joined=table["trained_on"].where(together, ""))
    lines = _head(datasets)
    for (method, of, selection), rows in grouped.groupby(
        ["method", "joined", "selection"], sort=False
    ):
        found = {row["dataset"]: row for row in rows.to_dict("records")}
        if of in found and {*found} - {of} == {*datasets} - {POOLED}:
            found[POOLED] = found[of]
        lines += _row(_label(method, of, selection, rows["seeds"].max()), datasets, found)
    published = bool(PAPER.keys() & {*datasets} - {POOLED})
    if published:
        cells = [
            NONE if value is None else f"{value:.4f}"
            for dataset in datasets
            for value in PAPER.get(dataset, (None,) * len(KINDS))
        ]
        lines += [r"\midrule", _line([r"Yin et al.\ (2023)\textsuperscript{*}", *cells])]
    filled = {
        "protocol": escaped(settings.headline),
        "note": NOTE if published else "",
        "columns": len(KINDS) * len(datasets),
        "body": "\n".join(lines),
    }
    with replacing(out) as temporary:
        temporary.write_text(TEXT % filled)


def escaped(text: str) -> str:
    """A name as LaTeX shows it."""
    return "".join(MARKS.get(mark, mark) for mark in text)


def _head(datasets: list[str]) -> list[str]:
    names = [NAMES.get(dataset, escaped(dataset)) for dataset in datasets]
    spans = [rf"\multicolumn{{{len(KINDS)}}}{{c}}{{{name}}}" for name in names]
    firsts = range(2, 2 + len(KINDS) * len(datasets), len(KINDS))
    rules = " ".join(rf"\cmidrule(lr){{{first}-{first + len(KINDS) - 1}}}" for first in firsts)
    kinds = ["MaE", "ME", "overall"] * len(datasets)
    return [_line(["", *spans]), rules, _line(["method", *kinds]), r"\midrule"]


def _label(method: str, joined: str, selection: str, seeds: int) -> str:
    parts = [escaped(method)]
    parts += [f"trained on {escaped(joined)}"] * bool(joined)
    parts += [selection] * (selection != "last") + [f"{seeds} seeds"] * bool(seeds > 1)
    return ", ".join(parts)


def _row(label: str, datasets: list[str], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """F1, and the interval below it."""
    f1, bounds = [label], [""]
    for dataset in datasets:
        for kind in KINDS:
            value, low, high = (
                found.get(dataset, {}).get(f"{kind}_{figure}", np.nan)
                for figure in ("f1", "f1_low", "f1_high")
            )
            f1.append(NONE if pd.isna(value) else f"{value:.3f}")
            told = "" if pd.isna(low) else rf"{{\scriptsize [{_short(low)}, {_short(high)}]}}"
            bounds.append(told)
    return [_line(f1), *([_line(bounds)] if any(bounds) else [])]


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
