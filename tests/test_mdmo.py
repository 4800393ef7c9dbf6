"""mdmo: hand-made flow whose main direction is known; the published outputs; gaps and repeats."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from mespot import feature_store, mdmo, roi, store
from mespot.settings import Mdmo, Region

POINTS = [18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57]


def one(vectors: list[tuple[float, float]], share: float = 1.0) -> np.ndarray:
    """MDMO of one region."""
    array = np.array(vectors, float)[None, None]
    return mdmo.main_direction(array, np.ones(array.shape[:3], bool), mdmo.ROI_CUTS, share)[0, 0]


def test_uniform_motion_is_itself():
    assert one([(0.3, -0.4)] * 9) == pytest.approx([0.3, -0.4])


def test_fullest_sector_wins_over_the_strongest():
    assert one([(0.1, 0)] * 3 + [(-5, 0)] * 2) == pytest.approx([0.1, 0])


@pytest.mark.parametrize(
    ("x", "y", "sector"), [(1, 1, (1, 0)), (-1, 1, (-1, 0)), (-1, -1, (-1, 0)), (1, -1, (1, 0))]
)
def test_a_vector_on_a_cut_is_where_opencv_takes_it(x, y, sector):
    """At 44.99, 135.01, 224.99 and 315.01 degrees: always with those along x."""
    along = np.array(sector)
    vectors = np.array([(x, y), along, along, 2 * along[::-1], -2 * along[::-1]], float)[None, None]
    found = mdmo.main_direction(vectors, np.ones((1, 1, 5), bool), mdmo.NOSE_CUTS, 1.0)[0, 0]
    total = np.array((x, y)) + 2 * along
    expected = total / np.linalg.norm(total) * (np.sqrt(2) + 2) / 3
    assert found == pytest.approx(expected, rel=1e-6)


def test_only_the_strongest_share_counts():
    # The strongest 3 of 5: mean magnitude (3 + 2 + 2) / 3.
    assert one([(1, 0), (2, 0), (3, 0), (1, 0), (2, 0)], 0.6) == pytest.approx([7 / 3, 0])


def test_direction_is_of_the_sum_and_length_the_mean_magnitude():
    found = one([(1, 1), (-1, 1)])
    assert found == pytest.approx([0, np.sqrt(2)])


def test_empty_region_is_still():
    vectors = np.ones((1, 2, 4, 2))
    inside = np.array([[[False] * 4, [True] * 4]])
    found = mdmo.main_direction(vectors, inside, mdmo.ROI_CUTS, 0.6)[0]
    assert found == pytest.approx(np.array([[0, 0], [1, 1]]))


def test_published_outputs(reference):
    """Flow and landmarks to features and head motion, within float32."""
    data = np.load(reference / "mdmo.npz")
    flow, points = data["flow"].transpose(0, 3, 1, 2), data["landmarks"].astype(float)
    radius = float(data["radius"])
    nose = Region(landmarks=[29, 30], margin=0.175, unit="inner_eye")
    windows = [Region(landmarks=[k], margin=radius, unit="px") for k in POINTS]
    vectors, inside = cut(flow, roi.box(points, nose, 0)[:, None])
    head = mdmo.main_direction(vectors, inside, mdmo.NOSE_CUTS, 0.88)[:, 0]
    np.testing.assert_allclose(head, data["global_motion"], atol=2e-7, rtol=1e-6)
    vectors, inside = cut(flow, np.stack([roi.box(points, w, 0) for w in windows], 1))
    found = mdmo.main_direction(vectors - head[:, None, None], inside, mdmo.ROI_CUTS, 0.6)
    np.testing.assert_allclose(found, data["feature"], atol=2e-7, rtol=1e-6)


def cut(flow: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width, height = (boxes[..., 2:] - boxes[..., :2]).reshape(-1, 2).max(0) + 1
    windows = roi.cut(flow.astype(float), boxes, (height, width))
    flat = windows.reshape(*windows.shape[:2], -1, 2)
    return flat, flat[..., 0] != roi.OUTSIDE


@contextmanager
def roi_file(folder, n: int):
    """A file of roi with one region, whose landmarks rest."""
    known = {"fps": 30.0, "source": "s", "regions": ["a"], "inter_ocular": 40.0, "crop": 128}
    with store.create(
        folder / "roi.h5", stage="roi", settings={}, landmark_detector="dlib", **known
    ) as file:
        file["place"], file["openings"] = np.zeros((n + 1, 1, 2)), np.ones((n + 1, 3))
        yield file


def pack(file, name: str, windows: np.ndarray) -> None:
    rows = store.frames_dataset(file, name, windows.shape, windows.dtype, 3)
    store.write_rows(rows, 0, windows)


def align_file(folder, repeat: np.ndarray) -> None:
    known = {"detector": "dlib", "source_fps": 60.0, "start_s": 2.0}
    with store.create(folder / "a.h5", stage="align", settings={}, **known) as file:
        file["repeat"], file["valid"] = repeat, np.ones(len(repeat), bool)
        file["transform"] = np.broadcast_to(np.eye(2, 3), (len(repeat), 2, 3))
        file["source_frame"] = 2 * np.arange(len(repeat))


def test_pose_is_where_the_heads_middle_lies_in_the_frame():
    """A crop of 101 px at half size; then the head 20 px to the right, turned and nearer."""
    turn = np.pi / 12
    linear = 0.5 * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    transforms = []
    for size, matrix, middle in ((1, 0.5 * np.eye(2), (300, 200)), (1.1, linear, (320, 200))):
        matrix = matrix / size
        transforms.append(np.column_stack([matrix, 50 - matrix @ middle]))
    # The eyes are 30 px apart in the crop, so about 60 in the frame.
    found = mdmo.pose(np.array([transforms[0], transforms[0], transforms[1]]), 30.0, 101)
    assert found[0] == pytest.approx([5, 200 / 60, 0, np.log(2)], abs=1e-5)
    assert found[2] - found[0] == pytest.approx([20 / 60, 0, turn, np.log(1.1)], abs=1e-5)


def test_the_sources_clock_and_the_regions_places_are_passed_on(tmp_path):
    with roi_file(tmp_path, 4) as file:
        for name in ("roi", "nose"):
            pack(file, name, np.zeros((4, 1, 3, 3, 2), np.int16))
    align_file(tmp_path, np.zeros(5, bool))
    mdmo.mdmo(tmp_path / "roi.h5", tmp_path / "a.h5", tmp_path / "m.h5", Mdmo())
    with store.read(tmp_path / "m.h5") as file:
        feature = feature_store.read_video(file, "s", "v")
    assert feature.clock.frames.tolist() == [0, 2, 4, 6, 8]
    assert (feature.clock.fps, feature.clock.start) == (60, 2)
    assert feature.seconds(3) == pytest.approx(2.1)
    assert feature.face.place.shape == (5, 1, 2)
    assert feature.face.pose.shape == (5, 4)


def test_rows_whose_nose_is_outside_the_crop_are_as_without_a_face(tmp_path, capsys):
    """As in CAS(ME)^2's 30_0505, whose nose region is empty."""
    n = 40
    with roi_file(tmp_path, n) as file:
        windows = np.full((n, 1, 3, 3, 2), 256, np.int16)
        pack(file, "roi", 2 * windows)
        windows[5:7] = windows[20:30] = roi.OUTSIDE
        pack(file, "nose", windows)
    align_file(tmp_path, np.zeros(n + 1, bool))
    mdmo.mdmo(tmp_path / "roi.h5", tmp_path / "a.h5", tmp_path / "m.h5", Mdmo())
    with store.read(tmp_path / "m.h5") as file:
        assert np.flatnonzero(~file["valid"][:]).tolist() == list(range(20, 30))
        assert file["mdmo"][:20] == pytest.approx(1)  # the two rows are bridged
        assert not file["mdmo"][20:30].any()
        assert store.attribute(file, "detectors") == "faces by dlib, landmarks by dlib"
    assert "the nose lies outside the crop in 12 of 40 rows" in capsys.readouterr().err


def test_rows_that_share_a_nose_less_rows_motion_are_not_seen_either(tmp_path):
    n = 40
    repeat = np.arange(n + 1) % 2 == 1  # every second frame is the one before again
    nose = np.zeros((n, 1, 3, 3, 2), np.int16)
    nose[~repeat[1:]] = 512
    with roi_file(tmp_path, n) as file:
        pack(file, "roi", nose)  # the head moves, and nothing else
        nose[9] = roi.OUTSIDE
        pack(file, "nose", nose)
    align_file(tmp_path, repeat)
    mdmo.mdmo(tmp_path / "roi.h5", tmp_path / "a.h5", tmp_path / "m.h5", Mdmo())
    with store.read(tmp_path / "m.h5") as file:
        assert file["mdmo"][:] == pytest.approx(0)
        assert file["valid"][:].all()
    mdmo.mdmo(tmp_path / "roi.h5", tmp_path / "a.h5", tmp_path / "m.h5", Mdmo(max_gap=0))
    with store.read(tmp_path / "m.h5") as file:
        assert np.flatnonzero(~file["valid"][:]).tolist() == [8, 9]


def test_repeated_frames_share_the_motion_that_ends_them():
    motion = np.array([0.0, 3, 0, 0, 6, 0])[:, None]
    repeat = np.array([0, 1, 0, 1, 1, 0, 1], bool)
    shared = mdmo.share_repeats(motion, repeat, longest=3)
    assert shared[:, 0] == pytest.approx([1.5, 1.5, 2, 2, 2, 0])
    assert mdmo.share_repeats(motion, np.zeros(7, bool), longest=3) == pytest.approx(motion)
    # Three rows are too long a standstill here.
    shared = mdmo.share_repeats(motion, repeat, longest=2)
    assert shared[:, 0] == pytest.approx([1.5, 1.5, 0, 0, 6, 0])


def test_short_gaps_are_bridged_and_long_ones_left_out():
    motion = np.arange(10.0)[:, None, None] * np.ones((1, 2, 2))
    seen = np.array([1, 1, 0, 0, 1, 1, 0, 0, 0, 1], bool)
    motion[2:4] = motion[6:9] = 99
    valid = mdmo.bridge(motion, seen, longest=2)
    assert list(valid) == [True] * 6 + [False] * 3 + [True]
    assert motion[:, 0, 0] == pytest.approx([0, 1, 2, 3, 4, 5, 0, 0, 0, 9])


def test_gaps_at_the_ends_are_left_out():
    motion = np.ones((4, 1, 2))
    valid = mdmo.bridge(motion, np.array([0, 1, 1, 0], bool), longest=3)
    assert list(valid) == [False, True, True, False]
    assert motion[:, 0, 0] == pytest.approx([0, 1, 1, 0])
