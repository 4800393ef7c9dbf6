"""Dual TV-L1 on a CPU: what `plain` computes, a pair at a time, compiled by numba.

The iteration is a row wavefront. Iteration j works two rows behind iteration j - 1, in place: it
updates u's row y once the duals of rows y and y - 1 are those of iteration j - 1, then the duals of
row y - 1, which need u's row y. So some iterations go over the image in one sweep, and the rows that
they share stay in the cache instead of coming from memory once for each.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from mespot.settings import PUBLISHED_TVL1, Tvl1

# Iterations in one sweep: 2 * 8 + 1 rows of 10 fields stay well within a core's second-level cache.
SWEEP = 8
BLOCK = 16  # columns; rows are filled up to a multiple of what vector code takes at once
MIN_SIDE = 16  # px; OpenCV builds no pyramid level smaller than this
# In the vector loops indices are unsigned: a signed one may be Python's index from the end, and with
# that in doubt the compiler makes no vector code.
ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
# The planes of the fields: u; its duals, by component and direction; a warped image and its gradient;
# what the iteration needs of them.
U1, U2 = np.uint64(0), np.uint64(1)
P11, P12, P21, P22 = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
I1, I1_X, I1_Y = np.uint64(0), np.uint64(1), np.uint64(2)
GRAD_X, GRAD_Y, INVERSE, RHO_C = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
# No fastmath: it gains 5 %, and then rounding, and with it the moment at which a pair stops, depends on
# the processor, and differed where several jobs had compiled at the same time.
compiled = njit(nogil=True, cache=True, error_model="numpy")


def tvl1(
    i0: np.ndarray,
    i1: np.ndarray,
    parameters: Tvl1 = PUBLISHED_TVL1,
    threads: int = 1,
) -> np.ndarray:
    """Optical flow as `tvl1.tvl1`: images (B, H, W) float32 on a 0-255 scale to (B, 2, H, W) px.

    Each of `threads` threads solves a pair at a time; the result does not depend on them. Raises
    ValueError for other shapes or types, and for a value that is no finite number.
    """
    if i0.shape != i1.shape or i0.ndim != 3 or 0 in i0.shape[1:]:
        raise ValueError(f"i0 and i1 must have one shape (B, H, W), got {i0.shape} and {i1.shape}")
    for name, image in (("i0", i0), ("i1", i1)):
        if image.dtype != np.float32:
            raise ValueError(f"{name} must be float32 on the 0-255 scale, got {image.dtype}")
        if not np.isfinite(image).all():
            pairs = np.flatnonzero(~np.isfinite(image).all((1, 2))).tolist()
            raise ValueError(f"{name} holds NaN or infinite values in images {pairs}")
    flow = np.empty((len(i0), 2, *i0.shape[1:]), np.float32)
    values = tuple(parameters.model_dump().values())  # in the order of solve_pair's arguments

    def solve(pair: int) -> None:
        solve_pair(i0[pair], i1[pair], flow[pair], *values)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve, range(len(flow))))
    return flow


@compiled
def solve_pair(i0, i1, flow, tau, lam, theta, scales, warps, epsilon, iterations, scale_step):
    """Fill `flow` (2, H, W) with the motion from i0 to i1 (H, W); returns pixel-iterations."""
    levels0, levels1 = [i0], [i1]
    while len(levels0) < scales:
        rows, columns = levels0[-1].shape
        height, width = round(rows * scale_step), round(columns * scale_step)
        if min(height, width) < MIN_SIDE:
            break
        levels0.append(resize(levels0[-1], height, width, 1 / scale_step, 1 / scale_step))
        levels1.append(resize(levels1[-1], height, width, 1 / scale_step, 1 / scale_step))
    u1, u2 = np.zeros_like(levels0[-1]), np.zeros_like(levels0[-1])
    work = 0
    for level in range(len(levels0) - 1, -1, -1):
        rows, columns = u1.shape
        height, width = levels0[level].shape
        if (rows, columns) != (height, width):
            grown = np.float32(1 / scale_step)  # OpenCV scales u by 1/step, not by the sizes
            u1 = resize(u1, height, width, rows / height, columns / width) * grown
            u2 = resize(u2, height, width, rows / height, columns / width) * grown
        n = solve_scale(
            levels0[level], levels1[level], u1, u2, tau, lam, theta, warps, epsilon, iterations
        )
        work += n * height * width
    flow[0] = u1
    flow[1] = u2
    return work


@compiled
def resize(image, height, width, factor_y, factor_x):
    """Linear interpolation of (H, W) at `src = dst * factor`, border pixels repeated; see tvl1."""
    rows, columns = image.shape
    lines = np.empty((height, columns), np.float32)
    for y in range(height):
        position = np.float32(y) * np.float32(factor_y)
        low = int(position)
        weight = position - np.float32(low)
        high = min(low + 1, rows - 1)
        for x in range(columns):
            lines[y, x] = image[low, x] + weight * (image[high, x] - image[low, x])
    out = np.empty((height, width), np.float32)
    for x in range(width):
        position = np.float32(x) * np.float32(factor_x)
        low = int(position)
        weight = position - np.float32(low)
        high = min(low + 1, columns - 1)
        for y in range(height):
            out[y, x] = lines[y, low] + weight * (lines[y, high] - lines[y, low])
    return out


@compiled
def solve_scale(i0, i1, u1, u2, tau, lam, theta, warps, epsilon, iterations):
    """Refine u1, u2 (H, W) at one pyramid level; returns the number of iterations.

    Fields have a row more, above, and columns more, one to the left and as many to the right as
    BLOCK asks for: pixel (y, x) is at [y + 1, x + 1]. Above and to the left are the duals' 0 outside;
    to the right u repeats its last column.
    """
    height, width = i0.shape
    columns = (width + BLOCK - 1) // BLOCK * BLOCK + 2
    u = np.zeros((2, height + 1, columns), np.float32)
    p = np.zeros((4, height + 1, columns), np.float32)
    data = np.zeros((4, height + 1, columns), np.float32)
    u[0, 1:, 1 : width + 1] = u1
    u[1, 1:, 1 : width + 1] = u2
    samples = padded(i1)
    total = 0
    for _ in range(warps):  # u and p go on from warp to warp
        linearise(samples, i0, u, data)
        total += iterate(u, p, data, width, tau, lam, theta, epsilon, iterations)
    u1[:] = u[0, 1:, 1 : width + 1]
    u2[:] = u[1, 1:, 1 : width + 1]
    return total


@compiled
def padded(image):
    """The image, d/dx and d/dy of it by central differences: three of (H + 5, W + 5).

    Border pixels are repeated: 2 before and 3 behind keep every 4 x 4 neighbourhood inside.
    """
    height, width = image.shape
    samples = np.empty((3, height + 5, width + 5), np.float32)
    half = np.float32(0.5)
    for row in range(height + 5):
        y = min(max(row - 2, 0), height - 1)
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for column in range(width + 5):
            x = min(max(column - 2, 0), width - 1)
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            samples[0, row, column] = image[y, x]
            samples[1, row, column] = half * (image[y, right] - image[y, left])
            samples[2, row, column] = half * (image[below, x] - image[above, x])
    return samples


@compiled
def linearise(samples, i0, u, data):
    """Expand rho around u (the paper's eq. 8): rho = i1 - i0 + grad . (u_new - u).

    Fills `data`: grad, 1 / |grad|^2 and the part of rho / |grad|^2 that does not depend on u.
    """
    height, width = i0.shape
    flat = samples.reshape(-1)
    stride, plane = np.uint64(samples.shape[2]), np.uint64(samples[0].size)
    one, tiny = np.float32(1), np.float32(np.finfo(np.float32).eps)
    # Of each pixel in a row: where its 4 x 4 neighbourhood begins, less its x, and how far on it lies.
    first = np.zeros(width + 1, np.int64)
    first[width] = samples.size
    part_x, part_y = np.empty(width, np.float32), np.empty(width, np.float32)
    warped = np.empty((3, width), np.float32)
    for y in range(ZERO, np.uint64(height)):
        row = y + ONE
        for x in range(ZERO, np.uint64(width)):
            # One pixel outside the image all that is near is the same border pixel. Written so that
            # what is no number lies outside too, and never beyond the array.
            at_x = np.float32(x) + u[U1, row, x + ONE]
            at_y = np.float32(y) + u[U2, row, x + ONE]
            at_x = at_x if at_x > -one else -one
            at_y = at_y if at_y > -one else -one
            at_x = at_x if at_x < width else np.float32(width)
            at_y = at_y if at_y < height else np.float32(height)
            x0, y0 = np.floor(at_x), np.floor(at_y)
            part_x[x], part_y[x] = at_x - x0, at_y - y0
            first[x] = (np.int64(y0) + 1) * samples.shape[2] + np.int64(x0) + 1 - np.int64(x)
        # Motion is smooth: over many pixels it differs by less than a whole pixel, and their
        # neighbourhoods lie in a row, which vector code can load.
        start = ZERO
        for x in range(1, width + 1):
            if first[x] != first[start]:
                begin, stop = np.uint64(first[start]), np.uint64(x)
                for_pixels = part_x, part_y, start, stop
                interpolate(flat, begin, stride, warped[I1], *for_pixels)
                interpolate(flat, begin + plane, stride, warped[I1_X], *for_pixels)
                interpolate(flat, begin + plane + plane, stride, warped[I1_Y], *for_pixels)
                start = stop
        for x in range(ZERO, np.uint64(width)):
            warped_x, warped_y = warped[I1_X, x], warped[I1_Y, x]
            data[GRAD_X, row, x + ONE], data[GRAD_Y, row, x + ONE] = warped_x, warped_y
            # In flat places grad and with it the step is 0 whatever the divisor.
            inverse = np.float32(1) / max(warped_x * warped_x + warped_y * warped_y, tiny)
            data[INVERSE, row, x + ONE] = inverse
            rest = warped[I1, x] - i0[y, x]
            rest -= warped_x * u[U1, row, x + ONE] + warped_y * u[U2, row, x + ONE]
            data[RHO_C, row, x + ONE] = rest * inverse


@compiled
def interpolate(flat, first, stride, warped, part_x, part_y, start, stop):
    """One of the samples at pixels start to stop of a row, by Catmull-Rom (Keys, a = -1/2)."""
    for x in range(start, stop):
        across, down = catmull_rom(part_x[x]), catmull_rom(part_y[x])
        warped[x] = neighbourhood(flat, first + x, stride, across, down)


@compiled
def catmull_rom(t):
    """Weights of the pixels at -1, 0, 1, 2 for a point at t in [0, 1]."""
    half, one = np.float32(0.5), np.float32(1)
    s = one - t
    before, after = -half * t * s * s, -half * s * t * t
    near = one + t * t * (np.float32(1.5) * t - np.float32(2.5))
    return before, near, one - before - near - after, after


@compiled
def neighbourhood(flat, place, stride, across, down):
    """The weighted sum of 4 x 4 pixels, of which the first is at `place`."""
    line_2, line_3 = place + stride, place + stride + stride
    total = down[0] * line(flat, place, across) + down[1] * line(flat, line_2, across)
    return (
        total + down[2] * line(flat, line_3, across) + down[3] * line(flat, line_3 + stride, across)
    )


@compiled
def line(flat, place, across):
    total = across[0] * flat[place] + across[1] * flat[place + ONE]
    return total + across[2] * flat[place + TWO] + across[3] * flat[place + THREE]


@compiled
def iterate(u, p, data, width, tau, lam, theta, epsilon, iterations):
    """Alternate both steps in place until OpenCV's rule is met; returns the number of iterations.

    It looks at odd iterations only, and after seeing k times the limit lets about k go by first. So
    it is known when the next look comes, and all until then go in sweeps.
    """
    height = u.shape[1] - 1
    limit = epsilon * epsilon * height * width
    threshold, tightness, taut = np.float32(lam * theta), np.float32(theta), np.float32(tau / theta)
    debt, n = 0.0, 0
    while n < iterations:
        looking = n  # the next iteration that looks
        while looking < iterations and not (debt < limit and looking % 2 == 1 and epsilon > 0):
            debt -= limit
            looking += 1
        end = min(looking + 1, iterations)
        while n < end:
            count = min(SWEEP, end - n)
            n += count
            looks = n == end and looking < iterations
            change = sweep(u, p, data, width, count, threshold, tightness, taut, looks)
        if looking < iterations:
            debt = change
            if debt <= limit:
                break
    return n


@compiled
def sweep(u, p, data, width, count, threshold, theta, taut, looks):
    """`count` iterations; returns sum |du|^2 of the last one if it `looks`, else 0."""
    height = u.shape[1] - 1
    before = np.empty((2, u.shape[2]), np.float32)
    change = 0.0
    for step in range(height + 2 * count - 1):
        for j in range(count):
            y = np.uint64(step - 2 * j + 1)  # beyond the height if it is negative
            if ONE <= y <= np.uint64(height):
                if looks and j == count - 1:
                    change += looking_row(u, p, data, y, before, width, threshold, theta)
                else:
                    primal_row(u, p, data, y, threshold, theta)
                for x in range(width + 1, u.shape[2]):
                    u[U1, y, x], u[U2, y, x] = u[U1, y, width], u[U2, y, width]
            if TWO <= y <= np.uint64(height + 1):
                below = min(y, np.uint64(height))  # below the last row is that row again
                dual_row(u, p, y - ONE, below, taut)
    return change


@compiled
def primal_row(u, p, data, y, threshold, theta):
    """u = v + theta div p with v = u + TH(u) in row y (eqs. 11 to 13)."""
    above = y - ONE
    for x in range(ONE, np.uint64(u.shape[2] - 1)):
        grad_x, grad_y = data[GRAD_X, y, x], data[GRAD_Y, y, x]
        # TH moves u along the gradient by -rho/|grad|, but by at most lambda theta |grad|.
        rho = (grad_x * u[U1, y, x] + grad_y * u[U2, y, x]) * data[INVERSE, y, x]
        move = min(max(rho + data[RHO_C, y, x], -threshold), threshold)
        div_1 = p[P11, y, x] - p[P11, y, x - ONE] + p[P12, y, x] - p[P12, above, x]
        div_2 = p[P21, y, x] - p[P21, y, x - ONE] + p[P22, y, x] - p[P22, above, x]
        u[U1, y, x] += theta * div_1 - move * grad_x
        u[U2, y, x] += theta * div_2 - move * grad_y


@compiled
def dual_row(u, p, y, below, taut):
    """p = (p + taut grad u) / (1 + taut |grad u|), taut = tau / theta, in row y (eq. 14)."""
    one = np.float32(1)
    for x in range(ONE, np.uint64(u.shape[2] - 1)):
        x1, y1 = u[U1, y, x + ONE] - u[U1, y, x], u[U1, below, x] - u[U1, y, x]
        x2, y2 = u[U2, y, x + ONE] - u[U2, y, x], u[U2, below, x] - u[U2, y, x]
        scale_1 = one / (one + taut * np.sqrt(x1 * x1 + y1 * y1))
        scale_2 = one / (one + taut * np.sqrt(x2 * x2 + y2 * y2))
        p[P11, y, x] = (p[P11, y, x] + taut * x1) * scale_1
        p[P12, y, x] = (p[P12, y, x] + taut * y1) * scale_1
        p[P21, y, x] = (p[P21, y, x] + taut * x2) * scale_2
        p[P22, y, x] = (p[P22, y, x] + taut * y2) * scale_2


@compiled
def looking_row(u, p, data, y, before, width, threshold, theta):
    """`primal_row`, and the sum of |du|^2 in it."""
    for x in range(ONE, np.uint64(width + 1)):
        before[U1, x], before[U2, x] = u[U1, y, x], u[U2, y, x]
    primal_row(u, p, data, y, threshold, theta)
    total = np.float32(0)
    for x in range(ONE, np.uint64(width + 1)):
        du1, du2 = u[U1, y, x] - before[U1, x], u[U2, y, x] - before[U2, x]
        total += du1 * du1 + du2 * du2
    return np.float64(total)
