"""train: the published windows, honest folds, resuming to the byte, warm starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from planted import train_in

from mespot import feature_store, features, store
from mespot.annotation import annotation
from mespot.errors import InputError
from mespot.intervals import load_intervals
from mespot.networks import trained as networks
from mespot.networks.auw_gcn import AUWGCN
from mespot.settings import Annotation, Features, Train
from mespot.train import AdamW, make_windows, train, untrained

QUICK = Train(epochs=2, batch=2)


def weights_of(path):
    return networks.load_trained(path)[0].network.state_dict()


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# --- the published code's data


@pytest.fixture(scope="module")
def unpacked(shared, tmp_path_factory):
    """Feature stores and annotation as given of both datasets."""
    import tarfile

    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(shared / "data" / "auw_gcn_features.tar.xz", "r|xz") as file:
        file.extractall(folder)
    for name, root, table in (
        ("cas_me_sq", "cas(me)^2", "cas_me_sq_30fps.csv"),
        ("samm_lv", "samm_25", "samm_lv_25fps.csv"),
    ):
        out = folder / f"{name}.h5"
        features.import_published(folder / root, 30, out, Features())
        files = [folder / f"{name}{ending}.csv" for ending in ("", "_as_given", "_audit")]
        source = shared / "data" / "annotations" / table
        annotation(source, feature_store.lengths(out), [], 1, *files, Annotation())
    return folder


@pytest.mark.parametrize("dataset", ["cas_me_sq", "samm_lv"])
def test_the_published_methods_windows_are_the_published_ones(
    unpacked, reference, paper_config, dataset
):
    """Their number, the adjacency, and each window of the published batch with its targets."""
    settings = paper_config.stage("train", dataset, "published")
    with np.load(reference / f"model_{dataset}.npz") as file:
        published = dict(file)
    left_out = str(published["held_out_subject"])
    stored = feature_store.load(unpacked / f"{dataset}.h5")
    chosen = [feature for feature in stored if feature.subject != left_out]
    table = load_intervals(unpacked / f"{dataset}_as_given.csv")
    trained = untrained(chosen, table["au"], "auw_gcn", settings)
    np.testing.assert_allclose(
        trained.adjacency, np.load(reference / f"adjacency_{dataset}.npy"), rtol=0, atol=1e-7
    )
    annotated = table[table["subject"] != left_out]
    windows = make_windows(chosen, annotated, trained, settings)
    assert len(windows.features) == published["n_train_segments"]
    for k, expected in enumerate(torch.from_numpy(published["batch/features"])):
        differences = (windows.features - expected).abs().amax((1, 2, 3))
        nearest = differences.argmin()
        assert differences[nearest] < 1e-6
        for name, target in windows.targets.items():
            assert np.array_equal(target[nearest], published[f"batch/{name}"][k]), name


def test_the_published_graph_counts_the_left_out_subject_and_the_honest_one_does_not(planted):
    folder = planted
    table = pd.read_csv(folder / "annotation.csv")
    stored = feature_store.load(folder / "features.h5")[1:]
    for graph, same in (("training", True), ("published", False)):
        adjacencies = []
        for au in ("12", "14+25"):
            table.loc[table["subject"] == "s0", "au"] = au
            table.to_csv(folder / "other_aus.csv", index=False)
            outputs = [folder / f"aus{ending}" for ending in (".pt", ".epochs", ".csv")]
            settings = Train(epochs=1, batch=8, graph=graph)
            train(
                folder / "features.h5", folder / "other_aus.csv", ["s0"], "auw_gcn", None,
                *outputs, settings,
            )  # fmt: skip
            adjacencies.append(networks.load_trained(outputs[0])[0].adjacency)
        assert np.array_equal(*adjacencies) == same
    assert len(stored) == 3


# --- honest folds


def test_same_seed_same_bytes_other_seed_other_weights(planted):
    for name in ("a.pt", "b.pt"):
        train_in(planted, ["s0"], name)
    train_in(planted, ["s0"], "c.pt", Train(epochs=2, batch=2, seed=2))
    one, two, other = (weights_of(planted / name) for name in ("a.pt", "b.pt", "c.pt"))
    assert equal(one, two)
    assert not torch.equal(one["_classification.weight"], other["_classification.weight"])
    for ending in ("", ".epochs", ".csv"):
        assert (planted / f"a.pt{ending}").read_bytes() == (planted / f"b.pt{ending}").read_bytes()


def test_left_out_subject_changes_nothing(planted):
    """Whatever stands in the left-out subject's rows, the model is the same."""
    spoilt = planted / "spoilt"
    spoilt.mkdir()
    with store.create(spoilt / "features.h5", stage="features", settings={}) as file:
        for feature in feature_store.load(planted / "features.h5"):
            if feature.subject == "s0":
                feature = feature._replace(mdmo=feature.mdmo * 100)
            feature_store.write(file, feature)
    annotated = pd.read_csv(planted / "annotation.csv")
    annotated.loc[annotated["subject"] == "s0", ["onset", "apex", "offset"]] = 3
    annotated.loc[annotated["subject"] == "s0", "au"] = "14+25"
    annotated.to_csv(spoilt / "annotation.csv", index=False)
    one, two = (train_in(folder, ["s0"], "same.pt") for folder in (planted, spoilt))
    assert one.read_bytes() == two.read_bytes()


def test_several_subjects_are_left_out_together(planted):
    train_in(planted, ["s0", "s2"], "pair.pt")
    trained, left_out = networks.load_trained(planted / "pair.pt")
    assert left_out == ["s0", "s2"]
    own = [f for f in feature_store.load(planted / "features.h5") if f.subject in ("s1", "s3")]
    rows = np.concatenate([networks.in_unit(f, "inter_ocular").reshape(-1, 2) for f in own])
    np.testing.assert_allclose(trained.std, rows.std(0), rtol=1e-5)


def test_covered_rows_teach_nothing(planted):
    """Marks under a covered face change neither the loss nor, so, the model."""
    losses = []
    for name, spoil in (("plain", False), ("spoilt", True)):
        folder = planted / f"covered_{name}"
        folder.mkdir()
        with store.create(folder / "features.h5", stage="features", settings={}) as file:
            for feature in feature_store.load(planted / "features.h5"):
                covered = (np.arange(260) >= 100) & (np.arange(260) < 160)
                feature.mdmo[covered] = 0
                feature_store.write(file, feature._replace(valid=~covered))
        annotated = pd.read_csv(planted / "annotation.csv")
        if spoil:  # the brows' expressions lie well under the cover
            brows = annotated["type"] == "micro"
            annotated.loc[brows & (annotated["subject"] == "s1"), ["onset", "apex", "offset"]] += 5
        annotated.to_csv(folder / "annotation.csv", index=False)
        train_in(folder, ["s0"], "m.pt")
        losses.append((folder / "m.pt.csv").read_bytes())
    assert losses[0] == losses[1]


def test_a_video_that_is_covered_throughout_is_no_part_of_training(planted):
    """A batch of its windows alone would have no loss, and spoil the network."""
    folder = planted / "all_covered"
    folder.mkdir()
    annotated = pd.read_csv(planted / "annotation.csv")
    annotated.to_csv(folder / "annotation.csv", index=False)
    with store.create(folder / "features.h5", stage="features", settings={}) as file:
        for feature in feature_store.load(planted / "features.h5"):
            # To the end of its second window: rows beyond a video's end count as still.
            long = {name: np.resize(getattr(feature, name), (512, 12, 2)) for name in ["mdmo"]}
            valid = np.full(512, feature.subject != "s1")
            feature_store.write(file, feature._replace(**long, valid=valid))
    settings = Train(epochs=2, batch=1)
    trained, _ = networks.load_trained(train_in(folder, ["s0"], "m.pt", settings))
    assert all(tensor.isfinite().all() for tensor in trained.network.state_dict().values())
    stored = feature_store.load(folder / "features.h5")
    windows = make_windows([f for f in stored if f.subject == "s1"], annotated, trained, settings)
    assert len(windows.features) == 0


# --- resuming and starting


KILLED = """
import os, signal, sys
from mespot import train
saved = train.Course.save
def save(course):
    saved(course)
    if len(course.history) == 40:
        os.kill(os.getpid(), signal.SIGKILL)
train.Course.save = save
from planted import train_in
from mespot.settings import Train
from pathlib import Path
train_in(Path(sys.argv[1]), ["s0"], "killed.pt", Train(epochs=45, batch=2, keep=9))
"""


def test_a_fold_killed_at_epoch_40_and_run_again_ends_with_the_same_bytes(planted):
    settings = Train(epochs=45, batch=2, keep=9)
    train_in(planted, ["s0"], "whole.pt", settings)
    here = os.path.dirname(__file__)
    environment = os.environ | {"PYTHONPATH": here}
    command = [sys.executable, "-c", KILLED, str(planted)]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (planted / "killed.pt.checkpoint").exists()
    assert not (planted / "killed.pt").exists()
    train_in(planted, ["s0"], "killed.pt", settings)
    for ending in ("", ".epochs", ".csv"):
        whole = (planted / f"whole.pt{ending}").read_bytes()
        assert (planted / f"killed.pt{ending}").read_bytes() == whole, ending
    assert not (planted / "killed.pt.checkpoint").exists()


OWN = """
import torch

class Own(torch.nn.Module):
    def __init__(self, adjacency):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
        self.conv = torch.nn.Conv1d(2 * len(adjacency), 10, 5, padding=2)

    def forward(self, x):
        x = torch.nn.functional.dropout(x, 0.3, self.training)
        return self.scale * self.conv(x.flatten(2).transpose(1, 2))
"""


def test_a_network_of_ones_own_resumes_to_the_same_bytes(planted, monkeypatch, capsys):
    """With dropout, a frozen parameter and one outside of any module."""
    (planted / "own.py").write_text(OWN)
    network, settings = f"{planted / 'own.py'}:Own", Train(epochs=25, batch=2, keep=5)
    train_in(planted, ["s0"], "own_whole.pt", settings, network)
    interrupted_at(planted, monkeypatch, 20, "own_killed.pt", settings, network)
    train_in(planted, ["s0"], "own_killed.pt", settings, network)
    assert "resumed after epoch 20" in capsys.readouterr().err
    for ending in ("", ".epochs", ".csv"):
        files = (planted / f"own_{name}.pt{ending}" for name in ("whole", "killed"))
        assert len({path.read_bytes() for path in files}) == 1, ending


def test_resuming_does_not_train_again(planted, capsys, monkeypatch):
    interrupted_at(planted, monkeypatch, 20, "resumed.pt", Train(epochs=25, batch=2))
    train_in(planted, ["s0"], "resumed.pt", Train(epochs=25, batch=2))
    assert "resumed after epoch 20" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["settings", "annotation", "left_out"])
def test_a_checkpoint_of_another_training_is_not_taken_up(planted, monkeypatch, capsys, change):
    settings = Train(epochs=12, batch=2)
    interrupted_at(planted, monkeypatch, 10, "other.pt", settings)
    if change == "settings":
        settings = Train(epochs=12, batch=2, macro_weight=0.7)
    table = pd.read_csv(planted / "annotation.csv")
    if change == "annotation":
        table.loc[5, "apex"] += 1
    table.to_csv(planted / "changed.csv", index=False)
    outputs = [planted / f"other.pt{ending}" for ending in ("", ".epochs", ".csv")]
    left_out = ["s1"] if change == "left_out" else ["s0"]
    files = (planted / "features.h5", planted / "changed.csv")
    train(*files, left_out, "auw_gcn", None, *outputs, settings)
    assert "resumed" not in capsys.readouterr().err


def interrupted_at(planted, monkeypatch, epoch, name, settings, network="auw_gcn"):
    """A training that stops right after the checkpoint of an epoch."""

    class Stopped(Exception):
        pass

    from mespot.train import Course

    saved = Course.save

    def save(course):
        saved(course)
        if len(course.history) == epoch:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Course, "save", save)
        with pytest.raises(Stopped):
            train_in(planted, ["s0"], name, settings, network)


def test_a_checkpoint_that_would_run_code_runs_nothing(planted):
    touched = planted / "was_here"

    class Opens:
        def __reduce__(self):
            return (open, (str(touched), "w"))

    torch.save({"fingerprint": Opens()}, planted / "evil.pt.checkpoint")
    with pytest.raises(InputError, match=r"evil\.pt\.checkpoint: not the checkpoint of a training"):
        train_in(planted, ["s0"], "evil.pt")
    torch.save({"state_dict": Opens()}, planted / "evil_start.pt")
    with pytest.raises(InputError, match=r"evil_start\.pt: not a model"):
        train_in(planted, ["s0"], "x.pt", start=planted / "evil_start.pt")
    assert not touched.exists()


def test_a_warm_start_begins_with_the_others_weights_and_its_own_graph(planted, monkeypatch):
    first = {}

    def fit(course, *_):
        first.update({name: p.clone() for name, p in course.network.state_dict().items()})
        course.history.append({"epoch": 1})

    monkeypatch.setattr("mespot.train.fit", fit)
    train_in(planted, ["s1"], "warm.pt", start=planted / "model.pt")
    source, _ = networks.load_trained(planted / "model.pt")
    for name, parameter in source.network.named_parameters():
        assert torch.equal(first[name], parameter), name
    own = networks.load_trained(planted / "warm.pt")[0].adjacency
    assert np.array_equal(first["graph_embedding.0.gc1.adj"], own)


def test_weights_of_the_chosen_epochs_are_kept(planted):
    _, states, left_out = networks.load_epochs(planted / "model.pt.epochs", "auw_gcn")
    assert list(states) == [10, 20, 30, 40, 50, 60]
    assert left_out == ["s0"]
    assert equal(states[60], weights_of(planted / "model.pt"))
    assert not equal(states[10], states[20])
    train_in(planted, ["s0"], "last.pt", Train(epochs=2, batch=2, keep=0))
    assert list(networks.load_epochs(planted / "last.pt.epochs", "auw_gcn")[1]) == [2]


# --- the optimiser, and what is refused


def test_adamw_is_torchs_and_spares_biases_and_norms():
    torch.manual_seed(0)
    ours, theirs = AUWGCN(torch.eye(4)), AUWGCN(torch.eye(4))
    theirs.load_state_dict(ours.state_dict())
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01)
    optimiser = AdamW(ours, 0.01, 0.1)
    for step in range(4):
        x = torch.randn(3, 20, 4, 2)
        optimiser.step(ours(x).square().mean())
        reference.zero_grad()
        theirs(x).square().mean().backward()
        reference.step()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7, msg=f"step {step}")


def test_regions_that_no_action_unit_moves_are_named(planted):
    settings = Train(epochs=1, graph_rois={1: ["somewhere"]})
    with pytest.raises(InputError, match=r"graph_rois names none of the regions right_brow_outer"):
        train_in(planted, ["s0"], "x.pt", settings)


def test_nothing_to_train_on_is_named(planted):
    (planted / "none.csv").write_text("subject,video,type,onset,apex,offset,au,source_row\n")
    outputs = [planted / f"x.{ending}" for ending in ("pt", "epochs", "csv")]
    files = (planted / "features.h5", planted / "none.csv")
    with pytest.raises(InputError, match="no expression .* but of s0, whom"):
        train(*files, ["s0"], "auw_gcn", None, *outputs, Train())


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"valid": False}, {}, "no face is seen in the videos trained on"),
        ({"mdmo": 0.0}, {}, "nothing moves in the videos trained on"),
        ({"valid": False}, {"normalisation": "published"}, "no expression trained on lies where"),
        ({}, {"macro_weight": 1e308}, "no finite number after epoch 1; lower train.learning_rate"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_named(planted, tmp_path, change, settings, message):
    with store.create(tmp_path / "features.h5", stage="features", settings={}) as file:
        for feature in feature_store.load(planted / "features.h5"):
            for name, value in change.items():
                getattr(feature, name)[:] = value
            feature_store.write(file, feature)
    (tmp_path / "annotation.csv").write_text((planted / "annotation.csv").read_text())
    with pytest.raises(InputError, match=message):
        train_in(tmp_path, ["s0"], "x.pt", Train(epochs=1, **settings))
    assert not list(tmp_path.glob("*.pt"))


def test_motion_that_is_no_number_is_named(planted):
    folder = planted / "nan"
    folder.mkdir()
    with store.create(folder / "features.h5", stage="features", settings={}) as file:
        for feature in feature_store.load(planted / "features.h5"):
            feature.mdmo[7] = np.nan
            feature_store.write(file, feature)
    (folder / "annotation.csv").write_text((planted / "annotation.csv").read_text())
    with pytest.raises(
        InputError, match="features.h5: .*/s0/v0/mdmo holds something that is no number"
    ):
        train_in(folder, ["s0"], "x.pt")


def test_training_starts_without_the_compiler():
    """torch's optimiser classes import it, 5 s in each of many short jobs."""
    code = (
        "import sys, torch; from mespot.networks.auw_gcn import AUWGCN; from mespot.train import AdamW\n"
        "net = AUWGCN(torch.eye(3)); AdamW(net, .1, .1).step(net(torch.ones(1, 9, 3, 2)).sum())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
