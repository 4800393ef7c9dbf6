"""cli: exit codes, failure records, and no heavy import before it is needed."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
from PIL import Image
from typer.testing import CliRunner

from mespot import errors
from mespot.cli import app
from mespot.feature_store import Feature, write


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_input_error_is_one_message_and_exit_code_2(tmp_path):
    result = run("decode", "--source", tmp_path / "none.mp4", "--out", tmp_path / "o.mkv")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "none.mp4: no such video" in result.stderr


def test_wrong_settings_are_named(tmp_path):
    (tmp_path / "a.mkv").touch()
    arguments = ("flow", "--aligned", tmp_path / "a.mkv", "--out", tmp_path / "o.h5")
    for settings, message in (('{"tua": 1}', "tua: unknown key"), ("{", "Invalid JSON")):
        result = run(*arguments, "--settings", settings)
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_bug_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("mespot.decode.decode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, ["decode", "--source", "x", "--out", "y"], catch_exceptions=False)


def test_failure_is_written_and_passed_on_under_keep_going(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_KEEP_GOING", "1")
    decoded, video, h5, points = (tmp_path / name for name in ("d.mkv", "a.mkv", "a.h5", "l.h5"))
    assert run("decode", "--source", tmp_path / "none.mp4", "--out", decoded).exit_code == 0
    assert run("align", "--decoded", decoded, "--out-video", video, "--out", h5).exit_code == 0
    assert run("landmarks", "--aligned", video, "--align", h5, "--out", points).exit_code == 0
    films, others = tmp_path / "o.mp4", ("flow", "features", "intervals", "curves")
    given = [word for name in others for word in (f"--{name}", tmp_path / name)]
    given += ["--source", tmp_path / "none.mp4", "--align", h5, "--landmarks", points]
    assert run("overlay", *given, "--video", "none", "--out", films).exit_code == 0
    for path in (decoded, video, h5, points, films):
        assert errors.failure(path).endswith("none.mp4: no such video file or folder of frames")


def test_real_outputs_are_no_failures(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.png")
    assert errors.failure(tmp_path / "x.png") is None


HEAVY = {"torch", "pandas", "matplotlib", "snakemake", "cv2", "dlib"}
AFTERWARDS = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules)); "


def loaded(code: str) -> set[str]:
    """The packages that a process has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_help_imports_nothing_that_computes():
    """Nor rich, nor what checks settings: a job is mostly its start."""
    code = """import mespot.cli
from typer.testing import CliRunner
for command in mespot.cli.app.registered_commands:
    done = CliRunner().invoke(mespot.cli.app, [command.name, "--help"])
    assert "Usage" in done.output and done.exit_code == 0, done.output"""
    slow = HEAVY | {"numpy", "h5py", "rich.console", "mespot.settings"}
    assert not slow & loaded(code)


def test_stages_import_what_they_need_alone(tmp_path, monkeypatch):
    """No torch above all: its import takes longer than most stages."""
    needs = {
        "demo demo-annotation": "pandas cv2 dlib",
        "decode align landmarks": "cv2 dlib",
        "flow roi features features-join": "",
        "mdmo": "cv2",
        "check annotation annotation-join features-export": "pandas",
        "spot curves intervals-export score aggregate figures-table report": "pandas",
        "figures": "pandas matplotlib",
        "overlay": "pandas cv2 dlib",
    }
    needs = {
        stage: set(loads.split()) for stages, loads in needs.items() for stage in stages.split()
    }
    small.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    ran = [words for words in small.COMMANDS if words[0] in needs and "auw_gcn" not in words]
    assert {words[0] for words in ran} == needs.keys()
    for words in ran:
        code = f"import sys, mespot.cli; sys.argv[1:] = {words}; mespot.cli.app()"
        assert HEAVY & loaded(code) == needs[words[0]], words


H5PY = "Can't close file (file write failed: filename = 'x', errno = 28, error message = '...', buf"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "", "a.h5"), "a.h5: No space left on device; free some space"),
        (OSError(errno.EROFS, "", "r/a.h5"), "r/a.h5: Read-only file system; write elsewhere"),
        (PermissionError(errno.EACCES, "", "a"), "a: Permission denied; give yourself the right"),
        (OSError(errno.ENAMETOOLONG, "", "a" * 300), "File name too long; give .* a shorter name"),
        (OSError(H5PY), "out.h5: No space left on device"),
        (OSError(errno.ENOSPC, "", "x/.mespot-123.mkv"), "out.h5: No space left"),
        (RuntimeError(H5PY), "out.h5: No space left on device"),
        (RuntimeError("write: Disk quota exceeded"), "out.h5: Disk quota exceeded; free some of"),
        (RuntimeError("[enforce fail at inline_container.cc:672]"), "out.h5: could not be written"),
        (MemoryError(), "out.h5: Cannot allocate memory; run fewer jobs at once"),
        (RuntimeError("another"), None),
        (FileNotFoundError(errno.ENOENT, "", "a"), None),
    ],
)
def test_what_the_computer_refuses_is_one_line(error, message):
    said = errors.refusal(error, Path("out.h5"))
    assert (
        (said is None)
        if message is None
        else re.match(message, said.removeprefix("a" * 300 + ": "))
    )


@pytest.mark.parametrize("keep_going", ["0", "1"])
def test_a_full_disk_is_no_fault_of_the_video(tmp_path, keep_going):
    """A limit on the size of files stands in; without os._exit HDF5 crashes when the command ends."""
    from mespot import store

    with store.create(
        tmp_path / "in.h5", stage="x", settings={}, units="", fps=30, source=""
    ) as file:
        store.tell(file, missing="{}")
        write(
            file,
            Feature("a", "b", np.ones((9, 1, 2), np.float32), np.ones(9, bool), 30, 60, ("c",)),
        )
    for y in (1, 2):
        Image.effect_noise((256, 256), 60).save(tmp_path / f"{y}.png")
    for flag, stage, ending in (
        ("--features", "features-join", "h5"),
        ("--source", "decode", "mkv"),
    ):
        given = tmp_path / "in.h5" if ending == "h5" else tmp_path
        out = tmp_path / f"out.{ending}"
        code = f"import sys; sys.argv[1:] = [{stage!r}, {flag!r}, {str(given)!r}, '--out', {str(out)!r}]\n"
        code += "import resource as r, mespot.cli; r.setrlimit(r.RLIMIT_FSIZE, (2048, 2048)); mespot.cli.app()"
        environment = os.environ | {"MESPOT_KEEP_GOING": keep_going}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        *_, last = done.stderr.splitlines()
        assert re.match(f"mespot {stage}: .*out.*{ending}: File too large; write where", last)
        assert not out.exists()
