"""spot: rows in the user's terms, what does not count, lanes and curves, on made motion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_displacement import REGIONS, moved_lip
from typer.testing import CliRunner

from mespot import feature_store, store
from mespot.cli import app
from mespot.feature_store import Clock, Face, Feature
from mespot.intervals import INTERVAL_COLUMNS, LANE_COLUMNS, load_intervals
from mespot.spot import described
from mespot.spotting.proposals import Proposal

N, FPS = 600, 30.0
FLAGS = ("talking", "blink", "head", "left_out")


def video(name="v", talking=(), start=0.0) -> Feature:
    """A lip that moves at 100 to 160 and 300 to 312, and a mouth that talks between two frames."""
    place = 50 * moved_lip(N, (100, 160, 0.2), (300, 312, 0.1))
    place[:, 0] += (0, -30)  # the brow lies above the nose
    place[:, 1:] += (0, 30)
    openings = np.full((N, 3), (12.0, 12.0, 2.0))
    if talking:
        t = np.arange(*talking) / FPS
        openings[slice(*talking), 2] += 3 * (1 - np.cos(2 * np.pi * 3 * t))
    frames = np.arange(N) * 2 + round(60 * start)
    face = Face(place, openings, np.zeros((N, 4)))
    clock = Clock(frames, 60.0, start)
    motion = np.zeros((N - 1, 3, 2), np.float32)
    valid = np.ones(N - 1, bool)
    return Feature("s", name, motion, valid, FPS, 50.0, REGIONS, "dlib", face, clock)


@pytest.fixture
def spotted(tmp_path):
    """The files of `mespot spot` on two videos, the second of which talks all the while."""

    def run(*videos, **options):
        with store.create(
            tmp_path / "f.h5", stage="features", settings={}, fps=FPS, source="s"
        ) as file:
            for one in videos:
                feature_store.write(file, one)
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        names = {"out": "i.csv", "not-counted": "n.csv", "lanes": "l.csv", "curves": "c.h5"}
        files = [f"--{flag}={tmp_path / name}" for flag, name in names.items()]
        done = CliRunner().invoke(app, ["spot", f"--features={tmp_path / 'f.h5'}", *files, *flags])
        assert done.exit_code == 0, done.output
        return [
            pd.read_csv(tmp_path / names[flag], keep_default_na=False)
            for flag in ("out", "not-counted", "lanes")
        ]

    return run


def test_rows_say_seconds_source_frames_regions_and_remarks(spotted, tmp_path):
    counted, apart, stretches = spotted(video(start=2.0))
    assert list(counted) == list(apart) == INTERVAL_COLUMNS
    assert list(counted["type"]) == ["macro", "micro"]
    assert not len(apart)
    assert list(stretches) == LANE_COLUMNS
    one = counted.iloc[0]
    assert one["onset_s"] == pytest.approx(2 + one["onset"] / FPS, abs=1e-3)
    assert one["offset_s"] == pytest.approx(2 + (one["offset"] + 1) / FPS, abs=1e-3)
    assert one["duration_s"] == pytest.approx(one["offset_s"] - one["onset_s"], abs=2e-3)
    assert one["source_apex"] == 2 * one["apex"] + 120
    assert one["source_fps"] == 60
    assert one["regions"] == "lip"
    assert one["remarks"] == ""
    load_intervals(tmp_path / "i.csv")


def test_what_is_nothing_but_speech_is_marked_and_not_counted(spotted):
    counted, apart, stretches = spotted(video("a"), video("b", (60, 420)))
    assert list(counted["video"]) == ["a", "a"]
    assert set(apart["video"]) == {"b"}
    assert set(apart["remarks"]) == {"talking"}
    (stretch,) = stretches[stretches["lane"] == "talking"].to_dict("records")
    assert stretch["video"] == "b"
    assert stretch["onset"] == pytest.approx(60, abs=30)
    # Unless asked for.
    counted, apart, _ = spotted(video("b", (60, 420)), lane_settings='{"not_counted": []}')
    assert set(counted["remarks"]) == {"talking"}
    assert not len(apart)


def row(one: Proposal, type_="macro", others=(), feature=None, **flags):
    feature = feature or video()
    moved = feature.face.place / 50
    given = {lane: np.zeros(N, bool) for lane in FLAGS}
    for lane, frames in flags.items():
        given[lane][slice(*frames)] = True
    rows = described(feature, [(type_, one), *others], given, moved)
    return next(each for each in rows if (each["type"], each["onset"]) == (type_, one.onset))


@pytest.mark.parametrize(
    ("frames", "flags", "remarks"),
    [
        ((100, 160), {"talking": (90, 110)}, "partly talking"),
        ((100, 160), {"talking": (90, 140)}, "talking"),
        ((100, 160), {"head": (100, 140)}, "head moves"),
        ((100, 160), {"left_out": (162, 170)}, ""),
        ((100, 160), {"left_out": (161, 170)}, "touches a left-out stretch"),
        ((0, 60), {}, "cut by the video's start"),
        ((550, 598), {}, "cut by the video's end"),
        # The lip moved, so a blink meanwhile is no reason.
        ((100, 110), {"blink": (98, 112)}, ""),
    ],
)
def test_remarks(frames, flags, remarks):
    onset, offset = frames
    assert row(Proposal(onset, onset + 5, offset, 0.5), **flags)["remarks"] == remarks


def test_a_blink_moves_the_upper_face_alone():
    one = video()
    one.face.place[100:110, 0, 1] += 8
    blink = row(Proposal(98, 104, 112, 0.5), "micro", feature=one, blink=(97, 113))
    assert blink["remarks"] == "blink"
    assert blink["regions"] == "brow"


def test_a_micro_inside_a_macro_is_one_event():
    macro = ("macro", Proposal(90, 120, 170, 0.5))
    found = row(Proposal(110, 115, 120, 0.4), "micro", [macro])
    assert found["remarks"] == "same event as the macro at 3.00 s"
    assert row(Proposal(165, 170, 179, 0.4), "micro", [macro])["remarks"] == ""


def test_curves_are_a_table_of_every_frame(spotted, tmp_path):
    spotted(video(start=1.0), video("other"))
    paths = [f"--features={tmp_path / 'f.h5'}", f"--curves={tmp_path / 'c.h5'}"]
    done = CliRunner().invoke(app, ["curves", *paths, "--video=v", f"--out={tmp_path / 'v.csv'}"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "v.csv")
    assert len(table) == N
    assert table["time_s"].iloc[-1] == pytest.approx(1 + (N - 1) / FPS, abs=1e-3)
    assert table["source_frame"].iloc[10] == 80
    assert not table.isna().any().any()
    assert table["lip"].iloc[130] == pytest.approx(0.2, abs=0.01)
    assert table["mouth"].iloc[0] == pytest.approx(0.04)
    done = CliRunner().invoke(app, ["curves", *paths])
    assert done.output.count("\n") == 2 * N + 1
    done = CliRunner().invoke(app, ["curves", *paths, "--video=none"])
    assert done.exit_code == 2
    assert "no video none; there are other, v" in done.output + (done.stderr or "")
