"""Whole runs of Snakemake: methods and policies on the real features; the paper's detectors.

Apart from test_workflow, so that two workers share them.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy

import h5py
import numpy as np
import pandas as pd
from test_workflow import LEARN, SHOW, TINY, Workflow

from mespot import demo
from mespot.settings import Demo


def test_published_features_methods_seeds_and_ways_of_choosing(shared, tmp_path):
    """Six subjects of the real features: methods, seeds, each policy, across datasets and joined."""
    import tarfile

    with tarfile.open(shared / "data" / "auw_gcn_features.tar.xz", "r|xz") as file:
        for member in file:
            if re.search(r"/(casme_01[569]|samm_0(07|09|14))/", member.name):
                file.extract(member, tmp_path / "in")
    tables = shared / "data" / "annotations"
    datasets = {
        "cas": {"root": "cas(me)^2", "annotation": str(tables / "cas_me_sq_30fps.csv")},
        "samm": {"root": "samm_25", "annotation": str(tables / "samm_lv_25fps.csv"), "fps": 25},
    }
    for entry in datasets.values():
        entry |= {"layout": "features", "root": str(tmp_path / "in" / entry["root"])}
    quick = {"epochs": 4, "keep": 2}
    config = {
        "datasets": datasets | {"both": {"layout": "joined", "of": ["cas", "samm"]}},
        "select": {"first_epoch": 2, "groups": 3},
        "report": {"methods": ["mespot"]},
        "methods": {
            "mespot": {
                "datasets": {"cas": {}, "samm": {}},
                "train": quick | {"batch": 8},
                "select": {"policies": ["inner", "last"]},
            },
            "published": {
                "seeds": 2,
                "datasets": {"cas": {"train": quick | {"batch": 8}, "select": {"first_epoch": 2}}},
            },
            "together": {
                "base": "mespot",
                "seeds": 1,
                "datasets": {"both": {}},
                "select": {"policies": ["last"]},
            },
            "one_seed": {
                "seeds": 1,
                "datasets": {"both": {}},
                "train": {"steps": 20, "batch": 4, "window": 128, "channels": 8},
                "evaluate": {"groups": 3},
            },
        },
    }
    workflow = Workflow(tmp_path / "work", config)
    done = workflow.run()
    assert done.returncode == 0, done.stdout + done.stderr
    summary = pd.read_csv(workflow.results / "summary.csv")
    columns = ["method", "dataset", "trained_on", "selection"]
    strict = summary[summary["protocol"] == "strict"].set_index(columns)
    one_left_out = [("cas", "cas"), ("samm", "samm"), ("pooled", "pooled")]
    crossed = [("cas", "samm"), ("samm", "cas")]
    assert set(strict.index) == {
        *(("mespot", *where, how) for where in one_left_out + crossed for how in ("last", "inner")),
        ("published", "cas", "cas", "last"),
        ("published", "cas", "cas", "oracle"),
        *((name, "both", "both", "last") for name in ("together", "one_seed", "two_stage")),
        # Of what is spotted by networks trained on both, the part that is of one.
        *(
            (name, one, "both", "last")
            for name in ("together", "one_seed", "two_stage")
            for one in datasets
        ),
        *(("displacement", name, "nothing", "last") for name in ("cas", "samm", "both", "pooled")),
    }
    assert strict["seeds"].groupby("method").first().to_dict() == {
        "mespot": 1,
        "published": 2,
        "together": 1,
        "one_seed": 1,
        "two_stage": 1,
        "displacement": 1,
    }
    n_rows = {n: len(pd.read_csv(workflow.results / f"{n}/annotation.csv")) for n in datasets}
    for name in ("cas", "samm"):
        assert strict.loc[("mespot", name, name, "last"), "overall_m"] == n_rows[name] > 10
    assert strict.loc[("together", "both", "both", "last"), "overall_m"] == sum(n_rows.values())
    assert strict.loc[("mespot", "samm", "cas", "last"), "overall_n"] > 0
    parts = [strict.loc[("together", name, "both", "last")] for name in datasets]
    whole = strict.loc[("together", "both", "both", "last")]
    counts = [f"overall_{name}" for name in ("tp", "n", "m")]
    assert (parts[0][counts] + parts[1][counts]).tolist() == whole[counts].tolist()
    # The mean of one seed is that seed.
    assert (strict.loc["two_stage", counts] == strict.loc["one_seed", counts]).all(axis=None)
    evaluated = workflow.results / "both/two_stage/evaluation.h5"
    with h5py.File(evaluated) as file:
        left_out = [set(group.attrs["left_out"].astype(str)) for group in file.values()]
    assert sorted(map(len, left_out)) == [1, 2, 2, 2]  # "" of all, and three groups of two
    chosen = pd.read_csv(workflow.results / "cas/mespot/inner/selection.csv")
    assert chosen["fold"].tolist() == ["casme_015", "casme_016", "casme_019", "all"]
    assert set(chosen["epoch"]) <= {2, 4}
    history = pd.read_csv(workflow.results / "cas/mespot/folds/casme_015/history.csv")
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    assert workflow.would_run() == set()
    # A policy taken away or a seed added leaves the trainings as they are.
    fewer = deepcopy(config)
    fewer["methods"]["mespot"]["select"] = {"policies": ["last"]}
    assert workflow.would_run(fewer) == {"aggregate", *SHOW}
    other = deepcopy(config)
    other["methods"]["mespot"]["select"]["protocol"] = "megc2020"
    follows = {"select", "spot", "spot_cross", "score", "score_cross", "aggregate", *SHOW}
    assert workflow.would_run(other) == follows
    nowhere = deepcopy(config)
    nowhere["methods"]["mespot"]["datasets"] = {}
    assert "run=mespot" not in workflow.run("--dry-run", "--forceall", config=nowhere).stdout
    surer = deepcopy(config)
    surer["methods"]["two_stage"] = {"mean_of": "one_seed", "spot": {"least": 0.6}}
    follows = {"spot", "score", "score_part", "aggregate", "figures_table", "report"}
    assert workflow.would_run(surer) == follows
    more = deepcopy(config)
    more["methods"]["mespot"]["seeds"] = 2
    jobs = workflow.run("--dry-run", config=more).stdout
    assert set(re.findall(r"^rule train:\n(?:.*\n)*?.*run=(\S+),", jobs, re.M)) == {"mespot/seed_2"}


def test_the_papers_detectors_go_through_every_stage(tmp_path, monkeypatch):
    """RetinaFace and SAN with made weights, on a demo worked at 5 frames/s.

    That is 40 frames in all: SAN takes up to a second for each.

    RetinaFace's are made to find a face where the demo's is; what SAN finds means nothing.
    """
    import made
    import torch

    from mespot.faces import dlib, san, weights

    shown = Demo(**TINY["demo"])
    person, script = demo.make_subject("cas_me_sq", 0, shown), demo.script("cas_me_sq", 0, 0, shown)
    frames = [frame for frame, _ in demo.render(person, script, shown)][:60:20]
    boxes = np.array([dlib.detect_faces(frame)[0] for frame in frames])
    monkeypatch.setenv("MESPOT_WEIGHTS", str(tmp_path / "weights"))

    workflow = Workflow(
        tmp_path / "work",
        TINY
        | {
            "datasets": {
                "color": {"layout": "cas_me_sq", "demo": True, "fps": 5, "frames_fps": 30}
            },
            "align": {"size": 96, "detector": "retinaface", "every": 10},
            "landmarks": {"detector": "san"},
        },
    )
    states = {
        "retinaface": made.retinaface_for(frames, boxes),
        "san": made.state(san.shapes(), prefix="module."),
    }

    def take_up(network: str) -> None:
        torch.save(states[network], tmp_path / f"{network}.pth")
        said = weights.TRAINED_BY[0] if network == "retinaface" else None
        weights.import_weights(network, tmp_path / f"{network}.pth", said)

    take_up("retinaface")
    done = workflow.run("--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "san.safetensors: no weights of san; run `mespot weights import san FILE`" in said
    assert "Traceback" not in said
    take_up("san")

    # A stage asks for a GPU if its detector is a network, and only then.
    done = workflow.run("--dry-run", "--config", "landmarks={detector: dlib}")
    said = re.findall(r"rule (align|landmarks):.*?gpu=(\d)", done.stdout + done.stderr, re.DOTALL)
    assert set(said) == {("align", "1"), ("landmarks", "0")}

    done = workflow.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "faces by retinaface (ternaus/retinaface, SHA-256 "
        in (workflow.results / "report" / "index.html").read_text()
    )
    assert (workflow.results / "report" / "index.html").exists()
    assert len(pd.read_csv(workflow.results / "summary.csv"))
    for stage, network in (("align", "retinaface"), ("landmarks", "san")):
        files = list((workflow.results / "color" / stage).glob("*.h5"))
        assert len(files) == 2
        for path in files:
            with h5py.File(path) as file:
                settings = json.loads(file.attrs["made"])["settings"]
                assert settings[stage]["detector"] == network
                facts = json.loads(file.attrs["weights"])
                assert facts == weights.facts(weights.find(network))
                values = file["transform" if stage == "align" else "points"][:]
                assert np.isfinite(values).all()
                assert len(values) == 20

    # Other weights are another result, of their own stage and what follows.
    states["san"]["module.stage3.0.bias"] += 1
    take_up("san")
    follows = {"landmarks", "roi", "mdmo", "features", "annotation", *LEARN}
    assert workflow.would_run() == follows - {"spot_cross", "score_cross"}
