"""matches: what is found, missed and false, interval by interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot.matches import matches
from mespot.score import score

COLUMNS = ["video", "type", "onset", "offset"]


def table(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_found_missed_and_false():
    annotated = table(
        ("a", "macro", 0, 9), ("a", "macro", 20, 29), ("a", "micro", 0, 9), ("b", "macro", 0, 9)
    )
    spotted = table(
        ("a", "macro", 25, 34), ("b", "macro", 0, 9), ("a", "macro", 0, 4), ("c", "micro", 0, 9)
    )
    annotated.index = spotted.index = [7, 7, 8, 9]  # rows of tables that were put together
    truth, found = matches(annotated, spotted)
    assert truth["outcome"].tolist() == ["found", "missed", "missed", "found"]
    assert truth["match"].tolist() == [2, -1, -1, 1]
    assert truth["iou"].tolist() == pytest.approx([0.5, 5 / 15, 0, 1])
    assert found["outcome"].tolist() == ["false", "found", "found", "false"]
    assert found["match"].tolist() == [-1, 3, 0, -1]
    assert found["iou"].tolist() == pytest.approx([5 / 15, 1, 0.5, 0])
    assert truth[COLUMNS].to_numpy().tolist() == annotated.to_numpy().tolist()


def test_a_second_one_on_the_same_expression_is_false():
    truth, found = matches(
        table(("a", "macro", 0, 9)), table(("a", "macro", 0, 7), ("a", "macro", 0, 9))
    )
    assert found["outcome"].tolist() == ["false", "found"]
    assert found["iou"].tolist() == [0.8, 1]
    assert truth.loc[0, ["match", "iou"]].tolist() == [1, 1]


@pytest.mark.parametrize("which", [(0, 0), (1, 0), (0, 1)])
def test_tables_without_a_row(which):
    one = table(("a", "macro", 0, 9))
    truth, found = matches(*(one[:number] for number in which))
    assert truth["outcome"].tolist() == ["missed"] * which[0]
    assert found["outcome"].tolist() == ["false"] * which[1]
    assert list(truth) == list(found) == [*COLUMNS, "outcome", "match", "iou"]


spans = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from(["macro", "micro"]),
    st.integers(0, 20),
    st.integers(1, 9),
)


tables = st.lists(spans, max_size=8).map(
    lambda rows: table(*((v, type_, onset, onset + n) for v, type_, onset, n in rows))
)


@given(tables, tables)
def test_there_are_as_many_pairs_as_the_score_counts(annotated, spotted):
    truth, found = matches(annotated, spotted)
    for type_ in ("macro", "micro"):
        counts = score(annotated, spotted, "strict")[type_]
        for each in (truth, found):
            its = each[each["type"] == type_]
            assert (its["outcome"] == "found").sum() == counts.tp
            assert (its["iou"][its["outcome"] == "found"] >= 0.5).all()
    both = truth[truth["match"] >= 0]
    assert (found["match"].to_numpy()[both["match"]] == np.asarray(both.index)).all()
