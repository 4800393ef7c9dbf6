"""What runs again: exactly the right stages, for each key, each module, each kind of change to a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from contract import ROOT, STAGES, Finished, Run, as_text, in_docs, table, would_run

from mespot import rerun
from mespot.errors import InputError
from mespot.why import why

# Nobody asked for a video to watch.
RUN = {*STAGES} - {"overlay"}
# From the first that runs again on, in the order of the stages; `check` stands apart.
TRAINED = ["train", "select", "evaluate", "spot", "score", "aggregate", "figures", "report"]


def after(stage: str) -> set[str]:
    """A preparing stage and all that follows it."""
    order = ["align", "landmarks", "roi", "mdmo", "features", "annotation", *TRAINED]
    return {*order[order.index(stage) :]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("it's (a) [contract] $x"))


def test_the_table_in_the_docs_is_what_runs(finished):
    """Each key; `make contract` writes it anew where the change was meant."""
    assert as_text(table(finished)) == in_docs()


@pytest.fixture
def edited(tmp_path) -> Iterator[Callable[[str, str], Path]]:
    """A copy of the package with something added to one of its modules."""

    def copy(module: str, added: str) -> Path:
        package = tmp_path / module.replace("/", "_") / "mespot"
        shutil.copytree(rerun.PACKAGE, package)
        file = package / module
        file.write_text(file.read_text() + added)
        return package

    return copy


FROM_ROI = after("roi")
OF_MODULES = {
    "demo.py": RUN - {"check"},
    "check.py": {"check"},
    "decode.py": RUN - {"demo", "check"},
    "align.py": RUN - {"demo", "check"},
    "landmarks.py": after("landmarks"),
    "flow.py": FROM_ROI | {"flow"},
    "roi.py": FROM_ROI,
    "mdmo.py": after("mdmo"),
    "features.py": after("features"),
    "annotation.py": {*after("annotation"), "check"},
    "exchange/elan.py": {*after("annotation"), "check"},
    "train.py": set(TRAINED) - {"evaluate"},
    "train_multiscale.py": set(TRAINED) - {"select"},
    "select.py": set(TRAINED) - {"train", "evaluate"},
    "evaluate.py": set(TRAINED) - {"train", "select"},
    "spot.py": set(TRAINED) - {"train", "select", "evaluate"},
    "score.py": set(TRAINED) - {"train", "evaluate"},
    "aggregate.py": {"aggregate", "figures", "report"},
    "figures.py": {"figures", "report"},
    "report.py": {"report"},
    # What several stages import.
    "tvl1/plain.py": FROM_ROI | {"flow"},
    "spotting/network.py": set(TRAINED) - {"train", "evaluate"},
    "spotting/two_stage.py": set(TRAINED) - {"train", "select"},
    "spotting/displacement.py": set(TRAINED) - {"train"},
    "networks/auw_gcn.py": set(TRAINED),
    "frames.py": RUN - {"demo"},
    "faces/dlib.py": RUN - {"check"},
    "stretches.py": RUN - {"demo", "check"},
    "store.py": RUN,
    "overlay.py": set(),
    # No stage's.
    "outcome.py": set(),
    "plan.py": set(),
    "settings.py": set(),
    "exchange/export.py": set(),
    "cli.py": set(),
}


def test_an_edit_runs_the_stages_whose_code_it_is(finished, edited):
    added = dict.fromkeys(OF_MODULES, "\nEDITED = 1\n")
    wanted = [Run(finished.of({}), edited(module, text)) for module, text in added.items()]
    found = [set(stages) for stages in would_run(wanted, finished)]
    assert dict(zip(added, found, strict=True)) == OF_MODULES


def test_a_video_to_watch_is_drawn_again_for_its_own_code_and_what_was_spotted(finished, edited):
    own = finished.own({})
    wanted = [
        Run(own),
        *(Run(own, edited(name, "\nEDITED = 1\n")) for name in ("overlay.py", "spot.py")),
    ]
    found = [set(stages) for stages in would_run(wanted, finished)]
    assert found == [set(), {"overlay", "report"}, {"spot", "report", "overlay"}]


def test_a_comment_runs_nothing(finished, edited):
    modules = ["flow.py", "store.py", "spotting/network.py"]
    wanted = [Run(finished.of({}), edited(module, "\n\n# why\n")) for module in modules]
    assert would_run(wanted, finished) == [{}] * 3


def now(finished: Finished) -> dict[str, list[str]]:
    """What would run of the same configuration."""
    return would_run([Run(finished.of({}))], finished)[0]


@pytest.fixture
def undone(finished) -> Iterator[None]:
    """What a test does to the sources is taken back."""
    kept = finished.folder.with_name("kept")
    shutil.copytree(finished.folder / "mine", kept)
    yield
    shutil.rmtree(finished.folder / "mine")
    kept.rename(finished.folder / "mine")


def of_video(stages: dict[str, list[str]]) -> set[str]:
    """The videos whose preparing stages run."""
    return {line.partition("video=")[2] for line in [*stages["decode"], *stages["mdmo"]]}


PREPARED = RUN - {"demo"}


@pytest.mark.usefixtures("undone")
def test_what_is_touched_or_copied_and_the_same_runs_nothing(finished):
    mine = finished.folder / "mine"
    later = 2_000_000_000
    for source in [*mine.rglob("*.mp4"), *mine.rglob("*.png"), *mine.glob("*.csv"), mine]:
        os.utime(source, (later, later))
    # The empty outputs tell of no source, so that only outputs with their fingerprints tell.
    made_of(finished, "film_anna", "of_ben", "film_ben", "film_cleo", "of_anna", "of_cleo")
    assert now(finished) == {}
    for made in (finished.folder / "results").rglob("mdmo/*.h5"):
        os.utime(made, (later, later))
    assert now(finished) == {}


def made_of(finished: Finished, *videos: str) -> None:
    """Give outputs what a real one says of its source."""
    from mespot import store
    from mespot.fingerprints import fingerprint

    for video in videos:
        kind, person = video.split("_")
        ending = ".mp4" if kind == "film" else ""
        source = finished.folder / "mine" / "videos" / person / f"{video}{ending}"
        out = finished.folder / "results" / "mine" / "align" / f"{video}.h5"
        times = (out.stat().st_atime_ns, out.stat().st_mtime_ns)
        with store.create(out, stage="align", settings={}, source=fingerprint(source)):
            pass
        os.utime(out, ns=times)


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("seconds", [-100_000, 100_000])
def test_another_video_in_its_place_runs_its_stages(finished, seconds):
    """Newer or older than what was there."""
    film = finished.folder / "mine" / "videos" / "anna" / "film_anna.mp4"
    time = film.stat().st_mtime + seconds
    film.write_bytes(b"b film" * 1000)
    os.utime(film, (time, time))
    stages = now(finished)
    assert set(stages) == PREPARED
    assert of_video(stages) == {"film_anna"}


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("seconds", [-100_000, 100_000])
def test_a_frame_written_anew_runs_its_folders_stages(finished, seconds):
    frame = finished.folder / "mine" / "videos" / "ben" / "of_ben" / "2.png"
    folder = frame.parent.stat()
    time = frame.stat().st_mtime + seconds
    frame.write_bytes(b"Frame")
    os.utime(frame, (time, time))
    os.utime(frame.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))
    stages = now(finished)
    assert set(stages) == PREPARED
    assert of_video(stages) == {"of_ben"}


@pytest.mark.usefixtures("undone")
def test_an_older_annotation_in_its_place_runs_what_follows_it(finished):
    file = finished.folder / "mine" / "a.csv"
    time = file.stat().st_mtime - 100_000
    file.write_text(file.read_text().replace("10,30", "11,30"))
    os.utime(file, (time, time))
    assert set(now(finished)) == {"check", *after("annotation")}


@pytest.mark.usefixtures("undone")
def test_a_subject_added_is_prepared_and_trains_every_fold_anew(finished):
    anna = finished.folder / "mine" / "videos" / "anna"
    dora = anna.with_name("dora")
    dora.mkdir()
    shutil.copy(anna / "film_anna.mp4", dora / "film_dora.mp4")
    stages = now(finished)
    assert set(stages) == PREPARED
    assert of_video(stages) == {"film_dora"}
    folds = [line for line in stages["train"] if "dataset=mine, run=mespot, fold=" in line]
    assert {"anna", "ben", "cleo", "dora", "all"} <= {line.rpartition("=")[2] for line in folds}
    assert not [line for line in stages["train"] if "dataset=color" in line]
    # Nothing that stands was taken away by looking.
    shutil.rmtree(dora)
    assert now(finished) == {}


def test_why_says_each_stages_own_reason_on_one_screen(finished):
    def said(config: dict) -> tuple[str, list[str]]:
        file = finished.folder / "why.yaml"
        file.write_text(yaml.safe_dump(config))
        where = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(finished.folder)]
        head, *lines = why([*where, "--configfile", str(file)]).splitlines()
        return head, [" ".join(line.split()) for line in lines]

    assert said(finished.of({})) == (
        "Nothing would run: every result is there, and what it was made of is unchanged.",
        [],
    )
    # The flow's own reason, though align's would do; and nothing of the stages before.
    head, lines = said(finished.of({"align.margin": 0.31, "flow.sets.published.tau": 0.2}))
    assert head.endswith("jobs would run.")
    assert lines[:4] == [
        "decode 12 of 12 align.margin: 0.25 -> 0.31",
        "align 12 of 12 margin: 0.25 -> 0.31",
        "landmarks 12 of 12 what it reads is made again",
        "flow 12 of 12 sets.published.tau: 0.25 -> 0.2",
    ]
    assert len(lines) < 24
    _, lines = said(finished.of({"demo.subjects": 4}))
    # Two videos, whose folders are new, and both spreadsheets.
    assert lines[:2] == ["demo 4 of 10 subjects: 3 -> 4: color, grey", "not made yet: color, grey"]
    assert "decode 2 of 14 not made yet" in lines
    with pytest.raises(InputError, match=r"why.yaml: line \d+: flow.nonsense: unknown key"):
        said(finished.of({"flow.nonsense": 1}))


def test_another_version_of_a_library_runs_nothing(finished, tmp_path, monkeypatch):
    """`mespot info` says it (test_info)."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as m\nreal = m.version\n"
        "m.version = lambda name: '99.9' if name == 'numpy' else real(name)\n"
    )
    assert now(finished) == {}
