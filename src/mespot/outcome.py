"""What a run came to: what its stages warned of, what failed, where to look, and the headline table."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mespot import own, slurm
from mespot.plan import Plan
from mespot.start import stop

# How Snakemake says that a command was ended by kill -9, and what to do about it.
KILLED = ("returned non-zero exit status 137", "died with <Signals.SIGKILL")
MEND = (
    "killed, as the system does when memory runs out; run again, with fewer jobs at once (--cores)"
)

# How it says that a file has a time that is still to come: the clock was put back, or was another's.
FROM_THE_FUTURE = re.compile(
    r"older modification time \(.+?\) than input (.+) \((.+?)\)\. This could"
)


def print_result(plan: Plan) -> None:
    """After a run without a failed job; exits with 2 where videos failed all the same."""
    if plan.config.video:
        _print_own(plan)
    else:
        _print_table(plan)
    if failed := failures(plan):
        stop("\n".join(failed))


def print_error(plan: Plan, logs: Iterable[str]) -> None:
    """Why jobs failed: the last lines, not some among Snakemake's, whose `logs` name theirs."""
    failed = failures(plan)
    own_ = plan.config.video
    if own_ and len(failed) == len(plan.videos(plan.config.own_name)):
        stop("\n".join(failed))
    logs = [Path(log).read_text() for log in logs]
    if said := list(dict.fromkeys(_said_by_jobs(plan, logs))) or slurm.said(logs):
        stop("\n".join([*failed, *said]))


def failures(plan: Plan) -> list[str]:
    """A line for each video that failed."""
    files = [file for name in plan.config.datasets for file in plan.of_videos(name, "mdmo")]
    return own.failures(map(Path, [*files, *plan.own_overlays()])).splitlines()


def _said_by_jobs(plan: Plan, logs: Iterable[str]) -> Iterator[str]:
    """The messages in the logs of failed jobs; one that was killed could not leave any."""
    for log in logs:
        of_jobs = re.findall(r"^ +log: (.+) \(check log file", log, re.M)
        # Slurm's own log of the job stands behind the job's.
        both = [path for paths in of_jobs for path in (paths, paths.rpartition(", ")[0])]
        for path in filter(Path.is_file, map(Path, dict.fromkeys(both))):
            lines = path.read_text().splitlines()
            said = [line for line in lines if line.startswith("mespot ")]
            yield from (line.removeprefix("mespot ") for line in said[-1:])
            # A command ends with the name of its log.
            if any(f"{shlex.quote(str(path))}' {how}" in log for how in KILLED):
                job = path.relative_to(Path(plan.results, "logs")).with_suffix("")
                yield f"{job}: {MEND}"
        for file, when in FROM_THE_FUTURE.findall(log):
            yield f"{file}: from the future ({when}); set the clock right or `touch` it, and run again"


def _print_warnings(plan: Plan, dataset: str) -> None:
    """What the stages warned of. A video that is no longer there has a log all the same."""
    where = Path(plan.results, "logs")
    logs = [
        where / stage / dataset / f"{video}.log"
        for stage in ("decode", "align", "mdmo")
        for video in plan.videos(dataset)
    ]
    logs += sorted((where / "annotation").glob(f"{dataset}*.log"))
    for log in logs:
        for line in log.read_text().splitlines() if log.exists() else []:
            if line.startswith("warning: "):
                print(line)


def _print_own(plan: Plan) -> None:
    """What was spotted in one's own videos."""
    config = plan.config
    intervals, page = plan.own_results()
    if not Path(intervals).exists():
        return
    _print_warnings(plan, config.own_name)
    for line in own.passed_over(config.video):
        print(f"warning: {line}")
    spotted = Path(intervals)
    not_counted = spotted.with_name("not_counted.csv")
    features = Path(plan.results, config.own_name, "features.h5")
    print("", own.overview(spotted, not_counted, features, sys.stdout.isatty()), sep="\n")
    if len(plan.videos(config.own_name)) == 1:
        print("", own.listing(spotted), sep="\n")
    print(f"\nintervals: {intervals}\npage:      {page}", flush=True)


def _print_table(plan: Plan) -> None:
    for dataset in plan.labelled:
        _print_warnings(plan, dataset)
    for line in plan.left_aside():
        print(f"warning: {line}")
    for path in (Path(plan.results, name, "check.csv") for name in plan.checked):
        if path.exists():
            from mespot.check import counted

            print(f"{path}: {counted(path)}")
    summary = Path(plan.results, "summary.csv")
    if summary.exists():
        from mespot.aggregate import headline

        print(f"\n{headline(summary, plan.config.report.headline)}\n\ntable: {summary}")
        print(f"page:  {plan.results}/report/index.html", flush=True)
