"""The environment that make keeps, and what is right before Snakemake begins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mespot import start

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout with an environment, as far as make looks at them."""
    folder = tmp_path / "my checkout"
    (folder / "envs").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("envs/requirements.txt", "pyproject.toml"):
        (folder / name).touch()
    venv.create(folder / ".venv", symlinks=True)
    (folder / ".venv" / "ready").touch()
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = ["make", "-C", str(folder), *arguments]
    environment = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def changed(checkout: Path) -> None:
    later = (checkout / ".venv" / "ready").stat().st_mtime + 10
    os.utime(checkout / "envs" / "requirements.txt", (later, later))


def another_python(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (checkout / ".venv" / "bin" / "python").chmod(0o755)


def linked(checkout: Path) -> None:
    (checkout / ".venv").rename(checkout.parent / ".venv")
    venv.create(checkout.parent / ".venv", symlinks=True)
    (checkout / ".venv").symlink_to(checkout.parent / ".venv")


@pytest.mark.parametrize(
    ("done", "made_again", "installed"),
    [
        (lambda checkout: None, False, False),
        (linked, False, False),
        (changed, False, True),
        (lambda checkout: shutil.rmtree(checkout / ".venv"), True, True),
        (lambda checkout: (checkout / ".venv" / "ready").unlink(), True, True),
        (lambda checkout: (checkout / ".venv" / "bin" / "python").unlink(), True, True),
        (another_python, True, True),
        (lambda checkout: checkout.rename(checkout.parent / "renamed"), True, True),
    ],
)
def test_an_environment_that_does_not_fit_is_made_again(checkout, done, made_again, installed):
    done(checkout)
    folder = checkout if checkout.exists() else checkout.parent / "renamed"
    said = make(folder, "--dry-run", ".venv/ready")
    assert said.returncode == 0, said.stderr
    assert ("-m venv --clear .venv" in said.stdout) == made_again
    assert ("uv pip sync" in said.stdout) == installed


def test_a_python_that_does_not_do_is_named(tmp_path, checkout):
    shutil.rmtree(checkout / ".venv")
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\ntest "$1" = -V && echo Python 3.10.13\n')
    old.chmod(0o755)
    done = make(checkout, ".venv/ready", PATH=f"{old.parent}:{os.environ['PATH']}")
    assert done.returncode == 2
    said = "mespot needs Python 3.11, 3.12 or 3.13, and python3 is Python 3.10.13: make PYTHON=python3.12"
    assert done.stderr.startswith(said)
    assert not (checkout / ".venv").exists()
    done = make(checkout, ".venv/ready", "PYTHON=python3.99")
    assert "and python3.99 is" in done.stderr
    # The environment's own is not the one that is asked for.
    venv.create(checkout / ".venv", symlinks=True)
    done = make(checkout, ".venv/ready", PATH=f"{old.parent}:{os.environ['PATH']}")
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("home", ["/dev/null", ""])
def test_without_a_home_folder_caches_lie_beside_the_runs_notes(checkout, monkeypatch, home):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    show = "--eval=show: ; @echo $(XDG_CACHE_HOME)"
    assert make(checkout, show, "show", HOME=str(checkout)).stdout.splitlines()[-2] == ""
    said = make(checkout, "--no-print-directory", show, "show", HOME=home).stdout
    assert said.strip() == f"{checkout}/.snakemake/cache"


def test_snakemake_and_its_jobs_get_a_place_for_caches(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    start.begin(["--cores", "2", "-d", str(tmp_path / "work")])
    assert os.environ["XDG_CACHE_HOME"] == ""
    monkeypatch.setenv("HOME", "/dev/null")
    start.begin(["--cores", "2", "-d", str(tmp_path / "work")])
    assert Path(os.environ["XDG_CACHE_HOME"]) == tmp_path / "work" / ".snakemake" / "cache"
    assert Path(os.environ["MPLCONFIGDIR"]).is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-n", "--configfile", "good.yaml", "bad.yaml", "--config", "video=x"],
            "bad.yaml: line 1",
        ),
        (["--configfiles=bad.yaml", "--cores", "1"], "bad.yaml: line 1"),
        (
            ["--directory", "good.yaml/x"],
            "good.yaml/x: cannot be written (Not a directory); run in a",
        ),
        (["--config", "bad.yaml", "--directory=."], None),
    ],
)
def test_what_snakemake_would_say_badly_is_said_before(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("flow: {}\n")
    Path("bad.yaml").write_text("\tflow: {}\n")
    if message is None:
        start.begin(arguments)
        return
    with pytest.raises(SystemExit) as error:
        start.begin(arguments)
    assert error.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("visible", "arguments", "limit"),
    [
        ("0,1", ["--executor", "local"], 2),
        # Without a GPU no limit: a limit of 1 would run flow on the CPU for one video at a time.
        ("", ["--cores", "64"], None),
        # Those of the login node say nothing of a cluster's.
        ("0", ["--executor", "slurm"], None),
        ("0", ["--profile", "profiles/slurm"], None),
    ],
)
def test_gpu_jobs_share_the_gpus_of_the_machine(monkeypatch, visible, arguments, limit):
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert start.gpu_limit(arguments) == limit


@pytest.mark.parametrize(
    ("visible", "arguments", "gpu", "executor"),
    [
        ("0,1", [], 2, None),
        ("", [], None, None),
        ("0,1", ["--resources", "gpu=5"], 5, None),
        ("0,1", ["--profile", "profiles/slurm"], 1, "slurm"),
    ],
)
def test_profiles_limit_gpus_each_in_its_way(monkeypatch, visible, arguments, gpu, executor):
    """As Snakemake reads them: on one machine all jobs share them, on a cluster each job has one."""
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    shown = "from snakemake.cli import parse_args; _, given = parse_args(None);"
    shown += "print(given.executor, getattr(given.resources.get('gpu'), 'value', None), given.set_resource_scopes)"
    done = subprocess.run(
        [sys.executable, "-c", shown, "--dry-run", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": visible},
        check=True,
    )
    assert done.stdout.split()[:2] == [str(executor), str(gpu)]
    assert "{'gpu': 'local'}" in done.stdout
