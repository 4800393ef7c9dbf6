"""layouts: the videos of each benchmark's folders, and of anyone's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mespot import own
from mespot.datasets import annotation_files, folders, layouts
from mespot.datasets.layouts import PassedOver
from mespot.errors import InputError


def touch(root, *names):
    """Files; `a/` is an empty folder, `a -> b` a link."""
    for name in names:
        name, _, target = name.partition(" -> ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        elif name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(b"x")


def said(root, layout="videos"):
    """Why each is not taken of what is not, by its path in the folder."""
    _, left = layouts.survey(layout, root)
    return {os.path.relpath(entry.path, root): entry.why for entry in left}


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


ONE_AND_TWO = ["anna/one.mp4", "ben/two.mp4"]
BESIDE = "a picture beside videos or folders of frames"
DEEP = "its videos lie too deep; move them into anna"


@pytest.mark.parametrize(
    ("entries", "taken", "why"),
    [
        # Pictures beside videos, or beside folders of frames at any depth.
        ([*ONE_AND_TWO, "poster.jpg"], "one two", {"poster.jpg": BESIDE}),
        ([*ONE_AND_TWO, "setup1.jpg", "setup2.jpg"], "one two", dict.fromkeys(["setup1.jpg", "setup2.jpg"], BESIDE)),
        ([*ONE_AND_TWO, "anna/anna.JPG"], "one two", {"anna/anna.JPG": BESIDE}),
        (["1.jpg", "2.jpg", "3.jpg", "anna/c/1.jpg", "anna/c/2.jpg"], "c", {f"{n}.jpg": BESIDE for n in (1, 2, 3)}),
        (["1.jpg", "2.jpg", "crops/1.jpg", "crops/2.jpg"], "crops", {"1.jpg": BESIDE, "2.jpg": BESIDE}),
        (["anna/c/1.png", "anna/c/2.png", "anna/c/4.heic", "anna/c/thumb/small.png"], "c", {"anna/c/4.heic": "no frame, in a folder of frames", "anna/c/thumb": "no frame, in a folder of frames"}),
        # What systems keep, hidden folders, what is not whole.
        ([*ONE_AND_TWO, "@eaDir/one.mp4/S.jpg", "anna/@eaDir/one.mp4/S.jpg"], "one two", dict.fromkeys(["@eaDir", "anna/@eaDir"], "the system's own (@eadir)")),
        ([*ONE_AND_TWO, "$RECYCLE.BIN/$R1.mp4"], "one two", {"$RECYCLE.BIN": "the system's own ($recycle.bin)"}),
        ([*ONE_AND_TWO, ".Trash-1000/files/x.mp4", ".DS_Store", "._a.mp4"], "one two", {".Trash-1000": "hidden"}),
        ([*ONE_AND_TWO, ".x.mp4", "anna/Thumbs.db"], "one two", {".x.mp4": "hidden", "anna/Thumbs.db": "the system's own (thumbs.db)"}),
        ([*ONE_AND_TWO, "x.mp4.part", "~$y.mp4"], "one two", dict.fromkeys(["x.mp4.part", "~$y.mp4"], "unfinished, of a download or an open program")),
        ([*ONE_AND_TWO, "a.txt", "anna/noending"], "one two", dict.fromkeys(["a.txt", "anna/noending"], folders.UNKNOWN)),
        # Links.
        ([*ONE_AND_TWO, "anna/x.mp4 -> /nowhere/x.mp4", "y -> y"], "one two", dict.fromkeys(["anna/x.mp4", "y"], "a link to what is not there")),
        ([*ONE_AND_TWO, "anna/up -> ..", "ben/me -> ."], "one two", dict.fromkeys(["anna/up", "ben/me"], "a link back to a folder that it lies in")),
        ([*ONE_AND_TWO, "carl -> anna", "0.mp4 -> ben/two.mp4"], "one two", dict.fromkeys(["carl/one.mp4", "0.mp4"], "a link to a video that is taken already")),
        # The wrong depth.
        ([*ONE_AND_TWO, "anna/s1/three.mp4"], "one two", {"anna/s1": DEEP}),
        ([*ONE_AND_TWO, "anna/s1/c/1.jpg", "anna/s1/c/2.jpg", "anna/e/"], "one two", {"anna/s1": DEEP, "anna/e": folders.NO_VIDEO}),
        ([*ONE_AND_TWO, "old/s1/a/x.mp4", "notes/a.txt"], "one two", {"old/s1": DEEP.replace("anna", "old"), "notes": folders.NO_VIDEO}),
        (["anna/s1/one.mp4", "anna/s2/two.mp4", "anna/s1/raw/x.mp4"], "one two", {"anna": "its videos lie a folder deeper; all are taken as anna's", "anna/s1/raw": DEEP.replace("anna", "s1")}),
        (["one.mp4", "videos -> .."], "one", {"videos": "a link back to a folder that it lies in"}),
        (["videos/anna/one.mp4", "two.mp4", "old/x.mp4"], "one", dict.fromkeys(["two.mp4", "old"], "beside videos, which is taken")),
    ],
)  # fmt: skip
def test_what_is_no_video_is_named(tmp_path, entries, taken, why):
    touch(tmp_path, *entries)
    assert [video for _, video in names("videos", tmp_path)] == taken.split()
    assert said(tmp_path) == why


@pytest.mark.parametrize(
    "ending", [".gif", ".asf", ".MXF", ".qt", ".y4m", ".rmvb", ".insv", ".wtv"]
)
def test_a_video_may_have_any_ending_that_ffmpeg_reads(tmp_path, ending):
    touch(tmp_path, f"one{ending}")
    if ending == ".gif":
        save_pages(tmp_path / "one.gif")
    assert names("videos", tmp_path) == [("one", "one")]


@pytest.mark.parametrize("ending", ["webp", "jfif", "ppm", "jp2", "tga", "avif", "gif"])
def test_frames_may_have_any_ending_that_pillow_reads(tmp_path, ending):
    touch(tmp_path, f"anna/1.{ending}", f"anna/2.{ending}", "ben.mp4")
    assert names("videos", tmp_path) == [("anna", "anna"), ("ben", "ben")]


def save_pages(path, n=3, size=(8, 6), last=(8, 6)):
    pages = [Image.fromarray(np.full((6, 8), 50 * k, np.uint8)) for k in range(n)]
    pages[-1] = pages[-1].resize(last)
    path.parent.mkdir(parents=True, exist_ok=True)
    pages[0].save(path, save_all=True, append_images=pages[1:])


@pytest.mark.parametrize("ending", ["tif", "TIFF", "webp", "png", "gif"])
def test_a_file_of_many_pages_is_a_video_and_one_of_one_a_picture(tmp_path, ending):
    for name in ("one", "two"):
        save_pages(tmp_path / "anna" / f"{name}.{ending}")
    Image.new("L", (8, 6)).save(tmp_path / "anna" / f"logo.{ending}")
    assert names("videos", tmp_path) == [("anna", "one"), ("anna", "two")]
    assert said(tmp_path) == {f"anna/logo.{ending}": BESIDE}


def test_frames_with_a_thumbnail_each_are_frames(tmp_path):
    for n in (1, 2):
        save_pages(tmp_path / "fr" / f"{n}.tif", n=2, last=(4, 3))
    assert names("videos", tmp_path) == [("fr", "fr")]


def test_many_of_a_kind_are_one_line(tmp_path):
    touch(
        tmp_path, "one.mp4", *(f"thumbs/{n}.thm" for n in range(9)), *(f"{n}.txt" for n in range(5))
    )
    left = layouts.survey("videos", tmp_path)[1]
    text, thumbs = folders.in_short(left)
    assert text.path.endswith("/0.txt")
    assert text.why == f"{folders.UNKNOWN}; so are 4 more (1.txt, 2.txt, 3.txt, ...)"
    assert (Path(thumbs.path).name, thumbs.why) == ("thumbs", folders.NO_VIDEO)


@pytest.mark.parametrize("where", ["noending", "one.mp4.bak", "notes/deep/noending"])
def test_a_video_of_no_known_ending_is_named(tmp_path, where):
    """A text is none, though ffmpeg can make a video of its letters; nor is a picture."""
    touch(tmp_path, "two.mp4", "notes.nfo")
    (tmp_path / "notes.nfo").write_text("What ANSI artists draw.\n" * 50)
    Image.new("L", (8, 6)).save(tmp_path / "still", "png")
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    save_pages(tmp_path / "moving.gif")
    (tmp_path / "moving.gif").rename(tmp_path / where)
    lines = [entry.why for entry in folders.in_short(layouts.survey("videos", tmp_path)[1])]
    assert len(lines) == 2
    assert f"{Path(where).name} looks like a video; give it the ending .gif" in lines


@pytest.mark.parametrize(
    ("layout", "entries", "why"),
    [
        ("cas_me_sq", ["rawpic/s15/15_0101x/1.jpg", "rawpic/s15/a.txt", "rawpic/b.mp4", "rawpic/t/c", "d.pdf", "longVideoFaceCropped/s1/x"],
         {"rawpic/s15/a.txt": "no folder such as 15_0101disgustingteeth", "rawpic/b.mp4": "no folder such as s15", "rawpic/t": "is not named as s15 is", "d.pdf": "beside rawpic, which is taken", "longVideoFaceCropped": "beside rawpic, which is taken"}),
        ("samm_lv", ["006_1/006_1_1.jpg", "006_2.mp4", "lost+found/006_3/1.jpg"],
         {"006_2.mp4": "no folder such as 006_1", "lost+found": "the system's own (lost+found)"}),
        ("features", ["a/a_0101_0000.npz", "a/b.npz", ".c/a_0101_0000.npz"],
         {"a/b.npz": "is not named as casme_015_0401_0256.npz is", ".c": "hidden"}),
    ],
)  # fmt: skip
def test_what_lies_beside_a_benchmarks_videos_is_named(tmp_path, layout, entries, why):
    touch(tmp_path, *entries)
    assert len(layouts.find(layout, tmp_path)) == 1
    assert said(tmp_path, layout) == why


def test_where_all_videos_lie_deeper_still_it_is_said_where(tmp_path):
    touch(tmp_path, "site/anna/s1/one.mp4")
    with pytest.raises(
        InputError, match=r"site/anna: its videos lie too deep; move them into site"
    ):
        layouts.find("videos", tmp_path)


def test_videos_of_one_name_in_deeper_folders_are_told_apart(tmp_path):
    touch(tmp_path, "anna/s1/a.mp4", "anna/s2/a.mp4", "ben/s1/b.mp4")
    assert names("videos", tmp_path) == [("anna", "anna_s1_a"), ("anna", "anna_s2_a"), ("ben", "b")]


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    touch(tmp_path, "anna/one.mp4", "ben/two.mp4")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "ben":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"ben: cannot be read \(Permission denied\)"):
        layouts.find("videos", tmp_path)


def test_a_root_that_is_a_link_or_no_folder(tmp_path):
    touch(tmp_path, "real/anna/one.mp4", "root -> real")
    assert names("videos", tmp_path / "root") == [("anna", "one")]
    assert said(tmp_path / "root") == {}
    touch(tmp_path, "file")
    with pytest.raises(InputError, match=r"file: cannot be read \(Not a directory\)"):
        layouts.find("samm_lv", tmp_path / "file")


CHINESE = "".join(chr(0x4E00 + 37 * k) for k in range(82))


def test_long_names_are_shortened_and_stay_apart():
    names = [layouts.video_name(Path(f"{CHINESE}{end}.mp4")) for end in ("甲", "乙")]
    assert names[0] != names[1]
    assert names[0] == layouts.video_name(Path(f"{CHINESE}甲")), "without its ending, as in a table"
    for name in (*names, layouts.video_name(Path("a" * 250))):
        assert len(name.encode()) <= layouts.LONGEST
    assert names[0].startswith(CHINESE[:30])
    assert layouts.video_name(Path("a" * 100)) == "a" * 100


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("2024.mp4", "2024"),
        ("007", "007"),
        ("p.264", "p.264"),
        ("a$b c.mp4", "a_b_c"),
        ("dots...mp4", "dots"),
        ("e\u0301.mp4", "é"),
        ("张 三(1)", "张_三_1"),
        ("\udcd5\udcc5.mp4", "video"),
    ],
)
def test_names(path, name):
    assert layouts.video_name(Path(path)) == name


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["One.mp4", "one.mp4"], "2 videos would be named One"),
        (["\u00e9.mp4", "e\u0301.mp4"], "2 videos would be named é"),
        (["Anna/one.mp4", "anna/two.mp4"], "subjects Anna and anna differ in capitals alone"),
        (["ALL/x.mp4"], "a subject is called 'ALL'"),
        (["inner_1_2.mp4"], "a subject is called 'inner_1_2'"),
    ],
)
def test_names_that_are_not_told_apart_are_an_error(tmp_path, entries, message):
    touch(tmp_path, *entries)
    with pytest.raises(InputError, match=message):
        layouts.find("videos", tmp_path)


def test_names_in_another_encoding_are_passed_over_readably(tmp_path):
    name = os.fsdecode("张.mp4".encode("gbk"))
    touch(tmp_path, "one.mp4", name, "two\nlines.txt")
    lines = own.passed_over(str(tmp_path))
    assert all(line.isprintable() for line in lines)
    assert any("its name is not UTF-8" in line for line in lines)
    with pytest.raises(InputError, match="rename it; a name in UTF-8"):
        layouts.find("videos", tmp_path / name)


NAMES = [
    "one.mp4",
    "ONE.MP4",
    "one.mov",
    "1.jpg",
    "2.jpg",
    "3.PNG",
    "poster.jpg",
    "notes.txt",
    "x",
    "anna",
    "ben",
    "videos",
    "all",
    "s15",
    "15_0101x",
    "rawpic",
    "006_1",
    "006_1_0001.jpg",
    "casme_015_0101_0000.npz",
    "@eaDir",
    "$RECYCLE.BIN",
    ".hidden",
    ".a.mp4",
    "Thumbs.db",
    "~$a.mp4",
    "b.mp4.part",
    "é",
    "é",
    "�.mp4",
]
LINKS = st.sampled_from(
    ["..", ".", "../..", "nowhere", "anna", "one.mp4", "../anna", "/nowhere", "../1.jpg"]
)
TREES = st.recursive(
    st.none() | LINKS,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
).filter(lambda tree: isinstance(tree, dict))


def grow(folder: Path, tree: dict) -> None:
    """None is a file, text a link."""
    folder.mkdir()
    for name, inner in tree.items():
        if isinstance(inner, dict):
            grow(folder / name, inner)
        elif inner is None:
            (folder / name).touch()
        else:
            (folder / name).symlink_to(inner)


def lies_in(path: str, others) -> bool:
    return any(path == other or path.startswith(f"{other}/") for other in others)


def or_message(function, *arguments):
    """What a function gives, or the line of its InputError."""
    try:
        return function(*arguments)
    except InputError as error:
        return str(error)


@settings(max_examples=150)
@given(TREES)
def test_each_file_of_any_tree_is_taken_or_named(tree):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        grow(root, tree)
        for layout in layouts.LAYOUTS:
            found = or_message(layouts.survey, layout, root)
            if isinstance(found, str):
                assert str(root) in found
                assert found.isprintable()
                continue
            taken = [video.path for video in found[0]]
            named = [entry.path for entry in found[1]]
            passed = [entry.path for entry in found[1] if isinstance(entry, PassedOver)]
            assert len({*passed}) == len(passed)
            assert not any(lies_in(path, passed) for path in taken)
            for inside, folders_, files in os.walk(root):
                links = [name for name in folders_ if Path(inside, name).is_symlink()]
                # A video of `features` is some files of a folder, an empty folder nothing.
                for name in files if layout == "features" else files + links:
                    path = os.path.join(inside, name)
                    leads_to = any(lies_in(other, [path]) for other in (*taken, *named))
                    assert leads_to or lies_in(path, [*taken, *named]) or name.startswith(".")
        if isinstance(or_message(own.find, str(root)), list):
            lines = own.passed_over(str(root))
            assert all(line.isprintable() and str(root) in line for line in lines)
