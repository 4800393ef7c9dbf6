"""What would run and why, on one screen (`make why`).

Snakemake names the first reason that it finds for a job, and of a stage that follows one which runs
again none of its own. Here each job that would run is compared with what is recorded of it.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mespot.errors import InputError

# Changes of a stage that are named, and videos or folds of one change.
MOST, NAMED = 8, 3
# Where settings differ and nothing else, the digest of the code says that it does not.
SETTINGS, CODE = "config", "code"


def why(arguments: Sequence[str]) -> str:
    """What `snakemake` with these arguments would run, and why: a line for each stage.

    Raises InputError with what a run would say where it would not begin.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "why")
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", *arguments]
        environment = os.environ | {"MESPOT_WHY": str(told)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode or not told.exists():
            said = [line for line in done.stderr.splitlines() if line.startswith("mespot: ")]
            if said:
                raise InputError("\n".join(said).removeprefix("mespot: "))
            # Snakemake's own words; on which of the two they stand differs.
            lines = [*done.stderr.splitlines(), *done.stdout.strip().splitlines()]
            raise InputError("\n".join(lines[-5:]))
        return told.read_text()


def explain(workflow: Any) -> str:
    """The same of a `workflow` of Snakemake's after its dry-run."""
    dag = workflow.dag
    stages: dict[str, Stage] = {}
    for rule in workflow.rules:
        stages.setdefault(stage_of(rule.name), Stage())
    for job in dag.jobs:
        stages[stage_of(job.rule.name)].jobs += 1
    wanted = list(dag.needrun_jobs(exclude_finished=False))
    runs = {stage_of(job.rule.name) for job in wanted}
    for job in wanted:
        stages[stage_of(job.rule.name)].add(job, causes(job, dag.reason(job), workflow.persistence))
    del stages["all"]
    number = sum(len(stage.would_run) for stage in stages.values())
    if not number:
        return "Nothing would run: every result is there, and what it was made of is unchanged."
    whole = sum(stage.jobs for stage in stages.values())
    width = max(map(len, runs))
    lines = [f"{number} of {whole} jobs would run."]
    for name, stage in stages.items():
        if stage.would_run:
            count = f"{len(stage.would_run)} of {stage.jobs}"
            first, *rest = stage.lines() or ["what it reads is made again"]
            lines.append(f"{name:{width}}  {count:>13}  {first}")
            lines += [f"{'':{width}}  {'':13}  {line}" for line in rest]
    return "\n".join(lines)


class Stage:
    """The jobs of a stage, and for each cause those that it concerns."""

    def __init__(self) -> None:
        self.jobs = 0
        self.would_run: list[str] = []
        self.causes: dict[str, list[str]] = defaultdict(list)

    def add(self, job: Any, causes: Iterable[str]) -> None:
        wildcards = job.wildcards_dict
        name = next((wildcards[key] for key in ("video", "fold") if key in wildcards), "")
        self.would_run.append(name or wildcards.get("dataset", ""))
        for cause in causes:
            self.causes[cause].append(self.would_run[-1])

    def lines(self) -> list[str]:
        said = [self._line(cause, names) for cause, names in self.causes.items()]
        more = len(said) - MOST
        return said[:MOST] + ([f"and {more} changes more"] if more > 0 else [])

    def _line(self, cause: str, names: list[str]) -> str:
        """A cause, and for whom where it is not for all."""
        if len(names) == len(self.would_run):
            return cause
        distinct = sorted(set(names))  # Snakemake's own order differs from run to run
        more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
        return f"{cause}: {', '.join(distinct[:NAMED])}{more}"


def stage_of(rule: str) -> str:
    """demo_annotation is of `demo`, spot_cross of `spot`."""
    return rule.partition("_")[0]


def causes(job: Any, reason: Any, recorded: Any) -> Iterator[str]:
    """Why a job would run by itself, whatever runs before it."""
    if reason.forced:
        yield "asked for by name (--force and its like)"
    if reason._incomplete_output:
        yield "was left half-made by a run that was killed"
    if not recorded.has_metadata(job):
        yield (
            "not made yet" if reason.missing_output else "made elsewhere: nothing is recorded of it"
        )
        return
    temporary = {file for file in job.output if file.is_temp}
    if gone := set(reason.missing_output) - temporary:
        yield f"{short(gone)} is gone"
    if newer := reason.updated_input:
        yield f"{short(newer)} was changed"
    if any(recorded.input_changed(job)):
        yield "reads other files than before (a video, subject or method came or went)"
    changed = recorded.params_changed(job)
    yield from differences(changed.only_old, changed.only_new)


def short(files: Iterable[Any]) -> str:
    names = sorted(Path(file).name for file in files)
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def differences(before: Iterable[str], now: Iterable[str]) -> Iterator[str]:
    """What differs between the recorded params of a job and its params now, as Snakemake writes them."""
    old, new = read(before), read(now)
    if SETTINGS in old and SETTINGS in new:
        was, is_ = (flat(json.loads(each[SETTINGS])) for each in (old, new))
        for key in sorted({*was, *is_}):
            if was.get(key) != is_.get(key):
                yield f"{key}: {plain(was.get(key))} -> {plain(is_.get(key))}"
    if old.get(CODE) != new.get(CODE):
        yield "its code was edited"
    if old.get("name") != new.get("name"):
        yield f"another network: {old.get('name')} -> {new.get('name')}"
    if old.get("weights") != new.get("weights"):
        yield "other weights of its detector"
    if old["others"] != new["others"]:
        yield "another source in its place, or other arguments"


def read(params: Iterable[str]) -> dict[str, Any]:
    """The dictionaries among params laid over each other, and what else there is as `others`."""
    laid: dict[str, Any] = {"others": []}
    for text in params:
        value = ast.literal_eval(text)
        if isinstance(value, str) and value.startswith("{"):
            value = {SETTINGS: value}
        if isinstance(value, dict):
            laid |= value
        else:
            laid["others"].append(value)
    return laid


def flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by their keys joined with dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict) and value
        found |= flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return found


def plain(value: Any) -> str:
    return "none" if value is None else str(value)
