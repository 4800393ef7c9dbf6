"""fold: whom a model is trained on, and that it comes out the same each time."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from mespot import gpus
from mespot.errors import InputError
from mespot.feature_store import Feature, load
from mespot.intervals import NEEDED, load_intervals


def to_train_on(
    features: Path, annotation: Path, left_out: Sequence[str]
) -> tuple[list[Feature], pd.DataFrame, pd.DataFrame]:
    """The videos of all subjects but those `left_out`, the annotation, and what of it is of them.

    Raises InputError.
    """
    stored = load(features)
    chosen = [feature for feature in stored if feature.subject not in left_out]
    table = load_intervals(annotation, (*NEEDED, "apex", "au"))
    annotated = table[table["video"].isin({feature.video for feature in chosen})]
    if not chosen or annotated.empty:
        but = f" but of {', '.join(left_out)}, whom this training leaves out" if left_out else ""
        raise InputError(
            f"{annotation}: no expression of a subject in {features}{but}: nothing is left to train on; annotate "
            "more subjects, or run the method on other datasets (methods.NAME.datasets)"
        )
    for feature in chosen:
        if feature.regions != chosen[0].regions:
            raise InputError(
                f"{features}: {feature.video} has other regions than {chosen[0].video}; prepare both "
                "with the same roi.set"
            )
    if unknown := set(left_out) - {feature.subject for feature in stored}:
        print(f"warning: {features}: no video of {', '.join(sorted(unknown))}", file=sys.stderr)
    return chosen, table, annotated


def compute_alike(seed: int) -> None:
    """Whatever is computed from here on is the same on every run of this machine."""
    gpus.take_one()
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what the next line needs on a GPU
    # Its other name, use_deterministic_algorithms, imports the whole compiler: 4.5 s in each job.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.allow_tf32 = False  # float32 is meant, on a GPU too
    torch.set_num_threads(1)  # sums in another order give other bytes; folds share the cores
