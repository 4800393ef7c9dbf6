"""A stand-in for the command `mespot`: the stages of one's own videos, in no time.

A source is a text file. If it says `bad` the video fails; if it says `covered`, half of it is left out;
if it says `slow`, reading it takes a minute.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mespot import errors

COLUMNS = (
    "subject,video,type,onset,apex,offset,score,onset_s,apex_s,offset_s,duration_s,source_onset"
)
COLUMNS += ",source_apex,source_offset,source_fps,regions,remarks"


def run(stage: str, flags: dict[str, list[str]]) -> None:
    outputs = [Path(flags[flag][0]) for flag in flags if flag.startswith("--out")]
    if stage == "features":
        features(flags, outputs[0])
    elif stage == "spot":
        spot(Path(flags["--features"][0]), outputs[0])
        for flag in flags.keys() & {"--curves", "--lanes"}:
            Path(flags[flag][0]).write_text("")
    elif stage == "report":
        rows = Path(flags["--results"][0]) / flags["--shown"][0] / "intervals.csv"
        videos = [row.split(",")[1] for row in rows.read_text().splitlines()[1:]]
        outputs[0].write_text(" ".join(dict.fromkeys(videos)))
        (outputs[0].parent / "videos").mkdir(exist_ok=True)
    else:
        of_video(stage, Path(next(iter(flags.values()))[0]), outputs)


def of_video(stage: str, source: Path, outputs: list[Path]) -> None:
    said = source.read_text()
    if "slow" in said:
        time.sleep(60)
    failed = errors.failure(source) or ("bad" in said and f"{stage}: {source}: cannot be decoded")
    if failed and stage == "decode":
        print(f"mespot {failed}", file=sys.stderr)
    if failed and not errors.keep_going():
        sys.exit(2)
    for path in outputs:
        path.write_text(said)
    if failed:
        errors.write_failure(failed, outputs)


def features(flags: dict[str, list[str]], out: Path) -> None:
    import numpy as np

    from mespot import store
    from mespot.feature_store import Feature, write

    with store.create(out, stage="features", settings={}, units="", fps=30, source="") as file:
        for path, subject in zip(map(Path, flags["--mdmo"]), flags["--subject"], strict=True):
            if not errors.failure(path):
                valid = np.arange(40) % 2 < (1 if "covered" in path.read_text() else 2)
                moved = np.zeros((40, 1, 2), np.float32)
                write(file, Feature(subject, path.stem, moved, valid, 30, 60, ("chin",)))
        if not len(file):
            sys.exit("every video failed")


def spot(store_: Path, out: Path) -> None:
    from mespot.feature_store import load
    from mespot.intervals import write_table

    seconds = {"onset_s": 0.1, "apex_s": 0.2, "offset_s": 0.4, "score": 1.0, "regions": "chin"}
    videos = [{"video": one.video, "onset": 3, "offset": 12} | seconds for one in load(store_)]
    macro, micro = ([video | {"type": type_} for video in videos] for type_ in ("macro", "micro"))
    write_table([*macro, *macro, *micro], COLUMNS.split(","), out)
    talking = [video | {"remarks": "talking"} for video in macro]
    write_table(talking, COLUMNS.split(","), out.with_name("not_counted.csv"))


if __name__ == "__main__":
    given: dict[str, list[str]] = {}
    for flag, value in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
        given.setdefault(flag, []).append(value)
    run(sys.argv[1], given)
