"""flow: TV-L1 from each aligned frame to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from mespot import store, video
from mespot.progress import progress
from mespot.settings import Flow

# Pairs solved at once: on a CPU what stays in its cache, on a GPU what fills it.
CPU_BATCH, GPU_BATCH = 16, 256
# (B, H, W) float32 first and second frames on a 0-255 scale to flow (B, 2, H, W) px.
Solver = Callable[[np.ndarray, np.ndarray], np.ndarray]


def flow(aligned: Path, out: Path, settings: Flow) -> None:
    """Write `flow` (T-1, 2, S, S) int16, 1/256 px/frame: row t is the motion from frame t to t+1."""
    about = video.info(aligned)
    solve, batch = solver(settings)
    shape = (about.n_frames - 1, 2, about.height, about.width)
    with store.create(
        out,
        stage="flow",
        settings=settings.plain(),
        units="px/frame / 256",
        fps=about.fps,
        source=about.source,
    ) as file:
        rows = store.frames_dataset(file, "flow", shape, np.int16)
        start = 0
        batches = progress(_batches(aligned, batch), f"flow {aligned.stem}", len(rows), batch)
        for frames in batches:
            motion = solve(frames[:-1], frames[1:])
            rows[start : start + len(motion)] = store.flow_to_int16(motion)
            start += len(motion)


def solver(settings: Flow) -> tuple[Solver, int]:
    """The solver that the settings name, and how many pairs it takes at once."""
    if settings.solver == "opencv":
        return _opencv(settings), 1
    import torch

    from mespot.tvl1 import tvl1

    device = "cuda" if torch.cuda.is_available() else "cpu"
    parameters = settings.model_dump(exclude={"solver"})

    def solve(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pair = (torch.from_numpy(frames).to(device) for frames in (first, second))
        return tvl1(*pair, **parameters).cpu().numpy()

    return solve, GPU_BATCH if device == "cuda" else CPU_BATCH


def _opencv(settings: Flow) -> Solver:
    """OpenCV's CPU variant; it differs from the CUDA variant (docs/methods.md)."""
    cpu = cv2.optflow.DualTVL1OpticalFlow_create(
        tau=settings.tau,
        lambda_=settings.lam,
        theta=settings.theta,
        nscales=settings.scales,
        warps=settings.warps,
        epsilon=settings.epsilon,
        # Its outer iterations each take a median; 10 x 30 are the same 300 as ours.
        innnerIterations=max(settings.iterations // 10, 1),
        outerIterations=10,
        scaleStep=settings.scale_step,
    )

    def solve(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        # OpenCV takes float frames on a 0-1 scale, and keeps the last flow unless given none.
        pairs = zip(first / np.float32(255), second / np.float32(255), strict=True)
        return np.stack([cpu.calc(a, b, None).transpose(2, 0, 1) for a, b in pairs])

    return solve


def _batches(aligned: Path, batch: int) -> Iterator[np.ndarray]:
    """Frames (<= batch + 1, H, W) float32; each batch begins with the last frame of the one before."""
    frames: list[np.ndarray] = []
    for frame in video.read(aligned):
        frames.append(frame.astype(np.float32))
        if len(frames) == batch + 1:
            yield np.stack(frames)
            frames = frames[-1:]
    if len(frames) > 1:
        yield np.stack(frames)
