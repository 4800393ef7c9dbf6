"""displacement: expressions as peaks of how far a region has moved. Nothing is trained.

After He 2021 (doi 10.1145/3474085.3479218), who looks at displacement and not at speed. Sums of
optical flow drift, and fail where a mouth opens faster than the flow follows; landmarks do neither, but
jitter, and are smoothed. So what is slower than that smoothing is taken from the landmarks, what is
faster from the flow. A region's neutral place is its running median.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mespot.feature_store import Feature
from mespot.progress import progress
from mespot.settings import Displacement
from mespot.spotting import Spotted
from mespot.spotting.proposals import Proposal

UNITS = "displacement"
OWN_SCALE = 80  # percentile of a video's displacement that is its unit where no face size is known


def by_displacement(stored: Sequence[Feature], settings: Displacement) -> Iterator[Spotted]:
    """Spot in all videos. The curves (T, R) float32 are the sizes of `displacement`."""
    for feature in progress(stored, "spot", len(stored)):
        moved = displacement(feature, settings)
        sizes = np.linalg.norm(moved, axis=2).astype(np.float32)
        found = peaks(feature, moved, settings)
        yield Spotted(feature, list(feature.regions), sizes, found, moved)


def displacement(feature: Feature, settings: Displacement) -> np.ndarray:
    """How far each region is from its neutral place, in each frame: (T, R, 2).

    In inter-ocular distances, or in the video's own scale where that distance is unknown.
    """
    moved = np.concatenate([np.zeros_like(feature.mdmo[:1]), np.cumsum(feature.mdmo, 0)])
    baseline = settings.drifting_baseline
    if feature.face:
        slow = gaussian_filter1d(
            feature.face.place - moved, settings.detail * feature.fps, axis=0, mode="nearest"
        )
        moved, baseline = moved + slow, settings.baseline
    moved = moved - running_median(moved, round(baseline * feature.fps))
    moved = gaussian_filter1d(moved, settings.smooth * feature.fps, axis=0, mode="nearest")
    if np.isfinite(feature.inter_ocular):
        return moved / feature.inter_ocular
    return moved / max(np.percentile(np.linalg.norm(moved, axis=2), OWN_SCALE), 1e-6)


def running_median(values: np.ndarray, width: int) -> np.ndarray:
    """The median over `width` frames around each frame of `values` (T, ...).

    Before the first and after the last frame the face is taken to stay as it is there: a clip of one
    expression begins and ends with a neutral face, while its own median may be the expression.
    """
    half = width // 2
    flat = np.pad(values.reshape(len(values), -1), ((half, half), (0, 0)), mode="edge")
    medians = pd.DataFrame(flat).rolling(2 * half + 1).median().to_numpy()[2 * half :]
    return medians.reshape(values.shape)


def peaks(
    feature: Feature, moved: np.ndarray, settings: Displacement
) -> list[tuple[str, Proposal]]:
    """Type and interval of each expression in `displacement`'s (T, R, 2), best first.

    Each region's peaks begin and end where they have come down by `width` of their prominence. Of
    peaks that share time the most prominent one tells the interval. Duration alone tells the type.
    """
    prominence = settings.prominence
    if not np.isfinite(feature.inter_ocular):
        prominence = settings.own_prominence
    found = []
    for size in np.linalg.norm(moved, axis=2).T:
        around = max(3, round(2 * settings.longest * feature.fps) | 1)
        apexes, about = find_peaks(
            size, prominence=prominence, width=0, rel_height=settings.width, wlen=around
        )
        begins, ends = np.rint(about["left_ips"]), np.rint(about["right_ips"])
        found += zip(about["prominences"], begins, apexes, ends, strict=True)
    proposals = []
    # Only what begins at most the longest expression earlier or later can share time.
    longest = settings.longest * feature.fps
    near: dict[int, list[Proposal]] = defaultdict(list)
    for height, *frames in sorted(found, reverse=True):
        onset, apex, offset = map(int, frames)
        # Half at twice the least prominence.
        one = Proposal(onset, apex, offset, float(height / (height + 2 * prominence)))
        seconds = one.frames / feature.fps
        hidden = 1 - feature.valid[onset : offset + 1].mean()
        when = int(onset / longest)
        others = itertools.chain(*(near[k] for k in (when - 1, when, when + 1)))
        if (
            settings.shortest <= seconds <= settings.longest
            and hidden <= settings.hidden
            and all(_shared(one, other) <= settings.shared for other in others)
        ):
            near[when].append(one)
            proposals.append(("micro" if seconds <= settings.micro else "macro", one))
    return proposals


def _shared(one: Proposal, other: Proposal) -> float:
    """Which part of the shorter of two intervals they share."""
    return one.common(other) / min(one.frames, other.frames)
