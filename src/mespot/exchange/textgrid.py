"""textgrid: Praat's TextGrid: a tier of intervals for each type."""

from __future__ import annotations

from pathlib import Path

from praatio.data_classes.interval_tier import IntervalTier
from praatio.data_classes.textgrid import Textgrid

from mespot.exchange import Recording, tiers


def write(recording: Recording, folder: Path) -> None:
    """Write a video's intervals as {video}.TextGrid, from 0 to the video's end."""
    end = recording.end / 1000
    grid = Textgrid(0, end)
    for name, intervals in tiers(recording).items():
        entries = [(one.onset / 1000, one.offset / 1000, one.text) for one in intervals]
        grid.addTier(IntervalTier(name, entries, 0, end))
    path = folder / f"{recording.video}.TextGrid"
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
