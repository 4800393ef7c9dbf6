"""select: the best epoch and thresholds of known counts; nobody chooses for themselves but the oracle."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
import pytest
from planted import planted_store, train_in

from mespot.errors import InputError
from mespot.select import COUNTS, THRESHOLDS, best_of_epochs, select, to_choose_by
from mespot.settings import Select, Spot, Train

ROWS = [
    # epoch, subject, type, threshold, TP, N, M
    (10, "a", "macro", 0.1, 4, 10, 6),
    (10, "a", "macro", 0.5, 3, 4, 6),
    (10, "a", "micro", 0.1, 0, 9, 2),
    (10, "a", "micro", 0.5, 0, 1, 2),
    (20, "a", "macro", 0.1, 5, 6, 6),
    (20, "a", "macro", 0.5, 1, 1, 6),
    (20, "a", "micro", 0.1, 2, 5, 2),
    (20, "a", "micro", 0.5, 0, 0, 2),
]


def test_the_best_pair_of_thresholds_of_each_epoch():
    """Taken over both types together: F1 = 2 TP / (N + M) of the sums."""
    best = best_of_epochs(pd.DataFrame(ROWS, columns=COUNTS)).set_index("epoch")
    assert best.loc[10, ["min_macro", "min_micro"]].tolist() == [0.5, 0.5]
    assert best.loc[10, "f1"] == pytest.approx(2 * 3 / (5 + 8))
    assert best.loc[20, ["min_macro", "min_micro"]].tolist() == [0.1, 0.1]
    assert best.loc[20, ["tp", "n", "m"]].tolist() == [7, 11, 8]


def test_of_equals_the_one_that_spots_least_stands():
    rows = [
        (10, "a", type_, t, 0, n, 3)
        for type_ in ("macro", "micro")
        for t, n in ((0.1, 5), (0.5, 2))
    ]
    best = best_of_epochs(pd.DataFrame(rows, columns=COUNTS))
    assert best[["min_macro", "min_micro", "n"]].to_numpy().tolist() == [[0.5, 0.5, 4]]


def test_who_chooses_for_whom():
    """A fold: the trainings without its group and one other, on the other group's subjects."""
    groups = [("a", "b"), ("c", "d"), ("e",)]
    counts = {}
    for pair in combinations(groups, 2):
        names = frozenset(pair[0] + pair[1])
        rows = [(10, name, "macro", 0.1, 1, 1, 1) for name in sorted(names)]
        counts[names] = pd.DataFrame(rows, columns=COUNTS)
    chosen_by = {
        fold: sorted(to_choose_by("inner", fold, counts)["subject"])
        for fold in ("a", "c", "e", "all")
    }
    assert chosen_by["a"] == ["c", "d", "e"]
    assert chosen_by["c"] == ["a", "b", "e"]
    assert chosen_by["e"] == ["a", "b", "c", "d"]
    assert chosen_by["all"] == sorted("abcde" * 2)
    alone = {frozenset([name]): table for name, table in zip("xy", counts.values(), strict=False)}
    assert to_choose_by("oracle", "x", alone) is alone[frozenset("x")]
    assert to_choose_by("inner", "z", counts).empty


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Inner trainings of four subjects in four groups, and the fold of s0."""
    folder = tmp_path_factory.mktemp("select")
    planted_store(folder / "features.h5").to_csv(folder / "annotation.csv", index=False)
    settings = Train(epochs=20, batch=2, keep=5)
    for pair in combinations(["s0", "s1", "s2", "s3"], 2):
        train_in(folder, list(pair), "_".join(pair), settings)
    train_in(folder, ["s0"], "fold", settings)
    return folder


def choose(folder, policy, epochs, annotation="annotation.csv", **settings):
    files = (folder / "features.h5", folder / annotation, folder / annotation)
    paths = [folder / f"{name}.epochs" for name in epochs]
    settings = Select(**{"first_epoch": 5} | settings)
    select(policy, *files, paths, "auw_gcn", folder / "selection.csv", settings, Spot())
    return pd.read_csv(folder / "selection.csv").set_index("fold")


PAIRS = ["s0_s1", "s0_s2", "s0_s3", "s1_s2", "s1_s3", "s2_s3"]


def test_inner_chooses_for_every_fold_without_its_own_labels(trained):
    chosen = choose(trained, "inner", PAIRS)
    assert list(chosen.index) == ["s0", "s1", "s2", "s3", "all"]
    assert set(chosen["epoch"]) <= {5, 10, 15, 20}
    assert set(chosen["min_macro"]) | set(chosen["min_micro"]) <= set(THRESHOLDS)
    # Three others with three expressions each; for all, each subject by three trainings.
    assert chosen["m"].tolist() == [9, 9, 9, 9, 36]
    # The labels of s0 choose nothing for s0, whatever they are; for the others they do.
    table = pd.read_csv(trained / "annotation.csv")
    table.loc[table["subject"] == "s0", ["onset", "apex", "offset"]] = [1, 2, 3]
    table.to_csv(trained / "spoilt.csv", index=False)
    spoilt = choose(trained, "inner", PAIRS, "spoilt.csv")
    assert spoilt.loc["s0"].equals(chosen.loc["s0"])
    assert not spoilt.loc["s1"].equals(chosen.loc["s1"])


def test_the_oracle_chooses_by_the_left_out_subjects_labels(trained):
    names = []
    for subject in ("s1", "s2", "s3"):
        train_in(trained, [subject], f"fold_{subject}", Train(epochs=5, batch=2, keep=5))
        names.append(f"fold_{subject}")
    chosen = choose(trained, "oracle", ["fold", *names])
    assert chosen.loc["s0", "m"] == 3
    assert chosen.loc["s0", "min_macro"] == Spot().min_macro
    table = pd.read_csv(trained / "annotation.csv")
    table = table[table["subject"] != "s0"]
    table.to_csv(trained / "without.csv", index=False)
    assert choose(trained, "oracle", ["fold", *names], "without.csv").loc["s0", "m"] == 0


def test_epochs_before_the_first_are_no_choice(trained):
    chosen = choose(trained, "inner", PAIRS, first_epoch=15)
    assert set(chosen["epoch"]) <= {15, 20}


def test_a_fold_with_nothing_to_choose_by_is_named(trained):
    with pytest.raises(InputError, match="no training that left out s3 is among them"):
        choose(trained, "inner", ["s0_s1", "s0_s2", "s1_s2"])
    with pytest.raises(InputError, match="no training that left out s1 is among them"):
        choose(trained, "oracle", ["fold"])
