"""pages: what the page of a run and of one's own videos says, shows and does, from tiny made results."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from mespot import aggregate, feature_store, pages, report, store, video
from mespot.cli import app
from mespot.errors import InputError
from mespot.feature_store import Clock, Face, Feature
from mespot.intervals import ANNOTATION_COLUMNS, INTERVALS, LANE_COLUMNS
from mespot.pages import sidecar, strips
from mespot.settings import Report
from mespot.spotting.lanes import LANES

REGIONS = ("left_brow", "lower_lip")
FPS = 10.0
# Elements that have no end tag.
VOID = {"meta", "img", "br", "input"}
CHROMIUM = Path("/usr/bin/chromium")


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


def annotated(name: str, type_: str, onset: int, offset: int) -> dict:
    row = {"subject": name, "video": name, "type": type_, "onset": onset, "offset": offset}
    return row | {"apex": (onset + offset) // 2, "au": "", "source_row": 2}


class Results:
    """The folder of a run as the stages leave it, with one dataset, `d`, and one method, `rule`."""

    def __init__(self, folder: Path):
        self.folder, self.out = folder, folder / "report" / "index.html"

    def dataset(
        self,
        rows: dict[str, int],
        intervals=(),
        lanes=(),
        failed=None,
        valid=None,
        network=False,
        apart=(),
        clock=None,
        truth=None,
        filmed=True,
        name="d",
    ) -> None:
        """Videos {name: rows (T-1)}: the brow rests, the lip is as far away as is drawn."""
        here, run = self.folder / name, self.folder / name / "rule"
        channels = (
            [f"{t}_apex" for t in ("macro", "micro")] if network else [*REGIONS, "mouth opening"]
        )
        known = {"stage": "spot", "settings": {}}
        with (
            store.create(
                here / "features.h5", **known | {"missing": json.dumps(failed or {})}
            ) as features,
            store.create(run / "curves.h5", **known) as curves,
        ):
            for video_, n in rows.items():
                seen = np.ones(n, bool) if valid is None else valid
                face = Face(np.zeros((n + 1, 2, 2)), np.zeros((n + 1, 3)), np.zeros((n + 1, 4)))
                feature_store.write(
                    features,
                    Feature(
                        *(
                            video_,
                            video_,
                            np.zeros((n, 2, 2), np.float32),
                            seen,
                            FPS,
                            40.0,
                            REGIONS,
                        ),
                        *("by hand", face if filmed else None, clock),
                    ),
                )
                values = [0.0, sidecar.TOP, 0.0][: len(channels)]
                curves[video_] = np.resize(values, (n, len(channels)))
                store.tell(curves[video_], channels=channels)
                if filmed:
                    crops = (np.full((32, 32), t % 256, np.uint8) for t in range(n + 1))
                    video.write(here / "align" / f"{video_}.mkv", crops, FPS, "s")
                    with store.create(here / "landmarks" / f"{video_}.h5", **known) as file:
                        file["points"] = np.full((n + 1, 68, 2), 16, np.float32)
        for file, rows_of in (("intervals", intervals), ("not_counted", apart)):
            table = pd.DataFrame(list(rows_of), columns=list(INTERVALS))
            table.to_csv(run / f"{file}.csv", index=False)
        pd.DataFrame(list(lanes), columns=LANE_COLUMNS).to_csv(run / "lanes.csv", index=False)
        if truth is not None:
            table = pd.DataFrame(list(truth), columns=ANNOTATION_COLUMNS)
            table.to_csv(here / "annotation.csv", index=False)

    def page(self, about="About this method.", summary=None, shown=("d/rule",)) -> Page:
        report.report(self.folder, shown, summary, self.out, Report(), about)
        return Page(self.out)

    def scored(self) -> Path:
        """The table of the scores of the one run."""
        run = self.folder / "d" / "rule"
        files = [
            "--annotation",
            run.parent / "annotation.csv",
            "--intervals",
            run / "intervals.csv",
        ]
        files += ["--out", run / "score.json", "--subjects", run / "subjects.csv"]
        words = ["score", *map(str, files), "--protocol", "strict", "--protocol", "megc2020"]
        assert CliRunner().invoke(app, words).exit_code == 0
        out = self.folder / "summary.csv"
        aggregate.aggregate(
            [run / "score.json"], self.folder, [], ["rule"], out, [run / "subjects.csv"]
        )
        return out


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


@pytest.fixture
def make(results):
    """A function that makes results of one's own videos and gives back their page."""

    def page(*args, about="About this method.", **named) -> Page:
        results.dataset(*args, **named)
        return results.page(about)

    return page


def index(page: Page) -> dict:
    """What the page tells its script: each interval by the names of its values."""
    (told,) = page.all("script", id="index")
    told = json.loads(told.text)
    told["events"] = [dict(zip(told["event"], row, strict=True)) for row in told["events"]]
    return told


def of_video(results: Results, name: str) -> dict:
    """What the script beside the page hands over."""
    text = (results.out.parent / "videos" / f"d_{name}.js").read_text()
    return json.loads(re.fullmatch(r'mespot\.video\("[^"]+",(.*)\);\n', text)[1])


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def lane(name: str, what: str, onset: int, offset: int) -> list:
    return [name, name, what, onset, offset, onset / FPS, (offset + 1) / FPS]


def test_counts_and_rows(make):
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
    assert first[3:8] == ["1.00", "1.10", "1.40", "0.40", "0.88"]
    regions, remarks, frames = first[8:]
    assert (regions, remarks) == ("lower lip left brow", "head moves; talking")
    assert frames == "20, 22, 26 at 20/s"
    assert page.cells("v1-2")[1] == "macro"
    assert "About this method." in page.all("p", **{"class": "about"})[0].text
    events = index(page)["events"]
    assert [event["what"] for event in events] == ["not counted", "spotted", "spotted"]
    assert [int(row.of["data-event"]) for row in rows] == [0, 1, 2]


def test_what_is_found_missed_and_false(results):
    truth = [annotated("a", "macro", 10, 29), annotated("a", "macro", 60, 79)]
    found = [interval("a", "macro", 12, 31), interval("a", "macro", 40, 50)]
    results.dataset({"a": 100}, found, truth=truth)
    page = results.page(summary=results.scored())
    events = index(page)["events"]
    assert [(e["what"], e["outcome"], e["onset"]) for e in events] == [
        ("annotated", "found", 10),
        ("spotted", "found", 12),
        ("spotted", "false", 40),
        ("annotated", "missed", 60),
    ]
    assert events[1]["iou"] == pytest.approx(18 / 22, abs=1e-3)
    # What is found has the picture of what was spotted.
    assert [bool(event["strip"]) for event in events] == [False, True, True, True]
    # The table's counts lead to them.
    links = {link.of["data-outcome"]: link.text for link in page.all("a") if "data-run" in link.of}
    assert links == {"found": "1", "false": "1", "missed": "1"}


def test_the_numbers_on_the_page_are_those_of_the_table(results):
    truth = [annotated(name, "macro", 10, 29) for name in "abc"]
    found = [interval("a", "macro", 12, 31), interval("b", "macro", 40, 50)]
    results.dataset(dict.fromkeys("abc", 100), found, truth=truth)
    summary = results.scored()
    page = results.page(summary=summary)
    (row,) = pd.read_csv(summary).query("protocol == 'strict'").to_dict("records")
    (line,) = page.all("tr", **{"class": "headline"})
    at = page.elements.index(line)
    cells = [e.text for e in page.elements[at:] if e.tag == "td"][:11]
    assert cells[5].startswith(f"{row['macro_f1']:.3f}")
    assert cells[7].startswith(f"{row['overall_f1']:.3f}")
    low_high = [e.text for e in page.elements[at:] if e.tag == "small"][2]
    assert low_high == f"{row['overall_f1_low']:.3f} to {row['overall_f1_high']:.3f}"
    counts = [e.text for e in page.elements[at:] if e.tag == "a"][:3]
    assert counts == ["1", "1", "2"]


def test_a_part_of_joined_datasets_is_shown_by_what_was_spotted_in_all(results):
    """The scores of a part lie below the joined dataset's, its intervals with all the others."""
    truth = [annotated("a", "macro", 10, 29)]
    results.dataset({"a": 50}, truth=truth)
    results.dataset(
        {"a": 50, "b": 50},
        [interval("a", "macro", 12, 31), interval("b", "macro", 1, 9)],
        name="both",
    )
    page = results.page(summary=None, shown=["both/rule/part/d"])
    told = index(page)
    assert told["runs"] == [{"dataset": "d", "name": "rule, trained on both"}]
    assert [event["outcome"] for event in told["events"]] == ["found", "found"]


def test_faces_are_those_of_onset_apex_and_offset(make, results):
    page = make({"a": 100}, [interval("a", "macro", 40, 80), interval("a", "micro", 0, 2)])
    pictures = [one for one in page.all("img", loading="lazy") if "onset" in one.of["alt"]]
    assert len(pictures) == 2
    assert "onset (4.00 s), apex (6.00 s) and offset (8.10 s)" in pictures[1].of["alt"]
    with Image.open(results.out.parent / pictures[1].of["src"]) as image:
        grey = np.asarray(image.convert("L")).astype(int)
    middles = [grey[64, k * (strips.FACE + strips.GAP) + 64] for k in range(3)]
    assert np.abs(np.subtract(middles, [40, 60, 80])).max() <= 2


def test_flow_has_the_usual_colours():
    """To the right red, downwards yellow green, none white; full from a length of 1 on."""
    flow = np.zeros((2, 1, 4))
    flow[:, 0] = [[1, 0, 0, -2], [0, 1, 0, 0]]
    right, down, still, left = strips.wheel(flow)[0].astype(int)
    for colour, expected in (
        (right, [255, 0, 0]),
        (down, [128, 255, 0]),
        (still, [255, 255, 255]),
        (left, [0, 255, 255]),
    ):
        np.testing.assert_allclose(colour, expected, atol=6)


def test_nothing_is_loaded_from_elsewhere_and_all_that_is_loaded_is_there(make, results):
    page = make({"a": 50, "b": 50}, [interval("a", "macro", 10, 20)])
    ids = {element.of["id"] for element in page.elements if "id" in element.of}
    links = [
        link
        for element in page.elements
        for link in (element.of.get("src"), element.of.get("href"))
        if link
    ]
    links += [f"{one['href']}.js" for one in index(page)["videos"]]
    assert any(link.startswith("videos/") for link in links)
    for link in links:
        assert link[1:] in ids if link[0] == "#" else (results.out.parent / link).is_file()
    # uPlot's banner names its home; nothing else does.
    assert page.text.count("http") == 1
    assert "url(" not in page.text


def test_uplot_is_what_its_readme_says():
    folder = Path(pages.__file__).parent / "uplot"
    lines = [line.split() for line in (folder / "README.md").read_text().splitlines()]
    digests = {line[1]: line[0] for line in lines if len(line) == 2 and len(line[0]) == 64}
    assert len(digests) == 2
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "MIT" in (folder / "LICENSE").read_text()


def test_odd_names_are_text_and_no_markup(make, monkeypatch):
    # There are no such names; if there were:
    monkeypatch.setattr(store, "NAME", re.compile(".+"))
    odd = "<b>&微表情 #1\"'</script>".replace("/", "")
    failed = {"<i>x": "decode: <u>no</u> such\nfile"}
    page = make({odd: 30}, [interval(odd, "macro", 5, 15)], failed=failed, about="F1 < 1 & more")
    assert odd in [heading.text for heading in page.all("h3")]
    assert any(odd in image.of["alt"] for image in page.all("img"))
    assert not page.all("u")
    assert not page.all("i", **{"class": "x"})
    assert page.all("p", **{"class": "about"})[0].text == "F1 < 1 & more"
    assert index(page)["videos"][0]["name"] == odd


def test_failed_videos_are_listed_by_name_with_the_reason(make):
    page = make({"a": 30}, failed={"gone": "decode: gone.mp4: it is cut off; copy it again"})
    (failed,) = page.all("div", **{"class": "failed"})
    assert "1 of 2 videos failed" in failed.text
    assert "gone: decode: gone.mp4: it is cut off; copy it again" in failed.text


def test_no_expression_found(make):
    page = make({"a": 30})
    assert page.all("p", **{"class": "counts"})[0].text == "No expression found."
    assert not page.all("table", **{"class": "intervals"})


@pytest.mark.parametrize("network", [False, True])
def test_a_video_of_one_frame_pair(make, network):
    row = interval("a", "micro", 0, 1, regions="")
    page = make({"a": 1}, [row], network=network)
    assert page.cells("v1-1")[3:7] == ["0.00", "0.00", "0.20", "0.20"]


def test_a_large_share_left_out_is_in_red(make):
    valid = np.ones(100, bool)
    valid[:20] = False
    bad = {"class": "bad"}
    assert not make({"a": 100}, valid=valid).all("span", **bad)
    valid[20] = False
    page = make({"a": 100}, valid=valid)
    assert page.all("span", **bad)[0].text == "21 %"


def test_what_is_drawn_of_a_video(make, results):
    """Motion on one scale over all videos, curves as they were written, what was left out, lanes."""
    valid = np.ones(100, bool)
    valid[90:] = False
    clock = Clock(np.arange(101) * 2 + 300, 2 * FPS, 30.0)
    lanes = [lane("a", "blink", 41, 42), lane("b", "head", 0, 9)]
    page = make({"a": 100}, lanes=lanes, valid=valid, clock=clock)
    told = of_video(results, "a")
    motion = numbers(told["motion"], "u1").reshape(2, 100)
    assert set(motion[0]) == {0}
    assert set(motion[1]) == {255}
    assert told["left_out"] == [[90, 100]]
    assert numbers(told["source"], "<u4").tolist() == clock.frames.tolist()
    assert told["lanes"]["blink"] == [[41, 42]]
    assert told["lanes"]["head"] == []
    (curve,) = [one for one in told["curves"]["0"] if one["name"] == "lower_lip"]
    assert curve["max"] == pytest.approx(sidecar.TOP)
    assert set(numbers(curve["data"], "<u2")) == {65534}
    (video_,) = index(page)["videos"]
    assert (video_["start"], video_["frames"], video_["fps"]) == (30.0, 101, FPS)
    assert set(numbers(video_["envelope"]["0"], "u1")) == {255}


def test_a_video_without_a_face_is_the_first_of_the_sheet(make):
    """Nothing can be told of its nose; the page is whole all the same."""
    page = make({"a": 30}, valid=np.zeros(30, bool))
    assert index(page)["videos"][0]["trembling"] is None
    captions = [e.text for e in page.all("figcaption")]
    assert "100 %" in captions[0]
    assert "trembles" not in captions[0]


def test_curves_come_back_from_their_steps():
    values = np.array([0.0, 0.25, np.nan, 1.5])
    told = sidecar._curve(values)
    steps = numbers(told["data"], "<u2")
    assert steps[2] == sidecar.LACKING
    back = np.where(steps == sidecar.LACKING, np.nan, steps * told["max"] / 65534)
    np.testing.assert_allclose(back, values, atol=1.5 / 65534)


def test_of_a_long_video_the_page_itself_holds_no_more(make, results):
    short = len(make({"a": 1000}).text)
    assert len(make({"a": 20_000}).text) < short + 1000
    assert len(of_video(results, "a")["motion"]) > 40_000


def test_what_is_said_first():
    trained, untrained = pages.about("mespot", "demo_color"), pages.about("rule", None)
    assert trained.startswith("Spotted by the method mespot, trained on demo_color. On ten real")
    assert untrained.startswith("Spotted by the method rule, which is trained on nothing. What")


def test_every_column_and_lane_is_explained(make):
    page = make({"a": 30})
    explained = [element.text for element in page.all("dt")]
    assert explained == [*INTERVALS, *(name.replace("_", " ") for name in LANES)]


def test_what_is_wrong_is_named(make, results):
    make({"a": 30}, [interval("a", "macro", 5, 15)])
    run = results.folder / "d" / "rule"
    for name, text, message in (
        ("lanes.csv", ",".join(LANE_COLUMNS) + "\na,a,sneeze,0,3,0,0.1\n", "lane 'sneeze'; one of"),
        ("lanes.csv", None, "lanes.csv: cannot be read as CSV"),
        ("intervals.csv", "subject,video\n", "intervals.csv: no column type"),
        ("../align/a.mkv", None, "a.mkv: no such file; run the stage align"),
    ):
        kept = (run / name).read_bytes()
        if text is None:
            (run / name).unlink()
        else:
            (run / name).write_text(text)
        with pytest.raises(InputError, match=message):
            results.page()
        (run / name).write_bytes(kept)


def test_the_same_again_is_the_same_to_the_byte(make, results):
    make({"a": 30}, [interval("a", "macro", 5, 15)])
    files = sorted(path for path in results.out.parent.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    results.page()
    assert [path.read_bytes() for path in files] == before


def test_the_command(make, results, tmp_path):
    make({"a": 30})
    out = tmp_path / "again" / "index.html"
    words = ["report", f"--results={results.folder}", "--shown=d/rule", "--about=x", f"--out={out}"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "No expression found" in out.read_text()


def test_the_docs_explain_each_column_as_the_page_does():
    documented = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    for name, meaning in INTERVALS.items():
        assert f"| `{name}` | {meaning} |" in documented


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, results):
    """A function that opens the page; whatever it says or asks for beside files fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    said = []

    def show():
        page = context.new_page()
        # What the tests themselves do to a canvas is no fault of the page.
        page.on("console", lambda one: "willReadFrequently" in one.text or said.append(one.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda one: one.url.startswith(("file:", "blob:")) or said.append(one.url)
        )
        page.goto(results.out.as_uri())
        return page

    yield show
    context.close()
    assert said == []


def drawn(page, selector: str) -> int:
    """How many pixels of a canvas are neither white nor empty."""
    return page.eval_on_selector(
        selector,
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let n = 0;
            for (let k = 0; k < data.length; k += 4)
                n += data[k + 3] > 0 && data[k] + data[k + 1] + data[k + 2] < 700;
            return n;
        }""",
    )


def test_a_false_interval_is_on_the_screen_in_two_clicks(results, opened):
    truth = [annotated("a", "macro", 10, 29), annotated("b", "macro", 60, 79)]
    found = [
        interval("a", "macro", 12, 31),
        interval("a", "micro", 40, 43, score=0.3),
        interval("b", "macro", 20, 30, score=0.9),
    ]
    results.dataset({"a": 100, "b": 100}, found, truth=truth)
    results.page(summary=results.scored())
    page = opened()
    assert page.is_hidden("#viewer")
    page.click("a[data-outcome=false]")
    page.click("#list tbody tr")
    page.wait_for_selector("#v-plot canvas")
    # The surest first.
    assert page.inner_text("#v-name") == "b"
    assert page.inner_text("#v-now").startswith(
        "false macro; 2.00 to 3.10 s; 1.10 s long; score 0.90"
    )
    assert page.is_visible("#v-strip")
    assert (
        page.eval_on_selector("#v-strip", "image => image.decode().then(() => image.naturalWidth)")
        > 380
    )
    assert drawn(page, "#v-plot canvas") > 500
    assert drawn(page, "#v-lanes") > 500
    page.keyboard.press("n")
    page.wait_for_function("document.getElementById('v-name').textContent === 'a'")
    assert page.inner_text("#v-now").startswith("false micro; 4.00 to 4.40 s")
    page.keyboard.press("p")
    page.wait_for_function("document.getElementById('v-name').textContent === 'b'")


def test_the_slider_says_what_would_be_kept(results, opened):
    truth = [annotated("a", "macro", 10, 29), annotated("a", "macro", 60, 79)]
    found = [interval("a", "macro", 12, 31, score=0.9), interval("a", "macro", 40, 50, score=0.3)]
    results.dataset({"a": 100}, found, truth=truth)
    results.page(summary=results.scored())
    page = opened()
    assert "2 spotted, 1 right, 1 false, 1 missed" in page.inner_text("#l-count")
    page.fill("#l-least", "0.5")
    assert "1 spotted, 1 right, 0 false, 1 missed; precision 1.000, recall 0.500, F1 0.667" in (
        page.inner_text("#l-count")
    )
    assert page.locator("#list tbody tr").count() == 0


def test_zoom_hover_and_keys(results, opened):
    clock = Clock(np.arange(201) * 3, 3 * FPS, 5.0)
    results.dataset({"a": 200}, [interval("a", "macro", 50, 59)], clock=clock)
    results.page()
    page = opened()
    page.wait_for_selector("#v-plot canvas")
    scale = "(() => { const {min, max} = view.plot.scales.x; return [min, max]; })()"
    assert page.evaluate(scale) == pytest.approx([5, 25.1])
    page.click("tr[data-event='0']")
    page.wait_for_function("view.event !== null")
    assert page.evaluate(scale) == pytest.approx([7, 14])  # 10 to 11 s, and 3 s around
    page.keyboard.press("0")
    assert page.evaluate(scale) == pytest.approx([5, 25.1])
    page.keyboard.press("+")
    first, last = page.evaluate(scale)
    assert last - first == pytest.approx(20.1 / 2)
    page.keyboard.press("0")
    box = page.locator("#v-plot .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 10.05 / 20.1, box["y"] + 20)
    page.wait_for_function("document.getElementById('v-at').textContent !== ''")
    assert page.inner_text("#v-at") == "15.000 s, working frame 100, source frame 300"


def test_corrections_become_an_annotation(results, opened, tmp_path):
    """Accepted, moved and added intervals are saved, rejected ones are not; `annotation` reads them."""
    spotted = [interval("a", "macro", at, at + 9) for at in (10, 50, 90, 130)]
    clock = Clock(np.arange(201), FPS, 0.0)
    results.dataset({"a": 200}, spotted, clock=clock)
    results.page()
    page = opened()
    page.wait_for_selector("#v-plot canvas")
    page.click("tr[data-event='0']")
    page.wait_for_function("view.event?.at === 0")
    page.keyboard.press("a")
    page.wait_for_function("view.event?.at === 1")  # on to the next
    page.keyboard.press("r")
    page.wait_for_function("view.event?.at === 2")
    assert page.input_value("#e-offset") == "10.000"  # as intervals.csv says it
    page.fill("#e-offset", "9.4")
    page.press("#e-offset", "Enter")
    assert page.input_value("#e-type") == "micro"  # so short it is
    page.fill("#e-offset", "10.5")
    page.press("#e-offset", "Enter")
    assert page.input_value("#e-type") == "macro"
    page.select_option("#e-type", "micro")
    page.click("#v-whole")
    page.click("#e-add")
    page.wait_for_function("view.event?.what === 'added'")
    assert "1 accepted, 1 moved, 1 added, 1 rejected, 1 undecided" in page.inner_text("#e-told")
    rows = page.locator("#list tbody tr").all_inner_texts()
    assert [row.split("\t")[:2] + row.split("\t")[3:5] for row in rows] == [
        ["accepted", "macro", "1.00", "1.00"],
        ["rejected", "macro", "5.00", "1.00"],
        ["moved", "micro", "9.00", "1.50"],
        ["undecided", "macro", "13.00", "1.00"],
        ["added", "macro", "9.60", "1.10"],
    ]
    page.select_option("#l-outcome", "undecided")
    assert page.locator("#list tbody tr").count() == 1
    with page.expect_download() as download:
        page.click("#e-save")
    path = tmp_path / "checked.csv"
    download.value.save_as(path)
    assert page.inner_text("#e-told").startswith("checked.csv: 3 intervals of 1 of 1 videos")
    rows = pd.read_csv(path)
    assert rows["status"].tolist() == ["accepted", "moved", "added"]
    assert rows["type"].tolist() == ["macro", "micro", "macro"]
    assert rows["onset_s"].tolist()[:2] == [1.0, 9.0]
    assert rows["offset_s"].tolist()[:2] == [1.9, 10.4]  # when the last frame appears
    files = {"source": path, "features": results.folder / "d" / "features.h5"}
    files |= {name: tmp_path / f"{name}.csv" for name in ("out", "as-given", "audit")}
    words = [f"--{name}={file}" for name, file in files.items()]
    done = CliRunner().invoke(app, ["annotation", *words])
    assert done.exit_code == 0, done.output
    read = pd.read_csv(tmp_path / "out.csv")
    assert read[["onset", "offset"]].to_numpy().tolist()[:2] == [[10, 19], [90, 104]]
    # What was decided is there again when the page is.
    again = opened()
    again.wait_for_selector("#v-plot canvas")
    assert "1 accepted, 1 moved, 1 added, 1 rejected" in again.inner_text("#e-told")
    # Of other intervals nothing was decided, whatever number they have; what was added is still there.
    others = [interval("a", "macro", at, at + 7) for at in (10, 60, 90, 130)]
    results.dataset({"a": 200}, others, clock=clock)
    results.page()
    later = opened()
    later.wait_for_selector("#v-plot canvas")
    assert "0 accepted, 0 moved, 1 added, 0 rejected, 4 undecided" in later.inner_text("#e-told")


def two_videos(results, **named):
    found = [interval("a", "macro", at, at + 9) for at in (10, 50, 90)]
    found += [interval("b", "macro", at, at + 9) for at in (5, 25)]
    results.dataset({"a": 200, "b": 60}, found, **named)
    results.page()


def click_event(page, number: int) -> None:
    page.click(f"tr[data-event='{number}']")
    page.wait_for_function(f"view.event?.at === {number} && view.plot")


def hover(page, seconds: float) -> None:
    box = page.locator("#v-plot .u-over").bounding_box()
    at = page.evaluate(f"view.plot.valToPos({seconds}, 'x')")
    page.mouse.move(box["x"] + at, box["y"] + 20)
    page.wait_for_function("view.cursor !== undefined")


def test_a_place_pointed_at_in_one_video_is_none_in_another(results, opened):
    two_videos(results)
    page = opened()
    page.click("#v-whole")
    hover(page, 18.0)
    assert page.evaluate("view.cursor") == pytest.approx(180, abs=1)
    click_event(page, 3)
    page.keyboard.press("1")  # nothing is pointed at here
    assert "0 moved" in page.inner_text("#e-told")
    page.click("#e-add")
    page.wait_for_function("view.event?.what === 'added'")
    assert page.evaluate(
        "view.event.onset <= view.event.apex && view.event.apex <= view.event.offset"
    )
    shown = page.evaluate("(({min, max}) => [min, max])(view.plot.scales.x)")
    assert shown[0] <= page.evaluate("begins(view.event)") < shown[1]


def test_the_curves_are_those_of_the_video_whatever_is_pressed_meanwhile(results, opened):
    two_videos(results)
    page = opened()
    page.wait_for_selector("#v-plot canvas")
    page.evaluate("openRow(2); openRow(3); openRow(4)")  # b is loaded once, and asked for twice
    page.wait_for_function("view.content?.curves[0][0].values.length === 60")
    page.wait_for_function("view.plot.data[0].length === 60")
    assert page.inner_text("#v-name") == "b"


def test_what_is_decided_in_one_window_is_known_in_another(results, opened):
    two_videos(results)
    pages = [opened(), opened()]
    for page in pages:
        page.wait_for_selector("#v-plot canvas")
    click_event(pages[0], 0)
    pages[0].keyboard.press("a")
    pages[1].wait_for_function(
        "document.getElementById('e-told').textContent.includes('1 accepted')"
    )
    click_event(pages[1], 1)
    pages[1].keyboard.press("r")
    assert "1 accepted, 0 moved, 0 added, 1 rejected" in opened().inner_text("#e-told")


def test_what_was_added_to_a_video_that_failed_this_time_is_not_lost(results, opened):
    two_videos(results)
    page = opened()
    click_event(page, 3)
    page.click("#e-add")
    page.wait_for_function("view.event?.what === 'added'")
    results.dataset({"a": 200}, [interval("a", "macro", 10, 19)])
    results.page()
    less = opened()
    click_event(less, 0)
    less.keyboard.press("a")
    two_videos(results)
    assert "1 accepted, 0 moved, 1 added" in opened().inner_text("#e-told")


def test_no_end_is_moved_by_an_empty_field_and_what_was_done_can_be_undone(results, opened):
    two_videos(results)
    page = opened()
    click_event(page, 1)
    page.fill("#e-onset", "")
    page.press("#e-onset", "Enter")
    assert page.input_value("#e-onset") == "5.000"
    page.fill("#e-onset", "7")
    page.press("#e-onset", "Enter")
    assert page.inner_text("#e-told") == "An onset after the offset: set the offset first."
    page.fill("#e-offset", "8")
    page.press("#e-offset", "Enter")
    assert "1 moved" in page.inner_text("#e-told")
    assert page.inner_text("#v-now").startswith("moved macro; 5.00 to 8.00 s")
    page.keyboard.press("u")
    assert "0 moved" in page.inner_text("#e-told")
    assert page.input_value("#e-offset") == "6.000"
    page.click("#e-add")
    page.wait_for_function("view.event?.what === 'added'")
    page.keyboard.press("u")
    assert "0 added" in page.inner_text("#e-told")
    assert page.locator("#list tbody tr").count() == 5


def test_the_next_is_the_next_of_the_list_that_is_shown(results, opened):
    two_videos(results)
    page = opened()
    click_event(page, 0)
    page.keyboard.press("a")
    page.keyboard.press("a")
    page.wait_for_function("view.event?.at === 2")
    page.select_option("#l-outcome", "undecided")  # 2, 3, 4 are left; 2 is shown
    page.keyboard.press("r")
    page.wait_for_function("view.event?.at === 3")
    page.keyboard.press("p")
    page.wait_for_function("view.event?.at === 2")


def test_a_chosen_interval_is_seen_on_a_laptop(results, opened):
    """Of what is higher than the window its beginning, with the face."""
    two_videos(results)
    page = opened()
    page.set_viewport_size({"width": 1366, "height": 640})
    page.locator("#list tbody tr").nth(3).click()
    page.wait_for_function("view.event?.at === 3 && view.plot")
    page.wait_for_timeout(100)
    strip = page.locator("#v-strip").bounding_box()
    assert strip["y"] > 0
    assert strip["y"] + strip["height"] < 640


def test_bars_and_curves_go_together_after_the_window_was_resized(results, opened):
    two_videos(results)
    page = opened()
    click_event(page, 1)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_timeout(300)
    bar, curve = page.evaluate(
        """() => {
            const [, from] = view.places.find(([event]) => event === view.event);
            const left = document.querySelector("#v-plot .u-over").getBoundingClientRect().left;
            return [from + document.getElementById("v-lanes").getBoundingClientRect().left,
                    left + view.plot.valToPos(begins(view.event), "x")];
        }"""
    )
    assert bar == pytest.approx(curve, abs=2)


def test_what_is_not_counted_can_be_accepted(results, opened):
    two_videos(results, apart=[interval("b", "micro", 40, 43, remarks="talking")])
    page = opened()
    click_event(page, 5)
    page.keyboard.press("a")
    assert "1 accepted" in page.inner_text("#e-told")
    assert page.locator("#list tbody tr").nth(5).inner_text().startswith("accepted")


def test_a_number_leads_to_all_that_it_counts(results, opened):
    truth = [annotated("a", "macro", 10, 29)]
    found = [interval("a", "macro", 40, 59, score=0.2), interval("a", "micro", 70, 73, score=0.9)]
    results.dataset({"a": 100}, found, truth=truth)
    results.page(summary=results.scored())
    page = opened()
    page.select_option("#l-type", "micro")
    page.fill("#l-least", "0.5")
    assert "micro with a score of 0.50 or more: 1 spotted, 0 right, 1 false" in (
        page.inner_text("#l-count")
    )
    page.click("a[data-outcome=false]")
    assert page.inner_text("a[data-outcome=false]") == "2"
    assert page.locator("#list tbody tr").count() == 2


def test_moving_goes_no_further_than_the_video(results, opened):
    two_videos(results)
    page = opened()
    click_event(page, 0)
    scale = "(({min, max}) => [min, max])(view.plot.scales.x)"
    first, last = page.evaluate(scale)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(scale) == pytest.approx([20.1 - (last - first), 20.1])
    for _ in range(40):
        page.keyboard.press("+")
    first, last = page.evaluate(scale)
    assert last - first >= 0.4 - 1e-6


def test_a_face_of_the_contact_sheet_leads_to_its_video(results, opened):
    two_videos(results)
    page = opened()
    page.locator("button.face").last.click()
    page.wait_for_function("view.event === null && view.plot")
    name = page.locator(".sheet figcaption").last.inner_text().split("\n")[0]
    assert page.inner_text("#v-name") == name


def test_the_annotated_video_plays_in_step(results, opened):
    """A red line in the curves is where the film is; a click between the bars goes there."""
    results.dataset({"a": 39}, [interval("a", "macro", 12, 21)])
    film = results.folder / "d" / "rule" / "overlay" / "a.mp4"
    film.parent.mkdir()
    with av.open(str(film), "w") as file:
        stream = file.add_stream("libx264", rate=int(FPS), options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for t in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 6 * t, np.uint8))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    results.page()
    page = opened()
    page.wait_for_selector("#v-plot canvas")
    line = """() => {
        const canvas = document.querySelector("#v-plot canvas"), {width, height} = canvas;
        const {data} = canvas.getContext("2d").getImageData(0, Math.round(height / 3), width, 1);
        for (let x = 0; x < width; x++)
            if (data[4 * x] > 140 && data[4 * x + 1] < 60 && data[4 * x + 2] < 80)
                return view.plot.posToVal(x / devicePixelRatio - view.plot.bbox.left / devicePixelRatio, "x");
    }"""
    for seconds in (1.0, 3.0):
        page.evaluate(f"document.getElementById('v-video').currentTime = {seconds}")
        page.wait_for_function("!document.getElementById('v-video').seeking")
        page.wait_for_timeout(100)
        assert page.evaluate(line) == pytest.approx(seconds, abs=0.03)
    box = page.locator("#v-lanes").bounding_box()
    page.mouse.click(box["x"] + 118 + (box["width"] - 130) / 2, box["y"] + box["height"] - 3)
    page.wait_for_function("Math.abs(document.getElementById('v-video').currentTime - 2) < 0.02")


def test_without_crops_there_is_no_strip_and_no_error(results, opened):
    """Published features: nobody's face."""
    results.dataset(
        {"a": 100}, [interval("a", "macro", 12, 31)], truth=[], filmed=False, network=True
    )
    results.page(summary=results.scored())
    page = opened()
    assert page.locator("#quality").count() == 0
    page.click("#list tbody tr")
    page.wait_for_selector("#v-plot canvas")
    assert page.is_hidden("#v-strip")
    assert drawn(page, "#v-lanes") > 100


def test_print_holds_the_table_and_each_interval(results, opened):
    results.dataset({"a": 100}, [interval("a", "macro", 12, 31)])
    results.page()
    page = opened()
    page.emulate_media(media="print")
    assert page.is_visible("tr[data-event='0']")
    assert page.is_hidden("nav")
    assert len(page.pdf()) > 10_000


def test_of_250_videos_nothing_is_loaded_before_one_is_opened(results, opened):
    """What is opened at once: no video's script, and of the pictures those on the screen; a click loads one script."""
    names = [f"v{k:03}" for k in range(250)]
    found = [interval(name, "macro", 2, 8) for name in names]
    results.dataset(dict.fromkeys(names, 12), found, truth=[])
    results.page(summary=results.scored())
    page = opened()
    scripts = "[...document.querySelectorAll('script[src]')].map(one => one.getAttribute('src'))"
    pictures = "[...document.images].filter(one => one.naturalWidth > 0).length"
    assert page.locator("#list tbody tr").count() == 200
    assert page.locator(".sheet img").count() == 250
    assert page.evaluate(scripts) == []
    assert page.evaluate(pictures) < 100
    page.locator("#list tbody tr").nth(150).click()
    page.wait_for_selector("#v-plot canvas")
    assert page.evaluate(scripts) == ["videos/d_v150.js"]


def test_many_videos_are_a_list_that_grows_on_demand(results, opened):
    """What is opened at once does not grow with what there is: one script a video, on a click."""
    found = [interval("a", "macro", 4 * at, 4 * at + 2) for at in range(450)]
    results.dataset({"a": 2000}, found, truth=[], network=True, filmed=False)
    results.page(summary=results.scored())
    page = opened()
    assert page.locator("#list tbody tr").count() == 200
    assert page.evaluate("document.querySelectorAll('script[src]').length") == 0
    page.click("#more")
    assert page.locator("#list tbody tr").count() == 400
