"""action_units: the spellings of SAMM-LV's annotators, taken apart and written in one way."""

from __future__ import annotations

import re

import pytest

from mespot.datasets.action_units import ActionUnit, parse, spell
from mespot.datasets.annotation_files import read


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("4+10+14", [(4, "", ""), (10, "", ""), (14, "", "")]),
        ("4(B/C)+7B", [(4, "", "B/C"), (7, "", "B")]),
        ("L12", [(12, "L", "")]),
        ("A1B+A2(B/C)", [(1, "A", "B"), (2, "A", "B/C")]),
        ("(L/A)12(B/A)", [(12, "L/A", "B/A")]),
        ("A/L12", [(12, "A/L", "")]),
        ("4A/B", [(4, "", "A/B")]),
        ("A(4B/C)+5B", [(4, "A", "B/C"), (5, "", "B")]),
        ("A4C+R(12or14)B+38", [(4, "A", "C"), (12, "R", "B"), (14, "R", "B"), (38, "", "")]),
        ("14B+L20B+B23", [(14, "", "B"), (20, "L", "B"), (23, "B", "")]),
        ("6C/D+ref(7)12E+25", [(6, "", "C/D"), (7, "", ""), (12, "", "E"), (25, "", "")]),
        ("12A or 14A", [(12, "", "A"), (14, "", "A")]),
        ("AU6+AU12", [(6, "", ""), (12, "", "")]),
        ("subject do 2x  R2(C and then B)", [(2, "R", "C")]),
        ("80 (big swallow)", [(80, "", "")]),
        ("12+12", [(12, "", "")]),
        ("Chewing", []),
        ("?", []),
        ("", []),
    ],
)
def test_number_side_and_intensity(text, units):
    assert parse(text) == [ActionUnit(*unit) for unit in units]
    assert parse(spell(parse(text))) == parse(text)


@pytest.mark.parametrize("name", ["CASME_sq_code_final.xlsx", "SAMM_LongVideos.xlsx"])
def test_real_spellings_keep_their_numbers(shared, name):
    for text in read(shared / "data" / "annotations" / name).rows["au"]:
        numbers = {int(number) for number in re.findall(r"\d+", text)}
        assert {unit.number for unit in parse(text)} == numbers, text
        assert parse(spell(parse(text))) == parse(text)
