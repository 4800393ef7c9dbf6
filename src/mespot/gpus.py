"""The GPUs of this machine: how many there are, and one for each job."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TextIO

DEVICES = Path("/dev")
# The GPU's file that is locked as long as this process lives, however it ends.
_taken: list[TextIO] = []


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asks no driver."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name not in ("", "-1")]
    return [str(number) for number in range(len(list(DEVICES.glob("nvidia[0-9]*"))))]


def take_one() -> None:
    """Of several GPUs use one, which no other job has while there are enough; before CUDA starts.

    Snakemake counts them and does not say which one a job is to use: all would use the first.
    """
    names = visible()
    if len(names) < 2:
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = names[os.getpid() % len(names)]
    for name in names:
        lock = f"mespot-{os.getuid()}-gpu-{name.replace('/', '-')}"
        try:
            file = open(Path(tempfile.gettempdir(), lock), "w")  # noqa: SIM115
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = name
        _taken.append(file)
        return
