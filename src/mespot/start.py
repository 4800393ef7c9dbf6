"""What must be right before Snakemake begins: the workflow's profile calls this, since it is read first."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from mespot import config_file, gpus
from mespot.errors import REFUSALS, UNFINISHED, InputError

# What has not been written to for so long, s, is no longer being written.
LEFT = 3600


def stop(error: object) -> NoReturn:
    """End with the one message and exit code 2; Snakemake would say where in its files it was raised."""
    print(f"mespot: {error}", file=sys.stderr)
    raise SystemExit(2)


def begin(arguments: Sequence[str]) -> None:
    """Stop where Snakemake, given these arguments, would end in a traceback; give its caches a place."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--directory", "-d", default=".")
    given, _ = parser.parse_known_args(arguments)
    check_files(given.configfile)
    folder = Path(given.directory).absolute()
    check_writable(folder, "run in a folder of yours with --directory FOLDER")
    place_caches(folder / ".snakemake" / "cache")


def check_files(paths: Iterable[str | Path]) -> None:
    """Stop where a config file cannot be read: Snakemake names neither file nor line."""
    for path in paths:
        try:
            config_file.read(Path(path))
        except InputError as error:
            stop(error)


def check_writable(folder: Path, mend: str) -> None:
    """Stop where nothing can be written in a folder, or where it would be made."""
    if error := _refused(folder):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mend = REFUSALS[error.errno]
        stop(f"{folder}: cannot be written ({error.strerror}); {mend}")


def explain_lock() -> None:
    """Let Snakemake say in one line what to do where another run, or one that was killed, has the folder.

    It says it in five; and before, it may miss a temporary file that the other has just done with.
    """
    from snakemake.logging import logger

    held = any(Path(".snakemake", "locks").glob("*"))

    def explained(record: logging.LogRecord) -> bool:
        error = getattr(record, "exception", None)
        if error == "LockException" or (held and error == "FileOrDirectoryNotFoundError"):
            record.msg = (
                f"mespot: {os.getcwd()}: another run is at work here; wait for its end. If there is none, one was "
                "killed: give the same command with --unlock first (for make: .venv/bin/snakemake --unlock)"
            )
        return True

    logger.addFilter(explained)


def tidy(folder: Path) -> None:
    """Put a results folder in order before a run writes into it.

    What killed stages left half-written is removed, but for what may be in work. What is from the future,
    since the clock has been put back, becomes of now: a job whose inputs are newer than its outputs fails.
    """
    now = time.time()
    for where, folders, files in os.walk(folder):
        for path in (Path(where, name) for name in folders + files):
            with suppress(FileNotFoundError):  # another run is done with it
                age = now - path.lstat().st_mtime
                if age < 0:
                    os.utime(path, follow_symlinks=False)
                elif age > LEFT and path.name.startswith(UNFINISHED):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def place_caches(folder: Path) -> None:
    """Let Snakemake, numba and matplotlib keep their caches in `folder` where a home folder is missing."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if home.startswith("~") or _refused(Path(home)):
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["XDG_CACHE_HOME"] = os.environ["MPLCONFIGDIR"] = str(folder)


def gpu_limit(arguments: Sequence[str]) -> int | None:
    """How many GPUs jobs on this machine share; None: no limit, where it has none or jobs run elsewhere.

    A limit of 1 without a GPU would run the stages that would use one, one at a time.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--executor", "-e", default="local")
    parser.add_argument("--profile", nargs="+", default=os.environ.get("SNAKEMAKE_PROFILE"))
    given, _ = parser.parse_known_args(arguments)
    if given.executor != "local" or given.profile:
        return None
    return len(gpus.visible()) or None


def _refused(folder: Path) -> OSError | None:
    """Why nothing can be written there; None if it can. Only trying tells."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"x")
            file.flush()
            return None
    except OSError as error:
        return error
