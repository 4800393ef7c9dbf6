"""What Slurm says of jobs, where Snakemake does not: of those that it sends as a group."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from snakemake.resources import Resources

from mespot.start import stop

# What a profile's default-resources call it, and sbatch.
OPTIONS = {"slurm_partition": "--partition", "slurm_account": "--account"}


def check(asked: Resources, most: Resources) -> None:
    """Stop where Slurm would take no job of this partition and account, or with a GPU.

    `asked` are a profile's default-resources, `most` its resources. With a wrong partition the run would
    end without a word, with a wrong account it would wait for ever.
    """
    command = ["sbatch", "--test-only", "--wrap=true"]
    for name, option in OPTIONS.items():
        if value := asked.get(name).raw:
            command.append(f"{option}={value}")
    command += ["--gpus=1"] * (most.get("gpu").value != 0)
    command += shlex.split(str(asked.get("slurm_extra").raw or "").strip("'\""))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        stop("no sbatch here; run where jobs are submitted from")
    if done.returncode:
        stop(f"Slurm would take no job: {shlex.join(command)}: {done.stderr.strip()}")


def said(logs: Iterable[str]) -> list[str]:
    """Why Slurm refused or ended jobs, from Snakemake's logs and those of Slurm that they name."""
    log = "\n".join(logs)
    if refused := re.findall(r"The error message was '(sbatch: .+?)'\.$", log, re.M | re.S):
        return refused[-1:]
    taken = re.findall(r"^Job (\S+) has been submitted with .+ \(log: (.+)\)\.$", log, re.M)
    ended = []
    for path in filter(Path.is_file, map(Path, dict(taken).values())):  # of each, the last attempt
        lines = re.findall(r"^slurmstepd\S*: error: (.+)", path.read_text(errors="replace"), re.M)
        # A user's own Ctrl-C or scancel gives no reason.
        reasons = [line for line in lines if not re.search(r"CANCELLED AT \S+ \*\*\*$", line)]
        ended += [f"{path}: {line}" for line in reasons[-1:]]
    return ended
