"""aggregate: counts are added before the F1, not F1s averaged; the paths tell what a row is."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from mespot.aggregate import aggregate, headline
from mespot.errors import InputError


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
    aggregate(scores, tmp_path, tmp_path / "summary.csv")
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


def test_headline_is_one_protocol(summary):
    text = headline(summary, "strict")
    assert "pooled" in text
    assert "5/14/8" in text


def test_a_file_elsewhere_is_named(tmp_path):
    path = save(tmp_path, "a", (1, 1, 1), (1, 1, 1))
    with pytest.raises(InputError, match=r"DATASET/METHOD/score\.json was expected"):
        aggregate([path], tmp_path, tmp_path / "summary.csv")
