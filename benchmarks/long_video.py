"""Spotting by two stages in one long video: CPU seconds and peak memory by its length.

    python benchmarks/long_video.py RESULTS [--minutes 10 60 240]

RESULTS is what `snakemake --configfile paper.yaml` made. The long video is SAMM-LV's, joined and repeated (30 rows a
second); the five networks and the evaluation are those of all subjects. Each length runs in a process of its own;
the first row is what the process takes for one minute: the interpreter, torch and the models.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mespot.feature_store import load
from mespot.networks.inputs import RATE, steps
from mespot.networks.multiscale_trained import load_model
from mespot.settings import TwoStage
from mespot.spotting.two_stage import load_evaluation, spot_video


def spot(results: Path, minutes: int) -> None:
    both = results / "both"
    stored = [one for one in load(both / "features.h5") if one.subject.startswith("samm")]
    joined = np.concatenate([steps(one)[0] for one in stored]).astype(np.float32)
    n = round(minutes * 60 * RATE)
    mdmo = np.resize(joined, (n, *joined.shape[1:]))
    video = stored[0]._replace(mdmo=mdmo, valid=np.ones(n, bool), fps=RATE)
    models = [load_model(path) for path in sorted(both.glob("one_seed/**/folds/all/model.pt"))]
    learnt = load_evaluation(both / "two_stage" / "evaluation.h5", [])
    began = time.process_time()
    found = spot_video(video, models, learnt, TwoStage()).found
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {minutes} | {seconds:.1f} | {minutes * 60 / seconds:.0f} | {peak:.0f} | {len(found)} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60, 240])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        spot(asked.results, asked.one)
    else:
        print(
            "| minutes | CPU s | times real time | peak MiB | spotted |\n|---|---|---|---|---|",
            flush=True,
        )
        for length in (1, *asked.minutes):
            subprocess.run(
                [sys.executable, __file__, asked.results, "--one", str(length)], check=True
            )
