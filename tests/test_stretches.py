"""stretches: runs and their gaps, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mespot.stretches import closed, interpolated, runs


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("", []), ("000", []), ("111", [(0, 3)]), ("0110100", [(1, 3), (4, 5)])],
)
def test_runs(flags, expected):
    assert runs(np.array([flag == "1" for flag in flags], bool)) == expected


@pytest.mark.parametrize(
    ("flags", "gap", "expected"),
    [
        ("1011", 2, "1111"),
        ("10011", 2, "10011"),  # as long as the gap is not shorter
        ("0110", 9, "0110"),  # the ends are between nothing
        ("0000", 9, "0000"),
    ],
)
def test_closed(flags, gap, expected):
    given = np.array([flag == "1" for flag in flags])
    assert "".join(map(str, closed(given, gap).astype(int))) == expected
    assert [flag == "1" for flag in flags] == given.tolist(), "what was given stays"


def test_interpolated_fills_and_holds_the_ends():
    values = np.array([9.0, 1, 9, 9, 4, 9])[:, None]
    valid = np.array([0, 1, 0, 0, 1, 0], bool)
    np.testing.assert_allclose(interpolated(values, valid)[:, 0], [1, 1, 2, 3, 4, 4])
