"""exchange: each written file says the same to another reader; what others write is read; nothing else is."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import av
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import PLANTED, planted_store
from pympi import Praat
from test_cli import run

from mespot.annotation import guesses
from mespot.check import check
from mespot.datasets.annotation_files import FRAMES, Timing, files, read, subjects
from mespot.errors import InputError
from mespot.exchange.export import FORMATS, export_intervals
from mespot.settings import Decode

HEADER = "subject,video,type,onset,apex,offset,score,onset_s,apex_s,offset_s,regions,remarks\n"
ROWS = """anna,one,macro,30,45,70,0.834,1.0,1.5,2.367,right_brow+left_brow,partly talking; head moves
anna,one,macro,60,65,90,0.5,2.0,2.167,3.033,mouth,"<b> & ""so"" -->"
anna,one,micro,71,,79,0.25,2.367,,2.667,,
ben,two/a b.mp4,micro,9,9,9,0.75,0.3,0.3,0.333,,
"""
# ms: onset, offset; and what is said of it.
FIRST = "apex 1.500 s; score 0.834; regions right_brow+left_brow; partly talking; head moves"
SECOND = 'apex 2.167 s; score 0.5; regions mouth; <b> & "so" -->'
TIERS = {
    "macro": [(1000, 2367, FIRST)],
    "macro 2": [(2000, 3033, SECOND)],
    "micro": [(2367, 2667, "score 0.25")],
}
FILM = [(300, 333, "apex 0.300 s; score 0.75")]


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "intervals.csv"
    path.write_text(HEADER + ROWS)
    return path


def export(table: Path, format_: str, *arguments: object) -> Path:
    """The folder that the command writes."""
    out = table.with_name(format_)
    done = run("intervals-export", f"--intervals={table}", f"--format={format_}", f"--out={out}", *arguments)  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


# --- out ----------------------------------------------------------------------------------------------


def of_elan(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    root = ElementTree.parse(path).getroot()
    times = {
        slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"])
        for slot in root.find("TIME_ORDER")
    }
    return {
        tier.attrib["TIER_ID"]: [
            (
                times[one.attrib["TIME_SLOT_REF1"]],
                times[one.attrib["TIME_SLOT_REF2"]],
                one.findtext("ANNOTATION_VALUE"),
            )
            for one in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        for tier in root.iter("TIER")
    }


def test_elan(table, tmp_path):
    (tmp_path / "films" / "anna").mkdir(parents=True)
    (tmp_path / "films" / "anna" / "one.mp4").touch()
    out = export(table, "elan", f"--media={tmp_path / 'films'}")
    assert sorted(path.name for path in out.iterdir()) == ["a_b.eaf", "one.eaf"]
    assert of_elan(out / "one.eaf") == TIERS
    assert of_elan(out / "a_b.eaf") == {"macro": [], "micro": FILM}
    (media,) = ElementTree.parse(out / "one.eaf").iter("MEDIA_DESCRIPTOR")
    assert media.attrib == {
        "MEDIA_URL": f"file://{tmp_path}/films/anna/one.mp4",
        "RELATIVE_MEDIA_URL": "../films/anna/one.mp4",
        "MIME_TYPE": "video/mp4",
    }
    assert not [*ElementTree.parse(out / "a_b.eaf").iter("MEDIA_DESCRIPTOR")]
    people = {tier.attrib["PARTICIPANT"] for tier in ElementTree.parse(out / "one.eaf").iter("TIER")}  # fmt: skip
    assert people == {"anna"}


def test_two_people_of_one_video_are_linked_to_it(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "one.mp4").touch()
    table = tmp_path / "i.csv"
    table.write_text("video,type,onset,offset\none__2,macro,1,20\n")
    out = export(table, "elan", "--fps=30", f"--media={tmp_path / 'films' / 'one.mp4'}")
    (media,) = ElementTree.parse(out / "one__2.eaf").iter("MEDIA_DESCRIPTOR")
    assert media.attrib["RELATIVE_MEDIA_URL"] == "../films/one.mp4"


def test_textgrid(table):
    grid = Praat.TextGrid(export(table, "textgrid") / "one.TextGrid", codec="utf-8")
    found = {
        tier.name: [
            (round(1000 * start), round(1000 * end), text.replace('""', '"'))
            for start, end, text in tier.get_all_intervals()
            if text
        ]
        for tier in grid.get_tiers()
    }
    assert found == TIERS
    assert grid.xmax == 3.033


def test_bids(table):
    out = export(table, "bids")
    stem = "sub-anna_task-one_events"
    with open(out / f"{stem}.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert rows[0] == {
        "onset": "1.000", "duration": "1.367", "trial_type": "macro", "apex": "1.500", "score": "0.834",
        "au": "n/a", "regions": "right_brow+left_brow", "remarks": "partly talking; head moves",
        "subject": "anna", "video": "one",
    }  # fmt: skip
    assert rows[1]["remarks"] == '<b> & "so" -->'
    assert [row["trial_type"] for row in rows] == ["macro", "macro", "micro"]
    assert rows[2]["apex"] == rows[2]["regions"] == "n/a"
    sidecar = json.loads((out / f"{stem}.json").read_text())
    assert list(sidecar) == list(rows[0])
    assert sidecar["duration"]["Units"] == "s"
    assert sidecar["trial_type"]["Levels"].keys() == {"macro", "micro"}
    assert (out / "sub-ben_task-ab_events.tsv").exists()


def test_bids_labels_of_names_that_have_none_or_the_same(tmp_path):
    table = tmp_path / "i.csv"
    names = ["a_1", "a-1", "表情", "a1"]
    table.write_text(
        "video,subject,type,onset,offset\n" + "".join(f"{name},p 1,micro,3,5\n" for name in names)
    )
    out = export(table, "bids", "--fps=30")
    tasks = {path.name.removeprefix("sub-p1_task-") for path in out.glob("*.tsv")}
    (other,) = tasks - {"a1_events.tsv", "a1_run-2_events.tsv", "a1_run-3_events.tsv"}
    assert other.removesuffix("_events.tsv").isalnum()
    assert len(tasks) == 4
    assert sorted(read(out).rows["video"]) == sorted(names)


def test_boris(table):
    text = (export(table, "boris") / "one.tsv").read_text()
    lines = [line.split("\t") for line in text.split("\n")]  # as BORIS does it
    assert lines == [
        ["1.000", "anna", "macro", "", FIRST, "NA"],
        ["2.000", "anna", "macro 2", "", SECOND, "NA"],
        ["2.367", "anna", "macro", "", "", "NA"],
        ["2.367", "anna", "micro", "", "score 0.25", "NA"],
        ["2.667", "anna", "micro", "", "", "NA"],
        ["3.033", "anna", "macro 2", "", "", "NA"],
    ]


def test_of_two_that_touch_boris_is_told_which_starts(tmp_path):
    table = tmp_path / "i.csv"
    table.write_text("video,type,onset,offset\nv,micro,30,44\nv,micro,45,59\n")
    lines = (export(table, "boris", "--fps=30") / "v.tsv").read_text().split("\n")
    assert [line.split("\t")[2] for line in lines] == ["micro", "micro", "micro 2", "micro 2"]
    assert of_elan(export(table, "elan", "--fps=30") / "v.eaf")["micro"] == [
        (1000, 1500, "micro"),
        (1500, 2000, "micro"),
    ]


def test_webvtt(table):
    with av.open(str(export(table, "webvtt") / "one.vtt")) as file:
        (stream,) = file.streams
        unit = 1000 * stream.time_base
        cues = [
            (int(packet.pts * unit), int((packet.pts + packet.duration) * unit), bytes(packet))
            for packet in file.demux(stream)
            if packet.pts is not None
        ]
    escaped = SECOND.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert cues == [
        (1000, 2367, f"macro: {FIRST}".encode()),
        (2000, 3033, f"macro: {escaped}".encode()),
        (2367, 2667, b"micro: score 0.25"),
    ]


def test_frames_alone_need_a_rate_and_an_empty_video_has_a_file(tmp_path):
    annotation = tmp_path / "annotation.csv"
    planted = planted_store(tmp_path / "features.h5", 1)
    planted.assign(video="other").to_csv(annotation, index=False)
    done = run("intervals-export", f"--intervals={annotation}", "--format=elan", f"--out={tmp_path}/x")  # fmt: skip
    assert done.exit_code == 2
    assert "no columns onset_s and offset_s" in done.stderr
    assert "--fps" in done.stderr
    for format_ in FORMATS:
        out = export(annotation, format_, f"--features={tmp_path / 'features.h5'}")
        assert len([path for path in out.iterdir() if path.suffix != ".json"]) == 2, "v0 has none"
    onset, apex, offset = PLANTED["macro"]
    first = of_elan(tmp_path / "elan" / "other.eaf")["macro"][0]
    assert first == (round(onset / 0.03), round((offset + 1) / 0.03), f"apex {apex / 30:.3f} s; au 12")  # fmt: skip
    assert of_elan(tmp_path / "elan" / "v0.eaf") == {"macro": [], "micro": []}
    empty = Praat.TextGrid(tmp_path / "textgrid" / "v0.TextGrid", codec="utf-8")
    assert (empty.xmax, [tier.name for tier in empty.get_tiers()]) == (8.7, ["macro", "micro"])
    assert (tmp_path / "webvtt" / "v0.vtt").read_text().strip() == "WEBVTT"
    assert (tmp_path / "boris" / "v0.tsv").read_text() == ""
    annotation.write_text("video,type,onset,offset\n")
    export_intervals(annotation, "bids", tmp_path / "none", tmp_path / "features.h5")
    assert (tmp_path / "none" / "sub-s0_task-v0_events.tsv").read_text().count("\n") == 1


def test_whatever_the_cells_hold_files_lie_in_the_folder_and_are_whole(tmp_path):
    table = tmp_path / "i.csv"
    rows = [["../../out", "macro", 1, 2, 'a\x00\x08\t"]]>\n\n00:01 --> 00:02', "../b\tc"]]
    columns = ["video", "type", "onset", "offset", "remarks", "subject"]
    pd.DataFrame(rows, columns=columns).to_csv(table, index=False)
    for format_ in FORMATS:
        out = export(table, format_, "--fps=10")
        names = {path.name for path in out.iterdir()}
        assert names <= {"out.eaf", "out.TextGrid", "out.tsv", "out.vtt"} | {
            f"sub-bc_task-out_events.{ending}" for ending in ("tsv", "json")
        }
    remarks = 'a "]]> 00:01 --> 00:02'
    assert of_elan(tmp_path / "elan" / "out.eaf")["macro"] == [(100, 300, remarks)]
    assert (tmp_path / "boris" / "out.tsv").read_text().count("\t") == 10
    assert (tmp_path / "webvtt" / "out.vtt").read_text().count("-->") == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("v,macro,5,3\n", "row 2: from 0.5 to 0.4 s; an offset after its onset"),
        ("v,macro,-5,3\n", "row 2: from -0.5 to 0.4 s; .* none before 0"),
        ("v,other,5,9\n", "type 'other'"),
        ("a/v,macro,1,3\nb/v,macro,1,3\n", "a/v and b/v are one name; rename one"),
        ("", "no interval; name its videos by --features"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_written(tmp_path, rows, message):
    table = tmp_path / "i.csv"
    table.write_text(f"video,type,onset,offset\n{rows}")
    with pytest.raises(InputError, match=f"i.csv: .*{message}"):
        export_intervals(table, "elan", tmp_path / "out", fps=10)
    assert [path.name for path in tmp_path.iterdir()] == ["i.csv"]


def test_corrected_files_are_not_written_over(table, tmp_path):
    export(table, "elan")
    with pytest.raises(InputError, match="elan: exists and is not an empty folder"):
        export_intervals(table, "elan", tmp_path / "elan")
    with pytest.raises(InputError, match="--format praat: one of elan, textgrid, bids, boris, webvtt"):  # fmt: skip
        export_intervals(table, "praat", tmp_path / "x")


# --- in -----------------------------------------------------------------------------------------------

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{media}</HEADER>
<TIME_ORDER>{slots}</TIME_ORDER>
{tiers}
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="t" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
ALIGNED = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{one}" TIME_SLOT_REF2="ts{two}">'
    "<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)
REFERRING = (
    '<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a9" ANNOTATION_REF="a9"><ANNOTATION_VALUE/></REF_ANNOTATION>'
    "</ANNOTATION>"
)


def eaf(path: Path, media: str = "", more: str = "", **tiers: list[tuple]) -> Path:
    """A file of ELAN's, of tiers of (start ms, end ms, value); `_` in a tier's name is a space."""
    slots, written, n = "", more, 0
    for name, each in tiers.items():
        inner = ""
        for start, end, value in each:
            n += 2
            for k, ms in ((n, start), (n + 1, end)):
                value_of = "" if ms is None else f' TIME_VALUE="{ms}"'
                slots += f'<TIME_SLOT TIME_SLOT_ID="ts{k}"{value_of}/>'
            inner += ALIGNED.format(n=n, one=n, two=n + 1, value=value)
        name = name.replace("_", " ")
        written += (
            f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="t" PARTICIPANT="anna">{inner}</TIER>'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(EAF.format(media=media, slots=slots, tiers=written))
    return path


def found(path: Path, timing: Timing | None = None) -> list[list]:
    source = read(path, timing=timing)
    return [
        [row["subject"], row["video"], source.type_of(row), *source.numbers(row), row["au"]]
        for row in source.rows.to_dict("records")
    ]


def test_an_eaf_of_others(tmp_path):
    path = eaf(
        tmp_path / "one.mp4.eaf",
        Macro=[(1000, 2000, "a smile"), (3000, 3500, "AU 6+12; Apex 3.2 s")],
        micro_2=[(2333, 2667, "")],
        Micro_Expression=[(100, 101, "")],
        speech=[(0, 9000, "hello"), (9000, 9001, "so")],
        empty=[],
    )
    expected = [
        ["anna", "one", "macro", 30, -1, 59, ""],
        ["anna", "one", "macro", 90, 96, 104, "6+12"],
        ["anna", "one", "micro", 70, -1, 79, ""],
        ["anna", "one", "micro", 3, -1, 3, ""],
    ]
    assert found(path, Timing(30)) == expected
    assert found(path, Timing(30, start_s=1))[0][3:6] == [0, -1, 29]
    (guess,) = guesses(read(path))
    assert (guess["rule"], guess["was"]) == ("not_read", "speech")


def test_videos_that_were_synchronised_have_their_own_beginning(tmp_path):
    media = (
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/sound.wav" MIME_TYPE="audio/x-wav" TIME_ORIGIN="7"/>'
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/my films/on%65.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="500"/>'
    )
    path = eaf(tmp_path / "one.eaf", media, macro=[(1000, 2000, "")])
    assert found(path, Timing(10)) == [["anna", "one", "macro", 15, -1, 24, ""]]


TSV = "onset\tduration\ttrial_type\tapex\tau\n"


def test_events_of_others(tmp_path):
    path = tmp_path / "sub-07_task-smile_events.tsv"
    path.write_text(
        f"{TSV}1.0\t0.5\tMacro\tn/a\tn/a\n1.2\t0.25\tMICRO\t1.3\t4\n5\tn/a\tkey\t\t\n6\t0\tkey\t\t\n0\t1\tn/a\t\t\n"
    )
    assert found(path, Timing(20)) == [
        ["07", "sub-07_task-smile", "macro", 20, -1, 29, ""],
        ["07", "sub-07_task-smile", "micro", 24, 26, 28, "4"],
    ]
    (guess,) = guesses(read(path))
    assert (guess["rule"], guess["was"]) == ("not_read", "key, n/a")
    path = path.rename(tmp_path / "one.tsv")
    assert [row[:2] for row in found(path)] == [["", "one"]] * 2


def test_a_plain_table_of_tabs_is_one_still(tmp_path):
    path = tmp_path / "my_events.tsv"
    path.write_text("video\ttype\tonset\toffset\none\tmacro\t1\t3\n")
    assert found(path) == [["", "one", "macro", 1, -1, 3, ""]]


def test_a_folder_of_both_and_of_what_is_neither(tmp_path):
    eaf(tmp_path / "anna" / "1.eaf", macro=[(1000, 2000, "")])
    eaf(tmp_path / "ben" / "1.eaf", micro=[(1000, 1200, "")])
    eaf(tmp_path / "._1.eaf", macro=[(5, 9, "")])
    eaf(tmp_path / ".hidden" / "2.eaf", macro=[(5, 9, "")])
    eaf(tmp_path / "none.eaf", macro=[])
    (tmp_path / "ben" / "2_events.tsv").write_text(f"{TSV}0\t1\tmacro\n")
    (tmp_path / "participants.tsv").write_text('participant_id\tage\n"01\t3\n')
    (tmp_path / "1.mp4").write_bytes(b"\0" * 9)
    assert [path.name for path in files(tmp_path)] == ["1.eaf", "1.eaf", "2_events.tsv", "none.eaf"]
    source = read(tmp_path)
    assert list(source.rows["source_row"]) == [1, 2, 3]
    assert source.where(source.rows.iloc[1]) == f"{tmp_path}/ben/1.eaf: tier micro: annotation a2"
    named = source.rows.assign(subject="")
    named = source._replace(rows=named).named({"anna_1", "ben_1", "2"}, {"anna", "ben"}).rows
    assert named[["subject", "video"]].to_numpy().tolist() == [
        ["anna", "anna_1"],
        ["ben", "ben_1"],
        ["ben", "2"],
    ]
    assert subjects(tmp_path) == {"1": "anna"}


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
FETCH = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("declared", [BOMB, FETCH, "<!DOCTYPE a>"])
def test_no_entity_is_ever_expanded(tmp_path, declared, encoding, monkeypatch):
    monkeypatch.setattr("mespot.exchange.elan.Eaf", None)  # nothing comes so far
    path = eaf(tmp_path / "one.eaf", macro=[(1000, 2000, "")])
    text = path.read_text().replace("UTF-8", encoding).replace("?>\n", f"?>\n{declared}\n", 1)
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match=r"one\.eaf: a document type .* open it in ELAN"):
        read(path)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ({"macro": [(2000, 1000, "")]}, "tier macro: annotation a2 is from 2000 to 1000 ms; an end after"),
        ({"macro": [(1000, 1000, "")]}, "tier macro: annotation a2 is from 1000 to 1000 ms"),
        ({"macro": [(None, 1000, "")]}, "tier macro: annotation a2 is from None to 1000 ms"),
        ({"macro": [(-2000, -1000, "")]}, "tier macro: annotation a2: onset is '-2.000'; nothing begins"),
        ({"macro": [(0, 10**18, "")]}, "tier macro: annotation a2: offset is .* no video is that long"),
        ({"macro": [(0, "9" * 5000, "")]}, "not a whole file of ELAN's .*; open it in ELAN"),
        ({"macro": [("x", 1000, "")]}, "not a whole file of ELAN's .*; open it in ELAN"),
        ({"macro": [(0, 1000, "&nbsp;")]}, "not a whole file of ELAN's .*undefined entity"),
        ({"smile": [(0, 1000, "")], "1": [(0, 10, "")]}, "nothing in it .* there are smile, 1: rename them"),
        ({}, "nothing in it is of a tier or trial type macro or micro; there are none"),
    ],
)  # fmt: skip
def test_an_eaf_that_cannot_be_used_names_tier_and_annotation(tmp_path, tiers, message):
    path = eaf(tmp_path / "one.eaf", **tiers)
    with pytest.raises(InputError, match=f"one.eaf: .*{message}" if "tier m" not in message else message) as error:  # fmt: skip
        found(path)
    assert "\n" not in str(error.value)


def test_annotations_that_refer_to_one_another_are_not_followed(tmp_path):
    tier = f'<TIER TIER_ID="macro" PARENT_REF="macro" LINGUISTIC_TYPE_REF="t">{REFERRING}</TIER>'
    with pytest.raises(InputError, match="tier macro: its annotations have no times of their own"):
        read(eaf(tmp_path / "one.eaf", more=tier))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\t1\tmacro", "onset is 'x'; a time in seconds was expected: correct it"),
        ("n/a\t1\tmacro", "onset is 'n/a'; a time"),
        ("inf\t1\tmacro", "onset is 'inf'; a time"),
        ("1\tn/a\tmicro", "duration is 'n/a'; more than 0 s"),
        ("1\t0\tmicro", "duration is '0'; more than 0 s"),
        ("1\t-1\tmicro", "duration is '-1'; more than 0 s"),
        ("-1\t1\tmicro", "onset is '-1.000000'; nothing begins"),
        ("1\t1\tmicro\tlate", "apex is 'late'; a time in seconds"),
    ],
)
def test_events_that_cannot_be_used_name_the_row(tmp_path, row, message):
    path = tmp_path / "one_events.tsv"
    path.write_text(f"{TSV}1\t1\tmacro\n{row}\n")
    with pytest.raises(InputError, match=rf"one_events\.tsv: row 3: {message}"):
        found(path)


# --- there and back -------------------------------------------------------------------------------------

INTERVALS = st.lists(
    st.tuples(
        st.sampled_from(["one", "表情_2", "a b"]),
        st.sampled_from(["macro", "micro"]),
        st.integers(0, 20_000),
        st.integers(0, 300),
        st.none() | st.integers(0, 300),
        st.sampled_from(["", "12", "6+12B", "4(B/C)+L7"]),
    ),
    min_size=1,
    max_size=8,
)
RATES = st.sampled_from([10.0, 23.976, 25.0, 29.97, 30.0, 59.94, 60.0, 100.0, 200.0, 400.0])


@given(rows=INTERVALS, fps=RATES, start=st.sampled_from([0.0, 1.0, 2.5]), in_seconds=st.booleans(), format_=st.sampled_from(["elan", "bids"]))  # fmt: skip
def test_what_is_read_is_what_was_written(tmp_path_factory, rows, fps, start, in_seconds, format_):
    folder = tmp_path_factory.mktemp("exchange")
    columns = ["video", "type", "onset", "apex", "offset", "au"]
    frames = [
        [video, type_, onset, onset + min(apex, length) if apex is not None else -1, onset + length, au]
        for video, type_, onset, length, apex, au in rows
    ]  # fmt: skip
    table = pd.DataFrame(frames, columns=columns)
    if in_seconds:  # as `spot` writes them
        table["apex"] = table["apex"].astype(object).where(table["apex"] >= 0, "")
        times = {name: start + pd.to_numeric(table[name]) / fps for name in ("onset", "apex")}
        times["offset"] = start + (table["offset"] + 1) / fps
        table = table.assign(**{f"{name}_s": time.round(3) for name, time in times.items()})
    else:
        start = 0.0
    table.to_csv(folder / "i.csv", index=False)
    export_intervals(folder / "i.csv", format_, folder / "out", fps=fps)
    back = [row[1:] for row in found(folder / "out", Timing(fps, start))]
    expected = [[row[0].replace(" ", "_"), *row[1:]] for row in frames]
    assert sorted(back) == sorted(expected)


# --- a dataset's annotation -----------------------------------------------------------------------------


def test_a_dataset_is_annotated_by_a_folder_of_eaf(tmp_path):
    planted = planted_store(tmp_path / "features.h5", 2)
    planted.to_csv(tmp_path / "as_planted.csv", index=False)
    export(tmp_path / "as_planted.csv", "elan", "--fps=30")
    eaf(tmp_path / "elan" / "other.eaf", macro=[(1000, 2000, "")], gaze=[(0, 1, "")])
    outputs = [f"--{name}={tmp_path / name}.csv" for name in ("out", "as-given", "audit")]
    done = run("annotation", f"--source={tmp_path}/elan", f"--features={tmp_path}/features.h5", *outputs)  # fmt: skip
    assert done.exit_code == 0, done.output
    normal = pd.read_csv(tmp_path / "out.csv", dtype={"au": str})
    columns = ["subject", "video", "type", *FRAMES, "au"]
    found, expected = (sorted(table[columns].to_numpy().tolist()) for table in (normal, planted))
    assert found == expected
    audit = pd.read_csv(tmp_path / "audit.csv", keep_default_na=False)
    assert audit[["rule", "was"]].to_numpy().tolist() == [["not_read", "gaze"], ["no_such_video", "other"]]  # fmt: skip


def test_check_knows_the_folder(tmp_path):
    for name in ("anna/one", "ben/two"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True)
        with av.open(str(path.with_suffix(".mkv")), "w") as file:
            stream = file.add_stream("ffv1", rate=10)
            stream.width = stream.height = 16
            for _ in range(30):
                file.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
            file.mux(stream.encode())
        eaf(tmp_path / "videos" / f"{name}.eaf", macro=[(1000, 2000, "")])
    # The subject that ben's file names is another than his folder's.
    with pytest.raises(InputError, match="two.eaf: tier macro: annotation a2: two is annotated as subject 'anna'"):  # fmt: skip
        check("videos", tmp_path, tmp_path / "videos", None, None, Decode(fps=10))
    path = tmp_path / "videos" / "ben" / "two.eaf"
    path.write_text(path.read_text().replace("anna", ""))
    said = check("videos", tmp_path, tmp_path / "videos", None, None, Decode(fps=10))
    assert "matched              2" in said
    assert "passed_over          0" in said
