"""How much motion does each way of aligning add of its own? Prints markdown tables.

    python benchmarks/align_modes.py [--frames N] [VIDEO ...]

On rendered faces whose truth is known: what a fixed point of the skull still moves in the crop
from frame to frame, and what of it reaches the model, as TV-L1 flow in the ROIs less that of the
nose. On real videos, without truth: how much each way's motion jitters.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from mespot import align, demo, faces, video
from mespot.decode import decode
from mespot.faces.covered import consistent_points
from mespot.faces.dlib import grey
from mespot.faces.points import moved_box
from mespot.faces.register import compose, fit_similarity, invert
from mespot.settings import Align, Decode, Demo
from mespot.tvl1 import plain as tvl1

SIZE = 128
CASES = {
    "still face": [],
    "moving head": ["head"],
    "all distractors": ["blink", "gaze", "head", "light"],
}
ROIS = [18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57]
NOSE = [29, 30]
WINDOW = 3  # half side of the windows in which flow is averaged, px
SKULL = [27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45]


class Clip:
    """A decoded video in memory, with its reference frame and its points frame by frame."""

    def __init__(self, path: Path, size: int, limit: int | None = None):
        self.settings = Align(size=size)
        self.fps = video.info(path).fps
        self.detector = faces.face_detector(self.settings)
        info = video.info(path)
        self.reference = align.find_reference(path, info, self.detector, self.settings)
        self.frames = [grey(frame) for frame in video.read(path)][self.reference.frame : limit]
        self.pictures = [align.Picture(f, self.reference.transform) for f in self.frames]
        self.points = self._points()

    def _points(self) -> np.ndarray:
        first = last = self.reference.points
        found = []
        for frame in self.frames:
            box = moved_box(self.reference.box, first, last)
            last, _ = consistent_points(frame, box)
            found.append(last)
        return np.array(found)


def box(clip: Clip) -> np.ndarray:
    return np.repeat(clip.reference.transform[None], len(clip.frames), 0)


def from_landmarks(clip: Clip) -> np.ndarray:
    onto = clip.reference.points[SKULL]
    fits = [fit_similarity(points[SKULL], onto) for points in clip.points]
    return np.array([compose(clip.reference.transform, fit) for fit in fits])


def from_landmarks_31(clip: Clip) -> np.ndarray:
    return uniform_filter1d(from_landmarks(clip), 31, axis=0, mode="nearest")


def phase_correlation(clip: Clip) -> np.ndarray:
    """Translation only, on the box around the skull's region."""
    start = clip.reference.transform
    region = _region(clip)
    rows, columns = np.nonzero(region)
    part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    window = cv2.createHanningWindow(region[part].shape[::-1], cv2.CV_32F)
    first = np.float32(clip.pictures[0].crop(start, clip.settings.size))[part]
    found = [start]
    for picture in clip.pictures[1:]:
        crop = np.float32(picture.crop(found[-1], clip.settings.size))[part]
        (dx, dy), _ = cv2.phaseCorrelate(first, crop, window)
        found.append(compose(np.array([[1, 0, -dx], [0, 1, -dy]]), found[-1]))
    return np.array(found)


def ecc(clip: Clip) -> np.ndarray:
    """OpenCV's ECC, affine, on the skull's region of the first frame; its nearest similarity."""
    start, size = clip.reference.transform, clip.settings.size
    region = _region(clip).astype(np.uint8)
    first = np.float32(clip.pictures[0].crop(start, size))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-6)
    found = [start]
    for picture in clip.pictures[1:]:
        back = np.float32(compose(picture.to_own, invert(found[-1])))
        everywhere = np.ones(picture.pixels.shape, np.uint8)
        with contextlib.suppress(cv2.error):  # where it does not converge the transform stays
            _, back = cv2.findTransformECCWithMask(
                first, picture.pixels, region, everywhere, back, cv2.MOTION_AFFINE, criteria, 5
            )
        back = fit_similarity(CORNERS * size, align.moved(back, CORNERS * size))
        found.append(compose(invert(back), picture.to_own))
    return np.array(found)


@lru_cache(1)
def registered(clip: Clip) -> np.ndarray:
    follower = align.Similarity(clip.reference, clip.detector, clip.settings, clip.fps)
    return np.array([follower.find(frame).transform for frame in clip.frames])


def registered_smooth(clip: Clip) -> np.ndarray:
    return gaussian_filter1d(registered(clip), 1.5, axis=0, mode="nearest")


CORNERS = np.array([[0.3, 0.3], [0.7, 0.3], [0.3, 0.7], [0.7, 0.7]])
MODES: dict[str, Callable[[Clip], np.ndarray]] = {
    "box": box,
    "landmarks": from_landmarks,
    "landmarks, mean of 31 frames": from_landmarks_31,
    "phase correlation (shift only)": phase_correlation,
    "ECC affine to similarity": ecc,
    "similarity (align)": registered,
    "similarity, Gaussian of 1.5 frames": registered_smooth,
}


def _region(clip: Clip) -> np.ndarray:
    points = align.moved(clip.reference.transform, clip.reference.points)
    return align.skull_region(points, clip.settings.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=20, help="pairs of frames for the flow")
    parser.add_argument("--subjects", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, distractors in CASES.items():
            tables = []
            for subject in range(args.subjects):
                clip, truth = rendered(Path(folder), subject, distractors)
                tables.append({mode: measure(clip, truth, mode, args.frames) for mode in MODES})
            show(f"{name} (crop {SIZE} px)", tables)
        for path in args.videos:
            out = Path(folder) / "real.mkv"
            decode(path, out, Decode(fps=video.info(path).fps))
            show_real(path, Clip(out, 224))


class Truth:
    """Where points of the skin are, in crop px of the first frame, without the head's motion."""

    def __init__(self, subject: demo.Subject, npz: Path, clip: Clip):
        with np.load(npz) as file:
            self.landmarks = file["landmarks"].astype(float)
            head, onset, offset = file["head"], file["onset"], file["offset"]
        centre = subject.landmarks[27:31].mean(0)
        self.motion = [demo._rigid(one, centre, subject.inter_ocular) for one in head]
        still = [
            align.moved(invert(m), p) for m, p in zip(self.motion, self.landmarks, strict=True)
        ]
        to_crop = compose(clip.reference.transform, self.motion[clip.reference.frame])
        self.skin = np.array([align.moved(to_crop, points) for points in still])
        self.skull = subject.landmarks[SKULL]
        self.busy = np.zeros(len(head), bool)
        for first, last in zip(onset, offset, strict=True):
            self.busy[first : last + 1] = True


def rendered(folder: Path, subject: int, distractors: list[str]) -> tuple[Clip, Truth]:
    settings = Demo(distractors=distractors)
    name = f"{subject}_{'_'.join(distractors)}"
    demo.make_video("cas_me_sq", subject, 0, settings, folder / name, folder / f"{name}.npz")
    decode(folder / name, folder / f"{name}.mkv", Decode(fps=30, frames_fps=30))
    clip = Clip(folder / f"{name}.mkv", SIZE)
    person = demo.make_subject("cas_me_sq", subject, settings)
    return clip, Truth(person, folder / f"{name}.npz", clip)


def measure(clip: Clip, truth: Truth, mode: str, n_pairs: int) -> np.ndarray:
    """Skull's motion left (rms, px/frame) at rest and in expressions; flow at rest; flow's error
    in expressions (px/frame); ms per frame."""
    started = time.perf_counter()
    transforms = MODES[mode](clip)
    took = (time.perf_counter() - started) / len(clip.frames) * 1e3
    skull = np.array(
        [
            align.moved(compose(a, m), truth.skull)
            for a, m in zip(transforms, truth.motion, strict=True)
        ]
    )
    left = np.diff(skull, axis=0)
    busy = truth.busy[1:] | truth.busy[:-1]
    crops = np.array([p.crop(a, SIZE) for p, a in zip(clip.pictures, transforms, strict=True)])
    points = np.array([align.moved(a, p) for a, p in zip(transforms, truth.landmarks, strict=True)])
    still = spread_out(np.flatnonzero(~busy), n_pairs)
    moving = spread_out(np.flatnonzero(busy), n_pairs)
    skin = np.diff(truth.skin, axis=0)
    true = skin[:, ROIS] - skin[:, NOSE].mean(1, keepdims=True)
    return np.array(
        [
            rms(left[~busy]),
            rms(left[busy]),
            rms(roi_flow(crops, points, still) - true[still]),
            rms(roi_flow(crops, points, moving) - true[moving]),
            rms(true[moving]),
            took,
        ]
    )


def roi_flow(crops: np.ndarray, points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Mean flow (N, 12, 2) px/frame in windows on the ROIs less that on the nose, frames `at`."""
    first, second = (torch.from_numpy(np.float32(crops[at + k])) for k in (0, 1))
    parts = zip(first.split(16), second.split(16), strict=True)
    flows = torch.cat([tvl1.tvl1(a, b) for a, b in parts]).numpy()
    found = []
    for flow, where in zip(flows, points[at + 1], strict=True):
        means = [_window(flow, where[point]) for point in ROIS]
        nose = np.mean([_window(flow, where[point]) for point in NOSE], axis=0)
        found.append(np.array(means) - nose)
    return np.array(found)


def _window(flow: np.ndarray, at: np.ndarray) -> np.ndarray:
    x, y = np.rint(at).astype(int)
    return flow[:, y - WINDOW : y + WINDOW + 1, x - WINDOW : x + WINDOW + 1].mean((1, 2))


def spread_out(items: np.ndarray, n: int) -> np.ndarray:
    return items[np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).astype(int))]


def rms(vectors: np.ndarray) -> float:
    """Root of the mean squared length of vectors (..., 2)."""
    return float(np.sqrt((vectors**2).sum(-1).mean()))


def show(title: str, tables: list[dict[str, np.ndarray]]) -> None:
    print(f"\n### {title}\n")
    print(
        "| way | skull moves, at rest | in expressions | ROI flow error, at rest "
        "| in expressions | true ROI motion | ms/frame |"
    )
    print("|---|---|---|---|---|---|---|")
    for mode in MODES:
        *figures, took = np.mean([table[mode] for table in tables], axis=0)
        print(
            f"| {mode} | " + " | ".join(f"{x:.3f}" for x in figures) + f" | {took:.1f} |",
            flush=True,
        )


def show_real(path: Path, clip: Clip) -> None:
    """The nose's and eyes' frame-to-frame motion under each way, and its jitter: what a mean over
    five frames does not explain. Frames that align marks are left out."""
    follower = align.Similarity(clip.reference, clip.detector, clip.settings, clip.fps)
    good = np.array([follower.find(f).resemblance for f in clip.frames])
    good = good >= clip.settings.min_resemblance
    good = good[1:] & good[:-1]
    print(f"\n### {path.name} (crop {clip.settings.size} px, {good.sum()} pairs of good frames)\n")
    print("| way | change of the transform, px/frame | jitter of it, px/frame |\n|---|---|---|")
    for mode, run in MODES.items():
        corners = np.array(
            [align.moved(invert(a), CORNERS * clip.settings.size) for a in run(clip)]
        )
        scale = np.sqrt(np.linalg.det(clip.reference.transform[:, :2]))
        change = np.diff(corners, axis=0) * scale
        jitter = change - uniform_filter1d(change, 5, axis=0, mode="nearest")
        print(f"| {mode} | {rms(change[good]):.3f} | {rms(jitter[good]):.3f} |", flush=True)


if __name__ == "__main__":
    main()
