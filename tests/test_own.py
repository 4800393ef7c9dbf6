"""own: paths of one's own, who is in the picture, and the table at the end."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from mespot import align, errors, own, store
from mespot.errors import InputError
from mespot.feature_store import Feature, write
from mespot.intervals import write_table
from mespot.settings import Align


def test_a_path_without_a_video_is_one_line(tmp_path):
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "a.txt").touch()
    for path, message in [
        ("https://x.org/a.mp4", "https://x.org/a.mp4: download the video first"),
        ("file:///a.mp4", "file:///a.mp4: download"),
        (str(tmp_path / "a.mp4"), "a.mp4: no such video or folder"),
        ("a" * 300, "a: no such video or folder"),
        ("~nobody_there/a.mp4", "a.mp4: no such video or folder"),
        (
            str(tmp_path / "notes"),
            "notes: no video and no folder of frames in it; there are: a.txt, d",
        ),
    ]:
        with pytest.raises(InputError, match=message) as raised:
            own.find(path)
        assert "\n" not in str(raised.value)


def test_videos_are_found_and_empty_folders_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "v" / "anna").mkdir(parents=True)
    for name in ("a b.mp4", "anna/c.mov"):
        (tmp_path / "v" / name).touch()
    assert [(one.subject, one.video) for one in own.find("~/v")] == [("a_b", "a_b"), ("anna", "c")]
    assert [one.path for one in own.find("~/v/a b.mp4")] == [str(tmp_path / "v" / "a b.mp4")]
    assert own.passed_over("~/v") == []
    (tmp_path / "v" / "ben").mkdir()
    (line,) = own.passed_over("~/v")
    assert line.startswith(f"{tmp_path}/v/ben is passed over: no video")


def test_what_is_not_taken_is_said_in_a_line_of_its_kind(tmp_path):
    for name in (
        "one.mp4",
        "a.txt",
        "b.txt",
        "setup1.jpg",
        "setup2.jpg",
        "anna/s1/two.mp4",
        "anna/x.mov",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert own.passed_over(str(tmp_path)) == [
        f"{tmp_path}/anna/s1: its videos lie too deep; move them into anna",
        f"{tmp_path}/a.txt is passed over: neither a video nor a picture that is read, by its ending; "
        "so is 1 more (b.txt)",
        f"{tmp_path}/setup1.jpg is passed over: a picture beside videos or folders of frames; "
        "so is 1 more (setup2.jpg)",
    ]


@pytest.mark.parametrize("name", ["notes.txt", "picture.jpg", "picture.png", "noending"])
def test_a_file_that_is_no_video_is_an_error(tmp_path, name):
    path = tmp_path / name
    path.write_text("What ffmpeg would make a video of letters of.\n" * 20)
    if name.startswith("picture"):
        Image.new("L", (8, 6)).save(path)
    with pytest.raises(InputError, match=f"{name}: no video; "):
        own.find(str(path))


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("pipe", "pipe.png", "pipe.mp4"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: no video; "):
            own.find(str(tmp_path / name))
    (tmp_path / "one.mp4").touch()
    assert [one.video for one in own.find(str(tmp_path))] == ["one"]
    (line,) = own.passed_over(str(tmp_path))
    assert line.startswith(f"{tmp_path}/pipe is passed over: neither a file nor a folder; so are 2")


def test_a_video_of_any_ending_or_of_pages_is_one(tmp_path):
    pages = [Image.new("L", (8, 6), 50 * k) for k in range(3)]
    for name, form in (("stack.tif", "tiff"), ("noending", "gif")):
        pages[0].save(tmp_path / name, form, save_all=True, append_images=pages[1:])
        assert len(own.find(str(tmp_path / name))) == 1


def test_each_person_is_a_track_and_is_counted_once(tmp_path, monkeypatch):
    asked = []

    def faces_in(source, settings):
        asked.append(source.name)
        if source.name == "bad.mp4":
            raise InputError("no video")
        return {"duo.mp4": 2, "nobody.mp4": 0}[source.name]

    monkeypatch.setattr(align, "faces_in", faces_in, raising=False)
    for name in ("duo.mp4", "bad.mp4", "nobody.mp4"):
        (tmp_path / name).touch()
    cache = tmp_path / "results" / "faces.json"
    found = own.tracks(own.find(str(tmp_path)), Align(), cache)
    assert [one.video for one in found] == ["bad__1", "duo__1", "duo__2", "nobody__1"]
    assert [one.subject for one in found] == [one.video for one in found]
    assert [own.person(one.video) for one in found] == [1, 1, 2, 1]
    assert own.tracks(own.find(str(tmp_path)), Align(), cache) == found
    assert asked == ["bad.mp4", "duo.mp4", "nobody.mp4"]
    # Another file of that name, or another detector, is counted anew; one that is gone is forgotten.
    (tmp_path / "duo.mp4").write_text("longer")
    (tmp_path / "bad.mp4").unlink()
    own.tracks(own.find(str(tmp_path)), Align(), cache)
    assert asked[3:] == ["duo.mp4"]
    own.tracks(own.find(str(tmp_path)), Align(detector="retinaface"), cache)
    assert asked[4:] == ["duo.mp4", "nobody.mp4"]
    assert len(json.loads(cache.read_text())) == 2


def test_failures_are_a_line_each(tmp_path):
    errors.write_failure("align: a.mkv:\n  no face", [tmp_path / "a.h5"])
    (tmp_path / "b.h5").write_bytes(b"\x89HDF")
    files = [tmp_path / f"{name}.h5" for name in "abc"]
    assert own.failures(files) == "a failed: align: a.mkv: no face"


def test_the_table_counts_intervals_and_points_at_what_was_left_out(tmp_path):
    lost = {"anna": 0, "ben": 2, "cem": 3}
    with store.create(
        tmp_path / "features.h5", stage="features", settings={}, units="px", fps=30, source=""
    ) as file:
        for name, n in lost.items():
            moved, valid = np.zeros((10, 1, 2), np.float32), np.arange(10) >= n
            write(file, Feature(name, name, moved, valid, 30, 60, ("chin",)))
    names = ["video", "type", "onset", "offset", "onset_s", "apex_s", "offset_s", "score"]
    names += ["regions", "remarks"]

    def written(name, *spotted):
        values = [0, 9, 0.0, 0.1, 0.333, 0.5, "chin", ""]
        rows = [dict(zip(names, [*row, *values], strict=True)) for row in spotted]
        write_table(rows, names, tmp_path / name)
        return tmp_path / name

    rows = ("anna", "macro"), ("anna", "macro"), ("cem", "micro")
    intervals = written("intervals.csv", *rows)
    others = written("not_counted.csv", ("anna", "micro"), ("cem", "macro"))
    features = tmp_path / "features.h5"
    head, *videos = own.overview(intervals, others, features, colour=True).splitlines()
    assert head.split() == ["video", "macro", "micro", "not", "counted", "left", "out"]
    assert [line.split() for line in videos[:2]] == [
        ["anna", "2", "0", "1", "0%"],
        ["ben", "0", "0", "0", "20%"],
    ]
    assert videos[2].startswith(own.RED)
    assert videos[2].endswith(own.PLAIN)
    assert videos[2][len(own.RED) : -len(own.PLAIN)].split() == ["cem", "0", "1", "1", "30%"]
    plain = own.overview(intervals, others, features, colour=False)
    assert "\033" not in plain
    assert len({len(line) for line in plain.splitlines()}) == 1

    first = own.listing(intervals).splitlines()[1]
    assert first.split() == ["macro", "0.00", "0.10", "0.33", "0.50", "chin"]
    assert own.listing(written("none.csv")) == "no intervals"
    none = own.overview(written("none.csv"), others, features, colour=False)
    assert none.splitlines()[1].split() == ["anna", "0", "0", "1", "0%"]
