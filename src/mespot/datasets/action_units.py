"""Action units as annotators write them, taken apart: number, side and intensity.

In SAMM-LV's own key "L2" is AU 2 on the left side of the face alone, "A2" an asymmetric one, "/"
means or. T and B stand for the upper and the lower lip; intensities go from A (trace) to E (most).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class ActionUnit(NamedTuple):
    number: int
    side: str = ""  # L, R, A, T, B, or a choice as L/A; none: both sides alike
    intensity: str = ""  # A to E, or a choice as B/C; none: not said


_CHOICE = r"{letters}(?:/{letters})*"
_UNIT = re.compile(
    rf"(?P<side>{_CHOICE.format(letters='[LRATB]')})?[()]*"
    r"(?P<number>\d+)(?!\d|x)"  # "2x": twice
    rf"\(?(?P<intensity>{_CHOICE.format(letters='[A-E]')})?"
)
# One side and intensity said of several: R(12or14)B.
_OF_BOTH = re.compile(r"([LRATB])\((\d+) ?or ?(\d+)\)([A-E]?)")


def parse(text: str) -> list[ActionUnit]:
    """The action units of one annotated expression, each once, in the order written.

    "4(B/C)+L7B" -> AU 4 of intensity B/C, AU 7 on the left of intensity B. Those in doubt ("ref(7)",
    "12A or 14A") count like any other; remarks ("Chewing", "?") are none.
    """
    text = _OF_BOTH.sub(r"\1\2\4 or \1\3\4", text)
    return list(
        dict.fromkeys(
            ActionUnit(int(unit["number"]), unit["side"] or "", unit["intensity"] or "")
            for unit in _UNIT.finditer(text)
        )
    )


def spell(units: Iterable[ActionUnit]) -> str:
    """The one normal spelling, L12B+4(B/C): what `parse` reads back."""

    def letters(text: str) -> str:
        return f"({text})" if "/" in text else text

    return "+".join(f"{letters(unit.side)}{unit.number}{letters(unit.intensity)}" for unit in units)
