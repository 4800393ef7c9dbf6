"""checkpoints: the published form in and out, with the same outputs; what is none is named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from planted import planted_store, train_in
from typer.testing import CliRunner

from mespot.cli import app
from mespot.errors import InputError
from mespot.feature_store import load
from mespot.networks import trained as networks
from mespot.networks.auw_gcn import AUWGCN
from mespot.networks.checkpoints import export_checkpoint, import_checkpoint
from mespot.settings import Spot, Train
from mespot.spotting.network import by_networks


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in the published form, of random weights."""
    torch.manual_seed(5)
    network = AUWGCN(torch.rand(12, 12))
    path = tmp_path / "published.pth"
    torch.save({"epoch": 37, "state_dict": network.state_dict()}, path)
    return path


def test_the_published_weights_give_the_published_outputs(reference, tmp_path):
    """The real names and shapes: from a checkpoint of the reference weights to its outputs."""
    with np.load(reference / "model_cas_me_sq.npz") as file:
        arrays = dict(file)
    state = {
        name.removeprefix("init/"): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("init/")
    }
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "c.pth")
    import_checkpoint(tmp_path / "c.pth", tmp_path / "model.pt")
    trained, left_out = networks.load_trained(tmp_path / "model.pt")
    assert left_out == []
    motion = arrays["features_raw"] * np.float32(20)  # px/frame
    inputs = ((motion - trained.mean) / trained.std).astype(np.float32)
    with torch.inference_mode():
        out = trained.network(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(out, arrays["out_eval"], rtol=1e-5, atol=5e-6)


def test_an_imported_checkpoint_spots_and_goes_out_as_it_came_in(checkpoint, tmp_path):
    import_checkpoint(checkpoint, tmp_path / "model.pt")
    planted_store(tmp_path / "features.h5", n_subjects=2, inter_ocular=float("nan"))
    stored = load(tmp_path / "features.h5")
    spotted = list(by_networks(stored, [tmp_path / "model.pt"], "auw_gcn", None, Spot()))
    assert [one.feature.video for one in spotted] == ["v0", "v1"]
    with pytest.raises(InputError, match="a model of mespot's already"):
        import_checkpoint(tmp_path / "model.pt", tmp_path / "twice.pt")
    export_checkpoint(tmp_path / "model.pt", tmp_path / "out.pth")
    was, now = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "out.pth"))
    assert now["epoch"] == was["epoch"] == 37
    assert now["state_dict"].keys() == was["state_dict"].keys()
    assert all(
        torch.equal(now["state_dict"][name], was["state_dict"][name]) for name in was["state_dict"]
    )


def test_a_model_of_ones_own_training_goes_out_with_the_same_outputs(tmp_path):
    """Another normalisation is made up for by the weights."""
    annotated = planted_store(tmp_path / "features.h5", inter_ocular=float("nan"))
    annotated.to_csv(tmp_path / "annotation.csv", index=False)
    train_in(tmp_path, ["s0"], "model.pt", Train(epochs=4, batch=2, keep=2))
    for epoch in (None, 2):
        source = "model.pt.epochs" if epoch else "model.pt"
        export_checkpoint(tmp_path / source, tmp_path / "out.pth", epoch)
        import_checkpoint(tmp_path / "out.pth", tmp_path / "back.pt")
        trained, states, _ = networks.load_epochs(tmp_path / "model.pt.epochs", "auw_gcn")
        pair = [
            trained.with_weights(states[epoch or 4]),
            networks.load_trained(tmp_path / "back.pt")[0],
        ]
        assert not np.allclose(pair[0].std, pair[1].std)
        video = load(tmp_path / "features.h5")[0]
        with torch.inference_mode():
            one, other = (t.network(torch.from_numpy(t.windows(video))).numpy() for t in pair)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_what_the_published_form_cannot_hold_is_named(planted, tmp_path):
    with pytest.raises(
        InputError, match="inter-ocular distances, which the published code does not"
    ):
        export_checkpoint(planted / "model.pt", tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"epoch 7 was not kept; there are \[10, 20"):
        export_checkpoint(planted / "model.pt.epochs", tmp_path / "x.pth", 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["state_dict"].pop("_sequential.0.weight"), "_sequential.0.weight: missing"),
        (lambda c: c["state_dict"].update(extra=torch.ones(1)), "extra: unknown"),
        (
            lambda c: c["state_dict"].update({"_sequential.0.weight": torch.ones(64, 160, 1)}),
            r"_sequential.0.weight: \(64, 160, 1\) where shape \(64, 192, 1\) was expected",
        ),
        (
            lambda c: c["state_dict"].update({"_sequential.1.bias": "x"}),
            "_sequential.1.bias: str where",
        ),
        (
            lambda c: c["state_dict"]["_classification.weight"].fill_(float("nan")),
            "_classification.weight: holds something that is no finite number",
        ),
        (lambda c: c.pop("state_dict"), "its keys are epoch"),
        (lambda c: c.update(epoch="last"), "its keys are epoch, state_dict"),
    ],
)
def test_a_checkpoint_that_is_not_what_it_claims_is_named(checkpoint, tmp_path, change, message):
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match=message):
        import_checkpoint(checkpoint, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


class Opens:
    """A pickle of it opens a file when it is read by pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda c, p: p.write_bytes(pickle.dumps(c))])
def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, write):
    path, touched = tmp_path / "evil.pth", tmp_path / "was_here"
    write({"epoch": 1, "state_dict": Opens(touched)}, path)
    command = ["checkpoint-import", "--checkpoint", str(path), "--out", str(tmp_path / "model.pt")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "evil.pth: not a checkpoint of the published code" in result.stderr
    assert not touched.exists()
    assert not (tmp_path / "model.pt").exists()
