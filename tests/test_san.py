"""SAN: with weights made by the reference's rule, its crop, heatmaps, points and scores."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import made
import numpy as np
import pytest
import torch
from conftest import REFERENCE
from safetensors.torch import save_file

from mespot.errors import InputError
from mespot.faces import san, weights

# Two ways to sum in float32 differ by 8e-6 in heatmaps up to 6.5 (against float64, eight seeds), and
# by 4e-4 px in the worst point: where there is little heat, it is divided by little.
HEAT = {"rtol": 1e-5, "atol": 2e-5}
PIXEL = {"rtol": 0, "atol": 2e-3}


@pytest.fixture(scope="module")
def published():
    """The outputs of the published implementation, and the manifest of its tensors."""
    folder = REFERENCE / "san"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs of SAN at {folder}; set MESPOT_REFERENCE")
    with np.load(folder / "san.npz") as file:
        return dict(file), json.loads((folder / "san_manifest.json").read_text())


@pytest.fixture(scope="module")
def network(published, tmp_path_factory):
    """The network with the reference's weights, which came by way of a published checkpoint."""
    _, manifest = published
    state = made.state(manifest["state_dict"], manifest["tag"], "module.")
    folder = tmp_path_factory.mktemp("san")
    path = folder / "checkpoint_49.pth.tar"
    content = {"epoch": 49, "args": argparse.Namespace(arch="itn_cpm"), "state_dict": state}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESPOT_WEIGHTS", str(folder))
        weights.import_weights("san", path)
        return san.San(weights.find("san"), manifest["softargmax_patch"])


def test_it_is_the_published_network(published):
    _, manifest = published
    shapes = {name: list(shape) for name, shape in san.shapes().items()}
    assert shapes == manifest["state_dict"]
    assert manifest["pts_num"] == san.POINTS + 1
    assert manifest["crop_wh"] == [san.SIDE, san.SIDE]
    assert manifest["pre_crop_expand"] == san.EXPAND


def test_the_crop_is_the_published_one_to_the_bit(published):
    data, _ = published
    image = data["image"]
    x0, y0, x1, y1 = san.crop_edges(data["face_box"][None], *image.shape[:2])[0]
    assert [y1 - y0, x1 - x0, x0, y0] == data["crop"].tolist()
    given = san.network_input(image[y0:y1, x0:x1]).numpy()
    np.testing.assert_array_equal(given, data["network_input"])


def test_its_heatmaps_and_scores_are_the_published_ones(published, network):
    data, _ = published
    heatmaps = network.heatmaps(torch.from_numpy(data["network_input"])[None])
    np.testing.assert_allclose(heatmaps[0], data["heatmap"], **HEAT)
    _, scores = san.soft_peaks(heatmaps, network.patch)
    np.testing.assert_allclose(scores[0], data["scores"], **HEAT)


def test_the_published_heatmaps_give_the_published_points(published):
    data, manifest = published
    places, scores = san.soft_peaks(data["heatmap"][None], manifest["softargmax_patch"])
    np.testing.assert_allclose(
        places[0], data["locations_128"], rtol=0, atol=1e-4
    )  # measured: 2e-5
    np.testing.assert_array_equal(scores[0], data["scores"])


def test_its_points_are_the_published_ones(published, network):
    """Measured on the reference: 7e-5 px."""
    data, _ = published
    images, boxes = data["image"][None], data["face_box"][None]
    points = network(images, boxes)
    assert points.shape == (1, 68, 2)
    np.testing.assert_allclose(points[0], data["locations_image"], **PIXEL)
    assert np.median(np.abs(points[0] - data["locations_image"])) < 1e-4
    np.testing.assert_array_equal(network(images, boxes), points)
    with_another = np.concatenate([images[:, ::-1], images])
    both = network(with_another, boxes.repeat(2, axis=0))
    np.testing.assert_allclose(both[1], points[0], **PIXEL)


def test_each_frame_is_seen_by_itself_and_few_at_a_time(network, monkeypatch):
    """Whatever else goes through the network with it; the heat here is made from the input."""
    seen = []

    def heatmaps(inputs):
        seen.append(len(inputs))
        small = torch.nn.functional.avg_pool2d(inputs, san.STRIDE)
        return torch.cat([small] * 23, 1).numpy()

    monkeypatch.setattr(network, "heatmaps", heatmaps)
    size = san.BATCH[network.device]
    n = 2 * size + 1
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (n, 90, 120, 3), dtype=np.uint8)
    boxes = np.tile([20.0, 10.0, 80.0, 75.0], (n, 1)) + rng.uniform(-9, 9, (n, 4))
    together = network(images, boxes)
    assert seen == [size, size, 1]
    for i in range(n):
        alone = network(images[i : i + 1], boxes[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def sampled(heatmap, patch):
    """The published procedure in torch's own words: a grid laid over each map and sampled."""
    heat = torch.from_numpy(heatmap)
    side = heat.shape[-1]
    flat = heat.flatten(1).argmax(1)
    peak = torch.stack([flat % side, flat // side], 1).double()
    low, high = (2 * (peak + by) / (side - 1) - 1 for by in (-patch, patch))
    theta = torch.zeros(len(heat), 2, 3, dtype=torch.float64)
    theta[:, [0, 1], [0, 1]] = (high - low) / 2
    theta[:, :, 2] = (high + low) / 2
    size = [len(heat), 1, 2 * patch + 1, 2 * patch + 1]
    grid = torch.nn.functional.affine_grid(theta, size, align_corners=False)
    window = torch.nn.functional.grid_sample(heat[:, None], grid, align_corners=False)[:, 0]
    window[window <= 1e-6] = np.finfo(float).eps
    steps = torch.arange(-patch, patch + 1)
    total = window.sum((1, 2))
    mean = [(window.sum(axis) * steps).sum(1) / total for axis in (1, 2)]
    return ((peak + torch.stack(mean, 1)) * 8 + 3.5).numpy()


@pytest.mark.parametrize("patch", [3, 4, 8])
def test_points_are_the_mean_of_the_sampled_window(patch):
    heatmaps = np.random.default_rng(patch).normal(size=(3, 69, 16, 16))
    heatmaps[0, :10] -= 10  # no heat at all
    for k, (row, column) in enumerate([(0, 0), (0, 15), (15, 0), (15, 15), (7, 0)]):
        heatmaps[1, k, row, column] += 10
    places, scores = san.soft_peaks(heatmaps.astype(np.float32), patch)
    for k in range(3):
        expected = sampled(heatmaps[k, :68].astype(np.float32).astype(float), patch)
        np.testing.assert_allclose(places[k], expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(scores, heatmaps[:, :68].astype(np.float32).max((2, 3)))
    cells = heatmaps[0, :10].reshape(10, -1).argmax(1)
    expected = np.stack([cells % 16, cells // 16], 1) * 8 + 3.5
    np.testing.assert_allclose(places[0, :10], expected, atol=1e-9)


def test_the_crop_ends_where_the_image_does():
    boxes = [[10.5, 10.5, 20.5, 30.5], [-50, -50, 30, 40], [90, 40, 300, 300]]
    edges = san.crop_edges(np.array(boxes), 60, 100)
    assert edges.tolist() == [[8, 6, 23, 35], [0, 0, 46, 58], [48, 0, 100, 60]]


@pytest.mark.parametrize(
    "box", [[120, 10, 150, 40], [30, 30, 30, 30], [40, 10, 20, 30], [10, np.nan, 30, 40]]
)
def test_a_box_beside_the_image_is_named_with_its_frame(box):
    with pytest.raises(InputError, match="frame 1: the face's box .* picture of 100 x 60 px"):
        san.crop_edges(np.array([[10, 10, 30, 30], box], float), 60, 100)


def test_weights_that_are_missing_or_others_are_named(tmp_path):
    with pytest.raises(InputError, match="san.safetensors: no such file; import"):
        san.San(tmp_path / "san.safetensors", patch=4)
    save_file({"stage1.0.bias": torch.zeros(3)}, tmp_path / "san.safetensors")
    with pytest.raises(InputError, match="netG_A.model.1.weight: missing") as error:
        san.San(tmp_path / "san.safetensors", patch=4)
    assert "stage1.0.bias: (3,) where shape (128,) was expected" in str(error.value)


def test_torch_is_not_imported_with_the_faces():
    """It takes seconds, and dlib's detector needs none of it."""
    code = "import mespot.faces, mespot.cli, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
