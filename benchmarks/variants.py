"""Alternatives to the two-stage method's parts, and the method without each: the tables of docs/method.md.

    python benchmarks/variants.py RESULTS [--seeds 3] [--jobs 2] [--only NAME ...]

RESULTS is what `snakemake --configfile paper.yaml` made (`both/features.h5` and `both/annotation.csv` are read); networks
are kept in RESULTS/variants, so a second call goes on. Six groups of subjects are left out in turn, the same for all
variants and seeds. The second stage and what its probabilities are worth are learnt from the other five groups, each as
its own networks see it, which have seen the sixth: a little kinder than the method's own nested folds, to all
variants alike. F1 is `strict`, over all subjects and over the halves; counts of all seeds are added up, intervals are of
4000 resamples of the subjects. Beside it average precision (mean of both datasets) and ROC-AUC of each row's 'inside'.
"""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from method_table import HALVES, IOUS, PARTS, Table, average_precision, hits
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from mespot import train_multiscale
from mespot.evaluate import Found, candidates_of, enough, matched, worth
from mespot.feature_store import Feature, load
from mespot.intervals import TYPES, load_intervals
from mespot.networks import multiscale_training
from mespot.networks.inputs import to_rows
from mespot.networks.multiscale_trained import Model, curves, load_model
from mespot.score import by_subject
from mespot.settings import Multiscale
from mespot.spotting import candidates, evaluation, two_stage
from mespot.spotting.candidates import RIVALS, TOLD, agreed, best, curve_of, look
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

    training: dict[str, object] | None = None  # None: the method's own networks
    score: Score = both
    hidden: tuple[str, ...] = ()  # numbers of TOLD, by their beginnings, that do not tell
    origin: str | None = None  # displacement's candidates alone, or the curves'
    overlap: float = OVERLAP
    agreed: bool = True  # whether the candidates around one have a say in its ends
    together: bool = False  # whether the marks of both types are one sum in training


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
    "told without its rivals": Variant(hidden=RIVALS),
    "candidates of displacement alone": Variant(origin="displacement"),
    "candidates of curves alone": Variant(origin="curves"),
    "ends of the most probable": Variant(agreed=False),
    "both types' marks in one sum": Variant({}, together=True),
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


def networks(results: Path, name: str, seed: int) -> list[Path]:
    """Those that left out each group; variants that train nothing look at the method's own."""
    base = name if VARIANTS[name].training is not None else "two_stage"
    where = results / "variants" / base.replace(" ", "_").replace("'", "") / f"seed_{seed}"
    return [where / f"{number}.pt" for number in range(GROUPS)]


def train(results: Path, name: str, seeds: Sequence[int], pool: Executor) -> None:
    """All that is not there yet."""
    variant, ends = VARIANTS[name], []
    for seed in seeds:
        settings = Multiscale(**(variant.training or {}), seed=seed)
        for out, left_out in zip(networks(results, name, seed), groups(), strict=True):
            if not out.exists():
                out.parent.mkdir(parents=True, exist_ok=True)
                work = (results / "both", out, left_out, settings, variant.together)
                ends.append(pool.submit(_train, *work))
    for end in ends:
        end.result()


def _train(
    both: Path, out: Path, left_out: Sequence[str], settings: Multiscale, together: bool
) -> None:
    marks = multiscale_training.PEAKS
    files = both / "features.h5", both / "annotation.csv"
    with (
        patch.object(multiscale_training, "PEAKS", [[*chain(*marks)]] if together else marks),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        train_multiscale.train(*files, left_out, out, out.with_suffix(".csv"), settings)


@contextlib.contextmanager
def candidates_from(origin: str | None) -> Iterator[None]:
    """Displacement's candidates alone, the curves' alone, or both."""
    none = np.zeros((0, 3))

    def looked(*video: object) -> candidates.Seen:
        seen = look(*video)
        return seen._replace(peaks=none) if origin == "curves" else seen

    with contextlib.ExitStack() as patches:
        patches.enter_context(patch.object(two_stage, "look", looked))
        if origin == "displacement":
            patches.enter_context(patch.object(candidates, "between", lambda *_: none))
        yield


def told_by(found: Found, variant: Variant) -> Found:
    """The candidates, and what tells of them in a variant."""
    hidden = [
        name.startswith(variant.hidden)
        or ("around" in variant.hidden and name.endswith(("before", "after")))
        for name in TOLD
    ]
    return found._replace(told=np.where(hidden, 0, found.told)) if any(hidden) else found


def spotted(
    found: dict[str, dict[str, Found]],
    subject_of: dict[str, str],
    variant: Variant,
    fitted: dict[tuple, Evaluation],
) -> pd.DataFrame:
    """All intervals and whether they stand, each by what was learnt from the other groups and is kept in `fitted`."""
    group_of = {subject: number for number, names in enumerate(groups()) for subject in names}
    rows = []
    for type_ in TYPES:
        videos = {name: told_by(of[type_], variant) for name, of in found.items()}
        group = {name: group_of[subject_of[name]] for name in videos}
        kept = {}
        for number in range(GROUPS):
            key = variant.hidden, type_, number
            if key not in fitted:
                others = [one for name, one in videos.items() if group[name] != number]
                fitted[key] = evaluation.fit(
                    np.concatenate([one.told for one in others]),
                    np.concatenate([one.overlap for one in others]),
                )
            learnt = fitted[key]
            for name, one in videos.items():
                if group[name] == number:
                    score = variant.score(learnt, one.told)
                    at = best(one.frames, score, variant.overlap)
                    ends = agreed(one.frames, score, at) if variant.agreed else one.frames[at]
                    kept[name] = (ends, score[at], matched(ends, one.annotated))
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
                    sure = said.calibrated(score)
                    for span, one in zip(frames, sure, strict=True):
                        rows.append((subject_of[name], name, type_, *span, one, one >= least))
    columns = ["subject", "video", "type", "onset", "offset", "score", "stands"]
    return pd.DataFrame(rows, columns=columns)


def counts(
    results: Path, names: Sequence[str], seed: int
) -> dict[str, tuple[pd.DataFrame, pd.Series]]:
    """tp, n, m of each subject and type, and other measures, of variants that look at the same candidates."""
    stored = load(results / "both" / "features.h5")
    annotated = load_intervals(results / "both" / "annotation.csv", ("subject",))
    truth = {
        key: rows[["onset", "offset"]].to_numpy(float)
        for key, rows in annotated.groupby(["video", "type"])
    }
    found, inside = {}, []
    with candidates_from(VARIANTS[names[0]].origin):
        for model in map(load_model, networks(results, names[0], seed)):
            for feature in stored:
                if feature.subject in model.facts.left_out:
                    found[feature.video] = candidates_of(feature, [model], truth)
                    inside.append(inside_of(feature, model, truth))
    subject_of = {feature.video: feature.subject for feature in stored}
    fitted, of_rows = {}, per_row(inside)
    told = {}
    for name in names:
        every = spotted(found, subject_of, VARIANTS[name], fitted)
        stands = every[every["stands"]].drop(columns=["score", "stands"])
        others = pd.concat([precision(annotated, every), of_rows])
        told[name] = by_subject(annotated, stands, "strict"), others
    return told


def inside_of(
    feature: Feature, model: Model, truth: dict[tuple[str, str], np.ndarray]
) -> np.ndarray:
    """Of each type what 'inside' says of each row, and whether it is in an annotated one: (4, T)."""
    seen = curves([model], feature)
    rows = []
    for type_ in TYPES:
        flags = np.zeros(seen.shape[1])
        spans = to_rows(truth.get((feature.video, type_), np.zeros((0, 2))), feature.fps)
        for first, last in np.rint(spans).astype(int):
            flags[first : last + 1] = 1
        rows += [curve_of(seen, type_, "inside"), flags]
    return np.stack(rows)


def per_row(inside: Sequence[np.ndarray]) -> pd.Series:
    """ROC-AUC of 'inside' over all rows."""
    rows = np.concatenate(inside, 1)
    return pd.Series(
        {
            f"AUC {type_}": roc_auc_score(rows[2 * k + 1], rows[2 * k])
            for k, type_ in enumerate(TYPES)
        }
    )


def precision(annotated: pd.DataFrame, found: pd.DataFrame) -> pd.Series:
    """Average precision of each type at IoU .5 and over .3 to .7, the mean of both datasets."""
    halves = pd.read_csv(HALVES, dtype=str)
    told = {}
    for type_ in TYPES:
        of_parts = []
        for part in PARTS:
            those = set(halves.loc[halves["dataset"] == part, "subject"])
            truth, own = (
                table[table["subject"].isin(those) & (table["type"] == type_)]
                for table in (annotated, found)
            )
            of_parts.append([average_precision(hits(truth, own, iou), len(truth)) for iou in IOUS])
        mean = np.mean(of_parts, 0)
        told |= {f"AP {type_}": mean[IOUS.index(0.5)], f"AP .3-.7 {type_}": mean.mean()}
    return pd.Series(told)


def main(arguments: argparse.Namespace) -> None:
    results, seeds = arguments.results, range(1, arguments.seeds + 1)
    halves = pd.read_csv(HALVES, dtype=str)
    chosen = {"two_stage", *(arguments.only or VARIANTS)}
    summed: dict[str, pd.DataFrame] = {}
    os.environ["OMP_NUM_THREADS"] = "1"  # of each process, or they wait for one another's threads
    pool = ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn"))
    same: dict[object, list[str]] = {}
    for name in VARIANTS:
        if name in chosen:
            looks_at = (*networks(results, name, 1), VARIANTS[name].origin)
            same.setdefault(looks_at, []).append(name)
    for names in same.values():
        train(results, names[0], seeds, pool)
        of_seeds = list(pool.map(partial(counts, results, names), seeds))
        for name in names:
            tables = pd.concat([of_seed[name][0] for of_seed in of_seeds])
            summed[name] = tables.groupby(["subject", "type"], as_index=False).sum()
            others = pd.concat([of_seed[name][1] for of_seed in of_seeds], axis=1).mean(axis=1)
            print_row(name, Table(halves, summed), others)


def print_row(name: str, table: Table, others: pd.Series) -> None:
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
    measures = ", ".join(f"{key} {value:.3f}" for key, value in others.items())
    print(f"| {name} | {' | '.join(cells)} | {apart} | {measures} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    main(parser.parse_args())
