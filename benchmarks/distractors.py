"""What each distractor costs in a finished demo: false motion at rest, and false intervals.

    python benchmarks/distractors.py results

Rows without an expression are parted by what happens in them (the demo's script is known exactly):
a blink, a gaze shift, the head faster than its median, the light drifting faster than its median, or
none of these. A spotted interval that overlaps no annotated one is laid to each of them that
happens in it.
"""

import sys
from pathlib import Path

import numpy as np
import yaml

from mespot import config, demo, feature_store
from mespot.decode import resample
from mespot.intervals import load_intervals, overlaps

ROOT = Path(__file__).parents[1]
results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
settings = config.load(yaml.safe_load((ROOT / "config.yaml").read_text()))


def happenings(script: demo.Script, n_rows: int, fps: float) -> dict[str, np.ndarray]:
    """Which distractor is at work in each row (n_rows,) bool."""
    times = np.arange(script.n_frames + 1) / script.fps
    frames = np.array(list(resample(zip(times, range(script.n_frames + 1), strict=True), fps)))
    frames = frames[: n_rows + 1].clip(max=script.n_frames - 1)
    blink, gaze, light = (
        np.abs(np.diff(curve[frames]))
        for curve in (script.distractors["blink"], script.distractors["gaze"], script.light)
    )
    # Turning counts at a distance of one inter-ocular.
    head = np.linalg.norm(np.diff(script.head[frames], axis=0), axis=1)
    found = {"blink": blink > 0, "gaze": gaze > 0}
    found["head"] = head > np.median(head)
    found["light"] = light > np.median(light)
    return found


rest: dict[str, list[np.ndarray]] = {}
false: dict[str, int] = {}
n_false = 0
for name, entry in settings.datasets.items():
    annotated = load_intervals(results / name / "annotation.csv")
    spotted = load_intervals(results / name / "mespot" / "intervals.csv")
    made = settings.stage("demo", name)
    for k, feature in enumerate(feature_store.load(results / name / "features.h5")):
        script = demo.script(entry.layout, *divmod(k, made.videos), made)
        at_work = happenings(script, len(feature.mdmo), feature.fps)
        truth = annotated[annotated["video"] == feature.video][["onset", "offset"]].to_numpy(float)
        still = np.ones(len(feature.mdmo), bool)
        for onset, offset in truth.astype(int):
            still[max(onset - 1, 0) : offset + 2] = False
        size = 100 * np.linalg.norm(feature.mdmo, axis=2) / feature.inter_ocular
        quick = at_work["blink"] | at_work["gaze"]
        slow = at_work["head"] | at_work["light"]
        parts = {
            "none of these": ~quick & ~slow,
            "blink": at_work["blink"],
            "gaze": at_work["gaze"] & ~at_work["blink"],
            "head, no blink or gaze": at_work["head"] & ~quick,
            "light, no blink or gaze or head": at_work["light"] & ~quick & ~at_work["head"],
        }
        for what, rows in parts.items():
            rest.setdefault(what, []).append(size[still & rows].ravel())
        for row in spotted[spotted["video"] == feature.video].itertuples():
            one = np.array([[row.onset, row.offset]], float)
            if len(truth) and overlaps(truth, one).any():
                continue
            n_false += 1
            for what, rows in parts.items():
                false[what] = false.get(what, 0) + bool(rows[row.onset : row.offset + 1].any())

print(
    "| rows at rest with | rows | MDMO, rms, % of the inter-ocular distance | false intervals with it |"
)
print("|---|---|---|---|")
for what, parts in rest.items():
    values = np.concatenate(parts)
    rms = np.sqrt((values**2).mean())
    print(f"| {what} | {len(values) // 12} | {rms:.3f} | {false.get(what, 0)} of {n_false} |")
