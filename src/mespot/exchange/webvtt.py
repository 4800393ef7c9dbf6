"""webvtt: WebVTT, which a browser shows over the video (<track>), and players as subtitles."""

from __future__ import annotations

import html
from pathlib import Path

from webvtt import Caption, WebVTT

from mespot.exchange import Recording


def write(recording: Recording, folder: Path) -> None:
    """Write a video's intervals as {video}.vtt, a cue each."""
    cues = WebVTT()
    for one in sorted(recording.intervals, key=lambda one: (one.onset, one.offset)):
        text = html.escape(f"{one.type}: {one.text}", quote=False)
        cues.captions.append(Caption(_clock(one.onset), _clock(one.offset), text))
    cues.save(str(folder / f"{recording.video}.vtt"))


def _clock(ms: int) -> str:
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
