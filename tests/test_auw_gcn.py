"""The network: its parts against a computation by hand, and the whole against the published one."""

import numpy as np
import pytest
import torch

from mespot.networks.auw_gcn import AUWGCN, OUTPUTS, GraphLayer


@pytest.fixture(params=["cas_me_sq", "samm_lv"])
def published(request, reference):
    """(arrays of model_{dataset}.npz, a network with its initial weights)."""
    with np.load(reference / f"model_{request.param}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, loaded(arrays, "init/")


def loaded(arrays, prefix):
    state = {
        name.removeprefix(prefix): torch.tensor(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    network = AUWGCN(torch.zeros_like(state["graph_embedding.0.gc1.adj"]))
    network.load_state_dict(state, strict=True)
    return network


def test_it_gives_the_published_outputs_in_eval_mode(published):
    arrays, network = published
    with torch.no_grad():
        out = network.eval()(torch.tensor(arrays["batch/features"]))
    np.testing.assert_allclose(out.numpy(), arrays["out_eval"], rtol=1e-5, atol=2e-6)


def test_it_gives_the_published_outputs_in_train_mode(published):
    arrays, network = published
    # In float64: what is left is the published run's own float32 rounding, which the batch
    # normalisations of nearly constant channels enlarge.
    with torch.no_grad():
        out = network.double().train()(torch.tensor(arrays["batch/features"]).double())
    scale = np.abs(arrays["out_train"]).max()
    np.testing.assert_allclose(out.numpy(), arrays["out_train"], rtol=1e-5, atol=2e-5 * scale)


@pytest.mark.parametrize("training", [False, True])
def test_folding_the_graph_changes_nothing(training):
    """The layer by its definition, in float64: outputs, gradients and running statistics."""
    torch.manual_seed(2)
    adjacency = torch.rand(12, 12) * (torch.rand(12, 12) > 0.5)
    adjacency[6:8] = 0  # a ROI that hears nobody
    nodes = (torch.randn(300, 12, 2) * torch.tensor([0.03, 0.2]) + 0.01).double()
    layers = [GraphLayer(adjacency, 2, 16).double().train(training) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    for layer in layers:
        torch.nn.init.normal_(layer.bn1.weight, generator=torch.Generator().manual_seed(3))
    folded, plain = layers
    gcn = plain.gc1
    by_channel = (gcn.adj @ (nodes @ gcn.weight) + gcn.bias).transpose(1, 2)
    outputs = [folded(nodes), plain.bn1(by_channel).transpose(1, 2).relu()]
    weights = torch.randn(300, 12, 16, generator=torch.Generator().manual_seed(4)).double()
    for out in outputs:
        (out * weights).sum().backward()
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-12)
    for one, other in zip(folded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-9)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        buffers = (getattr(layer.bn1, name) for layer in layers)
        torch.testing.assert_close(*buffers, rtol=1e-10, atol=1e-12)


def test_state_dict_has_the_published_names_and_shapes():
    state = AUWGCN(torch.eye(12)).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "graph_embedding.0.gc1.weight": (2, 16),
        "graph_embedding.0.gc1.bias": (16,),
        "graph_embedding.0.gc1.adj": (12, 12),
        **{f"graph_embedding.0.bn1.{name}": shape for name, shape in batch_norm(16).items()},
        "_sequential.0.weight": (64, 192, 1),
        **{f"_sequential.1.{name}": shape for name, shape in batch_norm(64).items()},
        "_sequential.3.weight": (64, 64, 3),
        **{f"_sequential.4.{name}": shape for name, shape in batch_norm(64).items()},
        "_sequential.6.weight": (64, 64, 3),
        **{f"_sequential.7.{name}": shape for name, shape in batch_norm(64).items()},
        "_classification.weight": (10, 64, 3),
    }


def batch_norm(channels):
    names = ("weight", "bias", "running_mean", "running_var")
    return {**dict.fromkeys(names, (channels,)), "num_batches_tracked": ()}


@pytest.mark.parametrize("n_rois", [1, 5, 30])
def test_any_number_of_rois_and_frames(n_rois):
    network = AUWGCN(torch.eye(n_rois))
    out = network(torch.randn(2, 40, n_rois, 2))
    assert out.shape == (2, len(OUTPUTS), 40)


def test_each_output_sees_five_frames_on_each_side():
    torch.manual_seed(0)
    network = AUWGCN(torch.eye(3)).eval()
    features = torch.randn(1, 41, 3, 2)
    moved = features.clone()
    moved[0, 20] += 1
    with torch.no_grad():
        changed = (network(features) != network(moved)).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == list(range(15, 26))


def test_rois_speak_only_through_the_adjacency():
    torch.manual_seed(0)
    adjacency = torch.zeros(3, 3)
    adjacency[0, 1] = 1.0  # ROI 0 hears ROI 1; nobody hears ROI 0 and 2
    network = AUWGCN(adjacency).eval()
    features = torch.randn(1, 20, 3, 2)
    with torch.no_grad():
        out = network(features)
        for roi, heard in ((0, False), (1, True), (2, False)):
            other = features.clone()
            other[:, :, roi] += 1
            assert torch.equal(network(other), out) != heard


def test_the_adjacency_is_kept_but_not_trained():
    network = AUWGCN(torch.eye(4))
    assert "graph_embedding.0.gc1.adj" not in dict(network.named_parameters())


@pytest.mark.parametrize("shape", [(2, 40, 11, 2), (2, 40, 12, 3), (40, 12, 2)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, T, 12, 2\)"):
        AUWGCN(torch.eye(12))(torch.zeros(shape))


def test_an_adjacency_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        AUWGCN(torch.zeros(3, 4))
