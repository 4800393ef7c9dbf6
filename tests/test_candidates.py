import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot.datasets.segments import PUBLISHED_REGIONS
from mespot.intervals import overlaps
from mespot.networks.inputs import RATE
from mespot.networks.multiscale import OUTPUTS, PROBABILITIES
from mespot.spotting.candidates import (
    PARTS,
    RIVALS,
    TOLD,
    Candidates,
    agreed,
    best,
    between,
    candidates,
    largest,
    look,
    mean,
    parts_of,
    rivals,
)

SHOWN = np.ones(400, bool)


def slow(rows, score, overlap):
    """One after the other, the most probable first."""
    kept = []
    for k in sorted(range(len(rows)), key=lambda k: (-score[k], rows[k][0], rows[k][1], k)):
        if all(overlaps(rows[[k]], rows[[other]])[0, 0] <= overlap for other in kept):
            kept.append(k)
    return kept


intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(0, 20)),
    max_size=40,
    unique_by=lambda each: each[:2],
)


@given(intervals, st.sampled_from([0.1, 0.2, 0.5, 0.75]))
@settings(max_examples=200)
def test_suppression_is_that_of_one_after_the_other(found, overlap):
    rows = np.array([(first, first + more) for first, more, _ in found]).reshape(-1, 2)
    score = np.array([score / 20 for *_, score in found])
    assert list(best(rows, score, overlap)) == slow(rows, score, overlap)


@given(intervals, st.sampled_from([0.1, 0.2, 0.5]))
@settings(max_examples=200)
def test_ends_are_the_mean_of_those_that_agree(found, overlap):
    rows = np.array([(first, first + more) for first, more, _ in found]).reshape(-1, 2)
    score = np.array([(1 + score) / 21 for *_, score in found])
    kept = best(rows, score, overlap)
    ends = agreed(rows, score, kept)
    assert ends.shape == (len(kept), 2)
    for k, its in zip(kept, ends, strict=True):
        near = overlaps(rows[[k]], rows)[0] >= 0.5
        mean = np.average(rows[near], axis=0, weights=score[near] ** 2)
        np.testing.assert_allclose(its, mean, atol=0.5 + 1e-9)


def test_what_is_surer_has_more_say_in_the_ends():
    rows = np.array([(10, 29), (14, 29), (12, 37), (60, 69)])
    ends = agreed(rows, np.array([0.8, 0.4, 0.4, 0.1]), np.array([0, 3]))
    assert ends.tolist() == [[11, 30], [60, 69]]  # (4 x 10 + 14 + 12) / 6, (4 x 29 + 29 + 37) / 6


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_largest_and_mean_are_those_of_each_interval(n_rows, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, n_rows))
    rows = np.sort(rng.integers(0, n_rows, size=(7, 2)), axis=1)
    for column, (first, last) in enumerate(rows):
        inside = values[:, first : last + 1]
        np.testing.assert_allclose(largest(values, rows)[:, column], inside.max(1))
        means = mean(values, rows[:, 0], rows[:, 1] + 1)[:, column]
        np.testing.assert_allclose(means, inside.mean(1))


@pytest.fixture
def moved() -> np.ndarray:
    """The mouth goes up in rows 100 to 115, and back in 130 to 145."""
    moved = np.random.default_rng(1).normal(scale=0.02, size=(400, 12, 2))
    moved[100:115, 8:, 1] -= 0.5
    moved[130:145, 8:, 1] += 0.5
    return moved


def curves_of(n_rows: int, spans=()) -> np.ndarray:
    """A network's curves that are sure of these macro-expressions."""
    curves = np.full((len(OUTPUTS), n_rows), 0.01)
    for first, last in spans:
        for mark, at in (("onset", first), ("apex", (first + last) // 2), ("offset", last)):
            curves[PROBABILITIES.index(f"macro_{mark}"), at] = 0.9
        curves[PROBABILITIES.index("macro_inside"), first : last + 1] = 0.9
    return curves


def test_displacement_gives_a_candidate(moved):
    seen = look(moved, SHOWN, PUBLISHED_REGIONS)
    overlap = overlaps(seen.peaks[:, :2], np.array([[100.0, 145]]))
    assert overlap.max() > 0.7


def test_frames_without_the_face_make_no_candidates(moved):
    """Nor are those that it has measured by them."""
    hidden = np.zeros((3600, *moved.shape[1:]))
    shown = np.arange(400 + len(hidden)) < 400
    seen, longer = (
        look(moved, SHOWN, PUBLISHED_REGIONS),
        look(np.concatenate([moved, hidden]), shown, PUBLISHED_REGIONS),
    )
    inner = [one[(one[:, 1] < 250)] for one in (seen.peaks, longer.peaks)]
    assert len(inner[0])
    assert abs(len(inner[0]) - len(inner[1])) <= 0.1 * len(inner[0])
    np.testing.assert_allclose(seen.moved[:250], longer.moved[:250])


def test_each_pair_of_an_onset_and_an_offset_is_a_candidate():
    curves = curves_of(400, [(50, 90), (120, 160)])
    found = {tuple(rows) for rows in between(curves, "macro")[:, :2].astype(int)}
    assert found == {(50, 90), (50, 160), (120, 160)}
    assert not len(between(curves, "micro"))


def test_an_offset_lies_after_its_onset_and_no_further_than_the_longest():
    curves = curves_of(400, [(50, 50), (60, 290), (60, 299), (30, 20)])
    found = between(curves, "macro")[:, :2].astype(int).tolist()
    assert [50, 50] not in found
    assert [50, 290] not in found, "8 s after it"
    assert [60, 299] in found, "a row less"
    assert [30, 20] not in found


def test_what_the_network_is_sure_of_is_first(moved):
    seen = look(moved, SHOWN, PUBLISHED_REGIONS)._replace(curves=curves_of(400, [(100, 145)]))
    one = candidates(seen)["macro"]
    assert tuple(one.rows[0]) == (100, 145)
    assert len(one.told) == len(one.rows)
    assert np.isfinite(one.told).all()


def test_what_tells_of_a_candidate_is_called_so(moved):
    seen = look(moved, SHOWN, PUBLISHED_REGIONS)._replace(curves=curves_of(400, [(100, 145)]))
    told = dict(zip(TOLD, candidates(seen)["macro"].told[0], strict=True))
    assert np.isclose(told["length, log"], np.log(46))
    assert np.isclose(told["macro_inside inside"], 0.9)
    assert np.isclose(told["macro_inside before"], 0.01)
    assert (
        told["macro_onset there"] == told["macro_offset there"] == told["macro_apex at most"] == 0.9
    )
    assert told["extent of mouth"] > 3 * told["extent of brows"]
    assert abs(told["apex"] - 0.5) < 0.05


def test_what_the_candidates_around_tell(moved):
    """First looks of what says the same, the best around of its own type and of the other."""

    def those(rows, first_looks):
        told = np.zeros((len(rows), len(TOLD) - len(RIVALS)))
        told[:, TOLD.index("first look")] = first_looks
        return Candidates(np.array(rows), told)

    own = those([(10, 29), (12, 29), (10, 59), (80, 99)], [0.4, 0.2, 0.8, 0.3])
    other = those([(20, 31), (200, 210)], [0.6, 0.9])
    told = [dict(zip(RIVALS, row, strict=True)) for row in rivals(own, other)]
    assert told[0]["first looks that agree"] == pytest.approx(0.4 + 0.2)
    assert told[0]["agreeing, log"] == pytest.approx(np.log(2))
    assert told[0]["of the best around"] == pytest.approx(0.4 / 0.8)
    assert told[0]["best of the other type"] == 0.6
    assert told[3] == {
        "first looks that agree": 0.3,
        "agreeing, log": 0,
        "of the best around": 1,
        "best of the other type": 0,
    }
    nothing = those(np.zeros((0, 2), int), [])
    assert rivals(nothing, own).shape == (0, len(RIVALS))
    assert (rivals(own, nothing)[:, 3] == 0).all()


def test_no_candidate_is_longer_or_shorter_than_its_type_may_be(moved):
    seen = look(moved, SHOWN, PUBLISHED_REGIONS)._replace(
        curves=np.random.default_rng(2).uniform(size=(12, 400))
    )
    for type_, least, most in (("micro", 5, 16), ("macro", 15, 8 * RATE)):
        length = np.ptp(candidates(seen)[type_].rows, axis=1) + 1
        assert len(length)
        assert least <= length.min()
        assert length.max() <= most + 1


@pytest.mark.parametrize("n_rows", [1, 2, 5, 20])
def test_a_video_of_few_rows_gives_what_it_can(n_rows):
    seen = look(np.zeros((n_rows, 12, 2)), SHOWN[:n_rows], PUBLISHED_REGIONS)._replace(
        curves=curves_of(n_rows)
    )
    for type_ in ("micro", "macro"):
        one = candidates(seen)[type_]
        assert one.rows.shape == (len(one.told), 2)


def test_a_parts_regions_are_told_by_name():
    assert parts_of(PUBLISHED_REGIONS)["mouth"] == [8, 9, 10, 11]
    assert parts_of(["a", "b"]) == {part: [0, 1] for part in PARTS}
