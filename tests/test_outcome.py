"""What the last lines of a failed run say, from Snakemake's log as its Slurm executor writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mespot import outcome
from mespot.config import load
from mespot.plan import Plan

SENT = "Job 3 has been submitted with SLURM jobid {number} (log: {log}).\n"


@pytest.fixture
def last_line(tmp_path, capsys, default_config):
    """The last line after a run with this log; None if nothing is to be added to Snakemake's."""
    plan = Plan(load(default_config | {"results": str(tmp_path / "results")}))

    def said(log: str) -> str | None:
        (tmp_path / "snakemake.log").write_text(log)
        try:
            outcome.print_error(plan, [str(tmp_path / "snakemake.log")])
        except SystemExit:
            return capsys.readouterr().err.splitlines()[-1]
        return None

    return said


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_what_a_job_says_is_found_beside_slurms_own_log(tmp_path, last_line):
    log = written(tmp_path / "a, b.log", "mespot demo: a: old\nmespot check: a.csv: no column\n")
    slurms = written(tmp_path / "7.log", "slurmstepd: error: *** JOB 7 ON n CANCELLED ***\n")
    for logs in (f"{log}, {slurms}", f"{log}"):
        line = f"Error in rule check:\n    log: {logs} (check log file(s) for error details)\n"
        assert last_line("SLURM run ID: 1\n" + line) == "mespot: check: a.csv: no column"


def test_why_slurm_ended_a_job_is_said_of_its_last_attempt(tmp_path, last_line):
    time = "*** JOB 8 ON n CANCELLED AT 2026-11-26T13:34:54 DUE TO TIME LIMIT ***"
    logs = [
        written(tmp_path / "7.log", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0\n"),
        written(tmp_path / "8.log", f"srun: error: x\nslurmstepd-n: error: {time}\nsrun: got\n"),
    ]
    sent = "".join(SENT.format(number=path.stem, log=path) for path in logs)
    assert last_line("SLURM run ID: 1\n" + sent) == f"mespot: {logs[1]}: {time}"


def test_why_sbatch_refused_a_job_is_said(last_line):
    refused = "    message: SLURM sbatch failed. The error message was 'sbatch: error: a\nsbatch: error: b'.\n    sbatch call:\n        sbatch --wrap=\"'x'.\n"
    assert last_line("SLURM run ID: 1\n" + refused) == "sbatch: error: b"


def test_nothing_is_added_to_what_snakemake_says_of_a_job(tmp_path, last_line):
    assert last_line("SLURM run ID: 1\n" + SENT.format(number=1, log="gone.log")) is None
    assert last_line("Error in rule spot\n") is None
    cancelled = "slurmstepd: error: *** JOB 3 ON n CANCELLED AT 2026-11-26T14:25:08 ***\n"
    sent = SENT.format(number=3, log=written(tmp_path / "3.log", cancelled))
    assert last_line("SLURM run ID: 1\n" + sent) is None


def test_a_file_from_the_future_is_named(last_line):
    """As a camera whose clock is wrong leaves it: Snakemake fails each job that reads it."""
    output = "Output r/a.mkv has older modification time (2026-11-26 14:32:02.08) than input v/a (1).mp4 "
    said = "(2027-11-27 14:31:53.87). This could indicate a clock skew problem in your network"
    assert last_line(output + said) == (
        "mespot: v/a (1).mp4: from the future (2027-11-27 14:31:53.87); set the clock right or `touch` it, "
        "and run again"
    )
