"""What a run shows: on a terminal what is done, what runs and how long is left; at its end where the time went.

Listens to what Snakemake logs of its jobs, in the main process. Snakemake's own pages are not shown on a
terminal then; they are in .snakemake/log all the same. Where stderr is no terminal they stay as they are.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from snakemake.logging import LogEvent, logger

from mespot import timing
from mespot.timing import Job, Run, Stage

SECONDS_BETWEEN_LOOKS = 1.0
AT_ONCE = 3  # running jobs of a stage that are named
BAR = 12  # columns
# What Snakemake says that is no warning and still concerns who waits.
NEWS = ("Will exit", "Terminating", "Trying to restart")
# Pages that it begins with.
PAGES = {LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.RUN_INFO}


class Watch(logging.Handler):
    """Follows a run of the workflow from the hook `onstart` (`begin`) to its end (`end`)."""

    def __init__(self, workflow, results: str) -> None:
        super().__init__()
        self.workflow, self.results = workflow, results
        self.run: Run | None = None
        self.screen: Screen | None = None
        streams = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
        self.theirs = streams[0] if streams and wanted(workflow) else None
        if self.theirs:
            self.theirs.addFilter(lambda record: event_of(record) not in PAGES)

    def begin(self) -> None:
        """Listen from now on, and show what there is to see if somebody may be looking."""
        workflow = self.workflow
        if workflow.touch or workflow.output_settings.quiet:
            return
        keep_going = workflow.execution_settings.keep_going
        stages, self.datasets = planned(workflow, self.results)
        self.run = Run(stages, keep_going, workflow.local_exec)
        logger.addHandler(self)
        if self.theirs and self.run.jobs:
            self.screen = Screen(self.run, self.theirs, Path(self.results))

    def end(self) -> None:
        """Stop showing, and say where the time went."""
        self.close()
        if self.run and self.run.spent:
            print("", *timing.where(self.run.spent), "", sep="\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Give the terminal back: Snakemake calls this however it ends."""
        logger.removeHandler(self)
        if self.screen:
            self.screen.close()
            self.screen = None
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._follow(record)
            if self.screen:
                self.screen.pass_on(record)
        except Exception:  # what is shown costs no run
            self.handleError(record)

    def _follow(self, record: logging.LogRecord) -> None:
        match event_of(record):
            case LogEvent.JOB_INFO if record.benchmark:
                self.run.begin(record.jobid, self._job(record))
            case LogEvent.JOB_ERROR:
                self.run.fail(record.jobid)
            case LogEvent.JOB_FINISHED:
                ended = self.run.end(record.job_id, time.monotonic())
                if ended and self.screen:
                    self.screen.say(complaints(ended))

    def _job(self, record: logging.LogRecord) -> Job:
        name = timing.name_of(record.benchmark, self.results)
        if len(self.datasets) == 1:
            name = name.removeprefix(f"{min(self.datasets)}/")
        stage = timing.stage_of(record.benchmark, self.results)
        return Job(stage, name, Path(record.benchmark), Path(record.log[0]))


def event_of(record: logging.LogRecord) -> LogEvent | None:
    return getattr(record, "event", None)


class Screen:
    """The lines at the foot of a terminal, and above them what is to stay."""

    def __init__(self, run: Run, theirs: logging.Handler, results: Path) -> None:
        self.run, self.theirs, self.results = run, theirs, results
        self.began = time.monotonic()
        self.live = Live(
            get_renderable=self._lines,
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        logger.removeHandler(theirs)
        self.live.start()
        self.closed = threading.Event()
        self.looking = threading.Thread(target=self._look, daemon=True)
        self.looking.start()

    def close(self) -> None:
        self.closed.set()
        self.looking.join(timeout=2)  # it may wait for a drive
        self.live.stop()
        logger.addHandler(self.theirs)

    def say(self, lines: str) -> None:
        """Lines that stay, as they are: no word of a path goes to another line."""
        if lines:
            self.live.console.print(Text.from_ansi(lines), soft_wrap=True)

    def pass_on(self, record: logging.LogRecord) -> None:
        """Let be seen what Snakemake says of errors and the like, in its own form."""
        news = record.levelno >= logging.WARNING or record.getMessage().startswith(NEWS)
        if news and self.theirs.filter(record):
            self.say(self.theirs.decorate(record, self.theirs.format(record)))

    def _look(self) -> None:
        """In a thread of its own: a log on a slow drive holds nothing up."""
        for name, stage in self.run.stages.items():
            stage.earlier = timing.earlier(self.results, name)
        while not self.closed.is_set():
            self.run.look(time.monotonic())
            self.live.refresh()
            self.closed.wait(SECONDS_BETWEEN_LOOKS)

    def _lines(self) -> Group:
        now = time.monotonic()
        run = self.run
        head = Text.assemble(
            (f"{run.ended} of {run.jobs} jobs", "bold"),
            f" in {timing.words(now - self.began)}, {run.left(now)}",
            (f", {len(run.failed)} failed" if run.failed else "", "red"),
        )
        table = Table.grid(padding=(0, 1))
        for column in ({}, {"width": BAR}, {"justify": "right"}):
            table.add_column(no_wrap=True, **column)
        table.add_column()  # the one that gives way where a terminal is narrow
        for name, stage in run.stages.items():
            running = [job for job in list(run.running.values()) if job.stage == name]
            bar = ProgressBar(stage.jobs, stage.ended + sum(job.part for job in running), BAR)
            runs = Text(named(running, now), no_wrap=True, overflow="ellipsis")
            table.add_row(name, bar, f"{stage.ended} of {stage.jobs}", runs)
        return Group(head, table)


def wanted(workflow) -> bool:
    """Whether to show anything: to somebody at a terminal who has not asked for Snakemake's own output."""
    settings = workflow.output_settings
    asked = settings.verbose or settings.printshellcmds or settings.debug_dag or settings.quiet
    runs = workflow.is_main_process and not (workflow.dryrun or workflow.touch)
    looked_at = sys.stderr.isatty() and Console(stderr=True).is_interactive
    return runs and looked_at and not asked and "CI" not in os.environ


def planned(workflow, results: str) -> tuple[dict[str, Stage], set[str]]:
    """The stages of the jobs to run, in their order, and the datasets."""
    firsts, numbers, datasets = {}, Counter(), set()
    for job in workflow.dag.needrun_jobs():
        if job.benchmark:
            firsts.setdefault(job.rule, job)
            numbers[job.rule] += 1
            datasets.add(job.wildcards_dict.get("dataset"))
    stages: dict[str, Stage] = {}
    for rule in filter(numbers.get, workflow.rules):
        first = firsts[rule]
        stage = stages.setdefault(timing.stage_of(first.benchmark, results), Stage())
        stage.jobs += numbers[rule]
        stage.share = share(first.resources, workflow.global_resources)
        stage.per_video = "video" in rule.wildcard_names
    return stages, datasets - {None}


def share(needed, given) -> float:
    """The share of the machine that a job takes: of cores, GPUs or whatever it takes most of."""
    limits = {name: limit.value for name, limit in given.items() if limit.value}
    return max((needed.get(name, 0) / limit for name, limit in limits.items()), default=1.0)


def complaints(job: Job) -> str:
    """What a job that has ended warned of, and why its video failed if the run goes on past that."""
    try:
        said = job.log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(_complaints(job, said))


def _complaints(job: Job, said: list[str]) -> Iterator[str]:
    for line in said:
        if line.startswith("warning: "):
            yield line
        elif line.startswith("mespot ") and ": passed on: " not in line:
            yield f"{job.name} failed: {line.removeprefix('mespot ')}"


def named(running: list[Job], now: float) -> str:
    """What runs, the oldest first, how far it is and since when."""
    begun = sorted((job for job in running if job.runs), key=lambda job: job.seen)
    words = [_named(job, now) for job in begun[:AT_ONCE]]
    if more := len(begun[AT_ONCE:]):
        words.append(f"{more} more")
    if waiting := sum(job.seen is None for job in running):
        words.append(f"{waiting} waiting")
    return ", ".join(words)


def _named(job: Job, now: float) -> str:
    far = f" {job.part:.0%}" if job.part else ""
    return f"{job.name}{far} ({timing.words(now - job.seen)})"
