"""flow: what is stored is the motion from frame t to t+1, whatever the batch; both solvers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from mespot import store, video
from mespot.flow import flow
from mespot.settings import Flow

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


@pytest.mark.parametrize("solver", ["tvl1", "opencv"])
def test_known_shift(aligned, tmp_path, solver):
    flow(aligned, tmp_path / "f.h5", Flow(solver=solver))
    with store.read(tmp_path / "f.h5") as file:
        rows = file["flow"]
        assert rows.shape == (19, 2, 64, 64)
        assert rows.dtype == np.int16
        assert rows.chunks == (1, 2, 64, 64)
        inner = rows[:, :, 12:-12, 12:-12] * store.FLOW_UNIT
        assert inner[:, 0].mean((1, 2)) == pytest.approx(SHIFT, abs=0.08)
        assert inner[:, 1].mean((1, 2)) == pytest.approx(0, abs=0.05)
        assert (file.attrs["fps"], file.attrs["source"]) == (30, "source")


def test_a_pairs_flow_does_not_depend_on_its_batch(aligned, tmp_path, monkeypatch):
    rows = []
    for batch in (3, 16):
        monkeypatch.setattr("mespot.flow.CPU_BATCH", batch)
        flow(aligned, tmp_path / f"{batch}.h5", Flow(iterations=30))
        with store.read(tmp_path / f"{batch}.h5") as file:
            rows.append(file["flow"][:])
    assert np.abs(rows[0] - rows[1].astype(int)).max() <= 1


def test_stored_steps_are_within_half_a_step_and_hold_at_the_end():
    flow_px = np.array([0.001, -0.25, 3.14159, 500, -500])
    stored = store.flow_to_int16(flow_px)
    assert np.abs(stored[:3] * store.FLOW_UNIT - flow_px[:3]).max() <= store.FLOW_UNIT / 2
    assert stored[3:].tolist() == [32767, -32768]
