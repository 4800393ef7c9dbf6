"""Which GPU a job uses. (There is none here: devices are files of a test, and nothing is run on them.)"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mespot import gpus

TAKE = "import os, time; from mespot import gpus; gpus.take_one()\n"
TAKE += "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("given", "devices", "names"),
    [
        (None, ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], ["0", "1"]),
        (None, ["nvidiactl"], []),
        ("", ["nvidia0"], []),
        ("-1", ["nvidia0"], []),
        ("3,GPU-8f6", [], ["3", "GPU-8f6"]),
    ],
)
def test_visible_gpus_are_named_as_cuda_names_them(tmp_path, monkeypatch, given, devices, names):
    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.visible() == names


@pytest.fixture
def jobs(tmp_path):
    """Starts a process that takes a GPU; gives it and the GPU's name."""
    started = []

    def start(visible: str) -> tuple[subprocess.Popen, str]:
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)}
        job = subprocess.Popen([sys.executable, "-c", TAKE], stdout=-1, text=True, env=environment)
        started.append(job)
        return job, job.stdout.readline().strip()

    yield start
    for job in started:
        job.kill()
        job.wait()
        job.stdout.close()


def test_each_job_takes_a_gpu_that_no_other_has(jobs):
    first, second, third = jobs("4,MIG-a/1"), jobs("4,MIG-a/1"), jobs("4,MIG-a/1")
    assert (first[1], second[1]) == ("4", "MIG-a/1")
    assert third[1] in ("4", "MIG-a/1"), "more jobs than GPUs share them"
    first[0].send_signal(signal.SIGKILL)
    first[0].wait()
    assert jobs("4,MIG-a/1")[1] == "4"


@pytest.mark.parametrize("visible", ["", "7"])
def test_none_or_one_stays_as_it_is(jobs, visible):
    """As Slurm gives it to a job; others that see the same one share it."""
    assert jobs(visible)[1] == visible
    assert jobs(visible)[1] == visible
