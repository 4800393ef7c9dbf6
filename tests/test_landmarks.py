"""landmarks on rendered faces: points against the truth, smoothing, frames without a face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mespot import align, demo, landmarks, store, video
from mespot.faces import covered
from mespot.faces.points import moved_box
from mespot.settings import Demo, Landmarks

SIZE, N = 128, 16
INNER = slice(17, 68)


@pytest.fixture(scope="module")
def person() -> demo.Subject:
    return demo.make_subject("cas_me_sq", 0, Demo())


@pytest.fixture(scope="module")
def aligned(person, tmp_path_factory):
    """A smile (AU 12) in a still head; frames 5 to 7 marked as no face. Files, and the truth."""
    folder = tmp_path_factory.mktemp("aligned")
    smile = {unit: np.zeros(N) for unit in demo.ACTION_UNITS}
    smile[12] = np.linspace(0, 1, N)
    nothing = {name: np.zeros(N) for name in demo.DISTRACTORS}
    script = demo.Script(30, N, [], smile, nothing, np.zeros((N, 3)), np.ones(N), 3)
    frames, truth = zip(*demo.render(person, script, Demo()), strict=True)
    x0, y0 = person.landmarks.min(0)
    x1, y1 = person.landmarks.max(0)
    box = np.array([x0, y0 - 5, x1, y1])
    to_crop = np.array([[0.7, 0, -25.0], [0, 0.7, -22.0]])
    crops = [
        cv2.warpAffine(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), to_crop, (SIZE, SIZE))
        for frame in frames
    ]
    valid = np.ones(N, bool)
    valid[5:8] = False
    for t in (5, 6, 7):
        crops[t][:] = 0
    video.write(folder / "a.mkv", crops, 30, "the source")
    with store.create(folder / "a.h5", stage="align", settings={}, units="px") as file:
        file["transform"] = np.repeat(to_crop[None], N, 0)
        file["valid"], file["repeat"], file["box"] = valid, np.zeros(N, bool), box
        store.tell(file["box"], reference_frame=0)
    return folder, np.array([align.moved(to_crop, points) for points in truth])


def found(aligned, settings: Landmarks) -> tuple[np.ndarray, dict]:
    folder, _ = aligned
    out = folder / f"points{settings.smooth}.h5"
    landmarks.landmarks(folder / "a.mkv", folder / "a.h5", out, settings)
    with store.read(out) as file:
        return file["points"][:], store.attributes(file)


def test_points_are_where_the_face_is(aligned):
    points, attributes = found(aligned, Landmarks())
    _, truth = aligned
    assert points.shape == (N, 68, 2)
    assert points.dtype == np.float32
    error = np.linalg.norm(points - truth, axis=2)[:, INNER]
    assert error.mean() < 0.05 * attributes["inter_ocular"]
    # The corners of the mouth rise by 0.1 and part by 0.18 inter-ocular distances.
    parted = np.diff(points[:, [48, 54], 0], axis=1)[:, 0]
    assert parted[-1] - parted[0] > 0.08 * attributes["inter_ocular"]


def test_file_follows_the_contract(aligned):
    _, attributes = found(aligned, Landmarks())
    _, truth = aligned
    true = np.linalg.norm(truth[0, 36:42].mean(0) - truth[0, 42:48].mean(0))
    assert attributes["inter_ocular"] == pytest.approx(true, rel=0.05)
    assert attributes["units"] == "px"
    assert attributes["fps"] == 30
    assert attributes["source"] == "the source"


def test_points_are_bridged_where_no_face_is_trusted(aligned):
    points, _ = found(aligned, Landmarks(smooth=0))
    steps = np.diff(points[4:9], axis=0)
    np.testing.assert_allclose(steps, np.repeat(steps[:1], 4, 0), atol=1e-3)


def test_smoothing_lessens_jitter(aligned):
    rough, _ = found(aligned, Landmarks(smooth=0))
    smooth, _ = found(aligned, Landmarks(smooth=2))
    jitter = [np.diff(points, n=2, axis=0)[:, INNER].std() for points in (rough, smooth)]
    assert jitter[1] < 0.5 * jitter[0]


def test_smooth_is_a_gaussian_of_unit_sum():
    impulse = np.zeros((41, 1, 1))
    impulse[20] = 1
    spread = landmarks.smooth(impulse, 2)[:, 0, 0]
    assert spread.sum() == pytest.approx(1)
    assert spread[20] / spread[22] == pytest.approx(np.exp(0.5), rel=1e-3)
    np.testing.assert_array_equal(landmarks.smooth(impulse, 0), impulse)


def test_disagreement_tells_a_face_from_none(person):
    picture = cv2.cvtColor(np.uint8(person.picture.clip(0, 255)), cv2.COLOR_RGB2GRAY)
    (x0, y0), (x1, y1) = person.landmarks.min(0), person.landmarks.max(0)
    box = np.array([x0, y0 - 5, x1, y1])
    points, apart = covered.consistent_points(picture, box)
    assert apart.max() < 0.012
    assert (
        np.linalg.norm(points - person.landmarks, axis=1)[INNER].mean() < 0.06 * person.inter_ocular
    )
    noise = np.random.default_rng(0).integers(0, 255, picture.shape, np.uint8)
    assert covered.consistent_points(noise, box)[1].min() > 0.03


def test_moved_box_follows_its_points():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 50, (68, 2))
    box = np.array([0.0, 5.0, 50.0, 55.0])
    moved = moved_box(box, points, 2 * points + (3, 4))
    np.testing.assert_allclose(moved, 2 * box + (3, 4, 3, 4))
