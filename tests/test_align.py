"""align on rendered faces: head motion known, faces covered, missing, repeated and doubled."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mespot import align, demo, store, video
from mespot.errors import InputError
from mespot.faces import covered, register
from mespot.settings import Align, Demo
from mespot.source import timed_frames

SETTINGS = Align(size=128)
N = 40
SKULL = [27, 28, 29, 30, 31, 35, 36, 39, 42, 45]


@pytest.fixture(scope="module")
def person() -> demo.Subject:
    return demo.make_subject("cas_me_sq", 0, Demo())


@pytest.fixture(scope="module")
def moving(person) -> tuple[list[np.ndarray], np.ndarray]:
    """A head that sways, nods and turns in its plane: frames, and true landmarks (T, 68, 2) px."""
    return rendered(person, sway(N))


def sway(n: int, size: float = 1.0) -> np.ndarray:
    """(n, 3): dx, dy in inter-ocular distances, angle in radians; 0 at first."""
    phase = 2 * np.pi * np.arange(n) / 40
    return size * np.stack(
        [0.15 * np.sin(phase), 0.08 * np.sin(2 * phase), 0.08 * np.sin(phase)], 1
    )


def rendered(
    person: demo.Subject, head: np.ndarray, units: dict[int, np.ndarray] | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    n = len(head)
    curves = {unit: np.zeros(n) for unit in demo.ACTION_UNITS} | (units or {})
    distractors = {name: np.zeros(n) for name in demo.DISTRACTORS}
    happenings = demo.Script(30, n, [], curves, distractors, head, np.ones(n), 7)
    frames, points = zip(*demo.render(person, happenings, Demo()), strict=True)
    return list(frames), np.array(points)


@pytest.fixture(scope="module")
def held(moving, tmp_path_factory) -> Aligned:
    return Aligned(tmp_path_factory.mktemp("held"), moving[0])


class Aligned:
    def __init__(
        self,
        folder: Path,
        frames: list[np.ndarray],
        settings: Align = SETTINGS,
        origin: video.Origin | None = None,
    ):
        self.decoded = folder / "decoded.mkv"
        self.video, self.h5 = folder / "aligned.mkv", folder / "aligned.h5"
        video.write(self.decoded, frames, 30, "the source", origin and (lambda: origin))
        align.align(self.decoded, self.video, self.h5, settings)
        with store.read(self.h5) as file:
            self.attributes = store.attributes(file)
            self.reference_frame = file["box"].attrs["reference_frame"]
            self.data = {name: file[name][:] for name in file}
        self.crops = np.array(list(video.read(self.video)))

    def __getattr__(self, name: str) -> np.ndarray:
        return self.data[name]

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Points (T, N, 2) of the frames, in crop px."""
        pairs = zip(self.transform, points, strict=True)
        return np.array([align.moved(transform, one) for transform, one in pairs])


def invalid(aligned: Aligned) -> list[int]:
    return np.flatnonzero(~aligned.valid).tolist()


def test_what_decode_does_not_know_is_marked(moving, tmp_path):
    numbers = [0, 1, 2, 2, 2, 3, 4, 5]  # a gap of two frames
    origin = video.Origin(0.0, 30.0, (1.0, 1.0), numbers, [3, 4])
    aligned = Aligned(tmp_path, [moving[0][k] for k in numbers], origin=origin)
    assert invalid(aligned) == [3, 4]
    assert aligned.source_frame.tolist() == numbers


def test_moving_head_is_held_still(moving, held):
    aligned, (_, points) = held, moving
    skull = aligned.seen(points)[:, SKULL]
    in_frame = np.linalg.norm(points[:, SKULL] - points[0, SKULL], axis=2).max()
    assert in_frame > 8
    assert np.linalg.norm(skull - skull[0], axis=2).max() < 0.25
    assert np.sqrt((np.diff(skull, axis=0) ** 2).sum(-1).mean()) < 0.03
    assert not invalid(aligned)


def test_crops_show_what_the_transform_says(moving, held):
    aligned, (frames, _) = held, moving
    assert aligned.crops.shape == (N, 128, 128)
    assert aligned.crops.dtype == np.uint8
    middle = (slice(None), slice(40, 90), slice(40, 90))
    moved = np.abs(aligned.crops[middle].astype(float) - aligned.crops[0][40:90, 40:90]).mean()
    still = cv2.warpAffine(
        cv2.cvtColor(frames[12], cv2.COLOR_RGB2GRAY),
        aligned.transform[12],
        (128, 128),
        flags=cv2.INTER_CUBIC,
    )
    assert moved < 2.0  # grey levels; noise alone is 0.6
    assert np.abs(still[40:90, 40:90] - aligned.crops[12][40:90, 40:90].astype(float)).mean() < 2.5


def test_file_follows_the_contract(held):
    aligned = held
    assert {name: value.dtype.kind for name, value in aligned.data.items()} == {
        "transform": "f", "valid": "b", "repeat": "b", "resemblance": "f", "box": "f",
        "source_frame": "i",
    }  # fmt: skip
    assert aligned.transform.shape == (N, 2, 3)
    assert aligned.attributes["units"] == "px"
    assert aligned.attributes["fps"] == 30
    assert aligned.attributes["source"] == video.info(aligned.video).source == "the source"
    assert aligned.source_frame.tolist() == list(range(N))
    assert aligned.attributes["source_fps"] == 30
    assert aligned.attributes["start_s"] == 0
    assert aligned.attributes["decoded_scale"] == [1, 1]
    assert aligned.reference_frame == 0
    assert (aligned.resemblance >= 0).all()
    assert (aligned.resemblance <= 1).all()


def test_still_face_stays_though_it_frowns(person, tmp_path):
    n = 20
    frown = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    frames, points = rendered(person, np.zeros((n, 3)), {4: frown, 9: frown, 12: frown})
    aligned = Aligned(tmp_path, frames)
    fixed = np.repeat(points[:1, SKULL], n, 0)
    assert np.linalg.norm(points[:, SKULL] - fixed, axis=2).max() > 1
    held = aligned.seen(fixed)
    assert np.linalg.norm(held - held[0], axis=2).max() < 0.4
    assert np.sqrt((np.diff(held, axis=0) ** 2).sum(-1).mean()) < 0.03
    assert not invalid(aligned)


def test_box_mode_has_one_transform(moving, tmp_path):
    aligned = Aligned(tmp_path, moving[0][:12], Align(size=128, mode="box"))
    assert (aligned.transform == aligned.transform[0]).all()
    assert not invalid(aligned)


def hand(frame: np.ndarray, at: np.ndarray, fingers: bool) -> np.ndarray:
    """The frame with a hand's colour over nose, mouth and a cheek; four fingers or a plain patch."""
    covered = frame.copy()
    x, y = at.astype(int)
    skin = np.array([190, 150, 130])
    cv2.rectangle(covered, (x - 32, y - 18), (x + 18, y + 50), skin.tolist(), -1)
    for k in range(4 if fingers else 0):
        cv2.line(covered, (x - 26 + 12 * k, y - 30), (x - 32 + 12 * k, y + 50), (120, 85, 70), 2)
    return covered


@pytest.mark.parametrize("fingers", [True, False])
def test_covered_frames_are_marked_and_no_others(moving, tmp_path, capsys, fingers):
    frames, points = moving
    frames = [
        hand(frame, points[t, 33], fingers) if 12 <= t < 32 else frame
        for t, frame in enumerate(frames)
    ]
    aligned = Aligned(tmp_path, frames)
    marked = invalid(aligned)
    assert marked == list(range(marked[0], marked[-1] + 1))
    assert 12 - 2 <= marked[0] <= 12  # a look is every other frame's
    assert 31 <= marked[-1] < 32 + 6  # once lost, the face is looked for every 0.2 s
    said = capsys.readouterr().err
    assert f"{len(marked)} of 40 frames" in said
    assert f"marked: {marked[0]}-{marked[-1]}" in said
    skull = aligned.seen(points)[aligned.valid][:, SKULL]
    assert np.linalg.norm(skull - skull[0], axis=2).max() < 0.4
    # Bridged: the crop's centre goes from where it was before to where it is after in equal steps.
    back = np.array(
        [
            register.invert(transform)
            for transform in aligned.transform[marked[0] - 1 : marked[-1] + 2]
        ]
    )
    steps = np.diff([align.moved(one, np.array([[63.5, 63.5]]))[0] for one in back], axis=0)
    assert np.linalg.norm(steps[0]) > 0.1
    assert np.abs(steps - steps[0]).max() < 1e-6


def test_faceless_frames_are_marked(moving, tmp_path):
    """Before the first face, and while it is out of the picture."""
    frames, _ = moving
    nothing = np.full_like(frames[0], 90)
    frames = [nothing] * 9 + frames[9:20] + [nothing] * 8 + frames[28:]
    aligned = Aligned(tmp_path, frames)
    assert aligned.reference_frame == 9
    assert invalid(aligned)[:9] == list(range(9))
    assert set(range(20, 28)) <= set(invalid(aligned)) <= {*range(9), *range(20, 34)}
    np.testing.assert_allclose(aligned.transform[:9], np.repeat(aligned.transform[9:10], 9, 0))


def test_face_that_jumps_is_found_again(person, tmp_path):
    head = np.zeros((N, 3))
    head[20:] = (0.5, -0.3, 0.05)
    frames, points = rendered(person, head)
    aligned = Aligned(tmp_path, frames)
    skull = aligned.seen(points)[:, SKULL].mean(1)
    assert np.linalg.norm(skull[26:] - skull[0], axis=1).max() < 1.5
    assert set(invalid(aligned)) <= set(range(20, 26))


def test_no_face_at_all_is_an_error(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (200, 200, 3), np.uint8) for _ in range(8)]
    with pytest.raises(InputError, match=r"^decoded: no face found in any of its 8 frames.*80 px"):
        Aligned(tmp_path, frames)
    assert not (tmp_path / "aligned.mkv").exists()


def beside_a_smaller_one(frame: np.ndarray) -> np.ndarray:
    """The frame (256, 256, 3), and to its left the same at 180 px."""
    small = np.full_like(frame, 90)
    small[:180, :180] = cv2.resize(frame, (180, 180), interpolation=cv2.INTER_AREA)
    return np.hstack([small, frame])


@pytest.mark.parametrize(
    ("face", "right"), [("largest", True), ("left", False), ("right", True), (1, False), (2, True)]
)
def test_of_two_faces_the_chosen_is_taken_and_a_warning_given(
    moving, tmp_path, capsys, face, right
):
    pairs = [beside_a_smaller_one(frame) for frame in moving[0][:3]]
    aligned = Aligned(tmp_path, pairs, SETTINGS.model_copy(update={"face": face}))
    assert (aligned.box[0] > 256) == right
    said = capsys.readouterr().err
    assert re.search(rf"warning: decoded: 2 faces in frame 0, .*followed: {face} ", said)


def test_a_third_of_two_faces_is_an_error(moving, tmp_path):
    pairs = [beside_a_smaller_one(frame) for frame in moving[0][:3]]
    with pytest.raises(InputError, match=r"at most 2 faces .* align\.face is 3"):
        Aligned(tmp_path, pairs, SETTINGS.model_copy(update={"face": 3}))


def test_after_a_loss_the_same_person_is_found_again(moving, tmp_path):
    """Not the largest: the search begins where the face was."""
    pairs = [beside_a_smaller_one(frame) for frame in moving[0][:30]]
    for pair in pairs[10:16]:
        pair[:] = 90
    aligned = Aligned(tmp_path, pairs, SETTINGS.model_copy(update={"face": "left"}))
    assert aligned.valid[24:].all()
    centre = np.array([[63.5, 63.5]])
    places = [align.moved(register.invert(one), centre)[0, 0] for one in aligned.transform[24:]]
    assert max(places) < 256


def test_persons_seen_together_are_counted(moving, tmp_path):
    pairs = [beside_a_smaller_one(frame) for frame in moving[0][:8]]
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, pair in enumerate(pairs):
        if k < 5:
            pair[:, :256] = 90
        cv2.imwrite(str(folder / f"{k}.png"), pair[..., ::-1])
    assert align.faces_in(folder, SETTINGS) == 2
    video.write(tmp_path / "v.mkv", pairs[:6], 30, "")
    assert align.faces_in(tmp_path / "v.mkv", SETTINGS) == 1  # two in the last frame alone
    video.write(tmp_path / "n.mkv", [np.full_like(pairs[0], 90)] * 4, 30, "")
    assert align.faces_in(tmp_path / "n.mkv", SETTINGS) == 0


def test_repeats_are_flagged_and_do_not_move(moving, tmp_path):
    frames = [frame for frame in moving[0][:4] for _ in range(3)]
    aligned = Aligned(tmp_path, frames)
    assert aligned.repeat.tolist() == [bool(t % 3) for t in range(12)]
    again = np.flatnonzero(aligned.repeat)
    assert (aligned.transform[again] == aligned.transform[again - 1]).all()


def test_large_frames_are_shrunk_and_registered_alike(moving, tmp_path):
    frames, points = moving
    large = [cv2.resize(f, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC) for f in frames[:10]]
    aligned = Aligned(tmp_path, large)
    skull = aligned.seen(3 * points[:10] + 1)[:, SKULL]
    assert np.linalg.norm(skull - skull[0], axis=2).max() < 0.25


def test_hand_in_a_real_video_is_marked(shared, tmp_path):
    """expressions.mp4: a hand over the mouth or the face in frames 58 to 230, then smiles."""
    source = shared / "media" / "expressions.mp4"
    if not source.exists():
        pytest.skip(f"{source} is not there: the folder shared/ of real videos")
    shown = [shown.picture.pixels() for shown in timed_frames(source)]
    aligned = Aligned(tmp_path, shown[40:250])
    assert (~aligned.valid[58 - 40 : 231 - 40]).mean() > 0.95
    assert aligned.valid[: 58 - 40 - 2].all()
    assert aligned.valid[241 - 40 :].all()


def test_mouth_wide_open_in_a_real_video_is_free(shared, tmp_path):
    source = shared / "real" / "still_head.mp4"
    if not source.exists():
        pytest.skip(f"{source} is not there: the folder shared/ of real videos")
    shown = [shown.picture.pixels() for shown in timed_frames(source)]
    assert not invalid(Aligned(tmp_path, shown[55:160]))


def test_disagreement_that_is_large_once_is_a_cover_as_long_as_it_is_slight():
    """An expression's stays slight; a single frame's is chance."""
    apart = np.full((150, 4), 0.004)
    apart[20:60] = 0.02
    apart[30:50] = 0.06
    apart[80:110] = 0.02  # a mouth wide open
    apart[105:125, 3] = 0.1  # whose own points scatter for long, and no others
    apart[130] = 0.2
    _, valid = covered.judge(np.ones(len(apart)), np.array(apart), 30, 0.5)
    assert np.flatnonzero(~valid).tolist() == list(range(18, 62))  # the mean's width


def test_registration_finds_a_known_similarity(person):
    picture = cv2.cvtColor(np.uint8(person.picture.clip(0, 255)), cv2.COLOR_RGB2GRAY).astype(
        np.float32
    )
    to_crop = np.array([[0.9, 0, -30.0], [0, 0.9, -30.0]])
    crop = cv2.warpAffine(picture, to_crop, (170, 170), flags=cv2.INTER_CUBIC)
    region = align.skull_region(align.moved(to_crop, person.landmarks), 170)
    motion = np.array([[1.01, -0.03, 6.0], [0.03, 1.01, -7.0]])
    seen = 0.8 * cv2.warpAffine(picture, motion, (256, 256), flags=cv2.INTER_CUBIC) + 12
    found, correlation = register.Template(crop, region).register(seen, to_crop)
    true = register.compose(to_crop, register.invert(motion))
    corners = align.moved(motion, person.landmarks[SKULL])
    apart = align.moved(found, corners) - align.moved(true, corners)
    assert np.linalg.norm(apart, axis=1).max() < 0.05
    assert correlation > 0.995
