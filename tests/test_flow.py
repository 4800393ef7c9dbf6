"""flow: what is stored is the motion from frame t to t+1, whatever the batch and the backend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from mespot import flow as module
from mespot import store, video
from mespot.errors import InputError
from mespot.flow import flow
from mespot.settings import Flow
from mespot.tvl1.cpu import tvl1

SHIFT = 0.6


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """A face that moves to the right by SHIFT px a frame."""
    face = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)[70:190, 165:285]
    frames = [
        cv2.warpAffine(
            face, np.float64([[1, 0, SHIFT * t], [0, 1, 0]]), (64, 64), flags=cv2.INTER_CUBIC
        )
        for t in range(20)
    ]
    path = tmp_path_factory.mktemp("flow") / "v.mkv"
    video.write(path, frames, 30, "source")
    return path


@pytest.mark.parametrize("backend", ["cpu", "torch", "opencv"])
def test_known_shift(aligned, tmp_path, backend):
    flow(aligned, tmp_path / "f.h5", Flow(backend=backend))
    with store.read(tmp_path / "f.h5") as file:
        rows = file["flow"]
        assert rows.shape == (19, 2, 64, 64)
        assert rows.dtype == np.int16
        assert rows.chunks == (1, 2, 64, 64)
        inner = rows[:, :, 12:-12, 12:-12] * store.FLOW_UNIT
        assert inner[:, 0].mean((1, 2)) == pytest.approx(SHIFT, abs=0.08)
        assert inner[:, 1].mean((1, 2)) == pytest.approx(0, abs=0.05)
        about = store.attributes(file)
        assert (about["fps"], about["source"]) == (30, "source")
        assert (about["backend"], about["saturated"]) == (backend, 0)


def rows_of(path):
    with store.read(path) as file:
        return file["flow"][:]


def test_a_pairs_flow_depends_neither_on_its_batch_nor_on_threads(aligned, tmp_path, monkeypatch):
    rows = []
    for batch, threads in ((3, 1), (16, 2)):
        monkeypatch.setattr(module, "CPU_BATCH", batch)
        flow(aligned, tmp_path / "f.h5", Flow(), threads)
        rows.append(rows_of(tmp_path / "f.h5"))
    np.testing.assert_array_equal(*rows)


def test_the_fast_path_stores_what_the_plain_one_does(aligned, tmp_path):
    for backend in ("cpu", "torch"):
        flow(aligned, tmp_path / f"{backend}.h5", Flow(backend=backend))
    cpu, plain = (rows_of(tmp_path / f"{name}.h5").astype(int) for name in ("cpu", "torch"))
    # One of many pairs may stop an iteration earlier or later; else it is one step, by rounding.
    assert np.abs(cpu - plain).mean() < 0.5


def test_the_set_of_parameters_is_the_named_one(aligned, tmp_path):
    flow(aligned, tmp_path / "f.h5", Flow(backend="cpu", set="micro"))
    frames = np.stack(list(video.read(aligned))).astype(np.float32)
    expected = tvl1(frames[:-1], frames[1:], Flow().sets["micro"])
    np.testing.assert_array_equal(rows_of(tmp_path / "f.h5"), store.flow_to_int16(expected)[0])


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(module, "gpu", lambda: True)
    assert (module.choose("auto"), module.choose("cuda")) == ("cuda", "cuda")
    assert module.choose("torch") == "torch"
    monkeypatch.setattr(module, "gpu", lambda: False)
    assert module.choose("auto") == "cpu"
    with pytest.raises(InputError, match="no GPU that PyTorch can use; take auto or cpu"):
        module.choose("cuda")


def test_the_cpu_path_does_not_wait_for_torch(aligned, tmp_path):
    code = (
        "import sys; from pathlib import Path; from mespot.flow import flow\n"
        "from mespot.settings import Flow\n"
        "flow(Path(sys.argv[1]), Path(sys.argv[2]), Flow(backend='cpu'))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, aligned, tmp_path / "f.h5"], check=True)


def test_stored_steps_are_within_half_a_step_and_hold_at_the_end():
    flow_px = np.array([0.001, -0.25, 3.14159, 500, -500])
    stored, saturated = store.flow_to_int16(flow_px)
    assert np.abs(stored[:3] * store.FLOW_UNIT - flow_px[:3]).max() <= store.FLOW_UNIT / 2
    assert stored[3:].tolist() == [32767, -32768]
    assert saturated == 2


def test_saturation_is_counted_and_said(aligned, tmp_path, monkeypatch, capsys):
    far = np.zeros((19, 2, 64, 64), np.float32)
    far[3, 1, :2, :5], far[7, 0, 0, 0] = 200, -129
    monkeypatch.setitem(module.SOLVERS, "cpu", lambda *_: lambda frames: far)
    flow(aligned, tmp_path / "f.h5", Flow(backend="cpu"))
    with store.read(tmp_path / "f.h5") as file:
        assert file.attrs["saturated"] == 11
        assert file["flow"][7, 0, 0, 0] == -32768
    assert "11 components of the flow are beyond 128 px" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [0, 3])
def test_writer_threads_store_the_same(tmp_path, threads):
    flows = np.random.default_rng(0).standard_normal((25, 2, 20, 30)).astype(np.float32)
    with store.create(tmp_path / "f.h5", stage="flow", settings={}) as file:
        rows = store.frames_dataset(file, "flow", flows.shape, np.int16)
        assert store.write_flow(rows, iter(flows), threads) == 0
    np.testing.assert_array_equal(rows_of(tmp_path / "f.h5"), store.flow_to_int16(flows)[0])


def test_a_window_of_frames_is_read_alone(aligned, tmp_path):
    """One frame a chunk: reading some frames touches no others."""
    flow(aligned, tmp_path / "f.h5", Flow(backend="cpu"))
    with store.read(tmp_path / "f.h5") as file:
        whole, at = file["flow"][:], file["flow"].id.get_chunk_info(12).byte_offset
        size = file["flow"].id.get_chunk_info(12).size
    with open(tmp_path / "f.h5", "r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * size)
    with store.read(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["flow"][3:12], whole[3:12])
        with pytest.raises(OSError, match="read"):
            file["flow"][12]


def test_a_killed_run_leaves_no_output_and_the_next_is_complete(aligned, tmp_path):
    long, out = tmp_path / "long.mkv", tmp_path / "f.h5"
    frames = list(video.read(aligned))
    video.write(long, (frames[k % 20] for k in range(1500)), 30, "source")
    mespot = Path(sys.executable).with_name("mespot")
    command = [mespot, "flow", "--aligned", long, "--out", out]
    job = subprocess.Popen(
        [*command, "--settings", '{"backend": "cpu"}'], stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.glob(".mespot-*")):
        assert job.poll() is None
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not out.exists()
    flow(long, out, Flow(backend="cpu", set="micro"))
    assert len(rows_of(out)) == 1499
