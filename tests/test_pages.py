"""pages: what the page of one's own videos says and shows, from tiny made results."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mespot import feature_store, pages, store, video
from mespot.cli import app
from mespot.errors import InputError
from mespot.feature_store import Clock, Feature
from mespot.intervals import INTERVALS, LANE_COLUMNS
from mespot.pages import own
from mespot.spot import Files
from mespot.spotting.lanes import LANES

REGIONS = ("left_brow", "lower_lip")
FPS = 10.0
# Elements that have no end tag.
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The page's elements in order: tag, attributes, the text within, the elements around."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[SimpleNamespace] = []
        self.open: list[SimpleNamespace] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        assert not self.open, "every element is closed"

    def handle_starttag(self, tag, attributes):
        around = [element.tag for element in self.open]
        element = SimpleNamespace(tag=tag, around=around, text="", of=dict(attributes))
        self.elements.append(element)
        if tag == "br":
            self.handle_data(" ")
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[SimpleNamespace]:
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                value in (element.of.get(key) or "").split() for key, value in attributes.items()
            )
        ]

    def cells(self, row_id: str) -> list[str]:
        """The texts of a table row's cells."""
        start = next(
            k for k, e in enumerate(self.elements) if e.tag == "tr" and e.of.get("id") == row_id
        )
        found = []
        for element in self.elements[start + 1 :]:
            if element.tag == "tr":
                break
            if element.tag == "td":
                found.append(" ".join(element.text.split()))
        return found


def interval(name: str, type_: str, onset: int, offset: int, **other) -> dict:
    apex = (onset + offset) // 2
    row = {"subject": name, "video": name, "type": type_, "onset": onset, "apex": apex}
    row |= {"offset": offset, "score": 0.5, "onset_s": onset / FPS, "apex_s": apex / FPS}
    row |= {"offset_s": (offset + 1) / FPS, "duration_s": (offset + 1 - onset) / FPS}
    row |= {"source_onset": 2 * onset, "source_apex": 2 * apex, "source_offset": 2 * offset}
    row |= {"source_fps": 2 * FPS, "regions": "lower_lip+left_brow", "remarks": ""}
    return row | other


def spotted(folder: Path) -> Files:
    names = ("intervals.csv", "not_counted.csv", "lanes.csv", "curves.h5")
    return Files(*(folder / name for name in names))


@pytest.fixture
def make(tmp_path):
    """A function that makes results of videos {name: rows (T-1)} and gives back the page."""

    def page(
        rows: dict[str, int],
        intervals=(),
        lanes=(),
        failed=None,
        valid=None,
        network=False,
        about="About this method.",
        apart=(),
        clock=None,
    ) -> Page:
        names = (
            [f"{t}_apex" for t in ("macro", "micro")] if network else [*REGIONS, "mouth opening"]
        )
        with (
            store.create(
                tmp_path / "features.h5",
                stage="features",
                settings={},
                missing=json.dumps(failed or {}),
            ) as features,
            store.create(tmp_path / "curves.h5", stage="spot", settings={}) as curves,
        ):
            for name, n in rows.items():
                motion = np.zeros((n, 2, 2), np.float32)
                seen = np.ones(n, bool) if valid is None else valid
                feature = Feature(
                    name, name, motion, seen, FPS, 40.0, REGIONS, "by hand", None, clock
                )
                feature_store.write(features, feature)
                # The brow rests, the lip is as far away as is drawn.
                curves[name] = np.resize([0.0, own.TOP, 0.0][: len(names)], (n, len(names)))
                store.tell(curves[name], channels=names)
                frames = (np.full((32, 32), t % 256, np.uint8) for t in range(n + 1))
                video.write(tmp_path / "align" / f"{name}.mkv", frames, FPS, "s")
        for file, rows_of in (("intervals", intervals), ("not_counted", apart)):
            table = pd.DataFrame(list(rows_of), columns=list(INTERVALS))
            table.to_csv(tmp_path / f"{file}.csv", index=False)
        stretches = pd.DataFrame(list(lanes), columns=LANE_COLUMNS)
        stretches.to_csv(tmp_path / "lanes.csv", index=False)
        out = tmp_path / "report" / "index.html"
        own.report_own(tmp_path / "features.h5", spotted(tmp_path), tmp_path / "align", about, out)
        return Page(out)

    return page


def lane(name: str, what: str, onset: int, offset: int) -> list:
    return [name, name, what, onset, offset, onset / FPS, (offset + 1) / FPS]


def test_counts_rows_and_bars(make):
    """Talking intervals are shown but not counted; rows stand in the order of time."""
    page = make(
        {"a": 100},
        [
            interval("a", "macro", 40, 60),
            interval("a", "micro", 70, 73, remarks="partly talking"),
        ],
        apart=[interval("a", "micro", 10, 13, score=0.875, remarks="head moves; talking")],
    )
    (counts,) = page.all("p", **{"class": "counts"})
    assert " ".join(counts.text.split()) == (
        "1 macro, 1 micro (and 1 that are nothing but talking or a blink, not counted)"
    )
    rows = [element for element in page.all("tr") if (element.of.get("id") or "").startswith("v1-")]
    assert [row.of.get("class") for row in rows] == ["uncounted", None, None]
    first = page.cells("v1-1")
    assert first[:2] == ["1", "micro"]
    assert first[4:9] == ["1.00", "1.10", "1.40", "0.40", "0.88"]
    regions, remarks, frames = first[9:]
    assert (regions, remarks) == ("lower lip left brow", "head moves; talking")
    assert frames == "20, 22, 26 at 20/s"
    assert page.cells("v1-2")[1] == "macro"
    bars = page.all("a", **{"class": "bar"})
    # By type, then in time; each leads to its row.
    assert [bar.of["href"] for bar in bars] == ["#v1-2", "#v1-1", "#v1-3"]
    assert "#1 0.88" in bars[1].text
    assert "uncounted" in bars[1].of["class"]
    assert "About this method." in page.all("p", **{"class": "about"})[0].text


def test_faces_are_those_of_onset_apex_and_offset(make, tmp_path):
    page = make({"a": 100}, [interval("a", "macro", 40, 80), interval("a", "micro", 0, 2)])
    pictures = page.all("img", loading="lazy")
    assert len(pictures) == 2
    assert "onset (4.00 s), apex (6.00 s) and offset (8.10 s)" in pictures[1].of["alt"]
    with Image.open(tmp_path / "report" / pictures[1].of["src"]) as image:
        grey = np.asarray(image).astype(int)
    middles = [grey[64, k * (own.FACE + own.GAP) + 64] for k in range(3)]
    assert np.abs(np.subtract(middles, [40, 60, 80])).max() <= 2


def test_nothing_is_loaded_from_elsewhere_and_all_that_is_loaded_is_there(make, tmp_path):
    page = make({"a": 50, "b": 50}, [interval("a", "macro", 10, 20)])
    ids = {element.of["id"] for element in page.elements if "id" in element.of}
    links = [
        link
        for element in page.elements
        for link in (element.of.get("src"), element.of.get("href"))
        if link
    ]
    assert any(link.startswith("pictures/") for link in links)
    for link in links:
        assert link[1:] in ids if link[0] == "#" else (tmp_path / "report" / link).is_file()
    assert "http" not in page.text
    assert "url(" not in page.text


def test_odd_names_are_text_and_no_markup(make, monkeypatch):
    # There are no such names; if there were:
    monkeypatch.setattr(store, "NAME", re.compile(".+"))
    odd = "<b>&微表情 #1\"'"
    failed = {"<i>x": "decode: <u>no</u> such\nfile"}
    page = make({odd: 30}, [interval(odd, "macro", 5, 15)], failed=failed, about="F1 < 1 & more")
    assert page.all("h2")[0].text == odd
    assert odd in page.all("img")[0].of["alt"]
    assert not page.all("u")
    assert not page.all("i", **{"class": "x"})
    assert page.all("p", **{"class": "about"})[0].text == "F1 < 1 & more"


def test_failed_videos_are_listed_by_name_with_the_reason(make):
    page = make({"a": 30}, failed={"gone": "decode: gone.mp4: it is cut off; copy it again"})
    (failed,) = page.all("div", **{"class": "failed"})
    assert "1 of 2 videos failed" in failed.text
    assert "gone: decode: gone.mp4: it is cut off; copy it again" in failed.text


def test_no_expression_found(make):
    page = make({"a": 30})
    assert page.all("p", **{"class": "counts"})[0].text == "No expression found."
    assert not page.all("table")
    assert len(page.all("svg", **{"class": "timeline"})) == 1


@pytest.mark.parametrize("network", [False, True])
def test_a_video_of_one_frame_pair(make, network):
    row = interval("a", "micro", 0, 1, regions="")
    page = make({"a": 1}, [row], network=network)
    assert page.cells("v1-1")[4:8] == ["0.00", "0.00", "0.20", "0.20"]


def test_a_large_share_left_out_is_in_red(make):
    valid = np.ones(100, bool)
    valid[:20] = False
    bad = {"class": "bad"}
    assert not make({"a": 100}, valid=valid).all("span", **bad)
    valid[20] = False
    page = make({"a": 100}, valid=valid)
    assert page.all("span", **bad)[0].text == "21 %"


def test_motion_is_drawn_on_one_scale_and_grey_where_left_out(make, tmp_path):
    valid = np.ones(100, bool)
    valid[90:] = False
    make({"a": 100}, valid=valid)
    with Image.open(tmp_path / "report" / "pictures" / "1_motion_1.png") as image:
        shown = np.asarray(image.convert("RGB"))
    assert shown.shape == (2 * own.REGION, 100, 3)

    def colour(name: str) -> list[int]:
        return [int(name[k : k + 2], 16) for k in (1, 3, 5)]

    assert shown[5, 50].tolist() == colour(own.MOTION[0])  # at rest
    assert shown[15, 50].tolist() == colour(own.MOTION[-1])  # TOP away from it
    assert shown[5, 95].tolist() == colour(own.LEFT_OUT)


def test_the_curve_is_of_the_regions_that_moved_or_of_the_networks_probability(make):
    rows = [interval("a", "macro", 30, 50), interval("a", "micro", 30, 33, regions="left_brow")]
    page = make({"a": 100}, rows)
    first, second = (svg for svg in page.all("svg", role="img"))
    assert "left brow around" in first.of["aria-label"]
    assert "lower lip, left brow around" in second.of["aria-label"]
    lines = page.all("polyline")
    assert len(lines) == 3
    # The lower lip lies at the top of the drawing from a second before to a second after.
    (lip,) = [line for line in lines if line.of["points"].split()[0].endswith(",0.0")]
    assert len(lip.of["points"].split()) == 51 - 30 + 2 * FPS + 1
    page = make({"a": 100}, [row | {"regions": ""} for row in rows], network=True)
    labels = [svg.of["aria-label"] for svg in page.all("svg", role="img")]
    assert [label.split()[:2] for label in labels] == [["micro", "apex"], ["macro", "apex"]]


def test_bars_that_overlap_lie_in_rows_of_their_own(make):
    rows = [interval("a", "macro", *ends) for ends in ((10, 30), (20, 40), (60, 70))]
    bars = [e for e in make({"a": 100}, rows).all("rect") if "a" in e.around]
    heights = [float(bar.of["y"]) for bar in bars]
    assert heights[0] == heights[2] < heights[1]


def test_lanes_lie_at_their_times_and_a_long_video_in_strips(make):
    """125 s: three strips of 42 s; what crosses their border is drawn in both."""
    lanes = [lane("a", "blink", 415, 424), lane("a", "talking", 0, 9), lane("b", "head", 0, 9)]
    page = make({"a": 1249, "b": 10}, [interval("a", "macro", 410, 430)], lanes)
    strips = [
        svg for svg in page.all("svg", **{"class": "timeline"}) if " a," in svg.of["aria-label"]
    ]
    assert [svg.of["aria-label"].split(": ")[0].split(", ")[1] for svg in strips] == [
        "0.0 to 42.0 s",
        "42.0 to 84.0 s",
        "84.0 to 125.0 s",
    ]
    blinks = page.all("rect", **{"class": "blink"})
    second = own.WIDTH / 42
    assert [float(mark.of["x"]) for mark in blinks] == pytest.approx(
        [own.GUTTER + 41.5 * second, own.GUTTER], abs=0.1
    )
    assert [float(mark.of["width"]) for mark in blinks] == pytest.approx([second / 2] * 2, abs=0.2)
    assert len(page.all("a", **{"class": "bar"})) == 2
    assert len(page.all("rect", **{"class": "head"})) == 1


def test_a_span_of_a_video_keeps_the_videos_time(make):
    """Frame 0 of a span appears later than at 0 s: the axis says so, as the columns do."""
    row = interval("a", "macro", 10, 20)
    row |= {name: row[name] + 30 for name in ("onset_s", "apex_s", "offset_s")}
    clock = Clock(np.arange(50) + 300, FPS, 30.0)
    (strip,) = make({"a": 49}, [row], clock=clock).all("svg", **{"class": "timeline"})
    assert "30.0 to 35.0 s" in strip.of["aria-label"]


def test_a_strip_always_has_motion_to_show(make):
    """60 s of motion are one strip; one row more makes two, also where that is all of the second."""
    assert len(make({"a": 600}).all("svg", **{"class": "timeline"})) == 1
    assert len(make({"a": 601}).all("svg", **{"class": "timeline"})) == 2


def test_what_is_said_first():
    trained, untrained = pages.about("mespot", "demo_color"), pages.about("rule", None)
    assert trained.startswith("Spotted by the method mespot, trained on demo_color. On ten real")
    assert untrained.startswith("Spotted by the method rule, which is trained on nothing. What")


def test_rows_below_each_other_never_share_a_place():
    spans = [(0, 5), (1, 2), (2, 3), (4, 9), (5, 6)]
    assert list(own._stacked(spans)) == [0, 1, 1, 1, 0]


def test_every_column_and_lane_is_explained(make):
    page = make({"a": 30})
    explained = [element.text for element in page.all("dt")]
    assert explained == [*INTERVALS, *(name.replace("_", " ") for name in LANES)]


def test_what_is_wrong_is_named(make, tmp_path):
    make({"a": 30}, [interval("a", "macro", 5, 15)])
    files, crops = spotted(tmp_path), tmp_path / "align"
    old = tmp_path / "old.csv"
    pd.read_csv(files.intervals).drop(columns="onset_s").to_csv(old, index=False)
    unknown = tmp_path / "unknown.csv"
    unknown.write_text(",".join(LANE_COLUMNS) + "\na,a,sneeze,0,3,0,0.1\n")
    for changed, message in (
        ({"intervals": old}, "old.csv: no column onset_s"),
        ({"lanes": tmp_path / "none.csv"}, "none.csv: cannot be read as CSV"),
        ({"lanes": unknown}, "unknown.csv: lane 'sneeze'; one of talking, blink"),
        ({}, "a.mkv: no such file; run the stage align"),
    ):
        aligned = crops if changed else tmp_path
        with pytest.raises(InputError, match=message):
            own.report_own(
                tmp_path / "features.h5",
                files._replace(**changed),
                aligned,
                "",
                tmp_path / "p.html",
            )


def test_the_command(make, tmp_path):
    make({"a": 30})
    given = [
        f"--{name}={tmp_path / name.replace('-', '_')}.{end}"
        for name, end in (
            ("features", "h5"),
            ("curves", "h5"),
            ("intervals", "csv"),
            ("not-counted", "csv"),
            ("lanes", "csv"),
        )
    ]
    out = tmp_path / "again" / "index.html"
    rest = [f"--aligned={tmp_path / 'align'}", "--about=x", f"--out={out}"]
    assert CliRunner().invoke(app, ["report-own", *given, *rest]).exit_code == 0
    assert "No expression found" in out.read_text()


def test_the_docs_explain_each_column_as_the_page_does():
    documented = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    for name, meaning in INTERVALS.items():
        assert f"| `{name}` | {meaning} |" in documented
