"""How long the page of a large run takes to open, and one of its videos: docs/performance.md.

    python benchmarks/page.py [--videos 250] [--frames 6000] [--out FOLDER]

A run of so many videos is made up (34 curves each, 20 annotated and 20 spotted intervals), its page is written and
opened in Debian's Chromium; five times, the median counts. Counts of work: bytes of the page and of a video's script.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from mespot import aggregate, feature_store, report, store
from mespot.feature_store import Feature
from mespot.intervals import ANNOTATION_COLUMNS, INTERVALS, LANE_COLUMNS
from mespot.score import score_files
from mespot.settings import Report

FPS, REGIONS, CURVES = 30.0, tuple(f"region_{k}" for k in range(12)), 34
TIMES = 5


def make(folder: Path, videos: int, frames: int) -> None:
    """A finished run: random motion and curves, an interval every 20th of a video."""
    random = np.random.default_rng(1)
    here, run = folder / "d", folder / "d" / "net"
    channels = ["macro_apex", "micro_apex", *(f"curve_{k}" for k in range(CURVES - 2))]
    rows, truth = [], []
    known = {"stage": "spot", "settings": {}}
    with (
        store.create(here / "features.h5", **known, missing="{}") as features,
        store.create(run / "curves.h5", **known) as curves,
    ):
        for number in range(videos):
            name, subject = f"v{number:03}", f"s{number // 5:02}"
            motion = random.normal(0, 0.1, (frames - 1, 12, 2)).astype(np.float32)
            valid = np.ones(frames - 1, bool)
            feature_store.write(
                features, Feature(subject, name, motion, valid, FPS, np.nan, REGIONS)
            )
            curves[name] = random.random((frames - 1, CURVES)).astype(np.float32)
            store.tell(curves[name], channels=channels)
            for at in np.linspace(0, frames - 90, 20).astype(int):
                shift = int(random.integers(0, 30))
                one = {"subject": subject, "video": name, "type": "macro"}
                truth.append(
                    one | {"onset": at, "apex": at + 15, "offset": at + 29, "source_row": 0}
                )
                seconds = {f"{what}_s": 0.0 for what in ("onset", "apex", "offset", "duration")}
                place = {"onset": at + shift, "apex": at + shift + 15, "offset": at + shift + 29}
                source = {f"source_{what}": place[what] for what in place} | {"source_fps": FPS}
                score = {"score": random.random(), "regions": "region_1", "remarks": ""}
                rows.append(one | place | seconds | source | score)
    pd.DataFrame(rows, columns=list(INTERVALS)).to_csv(run / "intervals.csv", index=False)
    pd.DataFrame([], columns=list(INTERVALS)).to_csv(run / "not_counted.csv", index=False)
    pd.DataFrame([], columns=LANE_COLUMNS).to_csv(run / "lanes.csv", index=False)
    pd.DataFrame(truth, columns=ANNOTATION_COLUMNS).to_csv(here / "annotation.csv", index=False)


def main(arguments: argparse.Namespace) -> None:
    folder = arguments.out or Path(tempfile.mkdtemp())
    make(folder, arguments.videos, arguments.frames)
    annotation, run = folder / "d" / "annotation.csv", folder / "d" / "net"
    scores = score_files(
        annotation, None, [run / "intervals.csv"], ["strict"], None, run / "subjects.csv"
    )
    (run / "score.json").write_text(json.dumps(scores))
    aggregate.aggregate(
        [run / "score.json"], folder, [], [], folder / "summary.csv", [run / "subjects.csv"]
    )
    out = folder / "report" / "index.html"
    start = time.process_time()
    report.report(folder, ["d/net"], folder / "summary.csv", out, Report())
    print(
        f"page of {arguments.videos} videos of {arguments.frames} frames written in {time.process_time() - start:.1f} CPU s"
    )
    scripts = [path.stat().st_size for path in (out.parent / "videos").glob("*.js")]
    print(
        f"the page {out.stat().st_size / 1e6:.2f} MB, a video's script {statistics.median(scripts) / 1e6:.2f} MB"
    )
    loads, opens = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for _ in range(TIMES):
            page = browser.new_page(viewport={"width": 1360, "height": 1000})
            start = time.monotonic()
            page.goto(out.as_uri())
            page.wait_for_selector("#list tbody tr")
            loads.append(time.monotonic() - start)
            start = time.monotonic()
            page.click("#list tbody tr")
            page.wait_for_selector("#v-plot canvas")
            page.evaluate(
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            opens.append(time.monotonic() - start)
            page.close()
        browser.close()
    for what, taken in (("the page opens", loads), ("a video opens", opens)):
        print(f"{what} in {statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=250)
    parser.add_argument("--frames", type=int, default=6000)
    parser.add_argument("--out", type=Path)
    main(parser.parse_args())
