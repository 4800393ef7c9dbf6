"""AUs as they are written, and the adjacency counted from them."""

import numpy as np
import pandas as pd
import pytest

from mespot.networks.graph import adjacency, published_aus

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
