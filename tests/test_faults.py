"""Faults that a stage meets: kill -9 in the middle of a write, a full disk, a drive that cannot be written.

Whatever happens, an output is there whole or not at all, and the same command again ends as if nothing
had been: the real stages, on one second of the demo and on planted features.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from planted import planted_store

from mespot.store import UNFINISHED

DYING = Path(__file__).with_name("dying.py")
FILLER = "filler"  # of a small drive
NEVER = 10**6
# Each stage's command; {given} is the folder of what others made, {out} where its own outputs go.
COMMANDS = {
    "demo": "demo --layout cas_me_sq --subject 0 --video 0 --frames {out}/frames --truth {out}/t.npz"
    ' --settings {"seconds":4,"size":[176,176]}',
    "decode": 'decode --source {given}/demo/frames --out {out}/v.mkv --settings {"to_s":1}',
    "align": "align --decoded {given}/decode/v.mkv --out {out}/v.h5 --out-video {out}/v.mkv"
    ' --settings {"size":96}',
    "flow": "flow --aligned {given}/align/v.mkv --out {out}/v.h5"
    ' --settings {"sets":{"published":{"iterations":20}}}',
    "train": "train --features {given}/data/features.h5 --annotation {given}/data/annotation.csv --left-out s0"
    ' --out {out}/model.pt --epochs {out}/epochs.pt --history {out}/h.csv --settings {"epochs":12}',
    "spot": "spot --features {given}/data/features.h5"
    " --out {out}/intervals.csv --not-counted {out}/not_counted.csv --lanes {out}/lanes.csv --curves {out}/curves.h5",
    "score": "score --annotation {given}/data/annotation.csv --intervals {given}/spot/intervals.csv"
    " --protocol strict --out {out}/score.json",
    "report": "report --results {given} --shown data/spot --out {out}/index.html",
    "curves": "curves --features {given}/data/features.h5 --curves {given}/spot/curves.h5 --out {out}/c.csv",
}


def command(stage: str, given: Path, out: Path) -> list[str]:
    words = COMMANDS[stage].split()
    return [word.replace("{given}", str(given)).replace("{out}", str(out)) for word in words]


def dying(stage: str, given: Path, out: Path, step: int) -> list[str]:
    """The command line of a stage that is killed before that step, if it comes so far."""
    return [sys.executable, str(DYING), f"{out}/", str(step), *command(stage, given, out)]


def run(stage: str, given: Path, out: Path, step: int = NEVER) -> subprocess.CompletedProcess:
    line = dying(stage, given, out, step)
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """What each stage makes undisturbed, in a folder of its name, and in how many steps."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "data").mkdir()
    planted_store(folder / "data" / "features.h5", 2).to_csv(
        folder / "data" / "annotation.csv", index=False
    )
    with h5py.File(folder / "data" / "features.h5", "a") as file:
        file.attrs["missing"] = np.bytes_("{}")  # no video is
    steps = {}
    for stage in COMMANDS:
        done = run(stage, folder, folder / stage)
        assert done.returncode == 0, done.stderr
        steps[stage] = int(done.stdout.split()[-1])
        if stage == "spot":  # where the page looks for it
            shutil.copytree(folder / "spot", folder / "data" / "spot")
    return folder, steps


@pytest.fixture
def out(whole) -> Path:
    """A folder beside those of `whole`: an output's record names inputs by where they lie from there."""
    return Path(tempfile.mkdtemp(dir=whole[0]))


def contents(path: Path) -> bytes | dict[str, bytes]:
    """A file's bytes, or those of the files in a folder, but for what is unfinished."""
    if path.is_file():
        return path.read_bytes()
    files = (file for file in path.rglob("*") if file.is_file())
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in files
        if not file.name.startswith(UNFINISHED)
    }


def half_made(out: Path, whole: Path) -> list[str]:
    """The outputs that lie in `out` and are not whole (a training's checkpoint is none)."""
    # Of several outputs one may have its record and the other not yet.
    both = [*out.glob("*"), *out.glob(".made/*")]
    made = [path for path in both if not path.name.startswith((UNFINISHED, FILLER, ".made"))]
    return [
        str(path.relative_to(out))
        for path in made
        if path.suffix != ".checkpoint"
        and contents(path) != contents(whole / path.relative_to(out))
    ]


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_stage_killed_at_any_step_leaves_nothing_half_made(whole, out, stage):
    """Killed again and again, at its first, middle and last steps, it comes to the same end."""
    folder, steps = whole
    last = steps[stage]
    for step in sorted({1, last // 2, last} - {0}):
        done = run(stage, folder, out, step)
        # A training that goes on at its checkpoint has fewer steps to its end.
        assert done.returncode == -9 or (stage, done.returncode) == ("train", 0), done.stderr
        assert half_made(out, folder / stage) == [], step
    done = run(stage, folder, out)
    assert done.returncode == 0, done.stderr
    assert half_made(out, folder / stage) == []
    assert len(contents(out)) >= len(contents(folder / stage))


@pytest.mark.parametrize("stage", ["decode", "flow"])
def test_a_stage_killed_while_a_c_library_writes_leaves_nothing_half_made(whole, out, stage):
    folder, _ = whole
    for seconds in (0.0, 0.2):
        before = set(out.iterdir())
        line = dying(stage, folder, out, NEVER)
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and set(out.iterdir()) == before:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        process.wait()
        assert half_made(out, folder / stage) == []
    assert list(out.glob(f"{UNFINISHED}*")), "killed while it wrote"
    assert run(stage, folder, out).returncode == 0
    assert half_made(out, folder / stage) == []


@pytest.fixture
def drive(out):
    """A small drive of its own, 4 MB, empty."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no drive can be mounted here: {done.stderr.strip()}")
    yield out
    subprocess.run(["umount", str(out)], check=True)


def fill(drive: Path) -> None:
    """Leave a page of the drive, enough to make a file and not to write it."""
    with open(drive / FILLER, "wb") as file:
        free = os.statvfs(drive)
        os.posix_fallocate(file.fileno(), 0, (free.f_bavail - 1) * free.f_frsize)


@pytest.mark.parametrize("stage", ["demo", "flow", "train", "report"])
def test_a_full_disk_is_one_line_and_costs_nothing_but_the_job(whole, drive, stage):
    folder, _ = whole
    fill(drive)
    done = run(stage, folder, drive)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"mespot {stage}: {drive}")
    assert last.endswith("free some space there and run again")
    assert half_made(drive, folder / stage) == []
    assert not list(drive.rglob(f"{UNFINISHED}*"))
    (drive / FILLER).unlink()
    assert run(stage, folder, drive).returncode == 0
    assert half_made(drive, folder / stage) == []


@pytest.mark.parametrize("stage", ["flow", "score"])
def test_a_drive_that_cannot_be_written_is_one_line(whole, drive, stage):
    folder, _ = whole
    remount = ["mount", "-o", "remount,{}", str(drive)]
    subprocess.run([word.format("ro") for word in remount], check=True)
    done = run(stage, folder, drive)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"mespot {stage}: {drive}")
    assert "Read-only file system; write elsewhere" in last
    subprocess.run([word.format("rw") for word in remount], check=True)
    assert run(stage, folder, drive).returncode == 0
    assert half_made(drive, folder / stage) == []
