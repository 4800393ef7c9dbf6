"""annotation: each decision on a row whose answer is known; the real files; every fault named."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import h5py
import pandas as pd
import pytest
from planted import planted_store
from test_cli import run

from mespot import store
from mespot.annotation import RULES, annotation, disagreements, join_tables
from mespot.datasets.annotation_files import FRAMES, Timing, read
from mespot.errors import InputError
from mespot.settings import Annotation

HEADER = "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
SAMM_LV_COLUMNS = (
    "Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type",
    "Action Units", "Notes",
)  # fmt: skip
ROOT = Path(__file__).parents[1]
LENGTHS = {"v": ("s", 100)}


def normalise(tmp_path, rows: str, frames_per_row: float = 1, **settings):
    source = tmp_path / "in.csv"
    source.write_text(HEADER + rows)
    out, audit = tmp_path / "out.csv", tmp_path / "audit.csv"
    files = (out, tmp_path / "given.csv", audit)
    annotation(source, LENGTHS, {"w"}, frames_per_row, *files, Annotation(**settings))
    return pd.read_csv(out), pd.read_csv(audit)


@pytest.mark.parametrize(
    ("row", "settings", "expected", "rules"),
    [
        ("10,15,20", {}, (10, 15, 20), []),
        ("10,15,0", {}, (10, 15, 20), ["offset_zero"]),
        ("10,15,0", {"offset_zero": "apex"}, (10, 15, 15), ["offset_zero"]),
        ("10,15,0", {"offset_zero": "apex_plus_20"}, (10, 15, 35), ["offset_zero"]),
        ("10,15,0", {"offset_zero": "drop"}, None, ["offset_zero"]),
        ("10,0,20", {}, (10, 15, 20), ["apex_zero"]),
        ("10,-1,20", {}, (10, 15, 20), ["apex_unknown"]),
        ("10,24,20", {}, (10, 15, 20), ["apex_after_offset"]),
        ("10,5,20", {}, (10, 15, 20), ["apex_outside"]),
        ("-3,5,20", {}, (0, 5, 20), ["onset_before_start"]),
        ("10.4,15.5,20.9", {}, (10, 15, 20), ["fractional_frame"] * 3),
        ("90,95,120", {}, (90, 95, 99), ["beyond_end"]),
        ("100,105,120", {}, None, ["beyond_end"]),
        ("30,25,20", {}, None, ["onset_after_offset"]),
        ("10,,20", {}, (10, 15, 20), ["apex_unknown"]),
        ("10,14.999999999999,20", {}, (10, 15, 20), []),  # as spreadsheets hold 15
    ],
)
def test_decisions(tmp_path, row, settings, expected, rules):
    normal, audit = normalise(tmp_path, f"s,v,{row},1,4\n", **settings)
    found = [tuple(frames) for frames in normal[["onset", "apex", "offset"]].to_numpy()]
    assert found == ([expected] if expected else [])
    assert list(audit["rule"]) == rules
    assert len(normal) + (audit["now"] == "left out").sum() == 1


def test_as_given_nothing_is_repaired(tmp_path):
    rows = (
        "s,v,10,15,0,1,4\ns,v,10,-1,20,1,4\ns,v,0,0,30,2,4\ns,v,90,95,120,1,4\ns,v,30,25,20,1,4\n"
    )
    normalise(tmp_path, rows + "s,v,30,25,20,1,4\nt,unknown,1,2,3,1,4\n")
    given = pd.read_csv(tmp_path / "given.csv")
    assert given[["onset", "apex", "offset"]].to_numpy().tolist() == [
        [10, 15, 0], [10, -1, 20], [0, 0, 30], [90, 95, 120], [30, 25, 20], [30, 25, 20],
    ]  # fmt: skip


def test_tables_of_several_datasets_are_joined(tmp_path):
    normalise(tmp_path, "s,v,1,2,3,1,4+7\n")
    join_tables([tmp_path / "out.csv", tmp_path / "out.csv"], tmp_path / "both.csv")
    both, one = (pd.read_csv(tmp_path / name) for name in ("both.csv", "out.csv"))
    pd.testing.assert_frame_equal(both, pd.concat([one, one], ignore_index=True))


def test_normal_form_and_types(tmp_path):
    normal, _ = normalise(tmp_path, "s,v,1,2,3,1,4+7\ns,v,5,6,7,2,L12\n")
    assert normal.to_dict("records")[1] == {
        "subject": "s", "video": "v", "type": "micro", "onset": 5, "apex": 6, "offset": 7,
        "au": "L12", "source_row": 3,
    }  # fmt: skip
    assert list(normal["type"]) == ["macro", "micro"]


def test_aus_are_written_in_one_spelling(tmp_path):
    normal, audit = normalise(tmp_path, "s,v,1,2,3,1,4(B/C)+ref(L7)\ns,v,5,6,7,2,Chewing\n")
    assert list(normal["au"].fillna("")) == ["4(B/C)+L7", ""]
    assert list(audit["rule"]) == ["au_spelling"] * 2
    assert list(audit["was"]) == ["4(B/C)+ref(L7)", "Chewing"]
    given = pd.read_csv(tmp_path / "given.csv")
    assert list(given["au"]) == ["4(B/C)+ref(L7)", "Chewing"]


def test_another_annotation_is_compared_row_by_row(tmp_path):
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    ours.write_text(
        f"{HEADER}s,v,10,15,20,1,4\ns,v,40,45,0,1,L12B\ns,v,70,75,80,2,1\ns,w,1,2,3,1,4\n"
    )
    theirs.write_text(
        f"{HEADER}s,v,70,75,80,1,2\ns,v,10,16,20,1,4\ns,v,40,45,0,1,L12B \ns,x,1,2,3,1,4\n"
    )
    files = [tmp_path / name for name in ("n.csv", "g.csv", "a.csv")]
    lengths = LENGTHS | {"w": ("s", 100)}
    annotation(ours, lengths, (), 1, *files, Annotation(offset_zero="drop"), theirs)
    assert len(pd.read_csv(files[0])) == 3  # the first file's rows, as without the second
    audit = pd.read_csv(files[2], keep_default_na=False)
    audit = audit[~audit["rule"].eq("offset_zero")]
    columns = ["source_row", "video", "field", "was", "now", "rule"]
    assert audit[columns].to_numpy().tolist() == [
        ["2", "v", "apex", "16", "15", "disagreement"],
        ["3", "v", "au", "L12B ", "L12B", "same_aus"],
        ["4", "v", "type", "macro", "micro", "disagreement"],
        ["4", "v", "au", "2", "1", "disagreement"],
        ["5", "w", "row", "", "kept", "only_here"],
        ["", "x", "row", "macro, 1, 2, 3", "left out", "only_there"],
    ]
    assert "theirs.csv row 3 says 16; ours.csv wins" in audit["why"].iloc[0]


def compared(tmp_path, rows: str, others: str, frames_per_row: float = 1) -> list[list]:
    """Row, field, `was` and rule of each line about two tables of the rows type, onset, apex, offset."""
    sources = []
    for name, text, first in (("ours", rows, 1), ("theirs", others, 0)):
        path = tmp_path / f"{name}.csv"
        path.write_text("video,type,onset,apex,offset\n" + text)
        rate = frames_per_row if first else 1
        sources.append(read(path)._replace(first_frame=first, frames_per_row=rate))
    lines = disagreements(*sources)
    return [[line[name] for name in ("source_row", "field", "was", "rule")] for line in lines]


def test_of_expressions_alike_those_of_one_type_are_a_pair(tmp_path):
    one, other = "v,macro,11,16,21\n", "v,micro,11,16,21\n"
    assert {line[3] for line in compared(tmp_path, one + other, other + one)} == {"numbering"}


def test_the_same_numbers_counted_otherwise_are_one_line_only_at_one_rate(tmp_path):
    assert compared(tmp_path, "v,macro,9,17,25\n", "v,macro,9,17,25\n") == [
        ["", "frames", "3 from 0", "numbering"]
    ]
    # At 200 fps these are 1, 2 and 3 at 25: other frames.
    found = compared(tmp_path, "v,macro,9,17,25\n", "v,macro,9,17,25\n", frames_per_row=8)
    assert found == [
        [2, name, n, "disagreement"] for name, n in zip(FRAMES, (9, 17, 25), strict=True)
    ]


def test_duplicates_and_unknown_videos_are_left_out_and_audited(tmp_path):
    row = "1,2,3,1,4\n"
    normal, audit = normalise(tmp_path, f"s,v,{row}s,v,{row}s,w,{row}s,x,{row}")
    assert len(normal) == 1
    assert list(audit["source_row"]) == [3, 4, 5]
    assert list(audit["now"]) == ["left out"] * 3
    expected = ["annotated twice", "the video failed", "the dataset has no such video"]
    assert all(part in why for part, why in zip(expected, audit["why"], strict=True))


def test_200_fps_frames_become_working_frames(tmp_path):
    sheet = [["x"] * 10, list(SAMM_LV_COLUMNS), [None] * 10]
    sheet.append(["006", "006_1_1", 1, 17, 25.5, 40, 24, "Macro", "4", ""])
    pd.DataFrame(sheet).to_excel(
        tmp_path / "s.xlsx", sheet_name="FACS_Movement_Only", header=False, index=False
    )
    out, given = tmp_path / "out.csv", tmp_path / "given.csv"
    known = {"samm_006_1": ("samm_006", 99)}
    annotation(tmp_path / "s.xlsx", known, (), 8, out, given, tmp_path / "audit.csv", Annotation())
    for path in (out, given):
        assert pd.read_csv(path)[["onset", "apex", "offset"]].to_numpy().tolist() == [[2, 3, 4]]
    # A CSV counts frames at the working rate already, whatever the source's.
    normal, _ = normalise(tmp_path, "s,v,16,24,39,1,4\n", frames_per_row=8)
    assert normal[["onset", "apex", "offset"]].to_numpy().tolist() == [[16, 24, 39]]


def test_what_is_guessed_is_in_the_audit_and_what_is_left_out_is_said(tmp_path, capsys):
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    header = "subject;Video;type;start;apex;end\n"
    ours.write_text(header + "S;V.mp4;ME;30;25;20\n;;macro;9;7;5\n;;macro;1;2;3\n")
    theirs.write_text("video,type,onset,offset\nv,ME,1,3\nw,micro,1,3\n")
    files = [tmp_path / name for name in ("n.csv", "g.csv", "a.csv")]
    annotation(ours, LENGTHS, (), 1, *files, Annotation(), theirs)
    audit = pd.read_csv(files[2], keep_default_na=False)
    guessed = audit[audit["video"] == ""]
    assert guessed[["rule", "was", "now"]].to_numpy().tolist() == [
        ["separator", "';'", "separates them"],
        ["header", "start, end", "onset, offset"],
        ["filled_down", "2 empty, the first in row 3", "as above"],
        ["filled_down", "2 empty, the first in row 3", "as above"],
        ["type", "ME", "micro"],
        ["name", "S", "s"],
        ["name", "V", "v"],
        ["type", "ME", "micro"],
    ]
    assert guessed["why"].iloc[-1].startswith("theirs.csv: ")
    assert list(audit[audit["now"] == "left out"]["source_row"]) == ["2", "3", ""]
    warning, counted, *_ = capsys.readouterr().err.splitlines()
    assert counted.startswith("annotation: 3 rows read, 1 kept, 2 left out")
    assert (
        "2 rows are left out (onset_after_offset); the first is row 2: v: offset 30, 25, 20"
        in warning
    )
    assert warning.endswith("the columns onset and offset look swapped: exchange their names")


def test_seconds_are_taken_at_the_rate_of_the_feature_store(tmp_path):
    features = tmp_path / "features.h5"
    frames = planted_store(features)
    with h5py.File(features, "a") as file:
        store.tell(file, missing="{}")
        file["s0/v0/source_frame"] = range(261)
        file["s0/v0"].attrs["start_s"] = 1.5  # of the source, as all of a dataset
    frames.to_csv(tmp_path / "frames.csv", index=False)
    seconds = frames.rename(columns={name: f"{name}_s" for name in FRAMES})
    in_seconds = [f"{name}_s" for name in FRAMES]
    seconds[in_seconds] = seconds[in_seconds] / 30 + 1.5
    seconds.round(3).to_csv(tmp_path / "seconds.csv", index=False)
    for name in ("frames", "seconds"):
        outs = [f"{tmp_path}/{name}_{out}.csv" for out in ("normal", "given", "audit")]
        arguments = ("--source", tmp_path / f"{name}.csv", "--features", features, "--out", outs[0])
        done = run("annotation", *arguments, "--as-given", outs[1], "--audit", outs[2])
        assert done.exit_code == 0, done.stderr
    for out in ("normal", "given"):
        one, other = (pd.read_csv(tmp_path / f"{name}_{out}.csv") for name in ("frames", "seconds"))
        pd.testing.assert_frame_equal(one, other)
        assert one[[*FRAMES]].equals(frames[[*FRAMES]])


def test_of_a_part_what_ends_before_it_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    rows = "v,macro,1,2,3\nv,macro,9,,10\nv,macro,9,10.5,11\n"
    path.write_text("video,type,onset_s,apex_s,offset_s\n" + rows)
    files = [tmp_path / name for name in ("n.csv", "g.csv", "a.csv")]
    annotation(path, LENGTHS, (), 1, *files, Annotation(), timing=Timing(10, start_s=10))
    normal, audit = pd.read_csv(files[0]), pd.read_csv(files[2])
    assert normal[[*FRAMES]].to_numpy().tolist() == [[0, 0, 0], [0, 5, 10]]
    assert list(audit[audit["rule"] == "before_start"]["source_row"]) == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "s,v,1,2,3,7,4\n", "row 2: type '7'"),
        (HEADER + "t,v,1,2,3,1,4\n", "row 2: v is annotated as subject 't', but lies where"),
        (HEADER + "s,v,1,2,3,1,4\ns,v,x,2,3,1,4\n", "row 3: onset is 'x'"),
        (HEADER + "\n,,,,,,\ns,v, x,2,3,1,4\n", "row 4: onset is 'x'"),
        (HEADER + "s,v,1,2,3,1,4\ns,v,1,2,3,1,4,5\n", "in.csv: cannot be read .*line 3"),
        (HEADER + "s,v,1,2,3,1,4,5\n", "in.csv: cannot be read"),
        ("a,b\n1,2\n", "no column video, type, onset, offset"),
    ],
)
def test_wrong_rows_are_named(tmp_path, content, message):
    source = tmp_path / "in.csv"
    source.write_text(content)
    with pytest.raises(InputError, match=message):
        annotation(
            source, LENGTHS, (), 1, tmp_path / "o", tmp_path / "g", tmp_path / "a", Annotation()
        )


def test_unreadable_spreadsheet_is_named(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK not a spreadsheet")
    with pytest.raises(InputError, match=r"a\.xlsx: cannot be read as an annotation"):
        read(tmp_path / "a.xlsx")
    (tmp_path / "old.xls").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000))
    with pytest.raises(
        InputError, match=r"old\.xls: cannot be read .*own \.xlsx without a password"
    ):
        read(tmp_path / "old.xls")
    pd.DataFrame([[1]]).to_excel(tmp_path / "d.xlsx")
    with zipfile.ZipFile(tmp_path / "d.xlsx") as whole, zipfile.ZipFile(tmp_path / "e.xlsx", "w") as cut:  # fmt: skip
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[: len(content) // 2] if "sheet1" in name else content)
    with pytest.raises(InputError, match=r"e\.xlsx: cannot be read as an annotation"):
        read(tmp_path / "e.xlsx")
    with pytest.raises(InputError, match="no such annotation"):
        read(tmp_path / "b.xlsx")
    pd.DataFrame([[1]]).to_excel(tmp_path / "c.xlsx", sheet_name="Other")
    with pytest.raises(InputError, match="sheets \\['Other'\\]; one named CASFEcode_final"):
        read(tmp_path / "c.xlsx")


def test_benchmark_sheets_that_are_damaged(tmp_path):
    header = dict(header=False, index=False)
    au = pd.Timestamp(2024, 12, 6)
    rows = [list(SAMM_LV_COLUMNS), ["006", "006_1_1", 1, 17, 25, 40, 24, "Macro", au, ""]]
    pd.DataFrame(rows).to_excel(tmp_path / "a.xlsx", sheet_name="FACS_Movement_Only", **header)
    with pytest.raises(
        InputError, match="row 2: au is '2024-12-06 00:00:00', which looks like a date"
    ):
        read(tmp_path / "a.xlsx")
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        for name, cells in (
            ("CASFEcode_final", [1, "anger1_1", 2]),
            ("naming rule1", [15, "s15", 1]),
            ("naming rule2", ["0401", "anger1"]),
        ):
            pd.DataFrame([cells]).to_excel(book, sheet_name=name, **header)
    with pytest.raises(InputError, match="3 columns in the sheet of codes; 8 were expected"):
        read(tmp_path / "b.xlsx")


@pytest.mark.parametrize(
    ("name", "rows", "videos", "types"),
    [
        ("CASME_sq_code_final.xlsx", 357, 95, (300, 57)),
        ("cas_me_sq_30fps.csv", 357, 95, (300, 57)),
        ("SAMM_LongVideos.xlsx", 502, 147, (343, 159)),
        ("samm_lv_25fps.csv", 502, 147, (343, 159)),
    ],
)
def test_real_files_are_read_whole(shared, tmp_path, name, rows, videos, types):
    path = shared / "data" / "annotations" / name
    source = read(path)
    known = {row.video: (row.subject, 10**6) for row in source.rows.itertuples()}
    assert len(source.rows) == rows
    assert abs(len(known) - videos) <= 2
    files = [tmp_path / name for name in ("n.csv", "g.csv", "a.csv")]
    annotation(path, known, (), 8 if name.startswith("SAMM") else 1, *files, Annotation())
    table, given, decisions = (pd.read_csv(path) for path in files)
    assert len(given) == rows
    if name.endswith("30fps.csv"):  # the 44 rows without an offset, as they are
        assert (given["offset"] == 0).sum() == 44
    if path.suffix == ".csv":
        frames = pd.read_csv(path)[["start_frame", "apex_frame", "end_frame"]]
        assert (given[["onset", "apex", "offset"]].to_numpy() == frames.to_numpy()).all()
    lost = decisions[decisions["now"] == "left out"]
    assert len(table) == rows
    assert lost.empty
    counts = table["type"].value_counts()
    assert (counts["macro"], counts["micro"]) == types
    assert (table["onset"] <= table["apex"]).all()
    assert (table["apex"] <= table["offset"]).all()


def test_the_docs_have_every_rule():
    text = (ROOT / "docs" / "datasets.md").read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in text] == []


def test_the_real_spreadsheets_and_csvs_as_the_docs_have_them(shared):
    """docs/datasets.md holds what its script makes, with each decision and each disagreement."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import annotation_tables

    data = shared / "data"
    text = annotation_tables.tables(data)
    assert text in (ROOT / "docs" / "datasets.md").read_text(), annotation_tables.__doc__
    # Every oddity of the notes.
    for line in (
        "| `offset_zero` | 44 | 44 | 0 | 0 |",
        "| `apex_zero` | 1 | 1 | 0 | 0 |",
        "| `apex_after_offset` | 3 | 3 | 0 | 0 |",
        "| `apex_unknown` | 0 | 0 | 6 | 6 |",
        "| `onset_before_start` | 0 | 0 | 10 | 0 |",
        "| `name_twice` | 0 | 0 | 1 | 0 |",
    ):
        assert line in text
