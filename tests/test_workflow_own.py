"""make spot: what a run on videos of one's own does, says and ends with.

Real Snakemake; `fake_mespot` stands in for the stages, which test_workflow runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_workflow import PREPARE, ROOT, TINY, Workflow, datasets

DIFFICULT = "it's $HOME {微表情 #1"


class Spotting(Workflow):
    """A folder of videos, a results folder and a configuration, with `mespot` played by the fake."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / ".venv", symlinks=True)
        python = folder / ".venv" / "bin" / "python"
        super().__init__(folder, {"datasets": datasets(), **TINY}, python)
        self.videos = folder / DIFFICULT
        self.videos.mkdir()
        script = python.with_name("mespot")
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/fake_mespot.py" "$@"\n'
        )
        script.chmod(0o755)

    @property
    def own(self) -> Path:
        return self.results / "it_s_HOME_微表情_1"

    def run(
        self, *arguments: str, video: str | None = None, config: dict | None = None, **environment
    ):
        environment = {"MESPOT_VIDEO": video or str(self.videos)} | environment
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
        return super().run(*arguments, config=self.config | (config or {}), **environment)


def table(done: subprocess.CompletedProcess) -> dict[str, str]:
    """The lines of the table at the end, by their first word."""
    lines = done.stdout[done.stdout.index("video  ") :].split("\n\n")[0].splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_a_folder_of_videos_from_its_first_run_to_its_last(tmp_path):
    spotting = Spotting(tmp_path)
    for name, said in {"one $a": "fine", "two }b{": "bad", "三": "covered"}.items():
        (spotting.videos / f"{name}.mp4").write_text(said)
    (spotting.videos / "notes").mkdir()
    (spotting.videos / "notes" / "a.txt").touch()

    # It goes on past a bad video and says so at the end, by name.
    first = spotting.run()
    assert first.returncode == 2, first.stdout + first.stderr
    expected = {
        "video": "macro micro not counted left out",
        "one_a": "2 1 1 0%",
        "三": "2 1 1 50%",
    }
    assert table(first) == expected
    assert "notes is passed over" in first.stdout
    assert first.stderr.endswith("two }b{.mp4: cannot be decoded\n")
    assert first.stderr.splitlines()[-1].startswith("mespot: two_b failed: decode: ")
    assert "Traceback" not in first.stderr

    # A second run does nothing and shows the same.
    again = spotting.run()
    assert set(re.findall(r"^localrule (\w+):", again.stderr, re.M)) == {"all"}
    assert (again.returncode, again.stdout) == (2, first.stdout)
    assert again.stderr.splitlines()[-1] == first.stderr.splitlines()[-1]

    # A mended video, one more and one less.
    (spotting.videos / "two }b{.mp4").write_text("mended")
    (spotting.videos / "new.mov").write_text("fine")
    (spotting.videos / "三.mp4").unlink()
    assert spotting.would_run() == {*PREPARE, "spot", "report_own"}
    done = spotting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    videos = ["new", "one_a", "two_b"]
    assert sorted(table(done)) == [*videos, "video"]
    where = spotting.own
    assert sorted(pd.read_csv(where / "displacement" / "intervals.csv")["video"].unique()) == videos
    assert (where / "report" / "index.html").read_text().split() == videos

    # Videos to watch: one by its name, or all.
    drawn = where / "displacement" / "overlay"
    assert spotting.would_run(None, str(drawn / "new.mp4")) == {"overlay"}
    done = spotting.run(config={"own": {"overlay": True}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stem for path in drawn.glob("*.mp4")} == {*videos}

    # One less and nothing more.
    (spotting.videos / "new.mov").unlink()
    assert spotting.would_run() == {"features", "spot", "report_own"}

    # None left, though there are results.
    for path in spotting.videos.glob("*.mp4"):
        path.unlink()
    done = spotting.run()
    assert done.returncode == 2
    assert "no video and no folder of frames in it; there are: notes" in done.stderr
    assert "Error" not in done.stderr


def test_readmes_command_runs_the_mespot_beside_it(tmp_path):
    """Whatever is on PATH: nothing of the environment, or an older mespot."""
    spotting = Spotting(tmp_path)
    (tmp_path / "a.mp4").write_text("fine")
    snakemake = tmp_path / ".venv" / "bin" / "snakemake"
    snakemake.write_text(f"#!{spotting.python}\nfrom snakemake.cli import main\n\nmain()\n")
    stale = tmp_path / "stale" / "mespot"
    stale.parent.mkdir()
    stale.write_text("#!/bin/sh\nexit 3\n")
    for path in (snakemake, stale):
        path.chmod(0o755)
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"`(\.venv/bin/snakemake .*video=)path/to/video\.mp4`", readme)[1]
    environment = {"PATH": f"{stale.parent}:{os.defpath}", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        f"{command}a.mp4 --snakefile '{ROOT}/Snakefile'",
        shell=True,
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "intervals: results/a/displacement/intervals.csv" in done.stdout


def test_a_single_bad_video_ends_with_what_is_wrong_with_it(tmp_path):
    spotting = Spotting(tmp_path)
    (spotting.videos / "a.mp4").write_text("bad")
    done = spotting.run(video=str(spotting.videos / "a.mp4"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mespot: a failed: decode: ")
    (spotting.videos / "a.mp4").write_text("fine")
    done = spotting.run(video=str(spotting.videos / "a.mp4"))
    assert done.returncode == 0
    assert re.search(r"type +onset_s +apex_s +offset_s +score +regions +remarks\n", done.stdout)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ("nowhere/a.mp4", "nowhere/a.mp4: no such video or folder"),
        ("https://example.org/a.mp4", "https://example.org/a.mp4: download the video first"),
        ("{x}/a.mp4", "a.mp4: a name in braces or <> means something to Snakemake; rename it"),
        ("<results>/a.mp4", "a.mp4: a name in braces or <> means something to Snakemake"),
    ],
)
def test_nothing_to_spot_in_is_one_clear_line(tmp_path, video, message):
    for name in ("{x}", "<results>"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    done = Spotting(tmp_path).run(video=video)
    assert done.returncode == 2
    # Before it Snakemake says which files it reads.
    *before, last = done.stderr.splitlines()
    assert all(line.startswith(("Using workflow", "Config file")) for line in before)
    assert message in last
    assert not (tmp_path / "results").exists()


def test_nothing_is_rendered_or_trained_unless_a_model_is_asked_for(tmp_path):
    spotting = Spotting(tmp_path)
    (spotting.videos / "a.mp4").write_text("fine")
    # What is wrong with a dataset that is not needed is no matter.
    wrong = {"layout": "cas_me_sq", "root": "nowhere", "annotation": "none.xlsx"}
    config = {"datasets": datasets() | {"wrong": wrong}}
    assert spotting.would_run(config) == {*PREPARE, "spot", "report_own"}
    config["own"] = {"method": "mespot", "dataset": "color"}
    rules = {"demo", "demo_annotation", "annotation", "train", "spot_cross"}
    assert spotting.would_run(config) == {*PREPARE, *rules, "report_own"}


def test_each_person_is_a_video_of_its_own(tmp_path, monkeypatch):
    from mespot import align, config, own

    spotting = Spotting(tmp_path)
    (spotting.videos / "duo.mp4").write_text("fine")
    all_of_them = {"own": {"face": "all", "from": 1, "to": 2.5}}
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    cfg = config.load(default | all_of_them | {"video": str(spotting.videos)})
    settings = cfg.stage("align", cfg.own_name)
    monkeypatch.setattr(align, "faces_in", lambda source, settings: 2, raising=False)
    # The workflow finds the number kept and does not count again.
    own.tracks(own.find(cfg.video), settings, spotting.own / "faces.json")
    (tmp_path / "config.yaml").unlink(missing_ok=True)
    done = spotting.run("--dry-run", "--printshellcmds", config=all_of_them | {"align": {}})
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    for person in (1, 2):
        assert re.search(rf'mespot align --decoded \S*duo__{person}\.mkv.*"face": {person}\b', said)
    assert len(re.findall(r'mespot decode .*"from_s": 1\.0, "to_s": 2\.5', said)) == 2


def test_make_hands_the_path_over_as_it_is(tmp_path):
    name = f'a$b $(shell touch made) `x` "q" {DIFFICULT}.mp4'
    (tmp_path / "snakemake").write_text('#!/bin/sh\nprintf %s "$MESPOT_VIDEO" > got\n')
    (tmp_path / "snakemake").chmod(0o755)
    command = ["make", "--file", str(ROOT / "Makefile"), "--old-file", ".venv/ready", "spot"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([*command, f"VIDEO={name}"], check=False, **options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_text() == name
    assert not (tmp_path / "made").exists()
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 2
    assert "make spot VIDEO=path" in done.stdout


def test_a_method_without_training_takes_part_everywhere(tmp_path):
    """Rows in the table of each dataset; no training, no choosing, nothing from one to another."""
    done = Workflow(tmp_path, {"datasets": datasets(), **TINY}).run("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    jobs = [job for job in said.split("\n[") if "run=displacement," in job]
    rules = sorted(re.search(r"^rule (\w+):", job, re.M)[1] for job in jobs)
    assert rules == ["figures", "figures", "score", "score", "spot", "spot"]
    assert len({re.search(r"dataset=(\w+), run", job)[1] for job in jobs}) == 2
    spotted = re.findall(r"mespot spot .*--network displacement .*", said)
    assert len(spotted) == 2
    assert all("--model" not in line and "--lanes" in line for line in spotted)
