"""Names in data never become paths outside the results folder, options, shell text or markup."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_workflow import ROOT, TINY, Workflow, datasets
from test_workflow_own import Spotting
from typer.testing import CliRunner

from mespot import aggregate, feature_store, report, store
from mespot.cli import app
from mespot.config import load
from mespot.datasets import annotation_files, layouts
from mespot.errors import InputError
from mespot.settings import LONGEST, Report

# What people and machines call a file; each would make a file `pwned` if a shell or a path took it up.
HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned;",
    "&& touch pwned",
    "|touch pwned",
    ">pwned",
    "-rf",
    "--out=pwned",
    "a\nb",
    "a\x1b[2Jb",
    "'\"\\",
    "~root",
    "*",
    "%s",
    "!x",
    "#x",
    " ",
    ".x.",
    "\u202egpj",
    "<b onload=pwned()>",
    "é微表情",
    "e\u0301",
    "x" * 240,
    "張" * 80,
    "con",
    "a;b",
]
FILES = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


def or_message(function: Callable, *arguments: Any) -> Any:
    """What a function gives, or the message of its InputError."""
    try:
        return function(*arguments)
    except InputError as error:
        return str(error)


def is_safe(name: str, longest: int = LONGEST) -> bool:
    return bool(re.fullmatch(r"\w[\w.-]*", name)) and len(name.encode()) <= longest


@given(st.text(min_size=1))
@example("..")
@example("../../etc/passwd")
@example("-")
def test_any_text_gives_a_name_that_is_one(text):
    assert is_safe(layouts.video_name(Path(text)))


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(FILES, FILES), min_size=1, max_size=4), st.sampled_from([*layouts.LAYOUTS])
)
def test_any_folder_gives_names_or_an_error(names, layout):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir()
        for subject, video in names:
            (root / subject).mkdir(exist_ok=True)
            (root / f"{video}.mp4").touch()
            (root / subject / f"{video}_0000.npz").touch()
        found = or_message(layouts.find, layout, root)
        if isinstance(found, str):
            assert found.isprintable()
            return
        for one in found:
            assert is_safe(one.video, 2 * LONGEST)
            assert is_safe(one.subject, 2 * LONGEST)


@settings(max_examples=100, derandomize=True)
@given(st.lists(FILES, min_size=1, max_size=3))
def test_any_annotation_gives_names_or_an_error(subjects):
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(
            {"video": "one", "type": "macro", "onset": 1, "offset": 2}, range(len(subjects))
        )
        table.assign(subject=subjects).to_csv(Path(folder, "a.csv"), index=False)
        (Path(folder) / "one.mp4").touch()
        named = or_message(annotation_files.subjects, Path(folder, "a.csv"))
        if not isinstance(named, str):
            (found,) = layouts.find("videos", folder, named)
            assert is_safe(found.subject)


@pytest.mark.parametrize("subject", ["$(touch pwned)", "-rf", "a b", "a\nb"])
def test_published_segments_of_such_a_subject_are_an_error(tmp_path, subject):
    (tmp_path / subject).mkdir()
    (tmp_path / subject / "v_0000.npz").touch()
    with pytest.raises(InputError, match="v_0000.npz: rename it: a subject and a video have"):
        layouts.find("features", tmp_path)
    command = ["features-import", "--root", str(tmp_path), "--fps", "30", "--out", "o.h5"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "rename it" in result.stderr


@pytest.mark.parametrize("name", ["..", "-rf", "$(touch pwned)", "a b", "a\nb", "<b>", "\u202ea"])
@pytest.mark.parametrize("of", ["{}/v", "s/{}"])
def test_a_feature_store_with_such_names_is_an_error(tmp_path, name, of):
    path = tmp_path / "f.h5"
    with store.create(path, stage="features", settings={}) as file:
        store.tell(file, missing="{}")
        rows = np.ones((4, 1, 2), np.float32)
        video = feature_store.Feature("s", "v", rows, np.ones(4, bool), 30.0, 40.0, ("a",))
        feature_store.write(file, video)
    with h5py.File(path, "r+") as file:
        group = file["s/v"]
        file[of.format(name)] = group
    for read in (feature_store.load, feature_store.lengths):
        with pytest.raises(
            InputError, match="f.h5: cut off or damaged .*something else than mespot"
        ):
            read(path)


@given(name=FILES, key=st.sampled_from(["datasets", "methods", "regions"]))
def test_a_configuration_has_names_or_is_an_error(default_config, name, key):
    content = dict(default_config)
    if key == "datasets":
        content["datasets"] = {name: {"layout": "videos", "root": "a"}}
    elif key == "methods":
        content["methods"] = content["methods"] | {name: {"base": "mespot"}}
    else:
        sets = content["roi"]["sets"] | {"own": {name: {"landmarks": [30]}}}
        content["roi"] = content["roi"] | {"sets": sets}
    assert isinstance(or_message(load, content), str) or is_safe(name)


def test_a_leading_dash_is_no_option(tmp_path):
    given = ["features", "--mdmo", "-rf.h5", "--subject", "-rf", "--out", str(tmp_path / "o.h5")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code in (1, 2)
    assert "No such option" not in result.stderr
    assert "-rf.h5" in result.stderr or isinstance(result.exception, FileNotFoundError)


# --- rules ---------------------------------------------------------------------------------------------

RULES = "\n".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
# Params that are written out as they are: numbers, and words of which there are few.
PLAIN = {
    "wildcards.policy": r'policy="inner\|oracle"',
    "threads": r"threads: threads_for_a_video",
    "params.fps": r"fps=lambda wildcards: cfg\.datasets\[wildcards\.dataset\]\.fps,",
    "params.layout": r"layout=lambda wildcards: cfg\.datasets\[wildcards\.dataset\]\.layout,",
    "params.index[0]": r"index=ask\(plan\.demo_indices\),",
    "params.index[1]": r"index=ask\(plan\.demo_indices\),",
    "params.frames_per_row": r"frames_per_row=lambda wildcards: cfg\.stage\(\s*\"decode\", wildcards\.dataset\s*\)\.frames_per_row,",
}


def test_what_stands_in_a_command_is_quoted():
    commands = re.findall(r"    shell:\n((?: +(?:#.*|\".*\")\n)+)", RULES + "\n")
    assert len(commands) == len(re.findall(r"^rule ", RULES, re.M))
    params = re.findall(r"    params:\n((?: {8,}.*\n)+)", RULES)
    seen = set()
    for inserted in re.findall(r"\{([^{}]+)\}", "".join(commands)):
        name, _, how = inserted.partition(":")
        if how == "q":
            continue
        assert how == ""
        if name in PLAIN:
            seen.add(name)
            assert re.search(PLAIN[name], RULES), name
            continue
        # Made of flags and quoted values by `flags` or `each`.
        kind, _, name = name.partition(".")
        assert kind == "params"
        made = re.findall(rf"^ +{name}=(.*(?:\n.*)?)", "".join(params), re.M)
        assert made
        for text in made:
            assert re.match(r"(lambda wildcards: )?(flags|each)\(|PROTOCOLS", text.strip()), (
                name,
                text,
            )
    assert seen == PLAIN.keys()


def test_flags_are_quoted():
    text = re.search(r"def flags\(.*?\n\n", RULES, re.S)[0]
    names: dict = {"shlex": shlex}
    exec(text, names)
    assert shlex.split(names["flags"]("--x", HOSTILE)) == [
        word for name in HOSTILE for word in ("--x", name)
    ]


def outside(folder: Path) -> set[str]:
    """All that lies in a folder, but for what Snakemake and a virtual environment keep there."""
    kept = (".snakemake", ".venv", "config.yaml")
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not str(path.relative_to(folder)).startswith(kept)
    }


def test_a_run_on_videos_with_such_names_stays_in_its_folder(tmp_path):
    spotting = Spotting(tmp_path / "work")
    for k, name in enumerate(HOSTILE[:14]):
        (spotting.videos / f"{name} {k}.mp4").write_text("fine")
    for k, name in enumerate(HOSTILE[:3]):
        (spotting.videos / f"{name}{k}").mkdir()
        (spotting.videos / f"{name}{k}" / f"inside {k}.mp4").write_text("fine")
    before = outside(tmp_path / "work")
    done = spotting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    made = outside(tmp_path / "work") - before
    assert all(path.split("/")[0] == "results" for path in made), made
    assert not list(tmp_path.rglob("pwned"))
    assert {path.name for path in tmp_path.iterdir()} == {"work"}
    listed = pd.read_csv(spotting.own / "displacement" / "intervals.csv")
    assert all(map(is_safe, listed["video"]))
    assert listed["video"].nunique() == 14 + 3


def test_the_commands_of_such_folders_name_them_whole(tmp_path):
    """A dry-run of a dataset whose folder, files, and results folder have such names."""
    root = tmp_path / "$(touch pwned) 'a\" `touch pwned`"
    for subject in ("anna", "-b"):
        (root / subject).mkdir(parents=True)
        for k in (1, 2):
            (root / subject / f"$(touch pwned){k}.mp4").write_bytes(b"x")
    annotation = "; touch pwned.csv"
    rows = [f"{video.video},macro,1,5" for video in layouts.find("videos", root)]
    (root / annotation).write_text("\n".join(["video,type,onset,offset", *rows]) + "\n")
    entry = {"layout": "videos", "root": str(root), "annotation": annotation}
    config = {"datasets": datasets() | {"own": entry}, **TINY, "results": "$(touch pwned) 'r"}
    workflow = Workflow(tmp_path / "work", config)
    file = tmp_path / "work" / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    done = workflow.run_with(file, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout + done.stderr
    commands = re.findall(r"mespot [a-z-]+ --.*", done.stdout + done.stderr)
    assert len(commands) > 30
    for command in commands:
        command, _, log = re.sub(r"2>&1 \| tee", "2>", command).partition(" 2> ")
        (where,) = shlex.split(log)
        assert where.startswith("$(touch pwned) 'r/logs/")
        for word in shlex.split(command):
            if "pwned" in word:
                assert word.startswith((str(root), "$(touch pwned) 'r")), word
    assert not list(tmp_path.rglob("pwned"))


# --- pages ---------------------------------------------------------------------------------------------


def test_a_page_shows_names_as_text(tmp_path):
    odd = "<script>alert(1)</script>&\"'"
    row = dict.fromkeys(aggregate.COLUMNS, 1.0) | {"protocol": "strict", "selection": "last"}
    row |= dict.fromkeys(("method", "dataset", "trained_on"), odd)
    pd.DataFrame([row]).to_csv(tmp_path / "summary.csv", index=False)
    out = tmp_path / "report" / "index.html"
    report.report(tmp_path, [], tmp_path / "summary.csv", out, Report())
    page = out.read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3
