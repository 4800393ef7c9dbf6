"""info: what made each output of the stages, told from the output alone, and what is not the same now."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import chdir
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import COMMANDS, prepare
from test_cli import run

from mespot import errors, info, provenance, rerun, store
from mespot.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder in which every stage has run on tiny inputs."""
    folder = tmp_path_factory.mktemp("made")
    prepare(folder)
    with chdir(folder):
        for words in COMMANDS:
            done = run(*words)
            assert done.exit_code == 0, (words, done.output, done.exception)
    return folder


@pytest.fixture
def copy(made, tmp_path, monkeypatch) -> Path:
    """The same, to be changed; the current folder."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def command(output: str) -> list[str]:
    """The words that made an output."""
    return next(words for words in COMMANDS if output in words)


def test_every_output_names_its_command_and_all_is_the_same_now(made):
    outputs = [
        *("demo/face", "demo/face/img001.jpg", "demo/face.npz", "demo/annotation.xlsx"),
        *("decode/face.mkv", "align/face.mkv", "align/face.h5", "landmarks/face.h5"),
        *("flow/face.h5", "roi/face.h5", "mdmo/face.h5", "features.h5", "check.csv"),
        *("d/annotation.csv", "d/as_given.csv", "d/audit.csv", "d/net/0/model.pt"),
        *("d/net/0/epochs.pt", "d/net/0/history.csv", "d/net/selection.csv", "d/net/curves.h5"),
        *(
            "own/rule/intervals.csv",
            "own/rule/not_counted.csv",
            "own/rule/lanes.csv",
            "own/rule/curves.h5",
        ),
        *(
            "curves.csv",
            "d/rule/score.json",
            "d/rule/subjects.csv",
            "summary.csv",
            "report/index.html",
        ),
        *("report/videos", "report/videos/d_v0.js", "own/report/videos"),
        *("published", "exported.pt", "elan", "own/overlay/face.mp4"),
        *(
            "report/figures/d/rule",
            "report/figures/d/rule/durations.svg",
            "report/figures/table1.tex",
        ),
    ]
    of = {
        "demo/face/img001.jpg": "demo/face",
        "report/figures/d/rule/durations.svg": "report/figures/d/rule",
        "report/videos": "report/index.html",
        "report/videos/d_v0.js": "report/index.html",
        "own/report/videos": "own/report/index.html",
    }
    with chdir(made):
        for output in outputs:
            words = command(of.get(output, output))
            said = info.described(Path(output)).splitlines()
            assert said[0] == output
            assert said[1].split() == ["stage", words[0]]
            assert not re.search("then, .* now|changed since|no longer", "\n".join(said)), said
            assert max(map(len, said)) < 80
            assert len(said) < 30, "one screen"


def test_a_record_holds_the_settings_complete_the_inputs_and_the_source(made):
    mdmo = info.record(made / "mdmo" / "face.h5")
    assert mdmo["settings"] == {"mdmo": {"roi_share": 0.6, "nose_share": 0.88, "max_gap": 0.2}}
    assert list(mdmo["inputs"]) == ["../roi/face.h5", "../align/face.h5"]
    assert mdmo["code"] == rerun.digest("mdmo")
    assert mdmo["versions"]["torch"] == torch.__version__.partition("+")[0]
    with store.read(made / "mdmo" / "face.h5") as file:
        assert mdmo["source"] == store.attribute(file, "source")
    spotted = info.record(made / "own" / "rule" / "intervals.csv")
    assert set(spotted["settings"]) == {"displacement", "lanes"}
    assert spotted["code"] == rerun.digest("spot", "spotting.displacement")
    assert list(spotted["inputs"]) == ["../../features.h5"]
    with store.read(made / "features.h5") as file:
        assert spotted["source"] == store.attribute(file, "source")
    train = info.record(made / "d" / "net" / "0" / "model.pt")
    assert train["options"] == {"left_out": ["s0"], "network": "auw_gcn"}
    assert train["settings"]["train"]["epochs"] == 2
    demo = info.record(made / "demo" / "face")["settings"]["demo"]
    assert demo["size"] == [176, 176]
    assert not {"subjects", "videos"} & demo.keys(), "one video's frames do not depend on them"
    align = info.record(made / "align" / "face.mkv")
    assert align["code"] == rerun.digest("align", "faces.dlib")
    assert align["source"] == info.record(made / "decode" / "face.mkv")["source"] == mdmo["source"]
    assert info.record(made / "report" / "videos")["inputs"].keys() == {"../summary.csv"}


def test_videos_stores_and_models_have_no_file_beside_them(made):
    """20,000 videos have no 20,000 files more."""
    for stage in ("decode", "align", "landmarks", "flow", "roi", "mdmo"):
        assert not (made / stage / ".made").exists()
    assert {path.name for path in (made / "d" / "net" / "0" / ".made").iterdir()} == {
        "history.csv.json"
    }


def test_the_same_elsewhere_on_more_threads_is_the_same_to_the_byte(copy, made):
    """Tables, records, models; a folder of another depth."""
    for output in (
        "flow/face.h5",
        "d/annotation.csv",
        "d/net/1/model.pt",
        "own/rule/intervals.csv",
    ):
        words = command(output)
        words = [*words, "--threads", "2"] if words[0] == "flow" else words
        assert run(*words).exit_code == 0
    files = [path for path in copy.rglob("*") if path.is_file() and path.suffix != ".h5"]
    assert len(files) > 100
    for path in files:
        assert path.read_bytes() == (made / path.relative_to(copy)).read_bytes(), path
    assert info.record(copy / "flow" / "face.h5") == info.record(made / "flow" / "face.h5")


def test_a_published_checkpoint_holds_nothing_more(made):
    content = torch.load(made / "exported.pt", weights_only=True)
    assert set(content) == {"epoch", "state_dict"}


def test_inputs_are_told_that_changed_or_are_gone(copy):
    mdmo = command("mdmo/face.h5")
    assert run(*mdmo).exit_code == 0
    assert "the same now: mdmo/face.h5" in info.described(Path("features.h5"))
    assert run(*mdmo, "--settings", '{"roi_share": 0.5}').exit_code == 0
    assert "changed since: mdmo/face.h5" in info.described(Path("features.h5"))
    Path("mdmo/face.h5").unlink()
    assert "no longer there: mdmo/face.h5" in info.described(Path("features.h5"))
    with open("planted.csv", "a") as file:
        file.write("\n")
    said = info.described(Path("d/annotation.csv"))
    assert re.search("changed since: planted.csv$", said, re.M)
    assert re.search("the same now: d/features.h5$", said, re.M)


def test_versions_and_code_are_told_that_are_others_now(copy, monkeypatch):
    package = copy / "package"
    shutil.copytree(rerun.PACKAGE, package)
    monkeypatch.setattr(rerun, "PACKAGE", package)
    now = provenance.versions() | {"torch": "99.1"}
    monkeypatch.setattr(provenance, "versions", lambda: now)
    for edit, verdict in (("# a comment\n", "the same now"), ("X = 1\n", "changed since")):
        (package / "mdmo.py").write_text((package / "mdmo.py").read_text() + edit)
        rerun.forget()
        said = info.described(Path("mdmo/face.h5"))
        assert re.search(rf"^code +\w+, {verdict}$", said, re.M)
        assert "the same now" in re.search("^code.*", info.described(Path("roi/face.h5")), re.M)[0]
    was = torch.__version__.partition("+")[0]
    assert f"torch {was} then, 99.1 now" in said
    rerun.forget()


def test_a_network_of_ones_own_is_code(copy):
    Path("net.py").write_text(
        "from mespot.networks.auw_gcn import AUWGCN\nclass Net(AUWGCN): pass\n"
    )
    words = [*command("d/net/0/model.pt"), "--network", "net.py:Net"]
    assert run(*words).exit_code == 0
    assert re.search(
        r"^code +\w+ \w+, the same now$", info.described(Path("d/net/0/model.pt")), re.M
    )
    Path("net.py").write_text(Path("net.py").read_text() + "X = 1\n")
    assert "changed since" in info.described(Path("d/net/0/model.pt"))
    Path("net.py").unlink()
    assert "changed since" in info.described(Path("d/net/0/model.pt"))


def test_what_mespot_did_not_make_is_one_line(copy):
    with open("d/rule/score.json", "a") as file:
        file.write(" ")
    Path("report/videos/another.png").write_bytes(b"")
    shutil.move("summary.csv", "moved.csv")
    Path("cut.h5").write_bytes(Path("features.h5").read_bytes()[:2000])
    Path("summary.csv.json").write_text("{}")
    for path, message in {
        "d/rule/score.json": "not as mespot wrote it",
        "report/videos/d_v0.js": "report/videos: not as mespot wrote it",
        "moved.csv": "nothing in it or beside it",
        "cut.h5": "nothing in it or beside it",
        "planted.csv": "nothing in it or beside it",
        "summary.csv": "no such file",
    }.items():
        done = run("info", path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert path.rpartition("/")[0] in done.stderr


def test_a_failure_record_is_told_as_such(tmp_path):
    errors.write_failure("decode: x.mp4: cut off", [tmp_path / "x.mkv"])
    done = run("info", tmp_path / "x.mkv")
    assert done.exit_code == 0
    assert re.search("no output but why there is none: decode: x.mp4: cut off\n", done.stdout)
    assert json.loads(run("info", "--json", tmp_path / "x.mkv").stdout) == {
        "failed": "decode: x.mp4: cut off"
    }


def test_json_is_the_record(made):
    for path in (made / "mdmo" / "face.h5", made / "d" / "rule" / "score.json"):
        said = json.loads(run("info", "--json", path).stdout)
        assert said == info.record(path)
        assert {"stage", "settings", "options", "code", "versions", "inputs", "source"} <= set(said)


def test_a_stage_that_is_called_from_python_tells_what_is_known(tmp_path):
    with store.create(tmp_path / "a.h5", stage="mdmo", settings={"max_gap": 1}, source="s"):
        pass
    record = info.record(tmp_path / "a.h5")
    assert record["settings"] == {"mdmo": {"max_gap": 1}}
    assert (record["code"], record["inputs"]) == (rerun.digest("mdmo"), {})


def test_many_inputs_are_known_together(tmp_path):
    """20,000 videos would make a record of a megabyte."""
    inputs = [tmp_path / "mdmo" / f"{k:05}.h5" for k in range(3000)]
    (tmp_path / "mdmo").mkdir()
    inputs[7].write_text("x")
    with provenance.job("features", inputs, {"subject": [f"anna_{k}" for k in range(9000)]}):
        with store.create(tmp_path / "f.h5", stage="features", settings={}):
            pass
        before = info.record(tmp_path / "f.h5")["inputs"]
    said = info.described(tmp_path / "f.h5")
    assert "not compared: 3000 files, mdmo/00000.h5 to mdmo/02999.h5" in said
    assert "subject 9000 values, anna_0 to anna_8999" in said
    inputs[7].write_text("y")
    with provenance.job("features", inputs, {}) as job:
        assert job.record(tmp_path / "f.h5")["inputs"] != before


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"inputs": 3, "source": ""}', "[" * 9000, b"\xff", 7, np.arange(4)]
)
def test_an_input_with_a_false_record_is_a_file_like_any_other(copy, content):
    """A job does not stop at what only tells."""
    with h5py.File("planted.h5", "r+") as file:
        file.attrs["made"] = content
    assert run(*command("d/features.h5")).exit_code == 0
    assert "the same now: planted.h5" in info.described(Path("d/features.h5"))
    assert run("info", "planted.h5").exit_code == 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("/" * 9000),
    lambda inner: st.lists(inner),
)
records = st.fixed_dictionaries(
    {
        "stage": st.text() | st.sampled_from(["mdmo", "spot", "train"]),
        "settings": st.dictionaries(st.text(), st.dictionaries(st.text(), values)),
        "options": st.dictionaries(st.sampled_from(["network", "x"]), values),
        "code": st.text(),
        "versions": st.dictionaries(st.text(), st.text()),
        "inputs": st.dictionaries(st.text() | st.just("x" * 9000), st.none() | st.text()),
        "source": st.none() | st.text(),
    }
)


@given(records | st.dictionaries(st.text(), values) | values | st.binary())
def test_any_record_is_told_or_refused(tmp_path_factory, content):
    """And does nothing to the terminal."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.csv").write_text("a")
    (folder / ".made").mkdir()
    place = folder / ".made" / "a.csv.json"
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        kept = {"made": content, "file": provenance.fingerprint(folder / "a.csv")}
        place.write_text(json.dumps(kept))
    try:
        said = info.described(folder / "a.csv")
    except InputError:
        return
    assert all(line.isprintable() for line in said.split("\n"))
