"""Registration of a face's picture to a template: a similarity, by inverse compositional steps.

Baker and Matthews 2004, "Lucas-Kanade 20 Years On" (doi 10.1023/B:VISI.0000011205.11775.fd): the
template's derivatives are computed once; each step solves for a small similarity together with a
gain and an offset of the light, with robust weights, so that brows, blinks and fingers, which move
otherwise than the skull, count little.
"""

from __future__ import annotations

import cv2
import numpy as np

COARSE = 2  # pyramid levels between the fine and the coarse start
STEPS = 20
ENOUGH = 0.004, 0.05  # px at the region's edge, fine and coarse: a shorter step is the last
MOST = 2500  # pixels of the region looked at: twice as many leave the same error
ROBUST = 1.0  # robust standard deviations at which a pixel counts half


class Template:
    """A face as it should look in the crop, and where in it the skull shows."""

    def __init__(self, crop: np.ndarray, region: np.ndarray):
        """`crop` (S, S) grey levels; `region` (S, S) bool, the pixels that move with the skull."""
        small, small_region = crop.astype(np.float32), region.astype(np.float32)
        for _ in range(COARSE):
            small, small_region = cv2.pyrDown(small), cv2.pyrDown(small_region)
        self.size = crop.shape[0]
        self.fine = _Level(crop.astype(np.float32), region, ENOUGH[0])
        self.coarse = _Level(small, small_region > 0.5, ENOUGH[1])

    def register(self, picture: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
        """The similarity (2, 3) from px of `picture` (H, W) float32 to the crop, near `start`.

        Second: the correlation of the picture so registered with the template, 0 to 1.
        """
        shown = cv2.warpAffine(
            picture, start, (self.size, self.size), borderMode=cv2.BORDER_REPLICATE
        )
        for _ in range(COARSE):
            shown = cv2.pyrDown(shown)
        back, _ = self.coarse.solve(shown, np.eye(2, 3))
        back[:, 2] *= 2**COARSE
        back = compose(invert(start), back)
        back, resemblance = self.fine.solve(picture, back)
        return invert(back), resemblance


class _Level:
    def __init__(self, image: np.ndarray, region: np.ndarray, enough: float):
        self.enough = enough
        rows, columns = np.nonzero(region)
        kept = slice(None, None, 1 + len(rows) // MOST)
        rows, columns = rows[kept], columns[kept]
        self.points = np.stack([columns, rows], 1).astype(np.float64)
        self.centre = self.points.mean(0)
        self.radius = np.abs(self.points - self.centre).max()
        self.values = image[rows, columns].astype(np.float64)
        dx = (cv2.Scharr(image, cv2.CV_32F, 1, 0) / 32)[rows, columns]
        dy = (cv2.Scharr(image, cv2.CV_32F, 0, 1) / 32)[rows, columns]
        x, y = ((self.points - self.centre) / self.radius).T
        light = [self.values, np.ones_like(self.values)]
        self.jacobian = np.stack([dx, dy, dx * x + dy * y, dy * x - dx * y, *light], 1)

    def solve(self, picture: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, float]:
        """Better `back` (2, 3), from template px to picture px, and the correlation reached."""
        gain, offset = 1.0, 0.0
        for _ in range(STEPS):
            seen = self._sample(picture, back)
            residual = seen - gain * self.values - offset
            scale = 1.4826 * np.median(np.abs(residual)) + 1e-3
            weighted = self.jacobian / (1 + (residual / (ROBUST * scale))[:, None] ** 2)
            moment = weighted.T @ self.jacobian
            # The picture's gradient is gain times the template's.
            step = np.linalg.solve(moment + 1e-6 * np.eye(6), weighted.T @ residual)
            gain, offset = gain + step[4], offset + step[5]
            tx, ty, stretch, turn = step[:4] / max(gain, 0.1)
            stretch, turn = stretch / self.radius, turn / self.radius
            linear = np.array([[1 + stretch, -turn], [turn, 1 + stretch]])
            shift = self.centre + np.array([tx, ty]) - linear @ self.centre
            back = compose(back, invert(np.column_stack([linear, shift])))
            if np.abs(step[:4]).max() / max(gain, 0.1) < self.enough:
                break
        return back, self._correlation(self._sample(picture, back))

    def _sample(self, picture: np.ndarray, back: np.ndarray) -> np.ndarray:
        at = (self.points @ back[:, :2].T + back[:, 2]).astype(np.float32)
        # remap takes at most 32767 rows: the points go in as a grid.
        n = len(at)
        grid = np.resize(at, (-(-n // 256), 256, 2))
        seen = cv2.remap(picture, grid, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return seen.reshape(-1)[:n].astype(np.float64)

    def _correlation(self, seen: np.ndarray) -> float:
        spread = seen.std() * self.values.std()
        if spread < 1e-6:
            return 0.0
        covariance = ((seen - seen.mean()) * (self.values - self.values.mean())).mean()
        return float(np.clip(covariance / spread, 0, 1))


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) that does `first`, then `second`."""
    shift = second[:, :2] @ first[:, 2] + second[:, 2]
    return np.column_stack([second[:, :2] @ first[:, :2], shift])


def invert(transform: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(np.asarray(transform, np.float64))


def fit_similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) that brings points (N, 2) nearest to `onto`, by least squares."""
    p, q = (points @ (1, 1j)), (onto @ (1, 1j))
    turn = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean()).real
    shift = q.mean() - turn * p.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
