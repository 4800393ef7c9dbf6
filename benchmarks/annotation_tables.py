"""The tables of docs/datasets.md on the benchmarks' real annotations: decisions and disagreements.

    python benchmarks/annotation_tables.py ../shared/data --write docs/datasets.md

The folder holds `annotations/` and `auw_gcn_features.tar.xz` (for the videos' lengths). Without --write
the tables are printed.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from mespot import annotation, feature_store, features, intervals
from mespot.datasets import annotation_files
from mespot.settings import Annotation, Features

BEGIN, END = "<!-- made by benchmarks/annotation_tables.py -->", "<!-- end of what it made -->"


class Benchmark(NamedTuple):
    name: str
    archive: str  # folder of its segments in the features' archive
    frames_per_row: float
    spreadsheet: str
    csv: str


BENCHMARKS = (
    Benchmark("CAS(ME)^2", "cas(me)^2", 1, "CASME_sq_code_final.xlsx", "cas_me_sq_30fps.csv"),
    Benchmark("SAMM-LV", "samm_25", 8, "SAMM_LongVideos.xlsx", "samm_lv_25fps.csv"),
)


def main(data: Path, write: Annotated[Path | None, typer.Option()] = None) -> None:
    text = tables(data)
    if write:
        before, _, rest = write.read_text().partition(BEGIN)
        write.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")
    else:
        print(text, end="")


def tables(data: Path) -> str:
    """All tables as Markdown."""
    made, differing = {}, []
    for benchmark in BENCHMARKS:
        lengths = video_lengths(data / "auw_gcn_features.tar.xz", benchmark.archive)
        sources = [
            annotation_files.read(data / "annotations" / name, benchmark.frames_per_row)
            for name in (benchmark.spreadsheet, benchmark.csv)
        ]
        for source in sources:
            made[source.path.name] = (
                source,
                annotation.normalise(source, lengths, (), Annotation()),
            )
        differing += annotation.disagreements(*sources)
    return (
        f"{heading(['file', 'rows', 'kept', 'left out', *intervals.TYPES])}{accounts(made)}\n"
        f"{heading(['rule', *made])}{decisions(made)}\n"
        f"{heading(['rule', 'field', 'CAS(ME)^2', 'SAMM-LV'])}{counts(differing)}\n"
        f"{heading(['row', 'video', 'field', 'spreadsheet', 'CSV'])}{listed(differing)}"
    )


def video_lengths(archive: Path, folder: str) -> dict[str, tuple[str, int]]:
    """Subject and number of frames of each published video."""
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(archive, "r|xz") as file:
        for member in file:
            if folder in Path(member.name).parts:
                file.extract(member, temporary)
        store = Path(temporary) / "features.h5"
        features.import_published(Path(temporary), 1, store, Features())
        return feature_store.lengths(store)


def accounts(made: dict) -> str:
    """Every row accounted for: kept or left out, and of which type the kept ones are."""
    lines = ""
    for name, (source, normal) in made.items():
        left_out = [d for d in normal.decisions if d["now"] == annotation.LEFT_OUT]
        assert len(normal.kept) + len(left_out) == len(source.rows), name
        types = Counter(row["type"] for row in normal.kept)
        kept = [len(source.rows), len(normal.kept), len(left_out)]
        lines += line([f"`{name}`", *kept, *(types[type_] for type_ in intervals.TYPES)])
    return lines


def decisions(made: dict) -> str:
    """How often each rule was applied to each file."""
    counted = [Counter(d["rule"] for d in normal.decisions) for _, normal in made.values()]
    rules = [rule for rule in annotation.RULES if any(count[rule] for count in counted)]
    return "".join(line([f"`{rule}`", *(count[rule] for count in counted)]) for rule in rules)


def counts(differing: list[dict]) -> str:
    """How many fields differ between spreadsheet and CSV."""
    counted: dict[tuple[str, str], Counter] = {}
    for d in differing:
        of = d["was"] if d["rule"] == "numbering" else ""
        times = int(str(of).split()[0]) if of else 1
        sheet = "CAS(ME)^2" if "cas_me_sq" in d["why"] else "SAMM-LV"
        counted.setdefault((d["rule"], d["field"]), Counter())[sheet] += times
    return "".join(
        line([f"`{rule}`", field, count["CAS(ME)^2"], count["SAMM-LV"]])
        for (rule, field), count in sorted(counted.items())
    )


def listed(differing: list[dict]) -> str:
    """Row by row."""
    return "".join(
        line([d["source_row"], d["video"], d["field"], f"`{d['now']}`", f"`{d['was']}`"])
        for d in differing
        if d["rule"] != "numbering"
    )


def heading(columns: list[str]) -> str:
    return line(columns) + line(["---"] * len(columns))


def line(cells: list) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    typer.run(main)
