"""What runs again for what change: real dry-runs of a finished workflow, many of them in little time.

`python tests/contract.py` writes the table of docs/operation.md anew (`make contract`); test_contract
holds it. The stages are played by a script that makes empty outputs: what a dry-run goes by is there.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "operation.md"
BEGIN, END = "<!-- contract: made by `make contract` -->", "<!-- end of contract -->"
STAGES = [
    "demo",
    "check",
    "decode",
    "align",
    "landmarks",
    "flow",
    "roi",
    "mdmo",
    "features",
    "annotation",
    "train",
    "select",
    "evaluate",
    "spot",
    "score",
    "aggregate",
    "figures",
    "report",
    "overlay",
]
# Another value of each key that is no number, or several together that make sense.
OTHER = {
    "own.method": {"own.method": "mespot", "own.dataset": "color"},
    "own.dataset": {"own.method": "mespot", "own.dataset": "mine"},
    "own.face": "left",
    "own.from": 0.5,
    "own.to": 2,
    "own.frames_fps": 25,
    "own.overlay": False,
    "demo.size": [160, 160],
    "demo.distractors": ["blink"],
    "decode.damaged": "leave_out",
    "decode.numbers": "ordered",
    "align.face": "left",
    "align.mode": "box",
    "align.every": 10,
    "flow.backend": "opencv",
    "flow.set": "micro",
    "roi.set": "boxes",
    "roi.nose.landmarks": [29],
    "annotation.offset_zero": "apex",
    "train.normalisation": "published",
    "train.graph": "published",
    "train.labels": "published",
    "train.start": {
        "methods.mespot.datasets": {
            "color": {"train": {"start": "grey/mespot"}},
            **{name: {} for name in ("grey", "mine", "both")},
        }
    },
    "multiscale.temporal": "gru",
    "multiscale.graph": "learned",
    "multiscale.speeds": [1.0, 0.8],
    "multiscale.consistency_weight": 0.1,
    "multiscale.au_weight": 0.1,
    "evaluate.groups": 5,
    "two_stage.least": 0.4,
    "select.policies": ["last", "inner", "oracle"],
    "select.protocol": "megc2020",
    "spot.proposals": "published",
    "spot.top_macro": 6,
    "spot.top_micro": 6,
    "lanes.not_counted": ["blink"],
    "score.protocols": ["strict", "megc2020"],
    "report.headline": "megc2020",
    "report.methods": ["mespot"],
    "datasets.mine.fps": 25,
    "datasets.mine.frames_fps": 60,
    "datasets.mine.compare": None,
    "datasets.mine.settings.align.size": 80,
    "methods.mespot.seeds": 2,
    "methods.mespot.datasets": {"color": {}},
    "methods.mespot.train.epochs": 31,
    "methods.mespot.select.protocol": "megc2020",
    "methods.mespot.spot.apex": 0.4,
    "methods.one_seed.seeds": 3,
    "methods.two_stage.evaluate.overlap": 0.3,
}
# What no dry-run of the same workflow tells.
LEFT_ASIDE = {
    "results": "another folder: all is made there",
    "video": "another run, beside the others",
    "align.detector": "needs weights: test_workflow_methods",
    "landmarks.detector": "needs weights: test_workflow_methods",
}


def finished_config(folder: Path) -> dict[str, Any]:
    """Every kind of dataset, methods that train, one of two stages, and one that does not, each way of choosing."""
    return {
        "results": str(folder / "results"),
        "own": {"overlay": True},
        "demo": {"subjects": 3},
        "select": {"policies": ["last", "inner"]},
        "datasets": {
            "color": {"layout": "cas_me_sq", "demo": True, "fps": 30},
            "grey": {"layout": "samm_lv", "demo": True, "fps": 25, "frames_fps": 200},
            "mine": {
                "layout": "videos",
                "root": str(folder / "mine"),
                "annotation": "a.csv",
                "compare": "b.csv",
                "fps": 30,
                "frames_fps": 30,
                "settings": {"align": {"size": 96}},
            },
            "both": {"layout": "joined", "of": ["color", "mine"]},
        },
        "methods": {
            "mespot": {"seeds": 1},
            "published": {"datasets": {"color": {}}},
            "one_seed": {"datasets": {"both": {}}, "seeds": 2},
        },
    }


class Finished:
    """A workflow that has run to its end, with a command `mespot` that makes empty outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, finished_config(folder)
        for person in ("anna", "ben", "cleo"):
            frames = folder / "mine" / "videos" / person / f"of_{person}"
            frames.mkdir(parents=True)
            for name in ("1.png", "2.png", "3.png"):
                (frames / name).write_bytes(b"frame")
            (frames.parent / f"film_{person}.mp4").write_bytes(b"a film" * 1000)
        rows = "".join(f"film_{p},macro,10,30\nof_{p},micro,1,2\n" for p in ("anna", "ben", "cleo"))
        for table in ("a.csv", "b.csv"):
            (folder / "mine" / table).write_text("video,type,onset,offset\n" + rows)
        (folder / "own").mkdir()
        for name in ("one.mp4", "two.mp4"):
            (folder / "own" / name).write_bytes(b"a film")
        stand_in = folder / "bin" / "mespot"
        stand_in.parent.mkdir()
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        for done in runs([Run(self.of({})), Run(self.own({}))], self, "--cores", "2"):
            assert "steps (100%) done" in done, done

    def of(self, change: dict[str, Any]) -> dict[str, Any]:
        """The configuration with other values, by their keys joined with dots."""
        config = deepcopy(self.config)
        for key, value in change.items():
            *sections, name = key.split(".")
            place = config
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = value
        return config

    def own(self, change: dict[str, Any]) -> dict[str, Any]:
        """The same for videos of one's own."""
        return self.of({"video": str(self.folder / "own")} | change)


class Run(NamedTuple):
    """A dry-run: with this configuration, and with this copy of the package instead of its own."""

    config: dict[str, Any]
    package: Path | None = None


def runs(wanted: Sequence[Run], workflow: Finished, *arguments: str) -> list[str]:
    """What Snakemake says of each run: in one process that is forked for each, so that it is imported once."""
    with tempfile.TemporaryDirectory() as told:
        for n, run in enumerate(wanted):
            file = Path(told, f"{n}.yaml")
            file.write_text(yaml.safe_dump(run.config))
            file.with_suffix(".json").write_text(json.dumps(str(run.package or "")))
        command = [sys.executable, __file__, "--fork", told, str(workflow.folder), *arguments]
        environment = os.environ | {"MESPOT_STAND_IN": str(workflow.folder / "bin")}
        import subprocess

        subprocess.run(command, check=True, env=environment)
        return [Path(told, f"{n}.txt").read_text() for n in range(len(wanted))]


def would_run(wanted: Sequence[Run], workflow: Finished) -> list[dict[str, list[str]]]:
    """The stages that each dry-run would run, with the jobs' wildcards."""
    return [jobs(said) for said in runs(wanted, workflow, "--dry-run", "--cores", "2")]


def jobs(said: str) -> dict[str, list[str]]:
    """The jobs in what a dry-run says, by their stage: demo_annotation is of `demo`, spot_cross of `spot`."""
    assert "This was a dry-run" in said or "Nothing to be done" in said, said
    found: dict[str, list[str]] = {}
    for rule, rest in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", said, re.M):
        wildcards = re.search(r"^    wildcards: (.*)$", rest, re.M)
        if rule != "all":
            found.setdefault(rule.split("_")[0], []).append(wildcards[1] if wildcards else "")
    return found


def keys(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration, nested ones joined with dots, and its value."""
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from keys(value, f"{key}.")
        else:
            yield key, value


def settings() -> dict[str, dict[str, Any]]:
    """Each key of config.yaml that is a setting, and what to change for another value of it."""
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    sections = {k: v for k, v in default.items() if k not in ("datasets", "methods")}
    changed = {}
    for key, value in [*keys(sections), *((key, OTHER[key]) for key in OTHER)]:
        if key in LEFT_ASIDE or key.startswith("own.settings"):
            continue
        # One region of a set and one parameter stand for the others.
        key_set = re.match(r"\w+\.sets\.\w+", key)
        if key_set and any(known.startswith(f"{key_set[0]}.") for known in changed):
            continue
        if key in OTHER:
            changed[key] = OTHER[key]
        elif found := re.match(r"(\w+).graph_rois", key):
            rois = default[found[1]]["graph_rois"]
            changed[found[0]] = {**rois, 1: ["left_brow_head"]}
        elif isinstance(value, int):
            changed[key] = value + 1
        elif isinstance(value, float):
            changed[key] = value * 0.9
        elif key.endswith(("reach", "seconds")):
            changed[key] = [value[0] * 0.9, value[1]]
        elif key.endswith(".landmarks"):
            changed[key] = [*value, 8]
        elif key.endswith(".unit"):
            changed[key] = "px"
        else:
            raise AssertionError(f"{key}: give another value of it in OTHER")
    return {
        key: value if isinstance(value, dict) and "." in str([*value]) else {key: value}
        for key, value in changed.items()
    }


def table(workflow: Finished) -> list[tuple[str, set[str]]]:
    """Each setting and the stages that run again for it."""
    changed = settings()
    wanted = [
        Run((workflow.own if key.startswith("own.") else workflow.of)(change))
        for key, change in changed.items()
    ]
    return [
        (key, set(found)) for key, found in zip(changed, would_run(wanted, workflow), strict=True)
    ]


def as_text(rows: Sequence[tuple[str, set[str]]]) -> str:
    """The table in Markdown; settings of one section for which the same runs share a line."""
    lines: dict[tuple[str, frozenset[str]], list[str]] = {}
    for key, stages in rows:
        section, _, name = key.partition(".")
        # Sets: those that are used and those that are not.
        name = re.sub(r"(sets\.\w+)\..*", r"\1.*", name)
        names = lines.setdefault((section, frozenset(stages)), [])
        if name not in names:
            names.append(name)
    head = f"| key | {' | '.join(STAGES)} |\n|---|{':-:|' * len(STAGES)}\n"
    body = "".join(
        f"| `{section}`: {', '.join(names)} | "
        + " | ".join("●" if stage in stages else "" for stage in STAGES)
        + " |\n"
        for (section, stages), names in lines.items()
    )
    return head + body


def in_docs() -> str:
    """The table as it stands in the docs."""
    return DOCS.read_text().split(f"{BEGIN}\n")[1].split(END)[0]


def _fork(told: Path, folder: str, *arguments: str) -> None:
    """Run each configuration in `told` in a process of its own that has Snakemake already."""
    from snakemake.cli import get_argument_parser, main

    import mespot.datasets.annotation_files
    import mespot.outcome  # noqa: F401
    from mespot import rerun

    get_argument_parser()  # imports the plugins
    ways = ("spotting.network", "spotting.two_stage", "train_multiscale")
    for stage in (*STAGES, *ways, "spotting.displacement", "pages.strips", "faces.dlib"):
        rerun.digest(stage)
    stand_in = os.environ["MESPOT_STAND_IN"]
    for file in sorted(told.glob("*.yaml")):
        if pid := os.fork():
            os.waitpid(pid, 0)
            continue
        out = os.open(file.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if package := json.loads(file.with_suffix(".json").read_text()):
            rerun.PACKAGE = Path(package)
            rerun.forget()
        import sysconfig

        sysconfig.get_path = lambda name: stand_in  # where the rules look for the command `mespot`
        command = ["--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        main([*arguments, *command, "--configfile", str(file)])
        os._exit(1)


STAND_IN = """#!/bin/sh
# Makes every file that a stage is asked for.
stage=$1
shift
while [ $# -gt 1 ]; do
  case $1 in
    --out*|--epochs|--history|--as-given|--audit|--not-counted|--lanes|--truth)
      [ "${stage%-table} $1" = "figures --history" ] || [ "$stage $1" = "figures --out" ] || [ "$stage $1" = "select --epochs" ] || [ "$stage $1" = "score --as-given" ] || [ "$stage $1" = "select --as-given" ] || : > "$2" ;;
    --curves) [ "$stage" = overlay ] || : > "$2" ;;
    --subjects) [ "$stage" != score ] || : > "$2" ;;
    --frames) mkdir -p "$2" && : > "$2/1.png" ;;
  esac
  case "$stage $1" in
    "figures --out") mkdir -p "$2" ;;
    "figures --listed") : > "$2" ;;
    "report --out") mkdir -p "$(dirname "$2")/videos" ;;
  esac
  shift
done
"""


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fork"]:
        _fork(Path(sys.argv[2]), *sys.argv[3:])
    else:
        with tempfile.TemporaryDirectory() as made:
            text = as_text(table(Finished(Path(made))))
        before, _, rest = DOCS.read_text().partition(f"{BEGIN}\n")
        DOCS.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")
