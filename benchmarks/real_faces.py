"""What spotting without training reaches on real faces, video by video, and with each video left out.

    python benchmarks/real_faces.py ../shared/real

runs `make spot` on links to the videos that `videos.csv` names (with --results on what such a run made),
scores its intervals with the folder's own measure.py, and prints docs/real_faces.md's tables; --picture
draws its picture. Left one out: the constants of GRID are chosen on all videos but one, and the one is
scored with them; what that loses is what choosing on these videos pretends to. They are chosen as the
defaults were: of each constant the value whose F1, averaged over all values of the others, is best (the
best single combination would follow the noise of so few labels; it stands in a line of its own).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from mespot.feature_store import load
from mespot.intervals import INTERVAL_COLUMNS, write_table
from mespot.settings import Displacement, Lanes
from mespot.spot import described
from mespot.spotting.displacement import displacement, peaks
from mespot.spotting.lanes import lanes
from mespot.stretches import runs

# The first of each is the default.
GRID = {
    "prominence": (0.06, 0.04, 0.05, 0.07, 0.08),
    "width": (0.6, 0.5, 0.7),
    "baseline": (16.0, 8.0, 24.0),
    "talking_turns": (1.75, 1.25, 2.25),
}


class Line(NamedTuple):
    n: int
    m: int
    tp: int
    near: int

    @property
    def f1(self) -> float:
        return 2 * self.tp / max(1, self.n + self.m)


def measured(real: Path, intervals: Path) -> tuple[dict[str, Line], str]:
    """measure.py's line for each video, and its last two lines."""
    command = [sys.executable, real / "measure.py", intervals]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.findall(
        r"^(\S+) +spotted +(\d+) +labelled +(\d+) +right +(\d+) +near.*?(\d+)$", text, re.M
    )
    lines = {video: Line(*map(int, numbers)) for video, *numbers in found}
    return lines, "\n".join(text.splitlines()[-2:])


def of(features, settings: Displacement, lane_settings: Lanes) -> list[dict]:
    """The intervals that count, of all videos, as `mespot spot` finds them."""
    rows = []
    for feature in features:
        moved = displacement(feature, settings)
        flags = lanes(feature, lane_settings)
        for row in described(feature, peaks(feature, moved, settings), flags, moved):
            if not set(row["remarks"].split("; ")) & set(lane_settings.not_counted):
                rows.append(row)
    return rows


def total(lines) -> Line:
    return Line(*(sum(each) for each in zip(*lines, strict=True)))


def left_one_out(
    real: Path, features, folder: Path
) -> tuple[dict[str, tuple[dict, Line]], list[Line], list[float]]:
    """Of each video the constants chosen on the others and its counts with them; its counts with the
    single best combination; and F1 of every combination."""
    choices = []
    for values in itertools.product(*GRID.values()):
        chosen = dict(zip(GRID, values, strict=True))
        turns = chosen.pop("talking_turns")
        rows = of(features, Displacement(**chosen), Lanes(talking_turns=turns))
        write_table(rows, INTERVAL_COLUMNS, folder / "grid.csv")
        choices.append((chosen | {"talking_turns": turns}, measured(real, folder / "grid.csv")[0]))
    apart, single = {}, []
    for video in choices[0][1]:
        others = [
            total(line for name, line in lines.items() if name != video).f1 for _, lines in choices
        ]
        best = {
            # max takes the first of equals: the default, which stands first.
            name: max(
                values,
                key=lambda value, name=name: sum(
                    f1
                    for f1, (chosen, _) in zip(others, choices, strict=True)
                    if chosen[name] == value
                ),
            )
            for name, values in GRID.items()
        }
        apart[video] = (best, next(lines[video] for chosen, lines in choices if chosen == best))
        single.append(choices[others.index(max(others))][1][video])
    f1 = [total(lines.values()).f1 for _, lines in choices]
    return apart, single, f1


def fast(real: Path, rows: list[dict]) -> list[str]:
    """The clips whose expressions are played faster: right type and IoU of one half, and false ones."""
    with open(real / "fast_labels.csv", newline="") as file:
        truth = list(csv.DictReader(file))
    said = []
    for video in dict.fromkeys(row["video"] for row in truth):
        own = [row for row in rows if row["video"] == video]
        right = 0
        for label in (row for row in truth if row["video"] == video):
            start, stop = float(label["onset_s"]), float(label["offset_s"])
            for row in own:
                first, last = float(row["onset_s"]), float(row["offset_s"])
                common = min(stop, last) - max(start, first)
                right += row["type"] == label["type"] and common >= 0.5 * (
                    stop - start + last - first - common
                )
        labelled = sum(row["video"] == video for row in truth)
        said.append(f"| {video} | {len(own)} | {labelled} | {right} |")
    return said


def picture(real: Path, features, rows: list[dict], path: Path) -> None:
    """A strip for each video: labels above, what was spotted below, and what was left out."""
    with open(real / "labels.csv", newline="") as file:
        labels = list(csv.DictReader(file))
    figure, axes = plt.subplots(
        len(features), 1, figsize=(9, 0.75 * len(features) + 0.6), sharex=True
    )
    colours = {"clear": "#009E73", "doubtful": "#CDE6DC"}
    for axis, one in zip(axes, features, strict=True):
        for row in labels:
            if row["video"] == one.video:
                span = (float(row["onset_s"]), float(row["offset_s"]) - float(row["onset_s"]))
                axis.broken_barh([span], (1.05, 0.8), color=colours[row["confidence"]], lw=0)
        for row in rows:
            if row["video"] == one.video:
                span = (float(row["onset_s"]), float(row["duration_s"]))
                colour = "#D55E00" if row["type"] == "micro" else "#0072B2"
                axis.broken_barh([span], (0.1, 0.8), color=colour, ec="white", lw=0.8)
        flags = lanes(one, Lanes())
        for lane, colour in (("talking", "#E69F00"), ("left_out", "#777777")):
            for start, stop in runs(flags[lane]):
                axis.axvspan(start / one.fps, stop / one.fps, color=colour, alpha=0.25, lw=0)
        axis.set(ylim=(0, 2), yticks=[], xlim=(0, 20))
        axis.set_ylabel(one.video, rotation=0, ha="right", va="center", fontsize=8)
        axis.spines[["top", "right", "left"]].set_visible(False)
        end = (len(one.valid) + 1) / one.fps
        axis.axvspan(end, 20, color="white", lw=0)
        axis.axvline(end, color="#bbbbbb", lw=0.8)
    axes[-1].set_xlabel(
        "seconds   (green: labelled, pale: doubtful; blue: macro, orange: micro; yellow: talking; grey: no face)",
        fontsize=8,
    )
    figure.tight_layout(h_pad=0.2)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def spot_all(real: Path, folder: Path) -> Path:
    """Run the workflow on links to the videos; the folder of its results."""
    videos = folder / "real"
    videos.mkdir()
    with open(real / "videos.csv", newline="") as file:
        files = [real / row["file"] for row in csv.DictReader(file)]
    for path in [*files, *real.glob("fast_*.mp4")]:
        (videos / path.name).symlink_to(path.resolve())
    command = [
        "snakemake",
        "--cores",
        "2",
        "--config",
        f"video={videos}",
        f"results={folder / 'results'}",
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return folder / "results" / "real"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("real", type=Path, help="the folder of labelled videos")
    parser.add_argument("--results", type=Path, help="results/NAME of a run on them")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results = given.results or spot_all(given.real, folder)
        intervals = results / "displacement" / "intervals.csv"
        lines, last = measured(given.real, intervals)
        features = load(results / "features.h5")
        with open(intervals, newline="") as file:
            rows = list(csv.DictReader(file))
        named = [one for one in features if one.video in lines]
        if given.picture:
            picture(given.real, named, rows, given.picture)
        apart, single, every = left_one_out(given.real, named, folder)
    print("| video | spotted | labelled | right | near | left one out: spotted | right |")
    print("|---|---|---|---|---|---|---|")
    for video, line in lines.items():
        print(
            f"| {video} | {line.n} | {line.m} | {line.tp} | {line.near} | {apart[video][1].n} | {apart[video][1].tp} |"
        )
    print(f"\n{last}")
    for how, counts in (
        ("left one out", total(line for _, line in apart.values())),
        ("left one out, by the single best combination", total(single)),
    ):
        print(
            f"{how}: F1 {counts.f1:.3f}, recall {counts.tp / counts.m:.2f} ({counts.tp} of {counts.n} spotted)"
        )
    print(f"chosen: {Counter(str(best) for best, _ in apart.values())}")
    quartiles = sorted(every)[:: max(1, len(every) // 4)]
    print(
        f"F1 of all {len(every)} choices: least {min(every):.3f}, quartiles {[round(each, 3) for each in quartiles[1:4]]}, best {max(every):.3f}"
    )
    print("\n| fast clip | spotted | labelled | right, type too |\n|---|---|---|---|")
    print("\n".join(fast(given.real, rows)))


if __name__ == "__main__":
    main()
