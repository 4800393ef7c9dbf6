"""What a user can cause, said in one message; and how one bad video is kept from costing the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

# First line of a failure record: a text file that stands where a stage's output would be.
FAILED = "mespot: this video failed\n"


# What a computer refuses, and what to do about it.
REFUSALS = {
    errno.ENOSPC: "free some space there and run again",
    errno.EDQUOT: "free some of your quota there and run again",
    errno.EFBIG: "write where files may be larger (results in config.yaml)",
    errno.EROFS: "write elsewhere (results in config.yaml)",
    errno.EACCES: "give yourself the right to it, or use another folder",
    errno.EPERM: "give yourself the right to it, or use another folder",
    errno.ENAMETOOLONG: "give the video or the folder a shorter name",
    errno.EMFILE: "run fewer jobs at once",
    errno.EIO: "the drive or the network failed; look whether it is still there",
}


class InputError(Exception):
    """A missing file, a corrupt frame, no face, a wrong column.

    The message names the file, the frame or row, what was expected and what to do. The command line
    prints it without a traceback and ends with exit code 2.
    """


def refusal(error: BaseException, at: Path) -> str | None:
    """What the computer refused and what to do, in one line; None for any other error.

    `at` is named where the error tells no file, or a temporary one. Libraries in C tell the number in
    their text alone.
    """
    said, file = str(error), str(getattr(error, "filename", None) or "")
    if not file or Path(file).name.startswith("."):
        file = at
    for number, mend in REFUSALS.items():
        words = os.strerror(number)
        if getattr(error, "errno", None) == number or words in said or f"errno = {number}," in said:
            return f"{file}: {words}; {mend}"
    if "inline_container" in said:  # torch's writer, which tells nothing more
        return f"{at}: could not be written to its end; {REFUSALS[errno.ENOSPC]}"
    return None


def keep_going() -> bool:
    """Whether Snakemake runs with --keep-going (the Snakefile passes it on in the environment)."""
    return os.environ.get("MESPOT_KEEP_GOING") == "1"


def failure(path: str | Path) -> str | None:
    """The message of the failure record at `path`; None if the file is a real output."""
    with open(path, "rb") as file:
        if file.read(len(FAILED)) != FAILED.encode():
            return None
        return file.read().decode(errors="replace").strip()


def write_failure(message: str, outputs: Iterable[str | Path]) -> None:
    """Put a failure record where each output of a video would be, for later stages to pass on."""
    for output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(FAILED + message + "\n")
