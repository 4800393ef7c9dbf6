"""spotting.network: proposals and suppression on hand-made curves and as published; planted motion is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from planted import planted_store, train_in

from mespot import store
from mespot.errors import InputError
from mespot.feature_store import load
from mespot.intervals import SELECTION_COLUMNS
from mespot.networks.auw_gcn import OUTPUTS
from mespot.networks.trained import load_epochs
from mespot.score import score
from mespot.settings import Lanes, Spot, Train
from mespot.spot import Files, spot
from mespot.spotting.network import UNITS, by_networks, spot_type
from mespot.spotting.proposals import Proposal, propose, propose_published, suppress


def curve(n: int, **peaks: float) -> np.ndarray:
    values = np.zeros(n)
    for at, height in peaks.items():
        values[int(at[1:])] = height
    return values


def test_proposal_joins_the_likeliest_onset_and_offset():
    onset, apex = curve(60, _10=0.6, _12=0.9), curve(60, _20=0.8)
    offset = curve(60, _25=0.3, _30=0.5)
    (found,) = propose(onset, apex, offset, (2, 15), (10, 40), 0.5)
    assert found == pytest.approx([12, 20, 30, 0.9 * 0.8 * 0.5])


def test_onset_beyond_reach_is_not_taken():
    onset, apex, offset = curve(60, _2=0.9, _15=0.2), curve(60, _20=0.8), curve(60, _25=1)
    (found,) = propose(onset, apex, offset, (2, 10), (1, 40), 0.5)
    assert found[0] == 15


def test_low_apex_short_length_and_the_videos_end_give_nothing():
    onset, offset = curve(60, _15=1), curve(60, _25=1)
    assert not len(propose(onset, curve(60, _20=0.5), offset, (2, 10), (1, 40), 0.5))
    assert not len(propose(onset, curve(60, _20=0.9), offset, (2, 10), (12, 40), 0.5))
    assert len(propose(onset, curve(60, _20=0.9), offset, (2, 10), (11, 11), 0.5)) == 1
    for at in (0, 59):
        found = propose(onset, curve(60, **{f"_{at}": 0.9}), offset, (2, 10), (1, 40), 0.5)
        assert not len(found)


def test_suppression_keeps_the_best_of_what_overlaps():
    one, same, other = [0, 5, 9, 0.5], [0, 5, 10, 0.9], [8, 12, 19, 0.7]
    proposals = np.array([one, same, other])
    assert suppress(proposals, 0.5).tolist() == [same, other]
    assert suppress(proposals, 0.95).tolist() == [same, other, one]
    assert suppress(proposals, 0.95, top=2).tolist() == [same, other]
    assert suppress(proposals[:0], 0.5).tolist() == []


def test_published_proposals_by_hand():
    """At the left edge row 0 alone is left to begin at; frames are one more than rows."""
    onset, offset, apex = curve(60, _0=0.5), curve(60, _6=0.8), curve(60, _1=0.9)
    (found,) = propose_published(onset[None], offset[None], apex[None], (2, 7), (5, 30), 0.5)
    assert found == pytest.approx([1, 2, 7, 0.5 * 0.9 * 0.8])
    # The second window's frames go on counting.
    none = np.zeros_like(apex)
    both = [np.stack([none, one]) for one in (onset, offset, apex)]
    assert propose_published(*both, (2, 7), (5, 30), 0.5)[0, 0] == 61
    # Too short, too long, or an offset likelier where it begins, or an onset where it ends.
    assert not len(propose_published(onset[None], offset[None], apex[None], (2, 7), (7, 30), 0.5))
    assert not len(propose_published(onset[None], offset[None], apex[None], (2, 7), (2, 5), 0.5))
    spoilt = offset + curve(60, _0=0.6)
    assert not len(propose_published(onset[None], spoilt[None], apex[None], (2, 7), (5, 30), 0.5))
    spoilt = onset + curve(60, _6=0.9)
    assert not len(propose_published(spoilt[None], offset[None], apex[None], (2, 7), (5, 30), 0.5))


# Reach around the apex and lengths in rows, most intervals a video: of each published dataset.
PUBLISHED = {
    "cas_me_sq": {"macro": ((7, 29), (15, 88), 5), "micro": ((2, 7), (5, 30), 5)},
    "samm_lv": {"macro": ((6, 27), (12, 81), 6), "micro": ((2, 7), (4, 13), 5)},
}


def published_probabilities(reference, dataset):
    """Probabilities (W, 256, 10) of each video from the published raw outputs."""
    with np.load(reference / f"scores_{dataset}.npz") as file:
        logits = torch.from_numpy(file["raw_output"]).transpose(1, 2)
        names, first = file["video_name"], file["offset"]
    parts = (logits[..., :3].softmax(2), logits[..., 3:6].softmax(2), logits[..., 6:].sigmoid())
    values = torch.cat(parts, 2).numpy()
    for video in dict.fromkeys(names):
        assert first[names == video].tolist() == list(range(0, 256 * sum(names == video), 256))
        yield video, values[names == video]


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_proposals_and_suppression_are_the_published_ones(reference, dataset):
    """Every interval and its order exactly; scores to a float32's last digits."""
    proposed, kept = [], []
    for video, values in published_probabilities(reference, dataset):
        for type_, (reach, length, top) in PUBLISHED[dataset].items():
            columns = [OUTPUTS.index(f"{type_}_{name}") for name in ("onset", "offset", "apex")]
            curves = (values[..., column] for column in columns)
            proposals = propose_published(*curves, reach, length, 0.5)
            best = suppress(proposals, 0.5, inclusive=False, top=top)
            for rows, table in ((proposals, proposed), (best, kept)):
                number = {"macro": 1, "micro": 2}[type_]
                table += [(video, int(a), int(b), number, score) for a, _, b, score in rows]
    columns = ["video_name", "start_frame", "end_frame", "type_idx", "score"]
    for name, rows in (("proposals", proposed), ("nms", kept)):
        expected = pd.read_csv(reference / f"{name}_{dataset}.csv")[columns]
        found = pd.DataFrame(rows, columns=columns)
        if name == "proposals":  # in the order of their scores there; equal ones in any
            expected, found = (table.sort_values(columns) for table in (expected, found))
        assert found[columns[:4]].to_numpy().tolist() == expected[columns[:4]].to_numpy().tolist()
        np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-6)


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_published_methods_seconds_are_the_published_rows(paper_config, dataset):
    """Also those that no interval of the reference set comes up against."""
    spotting, fps = (
        paper_config.stage("spot", dataset, "published"),
        paper_config.datasets[dataset].fps,
    )
    for type_, (reach, length, top) in PUBLISHED[dataset].items():
        for name, rows in (("reach", reach), ("seconds", length)):
            seconds = getattr(spotting, f"{type_}_{name}")
            assert tuple(round(each * fps) for each in seconds) == rows, (type_, name)
        assert getattr(spotting, f"top_{type_}") == top


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_published_method_of_the_config_spots_the_published_intervals(
    reference, paper_config, dataset
):
    """The seconds in paper.yaml are the published rows, and `spot_type` puts the parts together."""
    spotting = paper_config.stage("spot", dataset, "published")
    fps = paper_config.datasets[dataset].fps
    found = []
    for video, windows in published_probabilities(reference, dataset):
        valid = np.ones(windows.shape[0] * windows.shape[1], bool)
        for number, type_ in ((1, "macro"), (2, "micro")):
            spotted = spot_type(windows, valid, fps, type_, spotting)
            found += [(video, p.onset, p.offset, number) for p in spotted]
    expected = pd.read_csv(reference / f"nms_{dataset}.csv")
    columns = ["video_name", "start_frame", "end_frame", "type_idx"]
    assert found == list(expected[columns].itertuples(index=False, name=None))


def test_rows_that_do_not_count_take_their_proposals_with_them():
    values = np.zeros((1, 64, 10))
    for name, at in (("micro_onset", 15), ("micro_apex", 20), ("micro_offset", 25)):
        values[0, at, OUTPUTS.index(name)] = 1
    valid = np.ones(60, bool)
    assert spot_type(values, valid, 30, "micro", Spot()) == [Proposal(15, 20, 25, 1.0)]
    assert not spot_type(values, valid, 30, "macro", Spot())
    valid[23] = False
    assert not spot_type(values, valid, 30, "micro", Spot())


def test_an_expression_over_the_edge_of_a_window_is_found():
    values = np.zeros((2, 64, 10))
    for name, at in (("macro_onset", 50), ("macro_apex", 60), ("macro_offset", 80)):
        values[at // 64, at % 64, OUTPUTS.index(name)] = 1
    valid = np.ones(128, bool)
    assert spot_type(values, valid, 30, "macro", Spot()) == [Proposal(50, 60, 80, 1.0)]
    published = Spot(proposals="published")
    assert not spot_type(values, valid, 30, "macro", published)


def test_planted_expressions_of_an_unseen_subject_are_found(planted):
    spot_in(planted, "i.csv")
    found = pd.read_csv(planted / "i.csv")
    truth = pd.read_csv(planted / "annotation.csv").query("subject == 's0'")
    assert set(found["subject"]) == {"s0"}, "the model spots in those whom it left out"
    counts = score(truth, found, "strict")["overall"]
    assert counts.tp == 3
    assert counts.f1 >= 0.75
    with store.read(planted / "i.csv.h5") as file:
        assert store.attribute(file["v0"], "channels", list[str]) == list(OUTPUTS)
        values = file["v0"][:]
    assert values.shape == (260, 10)
    assert values.min() >= 0
    assert values.max() <= 1
    assert values[:, :3].sum(1) == pytest.approx(1, abs=1e-5)


def spot_in(folder, out, model="model.pt", features="features.h5", selection=None, **more):
    network = more.pop("network", "auw_gcn")
    spot_by(folder / features, [folder / model], folder / out, Spot(**more), network, selection)
    return pd.read_csv(folder / out)


def spot_by(features, models, out, settings=None, network="auw_gcn", selection=None) -> None:
    settings = settings or Spot()
    files = Files(
        *(out.with_name(f"{out.name}{ending}") for ending in ("", ".not", ".lanes", ".h5"))
    )
    spotted = by_networks(load(features), models, network, selection, settings)
    spot(features, spotted, UNITS, files, settings.plain(), Lanes())


def test_the_crops_size_does_not_matter(planted):
    """Twice the face size, twice the motion in px: the same intervals."""
    tables = []
    for unit in (50.0, 100.0):
        planted_store(planted / f"f{unit}.h5", n_subjects=1, inter_ocular=unit, seed=4)
        tables.append(spot_in(planted, "size.csv", features=f"f{unit}.h5"))
    assert len(tables[0]) >= 3
    pd.testing.assert_frame_equal(*tables)


def test_chosen_epoch_and_thresholds_stand_instead_of_the_last(planted):
    chosen = planted / "selection.csv"
    plain = spot_in(planted, "plain.csv")
    for epoch, least, same in ((60, 0.125, True), (60, 0.99, False), (10, 0.125, False)):
        row = dict.fromkeys(SELECTION_COLUMNS, 0) | {"fold": "s0", "epoch": epoch}
        row |= {"min_macro": least, "min_micro": least}
        pd.DataFrame([row]).to_csv(chosen, index=False)
        found = spot_in(planted, "chosen.csv", model="model.pt.epochs", selection=chosen)
        assert found.equals(plain) == same
    pd.DataFrame([row | {"fold": "s1"}]).to_csv(chosen, index=False)
    with pytest.raises(InputError, match=r"model\.pt\.epochs: no epoch of fold s0 is chosen"):
        spot_in(planted, "x.csv", model="model.pt.epochs", selection=chosen)


def test_a_fold_whose_videos_all_failed_costs_only_itself(planted, capsys):
    known = {"stage": "features", "settings": {}, "fps": 30.0, "source": "s"}
    with (
        store.read(planted / "features.h5") as file,
        store.create(planted / "without.h5", **known) as other,
    ):
        for subject in ("s1", "s2"):
            file.copy(subject, other)
    train_in(planted, ["s1"], "other.pt")
    models = [planted / "model.pt", planted / "other.pt"]
    out = planted / "x.csv"
    spot_by(planted / "without.h5", models, out)
    assert "no video of s0, left out by" in capsys.readouterr().err
    with store.read(planted / "x.csv.h5") as file:
        assert list(file) == ["v1"]
    with pytest.raises(InputError, match="no video of a subject whom the models left out"):
        spot_by(planted / "without.h5", models[:1], out)
    with pytest.raises(InputError, match=r"other\.pt: v1 was spotted in by another"):
        spot_by(planted / "without.h5", models[1:] * 2, out)


def test_model_of_ones_own_trains_and_spots(planted):
    path = planted / "net.py"
    path.write_text(
        "import torch\n\n\nclass Tiny(torch.nn.Module):\n"
        "    def __init__(self, adjacency):\n        super().__init__()\n"
        "        self.conv = torch.nn.Conv1d(2 * len(adjacency), 10, 5, padding=2)\n\n"
        "    def forward(self, x):\n        return self.conv(x.flatten(2).transpose(1, 2))\n"
    )
    train_in(planted, ["s1"], "tiny.pt", Train(epochs=1), network=f"{path}:Tiny")
    assert "onset" in spot_in(planted, "t.csv", model="tiny.pt", network=f"{path}:Tiny")
    with pytest.raises(InputError, match="no class Other"):
        train_in(planted, ["s1"], "x.pt", Train(epochs=1), network=f"{path}:Other")
    with pytest.raises(InputError, match=r"path/to/file\.py:Class was expected"):
        train_in(planted, ["s1"], "x.pt", Train(epochs=1), network="unknown")
    for line, message in (
        ("import nowhere_at_all", r"own.py, line 1: No module named 'nowhere_at_all'"),
        ("class Tiny:\n  def __init__(self): pass", "TypeError in .*Tiny.*takes 1 positional"),
        ("import torch\nclass Tiny(torch.nn.Module):\n  def __init__(self, a): super().__init__()\n"
         "  def forward(self, x): return x", r"\(1, 270, 12, 2\); logits \(1, 10, 270\) were expected"),
    ):  # fmt: skip
        (planted / "own.py").write_text(line + "\n")
        with pytest.raises(InputError, match=message):
            train_in(planted, ["s1"], "x.pt", Train(epochs=1), network=f"{planted}/own.py:Tiny")


def test_a_file_does_not_choose_which_code_runs(planted):
    """The network is named by who runs `spot`, not by the model's file."""
    content = torch.load(planted / "model.pt", weights_only=True)
    (planted / "evil.py").write_text("raise SystemExit('it ran')\n")
    torch.save(content | {"model": f"{planted}/evil.py:Net"}, planted / "evil_named.pt")
    with pytest.raises(InputError, match=r"a model of the network '.*evil\.py:Net'"):
        spot_in(planted, "x.csv", model="evil_named.pt")


def test_files_that_are_no_model_are_named(planted):
    (planted / "bad.pt").write_bytes(b"PK not a model")
    with pytest.raises(InputError, match=r"bad\.pt: not a model"):
        spot_in(planted, "x.csv", model="bad.pt")
    content = torch.load(planted / "model.pt", weights_only=True)
    for name, value in (
        ("state_dict", {}),
        ("adjacency", [[1.0]]),
        ("adjacency", "none"),
        ("left_out", "s0"),
        ("regions", 3),
    ):
        torch.save(content | {name: value}, planted / "odd.pt")
        with pytest.raises(InputError, match=r"odd\.pt: not a model"):
            spot_in(planted, "x.csv", model="odd.pt")
    with pytest.raises(InputError, match="after its last epoch alone; the file of all kept epochs"):
        load_epochs(planted / "model.pt", "auw_gcn")
    torch.save(torch.zeros(3), planted / "tensor.pt")
    with pytest.raises(InputError, match=r"tensor\.pt: not a model.*holds a Tensor"):
        spot_in(planted, "x.csv", model="tensor.pt")


def test_features_of_unknown_face_size_are_refused_by_a_model_of_known(planted):
    planted_store(planted / "px.h5", inter_ocular=float("nan"))
    with pytest.raises(InputError, match="motion in px; the model was trained in inter_ocular"):
        spot_in(planted, "x.csv", features="px.h5")
