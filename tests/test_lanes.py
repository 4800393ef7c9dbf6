"""lanes: made openings of eyes and mouth, and made head motion, of which it is known what they are."""

from __future__ import annotations

import numpy as np
import pytest

from mespot.feature_store import Face, Feature
from mespot.settings import Lanes
from mespot.spotting.lanes import (
    LANES,
    blinks,
    head_moves,
    lanes,
    lasting,
    talking,
    turning_points,
)
from mespot.stretches import runs

FPS = 30.0
TIME = np.arange(900) / FPS
SETTINGS = Lanes()


def speech(start: float, stop: float, rate: float = 3.0) -> np.ndarray:
    """A mouth that opens and closes `rate` times a second."""
    opening = 0.06 * (1 - np.cos(2 * np.pi * rate * (TIME - start)))
    return np.where((start <= TIME) & (stop >= TIME), opening, 0)


def test_many_small_openings_are_talking():
    ((start, stop),) = runs(talking(speech(5, 15), FPS, SETTINGS))
    assert start / FPS == pytest.approx(5, abs=1)
    assert stop / FPS == pytest.approx(15, abs=1)


@pytest.mark.parametrize(
    "opening", [0 * TIME, speech(5, 8, 1 / 3), 0.3 * (TIME > 10), speech(5, 5.5), speech(5, 6)]
)
def test_a_still_mouth_a_slow_one_a_step_and_a_short_one_are_not(opening):
    assert not talking(opening, FPS, SETTINGS).any()


def test_jitter_below_the_swing_is_not_talking():
    jitter = np.random.default_rng(5).normal(scale=0.002, size=len(TIME))
    assert not talking(jitter, FPS, SETTINGS).any()


def test_a_video_shorter_than_the_window_is_no_error():
    for n in (2, 20, 58):
        assert not talking(np.zeros(n), FPS, SETTINGS).any()
    assert talking(speech(5, 15)[160:280], FPS, SETTINGS).all()


def test_turning_points_by_hand():
    assert turning_points(np.array([0, 1, 0, 1, 0.0]), 0.5) == [1, 2, 3]
    assert turning_points(np.array([1, 0, 1.0]), 0.5) == [1]
    # A small dip on the way up is none, nor is what only rises.
    assert turning_points(np.array([0, 1, 0.9, 2, 0]), 0.5) == [3]
    assert turning_points(np.arange(5.0), 0.5) == []
    assert turning_points(np.zeros(0), 0.5) == []


def test_a_blink_is_a_short_dip():
    eyes = np.full(len(TIME), 0.25)
    for frame in (100, 400):
        eyes[frame - 2 : frame + 3] -= [0.08, 0.2, 0.22, 0.2, 0.08]
    eyes[600:700] -= 0.1  # narrowed for seconds, as in a laugh
    # A short dip on a slow one: no longer than a blink may last.
    eyes[740:770] -= 0.1 * np.hanning(30)
    eyes[753:757] -= 0.1
    found = list(runs(blinks(eyes, FPS, SETTINGS)))
    assert [round((a + b - 1) / 2) for a, b in found] == pytest.approx([100, 400, 755], abs=1)
    assert all(b - a <= SETTINGS.blink_longest * FPS + 1 for a, b in found)


def test_a_short_pause_belongs_to_the_speech_and_a_longer_one_does_not():
    assert len(runs(talking(speech(3, 8) + speech(9.4, 14), FPS, SETTINGS))) == 1
    assert len(runs(talking(speech(3, 8) + speech(9.8, 14), FPS, SETTINGS))) == 2


def test_a_nod_is_a_head_that_moves():
    pose = np.zeros((len(TIME), 4))
    pose[:, 1] = 0.15 * np.sin(2 * np.pi * 1.5 * TIME) * ((TIME > 10) & (TIME < 12))
    moving = head_moves(pose, FPS, SETTINGS)
    assert moving[int(10.2 * FPS) : int(11.8 * FPS)].mean() > 0.8
    assert not moving[: int(9 * FPS)].any()
    assert not moving[int(13 * FPS) :].any()


def test_gaps_close_before_short_runs_go():
    flags = np.array([1, 1, 0, 1, 1, 0, 0, 0, 1, 0], bool)
    assert list(runs(lasting(flags, 3, 2))) == [(0, 5)]


def test_a_covered_face_neither_talks_nor_blinks():
    n = len(TIME)
    openings = np.stack([np.full(n, 12.0), np.full(n, 12.0), 50 * speech(5, 15)], 1)
    valid = np.ones(n - 1, bool)
    valid[200:400] = False
    face = Face(np.zeros((n, 2, 2)), openings, np.zeros((n, 4)))
    one = Feature("s", "v", np.zeros((n - 1, 2, 2)), valid, FPS, 50.0, ("a", "b"), face=face)
    flags = lanes(one, SETTINGS)
    assert list(flags) == list(LANES)
    assert {len(flag) for flag in flags.values()} == {n}
    assert not flags["talking"][200:400].any()
    assert flags["talking"][400:420].all()
    assert list(runs(flags["left_out"])) == [(200, 400)]


def test_published_features_tell_nothing_of_it():
    one = Feature("s", "v", np.zeros((9, 1, 2)), np.ones(9, bool), FPS, np.nan, ("a",))
    assert not any(flag.any() for flag in lanes(one, SETTINGS).values())
