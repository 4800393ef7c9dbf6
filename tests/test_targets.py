"""Labels, windows and training targets: small cases by hand, and the published ones exactly."""

import numpy as np
import pandas as pd
import pytest

from mespot.networks.targets import (
    LABELS,
    NO_BOUNDARY,
    OFFSET,
    ONSET,
    cut,
    labels,
    training_targets,
    windows,
)

PUBLISHED_COLUMNS = {"start_frame": "onset", "apex_frame": "apex", "end_frame": "offset"}


def intervals(*rows):
    return pd.DataFrame(rows, columns=["type", "onset", "apex", "offset"])


def marked(marks):
    """{label column: the rows marked} of the columns with a mark."""
    rows = {name: np.flatnonzero(marks[:, i]).tolist() for i, name in enumerate(LABELS)}
    return {name: where for name, where in rows.items() if where}


# --- against the published outputs


def test_labels_and_windows_are_the_published_ones(reference):
    with np.load(reference / "segments.npz") as file:
        arrays = {name: file[name] for name in file.files}
    table = pd.read_csv(reference / "segments_annotation.csv", keep_default_na=False)
    table = table.rename(columns=PUBLISHED_COLUMNS)
    table["type"] = table.type_idx.map({1: "macro", 2: "micro"})
    (video,) = table.video_name.unique()

    features = cut(arrays["features"])
    marks = cut(labels(table, len(arrays["features"]), published=True))
    names = [f"{video}_{256 * i:04d}" for i in range(len(features))]
    assert {f"{name}/feature" for name in names} == {n for n in arrays if n.endswith("/feature")}
    for i, name in enumerate(names):
        np.testing.assert_array_equal(features[i], arrays[f"{name}/feature"])
        np.testing.assert_array_equal(marks[i], arrays[f"{name}/label"])


@pytest.mark.parametrize("dataset", ["cas_me_sq", "samm_lv"])
def test_training_targets_are_the_published_ones(dataset, reference):
    with np.load(reference / f"model_{dataset}.npz") as file:
        targets = training_targets(file["labels"])
        for name, target in targets.items():
            published = file[f"batch/{name}"]
            assert target.dtype == published.dtype, name
            np.testing.assert_array_equal(target, published, err_msg=name)


# --- labels


def test_labels_mark_onset_apex_offset_and_all_between():
    marks = labels(intervals(("macro", 2, 4, 7), ("micro", 9, 10, 11)), 15)
    assert marks.shape == (15, 8)
    assert marks.dtype == np.int8
    assert marked(marks) == {
        "micro_onset": [9],
        "micro_apex": [10],
        "micro_offset": [11],
        "micro_action": [9, 10, 11],
        "macro_onset": [2],
        "macro_apex": [4],
        "macro_offset": [7],
        "macro_action": [2, 3, 4, 5, 6, 7],
    }


def test_an_interval_beyond_the_end_is_cut_or_left_out():
    marks = labels(intervals(("macro", 7, 8, 12), ("macro", 10, 11, 12)), 10)
    assert marked(marks) == {
        "macro_onset": [7],
        "macro_apex": [8],
        "macro_offset": [9],
        "macro_action": [7, 8, 9],
    }


def test_an_unknown_apex_is_not_marked():
    assert "macro_apex" not in marked(labels(intervals(("macro", 2, -1, 5)), 10))


def test_an_expression_of_the_first_frame_alone_is_marked():
    assert marked(labels(intervals(("micro", 0, 0, 0)), 3))["micro_action"] == [0]


@pytest.mark.parametrize(
    ("row", "onset", "apex", "offset"),
    [
        (("macro", 2, 5, 0), 2, 5, 8),  # no offset: mirrored
        (("macro", 2, 0, 9), 2, 5, 9),  # no apex: the middle, rounded down
        (("macro", 2, -1, 9), 2, 19, 9),  # apex -1: the last row
        (("macro", 2, 15, 0), 2, 15, 19),  # mirrored, then cut at the last row
        (("macro", 0, 5, 9), 0, 5, 9),  # already under way at the first frame
    ],
)
def test_published_readings_of_odd_rows(row, onset, apex, offset):
    marks = marked(labels(intervals(row), 20, published=True))
    assert marks["macro_onset"] == [onset]
    assert marks["macro_apex"] == [apex]
    assert marks["macro_offset"] == [offset]
    assert marks["macro_action"] == list(range(onset, offset + 1))


@pytest.mark.parametrize("row", [("macro", 15, 20, 25), ("macro", 0, 0, 9)])
def test_published_leaves_out(row):
    assert not labels(intervals(row), 20, published=True).any()


def test_labels_of_a_video_without_expressions_are_empty():
    assert not labels(intervals(), 5).any()


@pytest.mark.parametrize(
    ("rows", "n_rows", "message"),
    [
        ([("other", 1, 2, 3)], 10, "macro or micro, not 'other'"),
        ([("macro", 3, 2, 1)], 10, "onset <= offset, not 3, 1"),
        ([], 0, "at least one"),
    ],
)
def test_labels_refuse(rows, n_rows, message):
    with pytest.raises(ValueError, match=message):
        labels(intervals(*rows), n_rows)


# --- windows


def test_windows_cover_each_row_once_with_context_around():
    rows = windows(10, length=4, context=2)
    assert rows.tolist() == [
        [-1, -1, 0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [6, 7, 8, 9, -1, -1, -1, -1],
    ]


@pytest.mark.parametrize(("n_rows", "count"), [(1, 1), (256, 1), (257, 2), (512, 2), (700, 3)])
def test_number_of_windows(n_rows, count):
    rows = windows(n_rows)
    assert rows.shape == (count, 270)
    inner = rows[:, 7:-7]
    assert inner[inner >= 0].tolist() == list(range(n_rows))


def test_cut_pads_with_zeros_and_leaves_its_input_alone():
    video = np.arange(1.0, 6.0)
    assert cut(video, length=4, context=1).tolist() == [[0, 1, 2, 3, 4, 5], [4, 5, 0, 0, 0, 0]]
    assert video.tolist() == [1, 2, 3, 4, 5]
    assert cut(np.ones((5, 12, 2)), length=4, context=1).shape == (2, 6, 12, 2)


@pytest.mark.parametrize("arguments", [(0, 256, 7), (10, 0, 7), (10, 256, -1)])
def test_windows_refuse(arguments):
    with pytest.raises(ValueError, match="windows need"):
        windows(*arguments)


# --- training targets


def window(**marks):
    """One window of 40 rows with 7 of context; marks by column, in rows of the inner part."""
    out = np.zeros((1, 54, 8), np.int8)
    for name, rows in marks.items():
        out[0, np.array(rows) + 7, LABELS.index(name)] = 1
    return out


def test_an_apex_becomes_a_cut_off_gaussian():
    targets = training_targets(window(macro_apex=[20], micro_apex=[10]))
    distance = np.arange(-3, 4)
    expected = np.zeros(40)
    expected[17:24] = np.exp(-(distance**2) / 32)
    np.testing.assert_allclose(targets["macro_apex"][0], expected, rtol=1e-7)
    expected = np.zeros(40)
    expected[9:12] = np.exp(-1 / 32), 1, np.exp(-1 / 32)
    np.testing.assert_allclose(targets["micro_apex"][0], expected, rtol=1e-7)


def test_near_apexes_keep_the_larger_target():
    target = training_targets(window(macro_apex=[20, 22]))["macro_apex"][0]
    distance = np.array([3, 2, 1, 0, 1, 0, 1, 2, 3])
    np.testing.assert_allclose(target[17:26], np.exp(-(distance**2) / 32), rtol=1e-7)


def test_boundaries_spread_by_type_and_an_offset_wins():
    targets = training_targets(
        window(macro_onset=[12], macro_offset=[16], micro_onset=[3], micro_offset=[30])
    )
    macro = np.full(40, NO_BOUNDARY)
    macro[9:16] = ONSET
    macro[13:20] = OFFSET
    micro = np.full(40, NO_BOUNDARY)
    micro[2:5] = ONSET
    micro[29:32] = OFFSET
    assert targets["macro_boundary"][0].tolist() == macro.tolist()
    assert targets["micro_boundary"][0].tolist() == micro.tolist()


def test_action_is_taken_as_it_is():
    targets = training_targets(window(micro_action=[3, 4, 5]))
    assert np.flatnonzero(targets["micro_action"][0]).tolist() == [3, 4, 5]
    assert not targets["macro_action"].any()


def test_published_targets_do_not_spread_right_into_the_last_frames():
    marks = window(macro_apex=[32], macro_onset=[36])
    even = training_targets(marks, published=False)
    published = training_targets(marks)
    assert np.flatnonzero(even["macro_apex"][0]).tolist() == list(range(29, 36))
    assert np.flatnonzero(published["macro_apex"][0]).tolist() == [29, 30, 31, 32]
    assert np.flatnonzero(even["macro_boundary"][0] == ONSET).tolist() == [
        33,
        34,
        35,
        36,
        37,
        38,
        39,
    ]
    assert np.flatnonzero(published["macro_boundary"][0] == ONSET).tolist() == [33, 34, 35, 36]


def test_marks_in_the_context_reach_into_the_window():
    boundary = training_targets(window(macro_onset=[41]))["macro_boundary"][0]
    assert np.flatnonzero(boundary == ONSET).tolist() == [38, 39]


@pytest.mark.parametrize("shape", [(54, 8), (1, 54, 7), (1, 14, 8)])
def test_training_targets_refuse(shape):
    with pytest.raises(ValueError, match="marks must be of shape"):
        training_targets(np.zeros(shape))
