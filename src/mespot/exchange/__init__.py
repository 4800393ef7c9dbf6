"""exchange: intervals in the files of other programs; each format is one file here.

Times are whole milliseconds of the source video, and an offset is when its last frame goes.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from mespot.datasets.plain_table import GUESSED_TYPES, TYPES, spelled_type
from mespot.intervals import TYPES as EVERY_TYPE


class Interval(NamedTuple):
    type: str
    onset: int
    apex: int | None
    offset: int
    about: dict[str, str]  # by column, where known: score, au, regions, remarks

    @property
    def text(self) -> str:
        """What is known of it, in one line."""
        apex = [] if self.apex is None else [f"apex {self.apex / 1000:.3f} s"]
        known = [
            text if name == "remarks" else f"{name} {text}" for name, text in self.about.items()
        ]
        return "; ".join([*apex, *known]) or self.type


class Recording(NamedTuple):
    """One video and its intervals."""

    subject: str
    video: str
    intervals: list[Interval]
    end: int  # of the video, or where that is not known, of its last interval
    media: Path | None = None


def tiers(recording: Recording, gap: int = 0) -> dict[str, list[Interval]]:
    """The intervals of each type, and those that overlap others of it in tiers `macro 2` and so on.

    Those of a tier are in order and at least `gap` ms apart.
    """
    found: dict[str, list[Interval]] = {type_: [] for type_ in EVERY_TYPE}
    for one in sorted(recording.intervals, key=lambda one: (one.onset, one.offset)):
        names = itertools.chain([one.type], (f"{one.type} {n}" for n in itertools.count(2)))
        free = (n for n in names if not found.get(n) or found[n][-1].offset + gap <= one.onset)
        found.setdefault(next(free), []).append(one)
    return dict(sorted(found.items()))


def type_named(name: str) -> str | None:
    """macro or micro, if a tier or a trial type is called so (`tiers`)."""
    spelled = spelled_type(re.sub(r"\s\d+$", "", name.strip()))
    return None if spelled in GUESSED_TYPES else TYPES.get(spelled)
