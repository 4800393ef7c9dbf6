"""check, on small trees with the benchmarks' true names: each planted fault is found, and named."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cli import run

from mespot import annotation
from mespot.check import LISTED, check, check_config, counted
from mespot.datasets import annotation_files, layouts
from mespot.errors import InputError
from mespot.frames import frame_files
from mespot.settings import Annotation, Decode

CAS_ME_SQ_CLIPS = {  # the endings of the true folders' names
    "0101": "disgustingteeth",
    "0102": "eatingworms",
    "0401": "girlcrashing",
    "0402": "beatingpregnantwoman",
    "0502": "funnyerrors",
    "0503": "unnyfarting",
    "0505": "funnyinnovations",
    "0507": "climbingthewall",
    "0508": "funnydunkey",
}
UNANNOTATED = ["casme_015_0508", "casme_023_0503"]
TABLES = ("CASME_sq_code_final.xlsx", "cas_me_sq_30fps.csv", "SAMM_LongVideos.xlsx", "samm_lv_25fps.csv")  # fmt: skip


@pytest.fixture(scope="session")
def sources(shared) -> dict[str, annotation_files.Source]:
    """The real annotations, by their files' names."""
    folder = shared / "data" / "annotations"
    return {
        name: annotation_files.read(folder / name, 8 if "SAMM" in name else 1) for name in TABLES
    }


def frames(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def cas_me_sq_tree(root: Path, videos, name: str = "img00{}.jpg") -> None:
    """Three frames for each of the videos, in the folders as distributed, and the misplaced one."""
    for video in videos:
        _, subject, code = video.split("_")
        person = str(int(subject))
        folder = root / f"s{person}" / f"{person}_{code}{CAS_ME_SQ_CLIPS[code]}"
        frames(folder, *(name.format(n) for n in (1, 2, 3)))
    frames(root / "s19" / "23_0502funnyerrors", name.format(1))


def samm_lv_tree(root: Path, videos) -> None:
    for video in videos:
        folder = video.removeprefix("samm_")
        frames(root / folder, *(f"{folder}_{n:04d}.jpg" for n in (1, 2, 3)))


def table_of(out: Path) -> dict[str, list[str]]:
    """The videos of each fault."""
    table = pd.read_csv(out, keep_default_na=False)
    return {fault: list(rows["video"]) for fault, rows in table.groupby("fault")}


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        ("rawpic", "img00{}.jpg"),
        ("longVideoFaceCropped", "img_{}.jpg"),
        ("longVideoFaceCropped/longVideoFaceCropped", "img_{}.jpg"),
    ],
)
def test_cas_me_sq_as_distributed(sources, tmp_path, inside, name):
    source = sources["CASME_sq_code_final.xlsx"]
    videos = [*source.rows["video"].unique(), *UNANNOTATED]
    cas_me_sq_tree(tmp_path / "CAS(ME)^2" / inside, set(videos) - {"casme_030_0505"}, name)
    compared = source.path.with_name("cas_me_sq_30fps.csv")
    out = tmp_path / "check.csv"
    arguments = ("--layout", "cas_me_sq", "--root", tmp_path / "CAS(ME)^2")
    done = run("check", *arguments, "--annotation", source.path, "--compare", compared, "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert "videos 96 of 22 subjects" in printed
    assert "annotated 357 rows of 95 videos: 300 macro, 57 micro" in printed
    assert "matched 94 of the 95 annotated videos are there" in printed
    rows = (source.rows["video"] == "casme_030_0505").sum()
    assert f"missing 1 annotated videos that are not there casme_030_0505: {rows} annotated rows" in printed  # fmt: skip
    assert "s19/23_0502funnyerrors: lies in s19, but its name is of s23" in printed
    assert "disagreement 0" in printed
    found = table_of(out)
    assert found["missing"] == ["casme_030_0505"]
    assert found["misplaced"] == ["casme_023_0502"]
    assert found["unannotated"] == UNANNOTATED
    # Every annotated frame lies beyond three frames; those of a missing video are not looked up.
    assert "... and " in printed
    assert printed.count("beyond the video's end") == LISTED
    assert set(found["beyond_end"]) == set(source.rows["video"]) - {"casme_030_0505"}


def test_the_misplaced_folder_is_used_where_its_video_is_missing(sources, tmp_path):
    source = sources["CASME_sq_code_final.xlsx"]
    videos = set(source.rows["video"]) - {"casme_023_0502"}
    cas_me_sq_tree(tmp_path / "rawpic", videos)
    text = check("cas_me_sq", tmp_path, source.path, None, None, Decode())
    assert "missing              0" in text
    where = "casme_023_0502: rawpic/s19/23_0502funnyerrors"
    assert f"{where}: lies in s19, but its name is of s23; used all the same" in text


@pytest.mark.parametrize("inside", ["", "SAMM_longvideos", "SAMM_longvideos/SAMM_longvideos"])
def test_samm_lv_as_distributed(sources, tmp_path, inside):
    source = sources["SAMM_LongVideos.xlsx"]
    samm_lv_tree(tmp_path / inside, set(source.rows["video"]) - {"samm_032_6"})
    frames(tmp_path / inside / "032_3", "032_6_0004.jpg")  # a frame of the missing video
    (tmp_path / inside / "006_1" / "006_1_0002.jpg").unlink()
    frames(tmp_path / inside / "old codes", "x.jpg")
    out = tmp_path / "check.csv"
    compared = source.path.with_name("samm_lv_25fps.csv")
    settings = Decode(fps=25, frames_fps=200)
    text = " ".join(check("samm_lv", tmp_path, source.path, compared, out, settings).split())
    assert "annotated 502 rows of 147 videos: 343 macro, 159 micro" in text
    found = table_of(out)
    beyond = len(found["beyond_end"])
    said = f"1 missing, 2 misplaced, 1 broken, {beyond} beyond_end, 29 disagreement"
    assert counted(out) == said
    assert found["missing"] == ["samm_032_6"]
    assert found["misplaced"] == ["", "samm_032_3"]
    assert "old codes: is not named as 006_1 is" in text
    assert "1 frames are not named as its own are; the first is 032_6_0004.jpg" in text
    assert found["broken"] == ["samm_006_1"]
    assert "frame 2 is missing" in text
    assert len(found["disagreement"]) == 29
    assert "row 488 says 1025; SAMM_LongVideos.xlsx wins" in out.read_text()


def test_own_videos_and_one_csv(tmp_path):
    for video in ("anna/one", "anna/two", "ben/three"):
        frames(tmp_path / "videos" / video, "1.png", "2.png")
    (tmp_path / "videos" / "ben" / "cut.mp4").write_bytes(b"\0\0\0 ftypisom")
    (tmp_path / "videos" / "ben" / "empty.mp4").touch()
    (tmp_path / "videos" / "carla").mkdir()
    table = "subject,video,type,onset,apex,offset,au\nanna,one,macro,0,1,1,12\nben,three,micro,0,1,5,4\n"
    (tmp_path / "annotation.csv").write_text(table + ",four,micro,3,4,5,4\n")
    out = tmp_path / "check.csv"
    check("videos", tmp_path, tmp_path / "annotation.csv", None, out, Decode())
    assert table_of(out) == {
        "": ["one"],
        "missing": ["four"],
        "passed_over": [""],
        "broken": ["cut", "empty"],
        "beyond_end": ["three"],
        "unannotated": ["cut", "empty", "two"],
    }
    assert "empty.mp4: an empty file; copy it again" in out.read_text()
    text = check("videos", tmp_path, None, None, None, Decode())
    assert "missing              0" in text
    assert "videos/carla: no video and no folder of frames lies in it" in text


def test_what_is_not_taken_is_a_fault(tmp_path):
    """Of a kind one, however many there are; the annotations themselves are none."""
    frames(tmp_path / "videos" / "anna" / "one", "1.png", "2.png")
    frames(tmp_path / "videos" / "anna" / "s1" / "two", "1.png", "2.png")
    frames(tmp_path / "videos" / "@eaDir" / "one.mp4", "S.jpg")
    frames(tmp_path / "videos", *(f"{n}.thm" for n in range(99)), "poster.jpg")
    frames(tmp_path, "notes.txt", "b.mp4")
    (tmp_path / "a.csv").write_text("video,type,onset,offset\none,macro,0,1\n")
    out = tmp_path.parent / f"{tmp_path.name}.csv"
    text = check("videos", tmp_path, tmp_path / "a.csv", None, out, Decode())
    table = pd.read_csv(out, keep_default_na=False)
    found = table[table["fault"].isin(["passed_over", "misplaced"])]
    assert {
        Path(path).name: fault for path, fault in zip(found.path, found.fault, strict=True)
    } == {
        "s1": "misplaced",
        "@eaDir": "passed_over",
        "0.thm": "passed_over",
        "poster.jpg": "passed_over",
        "b.mp4": "passed_over",
    }
    assert "so are 98 more (1.thm, 10.thm, 11.thm, ...)" in text
    assert "b.mp4: beside videos, which is taken; so is 1 more (notes.txt)" in text


def test_a_stack_is_counted_and_times_in_names_are_understood(tmp_path):
    pages = [Image.new("L", (8, 6), 50 * k) for k in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    frames(tmp_path / "times", "t_1000.png", "t_1033.png", "t_1066.png")
    text = check("videos", tmp_path, None, None, None, Decode())
    assert "broken               1" in text
    assert "goes up by 33, not by 1" in text
    assert "3  in 1 folders of frames" in text


def test_each_subject_may_have_a_video_1(tmp_path):
    for subject in ("anna", "ben"):
        frames(tmp_path / "videos" / subject / "1", "1.png", "2.png", "3.png")
    rows = "subject,video,type,onset,apex,offset,au\nanna,1,macro,0,1,2,12\nben,1,micro,0,1,7,4\n"
    (tmp_path / "a.csv").write_text(rows)
    text = check("videos", tmp_path, tmp_path / "a.csv", tmp_path / "a.csv", None, Decode())
    assert "2  of the 2 annotated videos are there" in text
    assert "ben_1: a.csv row 3: offset 7, beyond the video's end" in text


def test_every_row_that_will_be_left_out_is_named(tmp_path):
    frames(tmp_path / "videos" / "006" / "one", *(f"{n}.png" for n in range(40)))
    rows = [
        "6,one,macro,9,7,5",
        "6,one,micro,20,15,10",
        "6,one,macro,1,2,3",
        "6,one,macro,50,55,60",
    ]
    (tmp_path / "a.csv").write_text("\n".join(["subject,video,type,onset,apex,offset", *rows]))
    out = tmp_path / "check.csv"
    text = check("videos", tmp_path, tmp_path / "a.csv", None, out, Decode())
    assert table_of(out) == {"left_out": ["one"] * 2, "beyond_end": ["one"]}
    assert "one: a.csv row 3: offset 20, 15, 10, onset after offset: left out" in text
    assert "a.csv row 5: onset 50, 60, beyond the video's end (40 frames): left out" in text
    assert "set `fps` to its rate, or give seconds in onset_s" in text
    assert "a.csv: subject: 6 -> 006: the only one" in text
    assert "look swapped" not in text
    (tmp_path / "a.csv").write_text(
        "\n".join(["subject,video,type,offset,apex,onset", *rows[2:3] * 3])
    )
    text = " ".join(check("videos", tmp_path, tmp_path / "a.csv", None, None, Decode()).split())
    assert (
        "left_out 3 annotated rows that cannot be used the columns onset and offset look swapped"
        in text
    )


def test_a_row_held_at_the_end_that_is_another_row_then_is_named_once(tmp_path):
    frames(tmp_path / "videos" / "one", "1.png", "2.png")
    rows = "video,type,onset,offset\none,macro,0,5\none,macro,0,9\n"
    (tmp_path / "a.csv").write_text(rows)
    out = tmp_path / "check.csv"
    text = check("videos", tmp_path, tmp_path / "a.csv", None, out, Decode())
    assert table_of(out) == {"beyond_end": ["one"] * 2}
    assert (
        "offset 9, beyond the video's end (2 frames); the same expression is annotated twice: left out"
        in text
    )


@pytest.mark.parametrize(("fps", "said"), [(30, True), (60, False)])
def test_frames_that_may_be_counted_at_the_files_own_rate(tmp_path, fps, said):
    (tmp_path / "videos").mkdir()
    with av.open(tmp_path / "videos" / "one.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=60)
        stream.width = stream.height = 64
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64), np.uint8), "gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    (tmp_path / "a.csv").write_text("video,type,onset,offset\none,macro,0,5\n")
    text = check("videos", tmp_path, tmp_path / "a.csv", None, None, Decode(fps=fps))
    assert (
        f"1 videos have not {fps} frames a second, as worked at; the first is one, with 60" in text
    ) == said
    (tmp_path / "a.csv").write_text("video,type,onset_s,offset_s\none,macro,0,0.1\n")
    assert "frames a second" not in check(
        "videos", tmp_path, tmp_path / "a.csv", None, None, Decode(fps=fps)
    )


def test_seconds_of_a_part_of_the_videos(tmp_path):
    frames(tmp_path / "videos" / "one", *(f"{n}.png" for n in range(30)))
    (tmp_path / "a.csv").write_text(
        "video,type,onset_s,offset_s\none,macro,9.5,9.9\none,macro,9.5,10.5\n"
    )
    text = check("videos", tmp_path, tmp_path / "a.csv", None, None, Decode(from_s=10))
    assert "row 2: offset -3, it ends before the first frame: left out" in text
    assert "beyond_end           0" in text


def test_where_no_video_is_there_the_readings_are_named(tmp_path):
    frames(tmp_path / "videos" / "表情", "1.png", "2.png")
    (tmp_path / "a.csv").write_bytes("video,type,onset,offset\n眨眼,macro,0,1\n".encode("gbk"))
    with pytest.raises(InputError, match="names 眨眼.*the folder has 表情.*not UTF-8 -> gb18030"):
        check("videos", tmp_path, tmp_path / "a.csv", None, None, Decode())


def test_subjects_that_the_table_names_for_videos_spelled_otherwise(tmp_path):
    for video in ("One", "two"):
        frames(tmp_path / "videos" / video, "1.png", "2.png")
    (tmp_path / "a.csv").write_text(
        "subject,video,type,onset,offset\n6.0,one.mp4,macro,0,1\n,TWO,macro,0,1\n"
    )
    out = tmp_path / "check.csv"
    check("videos", tmp_path, tmp_path / "a.csv", None, out, Decode())
    assert list(pd.read_csv(out, dtype=str)["subject"]) == ["6", "6"]


def test_published_segments(sources, tmp_path):
    source = sources["samm_lv_25fps.csv"]
    for video in sorted(set(source.rows["video"]))[1:]:
        frames(tmp_path / "train" / video[:8], f"{video}_0000.npz")
    text = check("features", tmp_path, source.path, None, None, Decode(fps=25))
    assert "samm_006_1: 7 annotated rows" in text
    assert "broken               0" in text
    assert "beyond_end           0" in text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("eve,one,macro,0,1,1,4", "row 2: one is annotated as subject 'eve'"),
        ("anna,one,wide,0,1,1,4", "row 2: type 'wide'"),
        ("anna,one,macro,x,1,1,4", "row 2: onset is 'x'"),
        ("anna,seven,macro,0,1,1,4", "none of its 1 videos is there: it names seven"),
    ],
)
def test_what_would_stop_training_stops_here(tmp_path, row, message):
    frames(tmp_path / "videos" / "anna" / "one", "1.png", "2.png")
    csv = tmp_path / "a.csv"
    csv.write_text(f"subject,video,type,onset,apex,offset,au\n{row}\n")
    with pytest.raises(InputError, match=message):
        check("videos", tmp_path, csv, None, None, Decode())
    done = run("check", "--layout", "videos", "--root", tmp_path, "--annotation", csv)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "img001.jpg").unlink(),
            "its first frame is img002.jpg; the annota",
        ),
        (lambda folder: (folder / "img002.jpg").write_bytes(b""), "img002.jpg: an empty file"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "0 frames lie in it"),
        (
            lambda folder: (folder / "img002.jpg").rename(folder / "img007.jpg"),
            "frame 2 is missing",
        ),
        (lambda folder: (folder / "._img001.jpg").write_bytes(b"x"), None),
        (lambda folder: (folder / "Thumbs.db").write_bytes(b"x"), None),
    ],
)
def test_a_damaged_folder_of_frames_is_broken(tmp_path, spoil, message):
    cas_me_sq_tree(tmp_path / "rawpic", ["casme_015_0101"])
    spoil(tmp_path / "rawpic" / "s15" / "15_0101disgustingteeth")
    text = check("cas_me_sq", tmp_path, None, None, None, Decode())
    broken = "broken               2"  # the misplaced video, of a single frame, is one
    assert (broken in text) == bool(message)
    assert (message or "broken               1") in text


def test_unpadded_frames_are_read_in_their_order(tmp_path):
    folder = tmp_path / "longVideoFaceCropped" / "s27" / "27_0505funnyinnovations"
    folder.mkdir(parents=True)
    for n in range(1, 13):
        Image.fromarray(np.full((4, 4), n, np.uint8)).save(folder / f"img_{n}.png")
    (video,) = layouts.find("cas_me_sq", tmp_path)
    assert [path.name for path in frame_files(Path(video.path))] == [
        f"img_{n}.png" for n in range(1, 13)
    ]


def test_rows_of_videos_without_a_face_are_left_out_by_name(sources):
    """Those that defeat the detector (032_3, 032_6), and the one whose nose region is empty."""
    for name, failed in (
        ("SAMM_LongVideos.xlsx", ["samm_032_3", "samm_032_6"]),
        ("CASME_sq_code_final.xlsx", ["casme_030_0505"]),
    ):
        source = sources[name]
        lengths = {
            row.video: (row.subject, 10**6)
            for row in source.rows.itertuples()
            if row.video not in failed
        }
        kept, _, decisions = annotation.normalise(source, lengths, failed, Annotation())
        lost = [line["video"] for line in decisions if line["rule"] == "video_failed"]
        assert set(lost) == set(failed)
        assert len(kept) + len(lost) == len(source.rows)


def test_every_dataset_of_a_config_file(tmp_path):
    frames(tmp_path / "data" / "videos" / "anna" / "one", "1.png", "2.png")
    (tmp_path / "data" / "a.csv").write_text(
        "video,type,onset,offset\none,macro,0,1\ntwo,micro,0,1\n"
    )
    config = tmp_path / "mine.yaml"
    entry = f"{{layout: videos, root: {tmp_path}/data, annotation: a.csv}}"
    config.write_text(f"datasets:\n  mine: {entry}\n  none: {{layout: samm_lv, root: null}}\n")
    done = run("check", "--configfile", config)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"mine: {tmp_path}/data (layout videos)\n")
    assert "two: 1 annotated rows" in done.stdout
    wrong = entry.replace("/data", "/nowhere")
    config.write_text(f"datasets:\n  a: {wrong}\n  mine: {entry}\n")
    done = run("check", "--configfile", config)
    assert done.exit_code == 2
    assert "mine.yaml: datasets.a: " in done.stderr
    assert "/nowhere: no such file or folder" in done.stderr
    assert "two: 1 annotated rows" in done.stdout, "the others are checked all the same"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: {mine: {layout: samm_lv, root: null}}", "no dataset with a folder"),
        ("roi: {}", "no dataset with a folder"),
        ("datasets: [", "line 1, column 12: a bracket or brace that is not closed"),
        (None, "mine.yaml: No such file"),
    ],
)
def test_a_config_file_without_a_dataset_to_check(tmp_path, text, message):
    config = tmp_path / "mine.yaml"
    if text:
        config.write_text(text)
    with pytest.raises(InputError, match=message):
        list(check_config(config))
