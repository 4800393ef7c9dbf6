"""The GPU's flow against `mespot.tvl1`: in Triton's interpreter, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from moving import moving_pairs

from mespot.settings import PUBLISHED_TVL1, Tvl1
from mespot.tvl1 import plain

pytest.importorskip("triton", reason="triton is not installed")
from mespot.tvl1 import cuda as module

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
anywhere = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()),
    reason="no CUDA device; test_in_the_interpreter runs it in a process of its own",
)
on_a_gpu = pytest.mark.skipif(
    INTERPRETED or not torch.cuda.is_available(), reason="no CUDA device to run on"
)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
def test_in_the_interpreter():
    # Triton reads the variable when it is first imported, perhaps long ago in this process.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def ours(i0, i1, u, parameters):
    """u and iterations (warps, B) of `_solve_scale`."""
    tensors = (tensor.to(DEVICE) for tensor in (i0, i1, u))
    u, counts = module._solve_scale(*tensors, parameters)
    return u.cpu(), counts.cpu()


def theirs(i0, i1, u, parameters):
    """The same from `mespot.tvl1`, each pair by itself."""
    iterate, dual_step = plain._iterate, plain._Fields.dual_step
    flows, counts = [], []

    def counted_iterate(*args):
        counts.append(0)
        iterate(*args)

    def counted_step(*args):
        counts[-1] += 1
        dual_step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_iterate", counted_iterate)
        patch.setattr(plain._Fields, "dual_step", counted_step)
        for pair in zip(*(tensor.split(1) for tensor in (i0, i1, u)), strict=True):
            u = plain._solve_scale(*pair[:2], pair[2].transpose(0, 1), parameters)
            flows.append(u.transpose(0, 1))
    return torch.cat(flows), torch.tensor(counts).view(len(i0), -1).T


def no_flow(images):
    return images.new_zeros(len(images), 2, *images.shape[1:])


# ---- one scale -------------------------------------------------------------------------------


# Only rounding to float32 differs: 3e-7 px after one warp, up to 3e-5 px after a second one,
# which starts from there, where the image is nearly flat.
@anywhere
@pytest.mark.parametrize(
    ("shape", "warps", "tolerance"),
    [((16, 131), 1, 3e-6), ((27, 16), 1, 3e-6), ((16, 24), 2, 1e-4)],
)
def test_a_fixed_number_of_iterations(shape, warps, tolerance):
    i0, i1, _ = moving_pairs(1, *shape, 1.0)
    fixed = Tvl1(warps=warps, epsilon=0, iterations=5)
    u, counts = ours(i0, i1, no_flow(i0), fixed)
    expected, _ = theirs(i0, i1, no_flow(i0), fixed)
    torch.testing.assert_close(u, expected, atol=tolerance, rtol=0)
    assert (counts == 5).all()


@anywhere
def test_warp_from_and_to_anywhere():
    i0, i1, _ = moving_pairs(1, 17, 30, 1.0)
    for size in (1.0, 8.0, 100.0):
        u = size * torch.randn(no_flow(i0).shape, generator=torch.Generator().manual_seed(0))
        got, _ = ours(i0, i1, u, Tvl1(warps=1, iterations=1))
        expected, _ = theirs(i0, i1, u, Tvl1(warps=1, iterations=1))
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


@anywhere
@pytest.mark.parametrize(("shape", "warps"), [((18, 22), 2), ((16, 150), 1)])  # wide: short sweeps
def test_each_pair_stops_when_it_would_alone(shape, warps):
    i0, i1, _ = moving_pairs(3, *shape, 1.0)
    i1[1] = i0[1]
    parameters = Tvl1(warps=warps, epsilon=0.05, iterations=19)
    u, counts = ours(i0, i1, no_flow(i0), parameters)
    expected, expected_counts = theirs(i0, i1, no_flow(i0), parameters)
    assert counts.tolist() == expected_counts.tolist()
    torch.testing.assert_close(u, expected, atol=1e-4, rtol=0)


# Between two barriers a GPU's threads run in any order; the interpreter takes blocks by turns.
@pytest.mark.skipif(not INTERPRETED, reason="needs the interpreter's order")
def test_order_between_barriers_is_free(monkeypatch):
    i0, i1, _ = moving_pairs(1, 16, 19, 1.0)
    fixed = Tvl1(warps=1, epsilon=0, iterations=4)  # in one sweep
    expected, _ = ours(i0, i1, no_flow(i0), fixed)
    monkeypatch.setattr(module, "_BLOCK", 32)
    ascending, _ = ours(i0, i1, no_flow(i0), fixed)
    assert torch.equal(ascending, expected)
    wave = module._wave
    last = (4 * 19 - 1) // 32 * 32
    monkeypatch.setattr(module, "_wave", lambda first, *rest: wave(last - first, *rest))
    descending, _ = ours(i0, i1, no_flow(i0), fixed)
    assert torch.equal(descending, expected)


# ---- the whole -------------------------------------------------------------------------------


def tvl1(i0, i1, parameters=PUBLISHED_TVL1):
    return module.tvl1(i0.to(DEVICE), i1.to(DEVICE), parameters).cpu()


@anywhere
def test_whole_solve_equals_tvl1_in_any_batch(monkeypatch):
    i0, i1, _ = moving_pairs(3, 20, 24, 1.0)
    parameters = Tvl1(warps=1, epsilon=0.1)
    monkeypatch.setattr(module, "_CHUNK_PIXELS", 2 * 20 * 24)
    flow = tvl1(i0, i1, parameters)
    torch.testing.assert_close(flow, plain.tvl1(i0, i1, parameters), atol=1e-4, rtol=0)
    assert torch.equal(tvl1(i0[1:2], i1[1:2], parameters), flow[1:2])
    assert not flow.is_inference()


@anywhere
def test_no_motion_is_exactly_zero():
    image, flat = moving_pairs(1, 20, 24, 1.0)[0], torch.full((1, 20, 24), 77.0)
    i0, i1 = torch.cat((image, flat, flat)), torch.cat((image, flat, flat + 10))
    assert (tvl1(i0, i1, Tvl1(warps=1)) == 0).all()


@anywhere
@pytest.mark.parametrize("shape", [(15, 9), (3, 2), (1, 1), (1, 20), (20, 1)])
def test_any_size_works(shape):
    i0, i1 = torch.rand(2, 2, *shape, generator=torch.Generator().manual_seed(0)).mul_(255)
    parameters = Tvl1(warps=1, iterations=3)
    torch.testing.assert_close(
        tvl1(i0, i1, parameters), plain.tvl1(i0, i1, parameters), atol=1e-4, rtol=0
    )


@anywhere
def test_an_empty_batch_and_wrong_input():
    assert tvl1(torch.zeros(0, 30, 20), torch.zeros(0, 30, 20)).shape == (0, 2, 30, 20)
    with pytest.raises(ValueError, match=r"i1 .*NaN"):
        tvl1(torch.zeros(1, 20, 20), torch.full((1, 20, 20), float("nan")))


# On the CPU, noise of 1e-5 grey levels on one image, about float32's own, moves the flow of these
# pairs by 4e-6 px on average and by 4e-4 px at most.
@on_a_gpu
def test_256_px_on_a_gpu():
    i0, i1, _ = moving_pairs(8, 256, 256, 1.0)
    u, counts = ours(i0, i1, no_flow(i0), warps=5)
    expected, expected_counts = theirs(i0, i1, no_flow(i0), warps=5)
    assert (counts == expected_counts).float().mean() > 0.9
    assert (u - expected).abs().mean() < 1e-3
    assert (tvl1(i0, i1) - plain.tvl1(i0, i1)).abs().mean() < 1e-3
    assert torch.equal(tvl1(i0[5:], i1[5:]), tvl1(i0, i1)[5:])
