"""spot: proposals and suppression on hand-made curves; a trained network finds planted motion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mespot import features, networks, store
from mespot.config import Spot, Train
from mespot.errors import InputError
from mespot.features import Feature
from mespot.model import OUTPUTS
from mespot.score import score
from mespot.spot import Proposal, propose, spot, spot_type, suppress
from mespot.train import train


def curve(n: int, **peaks: float) -> np.ndarray:
    values = np.zeros(n)
    for at, height in peaks.items():
        values[int(at[1:])] = height
    return values


def test_proposal_joins_the_likeliest_onset_and_offset():
    onset, apex = curve(60, _10=0.6, _12=0.9), curve(60, _20=0.8)
    offset = curve(60, _25=0.3, _30=0.5)
    (found,) = propose(onset, apex, offset, (2, 15), (10, 40), 0.5)
    assert found == pytest.approx(Proposal(12, 20, 30, 0.9 * 0.8 * 0.5))


def test_onset_beyond_reach_is_not_taken():
    onset, apex, offset = curve(60, _2=0.9, _15=0.2), curve(60, _20=0.8), curve(60, _25=1)
    (found,) = propose(onset, apex, offset, (2, 10), (1, 40), 0.5)
    assert found.onset == 15


def test_low_apex_short_length_and_the_videos_end_give_nothing():
    onset, offset = curve(60, _15=1), curve(60, _25=1)
    assert not propose(onset, curve(60, _20=0.5), offset, (2, 10), (1, 40), 0.5)
    assert not propose(onset, curve(60, _20=0.9), offset, (2, 10), (12, 40), 0.5)
    assert len(propose(onset, curve(60, _20=0.9), offset, (2, 10), (11, 11), 0.5)) == 1
    for at in (0, 59):
        found = propose(onset, curve(60, **{f"_{at}": 0.9}), offset, (2, 10), (1, 40), 0.5)
        assert not found


def test_suppression_keeps_the_best_of_what_overlaps():
    one, same, other = Proposal(0, 5, 9, 0.5), Proposal(0, 5, 10, 0.9), Proposal(8, 12, 19, 0.7)
    assert suppress([one, same, other], 0.5) == [same, other]
    assert suppress([one, same, other], 0.95) == [same, other, one]
    assert suppress([], 0.5) == []


def test_rows_that_do_not_count_take_their_proposals_with_them():
    values = np.zeros((60, 10))
    for name, at in (("micro_onset", 15), ("micro_apex", 20), ("micro_offset", 25)):
        values[at, OUTPUTS.index(name)] = 1
    valid = np.ones(60, bool)
    assert len(spot_type(values, valid, 30, "micro", Spot())) == 1
    assert not spot_type(values, valid, 30, "macro", Spot())
    valid[23] = False
    assert not spot_type(values, valid, 30, "micro", Spot())


PLANTED = {"macro": (40, 55, 75), "micro": (120, 125, 130), "late": (200, 212, 230)}


def planted_store(path, n_subjects: int = 4, inter_ocular: float = 50.0, seed: int = 11):
    """Videos in which the mouth moves up and back (macro), or the brows do for a moment (micro)."""
    rows, rng = [], np.random.default_rng(seed)
    with store.create(path, stage="features", settings={}, fps=30.0, source="s") as file:
        for k in range(n_subjects):
            mdmo = rng.normal(scale=0.02, size=(260, 12, 2)).astype(np.float32)
            for name, frames in PLANTED.items():
                onset, apex, offset = (frame + 5 * k for frame in frames)
                rois = slice(0, 6) if name == "micro" else slice(8, 12)
                mdmo[onset:apex, rois, 1] -= 0.3
                mdmo[apex:offset, rois, 1] += 0.3
                type_ = "micro" if name == "micro" else "macro"
                au = "1+2" if name == "micro" else "12"
                rows.append((f"s{k}", f"v{k}", type_, onset, apex, offset, au, len(rows)))
            mdmo *= inter_ocular / 50
            valid = np.ones(260, bool)
            names = features.PUBLISHED_REGIONS
            video = Feature(f"s{k}", f"v{k}", mdmo, valid, 30.0, inter_ocular, names)
            features._write(file, video)
    columns = ["subject", "video", "type", "onset", "apex", "offset", "au", "source_row"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    annotated = planted_store(folder / "features.h5")
    annotated.to_csv(folder / "annotation.csv", index=False)
    settings = Train(epochs=60, batch=2)
    train_in(folder, "s0", "model.pt", settings)
    return folder


def train_in(folder, left_out, name, settings, model="auw_gcn"):
    files = (folder / "features.h5", folder / "annotation.csv")
    train(*files, left_out, model, folder / name, folder / f"{name}.csv", settings)


def test_planted_expressions_of_an_unseen_subject_are_found(planted):
    spot(
        planted / "features.h5",
        planted / "model.pt",
        "s0",
        planted / "i.csv",
        planted / "c.h5",
        Spot(),
    )
    found = pd.read_csv(planted / "i.csv")
    truth = pd.read_csv(planted / "annotation.csv").query("subject == 's0'")
    assert set(found["subject"]) == {"s0"}
    counts = score(truth, found, "strict")["overall"]
    assert counts.tp == 3
    assert counts.f1 >= 0.75
    with store.read(planted / "c.h5") as file:
        assert list(file.attrs["channels"]) == list(OUTPUTS)
        values = file["v0"][:]
    assert values.shape == (260, 10)
    assert values.min() >= 0
    assert values.max() <= 1
    assert values[:, :3].sum(1) == pytest.approx(1, abs=1e-5)


def test_the_crops_size_does_not_matter(planted):
    """Twice the face size, twice the motion in px: the same intervals."""
    tables = []
    for unit in (50.0, 100.0):
        planted_store(planted / f"f{unit}.h5", inter_ocular=unit, seed=4)
        out = planted / f"i{unit}.csv"
        spot(planted / f"f{unit}.h5", planted / "model.pt", "", out, planted / "c2.h5", Spot())
        tables.append(pd.read_csv(out))
    assert len(tables[0]) > 5
    pd.testing.assert_frame_equal(*tables)


def test_same_seed_same_bytes_other_seed_other_weights(planted):
    settings = Train(epochs=2, batch=2)
    for name in ("a.pt", "b.pt"):
        train_in(planted, "s0", name, settings)
    train_in(planted, "s0", "c.pt", Train(epochs=2, batch=2, seed=2))
    weights = [
        networks.load_trained(planted / name).network.state_dict()
        for name in ("a.pt", "b.pt", "c.pt")
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not torch.equal(
        weights[0]["_classification.weight"], weights[2]["_classification.weight"]
    )
    for ending in ("pt", "pt.csv"):
        assert (planted / f"a.{ending}").read_bytes() == (planted / f"b.{ending}").read_bytes()


def test_left_out_subject_changes_nothing(planted):
    """Whatever stands in the left-out subject's rows, the model is the same."""
    spoilt = planted / "spoilt"
    spoilt.mkdir()
    with store.create(spoilt / "features.h5", stage="features", settings={}) as file:
        for feature in features.load(planted / "features.h5"):
            if feature.subject == "s0":
                feature = feature._replace(mdmo=feature.mdmo * 100)
            features._write(file, feature)
    annotated = pd.read_csv(planted / "annotation.csv")
    annotated.loc[annotated["subject"] == "s0", ["onset", "apex", "offset"]] = 3
    annotated.loc[annotated["subject"] == "s0", "au"] = "14+25"
    annotated.to_csv(spoilt / "annotation.csv", index=False)
    settings = Train(epochs=2, batch=2)
    for folder in (planted, spoilt):
        train_in(folder, "s0", "same.pt", settings)
    one, two = (networks.load_trained(folder / "same.pt") for folder in (planted, spoilt))
    assert np.array_equal(one.std, two.std)
    assert all(
        map(torch.equal, one.network.state_dict().values(), two.network.state_dict().values())
    )


def test_covered_rows_teach_nothing(planted):
    """Marks under a covered face change neither the loss nor, so, the model."""
    losses = []
    for name, spoil in (("plain", False), ("spoilt", True)):
        folder = planted / f"covered_{name}"
        folder.mkdir()
        with store.create(folder / "features.h5", stage="features", settings={}) as file:
            for feature in features.load(planted / "features.h5"):
                covered = (np.arange(260) >= 100) & (np.arange(260) < 160)
                feature.mdmo[covered] = 0
                features._write(file, feature._replace(valid=~covered))
        annotated = pd.read_csv(planted / "annotation.csv")
        if spoil:  # the brows' expressions lie well under the cover
            brows = annotated["type"] == "micro"
            annotated.loc[brows & (annotated["subject"] == "s1"), ["onset", "apex", "offset"]] += 5
        annotated.to_csv(folder / "annotation.csv", index=False)
        train_in(folder, "s0", "m.pt", Train(epochs=2, batch=2))
        losses.append((folder / "m.pt.csv").read_bytes())
    assert losses[0] == losses[1]


def test_regions_that_no_action_unit_moves_are_named(planted):
    settings = Train(epochs=1, graph_rois={1: ["somewhere"]})
    with pytest.raises(InputError, match=r"graph_rois names none of the regions right_brow_outer"):
        train_in(planted, "s0", "x.pt", settings)


def test_model_of_ones_own_trains_and_spots(planted):
    path = planted / "net.py"
    path.write_text(
        "import torch\n\n\nclass Tiny(torch.nn.Module):\n"
        "    def __init__(self, adjacency):\n        super().__init__()\n"
        "        self.conv = torch.nn.Conv1d(2 * len(adjacency), 10, 5, padding=2)\n\n"
        "    def forward(self, x):\n        return self.conv(x.flatten(2).transpose(1, 2))\n"
    )
    train_in(planted, "s1", "tiny.pt", Train(epochs=1), model=f"{path}:Tiny")
    spot(
        planted / "features.h5",
        planted / "tiny.pt",
        "s1",
        planted / "t.csv",
        planted / "t.h5",
        Spot(),
    )
    assert next(iter(pd.read_csv(planted / "t.csv"))) == "subject"
    with pytest.raises(InputError, match="no class Other"):
        train_in(planted, "s1", "x.pt", Train(epochs=1), model=f"{path}:Other")
    with pytest.raises(InputError, match=r"path/to/file\.py:Class was expected"):
        train_in(planted, "s1", "x.pt", Train(epochs=1), model="unknown")


def test_files_that_are_no_model_are_named(planted):
    out = (planted / "x.csv", planted / "x.h5")
    (planted / "bad.pt").write_bytes(b"PK not a model")
    with pytest.raises(InputError, match=r"bad\.pt: not a model"):
        spot(planted / "features.h5", planted / "bad.pt", "", *out, Spot())
    torch.save({"state_dict": {}}, planted / "empty.pt")
    with pytest.raises(InputError, match=r"empty\.pt: not a model"):
        spot(planted / "features.h5", planted / "empty.pt", "", *out, Spot())


def test_a_pickle_that_would_run_code_runs_nothing(planted, tmp_path):
    touched = tmp_path / "was_here"

    class Opens:
        def __reduce__(self):
            return (open, (str(touched), "w"))

    torch.save({"state_dict": Opens()}, planted / "evil.pt")
    with pytest.raises(InputError, match=r"evil\.pt: not a model"):
        networks.load_trained(planted / "evil.pt")
    assert not touched.exists()


def test_features_of_unknown_face_size_are_refused_by_a_model_of_known(planted):
    planted_store(planted / "px.h5", inter_ocular=float("nan"))
    with pytest.raises(InputError, match="motion in px; the model was trained in inter_ocular"):
        spot(
            planted / "px.h5", planted / "model.pt", "", planted / "x.csv", planted / "x.h5", Spot()
        )


def test_nothing_to_train_on_is_named(planted):
    (planted / "none.csv").write_text("subject,video,type,onset,apex,offset,au,source_row\n")
    with pytest.raises(InputError, match="no expression of a subject other than 's0'"):
        train(
            planted / "features.h5", planted / "none.csv", "s0", "auw_gcn",
            planted / "x.pt", planted / "x.csv", Train(),
        )  # fmt: skip
