"""The workflow itself: real Snakemake on a tiny dataset, in a folder with a difficult name."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

import cv2
import h5py
import pandas as pd
import pytest
import yaml
from same import different

from mespot import demo, store
from mespot.info import described, record
from mespot.intervals import INTERVAL_COLUMNS
from mespot.settings import Demo

ROOT = Path(__file__).parents[1]
PREPARE = ["decode", "align", "landmarks", "flow", "roi", "mdmo", "features"]
LEARN = ["train", "spot", "spot_cross", "score", "score_cross", "aggregate"]
SHOW = ["figures", "figures_table", "report"]
LEARN += SHOW
TINY = {
    "demo": {"subjects": 2, "videos": 1, "seconds": 4, "size": [176, 176]},
    "align": {"size": 96},
    "methods": {"mespot": {"train": {"epochs": 3}}},
}


class Workflow:
    """A results folder and a configuration that `snakemake` is run with."""

    def __init__(self, folder: Path, config: dict, python: str | Path = sys.executable) -> None:
        self.folder, self.config, self.python = folder, config, python
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def run(
        self, *arguments: str, config: dict | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        """Snakemake of the interpreter, in a shell that has nothing of its environment on PATH."""
        config = (config or self.config) | {"results": str(self.results)}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        return self.run_with(self.folder / "config.yaml", *arguments, **environment)

    def run_with(self, file: Path, *arguments: str, **environment: str):
        """The same with a config file of its own."""
        command = [
            self.python,
            "-m",
            "snakemake",
            "--cores",
            "2",
            *arguments,
            "--snakefile",
            str(ROOT / "Snakefile"),
        ]
        command += ["--directory", str(self.folder), "--configfile", str(file)]
        return self.execute(command, os.environ | {"PATH": os.defpath} | environment)

    @staticmethod
    def execute(command: list, environment: dict) -> subprocess.CompletedProcess:
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def would_run(self, config: dict | None = None, *arguments: str) -> set[str]:
        """The rules of which a dry-run would run jobs (`all` has none of its own)."""
        done = self.run("--dry-run", *arguments, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.M)) - {"total", "all"}


def datasets() -> dict:
    return {
        "color": {"layout": "cas_me_sq", "demo": True, "fps": 30},
        "grey": {"layout": "samm_lv", "demo": True, "fps": 25, "frames_fps": 200},
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workflow:
    """A tiny demo, run to the end."""
    folder = tmp_path_factory.mktemp("run") / "CAS(ME)^2 [a b] 'c'"
    workflow = Workflow(folder, {"datasets": datasets(), **TINY})
    done = workflow.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow


def test_demo_ends_in_a_table_and_pictures(finished):
    summary = pd.read_csv(finished.results / "summary.csv")
    assert set(summary["dataset"]) == {"color", "grey", "pooled"}
    crossed = summary[summary["dataset"] != summary["trained_on"]]
    assert set(zip(crossed["trained_on"], crossed["dataset"], strict=True)) == {
        ("color", "grey"),
        ("grey", "color"),
        *(("nothing", dataset) for dataset in ("color", "grey", "pooled")),
    }
    assert set(summary[summary["trained_on"] == "nothing"]["method"]) == {"displacement"}
    page = (finished.results / "report" / "index.html").read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    faces = [name for name in pictures if name.endswith("_face.jpg")]
    assert len(faces) == 4, "of each video"
    assert len(pictures) == 4 + 2 * (8 + 6), "and the figures of each dataset and method"
    for picture in pictures:
        assert (finished.results / "report" / picture).stat().st_size > 1000
    for face in faces:
        assert cv2.imread(str(finished.results / "report" / face)).std() > 10
    for name in re.findall(r'"href": "(videos/[^"]+)"', page):
        assert (finished.results / "report" / f"{name}.js").exists()
    assert page.count("http") == 1, "uPlot says where it is from"


def test_each_methods_figures_are_files(finished):
    always = {"f1_per_subject", "precision_recall", "durations", "overlaps", "boundary_errors"}
    always |= {"reliability"}
    for dataset in ("color", "grey"):
        for method, more in (("mespot", {"training", "graph"}), ("displacement", set())):
            where = finished.results / "report" / "figures" / dataset / method
            told = json.loads((where / "figures.json").read_text())
            assert {one["name"] for one in told} == always | more
            for one in told:
                assert (one["dataset"], one["method"]) == (dataset, method)
                forms = {path.suffix for path in where.glob(f"{one['name']}.*")}
                assert forms == {".svg", ".png", ".csv"}
    assert "displacement" in (finished.results / "report" / "figures" / "table1.tex").read_text()


def test_snakemakes_own_report_carries_table_and_figures(finished, tmp_path):
    """With their captions, by dataset and method, and without a network."""
    no_network = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = finished.run("--report", str(tmp_path / "report.zip"), **no_network)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as file:
        names, page = file.namelist(), file.read("report/report.html").decode()
    carried = Counter(Path(name).name for name in names)
    assert carried["durations.svg"] == 4
    assert (carried["graph.svg"], carried["training.svg"], carried["summary.csv"]) == (2, 2, 1)
    captions = ("Durations of annotated intervals", "Mean training loss")
    for said in (*captions, '"figure": "precision recall"', "F1 of each method, dataset"):
        assert said in page
    assert finished.would_run() == set()


def test_decoded_frames_are_gone_and_flow_stays(finished):
    assert not list(finished.results.glob("*/decode/*.mkv"))
    assert len(list(finished.results.glob("*/flow/*.h5"))) == 4


def test_every_store_tells_where_it_comes_from(finished):
    files = list(finished.results.rglob("*.h5"))
    assert {"features.h5", "curves.h5"} <= {path.name for path in files}
    for path in files:
        with h5py.File(path) as file:
            assert {"units", "fps", "source"} <= set(file.attrs), path
            assert len(file.attrs["source"]) == 64


def test_one_core_gives_the_same_as_two(finished, tmp_path):
    config = finished.config | {"datasets": {"color": datasets()["color"]}}
    alone = Workflow(tmp_path, config)
    done = alone.run("--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (workflow.results / "color" for workflow in (alone, finished))
    # With a second dataset there is also what its model spots here.
    assert [line for line in different(one, two) if not line.startswith("mespot/cross")] == []


def test_every_output_tells_what_made_it(finished):
    """And that the same would make it now, by the code by whose digest its rule runs again."""
    no_output = {"logs", "benchmarks", ".made", "sources.json"}
    files = [
        path
        for path in finished.results.rglob("*")
        if path.is_file() and not no_output & set(path.relative_to(finished.results).parts)
    ]
    # Of a folder of frames each is told by the folder; hidden ones are Snakemake's.
    files = [path for path in files if path.suffix != ".jpg" or path.stem.endswith("001")]
    files = [path for path in files if not path.name.startswith(".")]
    kinds = {".h5", ".mkv", ".pt", ".csv", ".json", ".html", ".png", ".jpg", ".npz", ".xlsx"}
    kinds |= {".svg", ".tex"}
    assert kinds <= {path.suffix for path in files}
    planned = {
        base64.b64decode(kept.name).decode(): str(json.loads(kept.read_text())["params"])
        for kept in (finished.folder / ".snakemake" / "metadata").iterdir()
    }
    for path in files:
        assert path.suffix in (".jpg", ".png") or {str(path), str(path.parent)} & planned.keys()
    for path in files:
        said, made = described(path), record(path)
        assert "changed since" not in said, said
        assert re.search(r"^code +\w{16}, the same now$", said, re.M), said
        assert made["code"] in planned.get(str(path), made["code"]), path
        for section in finished.config.keys() & made["settings"].keys():
            settings = made["settings"][section]
            read = settings.keys() & finished.config[section].keys()
            assert settings == settings | {key: finished.config[section][key] for key in read}


def test_regions_keep_the_order_of_the_config(finished, default_config):
    """The network's nodes, and the published files', are in this order."""
    with h5py.File(finished.results / "color" / "features.h5") as file:
        for video in file["casme_015"].values():
            regions = store.attribute(video, "regions", list[str])
            assert regions == list(default_config["roi"]["sets"]["auw_gcn"])


def test_fold_has_not_seen_its_subject(finished):
    """A model has left out the subject of its folder; it spots (`test_spotting_network`) in that one alone."""
    import torch

    paths = list(finished.results.glob("*/mespot/folds/*/model.pt"))
    assert len(paths) == 6
    for path in paths:
        content = torch.load(path, weights_only=True)
        assert content["left_out"] == ([] if path.parent.name == "all" else [path.parent.name])


def test_nothing_changed_runs_nothing(finished):
    assert finished.would_run() == set()


@pytest.mark.parametrize(
    ("stage", "key", "value", "rules"),
    [
        ("demo", "noise", 0.7, {"demo", "demo_annotation", *PREPARE, "annotation", *LEARN}),
        ("align", "margin", 0.3, {"demo", *PREPARE, "annotation", *LEARN}),
        (
            "landmarks",
            "smooth",
            2.5,
            {"landmarks", "roi", "mdmo", "features", "annotation", *LEARN},
        ),
        ("flow", "set", "micro", {"flow", "roi", "mdmo", "features", "annotation", *LEARN}),
        ("roi", "set", "boxes", {"roi", "mdmo", "features", "annotation", *LEARN}),
        ("mdmo", "roi_share", 0.5, {"mdmo", "features", "annotation", *LEARN}),
        ("features", "published_unit", 10, {"features", "annotation", *LEARN}),
        ("annotation", "offset_zero", "apex", {"annotation", *LEARN}),
        ("train", "learning_rate", 0.02, set(LEARN)),
        ("spot", "apex", 0.4, set(LEARN) - {"train"}),
        ("score", "protocols", ["strict"], {"score", "score_cross", "aggregate", *SHOW}),
        ("report", "headline", "megc2020", set(SHOW)),
    ],
)
def test_one_changed_key_runs_its_stage_and_what_follows(finished, stage, key, value, rules):
    config = deepcopy(finished.config)
    config.setdefault(stage, {})[key] = value
    # The decoded frames are temporary: what needs them again makes them again, from frames that are
    # still there.
    expected = rules - {"demo"} if stage == "align" else rules
    assert finished.would_run(config) == expected


def test_a_method_added_trains_and_scores_itself_alone(finished):
    """A variant is one file and one entry; nothing of the others runs again."""
    net = finished.folder / "my net.py"
    net.write_text(
        "from mespot.networks.auw_gcn import AUWGCN\n\n\nclass MyNet(AUWGCN):\n    '''The same, by another name.'''\n"
    )
    config = deepcopy(finished.config)
    config["methods"]["mine"] = {
        "base": "mespot",
        "model": f"{net}:MyNet",
        "train": {"epochs": 2},
    }
    rules = finished.would_run(config)
    assert rules == set(LEARN)
    jobs = finished.run("--dry-run", config=config).stdout
    assert set(re.findall(r"^rule train:\n(?:.*\n)*?.*run=(\w+)", jobs, re.M)) == {"mine"}
    target = str(finished.results / "color" / "mine" / "score.json")
    done = finished.run(target, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(json.loads(Path(target).read_text())) >= {"strict", "megc2020"}
    net.write_text(net.read_text().replace("by another name", "with another comment"))
    assert "train" not in finished.would_run(config, target)
    net.write_text(net.read_text() + "    extra = 1\n")
    assert "train" in finished.would_run(config, target)


def test_own_video_is_spotted_with_the_trained_model(finished, tmp_path):
    person = demo.make_subject("cas_me_sq", 3, Demo(size=(176, 176)))
    script = demo.script("cas_me_sq", 3, 0, Demo(seconds=4))
    folder = tmp_path / "my [video] ^1"
    folder.mkdir()
    for t, (frame, _) in enumerate(demo.render(person, script, Demo())):
        if t < 40:
            cv2.imwrite(str(folder / f"{t}.png"), frame[..., ::-1])
    config = finished.config | {
        "video": str(folder),
        "own": {"dataset": "color", "method": "mespot", "overlay": True},
    }
    done = finished.run(config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    where = finished.results / "my_video_1"
    intervals = pd.read_csv(where / "mespot" / "cross" / "color" / "intervals.csv")
    assert list(intervals) == INTERVAL_COLUMNS
    assert len(list((where / "report" / "videos").glob("*_face.jpg"))) == 1
    watched = where / "mespot" / "cross" / "color" / "overlay" / "my_video_1.mp4"
    assert cv2.VideoCapture(str(watched)).get(cv2.CAP_PROP_FRAME_COUNT) == 40
    assert finished.would_run() == set(), "spotting in a video must leave the demo as it is"


def test_a_video_of_a_dataset_is_drawn_on_demand(finished):
    """With what is annotated; nothing is prepared again for it."""
    name = min(path.stem for path in (finished.results / "grey" / "align").glob("*.h5"))
    drawn = finished.results / "grey" / "displacement" / "overlay" / f"{name}.mp4"
    done = finished.run(str(drawn))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(?:local)?rule (\w+):", done.stderr, re.M) == ["overlay"]
    assert cv2.VideoCapture(str(drawn)).get(cv2.CAP_PROP_FRAME_COUNT) == 100
    assert "../../annotation.csv" in record(drawn)["inputs"]
    assert finished.would_run() == set()


def test_bad_videos_cost_only_themselves(tmp_path):
    """Under --keep-going the rest is finished and the report lists what is missing, and why."""
    source = tmp_path / "videos"
    size = Demo(size=(176, 176), seconds=4)
    for subject in (0, 1, 2):
        person = demo.make_subject("cas_me_sq", subject, size)
        script = demo.script("cas_me_sq", subject, 0, size)
        for t, (frame, _) in enumerate(demo.render(person, script, size)):
            if t < 60:
                path = source / f"p{subject}" / f"f{t}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), frame[..., ::-1])
    (source / "p2" / "f7.png").write_bytes(b"")
    (source / "gap").mkdir()
    shutil.copytree(source / "p0", source / "gap", dirs_exist_ok=True)
    (source / "gap" / "f5.png").unlink()
    (source / "cut.mp4").write_bytes(b"\0\0\0 ftypisom")
    table = "subject,video,type,onset,apex,offset,au\n"
    table += "p0,p0,macro,10,20,30,12\np1,p1,micro,10,14,18,4\np1,p1,macro,500,510,520,4\n"
    (tmp_path / "a.csv").write_text(table)
    entry = {
        "layout": "videos",
        "root": str(source),
        "annotation": str(tmp_path / "a.csv"),
        "fps": 30,
    }
    tiny = {"align": {"size": 96}, "methods": {"mespot": {"train": {"epochs": 2}}}}
    workflow = Workflow(tmp_path / "work", {"datasets": {"own": entry}, **tiny})

    stopped = workflow.run(str(workflow.results / "own" / "decode" / "p2.mkv"))
    assert stopped.returncode != 0
    assert re.match(
        "mespot: decode: .*f7.png: frame cannot be read", stopped.stderr.splitlines()[-1]
    )
    assert "Traceback" not in stopped.stdout + stopped.stderr

    done = workflow.run("--keep-going")
    assert done.returncode == 2, done.stdout + done.stderr
    page = (workflow.results / "report" / "index.html").read_text()
    for video, why in (
        ("p2", "f7.png: frame cannot be read"),
        ("gap", "frame 5 is missing"),
        ("cut", "cut.mp4: cannot be decoded"),
    ):
        assert f"<b>{video}</b>" in page
        assert why in page
        # The last lines say it, too, also of a later run.
        assert re.search(rf"^(mespot: )?{video} failed: decode: .*{why}", done.stderr, re.M)
    assert "p2 failed" in done.stderr.splitlines()[-1]
    assert pd.read_csv(workflow.results / "summary.csv")["overall_m"].tolist()[0] == 2
    audit = pd.read_csv(workflow.results / "own" / "annotation_audit.csv")
    assert audit["why"].str.contains(r"beyond the video's end \(60 frames\)").any()

    # The first job has said so before, and the broken ones by name.
    found = pd.read_csv(workflow.results / "own" / "check.csv")
    faults = found.groupby("fault")["video"].agg(list).to_dict()
    assert faults["broken"] == ["cut", "gap", "p2"]
    assert faults["beyond_end"] == ["p1"]
    assert faults["unannotated"] == ["cut", "gap", "p2"]
    # A changed annotation is checked again; no video is prepared again for it.
    (tmp_path / "a.csv").write_text(table + "p1,p1,micro,30,34,38,4\n")
    assert workflow.would_run(None, "--keep-going") == {
        *("check", "annotation", "train", "spot", "score", "aggregate", *SHOW)
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"flow": {"lambada": 1}}, "flow.lambada: unknown key"),
        (
            {"methods": {"mespot": {"model": "none.py:Net"}}},
            "methods.mespot.model: 'none.py:Net'",
        ),
        (
            {"datasets": {"d": {"layout": "videos", "root": "nowhere", "annotation": "a.csv"}}},
            "nowhere: no such file",
        ),
        (
            {"datasets": {"d": {"layout": "videos", "root": str(ROOT / "docs" / "images")}}},
            "no dataset has an annotation",
        ),
        (
            {"demo": {"subjects": 2}, "methods": {"mespot": {"select": {"policies": ["inner"]}}}},
            "policy inner needs at least 3 subjects; it has 2",
        ),
        (
            {
                "datasets": datasets() | {"again": datasets()["grey"]},
                "methods": {
                    "mespot": {"datasets": {"grey": {"train": {"start": "again/published"}}}},
                    "published": {"datasets": {"again": {}}},
                },
            },
            "again/published has seen subjects that are left out of grey",
        ),
    ],
)
def test_wrong_configuration_is_one_clear_message(tmp_path, config, message):
    done = Workflow(tmp_path, {"datasets": datasets()} | config).run("--dry-run")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_annotation_that_would_stop_training_is_said_before_the_first_job(tmp_path):
    """And stops the run, unless under --keep-going: all else is made then, and it is said at the end again."""
    folder = tmp_path / "data" / "videos" / "anna" / "one"
    folder.mkdir(parents=True)
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "data" / "a.csv").write_text("video,type,onset,offset\none,makro,0,1\n")
    entry = {"layout": "videos", "root": str(tmp_path / "data"), "annotation": "a.csv"}
    workflow = Workflow(tmp_path / "work", {"datasets": {"own": entry}})
    fault = "a.csv: row 2: type 'makro'; macro or micro was expected"
    stopped = workflow.run()
    assert stopped.returncode == 2
    assert fault in stopped.stderr.splitlines()[-1]
    assert not (workflow.results / "own").exists()
    gone_on = workflow.run("--keep-going")
    assert gone_on.returncode == 2
    lines = gone_on.stderr.splitlines()
    assert [line for line in lines if line.startswith("warning: ") and fault in line]
    said_last = lines[max(n for n, line in enumerate(lines) if line.startswith("mespot: ")) :]
    assert any(line.startswith("check: ") and fault in line for line in said_last)
    assert "one failed: decode: " in said_last[0]
    assert "Traceback" not in stopped.stderr + gone_on.stderr
