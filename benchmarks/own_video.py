"""What one's own video costs: CPU seconds for a second of video, and peak memory, of each stage.

    python benchmarks/own_video.py ../shared/media/expressions.mp4 [VIDEO ...]
                                   [--sizes 1280x720 2880x2160] [--seconds 60] [--crop 128]

Each video is played until it is so long, brought to each size (scaled and cut) at 30 frames/s, coded with H.264, and taken through
the stages as commands, one thread each. Prints a markdown table for each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

FPS = 30
STAGES = {
    "decode": "--source {source} --out {folder}/decoded.mkv",
    "align": "--decoded {folder}/decoded.mkv --out-video {folder}/a.mkv --out {folder}/align.h5",
    "landmarks": "--aligned {folder}/a.mkv --align {folder}/align.h5 --out {folder}/landmarks.h5",
    "flow": "--aligned {folder}/a.mkv --out {folder}/flow.h5",
    "roi": "--flow {folder}/flow.h5 --landmarks {folder}/landmarks.h5 --out {folder}/roi.h5",
    "mdmo": "--roi {folder}/roi.h5 --align {folder}/align.h5 --out {folder}/mdmo.h5",
}


def settings(crop: int) -> dict[str, str]:
    """Each stage's settings as JSON, as config.yaml has them but for the crop's side."""
    import yaml

    from mespot import config

    given = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    given["datasets"]["demo_color"]["settings"]["align"] = {"size": crop}
    loaded = config.load(given)
    return {stage: json.dumps(loaded.stage(stage, "demo_color").plain()) for stage in STAGES}


def scaled(source: Path, out: Path, width: int, height: int, seconds: float) -> None:
    """Write `source` at width x height and FPS, cut in the middle where its shape is another."""
    import av
    import cv2

    from mespot import decode
    from mespot.source import Picture, timed_frames

    def shown() -> Iterator[Picture]:
        while True:
            timed = ((shown.time, shown.picture) for shown in timed_frames(source))
            yield from decode.resample(timed, FPS)

    with av.open(str(out), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"preset": "superfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in islice(shown(), round(seconds * FPS)):
            picture = picture.pixels()
            larger = max(width / picture.shape[1], height / picture.shape[0])
            picture = cv2.resize(picture, None, fx=larger, fy=larger, interpolation=cv2.INTER_CUBIC)
            x, y = (picture.shape[1] - width) // 2, (picture.shape[0] - height) // 2
            cut = picture[y : y + height, x : x + width].copy()
            file.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
        file.mux(stream.encode())


def run(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory, MiB, of a command. It inherits none of ours: we import little."""
    one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(arguments, env=os.environ | one, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(arguments)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["1280x720", "2880x2160"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:  # in a process of its own: its memory would count as its children's
        (source, out), (width, height) = args.videos, map(int, args.sizes[0].split("x"))
        scaled(source, out, width, height, args.seconds)
        print(json.dumps(settings(args.crop)))
        return
    for source in args.videos:
        for size in args.sizes:
            measure(source, size, args)


def measure(source: Path, size: str, args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = f"{folder}/{source.stem}.mp4"
        prepare = [sys.executable, __file__, "--prepare", str(source), video, "--sizes", size]
        prepare += ["--seconds", str(args.seconds), "--crop", str(args.crop)]
        given = json.loads(subprocess.check_output(prepare, text=True))
        print(f"\n{source.stem}, {size}, crop {args.crop} px\n")
        print("| stage | CPU s a second of video | peak memory, MiB |\n|---|---|---|", flush=True)
        total = most = 0.0
        for stage, flags in STAGES.items():
            flags = flags.format(source=video, folder=folder).split()
            spent, memory = run(["mespot", stage, *flags, "--settings", given[stage]])
            print(f"| {stage} | {spent / args.seconds:.2f} | {memory:.0f} |", flush=True)
            total, most = total + spent / args.seconds, max(most, memory)
        print(f"| all | {total:.2f} | {most:.0f} |", flush=True)


if __name__ == "__main__":
    main()
