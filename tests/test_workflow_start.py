"""What the workflow says before its first job: config files, datasets and methods that cannot be."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from test_workflow import ROOT, Workflow

from mespot.errors import InputError
from mespot.why import why

SHORT = {"align": {"size": 96}, "methods": {"mespot": {"train": {"epochs": 2}}}}


def recorded(folder: Path, *subjects: str, annotated: tuple[str, ...] = ()) -> dict:
    """A dataset of a folder of two frames for each subject; two expressions of those `annotated`."""
    for name in subjects:
        place = folder / "videos" / name / f"of_{name}"
        place.mkdir(parents=True)
        for n in (1, 2):
            Image.new("L", (16, 16)).save(place / f"{n}.png")
    rows = [f"{name},of_{name},{type_},0,1\n" for name in annotated for type_ in ("macro", "micro")]
    (folder / "a.csv").write_text("subject,video,type,onset,offset\n" + "".join(rows))
    return {"layout": "videos", "root": str(folder), "annotation": "a.csv"}


def last(done) -> str:
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# 我\n".encode("gbk"), "mine.yaml: line 1: not UTF-8"),
        (b"flow:\n\tset: micro\n", "mine.yaml: line 2, column 1: a tab; write spaces"),
        (b'results: "C:\\data"\n', "mine.yaml: line 1, column 14: in double quotes a backslash"),
        (b"flow: {}\nflow: {}\n", "mine.yaml: line 2, column 1: 'flow' is in line 1 already"),
        (b"flow: {sett: micro}\n", "mine.yaml: line 1: flow.sett: unknown key"),
        (
            b"datasets:\n  my data: {layout: videos, root: x}\n",
            "mine.yaml: line 2: datasets.my data: a name has letters",
        ),
        (b"methods:\n", "mine.yaml: line 1: methods: keys of its own"),
        (b"", "mine.yaml: nothing in it"),
    ],
)
def test_a_config_file_that_cannot_be_read_is_one_line(tmp_path, content, message):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    done = Workflow(tmp_path, {}).run_with(file, "--dry-run")
    assert done.returncode == 2
    assert last(done).startswith(f"mespot: {tmp_path}/")
    assert message in last(done)
    before = done.stderr.splitlines()[:-1]
    assert all(line.startswith(("Using workflow", "Config file")) for line in before)


def test_a_dataset_without_an_annotation_is_named(tmp_path):
    datasets = {
        name: recorded(tmp_path / name, f"{name}1", f"{name}2", annotated=(f"{name}1", f"{name}2"))
        for name in ("mine", "bare")
    }
    del datasets["bare"]["annotation"]
    done = Workflow(tmp_path / "work", {"datasets": datasets} | SHORT).run("--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("warning: datasets.bare: it has no annotation", done.stderr)) == 1
    assert "datasets.mine" not in done.stderr


def test_one_subject_is_spotted_in_without_training_and_makes_a_model(tmp_path):
    entry = recorded(tmp_path / "data", "anna", annotated=("anna",))
    workflow = Workflow(tmp_path / "work", {"datasets": {"mine": entry}} | SHORT)
    done = workflow.run("--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    said = "warning: datasets.mine: one subject, and to leave one out takes two: mespot cannot be scored"
    assert len(re.findall(said, done.stderr)) == 1
    jobs = re.findall(
        r"^rule (\w+):\n(?:    .*\n)*?    wildcards: .*(?:run|fold)=([\w.]+)", done.stdout, re.M
    )
    assert set(jobs) == {
        ("train", "all"),
        *((rule, "displacement") for rule in ("spot", "score", "figures")),
    }
    # What is asked for by name and cannot be ends before anything is prepared.
    for target in ("mine/mespot/score.json", "mine/mespot/folds/anna/model.pt"):
        done = workflow.run(str(workflow.results / target))
        assert done.returncode == 2
        assert last(done).startswith("mespot: datasets.mine: one subject")
        assert "own: {method: mespot, dataset: mine}" in last(done)
    assert workflow.would_run(None, str(workflow.results / "mine/mespot/folds/all/model.pt")) >= {
        "train"
    }
    assert not workflow.results.exists()
    # With another dataset its model is tested there; joined, one of two is left out.
    both = {"mine": entry, "theirs": recorded(tmp_path / "b", "ben", annotated=("ben",))}
    both["all_of_us"] = {"layout": "joined", "of": ["mine", "theirs"]}
    targets = workflow.run("--dry-run", config={"datasets": both} | SHORT).stdout
    assert set(re.findall(r"results/(\S*/?mespot\S*)/score\.json", targets)) == {
        *("mine/mespot/cross/theirs", "theirs/mespot/cross/mine", "all_of_us/mespot"),
        *("all_of_us/mespot/part/mine", "all_of_us/mespot/part/theirs"),
    }
    # Nothing is left to score.
    alone = {"datasets": {"mine": entry}, "methods": {"displacement": {"datasets": {}}}}
    assert last(workflow.run("--dry-run", config=alone)).startswith(
        "mespot: datasets.mine: one subj"
    )


@pytest.mark.parametrize("annotated", [("anna",), ("anna", "ben")])
def test_two_subjects_with_expressions_are_needed(tmp_path, annotated):
    """Or leaving the one out, after hours of preparing, there would be nothing to train on."""
    entry = recorded(tmp_path / "data", "anna", "ben", "cleo", annotated=annotated)
    done = Workflow(tmp_path / "work", {"datasets": {"mine": entry}} | SHORT).run()
    assert done.returncode != 0, "no face in them"
    assert ("only anna has expressions in it" in last(done)) == (len(annotated) == 1)


@pytest.mark.parametrize("annotated", [("anna", "ben"), ("anna", "ben", "cleo")])
def test_two_stages_need_a_third(tmp_path, annotated):
    """Each training leaves two groups out."""
    entry = recorded(tmp_path / "data", "anna", "ben", "cleo", annotated=annotated)
    method = {"methods": {"one_seed": {"datasets": {"mine": {}}}}}
    done = Workflow(tmp_path / "work", {"datasets": {"mine": entry}} | SHORT | method).run()
    assert done.returncode != 0, "no face in them"
    assert ("only anna, ben have expressions in it" in last(done)) == (len(annotated) == 2)


def test_a_dataset_that_is_gone_is_said_though_its_results_are_there(tmp_path):
    """Snakemake goes by what is there already where an input function fails."""
    entry = recorded(tmp_path / "data", "anna", "ben", annotated=("anna", "ben"))
    methods = {"mespot": {"datasets": {}}}
    workflow = Workflow(tmp_path / "work", {"datasets": {"mine": entry}, "methods": methods})
    for name in ("summary.csv", "report/index.html", "mine/check.csv", "mine/features.h5"):
        (workflow.results / name).parent.mkdir(parents=True, exist_ok=True)
        (workflow.results / name).touch()
    (workflow.results / "report" / "videos").mkdir()
    shutil.move(tmp_path / "data" / "a.csv", tmp_path / "kept")
    done = workflow.run("--dry-run")
    assert (done.returncode, "no annotation a.csv in it" in last(done)) == (2, True)
    shutil.move(tmp_path / "data", tmp_path / "gone")
    done = workflow.run("--dry-run")
    assert (done.returncode, "data: no such file or folder" in last(done)) == (2, True)
    (tmp_path / "gone" / "videos" / "anna" / "of_anna").rename(tmp_path / "gone" / "videos" / "{x}")
    shutil.move(tmp_path / "gone", tmp_path / "data")
    shutil.move(tmp_path / "kept", tmp_path / "data" / "a.csv")
    assert "a name in braces or <> means something to Snakemake" in last(workflow.run("--dry-run"))


def test_why_passes_on_what_snakemake_says(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match="No rule to produce nothing"):
        why(["nothing"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Snakefile"):
        why([])
