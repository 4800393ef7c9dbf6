"""The workflow on a Slurm of one node, started here: `make test-slurm`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cluster import cluster, missing, said
from PIL import Image
from same import different
from test_workflow import ROOT, TINY, Workflow, datasets

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

# No more than the one node has, and a look at the queue every few seconds.
SLURM = [
    "--profile",
    str(ROOT / "profiles" / "slurm"),
    "--slurm-no-account",
    "--resources",
    "gpu=1",
]
SLURM += ["mem_mb=12000", "--slurm-init-seconds-before-status-checks", "3"]
CONFIG = TINY | {"datasets": {"color": datasets()["color"]}}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("slurm") / "node") as environment:
        yield environment


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Workflow:
    """The same without Slurm."""
    workflow = Workflow(tmp_path_factory.mktemp("local"), CONFIG)
    done = workflow.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow


def kill_one(stage: str, folder: Path) -> None:
    """Kill the first job of a stage that works in `folder`, in the middle."""
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
                here = (process / "cwd").readlink() == folder
            except OSError:  # it has ended meanwhile
                continue
            if here and any(word.endswith("/mespot") for word in words[:2]) and stage in words[:3]:
                time.sleep(0.5)
                os.kill(int(process.name), signal.SIGKILL)
                return
        time.sleep(0.05)


def asked(slurm: Mapping[str, str]) -> dict[str, list[str]]:
    """What the Slurm jobs of each group or rule asked for, and how they ended, sorted."""
    fields = "NumCPUs:10|,MinMemory:10|,tres-per-job:20|,TimeLimit:10|,State:20|,Comment:80"
    jobs: dict[str, list[str]] = {}
    table = said(slurm, "squeue", "--states=all", "--noheader", f"--Format={fields}")
    for line in table.splitlines():
        *request, name = (part.strip() for part in line.split("|"))
        jobs.setdefault(name.split("_")[1], []).append(" ".join(request))
    return {name: sorted(requests) for name, requests in jobs.items()}


def test_a_killed_job_is_tried_again_and_the_results_are_those_of_a_local_run(
    slurm, local, tmp_path
):
    workflow = Workflow(tmp_path, CONFIG)
    killer = threading.Thread(target=kill_one, args=("flow", tmp_path), daemon=True)
    killer.start()
    done = workflow.run(*SLURM, **slurm)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not killer.is_alive()
    assert different(local.results, workflow.results) == []
    assert workflow.would_run() == set()
    # A video is one job, so are the trainings; the second attempt asks for more.
    jobs = asked(slurm)
    assert jobs["prepare"] == [
        "2 12000M gres:gpu:1 5:20:00 COMPLETED",
        "2 6000M gres:gpu:1 2:40:00 COMPLETED",
        "2 6000M gres:gpu:1 2:40:00 FAILED",
    ]
    assert jobs["train"] == ["1 3000M gres:gpu:1 1:00:00 COMPLETED"]
    assert {len(jobs[name]) for name in ("tables", "spot", "report")} == {1}


@pytest.fixture
def own(tmp_path) -> Workflow:
    """One's own video, a folder of frames with one that cannot be read."""
    (tmp_path / "video").mkdir()
    Image.new("L", (64, 64)).save(tmp_path / "video" / "1.png")
    (tmp_path / "video" / "2.png").write_bytes(b"no picture")
    return Workflow(tmp_path / "work", {"video": str(tmp_path / "video")})


def last(done) -> str:
    return done.stderr.splitlines()[-1]


def test_a_bad_video_is_named_in_the_last_line(slurm, own):
    """It goes on as with --keep-going, which jobs on the nodes must know of."""
    done = own.run(*SLURM, "--restart-times", "0", **slurm)
    assert done.returncode == 2, done.stdout + done.stderr
    assert last(done).startswith("mespot: video failed: decode: ")
    assert "2.png: frame cannot be read" in last(done)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--default-resources", "slurm_partition=nowhere"], "Invalid partition name specified"),
        (["--default-resources", "slurm_extra='--gpus=2'"], "Requested node configuration is not"),
    ],
)
def test_what_slurm_would_refuse_is_said_before_anything_runs(slurm, own, changed, message):
    done = own.run(*SLURM, *changed, **slurm)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "mespot: Slurm would take no job: sbatch --test-only --wrap=true" in done.stderr
    assert message in last(done)
    assert said(slurm, "squeue", "--noheader") == ""
