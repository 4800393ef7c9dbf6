"""What a user can cause, said in one message; and how one bad video is kept from costing the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# First line of a failure record: a text file that stands where a stage's output would be.
FAILED = "mespot: this video failed\n"


class InputError(Exception):
    """A missing file, a corrupt frame, no face, a wrong column.

    The message names the file, the frame or row, what was expected and what to do. The command line
    prints it without a traceback and ends with exit code 2.
    """


def keep_going() -> bool:
    """Whether Snakemake runs with --keep-going (the Snakefile passes it on in the environment)."""
    return os.environ.get("MESPOT_KEEP_GOING") == "1"


def failure(path: str | Path) -> str | None:
    """The message of the failure record at `path`; None if the file is a real output."""
    with open(path, "rb") as file:
        if file.read(len(FAILED)) != FAILED.encode():
            return None
        return file.read().decode().strip()


def write_failure(message: str, outputs: Iterable[str | Path]) -> None:
    """Put a failure record where each output of a video would be, for later stages to pass on."""
    for output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(FAILED + message + "\n")
