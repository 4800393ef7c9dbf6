"""What combing does to MDMO and displacement, and what deinterlacing leaves of that, on real faces.

    python benchmarks/combing.py ../shared/real/winks.mp4 ../shared/real/grin.mp4 ...

Of each two frames of a video one picture is woven as an interlaced camera does, its odd lines half a frame
later than its even ones. It goes through all stages as it is, and deinterlaced as `decode` does where it
finds combing out by itself; the truth is the first frame of each two. Prints a markdown table: how MDMO
correlates with the true one over all rows and regions, and the rms of the difference of the displacement that
spotting looks at, thousandths of the inter-ocular distance (an expression is 60).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import yaml
from shrinking import CONFIG, CROP, features

from mespot import source, video
from mespot.align import align
from mespot.config import load
from mespot.decode import decode
from mespot.landmarks import landmarks
from mespot.settings import Decode, Displacement
from mespot.spotting.displacement import displacement

HEIGHT = 576  # that of interlaced video, or nobody would look for combing


def weave(path: Path, folder: Path) -> tuple[Path, Path, float]:
    """The true and the woven pictures of a video, and their rate."""
    shown = list(source.timed_frames(path))[:-1]
    width, height = shown[0].picture.size
    size = (round(width * HEIGHT / height), HEIGHT)
    pictures = [one.picture.pixels(size=size) for one in shown]
    pairs = list(zip(pictures[::2], pictures[1::2], strict=False))
    woven = [first.copy() for first, _ in pairs]
    for picture, (_, second) in zip(woven, pairs, strict=True):
        picture[1::2] = second[1::2]
    fps = len(shown) / shown[-1].time / 2
    video.write(folder / "true.mkv", (first for first, _ in pairs), fps, "")
    video.write(folder / "woven.mkv", woven, fps, "")
    return folder / "true.mkv", folder / "woven.mkv", fps


def prepared(path: Path, folder: Path, fps: float, config, deinterlace: bool = True):
    """What `mdmo` tells of a video, all stages from decode on."""
    folder.mkdir()
    blind = contextlib.nullcontext() if deinterlace else mock.patch.object(source, "INTERLACED", ())
    with blind:
        decode(path, folder / "small.mkv", Decode(fps=fps, align=CROP))
    align(folder / "small.mkv", folder / "align.mkv", folder / "align.h5", CROP)
    landmarks(folder / "align.mkv", folder / "align.h5", folder / "landmarks.h5", config.landmarks)
    return features(folder / "align.mkv", folder, config)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("videos", type=Path, nargs="+")
    config = load(yaml.safe_load(CONFIG.read_text()))
    print("| video | MDMO, combed | MDMO, deinterlaced | displacement, combed | deinterlaced |")
    print("|---|---|---|---|---|")
    for path in parser.parse_args().videos:
        with (
            tempfile.TemporaryDirectory() as temporary,
            contextlib.redirect_stderr(io.StringIO()),
        ):
            folder = Path(temporary)
            true, woven, fps = weave(path, folder)
            truth = prepared(true, folder / "t", fps, config)
            combed = prepared(woven, folder / "c", fps, config, deinterlace=False)
            whole = prepared(woven, folder / "w", fps, config)
        rows = truth.valid & combed.valid & whole.valid
        frames = np.append(rows, rows[-1])
        one = [each.mdmo[rows].ravel() / each.inter_ocular for each in (truth, combed, whole)]
        moved = [displacement(each, Displacement())[frames] for each in (truth, combed, whole)]
        alike = [np.corrcoef(one[0], other)[0, 1] for other in one[1:]]
        apart = [1000 * np.sqrt(np.mean((moved[0] - other) ** 2)) for other in moved[1:]]
        figures = " | ".join(f"{value:.3f}" for value in alike)
        print(f"| {path.stem} | {figures} | {apart[0]:.1f} | {apart[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
