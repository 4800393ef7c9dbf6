"""Alternatives to the two-stage method's parts, and the method without each: the tables of docs/method.md.

    python benchmarks/variants.py RESULTS [--seeds 3] [--jobs 2] [--only NAME ...]

RESULTS is what `snakemake --configfile paper.yaml` made (`both/features.h5` and `both/annotation.csv` are read); networks
are kept in RESULTS/variants, so a second call goes on. Six groups of subjects are left out in turn, the same for all
variants and seeds. The second stage and what its probabilities are worth are learnt from the other five groups, each as
its own networks see it, which have seen the sixth: a little kinder than the method's own nested folds, to all
variants alike. F1 is `strict`, over all subjects and over the halves; counts of all seeds are added up, intervals are of
4000 resamples of the subjects.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from method_table import HALVES, PARTS, Table
from scipy.special import expit

from mespot.evaluate import Found, candidates_of, enough, matched, worth
from mespot.feature_store import Feature, load
from mespot.intervals import TYPES, load_intervals
from mespot.networks.multiscale_trained import load_model
from mespot.score import by_subject
from mespot.settings import Multiscale
from mespot.spotting import evaluation
from mespot.spotting.candidates import TOLD, best
from mespot.spotting.evaluation import Evaluation

GROUPS, OVERLAP = 6, 0.2
Score = Callable[[Evaluation, np.ndarray], np.ndarray]


def both(learnt: Evaluation, told: np.ndarray) -> np.ndarray:
    return learnt.probability(told)


def logistic(learnt: Evaluation, told: np.ndarray) -> np.ndarray:
    return expit((told - learnt.mean) / learnt.std @ learnt.weights + learnt.bias)


def trees(learnt: Evaluation, told: np.ndarray) -> np.ndarray:
    return expit(learnt._boosted(told))


def first_look(learnt: Evaluation, told: np.ndarray) -> np.ndarray:
    return told[:, TOLD.index("first look")]


class Variant(NamedTuple):
    """What differs from the method: in training, in the score, in what tells and in the candidates."""

    training: dict[str, object] | None = None
    score: Score = both
    hidden: tuple[str, ...] = ()  # numbers of TOLD, by their beginnings, that do not tell
    origin: str | None = None  # displacement's candidates alone, or the curves'
    overlap: float = OVERLAP


VARIANTS = {
    "two_stage": Variant(),
    # What the literature names.
    "GRU": Variant({"temporal": "gru"}),
    "self-attention": Variant({"temporal": "attention"}),
    "pyramid of max-pooling": Variant({"temporal": "pyramid"}),
    "graph: AU co-occurrence": Variant({"graph": "co_occurrence"}),
    "graph: conditional probability": Variant({"graph": "conditional"}),
    "graph: distance on the face": Variant({"graph": "distance"}),
    "graph: learned": Variant({"graph": "learned"}),
    "auxiliary AU head": Variant({"au_weight": 1.0}),
    "temporal consistency": Variant({"consistency_weight": 0.15}),
    "other speeds": Variant({"speeds": [1.0, 0.8, 1.25]}),
    "stretched": Variant({"speeds": [1.0, 0.5]}),
    "twice the steps": Variant({"steps": 900}),
    "64 channels": Variant({"channels": 64}),
    # The method without one of its parts.
    "no mirror": Variant({"mirror": 0.0}),
    "no louder or quieter": Variant({"amplitude": 0.0}),
    "no distances": Variant({"distance_weight": 0.0}),
    "no dropout": Variant({"dropout": 0.0}),
    "no second stage": Variant(score=first_look),
    "logistic regression alone": Variant(score=logistic),
    "trees alone": Variant(score=trees),
    "told by curves alone": Variant(
        hidden=("extent", "way left", "speed", "straightness", "prominence")
    ),
    "told without what is around": Variant(hidden=("around",)),
    "candidates of displacement alone": Variant(origin="displacement"),
    "candidates of curves alone": Variant(origin="curves"),
    "suppression at .1": Variant(overlap=0.1),
    "suppression at .3": Variant(overlap=0.3),
}


def groups() -> list[list[str]]:
    """Dealt within each dataset and half, so that each group has of all."""
    halves = pd.read_csv(HALVES, dtype=str)
    dealt: list[list[str]] = [[] for _ in range(GROUPS)]
    for number, (_, part) in enumerate(halves.groupby(["dataset", "half"])):
        for k, subject in enumerate(part["subject"]):
            dealt[(k + 3 * number) % GROUPS].append(subject)
    return dealt


def trained(results: Path, name: str, variant: Variant, seed: int, jobs: int) -> list[Path]:
    """The networks that left out each group."""
    settings = Multiscale(**(variant.training or {}), seed=seed)
    work = []
    for number, left_out in enumerate(groups()):
        out = results / "variants" / name.replace(" ", "_") / f"seed_{seed}" / f"{number}.pt"
        flags = [word for subject in left_out for word in ("--left-out", subject)]
        files = [
            "--features",
            results / "both/features.h5",
            "--annotation",
            results / "both/annotation.csv",
        ]
        files += ["--out", out, "--history", out.with_suffix(".csv")]
        mespot = Path(sys.executable).with_name("mespot")
        command = [
            mespot,
            "train-multiscale",
            *files,
            *flags,
            "--settings",
            settings.model_dump_json(),
        ]
        work.append((out, command))
    with ThreadPoolExecutor(jobs) as pool:
        ends = [pool.submit(_run, *each) for each in work]
        return [end.result() for end in ends]


def _run(out: Path, command: Sequence[str | Path]) -> Path:
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
    return out


def told_by(found: Found, variant: Variant) -> Found:
    """The candidates that a variant has, and what tells of them there."""
    prominence = found.told[:, TOLD.index("prominence")]
    kept = np.ones(len(prominence), bool)
    if variant.origin:
        kept = (prominence > 0) == (variant.origin == "displacement")
    hidden = [
        name.startswith(variant.hidden)
        or ("around" in variant.hidden and name.endswith(("before", "after")))
        for name in TOLD
    ]
    told = np.where(hidden, 0, found.told[kept]) if any(hidden) else found.told[kept]
    return Found(found.frames[kept], told, found.overlap[kept], found.annotated)


def spotted(
    found: dict[str, dict[str, Found]], subject_of: dict[str, str], variant: Variant
) -> pd.DataFrame:
    """The intervals of all videos, each by what was learnt from the other groups."""
    group_of = {subject: number for number, names in enumerate(groups()) for subject in names}
    rows = []
    for type_ in TYPES:
        videos = {name: told_by(of[type_], variant) for name, of in found.items()}
        group = {name: group_of[subject_of[name]] for name in videos}
        kept = {}
        for number in range(GROUPS):
            others = [one for name, one in videos.items() if group[name] != number]
            learnt = evaluation.fit(
                np.concatenate([one.told for one in others]),
                np.concatenate([one.overlap for one in others]),
            )
            for name, one in videos.items():
                if group[name] == number:
                    score = variant.score(learnt, one.told)
                    at = best(one.frames, score, variant.overlap)
                    kept[name] = (one.frames[at], score[at], matched(one.frames[at], one.annotated))
        for number in range(GROUPS):
            others = [name for name in videos if group[name] != number]
            scores = np.concatenate([kept[name][1] for name in others])
            scale = worth(scores, np.concatenate([kept[name][2] for name in others]))
            said = learnt._replace(scale=scale)
            least = enough(
                said.calibrated(scores), sum(len(videos[name].annotated) for name in others)
            )
            for name in videos:
                if group[name] == number:
                    frames, score, _ = kept[name]
                    for span in frames[said.calibrated(score) >= least]:
                        rows.append((subject_of[name], name, type_, *span))
    return pd.DataFrame(rows, columns=["subject", "video", "type", "onset", "offset"])


def counts(
    results: Path,
    name: str,
    variant: Variant,
    seed: int,
    jobs: int,
    stored: Sequence[Feature],
    annotated: pd.DataFrame,
) -> pd.DataFrame:
    """tp, n, m of each subject and type."""
    truth = {
        key: rows[["onset", "offset"]].to_numpy(float)
        for key, rows in annotated.groupby(["video", "type"])
    }
    base = name if variant.training else "two_stage"
    models = [load_model(path) for path in trained(results, base, variant, seed, jobs)]
    found = {}
    for model in models:
        for feature in stored:
            if feature.subject in model.facts.left_out:
                found[feature.video] = candidates_of(feature, [model], truth)
    subject_of = {feature.video: feature.subject for feature in stored}
    return by_subject(annotated, spotted(found, subject_of, variant), "strict")


def main(arguments: argparse.Namespace) -> None:
    results = arguments.results
    stored = load(results / "both" / "features.h5")
    annotated = load_intervals(results / "both" / "annotation.csv", ("subject",))
    halves = pd.read_csv(HALVES, dtype=str)
    chosen = {"two_stage", *(arguments.only or VARIANTS)}
    summed: dict[str, pd.DataFrame] = {}
    for name, variant in VARIANTS.items():
        if name not in chosen:
            continue
        of_seeds = [
            counts(results, name, variant, seed, arguments.jobs, stored, annotated)
            for seed in range(1, arguments.seeds + 1)
        ]
        summed[name] = pd.concat(of_seeds).groupby(["subject", "type"], as_index=False).sum()
        table = Table(halves, summed)
        cells = [
            table.cell(name, *where)
            for where in (
                ("macro", PARTS, None),
                ("micro", PARTS, None),
                ("overall", PARTS[:1], None),
                ("overall", PARTS[1:], None),
                ("overall", PARTS, None),
                ("overall", PARTS, "chosen_on"),
            )
        ]
        apart = "" if name == "two_stage" else table.paired(name, "two_stage")
        print(f"| {name} | {' | '.join(cells)} | {apart} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    main(parser.parse_args())
