"""retinaface: with made weights, its preparation of images, its boxes, and the choice by config."""

from __future__ import annotations

import hashlib
import json

import h5py
import made
import numpy as np
import pytest
import torch
from retinaface.box_utils import encode, point_form
from torchvision.ops import box_iou

from mespot import align, faces, video
from mespot.errors import InputError
from mespot.faces import dlib, retinaface, weights
from mespot.settings import Align, Landmarks

HEIGHT, WIDTH = 96, 160
TERNAUS, BIUBUG6 = retinaface.TRAINED.values()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for weights, which MESPOT_WEIGHTS names."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESPOT_WEIGHTS", str(folder / "kept"))
        yield folder


def detector(folder, state) -> retinaface.Detector:
    """The detector with weights that came by way of a published checkpoint."""
    torch.save(state, folder / "checkpoint.pth")
    parallel = next(iter(state)).startswith("module.")
    said = None if parallel else weights.TRAINED_BY[0]
    weights.import_weights("retinaface", folder / "checkpoint.pth", said)
    return faces.face_detector(Align(detector="retinaface"))


def random_state(prefix: str = "") -> dict[str, torch.Tensor]:
    """Made weights; those of the heads less, or all probabilities are 0 or 1 and boxes are huge."""
    state = made.state(retinaface.shapes(), prefix=prefix)
    for name, tensor in state.items():
        if "Head" in name:
            tensor *= 0.002
    return state


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Colours that change slowly from place to place."""
    coarse = np.random.default_rng(4).uniform(0, 255, (6, 10, 3))
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (HEIGHT, WIDTH), mode="bicubic"
    )
    return smooth[0].permute(1, 2, 0).clip(0, 255).to(torch.uint8).numpy()


def test_it_has_the_tensors_of_both_checkpoints():
    """Counted in retinaface-pytorch 0.0.8."""
    shapes = retinaface.shapes()
    assert len(shapes) == 383
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 27351584
    assert shapes["body.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["ssh2.conv7x7_3.1.running_var"] == (64,)


def test_images_are_prepared_as_each_training_did():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = (200, 100, 50)
    given = retinaface.network_input(image, TERNAUS)
    assert given.shape == (1, 3, 2, 3)
    assert given.dtype == torch.float32
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (np.array([200, 100, 50]) / 255 - mean) / deviation
    np.testing.assert_allclose(given[0, :, 1, 2], expected, rtol=1e-5)
    given = retinaface.network_input(image, BIUBUG6)
    assert given[0, :, 1, 2].tolist() == [50 - 104, 100 - 117, 200 - 123]
    grey = retinaface.network_input(image[..., 0], BIUBUG6)
    assert grey[0, :, 1, 2].tolist() == [200 - 104, 200 - 117, 200 - 123]


def planted(faces_at: dict[int, tuple[list[float], float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's output that says, of some anchors, the box (4,) px and the face's probability."""
    anchors = retinaface._anchors(HEIGHT, WIDTH)
    offsets = torch.zeros(len(anchors), 4)
    logits = torch.tensor([[5.0, -5.0]]).repeat(len(anchors), 1)
    size = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for anchor, (box, probability) in faces_at.items():
        wanted = torch.tensor([box]) / size
        offsets[anchor] = encode(wanted, anchors[anchor : anchor + 1], retinaface.VARIANCES)[0]
        logits[anchor] = torch.tensor([0, np.log(probability / (1 - probability))])
    return offsets, logits


def test_anchors_stand_where_the_network_looks():
    """In the middle of each cell of 8, 16 and 32 px, two squares each, row by row."""
    anchors = point_form(retinaface._anchors(HEIGHT, WIDTH)) * torch.tensor(2 * [WIDTH, HEIGHT])
    assert len(anchors) == 2 * (12 * 20 + 6 * 10 + 3 * 5)
    expected = [[-4, -4, 12, 12], [-12, -12, 20, 20], [4, -4, 20, 12]]
    np.testing.assert_allclose(anchors[:3], expected, atol=1e-4)
    np.testing.assert_allclose(anchors[-1], [144 - 256, 80 - 256, 144 + 256, 80 + 256], atol=1e-3)


def test_planted_outputs_give_their_boxes_and_no_others():
    one, two, off = [20.5, 10.0, 60.0, 50.0], [90.0, 30.0, 150.0, 95.0], [170.0, 10.0, 190.0, 40.0]
    beside = [22.0, 12.0, 62.0, 52.0]  # of `one`: they overlap by more than 0.4
    assert box_iou(torch.tensor([one]), torch.tensor([beside])) > retinaface.OVERLAP
    unsure = [70.0, 5.0, 88.0, 25.0]
    at = {40: (beside, 0.8), 90: (one, 0.9), 500: (two, 0.95), 130: (unsure, 0.6), 7: (off, 0.99)}
    outputs = planted(at)
    boxes = retinaface.found(*outputs, HEIGHT, WIDTH, TERNAUS.least)
    np.testing.assert_allclose(boxes, [two, one], atol=1e-3)
    boxes = retinaface.found(*outputs, HEIGHT, WIDTH, BIUBUG6.least)
    np.testing.assert_allclose(boxes, [two, one, unsure], atol=1e-3)
    assert retinaface.found(*outputs, HEIGHT, WIDTH, 0.999).shape == (0, 4)


def test_the_largest_comes_first_and_boxes_are_in_px_of_the_image(folder, monkeypatch):
    detect = detector(folder, random_state())
    small, large = [20.0, 10.0, 40.0, 40.0], [60.0, 20.0, 150.0, 90.0]
    outputs = [output[None] for output in planted({90: (small, 0.95), 500: (large, 0.9)})]
    seen = []

    def network(given):
        seen.append(tuple(given.shape))
        return [*outputs, None]

    monkeypatch.setattr(detect, "network", network)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(detect(image), [large, small], atol=1e-3)
    monkeypatch.setattr(retinaface, "LONGEST", WIDTH)
    boxes = detect(image.repeat(2, 0).repeat(2, 1))
    np.testing.assert_allclose(boxes, 2 * np.array([large, small]), atol=2e-3)
    assert seen == 2 * [(1, 3, HEIGHT, WIDTH)]


def test_both_checkpoints_give_the_same_boxes(folder, picture):
    """Weights that see BGR made to do what others do with RGB: the same network, seen otherwise."""
    state = random_state()
    ours = detector(folder, state)
    assert ours.trained == TERNAUS
    boxes = ours(picture)
    assert len(boxes) > 3
    np.testing.assert_array_equal(ours(picture), boxes)

    first = state["body.conv1.weight"] / torch.tensor(TERNAUS.deviation)[:, None, None]
    bgr = {f"module.{name}": tensor for name, tensor in state.items()}
    bgr["module.body.conv1.weight"] = first[:, [2, 1, 0]]
    shift = torch.tensor(BIUBUG6.mean)[[2, 1, 0]] - torch.tensor(TERNAUS.mean)
    bgr["module.body.bn1.running_mean"] = -(first.sum((2, 3)) @ shift)
    theirs = detector(folder, bgr)
    assert theirs.trained == BIUBUG6
    # From what probability on a face counts is another matter; the padding is of another colour.
    theirs.trained = BIUBUG6._replace(least=TERNAUS.least)
    again = theirs(picture)
    assert again.shape == boxes.shape
    np.testing.assert_allclose(again, boxes, atol=1.0)
    theirs.trained = TERNAUS._replace(least=TERNAUS.least)
    other = theirs(picture)
    assert other.shape != boxes.shape or np.abs(other - boxes).max() > 5


def test_without_weights_the_command_is_told_and_nothing_else_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("MESPOT_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"retinaface.safetensors: no weights .*weights fetch"):
        faces.face_detector(Align(detector="retinaface"))
    with pytest.raises(InputError, match="san.safetensors: no weights .*weights import san FILE"):
        faces.landmark_detector(Landmarks(detector="san"))
    out = [tmp_path / "out.mkv", tmp_path / "out.h5"]
    with pytest.raises(InputError, match="retinaface.safetensors: no weights"):
        align.align(tmp_path / "none.mkv", *out, Align(detector="retinaface"))
    assert not list(tmp_path.iterdir())


# In the stage align


@pytest.fixture(scope="module")
def moving():
    from mespot import demo
    from mespot.settings import Demo

    n = 21
    person = demo.make_subject("cas_me_sq", 0, Demo())
    head = np.zeros((n, 3))
    head[:, 0] = np.linspace(0, 0.4, n)  # inter-ocular distances
    curves = {unit: np.zeros(n) for unit in demo.ACTION_UNITS}
    nothing = {name: np.zeros(n) for name in demo.DISTRACTORS}
    script = demo.Script(30, n, [], curves, nothing, head, np.ones(n), 7)
    frames, points = zip(*demo.render(person, script, Demo()), strict=True)
    return frames, np.array(points)


@pytest.fixture
def seeing(moving, monkeypatch):
    """RetinaFace as if it had learnt to see: it knows each frame's face. The frames it was asked."""
    frames, points = moving
    known = {frame.tobytes(): t for t, frame in enumerate(frames)}
    asked = []

    def detect(self, image):
        assert image.ndim == 3, "it sees colours"
        asked.append(t := known[image.tobytes()])
        (x0, y0), (x1, y1) = points[t].min(0), points[t].max(0)
        return np.array([[x0, y0 - 20, x1, y1]])

    monkeypatch.setattr(retinaface.Detector, "__call__", detect)
    return asked


def aligned(tmp_path, moving, **settings) -> tuple[h5py.File, np.ndarray]:
    """The file that align writes, and the nose in crop px."""
    frames, points = moving
    decoded, out, h5 = (tmp_path / name for name in ("d.mkv", "a.mkv", "a.h5"))
    video.write(decoded, list(frames), 30, "the source")
    align.align(decoded, out, h5, Align(size=128, detector="retinaface", **settings))
    file = h5py.File(h5)
    pairs = zip(file["transform"][:], points[:, 30:31], strict=True)
    return file, np.concatenate([align.moved(*pair) for pair in pairs])


def test_its_box_is_taken_and_it_is_named_in_the_output(folder, moving, seeing, tmp_path):
    detector(folder, random_state())
    file, nose = aligned(tmp_path, moving, mode="box")
    assert set(seeing) == {0}, "in the first frame alone"
    (x0, y0), (x1, y1) = moving[1][0].min(0), moving[1][0].max(0)
    np.testing.assert_allclose(file["box"][:], [x0, y0 - 20, x1, y1])
    assert file["valid"][:].all()
    assert np.ptp(nose[:, 0]) > 5
    assert json.loads(file.attrs["made"])["settings"]["align"]["detector"] == "retinaface"
    facts = json.loads(file.attrs["weights"])
    published = (folder / "checkpoint.pth").read_bytes()
    assert facts["sha256"] == hashlib.sha256(published).hexdigest()
    assert facts["trained_by"] == "ternaus/retinaface"


def test_every_nth_frame_it_looks_again_and_the_crop_goes_there_in_equal_steps(
    folder, moving, seeing, tmp_path
):
    detector(folder, random_state())
    file, nose = aligned(tmp_path, moving, mode="box", every=8)
    assert sorted(set(seeing)) == [0, 8, 16]
    assert file["valid"][:].all()
    # The face is where it was in each such frame, and nearly so between them.
    assert np.abs(nose[:17] - nose[0]).max() < 1.0
    corner = file["transform"][:, :, 2]
    steps = np.diff(corner[:9], axis=0)
    np.testing.assert_allclose(steps, np.repeat(steps[:1], 8, 0), atol=0.02)
    np.testing.assert_allclose(corner[16:], np.repeat(corner[16:17], 5, 0), atol=1e-9)


def test_registered_frames_are_only_checked_every_nth_frame(folder, moving, seeing, tmp_path):
    detector(folder, random_state())
    file, nose = aligned(tmp_path, moving, every=8)
    assert sorted(set(seeing)) == [0, 8, 16]
    once, _ = aligned(tmp_path, moving)
    assert np.abs(nose - nose[0]).max() < 0.3
    np.testing.assert_allclose(file["transform"][:], once["transform"][:], atol=0.05)


def test_dlib_stays_the_default_and_has_no_weights_of_its_own(moving):
    assert (Align().detector, Landmarks().detector) == ("dlib", "dlib")
    assert faces.provenance("dlib") == {"detector": "dlib"}
    frame = moving[0][0]
    boxes = faces.face_detector(Align())(frame)
    np.testing.assert_array_equal(boxes, dlib.detect_faces(dlib.grey(frame)))
