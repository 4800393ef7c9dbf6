"""What a run's jobs took and take: how far each is, how long is left, where the time went.

Read from what jobs leave under the results: `benchmarks/STAGE/...tsv`, written by Snakemake at a job's
end, and `logs/STAGE/...log`, in which the stage says how far it is.
"""

from __future__ import annotations

import csv
import heapq
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import NamedTuple

# A job begins with its imports, which take about so long, s, however long the video.
START = 1.0
# Jobs of a stage that tell what the next will take: the newest.
NEWEST = 50
# At the end: stages below this share of the time are one line, and of the others so many are shown.
SMALL, SHOWN = 0.01, 10
# A line of `progress`: frames, or whatever the stage counts, done, perhaps of how many, and the seconds.
LINE = re.compile(r": (\d+)(?: of (\d+))?(?:,| done in) ([\d.]+) s$", re.M)
TAIL = 4096  # bytes of a log that surely hold its last line of that kind


class Took(NamedTuple):
    """What a job took that has ended."""

    seconds: float
    memory: float  # MiB at its peak
    frames: int | None  # or whatever its stage counts


class Far(NamedTuple):
    """How far a job is by its log."""

    done: int
    total: int | None
    seconds: float

    @property
    def left(self) -> float | None:
        """Seconds, if it goes on as it did."""
        if not self.total or not self.done:
            return None
        return self.seconds * max(0.0, self.total / self.done - 1)


@dataclass
class Job:
    """A job that has been handed over to run: `name` says which of its stage."""

    stage: str
    name: str
    benchmark: Path
    log: Path
    seen: float | None = None  # when its log was first there: until then it waits, on a cluster
    far: Far | None = None
    told: float = 0.0  # when it was so far
    over: bool = False  # it has ended, but not what it is grouped with

    @property
    def runs(self) -> bool:
        return self.seen is not None and not self.over

    @property
    def part(self) -> float:
        """The part that is done, from 0 to 1."""
        if self.over:
            return 1.0
        return min(1.0, self.far.done / self.far.total) if self.far and self.far.total else 0.0

    def look(self, now: float) -> None:
        """Read how far it is. Snakemake takes an older log away before a job, but no older benchmark file."""
        with suppress(OSError):
            far = how_far(self.log)
            self.seen = self.seen or now
            if far != self.far:
                self.far, self.told = far, now
            self.over = self.benchmark.stat().st_mtime_ns >= self.log.stat().st_mtime_ns

    def took(self, now: float) -> Took:
        """What it took, now that it has ended; where a file is not to be seen yet, what was seen."""
        return took(self.benchmark, self.log) or Took(now - (self.seen or now), 0.0, None)

    def left(self, cost: float | None, now: float) -> float | None:
        """Seconds, by its log or where such a job takes `cost`; None: nothing tells.

        The longer of both: a stage counts only what takes longest of its work.
        """
        if not self.runs:
            return 0.0 if self.over else cost
        by_log = self.far.left if self.far else None
        known = [cost - (now - self.seen)] if cost is not None else []
        known += [by_log - (now - self.told)] if by_log is not None else []
        return max(0.0, *known) if known else None


@dataclass
class Stage:
    """One stage's jobs in a run: how many, each of which takes a `share` of the machine."""

    jobs: int = 0
    share: float = 1.0
    per_video: bool = False
    ended: int = 0
    earlier: list[Took] = field(default_factory=list)
    now: deque[Took] = field(default_factory=lambda: deque(maxlen=NEWEST))

    @property
    def timed(self) -> bool:
        """Whether a job of it has ended, in this run or before."""
        return bool(self.now or self.earlier)

    def cost(self, frames: float | None) -> float | None:
        """Seconds that a job takes, where a video of this run has so many frames; None: not known.

        Jobs of this run tell it, or else earlier ones; but of how many frames a video is a run must tell
        itself.
        """
        if not self.timed:
            return None
        ended = list(self.now) or self.earlier
        counted = [one for one in ended if one.frames] if self.per_video else []
        if not counted:
            return mean(one.seconds for one in ended)
        if frames is None:
            return None
        seconds = mean(one.seconds for one in counted)
        start = min(START, seconds)
        return start + (seconds - start) * frames / mean(one.frames for one in counted)


@dataclass
class Spent:
    """What a stage's jobs took together."""

    jobs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    name: str = ""  # of the slowest
    memory: float = 0.0  # MiB, of the job that took most

    def add(self, name: str, took: Took) -> None:
        self.jobs += 1
        self.seconds += took.seconds
        self.memory = max(self.memory, took.memory)
        if took.seconds >= self.slowest:
            self.slowest, self.name = took.seconds, name


class Left(NamedTuple):
    """Seconds that a run still takes; None before a first job tells how long its videos are."""

    seconds: float | None
    untimed: bool  # whether it has stages of which none has ended yet, which are not counted

    def __str__(self) -> str:
        if self.seconds is None:
            return "time left unknown yet"
        if self.untimed and self.seconds < 60:
            return "time left unknown until each stage has run once"
        if self.seconds < 45:
            return "under a minute left"
        return f"about {about(self.seconds)}{' or more' if self.untimed else ''} left"


class Run:
    """The jobs of one run of the workflow, as they begin and end."""

    def __init__(self, stages: dict[str, Stage], keep_going: bool, local: bool = True) -> None:
        self.stages, self.keep_going, self.local = stages, keep_going, local
        self.running: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.spent: dict[str, Spent] = {}
        self.frames: deque[int] = deque(maxlen=1000)  # of videos
        self.most = 0  # jobs at once

    @property
    def jobs(self) -> int:
        return sum(stage.jobs for stage in self.stages.values())

    @property
    def ended(self) -> int:
        return sum(stage.ended for stage in self.stages.values())

    def begin(self, number: int, job: Job) -> None:
        self.failed.pop(number, None)  # it is tried again
        self.running[number] = job

    def fail(self, number: int) -> None:
        if job := self.running.pop(number, None):
            self.failed[number] = job

    def end(self, number: int, now: float) -> Job | None:
        """Take up what the job took, and give it back."""
        job = self.running.pop(number, None)
        if job:
            took, stage = job.took(now), self.stages[job.stage]
            stage.ended += 1
            stage.now.append(took)
            self.spent.setdefault(job.stage, Spent()).add(job.name, took)
            if stage.per_video and took.frames:
                self.frames.append(took.frames)
        return job

    def look(self, now: float) -> None:
        """Read how far the running jobs are."""
        running = list(self.running.values())
        for job in running:
            job.look(now)
        self.most = max(self.most, sum(job.runs for job in running))

    def left(self, now: float) -> Left:
        """How long it still takes: all the work by all of the machine, but one video's stages in turn."""
        running = list(self.running.values())
        frames = self._frames(running)
        work = in_turn = 0.0
        untimed = unsized = False
        for name, stage in self.stages.items():
            cost = stage.cost(frames)
            each = [job.left(cost, now) for job in running if job.stage == name]
            each += [cost] * self._to_come(name, stage)
            if None in each:
                untimed, unsized = untimed or not stage.timed, unsized or stage.timed
            known = [seconds for seconds in each if seconds is not None]
            work += sum(known) * (stage.share if self.local else 1 / max(1, self.most))
            in_turn += max(known, default=0.0)
        queued = not self.local and not self.most
        return Left(None if unsized or queued else max(work, in_turn), untimed)

    def _to_come(self, name: str, stage: Stage) -> int:
        """How many jobs of a stage have not begun and will."""
        if self.failed and not self.keep_going:
            return 0
        begun = [*list(self.running.values()), *self.failed.values()]
        return max(0, stage.jobs - stage.ended - sum(job.stage == name for job in begun))

    def _frames(self, running: list[Job]) -> float | None:
        """Of a video of this run, on average; None where no job has told yet."""
        expected = [
            job.far.total
            for job in running
            if job.far and job.far.total and self.stages[job.stage].per_video
        ]
        known = [*self.frames, *expected]
        return mean(known) if known else None


def took(benchmark: Path, log: Path) -> Took | None:
    """What a job took by its benchmark file and its log; None where there is no such file."""
    try:
        with open(benchmark, newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        seconds, memory = float(row["s"]), row["max_rss"]
    except (OSError, StopIteration, KeyError, ValueError):  # one that is being written
        return None
    far = None
    with suppress(OSError):
        far = how_far(log)
    # Snakemake looks at memory from time to time: a job of an instant has none.
    return Took(seconds, float(memory) if memory[:1].isdigit() else 0.0, far.done if far else None)


def how_far(log: Path) -> Far | None:
    """What the last line of `progress` in a log says; None where there is none. Raises OSError."""
    with open(log, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        said = LINE.findall(file.read().decode(errors="replace"))
    if not said:
        return None
    done, total, seconds = said[-1]
    return Far(int(done), int(total) if total else None, float(seconds))


def earlier(results: Path, stage: str) -> list[Took]:
    """What the newest jobs of a stage took in runs before this one."""
    files = {}
    for path in benchmarks(results, stage):
        with suppress(OSError):
            files[path] = path.stat().st_mtime
    newest = heapq.nlargest(NEWEST, files, key=files.get)
    ended = [took(path, results / log_of(path.relative_to(results))) for path in newest]
    return [one for one in ended if one]


def spent(results: Path) -> dict[str, Spent]:
    """What all jobs took that have left a benchmark file, in whichever run."""
    by_stage: dict[str, Spent] = {}
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        if one := took(path, results / log_of(path.relative_to(results))):
            by_stage.setdefault(stage_of(path, results), Spent()).add(name_of(path, results), one)
    return by_stage


def benchmarks(results: Path, stage: str) -> list[Path]:
    """The benchmark files of a stage."""
    alone = results / "benchmarks" / f"{stage}.tsv"
    return [*(results / "benchmarks" / stage).rglob("*.tsv"), *[alone][: alone.exists()]]


def log_of(benchmark: Path) -> Path:
    """Where the log of the job is whose benchmark file this is, both below the results."""
    return Path("logs", *benchmark.parts[1:]).with_suffix(".log")


def stage_of(benchmark: str | Path, results: str | Path) -> str:
    """The stage whose benchmark file, or pattern of files, this is."""
    below = Path(benchmark).relative_to(Path(results) / "benchmarks")
    return below.parts[0].removesuffix(".tsv")


def name_of(benchmark: str | Path, results: str | Path) -> str:
    """Which job of its stage this is the benchmark file of."""
    below = Path(benchmark).relative_to(Path(results) / "benchmarks")
    return "/".join(below.with_suffix("").parts[1:])


def where(spent: dict[str, Spent]) -> list[str]:
    """Where the time went: a table's lines, the dearest stage first."""
    whole = sum(stage.seconds for stage in spent.values())
    dearest = sorted(spent.items(), key=lambda item: -item[1].seconds)
    shown = [item for item in dearest if item[1].seconds > SMALL * whole][:SHOWN]
    rows = [["stage", "jobs", "job time", "share", "peak memory", "slowest job"]]
    rows += [_row(name, stage, whole) for name, stage in shown]
    if others := [stage for _, stage in dearest[len(shown) :]]:
        rest = Spent(sum(stage.jobs for stage in others), sum(stage.seconds for stage in others))
        rows.append(_row("others", rest, whole)[:4])
    rows.append(["all", str(sum(stage.jobs for stage in spent.values())), words(whole)])
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(5)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:], strict=False)]
            + row[5:]
        )
        for row in rows
    ]


def _row(name: str, stage: Spent, whole: float) -> list[str]:
    share = f"{stage.seconds / whole:.0%}" if whole else ""
    slowest = f"{words(stage.slowest)}  {stage.name}".rstrip()
    memory = f"{stage.memory:.0f} MiB"
    return [name, str(stage.jobs), words(stage.seconds), share, memory, slowest]


def words(seconds: float) -> str:
    """A time as people say it: 45 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def about(seconds: float) -> str:
    """A time that is not known exactly: to the minute, above ten to five, above an hour to ten."""
    minutes = max(1.0, seconds / 60)
    step = 1 if minutes < 10 else 5 if minutes < 57.5 else 10 if minutes < 595 else 60
    whole = round(minutes / step) * step
    hours, rest = divmod(whole, 60)
    said = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest)
    return " ".join(said)
