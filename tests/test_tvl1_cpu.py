"""tvl1.cpu: the same flow as `tvl1.plain`, part by part and as a whole."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from moving import moving_pairs
from test_tvl1_plain import textbook

from mespot.settings import Tvl1
from mespot.tvl1 import cpu as module
from mespot.tvl1 import plain
from mespot.tvl1.cpu import tvl1

TAU, LAM, THETA = 0.25, 0.15, 0.3
STEPS = (np.float32(LAM * THETA), np.float32(THETA), np.float32(TAU / THETA))


def pairs(count, height, width, peak, sigma=1.0):
    return [a.numpy() for a in moving_pairs(count, height, width, peak, sigma)]


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width", "factor"),
    [
        (20, 23, 16, 18, 1.25),
        (16, 18, 20, 23, None),
        (51, 40, 41, 32, 1.25),
        (41, 32, 51, 40, None),
    ],
)
def test_resize_is_the_plain_one(rows, columns, height, width, factor):
    image = np.random.default_rng(0).random((rows, columns), np.float32) * 255
    expected = plain.resize(torch.from_numpy(image), height, width, factor)
    factors = (factor, factor) if factor else (rows / height, columns / width)
    got = module.resize(image, height, width, *factors)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("reach", [0.3, 2.5, 1e3, 1e9])
def test_linearisation_is_the_plain_one_inside_and_far_outside(reach):
    rng = np.random.default_rng(1)
    i0, i1 = rng.random((2, 37, 41), np.float32) * 255
    u = ((rng.random((2, 37, 41)) - 0.5) * 2 * reach).astype(np.float32)
    fields, data = np.zeros((2, 38, 50), np.float32), np.zeros((4, 38, 50), np.float32)
    fields[:, 1:, 1:42] = u
    module.linearise(module.padded(i1), i0, fields, data)
    expected = plain._Fields(torch.zeros(plain._Fields.COUNT, 1, 37, 41))
    expected.u.copy_(torch.from_numpy(u)[:, None])
    i0, i1 = (torch.from_numpy(image)[None] for image in (i0, i1))
    warp = plain._Warper(torch.stack((i1, *plain.centred_gradient(i1))))
    expected.linearise(i0, *warp(expected.u))
    inside = data[:, 1:, 1:42]
    np.testing.assert_allclose(inside[:2], expected.grad[:, 0], atol=2e-3)
    square = np.maximum((inside[:2] ** 2).sum(0), 1)
    # Compared in grey levels, as rho is before the division by |grad|^2.
    rho, wanted = (x * square for x in (inside[3], expected.rho_c[0].numpy()))
    steep = (inside[:2] ** 2).sum(0) > 1
    scale = 255 * max(1, min(reach, 1e9))
    assert np.abs(rho - wanted)[steep].max() < 1e-5 * scale
    assert not data[:, 0].any()
    assert not data[:, :, 42:].any()


def test_no_number_as_a_coordinate_stays_within_the_image():
    fields, data = np.full((2, 17, 34), np.nan, np.float32), np.zeros((4, 17, 34), np.float32)
    image = np.full((16, 20), 7, np.float32)
    module.linearise(module.padded(image), image, fields, data)
    assert data[:2].sum() == 0  # the corner's gradient, wherever it was sampled


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.01, 300), (0.01, 25), (0.0, 60)])
def test_one_warp_equals_the_textbook_and_stops_with_it(epsilon, iterations):
    i0, i1 = pairs(4, 29, 41, 1.0)[:2]
    for first, second in zip(i0, i1, strict=True):
        got = np.empty((2, 29, 41), np.float32)
        work = module.solve_pair(
            first, second, got, TAU, LAM, THETA, 1, 1, epsilon, iterations, 0.8
        )
        expected, n = textbook(first, second, iterations, epsilon=epsilon)
        assert work == n * 29 * 41
        np.testing.assert_allclose(got, expected, atol=2e-4)


@pytest.mark.parametrize("width", [5, 16, 33])
def test_a_sweep_of_many_iterations_is_as_many_of_one(width):
    rng = np.random.default_rng(2)
    columns = -(-width // module.BLOCK) * module.BLOCK + 2
    u, p, data = (np.zeros((n, 12, columns), np.float32) for n in (2, 4, 4))
    u[:, 1:, 1 : width + 1] = rng.standard_normal((2, 11, width))
    data[:, 1:, 1 : width + 1] = rng.random((4, 11, width))
    single = u.copy(), p.copy()
    change = module.sweep(u, p, data, width, 7, *STEPS, True)
    for n in range(7):
        expected = module.sweep(*single, data, width, 1, *STEPS, n == 6)
    real = (slice(None), slice(None), slice(0, width + 1))
    np.testing.assert_array_equal(u[real], single[0][real])
    np.testing.assert_array_equal(p[real], single[1][real])
    assert change == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("height", "width", "peak"), [(64, 64, 0.2), (61, 90, 1.0), (96, 50, 3.0)])
def test_the_whole_is_the_plain_one(height, width, peak):
    """But for float32 rounding, which now and then moves the moment at which a pair stops."""
    i0, i1, u = moving_pairs(4, height, width, peak)
    expected, got = plain.tvl1(i0, i1).numpy(), tvl1(i0.numpy(), i1.numpy())
    assert np.abs(got - expected).mean() < 2e-3
    errors = [np.linalg.norm(flow - u.numpy(), axis=1).mean() for flow in (got, expected)]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)


def test_another_processor_gives_the_same_bits(tmp_path):
    """One without vectors, and without multiplication and addition in one, compiled by itself."""
    i0, i1, _ = moving_pairs(2, 64, 70, 0.7)
    np.savez(tmp_path / "pairs.npz", i0=i0.numpy(), i1=i1.numpy())
    code = (
        "import sys, numpy as np; from mespot.tvl1.cpu import tvl1; pairs = np.load(sys.argv[1]);"
        "np.save(sys.argv[2], tvl1(pairs['i0'], pairs['i1']))"
    )
    other = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    arguments = [sys.executable, "-c", code, tmp_path / "pairs.npz", tmp_path / "flow.npy"]
    subprocess.run(arguments, env=os.environ | other, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "flow.npy"), tvl1(i0.numpy(), i1.numpy()))


def test_other_parameters_are_those_of_the_plain_one():
    i0, i1, _ = moving_pairs(1, 48, 56, 1.0)
    fixed = {"epsilon": 0.0, "iterations": 10}
    for changed in (
        {"tau": 0.2},
        {"lam": 0.3},
        {"theta": 0.2},
        {"scales": 2},
        {"warps": 2},
        {"scale_step": 0.6},
        {"epsilon": 0.0, "iterations": 7},
    ):
        parameters = Tvl1(**fixed | changed)
        got = tvl1(i0.numpy(), i1.numpy(), parameters)
        np.testing.assert_allclose(got, plain.tvl1(i0, i1, parameters), atol=2e-3)
        assert np.abs(got - tvl1(i0.numpy(), i1.numpy(), Tvl1(**fixed))).max() > 5e-3


def test_no_motion_is_exactly_zero():
    image = pairs(2, 40, 50, 1.0)[0]
    assert (tvl1(image, image) == 0).all()
    flat = np.full((2, 40, 50), 77, np.float32)
    assert (tvl1(flat, flat) == 0).all()
    assert (tvl1(flat, flat + 10) == 0).all()


@pytest.mark.parametrize("shape", [(16, 90), (70, 33), (15, 9), (3, 2), (1, 1), (1, 20)])
def test_any_size_works(shape):
    i0, i1 = np.random.default_rng(0).random((2, 2, *shape), np.float32) * 255
    flow = tvl1(i0, i1)
    assert flow.shape == (2, 2, *shape)
    assert np.isfinite(flow).all()


def test_neither_threads_nor_the_batch_change_a_byte():
    i0, i1, _ = pairs(5, 40, 44, 1.0)
    alone = np.concatenate([tvl1(i0[k : k + 1], i1[k : k + 1]) for k in range(5)])
    np.testing.assert_array_equal(tvl1(i0, i1, threads=3), alone)
    assert tvl1(i0[:0], i1[:0]).shape == (0, 2, 40, 44)


def test_wrong_input_is_named():
    good, bad = np.zeros((2, 3, 20, 20), np.float32)
    bad[1, 4, 5] = np.nan
    with pytest.raises(ValueError, match=r"i1 .*NaN.* \[1\]"):
        tvl1(good, bad)
    with pytest.raises(ValueError, match=r"\(3, 20, 20\) and \(3, 20, 21\)"):
        tvl1(good, np.zeros((3, 20, 21), np.float32))
    with pytest.raises(ValueError, match="float64"):
        tvl1(good, good.astype(float))
