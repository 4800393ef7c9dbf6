"""Faults that a run meets, with real Snakemake and real stages, on two tiny datasets.

After each of them the command that the message tells, and a run, end in what an undisturbed run ends in:
the same bytes in every table and page, the same arrays. All paths of a run are relative, so that its
folder can be copied, Snakemake's records and all.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import psutil
import pytest
import yaml
from same import different
from test_workflow import Workflow

from mespot import demo
from mespot.settings import Demo
from mespot.store import UNFINISHED

CONFIG = {
    "results": "results",
    "datasets": {
        "color": {"layout": "cas_me_sq", "demo": True, "fps": 30},
        "mine": {"layout": "videos", "root": "videos", "annotation": "a.csv", "fps": 30},
    },
    "demo": {"subjects": 2, "videos": 1, "seconds": 4, "size": [176, 176]},
    "align": {"size": 96},
    "flow": {"sets": {"published": {"scales": 2, "warps": 1, "iterations": 5}}},
    "methods": {"mespot": {"train": {"epochs": 2}, "datasets": {"color": {}}}},
}
TABLE = "subject,video,type,onset,apex,offset,au\np1,p1,macro,10,20,30,12\np2,p2,micro,10,14,18,4\n"


class Run(Workflow):
    """The run of a folder's own config.yaml."""

    def run(self, *arguments: str, config: None = None) -> subprocess.CompletedProcess:
        process = self.begin(*arguments)
        said = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, *said)

    def begin(self, *arguments: str) -> subprocess.Popen:
        """The run, not waited for: it has a process group of its own."""
        return self.run_with(self.folder / "config.yaml", *arguments)

    @staticmethod
    def execute(command: list, environment: dict) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    def remove(self, *names: str) -> None:
        for name in names:
            path = self.results / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def unfinished(self) -> list[Path]:
        return list(self.results.rglob(f"{UNFINISHED}*"))

    def n_files(self) -> int:
        return sum(path.is_file() for path in self.results.rglob("*"))


def last(done: subprocess.CompletedProcess) -> str:
    return done.stderr.splitlines()[-1]


def wait_for(seen: Callable[[], object], process: subprocess.Popen) -> object:
    """What is seen, as soon as there is anything while the process lives."""
    while not (found := seen()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Run:
    """A run to the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = Demo(size=(176, 176), seconds=4)
    for subject in (1, 2):
        person = demo.make_subject("cas_me_sq", subject, settings)
        script = demo.script("cas_me_sq", subject, 0, settings)
        frames = folder / "videos" / f"p{subject}"
        frames.mkdir(parents=True)
        for t, (frame, _) in enumerate(demo.render(person, script, settings)):
            if t < 45:
                cv2.imwrite(str(frames / f"f{t}.png"), frame[..., ::-1])
    (folder / "a.csv").write_text(TABLE)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    run = Run(folder, CONFIG)
    done = run.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture
def copy(undisturbed, tmp_path) -> Run:
    """Of that run, to disturb."""
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path, CONFIG)


def ends_as(undisturbed: Run, run: Run) -> None:
    done = run.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert different(undisturbed.results, run.results) == []


def test_a_killed_run_goes_on_where_it_was_and_two_at_once_are_kept_apart(undisturbed, copy):
    copy.remove("color", "demo", "report", "summary.csv")
    for more in (3, 12):
        before = copy.n_files()
        process = copy.begin()
        wait_for(lambda before=before, more=more: copy.n_files() >= before + more, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = copy.run()
        assert done.returncode != 0
        assert last(done).startswith(f"mespot: {copy.folder}: another run is at work here; wait")
        assert "one was killed: give the same command with --unlock first" in last(done)
        assert "Traceback" not in done.stderr
        assert copy.run("--unlock").returncode == 0
    # What it left half-written an hour ago is removed; what may be in work is not.
    old, new = (copy.results / "mine" / f"{UNFINISHED}{age}.h5" for age in ("old", "new"))
    for path in (old, new):
        path.touch()
    for path in set(copy.unfinished()) - {new}:
        os.utime(path, (time.time() - 4000,) * 2)
    process = copy.begin()
    wait_for(lambda: not old.exists(), process)
    second = copy.run()
    assert second.returncode != 0
    assert last(second).startswith(f"mespot: {copy.folder}: another run is at work here; wait")
    assert "Traceback" not in second.stderr
    said = process.communicate()
    assert process.returncode == 0, said
    assert copy.unfinished() == [new]
    new.unlink()
    assert different(undisturbed.results, copy.results) == []


def test_a_job_that_is_killed_is_named(undisturbed, copy):
    target = "results/mine/flow/p1.h5"
    copy.remove("mine/flow/p1.h5")
    process = copy.begin(target)

    def job() -> psutil.Process | None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                words = child.cmdline()
                if "flow" in words and "bash" not in words[0]:
                    return child
        return None

    wait_for(job, process).kill()
    said = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 2
    assert said.startswith("mespot: flow/mine/p1: killed, as the system does when memory runs out")
    assert not (copy.folder / target).exists()
    assert copy.run(target).returncode == 0
    for path in copy.unfinished():
        path.unlink()
    assert different(undisturbed.results, copy.results) == []


def test_damaged_results_are_named_until_they_are_made_anew(undisturbed, copy):
    names = ("mine/align/p1.mkv", "mine/roi/p2.h5", "color/mespot/folds/casme_015/model.pt")
    damaged = {f"results/{name}": copy.results / name for name in names}
    for path in damaged.values():
        os.truncate(path, path.stat().st_size * 2 // 3)
    while damaged:
        done = copy.run()
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        named = re.findall(r"^(?:mespot: )?\w+: (results\S+): .*delete it", done.stderr, re.M)
        assert {*named} & {*damaged}, done.stderr
        for name in {*named} & {*damaged}:
            damaged.pop(name).unlink()
    done = copy.run()
    assert done.returncode == 0, done.stdout + done.stderr
    # What of a video's stages is missing and needed by nothing is not made.
    missing = re.compile(r"mine/(flow|landmarks|roi|mdmo)/p\d.h5: only in .*/undisturbed")
    assert [d for d in different(undisturbed.results, copy.results) if not missing.match(d)] == []


def test_a_night_with_a_bad_video_and_a_bad_spreadsheet_costs_only_them(undisturbed, copy):
    frame, sheet = copy.folder / "videos/p1/f7.png", copy.results / "demo/color/annotation.xlsx"
    good = frame.read_bytes()
    for path in (frame, sheet):
        path.write_bytes(b"no longer")
    done = copy.run("--keep-going")
    assert done.returncode == 2, done.stdout + done.stderr
    *_, before, line = done.stderr.splitlines()
    assert re.match("mespot: p1 failed: decode: .*f7.png: frame cannot be read", before)
    assert line.startswith("annotation: results/demo/color/annotation.xlsx: ")
    assert "Traceback" not in done.stderr
    # The other video of the one dataset has been spotted in; the other dataset is as it was but for that.
    assert (copy.results / "mine/displacement/score.json").exists()
    assert not (copy.results / "color/annotation.csv").exists()
    frame.write_bytes(good)
    sheet.unlink()
    ends_as(undisturbed, copy)


def test_times_that_jump_make_nothing_run_again(undisturbed, copy):
    """A clock that was a day ahead and was put right; and results that were copied with any times."""
    copy.remove("color/displacement/score.json", "summary.csv")
    tomorrow = time.time() + 86400
    for path in copy.results.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    assert copy.would_run() == {"score", "aggregate", "figures", "figures_table", "report"}
    ends_as(undisturbed, copy)
    assert copy.would_run() == set()
    jumps = random.Random(0)
    for path in copy.results.rglob("*.*"):
        if (
            "demo" not in path.parts
        ):  # of a folder, as of its frames, Snakemake knows the time alone
            os.utime(path, (tomorrow + jumps.uniform(0, 86400),) * 2)
    assert copy.would_run() == set()


@pytest.fixture
def drive(undisturbed, tmp_path):
    """A copy of that run with its results on a small drive."""
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    run = Run(tmp_path, CONFIG)
    run.results.rename(tmp_path / "kept")
    run.results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(run.results)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no drive can be mounted here: {done.stderr.strip()}")
    shutil.copytree(tmp_path / "kept", run.results, dirs_exist_ok=True)
    yield run
    subprocess.run(["umount", str(run.results)], check=True)


def test_a_full_or_read_only_drive_is_one_line(undisturbed, drive):
    drive.remove("report")
    filler = drive.results / "filler"
    for left in (20, 0):  # pages: enough to begin; nothing
        filler.unlink(missing_ok=True)
        with open(filler, "wb") as file:
            free = os.statvfs(drive.results)
            os.posix_fallocate(file.fileno(), 0, (free.f_bavail - left) * free.f_frsize)
        done = drive.run()
        assert done.returncode == 2, done.stdout + done.stderr
        where = (
            "(figures|report): results/report/" if left else f"{re.escape(str(drive.results))}: "
        )
        assert re.match(f"(mespot: )?{where}", last(done))  # the last of several lines
        assert re.search(r"No space left on device\)?; free some space there", last(done))
        assert "Traceback" not in done.stderr
    filler.unlink()
    remount = ["mount", "-o", "remount,{}", str(drive.results)]
    subprocess.run([word.format("ro") for word in remount], check=True)
    done = drive.run()
    assert done.returncode == 2
    assert last(done).startswith(
        f"mespot: {drive.results}: cannot be written (Read-only file system)"
    )
    subprocess.run([word.format("rw") for word in remount], check=True)
    ends_as(undisturbed, drive)
