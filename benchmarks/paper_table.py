"""The tables of docs/paper.md and docs/protocols.md, from the results of paper.yaml.

python benchmarks/paper_table.py results/paper
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from mespot import feature_store
from mespot.annotation import annotation
from mespot.intervals import load_intervals
from mespot.papers.table import PAPER
from mespot.score import PROTOCOLS, score
from mespot.settings import Annotation

KINDS = ("macro", "micro", "overall")
RULES = ("mirror", "apex", "apex_plus_20", "drop")
SOURCES = {"cas_me_sq": "cas_me_sq_30fps.csv", "samm_lv": "samm_lv_25fps.csv"}


def cell(row: pd.Series, kind: str) -> str:
    """F1, its spread over seeds, and TP / N / M."""
    spread = "" if pd.isna(row[f"{kind}_f1_sd"]) else f" ± {row[f'{kind}_f1_sd']:.3f}"
    counts = "/".join(
        f"{row[f'{kind}_{name}']:.1f}".removesuffix(".0") for name in ("tp", "n", "m")
    )
    return f"{row[f'{kind}_f1']:.3f}{spread} ({counts})"


def table_of(summary: pd.DataFrame, dataset: str) -> None:
    print(f"\n### {dataset}\n")
    print("| method | selection | protocol | seeds | macro | micro | overall |")
    print("|---|---|---|---|---|---|---|")
    numbers = ("-" if value is None else f"{value:.4f}" for value in PAPER[dataset])
    print(f"| the paper | oracle | auw_gcn | 1 | {' | '.join(numbers)} |")
    rows = summary[
        (summary["dataset"] == dataset) & summary["trained_on"].isin([dataset, "nothing"])
    ]
    for _, row in rows.iterrows():
        cells = " | ".join(cell(row, kind) for kind in KINDS)
        print(
            f"| {row['method']} | {row['selection']} | {row['protocol']} | {row['seeds']} | {cells} |"
        )


def crossed(summary: pd.DataFrame) -> None:
    rows = summary[summary["trained_on"] != "nothing"]
    rows = rows[(rows["trained_on"] != rows["dataset"]) | (rows["dataset"] == "both")]
    rows = rows[rows["protocol"] == "strict"]
    print("\n| method | trained on | tested on | selection | macro | micro | overall |")
    print("|---|---|---|---|---|---|---|")
    for _, row in rows.iterrows():
        cells = " | ".join(cell(row, kind) for kind in KINDS)
        where = f"{row['trained_on']} | {row['dataset']} | {row['selection']}"
        print(f"| {row['method']} | {where} | {cells} |")


def same_predictions(results: Path, annotations: Path) -> None:
    """One set of predictions (mespot, last epoch) under each protocol and rule for offset 0."""
    print("\n| dataset | offset 0 | " + " | ".join(PROTOCOLS) + " |\n|---|---" + "|---" * 4 + "|")
    for dataset, name in SOURCES.items():
        spotted = load_intervals(results / dataset / "mespot" / "intervals.csv")
        known = feature_store.lengths(results / dataset / "features.h5")
        for rule in RULES if dataset == "cas_me_sq" else RULES[:1]:
            with TemporaryDirectory() as folder:
                files = [Path(folder) / part for part in ("a.csv", "given.csv", "audit.csv")]
                settings = Annotation(offset_zero=rule)
                annotation(annotations / name, known, [], 1, *files, settings)
                repaired, given = (load_intervals(path) for path in files[:2])
            cells = []
            for protocol, rules in PROTOCOLS.items():
                counts = score(given if rules.as_given else repaired, spotted, protocol)["overall"]
                cells.append(f"{counts.f1:.3f} ({counts.tp}/{counts.n}/{counts.m})")
            print(f"| {dataset} | {rule} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--annotations", type=Path, default=Path("../shared/data/annotations"))
    given = parser.parse_args()
    summary = pd.read_csv(given.results / "summary.csv")
    for dataset in PAPER:
        table_of(summary, dataset)
    crossed(summary)
    same_predictions(given.results, given.annotations)


if __name__ == "__main__":
    main()
