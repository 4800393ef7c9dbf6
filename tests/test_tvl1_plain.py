"""The flow against known answers: its parts exactly, the whole on warps we made ourselves."""

import cv2
import numpy as np
import pytest
import torch
from moving import face, moving_pairs

from mespot.settings import Tvl1
from mespot.tvl1 import plain as module
from mespot.tvl1.plain import tvl1

# ---- parts -----------------------------------------------------------------------------------


def test_resize_keeps_pixel_zero_and_has_no_half_pixel_shift():
    ramp = torch.arange(20.0).expand(1, 20, 20) + 100 * torch.arange(20.0)[:, None]
    small = module.resize(ramp, 16, 16, 1.25)
    at = 1.25 * torch.arange(16.0)
    torch.testing.assert_close(small[0], at + 100 * at[:, None])
    large = module.resize(ramp, 25, 40)
    x, y = (torch.arange(float(n)) * 20 / n for n in (40, 25))
    expected = x.clamp(max=19) + 100 * y.clamp(max=19)[:, None]
    torch.testing.assert_close(large[0], expected)


def test_pyramid_sizes_round_and_stop_below_16():
    sizes = [tuple(level.shape[1:]) for level in module.pyramid(torch.zeros(1, 31, 41), 5, 0.8)]
    assert sizes == [(31, 41), (25, 33), (20, 26), (16, 21)]
    assert len(module.pyramid(torch.zeros(1, 300, 300), 5, 0.8)) == 5


def test_warp_is_exact_for_a_quadratic_inside():
    # Catmull-Rom (a = -1/2) is the one Keys kernel that reproduces quadratics; -0.75 is not.
    y, x = torch.meshgrid(torch.arange(17.0), torch.arange(23.0), indexing="ij")
    f = lambda x, y: 0.3 * x * x - 0.2 * y * y + 0.1 * x * y + x - 2 * y  # noqa: E731
    u = torch.rand(2, 2, 17, 23, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
    image = torch.stack((f(x, y), 2 * f(x, y) + 1))  # two pairs
    warped = module._Warper(torch.stack((image, -image)))(u)
    inside = (..., slice(3, -4), slice(3, -4))
    expected = f(x + u[0], y + u[1])
    torch.testing.assert_close(warped[0, 0][inside], expected[0][inside], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(warped[0, 1][inside], 2 * expected[1][inside] + 1)
    torch.testing.assert_close(warped[1], -warped[0])


def test_warp_clamps_outside():
    image = torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(0))
    for dx in (13.0, 14.5, 1e6):
        u = torch.tensor([dx, 0.0]).view(2, 1, 1, 1).expand(2, 1, 9, 12)
        right = image[0, 0, :, -1:].expand(9, 12)
        torch.testing.assert_close(module._Warper(image)(u)[0, 0], right)
        torch.testing.assert_close(
            module._Warper(image)(-u)[0, 0], image[0, 0, :, :1].expand(9, 12)
        )
    corner = module._Warper(image)(torch.full((2, 1, 9, 12), 0.5))[0, 0, -1, -1]
    weights = torch.tensor([-1.0, 17.0]) / 16  # (-1, 9, 9, -1) / 16, the last three on one pixel
    torch.testing.assert_close(corner, weights @ image[0, 0, -2:, -2:] @ weights)


def textbook(i0, i1, iterations, tau=0.25, lam=0.15, theta=0.3, epsilon=0.01):
    """One scale and one warp from u = 0, written out pixel rule by pixel rule in float64."""
    i0, i1 = i0.astype(float), i1.astype(float)
    u, p = np.zeros((2, *i0.shape)), np.zeros((2, 2, *i0.shape))  # p[component, direction]
    padded = np.pad(i1, 1, mode="edge")
    grad = (
        np.stack((padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1])) / 2
    )
    square = (grad**2).sum(0)
    limit, error, previous, n = epsilon**2 * i0.size, np.inf, 0.0, 0
    while error > limit and n < iterations:
        rho = i1 - i0 + (grad * u).sum(0)
        bound = lam * theta * square
        middle = np.divide(-rho, square, out=np.zeros_like(rho), where=square > 1e-7)
        factor = np.where(rho < -bound, lam * theta, np.where(rho > bound, -lam * theta, middle))
        old, u = u, u + factor * grad
        for k in (0, 1):
            u[k] += theta * np.diff(p[k, 0], axis=1, prepend=0)
            u[k] += theta * np.diff(p[k, 1], axis=0, prepend=0)
        if n % 2 == 1 and previous < limit:
            error = previous = ((u - old) ** 2).sum()
        else:
            error, previous = np.inf, previous - limit
        for k in (0, 1):
            du = np.stack([np.diff(u[k], axis=a, append=np.take(u[k], [-1], a)) for a in (1, 0)])
            p[k] = (p[k] + tau / theta * du) / (1 + tau / theta * np.hypot(*du))
        n += 1
    return u, n


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.01, 300), (0.01, 25), (0.0, 60)])
def test_one_warp_equals_the_textbook_and_stops_with_it(monkeypatch, epsilon, iterations):
    i0, i1, _ = moving_pairs(4, 29, 41, 1.0)
    parameters = Tvl1(scales=1, warps=1, epsilon=epsilon, iterations=iterations)
    steps = np.zeros(5, int)  # how often a batch of this many pairs was stepped
    dual_step = module._Fields.dual_step

    def counted(self, taut):
        steps[self.data.shape[1]] += 1
        dual_step(self, taut)

    monkeypatch.setattr(module._Fields, "dual_step", counted)
    flow = tvl1(i0, i1, parameters).numpy()
    wanted = [
        textbook(a, b, iterations, epsilon=epsilon)
        for a, b in zip(i0.numpy(), i1.numpy(), strict=True)
    ]
    for got, (expected, _) in zip(flow, wanted, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-4)
    assert (steps * np.arange(5)).sum() == sum(n for _, n in wanted)


def test_flow_grows_by_one_over_the_step_from_scale_to_scale(monkeypatch):
    monkeypatch.setattr(module, "_solve_scale", lambda i0, i1, u, *_: u + 1)
    flow = tvl1(*torch.zeros(2, 2, 51, 67))  # sizes whose ratios are not 0.8
    torch.testing.assert_close(flow, torch.full_like(flow, sum(1.25**k for k in range(5))))


# ---- the whole -------------------------------------------------------------------------------


def test_no_motion_is_exactly_zero():
    image = moving_pairs(2, 40, 50, 1.0)[0]
    assert (tvl1(image, image) == 0).all()
    flat = torch.full((2, 40, 50), 77.0)
    assert (tvl1(flat, flat) == 0).all()
    assert (tvl1(flat, flat + 10) == 0).all()


# Where the background is plain no method sees motion; the bounds hold on the face itself.
FACE = (..., slice(40, 125), slice(45, 120))


@pytest.mark.parametrize(
    ("peak", "bound"), [(0.1, 0.018), (0.2, 0.023), (0.5, 0.042), (1.0, 0.075), (3.0, 0.14)]
)
def test_recovers_known_motion(peak, bound):
    i0, i1, u = moving_pairs(3, 160, 160, peak)
    flow, u = tvl1(i0, i1)[FACE], u[FACE]
    error = (flow - u).norm(dim=1).mean()
    large = u.norm(dim=1) > 0.4 * peak
    gain = (flow * u).sum(1)[large].sum() / (u * u).sum(1)[large].sum()
    assert error < bound
    assert 0.85 < gain < 1.1


def test_agrees_with_opencv_where_its_two_variants_do():
    i0, i1, _ = moving_pairs(2, 128, 128, 0.5)
    reference = cv2.optflow.DualTVL1OpticalFlow_create()
    theirs = [
        reference.calc(a / 255, b / 255, None) for a, b in zip(i0.numpy(), i1.numpy(), strict=True)
    ]
    theirs = torch.from_numpy(np.stack(theirs)).permute(0, 3, 1, 2)
    assert (tvl1(i0, i1) - theirs)[..., 8:-8, 8:-8].abs().mean() < 0.05


def test_a_pair_does_not_depend_on_its_batch(monkeypatch):
    i0, i1, _ = moving_pairs(5, 50, 61, 1.0)
    alone = torch.cat([tvl1(i0[k : k + 1], i1[k : k + 1]) for k in range(5)])
    monkeypatch.setitem(module._CHUNK_PIXELS, "cpu", 3 * 50 * 61)
    torch.testing.assert_close(tvl1(i0, i1), alone, atol=1e-4, rtol=0)
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(tvl1(i0[order], i1[order]), alone[order], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(16, 90), (70, 33), (15, 9), (3, 2), (1, 1), (1, 20)])
def test_any_size_works(shape):
    i0, i1 = torch.rand(2, 2, *shape, generator=torch.Generator().manual_seed(0)).mul_(255)
    flow = tvl1(i0, i1)
    assert flow.shape == (2, 2, *shape)
    assert flow.dtype == torch.float32
    assert flow.isfinite().all()


def test_an_empty_batch_and_an_ordinary_result():
    assert tvl1(torch.zeros(0, 30, 20), torch.zeros(0, 30, 20)).shape == (0, 2, 30, 20)
    flow = tvl1(*torch.zeros(2, 1, 20, 20))
    flow += 1  # not an inference-mode tensor
    assert not flow.is_inference()


def test_direction_on_a_shifted_non_square_image():
    image = torch.from_numpy(face(90, 120))
    i0, i1 = image[5:65, 8:98][None], image[6:66, 6:96][None]  # i1(x + 2, y - 1) = i0(x, y)
    flow = tvl1(i0, i1)[0, :, 10:-10, 10:-10]
    assert abs(flow[0].median() - 2) < 0.1
    assert abs(flow[1].median() + 1) < 0.1


def test_wrong_input_is_named():
    good, bad = torch.zeros(3, 20, 20), torch.zeros(3, 20, 20)
    bad[1, 4, 5] = float("nan")
    with pytest.raises(ValueError, match=r"i1 .*NaN.* \[1\]"):
        tvl1(good, bad)
    with pytest.raises(ValueError, match=r"\(3, 20, 20\) and \(3, 20, 21\)"):
        tvl1(good, torch.zeros(3, 20, 21))
    with pytest.raises(ValueError, match=r"\(20, 20\)"):
        tvl1(good[0], good[0])
    with pytest.raises(ValueError, match="float64"):
        tvl1(good, good.double())
