"""MDMO against the demo's truth: direction and size per ROI, and false motion at rest, per align mode.

    python benchmarks/mdmo_truth.py [SUBJECTS]

Renders the colour demo's first videos, runs every stage up to mdmo in both align modes, and prints
markdown tables. True motion is that of the ROI's landmark less that of the nose, in px of the crop.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from mespot import config, demo, store
from mespot.align import align
from mespot.decode import decode
from mespot.flow import flow
from mespot.landmarks import landmarks
from mespot.mdmo import mdmo
from mespot.roi import roi
from mespot.settings import Region

ROOT = Path(__file__).parents[1]
MOVES = 0.05  # px/frame: rows of an expression in which a ROI truly moves


def prepare(folder: Path, mode: str, settings: config.Config) -> tuple[np.ndarray, np.ndarray]:
    """MDMO (T-1, R, 2) and the true motion (T-1, R, 2) of the same rows, px/frame of the crop."""
    name = "demo_color"
    in_mode = settings.stage("align", name).model_copy(update={"mode": mode})
    files = {
        stage: folder / f"{mode}_{stage}.h5" for stage in ("align", "landmarks", "flow", "roi")
    }
    crop = folder / f"{mode}.mkv"
    align(folder / "decoded.mkv", crop, files["align"], in_mode)
    landmarks(crop, files["align"], files["landmarks"], settings.stage("landmarks", name))
    flow(crop, files["flow"], settings.stage("flow", name))
    roi(files["flow"], files["landmarks"], files["roi"], settings.stage("roi", name))
    mdmo(files["roi"], files["align"], folder / "mdmo.h5", settings.stage("mdmo", name))
    with store.read(folder / "mdmo.h5") as file:
        motion = file["mdmo"][:]
    regions = settings.roi.sets["auw_gcn"].values()
    return motion, true_motion(folder / "truth.npz", files["align"], regions)


def true_motion(truth: Path, aligned: Path, regions: Iterable[Region]) -> np.ndarray:
    """The ROIs' motion less that of the nose (T-1, R, 2), px/frame of the crop, from demo's truth."""
    with store.read(aligned) as file:
        transform = file["transform"][:]
    with np.load(truth) as file:
        points = file["landmarks"].astype(float)
    points = np.einsum("tij,tpj->tpi", transform[:, :, :2], points) + transform[:, None, :, 2]
    moved = np.diff(points, axis=0)
    true = np.stack([moved[:, region.landmarks].mean(1) for region in regions], 1)
    return true - moved[:, 29:31].mean(1, keepdims=True)


def kinds(truth: Path) -> np.ndarray:
    """Of each row of motion (T-1,): macro, micro or rest."""
    with np.load(truth) as file:
        kind = np.full(len(file["landmarks"]) - 1, "rest", object)
        for type_, onset, offset in zip(file["type"], file["onset"], file["offset"], strict=True):
            kind[onset:offset] = type_
    return kind


def main(subjects: int) -> None:
    settings = config.load(yaml.safe_load((ROOT / "config.yaml").read_text()))
    names = list(settings.roi.sets["auw_gcn"])
    rows: dict[str, list] = {"box": [], "similarity": []}
    for subject in range(subjects):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            demo.make_video(
                "cas_me_sq", subject, 0, settings.demo, folder / "f", folder / "truth.npz"
            )
            decode(folder / "f", folder / "decoded.mkv", settings.stage("decode", "demo_color"))
            for mode, collected in rows.items():
                motion, true = prepare(folder, mode, settings)
                collected.append((motion, true, kinds(folder / "truth.npz")))
    for mode, collected in rows.items():
        motion, true, kind = (np.concatenate(parts) for parts in zip(*collected, strict=True))
        print(f"\n`{mode}`\n\n| ROI | false motion at rest, rms px/frame | macro: direction off by,"
              " median deg | size, share of truth | micro: direction | size |")  # fmt: skip
        print("|---|---|---|---|---|---|")
        for k, name in enumerate([*names, "all"]):
            chosen = slice(k, k + 1) if k < len(names) else slice(None)
            found, real = motion[:, chosen], true[:, chosen]
            rest = np.sqrt(((found - real)[kind == "rest"] ** 2).sum(-1).mean())
            cells = [f"{rest:.3f}"]
            for type_ in ("macro", "micro"):
                moves = (kind == type_)[:, None] & (np.linalg.norm(real, axis=-1) > MOVES)
                a, b = found[moves], real[moves]
                if not len(a):
                    cells += ["", ""]
                    continue
                turn = np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0])
                off = np.abs((np.degrees(turn) + 180) % 360 - 180)
                cells += [f"{np.median(off):.0f}", f"{(a * b).sum() / (b * b).sum():.2f}"]
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
