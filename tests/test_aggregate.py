"""aggregate: counts are added before the F1, not F1s averaged; the paths tell what a row is."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mespot.aggregate import aggregate, headline
from mespot.errors import InputError
from mespot.resampling import interval


def save(results, place, macro, micro):
    def kinds(*counts):
        return dict(zip(("tp", "n", "m"), counts, strict=True)) | {"f1": -1}

    overall = kinds(*(a + b for a, b in zip(macro, micro, strict=True)))
    path = results / place / "score.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"strict": {"macro": kinds(*macro), "micro": kinds(*micro), "overall": overall}})
    )
    return path


@pytest.fixture
def summary(tmp_path):
    scores = [
        save(tmp_path, "a/net", (1, 2, 2), (0, 1, 1)),
        save(tmp_path, "b/net", (3, 10, 4), (1, 1, 1)),
        save(tmp_path, "b/net/cross/a", (0, 1, 4), (0, 0, 1)),
    ]
    aggregate(scores, tmp_path, ["a", "b"], [], tmp_path / "summary.csv")
    return tmp_path / "summary.csv"


def test_rows_and_pooling(summary):
    table = pd.read_csv(summary).set_index(["dataset", "trained_on"])
    assert len(table) == 4
    pooled = table.loc["pooled", "pooled"]
    assert (pooled["macro_tp"], pooled["macro_n"], pooled["macro_m"]) == (4, 12, 6)
    assert pooled["macro_f1"] == pytest.approx(2 * 4 / 18)
    assert pooled["overall_f1"] == pytest.approx(2 * 5 / (14 + 8))
    assert table.loc["b", "a"]["overall_f1"] == 0
    assert (table["selection"] == "last").all()


def test_a_method_that_trains_nothing_is_trained_on_nothing(tmp_path):
    scores = [save(tmp_path, f"{name}/rule", (1, 2, 2), (0, 1, 1)) for name in ("a", "b")]
    scores.append(save(tmp_path, "a/net", (1, 2, 2), (0, 1, 1)))
    scores.append(save(tmp_path, "both/rule/part/a", (1, 2, 2), (0, 1, 1)))  # the same again
    aggregate(scores, tmp_path, ["a", "b"], ["rule"], tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv").set_index(["method", "dataset"])
    assert len(table) == 4
    assert set(table.loc["rule"]["trained_on"]) == {"nothing"}
    assert table.loc["rule", "pooled"]["macro_tp"] == 2
    assert table.loc["net", "a"]["trained_on"] == "a"


def test_seeds_give_mean_and_spread_and_ways_of_choosing_stand_apart(tmp_path):
    scores = [
        save(tmp_path, "a/net", (1, 2, 2), (0, 0, 0)),
        save(tmp_path, "a/net/seed_2", (2, 2, 2), (0, 0, 0)),
        save(tmp_path, "a/net/inner", (1, 1, 2), (0, 0, 0)),
        save(tmp_path, "a/net/seed_2/inner", (1, 1, 2), (0, 0, 0)),
        save(tmp_path, "b/net", (0, 2, 2), (0, 0, 0)),
        save(tmp_path, "b/net/seed_2", (1, 2, 2), (0, 0, 0)),
        save(tmp_path, "b/net/seed_2/cross/a/inner", (1, 1, 1), (0, 0, 0)),
        save(tmp_path, "both/net", (9, 9, 9), (0, 0, 0)),
    ]
    aggregate(scores, tmp_path, ["a", "b"], [], tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv")
    table = table.set_index(["dataset", "trained_on", "selection"])
    one = table.loc["a", "a", "last"]
    assert one["seeds"] == 2
    assert one["macro_f1"] == pytest.approx((1 / 2 + 1) / 2)
    assert one["macro_f1_sd"] == pytest.approx(0.5 / 2**0.5)
    assert (one["macro_tp"], one["macro_n"]) == (1.5, 2)
    # Counts of one seed are added over datasets, then its F1 is taken, then the mean over seeds.
    pooled = table.loc["pooled", "pooled", "last"]
    assert pooled["macro_f1"] == pytest.approx((2 * 1 / 8 + 2 * 3 / 8) / 2)
    assert ("pooled", "pooled", "inner") not in table.index
    assert table.loc["b", "a", "inner"]["macro_f1"] == 1
    assert table.loc["both", "both", "last"]["macro_n"] == 9


def test_headline_is_one_protocol(summary):
    text = headline(summary, "strict")
    assert "pooled" in text
    assert "5/14/8" in text


def test_a_file_elsewhere_is_named(tmp_path):
    path = save(tmp_path, "a", (1, 1, 1), (1, 1, 1))
    with pytest.raises(InputError, match=r"DATASET/METHOD/\.\.\./score\.json was expected"):
        aggregate([path], tmp_path, [], [], tmp_path / "summary.csv")


def told(score, **counts):
    """Each subject's counts beside a score, all macro."""
    rows = [("strict", subject, "macro", *numbers) for subject, numbers in counts.items()]
    table = pd.DataFrame(rows, columns=["protocol", "subject", "type", "tp", "n", "m"])
    path = score.with_name("subjects.csv")
    pd.concat([table, table.assign(type="micro", tp=0, n=0, m=0)]).to_csv(path, index=False)
    return path


def test_how_sure_an_f1_is_by_subjects_drawn_again(tmp_path):
    alike = save(tmp_path, "a/net", (2, 4, 4), (0, 0, 0))
    apart = save(tmp_path, "b/net", (2, 4, 4), (0, 0, 0))
    unknown = save(tmp_path, "c/net", (2, 4, 4), (0, 0, 0))
    subjects = [told(alike, p=(1, 2, 2), q=(1, 2, 2)), told(apart, p=(2, 2, 2), q=(0, 2, 2))]
    aggregate([alike, apart, unknown], tmp_path, ["a", "b"], [], tmp_path / "out.csv", subjects)
    table = pd.read_csv(tmp_path / "out.csv").set_index("dataset")
    bounds = table[["macro_f1_low", "macro_f1_high"]]
    assert bounds.loc["a"].tolist() == [0.5, 0.5]  # whoever is drawn
    assert bounds.loc["b"].tolist() == [0, 1]  # of two, one is drawn twice every other time
    assert bounds.loc["pooled"].tolist() == [0.25, 0.75]
    assert bounds.loc["c"].isna().all()


def test_intervals_are_those_of_drawing_subjects():
    random = np.random.default_rng(0)
    counts = random.integers(0, 5, (20, 3)) + np.array([0, 3, 3])
    draws = counts[random.integers(0, 20, (20_000, 20))].sum(1)
    expected = np.percentile(2 * draws[:, 0] / draws[:, 1:].sum(1), [2.5, 97.5])
    assert interval([counts]) == pytest.approx(expected, abs=0.01)
    # Of two seeds alike the mean is as sure as one.
    assert interval([np.stack([counts, counts], 1)]) == pytest.approx(interval([counts]))
