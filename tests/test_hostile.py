"""Hostile files: whatever is in one, reading it gives a result or an InputError that names it.

Never another traceback, an endless loop, or more memory than the file can account for. FUZZ=20 in the
environment tries twenty times as many, and others each time.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import blosc2
import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import state
from planted import planted_store, train_in
from safetensors.torch import save_file

from mespot import (
    aggregate,
    config,
    curves,
    errors,
    feature_store,
    features,
    figures,
    fingerprints,
    landmarks,
    mdmo,
    overlay,
    own,
    report,
    roi,
    store,
    train,
    train_multiscale,
    video,
)
from mespot.datasets import annotation_files
from mespot.datasets.export import export_segments
from mespot.errors import InputError
from mespot.exchange.export import export_intervals
from mespot.experiments import SPOTTED
from mespot.faces import weights
from mespot.intervals import (
    INTERVALS,
    LANE_COLUMNS,
    SELECTION_COLUMNS,
    load_intervals,
    read_selection,
    write_table,
)
from mespot.networks import checkpoints, trained
from mespot.networks.auw_gcn import AUWGCN
from mespot.papers.table import table1
from mespot.score import SUBJECT_COLUMNS
from mespot.settings import (
    STAGES,
    Decode,
    Features,
    Landmarks,
    Mdmo,
    Multiscale,
    Region,
    Report,
    Roi,
    Spot,
    Train,
    TwoStage,
)
from mespot.spotting import evaluation
from mespot.spotting.candidates import TOLD
from mespot.spotting.network import by_networks
from mespot.spotting.two_stage import by_two_stages

FUZZ = int(os.environ.get("FUZZ", "0"))
RNG = np.random.default_rng(5)
T, SIDE = 6, 32
REGIONS = Roi(
    set="two",
    sets={
        "two": {
            name: Region(landmarks=[k], unit="px", margin=3) for name, k in (("a", 30), ("b", 48))
        }
    },
    nose=Region(landmarks=[29, 30], unit="px", margin=2),
)
TRAINING = Train(epochs=2, batch=2, keep=1)
SMALL = {"a.weight": (2, 3), "a.bias": (2,)}


def examples(n: int) -> settings:
    """So many examples, the same each time unless FUZZ asks for more."""
    return settings(max_examples=n * max(FUZZ, 1), derandomize=not FUZZ, database=None)


# --- a whole file of each kind, and what reads it ----------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("whole"))


def make(folder: Path) -> Path:
    """A small file of each kind, in a folder."""
    crops = [
        np.roll(np.arange(SIDE**2).reshape(SIDE, SIDE), t, 1).astype(np.uint8) for t in range(T)
    ]
    origin = video.Origin(0.0, 30.0, (1.0, 1.0), list(range(T)), [3])
    video.write(folder / "decode.mkv", crops, 30.0, "s", lambda: origin)
    video.write(folder / "v1.mkv", crops, 30.0, "s")
    known = {"units": "px", "fps": 30.0, "source": "s", "detector": "dlib"}
    clock = {"source_fps": 30.0, "start_s": 0.0, "decoded_scale": (1.0, 1.0)}
    with store.create(folder / "align.h5", stage="align", settings={}, **known, **clock) as file:
        file["transform"] = np.broadcast_to(np.eye(2, 3), (T, 2, 3))
        file["valid"], file["repeat"] = np.ones(T, bool), np.zeros(T, bool)
        file["box"], file["source_frame"] = np.array([2.0, 2, 30, 30]), np.arange(T)
        store.tell(file["box"], reference_frame=0)
    with store.create(
        folder / "landmarks.h5", stage="landmarks", settings={}, inter_ocular=12.0, **known
    ) as file:
        file["points"] = RNG.uniform(8, 24, (T, 68, 2)).astype(np.float32)
    with store.create(folder / "flow.h5", stage="flow", settings={}, **known) as file:
        flows = store.frames_dataset(file, "flow", (T - 1, 2, SIDE, SIDE), np.int16)
        store.write_flow(flows, RNG.normal(size=(T - 1, 2, SIDE, SIDE)))
    roi.roi(folder / "flow.h5", folder / "landmarks.h5", folder / "roi.h5", REGIONS)
    mdmo.mdmo(folder / "roi.h5", folder / "align.h5", folder / "v1.h5", Mdmo())
    features.collect([folder / "v1.h5"], ["anna"], folder / "features.h5", Features())
    with store.create(folder / "curves.h5", stage="spot", settings={}, **known) as file:
        file["v1"] = RNG.uniform(size=(T, 2)).astype(np.float32)
        store.tell(file["v1"], channels=["a", "b"])
    for name in ("out", "old"):
        (folder / name).mkdir()
    for path in folder.glob("*.h5"):  # the same in HDF5's older form, which has no checksums
        with h5py.File(path) as file, h5py.File(folder / "old" / path.name, "w") as old:
            old.attrs.update(file.attrs)
            for name in file:
                file.copy(name, old)
    make_tables(folder)
    make_models(folder)
    return folder


def make_tables(folder: Path) -> None:
    row = dict.fromkeys(INTERVALS, 1.0) | {"subject": "anna", "video": "v1", "type": "macro"}
    row |= {"onset": 1, "apex": 2, "offset": 4, "offset_s": 1.5, "regions": "a+b", "remarks": ""}
    for name in ("intervals", "not_counted", "annotation"):
        write_table(
            [row | {"au": "12", "source_row": 2}],
            [*INTERVALS, "au", "source_row"],
            folder / f"{name}.csv",
        )
    row = "subject,video,type,onset,apex,offset\nanna,v1,macro,1,2,4\nanna,v1,micro,6,,9\n"
    (folder / "frames.csv").write_text(row)
    for name in ("elan", "bids"):
        export_intervals(folder / "frames.csv", name, folder / name, fps=30)
    lane = {"subject": "anna", "video": "v1", "lane": "blink", "onset": 1, "offset": 2}
    write_table([lane | {"onset_s": 0.1, "offset_s": 0.2}], LANE_COLUMNS, folder / "lanes.csv")
    write_table([dict.fromkeys(SELECTION_COLUMNS, 1)], SELECTION_COLUMNS, folder / "selection.csv")
    counts = {"protocol": "strict", "subject": "anna", "type": "macro", "tp": 1, "n": 1, "m": 1}
    write_table([counts], SUBJECT_COLUMNS, folder / "subjects.csv")
    kinds = {kind: {"tp": 1, "n": 2, "m": 3, "f1": 0.4} for kind in aggregate.KINDS}
    scored = folder / "results" / "d" / "m"
    scored.mkdir(parents=True)
    (scored / "score.json").write_text(json.dumps({"strict": kinds, "megc2020": kinds}))
    aggregate.aggregate([scored / "score.json"], folder / "results", [], [], folder / "summary.csv")
    (folder / "faces.json").write_text(json.dumps({"one": 2, "two": 1}))
    (folder / "sources.json").write_text(json.dumps({"d/v1": ["1 2", "1 2"]}))
    errors.write_failure("decode: v.mp4: cannot be decoded", [folder / "failure.h5"])
    (folder / "config.yaml").write_text(
        "datasets: {d: {layout: videos, root: a}}\nflow: {set: micro}\n"
    )
    (folder / "published" / "anna").mkdir(parents=True)
    segment = np.zeros((270, 12, 2), np.float32)
    segment[7:100] = RNG.normal(size=(93, 12, 2))
    np.savez(
        folder / "published" / "anna" / "v_0000.npz", feature=segment, label=np.zeros((270, 8))
    )


def make_two_stages(folder: Path) -> None:
    """A model of the two-stage method, and an evaluation that thinks all candidates alike."""
    small = Multiscale(steps=1, batch=2, window=64, channels=4)
    files = (folder / "net" / "features.h5", folder / "net" / "annotation.csv")
    outputs = (folder / "net" / "multiscale.pt", folder / "net" / "multiscale.csv")
    train_multiscale.train(*files, ["s0"], *outputs, small)
    known = {"units": "probability", "fps": 30.0, "source": "s"}
    with store.create(folder / "evaluation.h5", stage="evaluate", settings={}, **known) as file:
        group = file.create_group("1")
        store.tell(group, left_out=["s0"])
        for type_ in ("macro", "micro"):
            evaluation.save(group.create_group(type_), evaluation.alike(len(TOLD), 0.6))
    with (
        h5py.File(folder / "evaluation.h5") as file,
        h5py.File(folder / "old" / "evaluation.h5", "w") as old,
    ):
        old.attrs.update(file.attrs)
        file.copy("1", old)


def make_models(folder: Path) -> None:
    (folder / "net").mkdir()
    planted_store(folder / "net" / "features.h5", 2, float("nan")).to_csv(
        folder / "net" / "annotation.csv", index=False
    )
    train_in(folder / "net", ["s0"], "model.pt", TRAINING)
    make_two_stages(folder)
    course = train.Course(AUWGCN(torch.eye(12)), TRAINING, 1, folder / "x.checkpoint", "print")
    course.history.append({"epoch": 1, "loss": 0.5})
    course.keep()
    course.save()
    network = AUWGCN(torch.eye(12)).state_dict()
    torch.save({"epoch": 3, "state_dict": network}, folder / "best.pth")
    about = {"mespot": json.dumps({"network": "san", "file": "x", "sha256": "0"})}
    save_file(state(SMALL), folder / "san.safetensors", about)


class Reader(NamedTuple):
    """A file of `whole`, and something that reads it: from its path and the folder it is in."""

    file: str
    read: Callable[[Path, Path], Any]


def page_of(folder: Path, damaged: Path) -> None:
    results = folder / "page"
    files = {f"d/rule/{name}": name for name in SPOTTED} | {"d/features.h5": "features.h5"}
    files |= {"d/align/v1.mkv": "v1.mkv"}
    files |= {f"d/{stage}/v1.h5": f"{stage}.h5" for stage in ("landmarks", "flow")}
    for place, name in files.items():
        (results / place).parent.mkdir(parents=True, exist_ok=True)
        (results / place).unlink(missing_ok=True)
        (results / place).symlink_to(damaged if name == damaged.name else folder / name)
    try:
        report.report(results, ["d/rule"], None, folder / "out" / "index.html", Report())
    except InputError as error:  # a video's files are called after it
        raise InputError(re.sub(r"(landmarks|flow)/v1\.h5", r"\1.h5", str(error))) from None


def film_of(folder: Path, **files: Path) -> None:
    names = ("align.h5", "landmarks.h5", "flow.h5", "features.h5", "intervals.csv", "curves.h5")
    paths = {name.split(".")[0]: folder / name for name in names} | files
    out = folder / "out" / "film.mp4"
    overlay.overlay(
        folder / "decode.mkv", "v1", overlay.Files(**paths), out, Decode(fps=30), REGIONS
    )


def figures_of(folder: Path, **files: Path) -> None:
    names = ("annotation.csv", "intervals.csv", "subjects.csv", "features.h5")
    paths = {name.split(".")[0]: folder / name for name in names} | files
    list(figures.drawn(figures.Run(**paths, histories=(), model=None), "strict"))


def spot_by(path: Path, folder: Path) -> None:
    stored = feature_store.load(folder / "net" / "features.h5")
    list(by_networks(stored, [path], "auw_gcn", None, Spot()))


def spot_in_two_stages(model: Path, learnt: Path, folder: Path) -> None:
    stored = feature_store.load(folder / "net" / "features.h5")
    list(by_two_stages(stored, [model], learnt, TwoStage()))


def scores_of(path: Path, _: Path) -> None:
    (path.parent / "d" / "m").mkdir(parents=True, exist_ok=True)
    moved = shutil.copy(path, path.parent / "d" / "m" / path.name)
    aggregate.aggregate([Path(moved)], path.parent, [], [], path.parent / "summary.csv")


def segments_of(path: Path, _: Path) -> None:
    (path.parent / "anna").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / "anna" / path.name)
    features.import_published(path.parent, 30, path.parent / "f.h5", Features())


def all_of_features(path: Path, folder: Path) -> None:
    feature_store.lengths(path), feature_store.timing(path), feature_store.missing(path)
    feature_store.load(path)
    features.join_stores([path], folder / "out" / "j.h5", Features())
    page_of(folder, path)


def resumed(path: Path, _: Path) -> None:
    train.Course(AUWGCN(torch.eye(12)), TRAINING, 1, path, "print")


OUT = "out/made.h5"
HDF5 = {
    "landmarks of align": Reader(
        "align.h5", lambda p, f: landmarks.landmarks(f / "v1.mkv", p, f / OUT, Landmarks())
    ),
    "mdmo of align": Reader("align.h5", lambda p, f: mdmo.mdmo(f / "roi.h5", p, f / OUT, Mdmo())),
    "roi of landmarks": Reader(
        "landmarks.h5", lambda p, f: roi.roi(f / "flow.h5", p, f / OUT, REGIONS)
    ),
    "roi of flow": Reader("flow.h5", lambda p, f: roi.roi(p, f / "landmarks.h5", f / OUT, REGIONS)),
    "mdmo of roi": Reader("roi.h5", lambda p, f: mdmo.mdmo(p, f / "align.h5", f / OUT, Mdmo())),
    "features of mdmo": Reader(
        "v1.h5", lambda p, f: features.collect([p], ["anna"], f / OUT, Features())
    ),
    "features": Reader("features.h5", all_of_features),
    "curves": Reader(
        "curves.h5", lambda p, f: curves.curves(f / "features.h5", p, None, f / "out" / "c.csv")
    ),
    "rates of features": Reader("features.h5", lambda p, _: figures.frame_rates(p)),
    "evaluation": Reader(
        "evaluation.h5", lambda p, f: spot_in_two_stages(f / "net" / "multiscale.pt", p, f)
    ),
    "page of curves": Reader("curves.h5", lambda p, f: page_of(f, p)),
    "page of landmarks": Reader("landmarks.h5", lambda p, f: page_of(f, p)),
    "page of flow": Reader("flow.h5", lambda p, f: page_of(f, p)),
    "film of align": Reader("align.h5", lambda p, f: film_of(f, align=p)),
    "film of landmarks": Reader("landmarks.h5", lambda p, f: film_of(f, landmarks=p)),
    "film of flow": Reader("flow.h5", lambda p, f: film_of(f, flow=p)),
    "a source's fingerprint": Reader(
        "align.h5", lambda p, f: fingerprints._made_of(p, f / "config.yaml")
    ),
}
MODELS = {
    "model": Reader("net/model.pt", spot_by),
    "epochs": Reader("net/model.pt.epochs", lambda p, _: trained.load_epochs(p, "auw_gcn")),
    "export of a model": Reader(
        "net/model.pt", lambda p, f: checkpoints.export_checkpoint(p, f / "out" / "x.pth")
    ),
    "graph of a model": Reader("net/model.pt", lambda p, _: figures.linked(p)),
    "model of two stages": Reader(
        "net/multiscale.pt", lambda p, f: spot_in_two_stages(p, f / "evaluation.h5", f)
    ),
    "checkpoint": Reader("x.checkpoint", resumed),
    "published": Reader(
        "best.pth", lambda p, f: checkpoints.import_checkpoint(p, f / "out" / "x.pt")
    ),
    "others' weights": Reader("best.pth", lambda p, _: weights._read(p)),
}
TABLES = {
    "intervals": Reader("intervals.csv", lambda p, _: load_intervals(p)),
    "page of intervals": Reader("intervals.csv", lambda p, f: page_of(f, p)),
    "page of lanes": Reader("lanes.csv", lambda p, f: page_of(f, p)),
    "film of intervals": Reader("intervals.csv", lambda p, f: film_of(f, intervals=p)),
    "selection": Reader("selection.csv", lambda p, _: read_selection(p)),
    "headline": Reader("summary.csv", lambda p, _: aggregate.headline(p, "strict")),
    "page of the summary": Reader(
        "summary.csv", lambda p, f: report.report(f, [], p, f / "out" / "r.html", Report())
    ),
    "table of the summary": Reader(
        "summary.csv", lambda p, f: table1(p, ["both"], f / "out" / "t.tex", Report())
    ),
    "figures of intervals": Reader("intervals.csv", lambda p, f: figures_of(f, intervals=p)),
    "figures of subjects": Reader("subjects.csv", lambda p, f: figures_of(f, subjects=p)),
    "losses": Reader("net/model.pt.csv", lambda p, _: figures.training([p])),
    "annotation": Reader("annotation.csv", lambda p, f: trained_with(p, f)),
    "export of intervals": Reader("intervals.csv", lambda p, f: exported(p, f / "out" / "elan")),
}
OTHERS = {
    "export of features": Reader(
        "features.h5", lambda p, f: export_segments(p, f / "annotation.csv", f / "none", Features())
    ),
    "elan": Reader("elan/v1.eaf", lambda p, _: numbers_of(p)),
    "events": Reader("bids/sub-anna_task-v1_events.tsv", lambda p, _: numbers_of(p)),
    "video": Reader("decode.mkv", lambda p, _: (video.info(p), list(video.read(p)))),
    "frames of a video": Reader("v1.mkv", lambda p, _: list(video.read(p))),
    "scores": Reader("results/d/m/score.json", scores_of),
    "people": Reader("faces.json", lambda p, _: own._known(p)),
    "sources": Reader("sources.json", lambda p, _: fingerprints.Sources(p).kept),
    "failure": Reader("failure.h5", lambda p, _: errors.failure(p)),
    "config": Reader("config.yaml", lambda p, _: config.load_file(p)),
    "segment": Reader("published/anna/v_0000.npz", segments_of),
    "weights": Reader("san.safetensors", lambda p, _: (weights.facts(p), weights.load(p, SMALL))),
}
READERS = HDF5 | MODELS | TABLES | OTHERS


def exported(path: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    export_intervals(path, "elan", out)


def numbers_of(path: Path) -> None:
    source = annotation_files.read(path)
    for row in source.rows.to_dict("records"):
        source.numbers(row), source.type_of(row)


def trained_with(path: Path, folder: Path) -> None:
    """Up to the training windows, which is as far as the annotation goes."""
    outputs = [folder / "out" / name for name in ("m.pt", "e.pt", "h.csv")]
    store_ = folder / "net" / "features.h5"
    train.train(store_, path, ["s0"], "auw_gcn", None, *outputs, TRAINING)


def message_of(function: Callable, *arguments: Any) -> str | None:
    """The message of an InputError; None if there is a result."""
    try:
        function(*arguments)
    except InputError as error:
        return str(error)
    return None


def said_of(reader: Reader, path: Path, folder: Path) -> str | None:
    """The message that a reader has for a file, which it names; None if it gives a result."""
    said = message_of(reader.read, path, folder)
    # Models that left out nobody who is there are no one file's fault.
    assert said is None or path.name in said or "whom the models left out" in said
    return said


@pytest.fixture
def place(tmp_path, whole) -> Callable[[Reader], Path]:
    """Where a damaged copy of a reader's file goes, by its name."""
    return lambda reader: tmp_path / Path(reader.file).name


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_whole_file_is_read(reader, whole, place):
    path = shutil.copy(whole / reader.file, place(reader))
    said = said_of(reader, Path(path), whole)
    # What is read here has rows and regions that these two have no use for.
    assert said is None or reader in (READERS["export of features"], READERS["annotation"])


# --- any bytes, and any damage -----------------------------------------------------------------------


@st.composite
def damage(draw, content: bytes) -> bytes:
    """A file that is cut off, overwritten in places, zeroed for a block, or longer than it was."""
    at = st.integers(0, max(len(content) - 1, 0))
    kind = draw(st.sampled_from(["cut", "bytes", "bytes", "zeros", "more", "swap"]))
    if kind == "cut":
        return content[: draw(at)]
    if kind == "zeros":
        start, size = draw(at), draw(st.sampled_from([1, 8, 64, 4096]))
        return content[:start] + bytes(len(content[start : start + size])) + content[start + size :]
    if kind == "more":
        start = draw(at)
        return content[:start] + draw(st.binary(max_size=30)) + content[start:]
    if kind == "swap":
        one, other = sorted((draw(at), draw(at)))
        return content[other:] + content[one:other] + content[:one]
    changed = bytearray(content)
    for start in draw(st.lists(at, min_size=1, max_size=8)):
        for k, byte in enumerate(draw(st.sampled_from(BYTES)), start):
            if k < len(changed):
                changed[k] = byte
    return bytes(changed)


BYTES = [bytes([k]) for k in (0, 1, 9, 0x7F, 0x80, 0xFF, *b"-.,0eN[{\"'*&")]
BYTES += [b"\xff" * 8, bytes(8), (1 << 40).to_bytes(8, "little"), (1 << 40).to_bytes(8, "big")]


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@examples(20)
@given(data=st.data())
def test_any_damage_is_a_result_or_an_error(reader, whole, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    path.write_bytes(data.draw(damage((whole / reader.file).read_bytes())))
    said_of(reader, path, whole)


@pytest.mark.parametrize("reader", HDF5.values(), ids=HDF5)
@examples(40)
@given(data=st.data())
def test_any_damage_that_no_checksum_tells_is_a_result_or_an_error(
    reader, whole, tmp_path_factory, data
):
    path = tmp_path_factory.getbasetemp() / reader.file
    path.write_bytes(data.draw(damage((whole / "old" / reader.file).read_bytes())))
    said_of(reader, path, whole)


@examples(150)
@given(data=st.data())
def test_a_video_whose_checksum_fits_is_a_result_or_an_error(whole, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "decode.mkv"
    path.write_bytes(data.draw(damage((whole / "decode.mkv").read_bytes())))
    right = video._checked
    with mock.patch.object(
        video, "_checked", lambda file, tags: (right(file, tags)[0], tags.get("CHECK"))
    ):
        said_of(OTHERS["video"], path, whole)


@examples(60)
@given(data=st.data())
def test_a_damaged_video_is_told_or_the_same(whole, tmp_path_factory, data):
    """ffmpeg itself ends where the file does, and draws on over damage."""
    path = tmp_path_factory.getbasetemp() / "decode.mkv"
    path.write_bytes(data.draw(damage((whole / "decode.mkv").read_bytes())))
    with contextlib.suppress(InputError):
        assert video.info(path) == video.info(whole / "decode.mkv")
        shown, right = (np.array(list(video.read(each))) for each in (path, whole / "decode.mkv"))
        np.testing.assert_array_equal(shown, right)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@examples(10)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_result_or_an_error(reader, whole, tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    path.write_bytes(content)
    said_of(reader, path, whole)


@pytest.mark.parametrize(
    "name", ["features", "mdmo of roi", "curves", "model", "segment", "weights"]
)
@examples(15)
@given(data=st.data())
def test_a_file_that_is_cut_off_is_named(name, whole, tmp_path_factory, data):
    reader = READERS[name]
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    content = (whole / reader.file).read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert said_of(reader, path, whole)


@pytest.mark.parametrize("name", ["mdmo of roi", "model", "scores", "frames of a video"])
def test_a_damaged_result_is_named_with_what_makes_it_anew(name, whole, tmp_path):
    """Snakemake makes again what is not there."""
    path = tmp_path / "a $b 'c'" / Path(READERS[name].file).name
    path.parent.mkdir()
    content = (whole / READERS[name].file).read_bytes()
    path.write_bytes(content[: len(content) // 3])
    said = message_of(READERS[name].read, path, whole)
    said = said or message_of(video.info, path)
    command = said.partition("delete it and give the same command again: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert "\n" not in said
    assert not (path.parent / "d" / "m" / path.name if name == "scores" else path).exists()


# --- HDF5 that is whole and holds something else -----------------------------------------------------


def elsewhere(file: h5py.File, dataset: h5py.Dataset) -> dict[str, Callable[[str], Any]]:
    """What may stand where a dataset was, by what it is: functions of its path."""
    shape, dtype = dataset.shape, dataset.dtype
    values = dataset[()]
    new = functools.partial(file.create_dataset)

    def virtual(path: str) -> None:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource("other.h5", "x", shape)
        file.create_virtual_dataset(path, layout)

    def short_chunk(path: str, **packed: Any) -> None:
        """One that unpacks to less than it should: HDF5 reads on in memory that is not its own."""
        chunks = tuple(max(side, 1) for side in shape)
        made = new(path, chunks, dtype, chunks=chunks, **packed)
        content = b"\x01" * 8 if "shuffle" in packed else zlib_of(8)
        made.id.write_direct_chunk((0,) * len(chunks), content)

    odd: dict[str, Callable[[str], Any]] = {
        "nothing": lambda path: None,
        "a group": file.create_group,
        "no space": lambda path: new(path, data=h5py.Empty("f4")),
        "a text": lambda path: new(path, data="text"),
        "texts": lambda path: new(path, data=["a", "b"], dtype=h5py.string_dtype()),
        "a number": lambda path: new(path, data=3.0),
        "none of them": lambda path: new(path, (0, *shape[1:]), dtype),
        "one of them": lambda path: new(path, data=values[:1]),
        "one more": lambda path: new(path, data=np.concatenate([values, values[-1:]])),
        "in a row": lambda path: new(path, data=values.ravel()),
        "another rank": lambda path: new(path, data=values[None]),
        "complex": lambda path: new(path, data=values.astype(complex)),
        "bytes": lambda path: new(path, data=values.astype(np.uint8)),
        "reals": lambda path: new(path, data=values.astype(np.float64)),
        "no numbers": lambda path: new(path, data=np.full(shape, np.nan)),
        "infinite": lambda path: new(path, data=np.full(shape, -np.inf)),
        "largest": lambda path: new(path, data=np.full(shape, 1e300)),
        "noughts": lambda path: new(path, data=np.zeros(shape, dtype)),
        "below nought": lambda path: new(path, data=np.full(shape, -1)),
        "opaque": lambda path: new(path, data=np.zeros(shape, "V3")),
        "a table": lambda path: new(path, data=np.zeros(shape, [("a", "f4"), ("b", "i2")])),
        "references": lambda path: new(path, shape, h5py.ref_dtype),
        "a type": lambda path: file.__setitem__(path, np.dtype("f8")),
        "huge, in pieces": lambda path: new(
            path, (2**40, *shape[1:]), dtype, chunks=(1, *shape[1:]), compression="gzip"
        ),
        "huge, not there": lambda path: new(path, (2**40, *shape[1:]), dtype),
        "huge in all": lambda path: new(
            path, (2**31,) * len(shape), dtype, chunks=(1,) * len(shape)
        ),
        "in pieces": lambda path: new(path, data=values, chunks=True),
        "another packing": lambda path: new(path, data=values, compression="gzip"),
        "a short piece": functools.partial(short_chunk, compression="gzip"),
        "a shorter piece": functools.partial(short_chunk, shuffle=True),
        "of another file": lambda path: file.__setitem__(path, h5py.ExternalLink("other.h5", "x")),
        "beside": lambda path: new(path, shape, dtype, external=[("beside", 0, 2**20)]),
        "virtual": virtual,
        "a link to nothing": lambda path: file.__setitem__(path, h5py.SoftLink("/nowhere")),
        "a link to itself": lambda path: file.__setitem__(path, h5py.SoftLink(path)),
        "the whole": lambda path: file.__setitem__(path, file["/"]),
    }
    return odd


def zlib_of(n: int) -> bytes:
    return zlib.compress(b"\x01" * n)


TELLING = {
    "nothing": None,
    "a text": "text",
    "empty": np.bytes_(b"\0"),
    "no UTF-8": np.bytes_(b"\xff\xfe"),
    "long": np.bytes_(b"a" * 70_000),
    "JSON": np.bytes_(b"[" * 10_000),
    "other JSON": np.bytes_(b'{"a": [1]}'),
    "nought": 0,
    "below": -1,
    "large": 2**62,
    "no number": np.nan,
    "infinite": np.inf,
    "tiny": 1e-300,
    "texts": np.array([b"a", b"b"]),
    "a path": np.array([b"../a", b"$(b)"]),
    "numbers": np.arange(3.0),
    "none": np.zeros(0),
    "opaque": np.zeros((), "V3"),
    "a table": np.zeros(2, [("a", "f4"), ("b", "i2")]),
    "no space": h5py.Empty("f4"),
    "true": True,
    "complex": 1j,
}


@pytest.fixture
def asked(monkeypatch, whole) -> Callable[[Reader], tuple[list, list]]:
    """What a reader asks of its file: datasets, and attributes with what they are of, by paths."""

    def of(reader: Reader) -> tuple[list, list]:
        found: tuple[list, list] = [], []

        def spy(called: Callable, put: Callable[[str, str], None]) -> Callable:
            def spied(of: h5py.HLObject, name: str, *rest: Any) -> Any:
                if os.path.samefile(of.file.filename, whole / reader.file):
                    put(of.name, name)
                return called(of, name, *rest)

            return spied

        with monkeypatch.context() as patch:
            datasets, told = found
            put = spy(store._expected, lambda of, name: datasets.append(os.path.join(of, name)))
            patch.setattr(store, "_expected", put)
            put = spy(store.attribute, lambda of, name: told.append((of, name)))
            patch.setattr(store, "attribute", put)
            said_of(reader, whole / reader.file, whole)
        assert datasets or told
        return found

    return of


@pytest.mark.parametrize("reader", HDF5.values(), ids=HDF5)
def test_any_other_dataset_is_a_result_or_an_error(reader, whole, place, asked):
    path = place(reader)
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = np.ones((T, 2))
    for name in dict.fromkeys(asked(reader)[0]):
        with h5py.File(whole / reader.file) as file:
            kinds = list(elsewhere(file, file[name]))
        for kind in kinds:
            shutil.copy(whole / reader.file, path)
            with h5py.File(path, "r+") as file:
                put, told = elsewhere(file, file[name])[kind], dict(file[name].attrs)
                del file[name]
                try:
                    put(name)
                except (TypeError, ValueError):  # HDF5 has no such thing of this type
                    continue
                if told and "link" not in kind and store.has(file, name):
                    file[name].attrs.update(told)
            said_of(reader, path, whole)


@pytest.mark.parametrize("reader", HDF5.values(), ids=HDF5)
def test_any_other_attribute_is_a_result_or_an_error(reader, whole, place, asked):
    path = place(reader)
    for of, name in dict.fromkeys(asked(reader)[1]):
        for value in TELLING.values():
            shutil.copy(whole / reader.file, path)
            with h5py.File(path, "r+") as file:
                del file[of].attrs[name]
                if value is not None:
                    file[of].attrs[name] = value
            said_of(reader, path, whole)


@pytest.mark.parametrize("kind", ["of another file", "beside", "virtual", "a link to nothing"])
def test_nothing_is_read_from_another_file(whole, tmp_path, kind):
    path = tmp_path / "a.h5"
    shutil.copy(whole / "features.h5", path)
    (tmp_path / "beside").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(T - 1, bool)
        file["g/v1/valid"] = np.zeros(T - 1, bool)
    with h5py.File(path, "r+") as file:
        put = elsewhere(file, file["anna/v1/valid"])[kind]
        del file["anna/v1/valid"]
        put("anna/v1/valid")
    with pytest.raises(InputError, match="a.h5: cut off or damaged"):
        feature_store.lengths(path)
    with h5py.File(path, "r+") as file:
        del file["anna"]
        file["anna"] = h5py.ExternalLink("other.h5", "g")
    with pytest.raises(InputError, match="a.h5: cut off or damaged"):
        feature_store.lengths(path)


def test_a_text_that_hdf5_would_read_for_ever_is_refused(tmp_path):
    """A text of variable length lies in a heap; its library looks for the end of one of nothing."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["fps"] = "a" * 100
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 24 : heap + 32] = bytes(8)  # the size of its first object
    content[heap + 16 : heap + 18] = b"\x02\x00"
    path.write_bytes(content)
    with (
        store.read(path) as file,
        pytest.raises(InputError, match="attribute fps is of type object"),
    ):
        store.attribute(file, "fps")


# --- models that are whole and hold something else ---------------------------------------------------


def laughs(depth: int) -> list:
    """A list of two lists of two lists and so on, each there once: what stands in it is 2 to the depth."""
    inner: list = [1.0, 1.0]
    for _ in range(depth):
        inner = [inner, inner]
    return inner


ODD = {
    "none": None,
    "nought": 0,
    "below": -1,
    "large": 10**30,
    "infinite": float("inf"),
    "no number": float("nan"),
    "a text": "x",
    "a path": "../../x",
    "empty": [],
    "an empty dict": {},
    "a list": [1],
    "numbers": [[1.0]],
    "texts": ["a", "b"],
    "a dict": {"a": 1},
    "true": True,
    "deep": functools.reduce(lambda inner, _: [inner], range(300), []),
    "laughs": laughs(60),
    "no tensor": torch.zeros(0),
    "a tensor": torch.ones(3),
    "whole numbers": torch.ones(12, 12, dtype=torch.int8),
    "complex": torch.ones(12, 12, dtype=torch.complex64),
    "sparse": torch.eye(12).to_sparse(),
    "stretched": torch.ones(1).expand(10**9),
    "elsewhere": torch.ones(3, device="meta"),
}


def places(content: Any, depth: int = 3) -> Iterator[tuple]:
    """The keys of all that is in nested dictionaries and lists, of long ones the first and the last."""
    if depth and isinstance(content, dict | list | tuple):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        for key in [*keys[:12], *keys[12:][-1:]]:
            yield (key,)
            yield from ((key, *rest) for rest in places(content[key], depth - 1))


def changed(content: Any, keys: tuple, value: Any) -> Any:
    """The content with another value in one place; `places` gone if the value is Ellipsis."""
    key, *rest = keys
    if isinstance(content, dict):
        if not rest and value is ...:
            return {name: each for name, each in content.items() if name != key}
        return content | {key: changed(content[key], rest, value) if rest else value}
    new = list(content)
    new[key] = changed(new[key], rest, value) if rest else value
    if not rest and value is ...:
        del new[key]
    return new if isinstance(content, list) else tuple(new)


@pytest.mark.parametrize("reader", MODELS.values(), ids=MODELS)
@examples(40)
@given(data=st.data())
def test_any_other_content_of_a_model_is_a_result_or_an_error(
    reader, whole, tmp_path_factory, data
):
    content = torch.load(whole / reader.file, weights_only=True)
    keys = data.draw(st.sampled_from(list(places(content))))
    value = data.draw(st.sampled_from([..., *ODD.values()]))
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    torch.save(changed(content, keys, value), path)
    said_of(reader, path, whole)


@pytest.mark.parametrize("reader", MODELS.values(), ids=MODELS)
def test_a_model_of_anything_else_is_an_error(reader, whole, place):
    path = place(reader)
    for value in ODD.values():
        torch.save(value, path)
        # A dictionary may be the checkpoint of another training, which is not taken up.
        assert said_of(reader, path, whole) or isinstance(value, dict)
    # Read, it would be a list of so many tensors: no example of the test above need draw it.
    torch.save({"regions": ODD["stretched"], "state_dict": [ODD["stretched"]]}, path)
    said = said_of(reader, path, whole)
    assert reader is MODELS["others' weights"] or "numbers that it does not store" in said
    torch.save({"state_dict": {}, "epoch": 1}, path, _use_new_zipfile_serialization=False)
    assert said_of(reader, path, whole) or reader is MODELS["others' weights"]


# --- text ----------------------------------------------------------------------------------------------

CELLS = [
    "",
    " ",
    "x",
    "macro",
    "0",
    "-1",
    "1.5",
    "1e400",
    "-inf",
    "nan",
    "True",
    "٣",
    "1,5",
    '"',
    "\x00",
]
CELLS += [
    "9" * 400,
    "=1+1",
    "a\nb",
    "'; rm -rf /",
    "v1",
    "blink",
    "x" * 200_000,
    "\ud800",
    "0x10",
    "1_000",
]


@pytest.mark.parametrize("reader", TABLES.values(), ids=TABLES)
@examples(40)
@given(data=st.data())
def test_any_other_cell_is_a_result_or_an_error(reader, whole, tmp_path_factory, data):
    table = [line.split(",") for line in (whole / reader.file).read_text().splitlines()]
    table += [table[-1][:] for _ in range(data.draw(st.integers(0, 2)))]
    for _ in range(data.draw(st.integers(1, 3))):
        line = data.draw(st.sampled_from(table))
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 2))] = [data.draw(st.sampled_from(CELLS))]
    end = data.draw(st.sampled_from(["\n", "\r", "\r\n", ",\n"]))
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    path.write_bytes(end.join(map(",".join, table)).encode(errors="surrogatepass"))
    said_of(reader, path, whole)


SCALARS = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("inf"),
    float("nan"),
    "",
    "x",
    "../x",
    "1e400",
    "$(x)",
]
VALUES = st.recursive(
    st.sampled_from(SCALARS) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["scores", "people", "sources"])
@examples(60)
@given(data=st.data())
def test_any_other_json_is_a_result_or_an_error(name, whole, tmp_path_factory, data):
    reader = OTHERS[name]
    content = json.loads((whole / reader.file).read_text())
    if data.draw(st.booleans()):
        content = changed(
            content, data.draw(st.sampled_from(list(places(content)))), data.draw(VALUES)
        )
    else:
        content = data.draw(VALUES)
    path = tmp_path_factory.getbasetemp() / Path(reader.file).name
    path.write_text(json.dumps(content))
    said_of(reader, path, whole)


def test_json_in_too_many_others_is_a_result_or_an_error(whole, place):
    for name in ("scores", "people", "sources"):
        path = place(OTHERS[name])
        for text in ("[" * 10**6, '{"a":' * 10**5, "9" * 10**5, "1e999999999"):
            path.write_text(text)
            said_of(OTHERS[name], path, whole)
            with pytest.raises(InputError, match="--settings: "):
                Train.parse(text)


@examples(100)
@given(stage=st.sampled_from([*STAGES]), data=st.data())
def test_any_settings_are_settings_or_an_error(stage, data):
    model = STAGES[stage]
    names = st.sampled_from([*model.model_fields, "other"])
    text = data.draw(
        st.text(max_size=20) | st.dictionaries(names, VALUES, max_size=3).map(json.dumps)
    )
    assert (message_of(model.parse, text) or "--settings: ").startswith("--settings: ")


@pytest.fixture(scope="module")
def everywhere(default_config) -> list[tuple]:
    return list(places(default_config, 5))


@examples(60)
@given(data=st.data())
def test_any_other_configuration_is_one_or_an_error(default_config, everywhere, data):
    content = default_config
    for keys in data.draw(st.lists(st.sampled_from(everywhere), min_size=1, max_size=3)):
        with contextlib.suppress(
            KeyError, TypeError, IndexError
        ):  # gone with what was changed before
            content = changed(content, keys, data.draw(st.just(...) | VALUES))
    said = message_of(config.load, content)
    assert said is None or said.startswith(("config: ", "video: ", f"{content.get('video')}: "))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &a [x, x, x]\n"
            + "".join(f"a{k}: &a{k} [*a{k - 1 or ''}, *a{k - 1 or ''}]\n" for k in range(1, 40)),
            "line 15, column 12: more than 100000 values up to here",
        ),
        ("a: &a [*a]\n", "line 1, column 8: more than 100000 values"),
        ("a: " + "[" * 100_000, "brackets in too many others"),
        ("".join(" " * k + "a:\n" for k in range(1000)), "keys or brackets in too many others"),
        ("align: {margin: .inf}", "align.margin: Input should be a finite number"),
        ("datasets: {a: {layout: videos, root: b, fps: 1e400}}", "fps: Input should be a finite"),
        ("results: '{x}'", "results: braces or <>, which mean something to Snakemake"),
        (f"methods: {{{'a' * 101}: {{}}}}", "has at most 100 bytes"),
        ("methods: {mdmo: {base: mespot}}", "methods.mdmo: something else of that name is among"),
        (f"train: {{epochs: {'9' * 4000}}}", "train.epochs: .*a number of so many digits"),
    ],
)
def test_a_config_file_that_stands_for_too_much_is_one_line(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        config.load_file(tmp_path / "a.yaml")


# --- what unpacks to more than there is ----------------------------------------------------------------

ROOM = 300 << 20  # bytes that reading may take beside what it takes to begin
MUCH = 600 << 20


def test_no_file_fills_the_memory(whole, tmp_path):
    """In a process of its own, which may take little more memory than it has."""
    (tmp_path / "out").mkdir()
    command = [sys.executable, __file__, str(whole), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    refused = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, said in refused.items() if not said} == set(), refused


def zip_of(path: Path, **parts: Iterator[bytes]) -> None:
    """A zip in which zeros are packed; `parts` are bytes in pieces, by name with . for _."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, pieces in parts.items():
            with archive.open(name.replace("_", "."), "w", force_zip64=True) as part:
                for piece in pieces:
                    part.write(piece)


def bombs(whole: Path, folder: Path) -> Iterator[tuple[str, Reader, Path]]:
    """Files that would unpack to more than there is room for, and what reads them."""
    zeros = [bytes(1 << 20)] * (MUCH >> 20)
    for name, reader in HDF5.items():
        path = folder / Path(reader.file).name
        with h5py.File(whole / reader.file) as file:
            found: list[str] = []
            file.visit(found.append)
            found = [each for each in found if isinstance(file[each], h5py.Dataset)]
        for each in found if name in ("features", "curves", "roi of flow", "mdmo of roi") else ():
            for kind in ("huge, in pieces", "huge, not there", "huge in all"):
                shutil.copy(whole / reader.file, path)
                with h5py.File(path, "r+") as file:
                    put, told = elsewhere(file, file[each])[kind], dict(file[each].attrs)
                    del file[each]
                    with contextlib.suppress(ValueError):
                        put(each)
                        file[each].attrs.update(told)
                yield f"{name}: {each}: {kind}", reader, path
    # One frame that says it is of the right size and unpacks to much more, or to less.
    for size in (MUCH, 8):
        path = shutil.copy(whole / "flow.h5", folder / "flow.h5")
        with h5py.File(path, "r+") as file:
            packed = blosc2.SChunk(chunksize=size, data=np.zeros(size, np.uint8)).to_cframe()
            file["flow"].id.write_direct_chunk((0, 0, 0, 0), packed)
        yield f"flow of {size} bytes", HDF5["roi of flow"], path
    with h5py.File(path, "r+") as file:
        del file["flow"]
        store.frames_dataset(file, "flow", (T - 1, 2, 10**4, 10**4), np.int16)
    yield "large flow", HDF5["roi of flow"], path
    path = shutil.copy(whole / "landmarks.h5", folder / "landmarks.h5")
    with h5py.File(path, "r+") as file:
        file["points"][2, 30] = 20_000
    yield "far landmarks", HDF5["roi of landmarks"], path
    path = folder / "v_0000.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (MUCH // 4,)}
    )
    zip_of(path, feature_npy=[header.getvalue(), *zeros])
    yield "segment", OTHERS["segment"], path
    header = header.getvalue().replace(str(MUCH // 4).encode(), str(10**9).encode()[:9])
    zip_of(path, feature_npy=[header, bytes(100)])
    yield "segment of a large shape", OTHERS["segment"], path
    for name in ("model", "published", "checkpoint"):
        path = folder / Path(MODELS[name].file).name
        shutil.copy(whole / MODELS[name].file, path)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            inside = archive.namelist()[0].split("/")[0]
            with archive.open(f"{inside}/data/0", "w") as part:  # torch takes the last of a name
                for piece in zeros:
                    part.write(piece)
        yield name, MODELS[name], path
    path = folder / "san.safetensors"
    about = json.dumps(
        {"a.weight": {"dtype": "F32", "shape": [MUCH], "data_offsets": [0, 4 * MUCH]}}
    )
    path.write_bytes(len(about).to_bytes(8, "little") + about.encode())
    yield "weights", OTHERS["weights"], path
    path.write_bytes((1 << 62).to_bytes(8, "little") + about.encode())
    yield "weights of a large header", OTHERS["weights"], path


def main(whole: Path, folder: Path) -> None:
    """What each reader says of each bomb, as JSON."""
    said = {}
    files = bombs(whole, folder)
    for name, reader, path in files:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, resource.RLIM_INFINITY))
        said[name] = said_of(reader, Path(path), whole)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))


def test_a_number_of_hundreds_of_digits_is_an_error_of_one_line(tmp_path):
    table = tmp_path / "intervals.csv"
    table.write_text(f"video,type,onset,offset\na,macro,1,2\na,macro,1,{'9' * 400}\n")
    with pytest.raises(InputError, match="row 3: offset is 999"):
        load_intervals(table)
