"""Dual TV-L1 optical flow on a CUDA GPU: `mespot.tvl1.plain`, which defines what is computed, in Triton.

At each pyramid level and warp there are two kernels for a batch of pairs: one warps and
linearises, the other iterates. Nothing is read back on the way: each pair's stopping rule is kept
on the device.

The iteration has one program a pair. It takes up to K iterations in one sweep through the rows, as
a wavefront: at step t iteration j of the sweep updates u in row t - 2j and then p in row
t - 2j - 1, where iteration j - 1 has just become final and j + 1 has not come yet. So it works in
place and without halos, a sweep can end wherever the rule looks at the change, and a pair that has
stopped is a program that has ended.

Why so: rooflines of an H200 (4.3 TB/s, 132 SMs) at 256 px and noise of one grey level, where a
pair takes 15 M pixel-iterations. They are bounds; nothing here has been measured on a GPU.
- One fused kernel an iteration moves 64 B a pixel-iteration: at most 4 600 pairs/s.
- A sweep moves these 64 B once for all of its iterations, while the 2K + 1 rows at work stay in the
  L1 cache. The rule mostly looks at every second iteration: 30 B on average, 9 700 pairs/s.
- 180 instructions a pixel-iteration, as compiled for sm_90, allow 11 000 pairs/s; 120 B through L1
  allow 17 000. The 24 B of stores that L1 passes on to L2 may turn out narrower than all of these.
Four programs fit an SM: an H200 is full with 528 pairs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mespot.settings import PUBLISHED_TVL1, Tvl1
from mespot.tvl1.plain import centred_gradient, check_images, pyramid, resize

# Pixels worked on at once, at about 80 bytes each: bounds the memory, yet fills the GPU.
_CHUNK_PIXELS = 1 << 25
# Fields of a pixel, in this order: u_x, u_y; the duals p of u_x and then of u_y, each in the x and
# then in the y direction; grad_x, grad_y of the warped I1; inverse = 1 / |grad|^2; rho_c, the part
# of rho / |grad|^2 that does not depend on u. They are stored as (B, H, fields, W): the rows that a
# wavefront works on are one stretch of memory.
_FIELDS = tl.constexpr(10)
_P, _GRAD, _INVERSE, _RHO_C = (tl.constexpr(first) for first in (2, 6, 8, 9))
# Pixels and warps (of 32 threads) of an iterating program. With more threads than pixels Triton
# would have several threads update one pixel, in place, without waiting for one another.
_BLOCK, _NUM_WARPS = 512, 16


def tvl1(i0: Tensor, i1: Tensor, parameters: Tvl1 = PUBLISHED_TVL1) -> Tensor:
    """What `mespot.tvl1.tvl1` returns, for images on a CUDA device: the same arguments and errors.

    Rounding differs, so now and then a pair stops at another look, and its flow then differs by
    about `epsilon`. Once the images are checked the host does not wait for the device.
    """
    check_images(i0, i1)
    step = parameters.scale_step
    flow = i0.new_empty(len(i0), 2, *i0.shape[1:])
    size = max(1, _CHUNK_PIXELS // i0.shape[1:].numel())
    with torch.inference_mode(), torch.cuda.device_of(i0):
        for b in range(0, len(i0), size):
            part = slice(b, b + size)
            pyramid0, pyramid1 = (
                pyramid(image[part], parameters.scales, step) for image in (i0, i1)
            )
            u = flow.new_zeros(len(pyramid0[-1]), 2, *pyramid0[-1].shape[1:])
            for level0, level1 in zip(reversed(pyramid0), reversed(pyramid1), strict=True):
                if u.shape[2:] != level0.shape[1:]:  # OpenCV scales u by 1/step, not by the sizes
                    u = resize(u, *level0.shape[1:]).div_(step)
                u, _ = _solve_scale(level0, level1, u, parameters)
            flow[part] = u
    return flow


def _solve_scale(
    i0: Tensor,
    i1: Tensor,
    u: Tensor,
    parameters: Tvl1,
) -> tuple[Tensor, Tensor]:
    """Refine u (B, 2, H, W) at one pyramid level of images (B, H, W).

    Returns it with the number of iterations of each warp and pair, (warps, B) int32.
    """
    tau, lam, theta = parameters.tau, parameters.lam, parameters.theta
    batch, height, width = i0.shape
    fields = i0.new_zeros(batch, height, _FIELDS.value, width)
    fields[:, :, :2] = u.transpose(1, 2)
    i0, i1 = i0.contiguous(), torch.stack((i1, *centred_gradient(i1)), 1)
    counts = torch.empty(parameters.warps, batch, dtype=torch.int32, device=i0.device)
    # Four programs share an SM's L1 cache, 256 KB: each may keep 2K + 1 rows of 40 W bytes there.
    longest = max(2, (1280 // width - 1) // 2)
    limit = parameters.epsilon**2 * (height * width)  # at 0 the rule never looks
    for count in counts:  # u and p go on from warp to warp
        _linearise[batch, triton.cdiv(height * width, 256)](
            i0, i1, fields, height, width, torch.finfo(torch.float32).eps, BLOCK=256
        )
        _iterate[batch,](
            fields,
            count,
            height,
            longest,
            parameters.iterations,
            lam * theta,
            theta,
            tau / theta,
            limit,
            WIDTH=width,
            BLOCK=_BLOCK,
            num_warps=_NUM_WARPS,
            num_stages=1,
        )
    return fields[:, :, :2].transpose(1, 2), counts


# ---- warp ----------------------------------------------------------------------------------


@triton.jit
def _catmull_rom(t):
    """Weights of the pixels at -1, 0, 1, 2 for a point at t in [0, 1]."""
    square = t * t
    cube = square * t
    return (
        square - 0.5 * (t + cube),
        1.0 - 2.5 * square + 1.5 * cube,
        0.5 * t + 2.0 * square - 1.5 * cube,
        0.5 * (cube - square),
    )


@triton.jit(do_not_specialize=["height", "width"])
def _linearise(i0, i1, fields, height, width, eps, BLOCK: tl.constexpr):
    """Expand rho around u: fill grad, inverse and rho_c of BLOCK pixels of a pair.

    i0 is (B, H, W); i1 (B, 3, H, W) is the image, its d/dx and its d/dy.
    """
    pair = tl.program_id(0).to(tl.int64)
    area = height * width
    i0 += pair * area
    i1 += pair * 3 * area
    fields += pair * _FIELDS * area
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < area
    x, y = pixel % width, pixel // width
    here = fields + y * _FIELDS * width + x
    u_x = tl.load(here, inside, 0.0)
    u_y = tl.load(here + width, inside, 0.0)

    # One pixel outside the image all that is near is the same border pixel: no need to go on.
    at_x = tl.minimum(tl.maximum(x + u_x, -1.0), width)
    at_y = tl.minimum(tl.maximum(y + u_y, -1.0), height)
    x0, y0 = tl.floor(at_x), tl.floor(at_y)
    along, across = _catmull_rom(at_x - x0), _catmull_rom(at_y - y0)
    value = tl.zeros((BLOCK,), tl.float32)
    grad_x = tl.zeros((BLOCK,), tl.float32)
    grad_y = tl.zeros((BLOCK,), tl.float32)
    for row in tl.static_range(4):
        line = tl.minimum(tl.maximum(y0.to(tl.int32) + (row - 1), 0), height - 1) * width
        for column in tl.static_range(4):
            tap = i1 + line + tl.minimum(tl.maximum(x0.to(tl.int32) + (column - 1), 0), width - 1)
            weight = across[row] * along[column]
            value += weight * tl.load(tap, inside, 0.0)
            grad_x += weight * tl.load(tap + area, inside, 0.0)
            grad_y += weight * tl.load(tap + 2 * area, inside, 0.0)

    # In flat places grad and with it the step is 0 whatever the divisor; eps avoids 0/0.
    inverse = 1.0 / tl.maximum(grad_x * grad_x + grad_y * grad_y, eps)
    rho_c = value - tl.load(i0 + pixel, inside, 0.0) - grad_x * u_x - grad_y * u_y
    tl.store(here + _GRAD * width, grad_x, inside)
    tl.store(here + (_GRAD + 1) * width, grad_y, inside)
    tl.store(here + _INVERSE * width, inverse, inside)
    tl.store(here + _RHO_C * width, rho_c * inverse, inside)


# ---- iteration -----------------------------------------------------------------------------


# A width known to the compiler makes all fields of a pixel immediate offsets from one address. The
# rest is not to be specialised for: one compilation a width, kept on disk, is enough.
@triton.jit(
    do_not_specialize=["height", "longest", "iterations"],
    do_not_specialize_on_alignment=["counts"],
)
def _iterate(
    fields,
    counts,
    height,
    longest,
    iterations,
    threshold,
    theta,
    taut,
    limit: tl.float64,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Iterate one pair until it meets OpenCV's rule; see `mespot.tvl1._iterate`, also for names.

    A sweep goes on to the next look at the change, but by at most `longest` iterations.
    """
    pair = tl.program_id(0)
    fields += pair.to(tl.int64) * height * (_FIELDS * WIDTH)
    n = 0
    debt = limit * 0
    running = iterations > 0
    while running:
        k = 1  # of this sweep; its last iteration is number n + k - 1
        look = (debt < limit) & ((n + k) % 2 == 0)
        while (k < longest) & (n + k < iterations) & ~look:
            k += 1
            debt -= limit
            look = (debt < limit) & ((n + k) % 2 == 0)
        change = _sweep(fields, height, k, threshold, theta, taut, WIDTH, BLOCK)
        n += k
        debt = tl.where(look, change, debt - limit)
        running = (n < iterations) & ~(look & (change <= limit))
    tl.store(counts + pair, n)


@triton.jit
def _sweep(fields, height, k, threshold, theta, taut, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Take k iterations in place; returns the last one's sum |du|^2, float64.

    A barrier makes what the program's threads have stored visible to all of them: CUDA promises
    this within a block of threads for global memory too. Between two barriers no pixel of a field
    is both written and read, save by the one thread that writes it.
    """
    change = tl.zeros((BLOCK,), tl.float32)  # each place takes at most a few values a row
    for t in range(height + 2 * k - 1):
        for first in range(0, k * WIDTH, BLOCK):
            j, x, y, inside = _wave(first, t, k, height, WIDTH, BLOCK)
            here = fields + y * (_FIELDS * WIDTH) + x
            du = _primal_step(here, x, y, inside, threshold, theta, WIDTH)
            change += tl.where(inside & (j == k - 1), du, 0.0)
        tl.debug_barrier()
        for first in range(0, k * WIDTH, BLOCK):
            _, x, y, inside = _wave(first, t - 1, k, height, WIDTH, BLOCK)
            here = fields + y * (_FIELDS * WIDTH) + x
            _dual_step(here, x, y, inside, height, taut, WIDTH)
        tl.debug_barrier()
    return tl.sum(change.to(tl.float64))


@triton.jit
def _wave(first, t, k, height, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Of BLOCK pixels of the k rows t - 2j: iteration j, x, y, and whether the pixel exists."""
    i = first + tl.arange(0, BLOCK)
    j = i // WIDTH
    y = t - 2 * j
    return j, i - j * WIDTH, y, (j < k) & (y >= 0) & (y < height)


@triton.jit
def _primal_step(here, x, y, inside, threshold, theta, WIDTH: tl.constexpr):
    """u = v + theta div p with v = u + TH(u); returns |du|^2."""
    u_x = tl.load(here, inside, 0.0)
    u_y = tl.load(here + WIDTH, inside, 0.0)
    grad_x = tl.load(here + _GRAD * WIDTH, inside, 0.0)
    grad_y = tl.load(here + (_GRAD + 1) * WIDTH, inside, 0.0)
    inverse = tl.load(here + _INVERSE * WIDTH, inside, 0.0)
    rho_c = tl.load(here + _RHO_C * WIDTH, inside, 0.0)
    div_x = _divergence(here + _P * WIDTH, x, y, inside, WIDTH)
    div_y = _divergence(here + (_P + 2) * WIDTH, x, y, inside, WIDTH)
    rho = rho_c + inverse * (grad_x * u_x + grad_y * u_y)
    step = tl.minimum(tl.maximum(rho, -threshold), threshold)
    du_x = theta * div_x - step * grad_x
    du_y = theta * div_y - step * grad_y
    tl.store(here, u_x + du_x, inside)
    tl.store(here + WIDTH, u_y + du_y, inside)
    return du_x * du_x + du_y * du_y


@triton.jit
def _divergence(p, x, y, inside, WIDTH: tl.constexpr):
    """Backward differences of the duals of one component, `p` points to; they are 0 outside."""
    p_x = tl.load(p, inside, 0.0)
    p_y = tl.load(p + WIDTH, inside, 0.0)
    left = tl.load(p - 1, inside & (x > 0), 0.0)
    above = tl.load(p + (1 - _FIELDS) * WIDTH, inside & (y > 0), 0.0)
    return p_x - left + p_y - above


@triton.jit
def _dual_step(here, x, y, inside, height, taut, WIDTH: tl.constexpr):
    """p = (p + taut grad u) / (1 + taut |grad u|)."""
    p = here + _P * WIDTH
    # All loads come before the stores, which Triton lets no load overtake.
    p_xx, p_xy = _moved(here, p, x, y, inside, height, taut, WIDTH)
    p_yx, p_yy = _moved(here + WIDTH, p + 2 * WIDTH, x, y, inside, height, taut, WIDTH)
    tl.store(p, p_xx, inside)
    tl.store(p + WIDTH, p_xy, inside)
    tl.store(p + 2 * WIDTH, p_yx, inside)
    tl.store(p + 3 * WIDTH, p_yy, inside)


@triton.jit
def _moved(u_at, p, x, y, inside, height, taut, WIDTH: tl.constexpr):
    """The new duals of one component."""
    u = tl.load(u_at, inside, 0.0)
    right = tl.load(u_at + 1, inside & (x + 1 < WIDTH), 0.0)
    below = tl.load(u_at + _FIELDS * WIDTH, inside & (y + 1 < height), 0.0)
    p_x = tl.load(p, inside, 0.0)
    p_y = tl.load(p + WIDTH, inside, 0.0)
    u_x = tl.where(x + 1 < WIDTH, right - u, 0.0)  # 0 where there is no next pixel
    u_y = tl.where(y + 1 < height, below - u, 0.0)
    shrink = 1.0 / (1.0 + taut * tl.sqrt(u_x * u_x + u_y * u_y))
    return (p_x + taut * u_x) * shrink, (p_y + taut * u_y) * shrink
