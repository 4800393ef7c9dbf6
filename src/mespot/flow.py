"""flow: TV-L1 from each aligned frame to the next.

One meaning (`tvl1.plain`, the CUDA variant of Dual TV-L1 in PyTorch) and two fast paths, `tvl1.cpu` and
`tvl1.cuda`; OpenCV's CPU variant is another method (docs/methods.md).
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from mespot import gpus, store, video
from mespot.errors import InputError
from mespot.progress import progress
from mespot.settings import Flow

Item = TypeVar("Item")
# Pairs solved at once: what keeps the threads of a CPU busy, and what fills a GPU (H200: 132
# multiprocessors, four pairs each).
CPU_BATCH, GPU_BATCH = 32, 528
# Consecutive frames (B + 1, H, W) uint8 to flow (B, 2, H, W) float32 px.
Solver = Callable[[np.ndarray], np.ndarray]


def flow(aligned: Path, out: Path, settings: Flow, threads: int = 1) -> None:
    """Write `flow` (T-1, 2, S, S) int16, 1/256 px/frame: row t is the motion from frame t to t+1.

    The file's attribute `backend` says which solver it was, `saturated` how many components were beyond
    the +-128 px that int16 reaches. Frames are read while the batch before is solved, and that one is
    written meanwhile; `threads` solve on a CPU, or compress what a GPU solved. Raises InputError for a
    backend that cannot be had here.
    """
    about = video.info(aligned)
    backend = choose(settings.backend)
    solve = SOLVERS[backend](settings, threads)
    batch = GPU_BATCH if backend == "cuda" else CPU_BATCH
    shape = (about.n_frames - 1, 2, about.height, about.width)
    with store.create(
        out,
        stage="flow",
        settings=settings.plain(),
        units="px/frame / 256",
        fps=about.fps,
        source=about.source,
        backend=backend,
    ) as file:
        rows = store.frames_dataset(file, "flow", shape, np.int16)
        batches = ahead(map(solve, ahead(_batches(aligned, batch))))
        solved = progress(batches, f"flow {aligned.stem}", len(rows), batch)
        # A CPU solves far fewer pairs than one thread compresses, a GPU more.
        writers = threads if backend == "cuda" else 0
        saturated = store.write_flow(rows, (row for part in solved for row in part), writers)
        store.tell(file, saturated=saturated)
    if saturated:
        print(
            f"warning: {aligned}: {saturated} components of the flow are beyond 128 px/frame and were "
            "held there",
            file=sys.stderr,
        )


def choose(backend: str) -> str:
    """The backend itself; of `auto`, cuda where there is a GPU, else cpu. Raises InputError."""
    if backend not in ("auto", "cuda"):
        return backend
    if gpu():
        return "cuda"
    if backend == "cuda":
        raise InputError(
            "flow.backend: cuda: there is no GPU that PyTorch can use; take auto or cpu"
        )
    return "cpu"


def gpu() -> bool:
    """Whether PyTorch can use a GPU; it is imported (seconds) only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    gpus.take_one()
    import torch

    return torch.cuda.is_available()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items`, the next of which is made in a thread meanwhile."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield item


def _cpu(settings: Flow, threads: int) -> Solver:
    from mespot.tvl1.cpu import tvl1

    def solve(frames: np.ndarray) -> np.ndarray:
        frames = frames.astype(np.float32)
        return tvl1(frames[:-1], frames[1:], settings.sets[settings.set], threads)

    return solve


def _torch(settings: Flow, threads: int, fast: bool = False) -> Solver:
    import torch

    if fast:
        from mespot.tvl1.cuda import tvl1
    else:
        from mespot.tvl1.plain import tvl1
    torch.set_num_threads(threads)
    gpus.take_one()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def solve(frames: np.ndarray) -> np.ndarray:
        frames = torch.from_numpy(frames).to(device).float()
        return tvl1(frames[:-1], frames[1:], settings.sets[settings.set]).cpu().numpy()

    return solve


def _cuda(settings: Flow, threads: int) -> Solver:
    return _torch(settings, threads, fast=True)


def _opencv(settings: Flow, threads: int) -> Solver:
    """OpenCV's CPU variant; it differs from the CUDA variant (docs/methods.md)."""
    import cv2

    cv2.setNumThreads(threads)
    set_ = settings.sets[settings.set]
    cpu = cv2.optflow.DualTVL1OpticalFlow_create(
        tau=set_.tau,
        lambda_=set_.lam,
        theta=set_.theta,
        nscales=set_.scales,
        warps=set_.warps,
        epsilon=set_.epsilon,
        # Its outer iterations each take a median; 10 x 30 are the same 300 as ours.
        innnerIterations=max(set_.iterations // 10, 1),
        outerIterations=10,
        scaleStep=set_.scale_step,
    )

    def solve(frames: np.ndarray) -> np.ndarray:
        # OpenCV takes float frames on a 0-1 scale, and keeps the last flow unless given none.
        frames = frames / np.float32(255)
        pairs = itertools.pairwise(frames)
        return np.stack([cpu.calc(a, b, None).transpose(2, 0, 1) for a, b in pairs])

    return solve


SOLVERS: dict[str, Callable[[Flow, int], Solver]] = {
    "torch": _torch,
    "cpu": _cpu,
    "cuda": _cuda,
    "opencv": _opencv,
}


def _batches(aligned: Path, batch: int) -> Iterator[np.ndarray]:
    """Frames (<= batch + 1, H, W) uint8; each batch begins with the last frame of the one before."""
    frames: list[np.ndarray] = []
    for frame in video.read(aligned):
        frames.append(frame)
        if len(frames) == batch + 1:
            yield np.stack(frames)
            frames = frames[-1:]
    if len(frames) > 1:
        yield np.stack(frames)
