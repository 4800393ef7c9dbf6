"""What shrinking frames in decode changes in MDMO, on real faces: the same crops from both sizes.

    python benchmarks/shrinking.py ../shared/real/winks.mp4 ../shared/real/grin.mp4 ...

Each video is decoded as for one's own videos and aligned. The same transforms then cut the crops out of the
frames in full size, and the same landmarks say where the regions are, so that nothing differs but the pixels.
Prints a markdown table: how MDMO of the two correlates over all rows and regions, the rms of its difference
and of itself, and the rms of the difference of the displacement that spotting looks at, thousandths of the
inter-ocular distance.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import yaml

from mespot import store, video
from mespot.align import Picture, align
from mespot.config import load
from mespot.decode import decode
from mespot.faces.dlib import grey
from mespot.faces.register import compose
from mespot.feature_store import read_video
from mespot.flow import flow
from mespot.landmarks import landmarks
from mespot.mdmo import mdmo
from mespot.roi import roi
from mespot.settings import Align, Decode, Displacement
from mespot.spotting.displacement import displacement

CROP = Align(size=128)
CONFIG = Path(__file__).parents[1] / "config.yaml"


def features(aligned: Path, folder: Path, config):
    """What `mdmo` tells of a video of crops, with the landmarks and the alignment in `folder`."""
    flow(aligned, folder / "flow.h5", config.flow)
    roi(folder / "flow.h5", folder / "landmarks.h5", folder / "roi.h5", config.roi)
    mdmo(folder / "roi.h5", folder / "align.h5", folder / "mdmo.h5", config.mdmo)
    with store.read(folder / "mdmo.h5") as file:
        return read_video(file, "s", "v")


def full_size(source: Path, folder: Path) -> Path:
    """The crops of the same transforms, out of frames in full size."""
    decode(source, folder / "full.mkv", Decode())
    with store.read(folder / "align.h5") as file:
        scale = np.array(file.attrs["decoded_scale"])
        # Pixels are counted from their centres.
        smaller = np.column_stack([np.diag(scale), (scale - 1) / 2])
        transforms = [compose(one, smaller) for one in file["transform"][:]]
        first = transforms[file["box"].attrs["reference_frame"]]
    about = video.info(folder / "full.mkv")
    frames = zip(video.read(folder / "full.mkv"), transforms, strict=True)
    crops = (Picture(grey(frame), first).crop(one, CROP.size) for frame, one in frames)
    video.write(folder / "crops.mkv", crops, about.fps, about.source)
    return folder / "crops.mkv"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("videos", type=Path, nargs="+")
    config = load(yaml.safe_load(CONFIG.read_text()))
    print("| video | sides kept | correlation | rms difference | rms of MDMO | rms, displacement |")
    print("|---|---|---|---|---|---|")
    for source in parser.parse_args().videos:
        with (
            tempfile.TemporaryDirectory() as temporary,
            contextlib.redirect_stderr(io.StringIO()),
        ):
            folder = Path(temporary)
            decode(source, folder / "small.mkv", Decode(align=CROP))
            align(folder / "small.mkv", folder / "align.mkv", folder / "align.h5", CROP)
            landmarks(
                folder / "align.mkv", folder / "align.h5", folder / "landmarks.h5", config.landmarks
            )
            small = features(folder / "align.mkv", folder, config)
            full = features(full_size(source, folder), folder, config)
            with store.read(folder / "align.h5") as file:
                kept = file.attrs["decoded_scale"][0]
        unit = 1000 / small.inter_ocular
        one, other = (each.mdmo[small.valid] * unit for each in (small, full))
        moved = [displacement(each, Displacement())[small.seen] for each in (small, full)]
        figures = (
            kept,
            np.corrcoef(one.ravel(), other.ravel())[0, 1],
            np.sqrt(np.mean((one - other) ** 2)),
            np.sqrt(np.mean(other**2)),
            1000 * np.sqrt(np.mean((moved[0] - moved[1]) ** 2)),
        )
        print(
            f"| {source.stem} | " + " | ".join(f"{value:.3f}" for value in figures) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
