"""layouts: the videos of each benchmark's folders, and of anyone's."""

from __future__ import annotations

import pytest

from mespot.datasets import annotation_files, layouts
from mespot.errors import InputError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(layout, root):
    return [(found.subject, found.video) for found in layouts.find(layout, root)]


def test_cas_me_sq_takes_what_lies_in_another_subjects_folder_only_if_it_must(tmp_path):
    touch(
        tmp_path,
        "RawPic/S15/15_0101disgustingteeth/img001.jpg",
        "RawPic/S15/15_0101disgustingteeth - copy/img001.jpg",
        "RawPic/S15/._15_0102/img001.jpg",
        "RawPic/__MACOSX/15_0103x/img001.jpg",
        "RawPic/s19/23_0502funnyerrors/img001.jpg",
    )
    found, misplaced = layouts.survey("cas_me_sq", tmp_path)
    assert [(video.subject, video.video) for video in found] == [
        ("casme_015", "casme_015_0101"),
        ("casme_023", "casme_023_0502"),
    ]
    assert found[1].path.endswith("s19/23_0502funnyerrors")
    assert [entry[1:] for entry in misplaced] == [
        ("hidden",),
        ("is not named as 15_0101disgustingteeth is", ""),
        ("the system's own (__macosx)",),
        ("lies in s19, but its name is of s23; used all the same", "casme_023_0502"),
    ]
    touch(tmp_path, "RawPic/s23/23_0502funnyerrors/img001.jpg")
    found, misplaced = layouts.survey("cas_me_sq", tmp_path)
    assert found[1].path.endswith("s23/23_0502funnyerrors")
    assert misplaced[-1].why == "lies in s19, but its name is of s23"


def test_samm_lv(tmp_path):
    touch(tmp_path, "006_1/006_1_0001.jpg", "006_2/006_2_0001.jpg", "notes/readme.txt")
    assert names("samm_lv", tmp_path) == [("samm_006", "samm_006_1"), ("samm_006", "samm_006_2")]


def test_own_videos_in_every_form(tmp_path):
    touch(tmp_path, "a b [1]^.MP4", "frames/1.png", "anna/one.mov", "anna/two.mov", "notes.txt")
    assert names("videos", tmp_path) == [
        ("a_b_1", "a_b_1"),
        ("anna", "one"),
        ("anna", "two"),
        ("frames", "frames"),
    ]
    assert names("videos", tmp_path / "a b [1]^.MP4") == [("a_b_1", "a_b_1")]
    assert names("videos", tmp_path / "frames") == [("frames", "frames")]
    touch(tmp_path, "anna/cover.jpg", "anna/._one.mov", "anna/.DS_Store", "odd.xyz", "logo.png")
    assert ("anna", "one") in names("videos", tmp_path)
    touch(tmp_path, "ben/portrait.jpg", "ben/three/1.png", "ben/three/._1.png")
    assert ("ben", "three") in names("videos", tmp_path)
    assert names("videos", tmp_path / "odd.xyz") == [("odd.xyz", "odd.xyz")]


def test_an_annotation_names_the_subjects_that_no_folder_names(tmp_path):
    touch(tmp_path, "one.mp4", "two b.mov", "three.mp4", "anna/four.mp4")
    csv = tmp_path / "annotation.csv"
    csv.write_text(
        "video,subject,type,onset,offset\none.mp4,ben j,micro,1,2\ntwo b,ben j,micro,1,2\n,,,,\n"
        "one,,macro,4,9\nfour,anna,micro,1,2\n"
    )
    subjects = annotation_files.subjects(csv)
    assert [found[:2] for found in layouts.find("videos", tmp_path, subjects)] == [
        ("anna", "four"),
        ("ben_j", "one"),
        ("ben_j", "two_b"),
        ("three", "three"),
    ]
    csv.write_text(csv.read_text() + "two b,eve,micro,4,5\n")
    assert annotation_files.subjects(csv) == {"one": "ben_j", "four": "anna"}


def test_videos_of_one_name_are_told_apart_by_their_subjects(tmp_path):
    touch(tmp_path, "anna/1.mp4", "ben/1.mp4", "ben/2.mp4")
    assert names("videos", tmp_path) == [("anna", "anna_1"), ("ben", "2"), ("ben", "ben_1")]
    csv = tmp_path / "a.csv"
    rows = ("anna,1", "ben,1.mp4", "ben,2", "ben,ben_1", "eve,1")
    csv.write_text(
        "subject,video,type,onset,offset\n" + "".join(f"{row},macro,1,9\n" for row in rows)
    )
    source = annotation_files.read(csv).named({"anna_1", "2", "ben_1"})
    assert list(source.rows["video"]) == ["anna_1", "ben_1", "2", "ben_1", "1"]
    touch(tmp_path, "ben/1.mov")
    with pytest.raises(InputError, match="2 videos would be named ben_1"):
        layouts.find("videos", tmp_path)
    (tmp_path / "ben" / "1.mov").unlink()
    touch(tmp_path, "1.mp4")  # whose it is only the annotation could tell
    with pytest.raises(InputError, match="3 videos would be named 1 "):
        layouts.find("videos", tmp_path)


def test_a_row_goes_to_the_video_of_its_own_name_first(tmp_path):
    csv = tmp_path / "a.csv"
    csv.write_text("subject,video,type,onset,offset\nanna,1,macro,0,3\nanna,anna_1,micro,4,5\n")
    source = annotation_files.read(csv).named({"1", "anna_1"})
    assert list(source.rows["video"]) == ["1", "anna_1"]


def test_published_segments_make_one_video(tmp_path):
    touch(
        tmp_path,
        "train/casme_015/casme_015_0101_0000.npz",
        "train/casme_015/casme_015_0101_0256.npz",
    )
    assert names("features", tmp_path) == [("casme_015", "casme_015_0101")]


def test_faults_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        layouts.find("videos", tmp_path / "none")
    with pytest.raises(
        InputError, match="no video and no folder of frames in it; there are: no entries"
    ):
        layouts.find("videos", tmp_path)
    touch(tmp_path / "one", "all/x.mp4")
    with pytest.raises(InputError, match="a subject is called 'all'"):
        layouts.find("videos", tmp_path / "one")
    touch(tmp_path, "a b.mp4", "a_b.mp4")
    with pytest.raises(InputError, match="2 videos would be named a_b"):
        layouts.find("videos", tmp_path)
