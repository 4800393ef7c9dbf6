"""What each repair of the published code is worth: method `mespot` with one of them undone at a time.

    python benchmarks/repairs.py results/paper [--groups 5]

takes the feature stores and annotation that `snakemake --configfile paper.yaml` made. Subjects are
dealt into groups and each group is left out in turn: quicker than one subject at a time, and not to be
compared with the table of docs/paper.md. F1 under `strict`, last epoch, one seed.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from mespot import config, feature_store
from mespot.intervals import load_intervals
from mespot.progress import progress
from mespot.score import score
from mespot.settings import Spot, Train
from mespot.spot import spot
from mespot.train import train

MACRO_WEIGHT = {"cas_me_sq": 0.5, "samm_lv": 0.7}
MESPOT = config.load_file(Path(__file__).parents[1] / "config.yaml")
# What is undone in training, and what in spotting with the models of `mespot` itself.
TRAINED = {
    "mespot": {},
    "normalised by the published constants": {"normalisation": "published"},
    "graph of all subjects, no ROI linked with itself": {"graph": "published"},
    "published labels and targets": {"labels": "published"},
    "the paper's 100 epochs of batch 128": {"epochs": 100, "batch": 128, "decay": 0.96},
}
SPOTTED = {
    "windows of 256 rows, ranges and top 5 as published": None,
    "at most 5 intervals a video": {"top_macro": 5, "top_micro": 5},
    "no least score": {"min_macro": 0.0, "min_micro": 0.0},
}
PUBLISHED = {
    "cas_me_sq": {"macro_reach": (7 / 30, 29 / 30), "macro_seconds": (0.5, 99)},
    "samm_lv": {"macro_reach": (6 / 25, 27 / 25), "macro_seconds": (0.48, 99), "top_macro": 6},
}


def published_spotting(dataset: str) -> dict:
    fps = {"cas_me_sq": 30, "samm_lv": 25}[dataset]
    micro = {"micro_reach": (2 / fps, 7 / fps), "micro_seconds": (5 / fps, 99)}
    rest = {"min_macro": 0.0, "min_micro": 0.0, "top_macro": 5, "top_micro": 5}
    return {"proposals": "published", **rest, **micro, **PUBLISHED[dataset]}


def trained(folder: Path, settings: Train, groups: int, out: Path) -> list[Path]:
    """The models that leave out each group."""
    subjects = sorted(
        {subject for subject, _ in feature_store.lengths(folder / "features.h5").values()}
    )
    form = "_as_given" if settings.labels == "published" else ""
    models = []
    for k in progress(range(groups), "groups", groups):
        outputs = [out / f"{k}{ending}" for ending in (".pt", ".epochs", ".csv")]
        annotation = folder / f"annotation{form}.csv"
        left_out = subjects[k::groups]
        train(folder / "features.h5", annotation, left_out, "auw_gcn", None, *outputs, settings)
        models.append(outputs[0])
    return models


def f1(folder: Path, models: list[Path], settings: Spot, out: Path) -> str:
    """F1 of macro, micro and overall, and TP / N / M."""
    files = (out / "intervals.csv", out / "curves.h5")
    spot(folder / "features.h5", models, "auw_gcn", None, *files, settings)
    counts = score(load_intervals(folder / "annotation.csv"), pd.read_csv(files[0]), "strict")
    total = counts["overall"]
    values = " / ".join(f"{counts[kind].f1:.3f}" for kind in ("macro", "micro", "overall"))
    return f"{values} ({total.tp}/{total.n}/{total.m})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--groups", type=int, default=5)
    given = parser.parse_args()
    training, spotting = (MESPOT.stage(stage, None, "mespot") for stage in ("train", "spot"))
    table: dict[str, dict[str, str]] = {}
    for dataset, weight in MACRO_WEIGHT.items():
        folder = given.results / dataset
        for name, change in TRAINED.items():
            with TemporaryDirectory() as out:
                settings = training.model_copy(update={"macro_weight": weight, **change})
                models = trained(folder, settings, given.groups, Path(out))
                table.setdefault(name, {})[dataset] = f1(folder, models, spotting, Path(out))
                for other, undone in SPOTTED.items() if name == "mespot" else ():
                    own = published_spotting(dataset) if undone is None else undone
                    changed = spotting.model_copy(update=own)
                    table.setdefault(other, {})[dataset] = f1(folder, models, changed, Path(out))
    print("| undone | " + " | ".join(MACRO_WEIGHT) + " |")
    print("|---" * (1 + len(MACRO_WEIGHT)) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
