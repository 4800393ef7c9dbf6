"""boris: lines that BORIS takes as events of an observation (in its list of events: Paste events)."""

from __future__ import annotations

from pathlib import Path

from mespot.exchange import Recording, tiers

APART = 1  # ms: of two events at one time BORIS does not know which starts


def write(recording: Recording, folder: Path) -> None:
    """Write a video's intervals as {video}.tsv: time, subject, code, modifier, comment, frame, no header.

    Codes are states, each with a line for its start and one for its stop, which BORIS tells by their order.
    """
    events = []
    for code, intervals in tiers(recording, APART).items():
        for one in intervals:
            events += [(one.onset, code, one.text), (one.offset, code, "")]
    lines = (
        "\t".join([f"{ms / 1000:.3f}", recording.subject, code, "", comment, "NA"])
        for ms, code, comment in sorted(events)
    )
    # An empty line at the end would be an event without columns.
    (folder / f"{recording.video}.tsv").write_text("\n".join(lines), "utf-8")
