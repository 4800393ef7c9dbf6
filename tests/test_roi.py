"""roi: windows where the landmarks are, whatever sticks out of the image marked."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mespot import roi, store
from mespot.errors import InputError
from mespot.settings import Region, Roi


def coordinates(n: int, size: int) -> np.ndarray:
    """Flow (n, 2, size, size) whose value is its own place: (x, y)."""
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y])[None].repeat(n, 0).astype(np.int16)


def test_window_holds_the_flow_around_its_point():
    windows = roi.cut(coordinates(2, 20), np.array([[[4, 5, 6, 8]], [[7, 5, 9, 8]]]), (4, 3))
    assert windows.shape == (2, 1, 4, 3, 2)
    assert windows[0, 0, 0, 0].tolist() == [4, 5]
    assert windows[1, 0, -1, -1].tolist() == [9, 8]


def test_what_sticks_out_is_marked_and_smaller_boxes_are_padded():
    windows = roi.cut(coordinates(1, 20), np.array([[[-1, 18, 1, 20], [3, 3, 3, 3]]]), (3, 3))[0]
    outside = windows[..., 0] == roi.OUTSIDE
    assert outside[0].tolist() == [[True, False, False]] * 2 + [[True] * 3]
    assert outside[1].sum() == 8
    assert not outside[1, 0, 0]


def test_box_units():
    points = np.zeros((1, 68, 2))
    points[0, 30], points[0, 39], points[0, 42] = (50, 60), (40, 40), (60, 40)
    assert roi.box(points, Region(landmarks=[30], margin=5, unit="px"), 40).tolist() == [
        [45, 55, 55, 65]
    ]
    in_eyes = Region(landmarks=[30], margin=0.1, unit="inter_ocular")
    assert roi.box(points, in_eyes, 40).tolist() == [[46, 56, 54, 64]]
    # 0.35 of half of 20 px is 3.5: cut to 3, as in the published code.
    in_inner = Region(landmarks=[30], margin=0.175, unit="inner_eye")
    assert roi.box(points, in_inner, 40).tolist() == [[47, 57, 53, 63]]


def test_both_sets_of_the_config_are_twelve_regions(default_config):
    sets = Roi.model_validate(default_config["roi"]).sets
    assert {name: len(regions) for name, regions in sets.items()} == {"auw_gcn": 12, "boxes": 12}
    points = [region.landmarks for region in sets["auw_gcn"].values()]
    assert [k for (k,) in points] == [18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57]


def make_files(folder, n_frames: int, n_rows: int, landmark: tuple[float, float]):
    flow, landmarks = folder / "flow.h5", folder / "landmarks.h5"
    with store.create(flow, stage="flow", settings={}, units="px", fps=30, source="s") as file:
        flows = coordinates(n_rows, 64)
        rows = store.frames_dataset(file, "flow", flows.shape, np.int16)
        store.write_rows(rows, 0, flows.astype(np.int16))
    with store.create(
        landmarks, stage="landmarks", settings={}, inter_ocular=40.0, detector="dlib"
    ) as file:
        points = np.tile(np.float32(landmark), (n_frames, 68, 1))
        points[-1] += 10
        file["points"] = points
    return flow, landmarks


def test_row_t_uses_the_landmarks_of_frame_t_plus_1(tmp_path, default_config):
    flow, landmarks = make_files(tmp_path, 5, 4, (30, 30))
    roi.roi(flow, landmarks, tmp_path / "roi.h5", Roi.model_validate(default_config["roi"]))
    with store.read(tmp_path / "roi.h5") as file:
        middle = file["roi"].shape[2] // 2
        assert file["roi"][2, 0, middle, middle].tolist() == [30, 30]
        assert file["roi"][3, 0, middle, middle].tolist() == [40, 40]
        assert len(file.attrs["regions"]) == 12


def test_lengths_that_do_not_fit_are_named(tmp_path, default_config):
    flow, landmarks = make_files(tmp_path, 6, 4, (30, 30))
    with pytest.raises(InputError, match="6 frames.*4 frame pairs"):
        roi.roi(flow, landmarks, tmp_path / "roi.h5", Roi.model_validate(default_config["roi"]))


def test_points_of_no_face_are_named(tmp_path, default_config):
    """Else windows that hold them all would fill the memory."""
    flow, landmarks = make_files(tmp_path, 5, 4, (30, 30))
    with h5py.File(landmarks, "r+") as file:
        file["points"][3, 30] = 5000
    with pytest.raises(InputError, match="landmarks.h5: regions of [0-9]+ x [0-9]+ px"):
        roi.roi(flow, landmarks, tmp_path / "roi.h5", Roi.model_validate(default_config["roi"]))


def test_places_are_less_the_noses_and_openings_from_lid_to_lid():
    points = np.zeros((2, 68, 2))
    points[:, 29:31] = (50, 50)
    points[1, 29:31] += 7  # the whole face moves
    points[0, 48], points[1, 48] = (
        (30, 80),
        (37, 87 + 4),
    )  # and the corner of the mouth by 4 px more
    nose = Region(landmarks=[29, 30])
    found = roi.place(points, [Region(landmarks=[48]), nose], nose)
    assert found[:, 0].tolist() == [[-20, 30], [-20, 34]]
    assert not found[:, 1].any()
    points[0, [37, 38]] = (0, -3)
    points[0, [65, 66, 67]] = (0, 5)
    assert roi.openings(points)[0].tolist() == [3, 0, 5]
