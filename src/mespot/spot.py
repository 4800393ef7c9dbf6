"""spot: per-frame probabilities, proposals around apexes, suppression (arXiv 2303.09114, 3.5)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mespot import store
from mespot.config import Spot
from mespot.errors import InputError
from mespot.features import Feature, load
from mespot.intervals import INTERVAL_COLUMNS, TYPES, overlaps, write_table
from mespot.model import OUTPUTS
from mespot.networks import Trained, load_trained
from mespot.progress import progress
from mespot.targets import cut


class Proposal(NamedTuple):
    onset: int
    apex: int
    offset: int
    score: float


def spot(
    features: Path, model: Path, subject: str, out: Path, curves: Path, settings: Spot
) -> None:
    """Spot in one subject's videos (`subject` "": in all).

    Writes `intervals.csv` and `curves.h5`: a dataset for each video, (T-1, 10) float32
    probabilities, the channels named by the file's attribute `channels`. Raises InputError for a
    model of other features.
    """
    trained = load_trained(model)
    with store.read(features) as file:
        known = {name: file.attrs[name] for name in ("fps", "source")}
    chosen = [feature for feature in load(features) if subject in ("", feature.subject)]
    rows = []
    with store.create(
        curves,
        stage="spot",
        settings=settings.plain(),
        units="probability",
        channels=list(OUTPUTS),
        **known,
    ) as file:
        for feature in progress(chosen, f"spot {subject or 'all'}", len(chosen)):
            values = probabilities(trained, feature)
            file.create_dataset(feature.video, data=values)
            for type_ in TYPES:
                for found in spot_type(values, feature.valid, feature.fps, type_, settings):
                    whose = {"subject": feature.subject, "video": feature.video, "type": type_}
                    rows.append(whose | found._asdict())
    write_table(rows, INTERVAL_COLUMNS, out)


def probabilities(trained: Trained, feature: Feature) -> np.ndarray:
    """Probabilities (T-1, 10) float32 of OUTPUTS for each row of a video; 0 where it does not count.

    Onset, offset and neither are a softmax for each type; apex and action a sigmoid each.
    """
    n_rows, context = len(feature.mdmo), trained.context
    if feature.regions != trained.regions:
        raise InputError(
            f"{feature.video}: regions {', '.join(feature.regions)}; the model was trained on "
            f"{', '.join(trained.regions)}: prepare both with the same roi.set"
        )
    windows = cut(trained.normalise(feature), trained.window, context)
    with torch.inference_mode():
        logits = trained.network(torch.from_numpy(windows))[
            :, :, context : context + trained.window
        ]
        logits = logits.transpose(1, 2).reshape(-1, len(OUTPUTS))[:n_rows]
        boundaries = (logits[:, first : first + 3].softmax(1) for first in (0, 3))
        values = torch.cat([*boundaries, logits[:, 6:].sigmoid()], 1).numpy()
    return values * feature.valid[:, None]


def spot_type(
    values: np.ndarray, valid: np.ndarray, fps: float, type_: str, settings: Spot
) -> list[Proposal]:
    """The intervals of one type in a video, best first."""
    curves = {
        name.removeprefix(f"{type_}_"): values[:, k]
        for k, name in enumerate(OUTPUTS)
        if name.startswith(type_)
    }
    proposals = propose(
        curves["onset"],
        curves["apex"],
        curves["offset"],
        reach=[seconds * fps for seconds in getattr(settings, f"{type_}_reach")],
        length=[seconds * fps for seconds in getattr(settings, f"{type_}_seconds")],
        apex_over=settings.apex,
    )
    proposals = [
        proposal
        for proposal in proposals
        if proposal.score >= settings.min_score
        and valid[proposal.onset : proposal.offset + 1].all()
    ]
    return suppress(proposals, settings.overlap)[: getattr(settings, f"top_{type_}")]


def propose(
    onset: np.ndarray,
    apex: np.ndarray,
    offset: np.ndarray,
    reach: tuple[float, float],
    length: tuple[float, float],
    apex_over: float,
) -> list[Proposal]:
    """A proposal for each row whose apex probability is above `apex_over`.

    It begins at the likeliest onset between `reach` frames to the left and ends at the likeliest
    offset to the right; its score is onset x apex x offset. Only lengths within `length` frames
    stand. All curves are (T,) probabilities.
    """
    at = np.flatnonzero(apex > apex_over)
    steps = np.arange(max(1, round(reach[0])), max(1, round(reach[1])) + 1)
    left, right = at[:, None] - steps, at[:, None] + steps
    begins = left[np.arange(len(at)), _likeliest(onset, left)]
    ends = right[np.arange(len(at)), _likeliest(offset, right)]
    proposals = []
    for begin, middle, end in zip(begins, at, ends, strict=True):
        inside = begin >= 0 and end < len(apex)
        if inside and round(length[0]) <= end - begin + 1 <= round(length[1]):
            score = float(onset[begin] * apex[middle] * offset[end])
            proposals.append(Proposal(int(begin), int(middle), int(end), score))
    return proposals


def suppress(proposals: list[Proposal], overlap: float) -> list[Proposal]:
    """The best proposals, none overlapping a better one by more than `overlap` (IoU)."""
    waiting = sorted(proposals, key=lambda proposal: (-proposal.score, proposal.onset))
    kept: list[Proposal] = []
    while waiting:
        best, *waiting = waiting
        kept.append(best)
        if waiting:
            others = np.array([[other.onset, other.offset] for other in waiting], float)
            shared = overlaps(np.array([[best.onset, best.offset]], float), others)[0]
            waiting = [other for other, iou in zip(waiting, shared, strict=True) if iou <= overlap]
    return kept


def _likeliest(curve: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Which column of `index` (C, S) has the largest value of the curve; beyond it there is none."""
    inside = (index >= 0) & (index < len(curve))
    return np.where(inside, curve[index.clip(0, len(curve) - 1)], -1).argmax(1)
