"""AUs as they are written, and the adjacency counted from them."""

import numpy as np
import pandas as pd
import pytest

from mespot.errors import InputError
from mespot.networks.graph import PLACES, adjacency, by_distance, conditional, published_aus

ANNOTATIONS = {"cas_me_sq": "cas_me_sq_30fps.csv", "samm_lv": "samm_lv_25fps.csv"}


@pytest.mark.parametrize("dataset", ANNOTATIONS)
def test_it_gives_the_published_adjacency(dataset, reference, shared):
    csv = shared / "data" / "annotations" / ANNOTATIONS[dataset]
    aus = pd.read_csv(csv, dtype=str, keep_default_na=False).au
    expected = np.load(reference / f"adjacency_{dataset}.npy")
    got = adjacency(aus, published=True).astype(expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=3e-7, atol=0)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("L12+25", [25]),
        ("4+R14+25", [4, 25]),
        ("R12B+25+26", []),
        ("L12B+25", [25]),
        ("A12", [12]),
        ("(L/A)12(B/A)", [12]),
        ("ref(L10)+A12B", [12]),
    ],
)
def test_aus_as_the_published_code_reads_them(text, numbers):
    assert published_aus(text) == numbers


def test_two_aus_link_their_rois():
    counts = adjacency(["1+2"], {1: [0, 1], 2: [3]}, 4, published=True)
    assert counts.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0.5, 0.5, 0, 0]]


def test_a_single_au_links_its_rois_to_themselves_alone():
    counts = adjacency(["1", "1+9"], {1: [0, 1], 2: [2]}, 3, published=True)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_aus_that_move_the_same_rois_link_them_all():
    # AUs 12 and 14, each on both mouth corners: each pair of corners counts, in both orders.
    counts = adjacency(["12+14", "12"], {12: [0, 1], 14: [0, 1]}, 2, published=True)
    np.testing.assert_allclose(counts, [[3 / 5, 2 / 5], [2 / 5, 3 / 5]])


def test_each_roi_is_linked_with_itself_as_with_all_others_together():
    counts = adjacency(["1+2"], {1: [0], 2: [1]}, 3)
    assert counts.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert adjacency([]).tolist() == np.eye(12).tolist()


def test_published_rows_are_normalised_and_rois_without_au_stay_zero():
    counts = adjacency(["1+2", "1+12", "25", "?", "", "2+14+26"], published=True)
    sums = counts.sum(axis=1)
    assert sums[[6, 7]].tolist() == [0, 0]
    np.testing.assert_allclose(np.delete(sums, [6, 7]), 1)
    assert counts.dtype == np.float64


def test_no_annotation_gives_zeros():
    assert not adjacency([], published=True).any()


def test_a_roi_out_of_range_is_refused():
    with pytest.raises(ValueError, match="AU 1 must move ROIs between 0 and 2"):
        adjacency(["1"], {1: [0, 3]}, 3)


def test_a_roi_is_linked_where_it_moves_in_most_expressions_of_the_other():
    # AU 12 in three expressions, in one of them with 1, which never is without it.
    linked = conditional(["1+12", "12", "12", "25"], {1: [0], 12: [1]}, 3)
    assert linked.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]
    assert not conditional([], {1: [0]}, 2).any()


def test_the_nearer_two_regions_are_the_more_they_are_linked():
    linked = by_distance(["left_brow_inner", "left_brow_outer", "chin"])
    np.testing.assert_allclose(linked.sum(1), 1)
    assert linked[0, 0] > linked[0, 1] > linked[0, 2] > 0


def test_a_face_is_as_far_from_its_middle_on_both_sides():
    for name, (x, y) in PLACES.items():
        if name.startswith("left_"):
            assert PLACES[name.replace("left", "right")] == (-x, y)


def test_a_region_of_unknown_place_is_an_error():
    with pytest.raises(InputError, match="where on a face forehead lies"):
        by_distance(["chin", "forehead"])
