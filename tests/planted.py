"""A feature store with expressions planted in it, and models trained on it: what several tests share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mespot import feature_store, store
from mespot.datasets import segments
from mespot.feature_store import Feature
from mespot.settings import Train
from mespot.train import train

PLANTED = {"macro": (40, 55, 75), "micro": (120, 125, 130), "late": (200, 212, 230)}


def planted_store(path, n_subjects: int = 4, inter_ocular: float = 50.0, seed: int = 11):
    """Videos in which the mouth moves up and back (macro), or the brows do for a moment (micro)."""
    rows, rng = [], np.random.default_rng(seed)
    known = {"fps": 30.0, "source": "s", "missing": "{}"}
    with store.create(path, stage="features", settings={}, **known) as file:
        for k in range(n_subjects):
            mdmo = rng.normal(scale=0.02, size=(260, 12, 2)).astype(np.float32)
            for name, frames in PLANTED.items():
                onset, apex, offset = (frame + 5 * k for frame in frames)
                rois = slice(0, 6) if name == "micro" else slice(8, 12)
                mdmo[onset:apex, rois, 1] -= 0.3
                mdmo[apex:offset, rois, 1] += 0.3
                type_ = "micro" if name == "micro" else "macro"
                au = "1+2" if name == "micro" else "12"
                rows.append((f"s{k}", f"v{k}", type_, onset, apex, offset, au, len(rows)))
            if np.isfinite(inter_ocular):  # unknown of published features
                mdmo *= inter_ocular / 50
            valid = np.ones(260, bool)
            names = segments.PUBLISHED_REGIONS
            video = Feature(f"s{k}", f"v{k}", mdmo, valid, 30.0, inter_ocular, names)
            feature_store.write(file, video)
    columns = ["subject", "video", "type", "onset", "apex", "offset", "au", "source_row"]
    return pd.DataFrame(rows, columns=columns)


def train_in(folder, left_out, name, settings=None, network="auw_gcn", start=None):
    """Train on the planted store in a folder: NAME, NAME.epochs and NAME.csv."""
    files = (folder / "features.h5", folder / "annotation.csv")
    outputs = [folder / f"{name}{ending}" for ending in ("", ".epochs", ".csv")]
    train(*files, left_out, network, start, *outputs, settings or Train(epochs=2, batch=2))
    return outputs[0]
