"""aggregate: one table of all scores, over seeds, with the rows pooled over datasets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from mespot.errors import InputError, damaged, reading
from mespot.intervals import LARGEST, TYPES, load_table, write_table
from mespot.resampling import interval
from mespot.score import SUBJECT_COLUMNS, Count
from mespot.settings import Protocol
from mespot.store import parsed

POOLED = "pooled"
SELECTIONS = ("last", "inner", "oracle")
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


class Experiment(NamedTuple):
    """What a score is of, but for the seed."""

    method: str
    dataset: str
    trained_on: str
    selection: str


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
        experiment, seed = _experiment(path, results)
        found[experiment][seed] = counts = _counts(path)
        protocols = protocols or counts.keys()
        if counts.keys() != protocols:
            raise damaged(path, f"it is not of the protocols {', '.join(protocols)}, as others are")
    for path in subjects:
        experiment, seed = _experiment(path, results)
        apart[experiment][seed] = load_table(path, SUBJECT_COLUMNS)
    parts = _parts(found, pool)
    rows = [
        _row(
            experiment,
            protocol,
            _counts_of_seeds([found[part] for part in of], protocol),
            [_of_subjects(apart.get(part, {}), protocol) for part in of],
        )
        for experiment, of in parts.items()
        for protocol in next(iter(found[of[0]].values()))
    ]
    for row in rows:
        if row["method"] in untrained:
            row["trained_on"] = "nothing"
    write_table(rows, COLUMNS, out)


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


def _experiment(path: Path, results: Path) -> tuple[Experiment, int]:
    """What a score file is of, told by its path (see `plan`):

    DATASET/METHOD[/seed_K][/cross/SOURCE | /part/PART][/SELECTION]/score.json
    """
    expected = InputError(f"{path}: {results}/DATASET/METHOD/.../score.json was expected")
    parts = path.relative_to(results).parts[:-1] if path.is_relative_to(results) else ()
    if len(parts) < 2:
        raise expected
    dataset, method, *rest = parts
    seed = 1
    if rest and (number := re.fullmatch(r"seed_(\d{1,9})", rest[0])):
        seed, rest = int(number[1]), rest[1:]
    trained_on = dataset
    if len(rest) > 1 and rest[0] == "cross":
        trained_on, rest = rest[1], rest[2:]
    elif len(rest) > 1 and rest[0] == "part":
        dataset, rest = rest[1], rest[2:]
    selection = rest[0] if rest else "last"
    if len(rest) > 1 or selection not in SELECTIONS:
        raise expected
    return Experiment(method, dataset, trained_on, selection), seed


def _counts(path: Path) -> dict[str, dict[str, Count]]:
    """The counts by protocol and kind of a score file. Raises InputError."""
    with reading(path):
        return {
            protocol: {kind: Count(**dict(kinds[kind])) for kind in KINDS}
            for protocol, kinds in parsed(path.read_bytes(), Scores).items()
        }


def _parts(found: Iterable[Experiment], pool: Sequence[str]) -> dict[Experiment, list[Experiment]]:
    """What each row's counts are added up of: itself, or of a pooled row one of each dataset."""
    parts = {experiment: [experiment] for experiment in found}
    pooled = defaultdict(list)
    for one in found:
        if one.dataset == one.trained_on and one.dataset in pool:
            pooled[Experiment(one.method, POOLED, POOLED, one.selection)].append(one)
    return parts | {experiment: of for experiment, of in pooled.items() if len(of) > 1}


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
    experiment: Experiment,
    protocol: str,
    seeds: Sequence[Mapping[str, Count]],
    subjects: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    row = experiment._asdict() | {"protocol": protocol, "seeds": len(seeds)}
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
