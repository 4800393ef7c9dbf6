import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot.datasets.segments import PUBLISHED_REGIONS
from mespot.feature_store import Feature
from mespot.networks.inputs import CHANNELS, RATE, inputs, mirrored, steps, to_frames, to_rows


def feature(mdmo, fps=30.0, inter_ocular=np.nan) -> Feature:
    valid = np.ones(len(mdmo), bool)
    return Feature("s", "v", mdmo.astype(np.float32), valid, fps, inter_ocular, PUBLISHED_REGIONS)


def seen(moved: np.ndarray) -> np.ndarray:
    return inputs(moved, np.ones(len(moved), bool))


@pytest.fixture
def moving() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(300, 12, 2))


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 60.0])
def test_a_face_goes_as_far_at_any_rate(moving, fps):
    taken, valid = steps(feature(moving, fps))
    assert len(taken) == len(valid) == round(300 * RATE / fps)
    np.testing.assert_allclose(taken.sum(0), moving.sum(0), atol=1e-4)


def test_twice_the_rate_is_half_the_steps(moving):
    np.testing.assert_allclose(
        steps(feature(moving, 60))[0], moving[::2] + moving[1::2], rtol=1e-4, atol=1e-6
    )


@given(
    st.floats(10, 240),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 400)), min_size=1, max_size=20),
)
@settings(max_examples=100)
def test_intervals_come_back_from_the_networks_rate(fps, spans):
    frames = np.array([(first, first + more) for first, more in spans])
    rows = to_rows(frames.astype(float), fps)
    np.testing.assert_array_equal(to_frames(rows, fps), frames)
    # An interval lasts as long at either rate.
    seconds = (frames[:, 1] - frames[:, 0] + 1) / fps
    np.testing.assert_allclose((rows[:, 1] - rows[:, 0] + 1) / RATE, seconds)


def test_inputs_have_no_unit(moving):
    np.testing.assert_allclose(seen(moving), seen(40 * moving), rtol=1e-3, atol=1e-5)
    assert seen(moving).shape == (300, 12, 2 * CHANNELS)


def test_the_first_channels_are_the_flow(moving):
    ratio = seen(moving)[:, 0, :2] / moving[:, 0]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-4)


def test_the_last_channels_are_how_far_a_region_is_from_where_it_was_on_average():
    still = np.zeros((400, 12, 2))
    still[190:200, 8, 0] += 1  # away, and a second later back
    still[230:240, 8, 0] -= 1
    place = seen(still)[:, 8, -2]
    assert place[215] > max(place[20], place[380]) + 0.3
    assert not seen(still)[:, 8, -1].any()


def test_a_still_video_gives_zeros():
    assert not seen(np.zeros((50, 12, 2))).any()


@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_frames_without_the_face_do_not_change_what_the_others_are_measured_by(moving, fps):
    hidden = 300 + 30 * 40
    longer = np.concatenate([moving, np.zeros((hidden, 12, 2))])
    valid = np.arange(len(longer)) < 300
    one, other = feature(moving, fps), feature(longer, fps)._replace(valid=valid)
    n = len(steps(one)[0])
    far = n - round(RATE)  # less the second that a sum reaches over
    np.testing.assert_allclose(
        inputs(*steps(other))[:far, :, :2], inputs(*steps(one))[:far, :, :2], rtol=1e-2
    )
    assert steps(other)[1].sum() == n


def test_a_mirror_exchanges_the_sides_and_turns_x_round(moving):
    own = seen(moving)
    other = mirrored(own, PUBLISHED_REGIONS)
    left, right = (PUBLISHED_REGIONS.index(f"{side}_lip_corner") for side in ("left", "right"))
    np.testing.assert_array_equal(other[:, left, 0], -own[:, right, 0])
    np.testing.assert_array_equal(other[:, left, 1], own[:, right, 1])
    middle = PUBLISHED_REGIONS.index("nose_tip")
    np.testing.assert_array_equal(other[:, middle, 1], own[:, middle, 1])
    np.testing.assert_array_equal(mirrored(other, PUBLISHED_REGIONS), own)
