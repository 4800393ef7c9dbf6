"""demo: what is rendered is what its truth says, in the benchmarks' own forms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mespot import demo
from mespot.annotation import annotation
from mespot.datasets import layouts
from mespot.datasets.annotation_files import read
from mespot.settings import Annotation, Demo

SMALL = Demo(subjects=2, videos=1, seconds=4, noise=0.5)


@pytest.fixture(scope="module")
def subject() -> demo.Subject:
    return demo.make_subject("cas_me_sq", 0, SMALL)


def still(n: int, **changes) -> demo.Script:
    """A script in which nothing happens, but for the changes."""
    curves = {unit: np.zeros(n) for unit in demo.ACTION_UNITS}
    distractors = {name: np.zeros(n) for name in demo.DISTRACTORS}
    plain = {
        "fps": 30,
        "n_frames": n,
        "expressions": [],
        "head": np.zeros((n, 3)),
        "light": np.ones(n),
    }
    script = demo.Script(**plain, action_units=curves, distractors=distractors)
    for name, value in changes.items():
        setattr(script, name, value)
    return script


def test_nothing_happening_is_the_same_picture(subject):
    quiet = SMALL.model_copy(update={"noise": 0})
    frames = [frame for frame, _ in demo.render(subject, still(3), quiet)]
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


@pytest.mark.parametrize("unit", sorted(demo.ACTION_UNITS))
def test_truth_is_where_the_picture_went(subject, unit):
    """The skin keeps its brightness on its way: I_t at a point's new place is I at its old one."""
    script = still(2)
    script.action_units[unit] = np.array([0.0, 0.8])
    quiet = SMALL.model_copy(update={"noise": 0})
    (first, start), (second, end) = demo.render(subject, script, quiet)
    moved = np.linalg.norm(end - start, axis=1) > 0.5
    assert moved.sum() >= 2
    before = brightness(first, start[moved])
    assert np.abs(brightness(second, end[moved]) - before).mean() < 3
    away = 2 * start[moved] - end[moved]
    assert np.abs(brightness(second, away) - before).mean() > 6


def brightness(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    at = np.float32(points)[None]
    return cv2.remap(np.float32(frame), at, None, cv2.INTER_CUBIC)[0].mean(-1)


def test_head_motion_moves_all_points_rigidly(subject):
    script = still(2, head=np.array([[0, 0, 0], [0.1, -0.05, 0.03]]))
    (_, start), (_, end) = demo.render(subject, script, SMALL)
    assert (
        np.ptp(
            np.linalg.norm(end[:, None] - end, axis=2)
            - np.linalg.norm(start[:, None] - start, axis=2)
        )
        < 1e-6
    )
    unit = subject.inter_ocular
    assert (end - start)[27:31].mean(0) == pytest.approx([0.1 * unit, -0.05 * unit], abs=0.1)


@pytest.mark.parametrize("layout", ["cas_me_sq", "samm_lv"])
def test_expressions_have_their_types_length_and_lie_apart(layout):
    for video in range(3):
        script = demo.script(layout, 1, video, Demo())
        assert {e.type for e in script.expressions} == {"macro", "micro"}
        for one, following in zip(script.expressions, script.expressions[1:], strict=False):
            assert one.offset < following.onset
        for e in script.expressions:
            seconds = (e.offset - e.onset + 1) / script.fps
            assert e.onset < e.apex < e.offset < script.n_frames
            assert 0.5 <= seconds <= 4 if e.type == "macro" else seconds < 0.5
            unit = e.action_units[0]
            assert script.action_units[unit][e.apex] == pytest.approx(e.intensity)
            assert script.action_units[unit][e.onset] == 0


def test_distractors_can_be_left_out():
    script = demo.script("cas_me_sq", 0, 0, Demo(distractors=["blink"]))
    assert script.distractors["blink"].any()
    assert not script.distractors["gaze"].any()
    assert not script.head.any()
    assert (script.light == 1).all()


def test_subjects_differ_and_seeds_repeat():
    pictures = [demo.make_subject("cas_me_sq", k, SMALL).picture for k in (0, 1)]
    again = demo.make_subject("cas_me_sq", 0, SMALL).picture
    assert np.abs(pictures[0] - pictures[1]).mean() > 5
    assert np.array_equal(pictures[0], again)


@pytest.mark.parametrize(("layout", "per_row"), [("cas_me_sq", 1), ("samm_lv", 8)])
def test_dataset_is_read_back_as_it_was_made(tmp_path, layout, per_row):
    expected = layouts.demo(layout, tmp_path, SMALL.subjects, SMALL.videos)
    for k, video in enumerate(expected):
        Path(video.path).mkdir(parents=True)
        (Path(video.path) / "img001.jpg").touch()
        assert k < SMALL.subjects * SMALL.videos
    assert layouts.find(layout, tmp_path) == expected
    sheet = tmp_path / "annotation.xlsx"
    demo.write_annotation(layout, SMALL, sheet)
    assert read(sheet).first_frame == 1
    lengths = {video.video: (video.subject, 10**4) for video in expected}
    out, given, audit = (tmp_path / name for name in ("n.csv", "g.csv", "a.csv"))
    annotation(sheet, lengths, (), per_row, out, given, audit, Annotation())
    found = pd.read_csv(out, dtype={"au": str})
    truth = [
        (video.video, e.type, e.onset // per_row, e.apex // per_row, e.offset // per_row)
        for k, video in enumerate(expected)
        for e in demo.script(layout, k, 0, SMALL).expressions
    ]
    columns = ["video", "type", "onset", "apex", "offset"]
    assert list(found[columns].itertuples(index=False, name=None)) == truth
    # Only how the frames are counted was decided.
    assert set(pd.read_csv(audit)["rule"]) <= {"counted_from_one", "downsampled"}
    assert given.read_text() == out.read_text()


def test_rendered_folder_has_the_benchmarks_names(tmp_path):
    quick = SMALL.model_copy(update={"size": (192, 192)})
    video = layouts.demo("cas_me_sq", tmp_path, 2, 1)[0]
    demo.make_video("cas_me_sq", 0, 0, quick, Path(video.path), tmp_path / "truth.npz")
    files = sorted(path.name for path in Path(video.path).iterdir())
    assert files[0] == "img001.jpg"
    assert len(files) == 120
    truth = np.load(tmp_path / "truth.npz")
    assert truth["landmarks"].shape == (120, 68, 2)
    assert len(truth["onset"]) == len(demo.script("cas_me_sq", 0, 0, quick).expressions)
