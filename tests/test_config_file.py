"""config_file: files as people save them; a Config, or one line with the place and what to do."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mespot import config, config_file
from mespot.errors import InputError

ROOT = Path(__file__).parents[1]
GOOD = """datasets:
  mine:
    layout: videos
    root: /data
    annotation: a.csv
    fps: 25
"""


def saved(folder: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GOOD, "utf-8"),
        (GOOD, "utf-8-sig"),
        (GOOD.replace("\n", "\r\n"), "utf-8"),
        (f"# 我的\n{GOOD}", "utf-8"),
        (json.dumps(yaml.safe_load(GOOD)), "utf-8"),
        (GOOD.replace("fps: 25", "<<: {fps: 25}"), "utf-8"),
        (GOOD + "video: nowhere.mp4\n", "utf-8"),
    ],
)
def test_what_can_be_read_is_laid_over_config_yaml(tmp_path, text, encoding):
    loaded = config.load_file(saved(tmp_path, text, encoding))
    assert list(loaded.datasets) == ["mine"]
    assert loaded.stage("decode", "mine").fps == 25
    assert loaded.run_on("published") == []


def test_config_yaml_itself_is_read():
    assert list(config.load_file(ROOT / "config.yaml").datasets) == ["demo_color", "demo_grey"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("25", "025"), "line 6, column 10: 025 begins with 0; leave that out"),
        (f"# 我的数据\n{GOOD}".encode("gbk"), "line 1: not UTF-8 .*; save it as UTF-8"),
        (GOOD.replace("a.csv", "é.csv").encode("latin-1"), "line 5: not UTF-8"),
        (codecs.BOM_UTF16_LE + GOOD.encode("utf-16-le"), "UTF-16 text; save it as UTF-8"),
        (GOOD.encode("utf-16-be"), "UTF-16 text; save it as UTF-8"),
        (GOOD.replace("    fps", "\tfps"), "line 6, column 1: a tab; write spaces"),
        (GOOD.replace("    fps", "\u00a0   fps"), "line 6: indented by an odd space"),
        (GOOD.replace("    fps", "\u3000   fps"), "line 6: indented by an odd space"),
        (GOOD.replace("/data", r'"C:\data"'), "line 4, column 15: in double quotes a backslash"),
        (
            GOOD.replace("/data", r'"C:\Users\me"'),
            "line 4, column 1.: in double quotes a backslash",
        ),
        (GOOD.replace("/data", r'"D:\xyz"'), "line 4, column 1.: in double quotes a backslash"),
        (GOOD.replace("/data", "a: b"), "line 4, column 12: a second colon"),
        (GOOD.replace("fps: 25", "fps:25"), "line 6, column 5: `key: value` was expected"),
        (GOOD.replace("fps: 25", "fps：25"), "line 6, column 5: `key: value` was expected"),
        (GOOD.replace("a.csv", "'a.csv"), "line 5, column 17: a quote that is not closed"),
        (GOOD.replace("a.csv", "*.csv"), "line 5, column 1.: a value that begins with \\*"),
        (GOOD.replace("a.csv", "@a.csv"), "line 5, column 17: a value that begins with @"),
        (GOOD.replace("a.csv", "[a"), "line 5, column 17: a bracket or brace"),
        (GOOD.replace("    fps", "   fps"), "line 6, column 4: indented otherwise"),
        (GOOD + "---\na: 1\n", "line 7, column 1: a line of ---"),
        (GOOD + "# \f\n", "line 7: the control character U\\+000C"),
        (GOOD + "flow: {}\ndatasets: {}\n", "line 8, column 1: 'datasets' is in line 1 already"),
        (GOOD + "    fps: 30\n", "line 7, column 5: 'fps' is in line 6 already"),
        (GOOD.replace("mine", "007"), "line 2, column 3: 007 is read as 7; put it in quotes"),
        (GOOD.replace("mine", "on"), "line 2, column 3: on is read as True; put it in quotes"),
        (GOOD.replace("mine", "1.10"), "line 2, column 3: 1.10 is read as 1.1; put it"),
        (GOOD.replace("mine", "2024-05-01"), "line 2, column 3: 2024-05-01 is read as"),
        (GOOD.replace("a.csv", "2024-99-01"), "put a date in quotes"),
        ("", "nothing in it"),
        ("# nothing\n", "nothing in it"),
        ("- a\n", "a list in it"),
        ("hello\n", "no key in it"),
        (GOOD.replace("layout: videos", "layout: video"), "line 3: datasets.mine.layout: Input sh"),
        (
            GOOD.replace("annotation", "annotations"),
            "line 5: datasets.mine.annotations: unknown key",
        ),
        (GOOD.replace("mine", "my data"), "line 2: datasets.my data: a name has letters"),
        (GOOD.replace("    root: /data\n", ""), "line 2: datasets.mine: root: the folder"),
        (GOOD + "methods:\n", "line 7: methods: keys of its own"),
        (GOOD + "report: {headline: none}\n", "mine.yaml: report.headline 'none' is not in"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, text, message):
    path = saved(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        config.load_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("made", [Path.mkdir, lambda path: None])
def test_no_file_is_one_line(tmp_path, made):
    made(tmp_path / "x.yaml")
    with pytest.raises(InputError, match=r"x\.yaml: (Is a directory|No such file)"):
        config_file.read(tmp_path / "x.yaml")


def test_where_a_key_stands_is_told_by_the_file_laid_last(tmp_path):
    (tmp_path / "over.yaml").write_text("flow: {set: micro}\n")
    files = [tmp_path / "over.yaml", saved(tmp_path, GOOD + "flow:\n  set: x\nalign: {}\n")]
    assert config_file.place(files, ("flow", "set")) == f"{files[0]}: line 1: "
    assert config_file.place(files, ("flow", "backend")) == f"{files[0]}: line 1: "
    assert config_file.place(files, ("align", "size")) == f"{files[1]}: line 9: "
    assert config_file.place(files, ()) == f"{files[0]}: "
    assert config_file.place([], ("flow",)) == "config: "


PIECES = ["a", "b:", ": ", "- ", "\t", "\n", "  ", "{", "]", "'", '"', "\\", "*", "&x", "#", "微", "\x0c", "%", "!t ", "<<: ", "? ", "1"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(["utf-8", "utf-16", "gbk"]))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text, encoding):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode(encoding))
    try:
        config.load_file(path)
    except InputError as error:
        said = str(error).splitlines()
        assert said[0].startswith(str(path)), said
        assert all(line.startswith(f"  {path}") for line in said[1:]), said
