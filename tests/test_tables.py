"""tables: the same rows from each kind of file that people export; what is guessed or refused is said."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mespot.annotation import RULES, annotation
from mespot.datasets import tables
from mespot.datasets.annotation_files import FRAMES, Timing, read, subjects
from mespot.datasets.names import Names
from mespot.datasets.plain_table import SYNONYMS
from mespot.errors import InputError
from mespot.settings import Annotation

COLUMNS = ["subject", "video", "type", *FRAMES, "au"]
ROWS = [
    ["006", "one", "macro", "30", "45", "70", "12"],
    ["006", "one", "micro", "100", "104", "108", "4"],
    ["007", "two", "macro", "20", "40", "60", "6"],
]
NORMAL = [[row[1], row[2], *map(float, row[3:6]), row[6]] for row in ROWS]


def text(separator: str = ",", end: str = "\n", rows=(COLUMNS, *ROWS)) -> str:
    return "".join(separator.join(row) + end for row in rows)


def with_column(name: str, *values: str) -> str:
    """The table with other values in a column."""
    table = pd.DataFrame(ROWS, columns=COLUMNS).assign(**{name: values})
    return table.to_csv(index=False)


def found(path: Path) -> list[list]:
    """Video, type, numbers and AUs of each row."""
    source = read(path)
    return [
        [row["video"], source.type_of(row), *source.numbers(row), row["au"]]
        for row in source.rows.to_dict("records")
    ]


def rules(path: Path) -> list[str]:
    return [guess.rule for guess in read(path).guesses]


def said_by(call: Callable, *arguments, path: Path) -> str | None:
    """The InputError's message, one line that names the file; None where there is none."""
    try:
        call(*arguments)
    except InputError as error:
        message = str(error)
        assert path.name in message
        assert len(message.splitlines()) == 1
        return message
    return None


def numbers(tmp_path: Path, content: str, timing: Timing | None = None) -> list[list[float]]:
    path = tmp_path / "numbers.csv"
    path.write_text(content)
    source = read(path, timing=timing)
    return [source.numbers(row) for row in source.rows.to_dict("records")]


def workbook(path: Path, rows, merged=(), **others) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for area in merged:
        book.active.merge_cells(area)
    for name, cells in others.items():
        book.create_sheet(name).append(cells)
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(), []),
        (text(";"), ["separator"]),
        (text("\t"), ["separator"]),
        (text("|"), ["separator"]),
        (text(end="\r\n"), []),
        (text(end="\r"), []),
        ("\ufeff" + text(), []),
        ("sep=;\r\n" + text(";", "\r\n"), ["separator"]),
        ('"sep=,"\n' + text(), []),
        ("# my, \"labels\n# of 2024; draft\n" + text(), ["above_header"]),
        ("Labels of anna\n\n" + text(), ["above_header"]),
        (text() + ",,,,,,\n" * 3 + "\n\n", []),
        (text(rows=(COLUMNS, *([*row, ""] for row in ROWS))), []),
        (text(rows=([f'"{cell}"' for cell in row] for row in (COLUMNS, *ROWS))), []),
        (text(rows=([f" {cell} " for cell in row] for row in (COLUMNS, *ROWS))), []),
        (text() + "# 006,one,macro,1,2,3,4\n", ["remark"]),
        (text().replace("007", ",".join(COLUMNS) + "\n007"), ["header_again"]),
        (text() + "008,three,,,,,\n", ["no_expression"]),
        (text() + "008,three,NA,-,nan,None,#N/A\n", ["no_expression"]),
        (text() + "008,three,macro,0,0,0,\n", ["no_expression"]),
        (text(rows=([*COLUMNS, "of\nwhom"], *([*row, '"a\nb"'] for row in ROWS))).replace("of\nwhom", '"of\nwhom"'), ["not_read"]),
    ],
)  # fmt: skip
def test_the_same_rows_from_each_text(tmp_path, content, said):
    path = tmp_path / "labels.txt"
    path.write_bytes(content.encode())
    assert found(path) == NORMAL
    assert rules(path) == said


@pytest.mark.parametrize(
    ("encoding", "name", "said"),
    [
        ("utf-8", "表情", []),
        ("utf-8-sig", "Zoë", []),
        ("utf-16", "表情", []),
        ("utf-16-be", "表情", []),
        ("utf-32", "表情", []),
        ("gbk", "表情", ["encoding"]),
        ("gb18030", "愉快的人", ["encoding"]),
        ("latin-1", "é", ["encoding"]),
        ("cp1252", "Zoë", ["encoding"]),
        ("cp1252", "“größer”", ["encoding"]),
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_names_are_read_in_the_texts_encoding(tmp_path, encoding, name, said, separator):
    rows = [[row[0], name, *row[2:]] for row in ROWS]
    content = ("\ufeff" if encoding == "utf-16-be" else "") + text(separator, rows=(COLUMNS, *rows))
    path = tmp_path / "labels.csv"
    path.write_bytes(content.encode(encoding))
    assert {row[0] for row in found(path)} == {name.strip("“”")}
    assert rules(path) == [*said, *(["separator"] if separator == ";" else [])]


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("Subject,Video,Type,Onset,Apex,Offset,AU", True),
        ("Subject ID,Video Name,Expression Type,Onset Frame,Apex Frame,Offset Frame,Action Units", True),
        ("subject_id,video_name,type,onset_frame,apex_frame,offset_frame,action_unit", True),
        ("SubjectID,Filename,TYPE,OnsetFrame,ApexFrame,OffsetFrame,AUs", True),
        ("participant,file,type,Start,Peak,End,au", True),
        ("被试编号,视频,类型,起始帧,顶点帧,结束帧,动作单元", True),
        ("subject,video,type,one,apex,two,au", False),
    ],
)  # fmt: skip
def test_headers_as_people_write_them(tmp_path, header, known):
    path = tmp_path / "labels.csv"
    path.write_text(text(rows=(header.split(","), *ROWS)), encoding="utf-8")
    if known:
        assert found(path) == NORMAL
    else:
        with pytest.raises(InputError, match="no column onset, offset; there are subject, .*UTF-8"):
            read(path)


def test_an_apex_that_is_not_known_is_no_remark(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("apex,video,type,onset,offset\n#N/A,one,macro,1,9\n5,one,macro,1,9\n")
    assert [row[3] for row in found(path)] == [-1, 5]


def test_remarks_are_no_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("# a remark; of two\nvid,kind\n1,2\n")
    with pytest.raises(InputError, match="there are vid, kind"):
        read(path)
    path.write_text('"Video\nname",type,"onset\nframe",offset\none,macro,1,9\n')
    assert [row[:3] for row in found(path)] == [["one", "macro", 1]]
    assert list(read(path).rows["source_row"]) == [2]


def test_no_two_columns_have_one_synonym():
    spellings = [each for name, others in SYNONYMS.items() for each in (name, *others)]
    assert len(spellings) == len(set(spellings))


def test_a_workbook_of_the_plain_form(tmp_path):
    typed = [[row[0], row[1], row[2], *map(float, row[3:6]), row[6]] for row in ROWS]
    above = [["My labels"], [], ["drawn by hand"]]
    path = workbook(tmp_path / "a.xlsx", [*above, COLUMNS, *typed], legend=["macro", "long"])
    assert found(path) == NORMAL
    assert list(read(path).rows["source_row"]) == [5, 6, 7]
    assert rules(path) == ["other_sheet", "above_header"]


@pytest.mark.parametrize("merged", [True, False])
def test_a_name_that_stands_once_for_several_rows(tmp_path, merged):
    rows = [ROWS[0], ["", "", *ROWS[1][2:]], ROWS[2]]
    areas = ["A2:A3", "B2:B3", "C5:C9"] if merged else []  # the last below the rows
    path = workbook(tmp_path / "a.xlsx", [COLUMNS, *rows], areas)
    assert found(path) == NORMAL
    assert list(read(path).rows["subject"]) == ["006", "006", "007"]
    assert rules(path) == (["merged"] if merged else ["filled_down"] * 2)


def test_a_filled_subject_gives_way_to_the_folder(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("subject,video,type,onset,offset\nanna,one,macro,1,9\n,two,macro,1,9\n")
    lengths = {"one": ("anna", 99), "two": ("ben", 99)}
    files = [tmp_path / name for name in ("n", "g", "audit")]
    annotation(path, lengths, (), 1, *files, Annotation())
    assert list(pd.read_csv(files[0])["subject"]) == ["anna", "ben"]


@pytest.mark.parametrize(
    ("spelled", "macro"),
    [("Macro-Expression", True), ("MACRO ", True), ("macro expressions", True), ("MaE", True), ("1.0", True),
     ("ME", False), ("MiE", False), ("micro_expression", False), ("Micro - 1/2", False), ("2", False)],
)  # fmt: skip
def test_types_as_people_write_them(tmp_path, spelled, macro):
    path = tmp_path / "a.csv"
    path.write_text(with_column("type", spelled, spelled, spelled))
    assert {row[1] for row in found(path)} == {"macro" if macro else "micro"}
    assert rules(path) == (["type"] if spelled in ("1.0", "ME", "2") else [])


@pytest.mark.parametrize(
    ("onsets", "expected", "rule"),
    [
        (("30.0", "100.0", "20"), [30, 100, 20], None),
        (("30,0", "100,0", "20"), [30, 100, 20], "decimal_comma"),
        (("2,000", "3,000", "4"), [2, 3, 4], "decimal_comma"),  # 2000 would be after the offset
        (("３０", "100", "20"), [30, 100, 20], None),
    ],
)
def test_whole_numbers(tmp_path, onsets, expected, rule):
    path = tmp_path / "a.csv"
    path.write_text(with_column("onset", *onsets), encoding="utf-8")
    assert [row[2] for row in found(path)] == expected
    assert rules(path) == ([rule] if rule else [])


def test_a_comma_before_thousands_where_it_cannot_be_a_decimal_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(with_column("offset", "1,070", "2 108", "60"))
    assert [row[4] for row in found(path)] == [1070, 2108, 60]
    assert rules(path) == ["thousands", "thousands"]
    path.write_text(text(rows=(COLUMNS, [*ROWS[0][:3], '"1,000"', "", '"2,500"', ""])))
    with pytest.raises(InputError, match=r"row 2: '1,000' is 1000 or 1\.000; .*onset_s"):
        read(path)


@pytest.mark.parametrize("header", ["onset_s,apex_s,offset_s", "onset_sec,apex_sec,offset_sec",
    "Start (s),Peak (s),End (s)", "OnsetSeconds,ApexSeconds,OffsetSeconds", "start time [s],apex_s,end_s"])  # fmt: skip
@pytest.mark.parametrize("fps", [25, 30, 29.97, 200])
@pytest.mark.parametrize("written", ["{:.3f}", "{:.9f}", "0:00:{:06.3f}", "00:{:09.6f}"])
def test_seconds_are_the_frames_shown_then(tmp_path, header, fps, written):
    frames = [[1, 2, 3], [29, 30, 31], [100, 104, 108]]
    rows = [",".join(written.format(n / fps) for n in row) for row in frames]
    content = f"video,type,{header}\n" + "".join(f"one,macro,{row}\n" for row in rows)
    assert numbers(tmp_path, content, Timing(fps)) == frames


def test_between_two_frames_the_first_is_still_shown(tmp_path):
    content = (
        "video;type;onset_s;apex_s;offset_s\none;macro;0:01,5;;2,125\none;micro;1,51;1,52;1,53\n"
    )
    assert numbers(tmp_path, content, Timing(30)) == [[45, -1, 63], [45, 45, 45]]
    assert numbers(tmp_path, content, Timing(30, start_s=1)) == [[15, -1, 33], [15, 15, 15]]
    content = "video;type;onset_s;apex_s;offset_s\none;macro;1,070.5;;1:02:03\n"
    assert numbers(tmp_path, content, Timing(2)) == [[2141, -1, 7446]]
    content = "video;type;onset_s;apex_s;offset_s\none;macro;1,000;;2,500\n"  # or 1000 s, hardly
    assert numbers(tmp_path, content, Timing(2)) == [[2, -1, 5]]


def test_frames_count_where_seconds_stand_beside_them(tmp_path):
    path = tmp_path / "a.csv"
    header = [*COLUMNS, "onset_s", "apex_s", "offset_s"]
    path.write_text(text(rows=(header, *([*row, "1.5", "1.6", "1.7"] for row in ROWS))))
    assert found(path) == NORMAL
    assert rules(path) == ["beside"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_column("onset", "1.5", "2", "3"), "row 2: onset is '1.5', no whole frame; round it.*onset_s"),
        (with_column("onset", "1,5", "2", "3"), "row 2: onset is '1.5', no whole frame"),
        (with_column("onset", "1", "00:00:01.5", "3"), "row 3: onset is '00:00:01.5', a time.*onset_s"),
        (with_column("onset", "-5", "2", "3"), "row 2: onset is '-5'; nothing begins"),
        (with_column("offset", "inf", "2", "3"), "row 2: offset is 'inf'; a frame number"),
        (with_column("offset", "1E+05", "2", "3"), "row 2: offset is '1E.05'; a frame number"),
        (with_column("offset", "9" * 30, "2", "3"), "row 2: offset is '9+'; no video is that long"),
        (with_column("offset", "NA", "2", "3"), "row 2: offset is 'NA'; a frame number"),
        (with_column("type", "macro", "neutral", "1"), "row 3: type 'neutral'; macro or micro"),
        *((with_column("au", "4", date, "6"), f"row 3: au is '{date}', which looks like a date.*type the cell again")
          for date in ("6-Dec", "Dec-06", "06.12.2024", "12/6/2024", "2024-12-06", "2024/12/6", "12月6日", "6. Dez", "06-déc")),
        (with_column("au", "4", "45632", "6"), "row 3: au is '45632', no AU, but perhaps a date"),
        (with_column("offset", "4", "2024-12-06 00:00:00", "6"), "row 3: offset is .*looks like a date"),
        (with_column("video", "", "two", "two"), "row 2: no video"),
        ("onset,Onset Frame,video,type,offset\n1,2,v,macro,3\n", "two columns are the onset: onset and Onset Frame"),
        ("onset,offset_s,video,type\n1,2,v,macro\n", "no column onset_s"),
        (text(rows=[COLUMNS]), "no row below its header"),
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        (text() + '006,"one,macro,1,2,3,4\n', "row 5.*unexpected end of data"),
        (text() + "006,one,macro,1,2,3,4,7\n", "row 5.*8 cells, 7 in the header"),
        (text() + "\0", "characters of value 0"),
        (text().encode("utf-16-le").decode("latin-1"), "characters of value 0"),
        ("x" * 200_000, "row 1.*field larger"),
        ("x" * 2_000, "no column video"),
        (text() + "x" * 200_000, "row 5.*field larger"),
    ],
)  # fmt: skip
def test_what_is_refused_names_file_and_row(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"labels\.csv: .*{message}") as error:
        found(path)
    assert "\n" not in str(error.value)


def test_what_is_no_table_file(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read as an annotation: Is a directory"):
        read(tmp_path)
    monkeypatch.setattr(tables, "LARGEST", 100)
    path = tmp_path / "long.csv"
    path.write_text(text())
    with pytest.raises(InputError, match=r"long\.csv: .*it has 0 MB, an annotation at most"):
        read(path)


def test_a_video_may_be_called_by_its_day(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(with_column("video", "2024-12-06", "2024-12-06 10-00-00.mkv", "two"))
    assert [row[0] for row in found(path)] == ["2024-12-06", "2024-12-06_10-00-00", "two"]


def test_a_date_and_a_time_of_a_workbook(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [COLUMNS, [*ROWS[0][:6], datetime.datetime(2024, 12, 6)]])
    with pytest.raises(InputError, match="row 2: au is '2024-12-06 00:00:00', which looks like a date"):  # fmt: skip
        read(path)
    header = ["video", "type", "onset_s", "offset_s"]
    row = ["one", "macro", datetime.time(0, 0, 1, 500000), datetime.timedelta(seconds=2.5)]
    source = read(workbook(tmp_path / "b.xlsx", [header, row]), timing=Timing(30))
    assert source.numbers(source.rows.iloc[0]) == [45, -1, 75]


def test_workbooks_that_are_refused(tmp_path, monkeypatch):
    book = openpyxl.Workbook()
    for sheet in (book.active, book.create_sheet("again")):
        for row in (COLUMNS, *ROWS):
            sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="sheet Sheet, sheet again each have the columns"):
        read(tmp_path / "a.xlsx")
    whole = (tmp_path / "a.xlsx").read_bytes()
    monkeypatch.setattr(tables, "LARGEST_UNPACKED", len(whole))
    with pytest.raises(InputError, match="unpacked it is larger"):
        read(tmp_path / "a.xlsx")
    monkeypatch.undo()
    path = workbook(tmp_path / "b.xlsx", [COLUMNS])
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"] = 1
    book.save(path)
    with pytest.raises(InputError, match="reaches to A1:XFD1048576; delete what is empty"):
        read(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (text(";").replace(";45;", ";1.000;"), "row 2: '1.000' is 1 or 1000; write frames without points"),
        (text().replace(",12\n", ",04:12:00\n"), "row 2: au is '04:12:00', which looks like a date or time"),
        (text().replace(",45,", ",45 1070,"), "row 2: apex is '45 1070'; a frame number was expected"),
    ],
)  # fmt: skip
def test_what_may_be_read_in_two_ways_is_refused(tmp_path, table, message):
    path = tmp_path / "labels.csv"
    path.write_text(table)
    with pytest.raises(InputError, match=re.escape(message)):
        found(path)


def test_decimals_of_nought_are_no_thousands(tmp_path):
    path = tmp_path / "labels.csv"
    frames = ([*row[:3], *(f"{frame}.000" for frame in row[3:6]), row[6]] for row in ROWS)
    path.write_text(text(rows=(COLUMNS, *frames)))
    assert found(path) == NORMAL


def test_one_person_is_one_however_written(tmp_path):
    """Or the fold of one would train on the other."""
    path = tmp_path / "labels.csv"
    people = ["6", "006", "S6", "G1/7", "G2/7", "NA"]
    rows = ([people[k], f"v{k}", "macro", "1", "2", "3", ""] for k in range(6))
    path.write_text(text(rows=(COLUMNS, *rows)))
    assert subjects(path) == dict(v0="6", v1="6", v2="6", v3="G1_7", v4="G2_7")


def test_columns_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(with_column("Notiz", "a", "b", "c"))
    (guess,) = read(path).guesses
    assert (guess.rule, guess.was) == ("not_read", "Notiz")


@pytest.mark.parametrize("call", ["subj", "Subject Nr.", "Participant_No", "受试者"])
def test_subjects_by_other_names(tmp_path, call):
    path = tmp_path / "labels.csv"
    path.write_text(text().replace("subject", call))
    assert subjects(path) == {"one": "006", "two": "007"}


def test_a_formula_without_a_value_is_named(tmp_path):
    rows = [COLUMNS, ["006", "=B3", *ROWS[0][2:]], ROWS[2]]
    path = workbook(tmp_path / "labels.xlsx", rows)
    with pytest.raises(InputError, match=r"labels\.xlsx: .*cell B2 is a formula that no program"):
        read(path)


@pytest.mark.parametrize(
    ("written", "known", "expected"),
    [
        ("6", ["006", "007"], "006"),
        ("6.0", ["006"], "006"),
        ("006", ["6"], "6"),
        ("S6", ["006", "007"], "006"),
        ("6", ["s06", "s07"], "s06"),
        ("sub-06", ["S6"], "S6"),
        ("ANNA", ["anna", "ben"], "anna"),
        ("００６", ["006"], "006"),
        ("my-self", ["my_self"], "my_self"),
        ("1", ["01", "001"], None),
        ("1", ["01", "1"], "1"),
        ("S6", ["p6", "006", "k6"], None),
        ("P6", ["S6"], None),
        ("carla1", ["anna1"], None),
        ("1.05", ["1.5"], None),
    ],
)
def test_names_that_are_meant(written, known, expected):
    assert Names(known, subjects=True).meant(written) == expected
    if written[0] in "Ss" or known[0][0] in "s":
        assert Names(known).meant(written) is None  # of videos a letter counts


def test_names_are_matched_to_the_datasets_and_said(tmp_path):
    path = tmp_path / "a.csv"
    cells = ["C:\\data\\videos\\007\\One.mp4", "videos/006/1.mov", "6.0", "nobody"]
    rows = "".join(f",{cell},macro,1,2,3,4\n" for cell in cells)
    path.write_text(text(rows=[COLUMNS]) + rows)
    source = read(path).named({"one", "006_1", "007_1", "006"}, {"006", "007"})
    assert list(source.rows["video"]) == ["one", "006_1", "006", "nobody"]
    assert list(source.rows["subject"]) == ["007", "006", "", ""]
    said = [guess[1:] for guess in source.guesses]
    assert said == [("video", cells[0], "One"), ("video", "One", "one"), ("video", "6.0", "006")]


# --- any table, any bytes

LENGTHS = {"one": ("anna", 200), "表情_2": ("006", 300)}
HEADERS = {
    "subject": ["subject", "Subject ID", "SubjectID"],
    "video": ["video", "Video Name", "filename"],
    "type": ["type", "TYPE"],
    "onset": ["onset", "Onset Frame", "OnsetFrame", "Start"],
    "apex": ["apex", "apex_frame", "Peak"],
    "offset": ["offset", "Offset", "end"],
    "au": ["au", "Action Units"],
    "note": ["note", "Bemerkung"],
}
GOOD = st.fixed_dictionaries(
    {
        "subject": st.sampled_from(["anna", "Anna", ""]),
        "video": st.sampled_from(["one", "ONE.mp4", "D:\\x\\one.avi", "videos/one", "seven"]),
        "type": st.sampled_from(["macro", "micro", "Macro-Expression", "MaE", "ME", "1", "2.0"]),
        "onset": st.integers(0, 250).map(str) | st.integers(0, 250).map("{}.0".format),
        "apex": st.integers(-1, 250).map(str) | st.sampled_from(["", "NA", "-", "#N/A"]),
        "offset": st.integers(1, 250).map(str),
        "au": st.sampled_from(["", "12", "6+12", "L4B", "n/a", "12.0"]),
        "note": st.sampled_from(["", "?", "é", "微笑", "a, b; c | d", 'so "called"', "two\nlines"]),
    }
)
BAD = st.tuples(
    st.sampled_from(["onset", "apex", "offset", "type", "au", "video", "subject"]),
    st.sampled_from(["1.5", "x", "-3", "0:01", "6-Dec", "1,5", "1e9", "nan", "", "=A1", "\0", "99999999999999"])
    | st.text(st.characters(exclude_characters="\r\n"), max_size=5),
)  # fmt: skip


def written(path: Path, rows: list[list[str]], separator: str, encoding: str, end: str) -> Path:
    """The rows as a text, or, without a separator, as a workbook."""
    if not separator:
        try:
            return workbook(path, rows)
        except openpyxl.utils.exceptions.IllegalCharacterError:
            assume(False)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([[cell.replace("\n", end) for cell in row] for row in rows])
    path.write_bytes(text.getvalue().encode(encoding, errors="replace"))
    return path


@given(
    rows=st.lists(GOOD, min_size=1, max_size=6),
    bad=st.none() | BAD,
    seconds=st.booleans(),
    separator=st.sampled_from([",", ";", "\t", "|", ""]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    data=st.data(),
)
def test_any_table_is_its_rows_or_an_error_that_names_them(tmp_path_factory, rows, bad, seconds, separator, encoding, end, data):  # fmt: skip
    folder = tmp_path_factory.mktemp("table")
    names = {name: data.draw(st.sampled_from(spelled)) for name, spelled in HEADERS.items()}
    cells = [dict(row) for row in rows]
    if seconds:
        names |= {name: f"{name}_s" for name in FRAMES}
        for row, name in itertools.product(cells, FRAMES):
            if row[name][:1].isdigit():
                row[name] = f"{float(row[name]) / 30:.3f}"
    if bad:
        cells[-1][bad[0]] = bad[1]
    order = data.draw(st.permutations(list(HEADERS)))
    table = [[row[name] for name in order] for row in (names, *cells)]
    path = written(folder / "labels.csv", table, separator, encoding, end)
    files = [folder / name for name in ("normal.csv", "given.csv", "audit.csv")]
    arguments = (path, LENGTHS, (), 1, *files, Annotation(), None, Timing(30))
    message = said_by(annotation, *arguments, path=path)
    if message:
        assert bad
        return
    normal, audit = (pd.read_csv(file, keep_default_na=False) for file in (files[0], files[2]))
    assert set(audit["rule"]) <= set(RULES)
    lost = audit[audit["now"] == "left out"]["source_row"]
    over = ", ".join(audit[audit["rule"].isin(["no_expression", "remark"])]["was"])
    places = [*normal["source_row"], *map(int, lost), *map(int, over.split(", ") if over else ())]
    assert sorted(places) == list(range(2, len(rows) + 2))
    for row in normal.to_dict("records"):
        asked = rows[row["source_row"] - 2]
        if not bad or asked is not rows[-1]:
            assert row["onset"] == float(asked["onset"])
            assert row["offset"] == min(int(asked["offset"]), 199)


@given(st.binary(max_size=300), st.sampled_from([".csv", ".xlsx", ".xls", ".tsv"]), st.booleans())
def test_any_bytes_are_a_table_or_an_error(tmp_path_factory, content, ending, after_a_table):
    path = tmp_path_factory.mktemp("bytes") / f"labels{ending}"
    path.write_bytes(text().encode() + content if after_a_table else content)
    said_by(found, path, path=path)


@pytest.fixture(scope="module")
def whole_workbook(tmp_path_factory) -> bytes:
    path = workbook(tmp_path_factory.mktemp("whole") / "a.xlsx", [COLUMNS, *ROWS], ["A2:A3"])
    return path.read_bytes()


@given(st.data())
def test_any_damage_to_a_workbook_is_an_error(whole_workbook, tmp_path_factory, data):
    """Of one of its parts, as text, so that what is read is XML and no workbook."""
    path = tmp_path_factory.mktemp("damaged") / "labels.xlsx"
    with zipfile.ZipFile(io.BytesIO(whole_workbook)) as whole, zipfile.ZipFile(path, "w") as cut:
        broken = data.draw(st.sampled_from(whole.namelist()))
        for name in whole.namelist():
            part = whole.read(name)
            if name == broken:
                n = data.draw(st.integers(0, len(part) - 1))
                part = part[:n] + data.draw(st.binary(max_size=3)) + part[n + 1 :]
            cut.writestr(name, part)
    said_by(found, path, path=path)
