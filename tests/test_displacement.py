"""displacement: planted motion is found where it was planted, in any size of face, with drift or without."""

from __future__ import annotations

import numpy as np
import pytest
from planted import PLANTED, planted_store
from scipy.ndimage import gaussian_filter1d

from mespot.feature_store import Face, Feature, load
from mespot.settings import Displacement
from mespot.spotting.displacement import displacement, peaks, running_median

REGIONS = ("brow", "lip", "chin")
SETTINGS = Displacement()


def feature(place: np.ndarray, mdmo: np.ndarray | None = None, fps: float = 30.0, unit=50.0):
    """A video whose regions lie at `place` (T, 3, 2) inter-ocular distances from the nose."""
    n = len(place)
    if mdmo is None:
        mdmo = np.zeros((n - 1, 3, 2))
    face = Face(place * unit, np.zeros((n, 3)), np.zeros((n, 4)))
    return Feature("s", "v", mdmo, np.ones(n - 1, bool), fps, unit, REGIONS, face=face)


def bump(n: int, onset: int, offset: int, height: float) -> np.ndarray:
    """Up and down again between two frames, as half a cosine wave: (n,)."""
    t = (np.arange(n) - onset) / (offset - onset)
    return np.where((t >= 0) & (t <= 1), height * (1 - np.cos(2 * np.pi * t)) / 2, 0)


def moved_lip(n: int, *bumps: tuple[int, int, float]) -> np.ndarray:
    place = np.zeros((n, 3, 2))
    for one in bumps:
        place[:, 1, 1] += bump(n, *one)
    return place


def spot(one: Feature, settings: Displacement = SETTINGS):
    return peaks(one, displacement(one, settings), settings)


def test_a_long_and_a_short_expression_are_found_and_told_apart():
    found = spot(feature(moved_lip(600, (100, 160, 0.2), (300, 312, 0.1))))
    (macro, long), (micro, short) = found
    assert (macro, micro) == ("macro", "micro")
    # Where the bump has come down by .6 of its height, a fifth of its length from each end.
    assert (long.onset, long.apex, long.offset) == pytest.approx((112, 130, 148), abs=3)
    assert short.apex == pytest.approx(306, abs=1)
    assert long.score > short.score


def test_what_stays_under_the_threshold_is_no_expression():
    assert not spot(feature(moved_lip(600, (100, 160, 0.05))))
    assert not spot(feature(np.zeros((600, 3, 2))))


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_faces_size_and_the_rate_do_not_matter(factor):
    plain = spot(feature(moved_lip(600, (100, 160, 0.2))))
    assert spot(feature(moved_lip(600, (100, 160, 0.2)), unit=50 * factor)) == plain
    (_, slow), (_, fast) = plain[0], spot(feature(moved_lip(1200, (200, 320, 0.2)), fps=60.0))[0]
    assert fast.onset / 2 == pytest.approx(slow.onset, abs=1)
    assert fast.offset / 2 == pytest.approx(slow.offset, abs=1)


def test_a_flow_that_drifts_is_held_by_the_landmarks():
    """Flow that sees all of it and adds .002 a frame: only what is fast is taken from it."""
    place = moved_lip(600, (100, 160, 0.2))
    drift = np.diff(place, axis=0) * 50 + 0.1
    one = feature(place, drift)
    error = displacement(one, SETTINGS) - displacement(feature(place), SETTINGS)
    assert np.abs(error).max() < 0.01
    assert len(spot(one)) == 1


def test_detail_that_smoothed_landmarks_lose_comes_from_the_flow():
    sharp = moved_lip(200, (100, 108, 0.1))
    blurred = gaussian_filter1d(sharp, 2, axis=0)
    assert not spot(feature(blurred))
    (found,) = spot(feature(blurred, np.diff(sharp, axis=0) * 50))
    assert found[0] == "micro"


def test_without_a_face_size_a_videos_own_scale_counts(tmp_path):
    """Published features: three planted expressions in noise, however large their unit."""
    tables = []
    for unit in (1.0, 20.0):
        planted_store(tmp_path / "f.h5", n_subjects=1, inter_ocular=float("nan"))
        (one,) = load(tmp_path / "f.h5")
        one = one._replace(mdmo=one.mdmo * unit)
        found = spot(one)
        tables.append([(type_, each.onset, each.offset) for type_, each in found])
        for name, (onset, _, offset) in PLANTED.items():
            assert any(
                min(offset, each.offset) - max(onset, each.onset) > (offset - onset) / 2
                for _, each in found
            ), name
    assert tables[0] == tables[1]


def test_a_clip_of_one_expression_has_its_neutral_face_at_its_ends():
    """The expression lasts two thirds of the clip, so that its median is the expression."""
    place = moved_lip(90, (15, 30, 0.0)) + 0.5  # neutral is no zero
    place[20:75, 1, 1] += 0.2
    place[15:20, 1, 1] += np.linspace(0, 0.2, 5)
    place[75:80, 1, 1] += np.linspace(0.2, 0, 5)
    assert np.abs(displacement(feature(place), SETTINGS)[:10]).max() < 0.01
    ((type_, one),) = spot(feature(place))
    assert (type_, one.onset, one.offset) == (
        "macro",
        pytest.approx(17, abs=2),
        pytest.approx(77, abs=2),
    )


def test_what_is_hidden_for_the_most_part_is_left_out():
    one = feature(moved_lip(300, (100, 160, 0.2)))
    one.valid[100:140] = False
    assert not spot(one)
    one.valid[112:140] = True
    assert len(spot(one)) == 1


def test_what_several_regions_do_at_a_time_is_one_event_told_by_the_strongest():
    place = moved_lip(600, (100, 160, 0.3))
    place[:, 2, 1] += bump(600, 90, 150, 0.1) + bump(600, 300, 360, 0.1)
    alone = spot(feature(moved_lip(600, (100, 160, 0.3))))
    both = spot(feature(place))
    assert len(both) == 2
    assert both[0] == alone[0]
    # Also across the borders of the stretches of 4 s in which what is near is looked for.
    for onset in range(96, 126, 4):
        place = moved_lip(600, (onset, onset + 60, 0.3))
        place[:, 2, 1] += bump(600, onset + 8, onset + 60, 0.1)
        assert len(spot(feature(place))) == 1


def test_what_lasts_longer_than_an_expression_is_none():
    assert spot(feature(moved_lip(900, (100, 300, 0.2))))
    assert not spot(feature(moved_lip(900, (100, 340, 0.2))))


def test_running_median_by_hand():
    values = np.array([0.0, 0, 9, 0, 5, 5])[:, None]
    assert running_median(values, 3).ravel().tolist() == [0, 0, 0, 5, 5, 5]
    assert running_median(values, 100).shape == (6, 1)


def test_the_shortest_videos_are_no_error():
    for n in (2, 3):
        assert spot(feature(np.zeros((n, 3, 2)))) == []
