"""Progress: a bar on a terminal, sparse lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
# Or a twentieth of the time so far, if that is longer: a log of hours stays short.
SECONDS_BETWEEN_LINES = 5


def progress(
    items: Iterable[Item], what: str, total: int | None = None, step: int = 1
) -> Iterator[Item]:
    """Yield `items`, saying on stderr how far it is; `step` is what one item counts for."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit_scale=True) as bar:
            for item in items:
                yield item
                bar.update(step)
        return
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += step if step == 1 or not total else min(step, total - done)
        now = time.monotonic()
        if now - last >= max(SECONDS_BETWEEN_LINES, (now - started) / 20):
            last = now
            of = f" of {total}" if total else ""
            print(f"{what}: {done}{of}, {now - started:.0f} s", file=sys.stderr, flush=True)
    print(f"{what}: {done} done in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
