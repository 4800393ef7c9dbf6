"""How the face networks are run: float32, and the same input gives the same bytes on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mespot import gpus


def device() -> str:
    """A GPU if there is one; on a CPU one thread, as other videos share the cores."""
    gpus.take_one()
    torch.set_num_threads(1)  # and sums in another order give other bytes
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def exact() -> Iterator[None]:
    # Benchmarking picks another algorithm from run to run, TF32 keeps 10 bits of the mantissa.
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        yield
