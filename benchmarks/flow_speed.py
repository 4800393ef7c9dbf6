"""Optical flow: pairs a second of each backend, against OpenCV, at several sizes and noise levels.

    python benchmarks/flow_speed.py [--pairs 4] [--compiled] [--stage] [--minutes 20]

One run compares all on the same pairs of a real face that moves by 0.2 px, with sensor noise of standard
deviation sigma; rates are of CPU time on one thread, but for "all threads". The bound is that of the
two square roots and two divisions a pixel and iteration needs, measured here in a loop of nothing else.
`--compiled` adds torch.compile (needs a C++ compiler), `--stage` the whole stage (read, solve, write)
beside the bare solve, `--minutes` a video as long at 30 frames/s. On a GPU the backend cuda is added.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from numba import njit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from moving import moving_pairs

from mespot import video
from mespot.flow import flow, gpu
from mespot.settings import Flow, Tvl1
from mespot.tvl1 import cpu as tvl1_cpu
from mespot.tvl1 import plain as tvl1

SIZES, SIGMAS, MOTION = (128, 224, 256, 400), (0, 1, 2), 0.2
COMPILED = {(128, 1), (256, 1)}  # each takes a minute and more to compile
DEFAULTS = list(Tvl1().model_dump().values())


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    times = []
    for _ in range(3):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


@njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")
def roots(a: np.ndarray, out: np.ndarray, times: int) -> None:
    """Two square roots and two divisions for each of `a`, over and over."""
    one = np.float32(1)
    for _ in range(times):
        for x in range(len(a)):
            first = one / (one + np.sqrt(a[x]))
            out[x] = first + one / (one + np.sqrt(a[x] + one))


def bound() -> float:
    """Seconds a pixel and iteration takes at least."""
    a, out = np.random.default_rng(0).random((2, 2048), np.float32)
    return seconds(lambda: roots(a, out, 2000), time.thread_time) / (2000 * 2048)


def opencv(i0: np.ndarray, i1: np.ndarray, threads: int) -> None:
    cv2.setNumThreads(threads)
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    for first, second in zip(i0, i1, strict=True):
        solver.calc(first / 255, second / 255, None)


@contextmanager
def compiled_steps() -> Iterator[None]:
    """torch.compile of the two steps of an iteration; the loop around them stays Python."""
    steps = {name: getattr(tvl1._Fields, name) for name in ("primal_step", "dual_step")}
    try:
        for name, step in steps.items():
            setattr(tvl1._Fields, name, torch.compile(step, dynamic=False))
        torch.compiler.reset()  # it stops compiling after a few sizes otherwise
        yield
    finally:
        for name, step in steps.items():
            setattr(tvl1._Fields, name, step)


def measure(size: int, sigma: float, count: int, compiled: bool) -> tuple[dict, int]:
    """Seconds for `count` pairs by solver, and the pixel-iterations that they take."""
    cores = os.cpu_count() or 1
    t0, t1, _ = moving_pairs(count, size, size, MOTION, sigma)
    i0, i1 = t0.numpy(), t1.numpy()
    out = np.empty((2, size, size), np.float32)

    def one_thread() -> int:
        pairs = zip(i0, i1, strict=True)
        return sum(tvl1_cpu.solve_pair(a, b, out, *DEFAULTS) for a, b in pairs)

    cpu, wall = time.thread_time, time.perf_counter
    took = {
        "OpenCV": seconds(lambda: opencv(i0, i1, 1), cpu),
        "OpenCV, all threads": seconds(lambda: opencv(i0, i1, cores), wall),
        "torch": seconds(lambda: tvl1.tvl1(t0, t1), cpu),
        "cpu": seconds(one_thread, cpu),
        "cpu, all threads": seconds(lambda: tvl1_cpu.tvl1(i0, i1, threads=cores), wall),
    }
    if compiled and (size, sigma) in COMPILED:
        with compiled_steps():
            took["torch compiled"] = seconds(lambda: tvl1.tvl1(t0, t1), cpu)
    if gpu():
        took["cuda"] = on_gpu(t0, t1)
    return took, one_thread()


def speed_table(count: int, compiled: bool) -> None:
    least = bound()
    torch.set_num_threads(1)
    names = ["OpenCV", "OpenCV, all threads", "torch", "torch compiled", "cpu", "cpu, all threads"]
    names += ["cuda"]
    print(
        f"\npairs/s; bound {1e9 * least:.2f} ns a pixel-iteration; x: cpu against OpenCV, one thread\n"
    )
    print(f"| px | sigma | {' | '.join(names)} | x | M pixel-iterations a pair | of the bound |")
    print("|---|---|" + "---|" * (len(names) + 3))
    for size in SIZES:
        for sigma in SIGMAS:
            took, work = measure(size, sigma, count, compiled)
            rates = [f"{count / took[name]:.1f}" if name in took else "-" for name in names]
            print(
                f"| {size} | {sigma} | {' | '.join(rates)} | {took['OpenCV'] / took['cpu']:.1f} | "
                f"{work / count / 1e6:.1f} | {100 * least * work / took['cpu']:.0f} % |",
                flush=True,
            )


def on_gpu(i0: torch.Tensor, i1: torch.Tensor, pairs: int = 2048) -> float:
    """Seconds for as many pairs as `i0` has, from a batch that fills the GPU, frames already there."""
    from mespot.tvl1.cuda import tvl1 as fast

    times = -(-pairs // len(i0))
    first, second = (i.repeat(times, 1, 1).cuda() for i in (i0, i1))

    def solve() -> None:
        fast(first, second)
        torch.cuda.synchronize()

    return seconds(solve, time.perf_counter) / times


def stage(size: int, frames: int, threads: int) -> None:
    """The whole stage on a video of this many frames beside the bare solve of a part of it."""
    i0, i1, _ = (t.numpy() for t in moving_pairs(8, size, size, MOTION))
    few = np.clip(np.rint(np.stack([i0, i1], 1).reshape(-1, size, size)), 0, 255).astype(np.uint8)
    backend = "cuda" if gpu() else "cpu"
    with tempfile.TemporaryDirectory() as temporary:
        source, out = Path(temporary) / "v.mkv", Path(temporary) / "f.h5"
        video.write(source, (few[t % 16] for t in range(frames)), 30, "source")
        start = time.perf_counter()
        flow(source, out, Flow(backend=backend), threads)
        took = time.perf_counter() - start
        n_bytes = out.stat().st_size
        reading = seconds(lambda: sum(1 for _ in video.read(source)), time.perf_counter)
    bare = few.astype(np.float32)
    solving = seconds(
        lambda: tvl1_cpu.tvl1(bare[:-1], bare[1:], threads=threads), time.perf_counter
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {size} | {frames} | {threads} | {backend} | {(frames - 1) / took:.1f} | {15 / solving:.1f} | "
        f"{frames / reading:.0f} | {n_bytes / 1024 / frames:.0f} | {peak:.0f} |",
        flush=True,
    )


STAGE = "| px | frames | threads | backend | stage, pairs/s | solve, pairs/s | read, frames/s | KiB a pair | peak MiB |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--stage", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--size", type=int, default=128, help="of the long video, px")
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    if given.minutes or given.stage:
        print(f"\n{STAGE}\n|{'---|' * 9}")
    if given.minutes:
        stage(given.size, round(given.minutes * 60 * 30), cores)
    elif given.stage:
        for size in SIZES:
            stage(size, 300, cores)
    else:
        speed_table(given.pairs, given.compiled)


if __name__ == "__main__":
    main()
