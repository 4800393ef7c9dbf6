"""Dual TV-L1 optical flow, as OpenCV's CUDA module computes it, in batched PyTorch.

The method is Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow"
(DAGM 2007); the names and equations below are those of Sánchez, Meinhardt-Llopis, Facciolo,
"TV-L1 Optical Flow Estimation" (IPOL 2013, DOI 10.5201/ipol.2013.26, "the paper"). It minimises

    E(u) = sum |grad u1| + |grad u2| + lambda |rho(u)|,   rho(u) = I1(x + u) - I0(x),

coarse to fine. At each scale I1 is warped `warps` times, and after each warp the linearised
problem is solved by alternating a pointwise step on u with Chambolle's step on the duals p.

The paper leaves choices open. Published expression-spotting features came from denseflow, hence
from `cv::cuda::OpticalFlowDual_TVL1`, so its choices are followed: how images are resized, the
Catmull-Rom warp, no median filter, and above all the moment an image pair stops iterating.
Converging further than that shrinks micro-motion.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mespot.settings import PUBLISHED_TVL1, Tvl1

# Pixels worked on at once. On a CPU, iterating few pairs keeps their fields in the cache, while
# small images are bundled so that the price of calling an operation is shared.
_CHUNK_PIXELS = {"cpu": 1 << 15, "cuda": 1 << 22}
_MIN_SIDE = 16  # px; OpenCV builds no pyramid level smaller than this


def tvl1(i0: Tensor, i1: Tensor, parameters: Tvl1 = PUBLISHED_TVL1) -> Tensor:
    """Optical flow from each image of `i0` to its partner in `i1`: i1(x + u) = i0(x).

    Args:
        i0, i1: (B, H, W) float32 on one device, grey values on the 0-255 scale.
        parameters: of the method; `settings.Tvl1` says what each is.

    Returns:
        (B, 2, H, W) float32, (dx, dy) in px. A pair's flow does not depend on its batch.

    Raises:
        ValueError: shapes differ or are not (B, H, W), dtype is not float32, a value is NaN or
            infinite.
    """
    check_images(i0, i1)
    step = parameters.scale_step
    with torch.inference_mode():
        pyramid0, pyramid1 = (pyramid(image, parameters.scales, step) for image in (i0, i1))
        u = i0.new_zeros(2, len(i0), *pyramid0[-1].shape[1:])
        for level0, level1 in zip(reversed(pyramid0), reversed(pyramid1), strict=True):
            if u.shape[2:] != level0.shape[1:]:  # OpenCV scales u by 1/step, not by the sizes
                u = resize(u, *level0.shape[1:]).div_(step)
            for part in _chunks(level0):
                u[:, part] = _solve_scale(level0[part], level1[part], u[:, part], parameters)
    return u.transpose(0, 1).clone()  # outside inference_mode: an ordinary tensor


def check_images(i0: Tensor, i1: Tensor) -> None:
    if i0.shape != i1.shape or i0.ndim != 3 or 0 in i0.shape[1:]:
        shapes = f"{tuple(i0.shape)} and {tuple(i1.shape)}"
        raise ValueError(f"i0 and i1 must have one shape (B, H, W), got {shapes}")
    for name, image in (("i0", i0), ("i1", i1)):
        if image.dtype != torch.float32:
            raise ValueError(f"{name} must be float32 on the 0-255 scale, got {image.dtype}")
        if not image.isfinite().all():
            pairs = (~image.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
            raise ValueError(f"{name} holds NaN or infinite values in images {pairs}")


def _chunks(images: Tensor) -> Iterator[slice]:
    """Slices of the batch of (B, H, W) `images` that are worked on together."""
    pixels = _CHUNK_PIXELS["cpu" if images.device.type == "cpu" else "cuda"]
    size = max(1, pixels // images[0].numel()) if len(images) else 1
    return (slice(b, b + size) for b in range(0, len(images), size))


# ---- pyramid -------------------------------------------------------------------------------


def pyramid(image: Tensor, scales: int, step: float) -> list[Tensor]:
    """`image` (B, H, W) and its reductions by `step`, finest first."""
    levels = [image]
    while len(levels) < scales:
        height, width = (round(n * step) for n in levels[-1].shape[1:])
        if min(height, width) < _MIN_SIDE:
            break
        levels.append(resize(levels[-1], height, width, 1 / step))
    return levels


def resize(image: Tensor, height: int, width: int, factor: float | None = None) -> Tensor:
    """Linear interpolation of (..., H, W) at `src = dst * factor`, border pixels repeated.

    There is no half-pixel shift: pixel 0 stays on pixel 0. Without `factor`, the ratio of sizes.
    """
    for dim, size in ((-2, height), (-1, width)):
        old = image.shape[dim]
        position = torch.arange(size, dtype=torch.float32, device=image.device)
        position *= old / size if factor is None else factor
        low = position.long()
        weight = (position - low).reshape(-1, *[1] * (-1 - dim))
        high = (low + 1).clamp_(max=old - 1)
        image = torch.lerp(image.index_select(dim, low), image.index_select(dim, high), weight)
    return image


# ---- warp ----------------------------------------------------------------------------------


def centred_gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """d/dx and d/dy of (B, H, W) by central differences, border pixels repeated."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    return dx.mul_(0.5), dy.mul_(0.5)


def _catmull_rom(t: Tensor) -> Tensor:
    """Weights (N, 4) of the pixels at -1, 0, 1, 2 for a point at `t` (N,) in [0, 1].

    Keys' cubic kernel with a = -1/2. The four weights sum to 1 for every t.
    """
    one, square = torch.ones_like(t), t * t
    powers = torch.stack((one, t, square, square * t))
    basis = t.new_tensor([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return powers.t() @ basis


class _Warper:
    """Images at x + u, by cubic (Catmull-Rom) interpolation with coordinates clamped.

    images: (C, B, H, W), all warped alike.
    """

    def __init__(self, images: Tensor):
        self.shape, device = images.shape, images.device
        count, batch, height, width = images.shape
        # For every place, the 4 pixels in a row there of all images, as one piece of memory: a
        # 4 x 4 neighbourhood is four such pieces. 2 and 3 more border pixels keep it inside.
        padded = F.pad(images, (2, 3, 2, 3), mode="replicate")
        lines = padded.unfold(3, 4, 1).permute(1, 2, 3, 4, 0)
        self.lines = lines.reshape(-1, 4 * count)
        self.columns = lines.shape[2]
        self.x = torch.arange(width, dtype=torch.float32, device=device)
        self.y = torch.arange(height, dtype=torch.float32, device=device)[:, None]
        origin = torch.arange(batch, device=device) * lines.shape[1] + 1  # of the lines at y = 0
        self.origin = (origin * self.columns + 1).view(-1, 1, 1)
        self.next_line = torch.arange(4, device=device) * self.columns
        self.taps = torch.arange(4 * batch * height * width, device=device).view(-1, 4)

    def __call__(self, u: Tensor) -> Tensor:
        """u (2, B, H, W) px; returns (C, B, H, W)."""
        count, _, height, width = self.shape
        # One pixel outside the image all that is near is the same border pixel: no need to go on.
        x, y = (self.x + u[0]).clamp_(-1, width), (self.y + u[1]).clamp_(-1, height)
        x0, y0 = x.floor(), y.floor()
        along, across = (_catmull_rom(t.flatten()) for t in (x.sub_(x0), y.sub_(y0)))
        first = y0.long().mul_(self.columns).add_(x0.long()).add_(self.origin).view(-1, 1)
        # embedding_bag sums weighted rows of a table: over the four lines, then along the line.
        line = _weighted_rows(self.lines, first + self.next_line, across)
        return _weighted_rows(line.view(-1, count), self.taps, along).t().view(self.shape)


def _weighted_rows(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """sum_k weight[n, k] * table[index[n, k]] for (N, K) index and weight."""
    return F.embedding_bag(index, table, per_sample_weights=weight, mode="sum")


# ---- one scale -----------------------------------------------------------------------------


def _solve_scale(i0: Tensor, i1: Tensor, u: Tensor, parameters: Tvl1) -> Tensor:
    """Refine u (2, B, H, W) at one pyramid level of images (B, H, W): the paper's Algorithm 1."""
    fields = _Fields(i0.new_zeros(_Fields.COUNT, *i0.shape))
    fields.u.copy_(u)
    warp = _Warper(torch.stack((i1, *centred_gradient(i1))))
    for _ in range(parameters.warps):  # u and p go on from warp to warp
        fields.linearise(i0, *warp(fields.u))
        _iterate(fields, parameters)
    return fields.u


def _iterate(fields: "_Fields", parameters: Tvl1) -> None:
    """Alternate both steps in place until each pair of the batch has met OpenCV's rule.

    A pair stops once sum |du|^2 <= epsilon^2 * area. Looking costs a pass over the data, so
    OpenCV looks at odd iterations only, and after seeing k times the limit it lets about k
    iterations go by first. A pair that has stopped is taken out of the batch.
    """
    tau, lam, theta = parameters.tau, parameters.lam, parameters.theta
    epsilon = parameters.epsilon
    limit = epsilon**2 * fields.rho_c[0].numel()
    now = fields
    running = np.arange(fields.data.shape[1])  # the pairs in `now`, as numbered in `fields`
    debt = np.zeros(len(running))  # OpenCV's prevError, which starts at 0
    for n in range(parameters.iterations):
        look = (debt < limit) & (n % 2 == 1 and epsilon > 0)
        before = now.u.clone() if look.any() else None
        now.primal_step(lam * theta, theta)
        debt -= limit
        if before is not None:
            change = before.sub_(now.u).square_().sum(3).double().sum((0, 2)).cpu().numpy()
            debt[look] = change[look]
        now.dual_step(tau / theta)
        done = look & (debt <= limit)
        if done.any():
            now.put_into(fields, running)
            running, debt = running[~done], debt[~done]
            if len(running) == 0:
                return
            now = fields.pick(running)
    now.put_into(fields, running)


class _Fields:
    """All that the iteration reads and writes for a batch of pairs, and its two steps.

    data (11, B, H, W) holds, in this order:
        u       (2, B, H, W)      the flow
        p       (2, 2, B, H, W)   its duals: direction of the derivative, component of u
        grad    (2, B, H, W)      gradient of the warped I1
        inverse (2, B, H, W)      grad / |grad|^2
        rho_c   (B, H, W)         the part of rho / |grad|^2 that does not depend on u
    """

    COUNT = 11

    def __init__(self, data: Tensor):
        self.data = data
        self.u, self.p = data[:2], data[2:6].unflatten(0, (2, 2))
        self.grad, self.inverse, self.rho_c = data[6:8], data[8:10], data[10]
        scratch = data.new_empty(6, *data.shape[1:])
        self.grad_u, self.norm, self.step = scratch[:4].view_as(self.p), scratch[4:], scratch[4]
        # Views of flat memory one pixel apart in x (lag 1) and in y (lag W); made once, since on
        # a CPU making a view costs as much as arithmetic on thousands of pixels.
        u = self.u.view(-1)
        self.u_x, self.u_y = self.u
        self.inverse_x, self.inverse_y = self.inverse
        self.directions = [
            (p, p.view(-1)[:-lag], u[lag:], u[:-lag], grad_u.view(-1)[:-lag])
            for lag, p, grad_u in zip((1, data.shape[-1]), self.p, self.grad_u, strict=True)
        ]
        self.far_borders = self.grad_u[0, ..., -1], self.grad_u[1, ..., -1, :]

    def pick(self, pairs: np.ndarray) -> "_Fields":
        """A copy of some pairs of the batch."""
        return _Fields(self.data.index_select(1, torch.as_tensor(pairs, device=self.data.device)))

    def put_into(self, fields: "_Fields", pairs: np.ndarray) -> None:
        """Copy u and p, all that the steps change, to where `pick` took the pairs from."""
        if self is not fields:
            index = torch.as_tensor(pairs, device=self.data.device)
            fields.data[:6].index_copy_(1, index, self.data[:6])

    def linearise(self, i0: Tensor, i1: Tensor, i1_x: Tensor, i1_y: Tensor) -> None:
        """Expand rho around u (the paper's eq. 8): rho = i1 - i0 + grad . (u_new - u).

        i1 and its gradient, warped by u, are (B, H, W). rho is kept divided by |grad|^2, as the
        primal step needs it.
        """
        self.grad[0], self.grad[1] = i1_x, i1_y
        (grad_x, grad_y), rho_c = self.grad, self.rho_c
        torch.sub(i1, i0, out=rho_c)
        rho_c.addcmul_(grad_x, self.u_x, value=-1).addcmul_(grad_y, self.u_y, value=-1)
        # In flat places grad and with it the step is 0 whatever the divisor; eps avoids 0/0.
        square = (
            (grad_x * grad_x).addcmul_(grad_y, grad_y).clamp_(min=torch.finfo(torch.float32).eps)
        )
        torch.div(self.grad, square, out=self.inverse)
        rho_c.div_(square)

    def primal_step(self, threshold: float, theta: float) -> None:
        """u = v + theta div p with v = u + TH(u); threshold is lambda theta (eqs. 11 to 13)."""
        # TH moves u along the gradient by -rho/|grad|, but by at most lambda theta |grad|.
        torch.addcmul(self.rho_c, self.inverse_x, self.u_x, out=self.step)
        self.step.addcmul_(self.inverse_y, self.u_y).clamp_(-threshold, threshold)
        self.u.addcmul_(self.step, self.grad, value=-1)
        # Backward differences. dual_step leaves p = 0 along the far border, so that one step left
        # of a row's first pixel, at the end of the row above, there is the 0 wanted outside.
        for p, p_here, u_next, _, _ in self.directions:
            self.u.add_(p, alpha=theta)
            u_next.sub_(p_here, alpha=theta)

    def dual_step(self, taut: float) -> None:
        """p = (p + taut grad u) / (1 + taut |grad u|), taut = tau / theta (eq. 14)."""
        for _, _, u_next, u_here, grad_u in self.directions:
            torch.sub(u_next, u_here, out=grad_u)
        for border in self.far_borders:  # forward differences are 0 where there is no next pixel
            border.zero_()
        torch.mul(self.grad_u[0], self.grad_u[0], out=self.norm)
        self.norm.addcmul_(self.grad_u[1], self.grad_u[1]).sqrt_()
        self.p.add_(self.grad_u, alpha=taut).div_(self.norm.mul_(taut).add_(1))
