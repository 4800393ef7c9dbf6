# What the rules ask is answered by mespot.plan; here it is only handed on.
import atexit
import json
import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path

from snakemake.io import contains_wildcard
from snakemake.pathvars import PATHVAR_REGEX

from mespot import outcome, slurm, why
from mespot.config import load
from mespot.errors import InputError
from mespot.plan import Plan
from mespot.rerun import digest
from mespot.start import check_writable, explain_lock, stop

try:
    # Where it is written, unless --config says otherwise: the last --configfile counts, config.yaml least.
    files = [
        Path(file) for file in workflow.configfiles[-2::-1] + workflow.configfiles[-1:]
    ]
    cfg = load(config, [] if workflow.config_settings.config else files)
    plan = Plan(cfg)
    # Here, not first in an input function: where one fails Snakemake goes by what is there already.
    for path in [path for name in cfg.datasets for path in plan.given_files(name)]:
        if contains_wildcard(path) or PATHVAR_REGEX.search(path):
            stop(
                f"{path}: a name in braces or <> means something to Snakemake; rename it"
            )
    plan.check()
    asked = plan.asked()
    scores, shown = plan.scores(), plan.shown()
except InputError as error:
    stop(error)

R = cfg.results
if told := os.environ.get("MESPOT_WHY"):  # `mespot why`
    atexit.register(lambda: Path(told).write_text(why.explain(workflow)))
if workflow.is_main_process:  # not again in each job
    explain_lock()
    check_writable(Path(R).absolute(), "give another folder: --config results=FOLDER")
    for line in plan.left_aside():
        print(f"warning: {line}", file=sys.stderr)


wildcard_constraints:
    dataset=r"[\w.-]+",
    source=r"[\w.-]+",
    part=r"[\w.-]+",
    video=r"[\w.-]+",
    # A method; its further seeds stand below it.
    run=r"[\w.-]+(/seed_\d+)?",
    # A subject, or all; inner_I_J leaves out two groups of subjects.
    fold=r"[\w.-]+",
    # How epoch and thresholds were chosen: `last`, where nothing is, stands at the run itself.
    chosen="|/inner|/oracle",
    policy="inner|oracle",


# Jobs run the `mespot` of this interpreter, whatever is on PATH. (An environment that Snakemake
# activates for a job, as with --sdm conda, comes before it.)
first = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
os.environ.update(PATH=os.pathsep.join(first))
# Environments of conda and images hold what mespot stands on; the code is this checkout's.
os.environ.update(MESPOT_CHECKOUT=str(workflow.basedir))
# Jobs share the cores; a library that opens a thread for each core would slow the others down.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(variable, "1")


def ask(answer, *arguments, **named):
    """Input or params function: the plan's answer, by the job's wildcards."""

    def of_job(wildcards):
        try:
            return answer(*arguments, **named, **dict(wildcards.items()))
        except InputError as error:
            stop(error)

    return of_job


def of_user(answer):
    """Input function: what a user gave. What it is known by stands in the params: its time tells too little.

    A demo's is made like any other file.
    """

    def of_job(wildcards):
        path = ask(answer)(wildcards)
        return path if wildcards.dataset in plan.demos else ancient(path)

    return of_job


def each(flag, name):
    """Params function: a flag before each of the named input files, quoted for the shell."""
    return lambda wildcards, input: flags(flag, input.get(name, []))


def flags(flag, values):
    return " ".join(f"{flag} {shlex.quote(str(value))}" for value in values)


def one_of(names):
    """A wildcard's constraint: one of these names, or nothing at all."""
    return "|".join(map(re.escape, names)) or "none"


def threads_for_a_video(wildcards):
    """One while there are as many videos as cores; more for few videos, or one long one."""
    return max(1, (workflow.resource_settings.cores or 1) // plan.n_videos)
