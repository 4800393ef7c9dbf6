"""cli: exit codes, failure records, and no heavy import before it is needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mespot import errors
from mespot.cli import app


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
    for path in (decoded, video, h5, points):
        assert errors.failure(path).endswith("none.mp4: no such video file or folder of frames")


def test_real_outputs_are_no_failures(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.png")
    assert errors.failure(tmp_path / "x.png") is None


@pytest.mark.parametrize("module", ["torch", "cv2", "dlib", "matplotlib", "pandas"])
def test_the_command_line_starts_without_heavy_imports(module):
    code = f"import sys, mespot.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
