"""What a user can cause, said in one message; and how one bad video is kept from costing the others."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# First line of a failure record: a text file that stands where a stage's output would be.
FAILED = "mespot: this video failed\n"
# How the name of a file or folder begins that is not yet whole (`store.replacing`).
UNFINISHED = ".mespot-"
LONGEST = 1 << 16  # characters of the message in it


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
    errno.ENOMEM: "run fewer jobs at once, or give a shorter video",
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
    if not file or UNFINISHED in file:
        file = at
    for number, mend in REFUSALS.items():
        words = os.strerror(number)
        told = getattr(error, "errno", errno.ENOMEM if isinstance(error, MemoryError) else None)
        if told == number or words in said or f"errno = {number}," in said:
            return f"{file}: {words}; {mend}"
    if "inline_container" in said:  # torch's writer, which tells nothing more
        return f"{at}: could not be written to its end; {REFUSALS[errno.ENOSPC]}"
    return None


def damaged(
    path: str | Path, why: object, what: str = "cut off or damaged", mend: str = ""
) -> InputError:
    """What to say of a file that is not as mespot wrote it, or not `what` it should be.

    What it wrote it makes again where it is missing.
    """
    again = "if it is a result of mespot's, delete it and give the same command again: rm"
    return InputError(f"{path}: {what} ({why}); {mend or f'{again} {shlex.quote(str(path))}'}")


@contextmanager
def reading(path: str | Path, what: str = "cut off or damaged", mend: str = "") -> Iterator[None]:
    """Around nothing but the reading of one file: whatever that raises is the file's fault.

    `what` it is then and how to `mend` it are `damaged`'s. Raises InputError; what the computer refuses
    passes.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        first = mend or "run the stage that makes it first"
        raise InputError(f"{path}: no such file; {first}") from None
    except Exception as error:  # a file of any content raises almost anything
        if refusal(error, Path(path)):
            raise
        raise damaged(path, _in_short(error), what, mend) from None


def _in_short(error: Exception) -> str:
    """What a library says, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 200 else f"{said[:200]}..."


def keep_going() -> bool:
    """Whether Snakemake runs with --keep-going (the Snakefile passes it on in the environment)."""
    return os.environ.get("MESPOT_KEEP_GOING") == "1"


def failure(path: str | Path) -> str | None:
    """The message of the failure record at `path`; None if the file is a real output."""
    with open(path, "rb") as file:
        if file.read(len(FAILED)) != FAILED.encode():
            return None
        return file.read(LONGEST).decode(errors="replace").strip()


def write_failure(message: str, outputs: Iterable[str | Path]) -> None:
    """Put a failure record where each output of a video would be, for later stages to pass on."""
    from mespot.store import replacing  # HDF5: slow to import

    for output in outputs:
        with replacing(output) as temporary:
            temporary.write_text(FAILED + message + "\n", "utf-8", "backslashreplace")
