"""aggregate: one table of all scores, over seeds, with the rows pooled over datasets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from mespot.errors import damaged, reading
from mespot.experiments import Experiment, experiment
from mespot.intervals import LARGEST, TYPES, load_table, write_table
from mespot.resampling import interval
from mespot.score import SUBJECT_COLUMNS, Count
from mespot.settings import Protocol
from mespot.store import parsed

POOLED = "pooled"
KINDS = ("macro", "micro", "overall")
COLUMNS = ["method", "dataset", "trained_on", "selection", "protocol", "seeds"]
FIGURES = ("tp", "n", "m", "f1", "f1_sd", "f1_low", "f1_high")
COLUMNS += [f"{kind}_{figure}" for kind in KINDS for figure in FIGURES]
BLANK = ("_sd", "_low", "_high")  # what cannot always be told


Number = Annotated[int, Field(ge=0, le=LARGEST)]


class Counted(BaseModel):
    """What a score file holds, besides F1."""

    tp: Number
    n: Number
    m: Number


Scores = dict[Protocol, dict[Literal["macro", "micro", "overall"], Counted]]


def aggregate(
    scores: Sequence[Path],
    results: Path,
    pool: Sequence[str],
    untrained: Sequence[str],
    out: Path,
    subjects: Sequence[Path] = (),
) -> None:
    """Write `summary.csv`: a row per method, dataset, selection and protocol.

    `trained_on` is the dataset whose other subjects trained the model (left one subject out), or
    another dataset; "nothing" of the methods `untrained`. Rows of dataset `pooled` add the counts of the
    datasets in `pool` up before the F1. Over several seeds, counts and F1 are means, and `f1_sd` is the
    standard deviation of F1. Where `subjects` tell each subject's counts beside a score, `f1_low` and
    `f1_high` are F1's 95 % interval over subjects (`resampling`).
    """
    found: dict[Experiment, dict[int, dict[str, dict[str, Count]]]] = defaultdict(dict)
    apart: dict[Experiment, dict[int, pd.DataFrame]] = defaultdict(dict)
    protocols = None
    for path in scores:
        of, seed = experiment(path, results)
        found[of][seed] = counts = _counts(path)
        protocols = protocols or counts.keys()
        if counts.keys() != protocols:
            raise damaged(path, f"it is not of the protocols {', '.join(protocols)}, as others are")
    for path in subjects:
        of, seed = experiment(path, results)
        apart[of][seed] = load_table(path, SUBJECT_COLUMNS)
    parts = _parts(found, pool)
    rows = [
        _row(
            of,
            protocol,
            _counts_of_seeds([found[one] for one in added], protocol),
            [_of_subjects(apart.get(one, {}), protocol) for one in added],
        )
        for of, added in parts.items()
        for protocol in next(iter(found[added[0]].values()))
    ]
    for row in rows:
        if row["method"] in untrained:
            row["trained_on"] = "nothing"
    # Trained on nothing it is the same on a dataset as on that part of joined ones.
    write_table(pd.DataFrame(rows).drop_duplicates().to_dict("records"), COLUMNS, out)


def load_summary(path: Path) -> pd.DataFrame:
    """The table that `aggregate` writes. Raises InputError."""
    return load_table(path, COLUMNS, blank=[name for name in COLUMNS if name.endswith(BLANK)])


def headline(summary: Path, protocol: str) -> str:
    """The table's rows of one protocol as text, for people; without those of the oracle."""
    table = load_summary(summary)
    table = table[(table["protocol"] == protocol) & (table["selection"] != "oracle")]
    names = ["method", "dataset", "trained_on", "selection"]
    shown = table[[*names, *(f"{kind}_f1" for kind in KINDS)]].copy()
    shown["TP/N/M"] = ["/".join(map(whole, counts)) for counts in _overall(table)]
    title = f"F1 under protocol {protocol}, one subject left out\n"
    return title + shown.to_string(index=False, float_format="%.3f")


def whole(number: float) -> str:
    """A count, or a mean of counts."""
    return f"{number:.1f}".removesuffix(".0")


def _overall(table: pd.DataFrame) -> np.ndarray:
    return table[[f"overall_{name}" for name in Count._fields]].to_numpy()


def _counts(path: Path) -> dict[str, dict[str, Count]]:
    """The counts by protocol and kind of a score file. Raises InputError."""
    with reading(path):
        return {
            protocol: {kind: Count(**dict(kinds[kind])) for kind in KINDS}
            for protocol, kinds in parsed(path.read_bytes(), Scores).items()
        }


def _parts(found: Iterable[Experiment], pool: Sequence[str]) -> dict[Experiment, list[Experiment]]:
    """What each row's counts are added up of: itself, or of a pooled row one of each dataset."""
    parts = {one: [one] for one in found}
    pooled = defaultdict(list)
    for one in found:
        if one.dataset == one.trained_on and one.dataset in pool:
            pooled[Experiment(one.method, POOLED, POOLED, one.selection)].append(one)
    return parts | {of: added for of, added in pooled.items() if len(added) > 1}


def _counts_of_seeds(
    parts: Sequence[Mapping[int, dict[str, dict[str, Count]]]], protocol: str
) -> list[dict[str, Count]]:
    """The counts by kind of each seed, added up over the parts."""
    return [
        {
            kind: sum((part[seed][protocol][kind] for part in parts), Count(0, 0, 0))
            for kind in KINDS
        }
        for seed in sorted(parts[0])
    ]


def _of_subjects(seeds: Mapping[int, pd.DataFrame], protocol: str) -> dict[str, np.ndarray]:
    """Counts (subjects, seeds, 3) by kind; nothing if they are not told."""
    if not seeds:
        return {}
    counts = []
    for seed in sorted(seeds):
        table = seeds[seed][seeds[seed]["protocol"] == protocol]
        counts.append(table.set_index(["subject", "type"])[list(Count._fields)])
    together = pd.concat(counts, axis=1, keys=range(len(counts))).fillna(0)
    found = {
        type_: together.xs(type_, level="type").sort_index().to_numpy().reshape(-1, len(seeds), 3)
        for type_ in TYPES
    }
    return found | {"overall": sum(found.values())}


def _row(
    of: Experiment,
    protocol: str,
    seeds: Sequence[Mapping[str, Count]],
    subjects: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    row = of._asdict() | {"protocol": protocol, "seeds": len(seeds)}
    told = all(len(part.get("overall", ())) > 1 for part in subjects)
    for kind in KINDS:
        counts = [counts[kind] for counts in seeds]
        f1 = [one.f1 for one in counts]
        for name, values in zip(Count._fields, zip(*counts, strict=True), strict=True):
            row[f"{kind}_{name}"] = np.mean(values)
        row[f"{kind}_f1"] = np.mean(f1)
        row[f"{kind}_f1_sd"] = np.std(f1, ddof=1) if len(f1) > 1 else None
        low, high = interval([part[kind] for part in subjects]) if told else (None, None)
        row |= {f"{kind}_f1_low": low, f"{kind}_f1_high": high}
    return row
