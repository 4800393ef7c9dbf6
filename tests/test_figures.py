"""figures: what is drawn is what was counted by hand; every file is the same again; nothing is too little to draw."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from statistics import NormalDist

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.style import context
from PIL import Image
from test_cli import run as mespot

from mespot import feature_store, figures, store
from mespot.aggregate import aggregate
from mespot.datasets.segments import PUBLISHED_REGIONS
from mespot.errors import InputError
from mespot.feature_store import Feature
from mespot.figures import Run
from mespot.intervals import write_table
from mespot.networks import graph, multiscale_trained
from mespot.papers import charts
from mespot.score import score_files
from mespot.settings import Report

ALWAYS = [
    *("f1_per_subject", "precision_recall", "durations", "overlaps", "boundary_errors"),
    "reliability",
]
COLUMNS = ["subject", "video", "type", "onset", "apex", "offset"]
RATES = {"a1": 30.0, "a2": 30.0, "b1": 25.0, "c1": 30.0}
ANNOTATED = [
    ("a", "a1", "macro", 100, 110, 129),  # found, its ends 1 and 3 frames late
    ("a", "a1", "macro", 300, 310, 329),  # touched
    ("a", "a2", "micro", 50, 54, 58),  # missed
    ("b", "b1", "macro", 10, 20, 34),  # found, its onset 5 of 25 frames/s early
    ("b", "b1", "micro", 100, 104, 109),  # found as it is
]
SPOTTED = [
    ("a", "a1", "macro", 101, 110, 132, 0.9),
    ("a", "a1", "macro", 325, 330, 344, 0.8),
    ("b", "b1", "macro", 5, 20, 34, 0.6),
    ("b", "b1", "micro", 100, 104, 109, 0.3),
    ("b", "b1", "micro", 400, 404, 409, 0.7),
]


@pytest.fixture
def made(tmp_path):
    """The files of a run with these intervals; a person c in whose video nothing is."""

    def files(annotated=(), spotted=(), **others) -> Run:
        pd.DataFrame(annotated, columns=COLUMNS).to_csv(tmp_path / "annotation.csv", index=False)
        table = pd.DataFrame(spotted, columns=[*COLUMNS, "score"])
        table.to_csv(tmp_path / "intervals.csv", index=False)
        with store.create(tmp_path / "features.h5", stage="features", settings={}) as file:
            for video, fps in RATES.items():
                still = np.zeros((9, 1, 2), np.float32), np.ones(9, bool)
                feature_store.write(file, Feature(video[0], video, *still, fps, 60, ("chin",)))
        paths = [tmp_path / name for name in ("annotation.csv", "intervals.csv", "subjects.csv")]
        score_files(paths[0], None, [paths[1]], ["strict", "megc2020"], None, paths[2])
        return Run(*paths, tmp_path / "features.h5", **{"histories": (), "model": None} | others)

    return files


@pytest.fixture
def drawn(made, tmp_path):
    """The data of each figure as they are read again, and what figures.json tells."""

    def draw(*tables, protocol="strict", **others):
        out = tmp_path / "out"
        settings = Report(headline=protocol)
        figures.figures(made(*tables, **others), "d", "m/inner", out, settings)
        told = {one["name"]: one for one in json.loads((out / "figures.json").read_text())}
        return {name: pd.read_csv(out / f"{name}.csv") for name in told}, told

    return draw


def test_each_figure_is_told_and_three_files(drawn, tmp_path):
    _, told = drawn(ANNOTATED, SPOTTED)
    assert list(told) == ALWAYS
    for name, one in told.items():
        assert list(one) == ["dataset", "method", "name", "title", "caption", "alt"]
        assert (one["dataset"], one["method"], one["name"]) == ("d", "m/inner", name)
        assert all(one.values())
        assert one["alt"].endswith(".")
    files = {f"{name}.{form}" for name in told for form in ("svg", "png", "csv")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "figures.json"}


def test_f1_of_each_subject_and_of_all(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["f1_per_subject"].set_index(["subject", "type"])
    assert table.index.get_level_values(0).unique().tolist() == ["b", "a", charts.ALL]
    counts = table[["tp", "n", "m"]]
    assert counts.loc[("b", "overall")].tolist() == [2, 3, 2]
    assert counts.loc[("a", "macro")].tolist() == [1, 2, 2]
    assert table["f1"].loc[["b"]].tolist() == pytest.approx([1, 2 / 3, 4 / 5])
    assert table.loc[("a", "micro"), "f1"] == 0
    assert counts.loc[(charts.ALL, "overall")].tolist() == [3, 5, 5]
    assert table.loc[(charts.ALL, "overall"), "f1"] == pytest.approx(3 / 5)
    # Of two subjects, one is drawn twice every other time.
    bounds = table.loc[(charts.ALL, "overall"), ["low", "high"]].tolist()
    assert bounds == pytest.approx([2 * 1 / 5, 2 * 2 / 5])
    assert "overall 0.600 (95 % interval 0.400 to 0.800)" in told["f1_per_subject"]["alt"]
    assert "0.40 to 0.80 overall" in told["f1_per_subject"]["alt"]
    assert "protocol strict" in told["f1_per_subject"]["caption"]


def test_a_subject_with_nothing_of_a_type_has_no_f1_of_it(drawn):
    data, _ = drawn([ANNOTATED[0], ANNOTATED[4]], [SPOTTED[0], SPOTTED[3]])
    f1 = data["f1_per_subject"].set_index(["subject", "type"])["f1"]
    assert np.isnan(f1["a", "micro"])
    assert np.isnan(f1["b", "macro"])
    assert f1["a", "overall"] == 1


def test_the_f1_of_all_and_its_interval_are_those_of_the_summary(made, tmp_path):
    """Of one seed; under the protocol that is asked for."""
    score = tmp_path / "d" / "m" / "score.json"
    run = made(ANNOTATED, SPOTTED)
    scores = score_files(run.annotation, None, [run.intervals], ["strict", "megc2020"])
    score.parent.mkdir(parents=True)
    score.write_text(json.dumps(scores))
    subjects = score.with_name("subjects.csv")
    subjects.write_bytes(run.subjects.read_bytes())
    aggregate([score], tmp_path, [], [], tmp_path / "summary.csv", [subjects])
    summary = pd.read_csv(tmp_path / "summary.csv").set_index("protocol")
    for protocol in ("strict", "megc2020"):
        counts = pd.read_csv(run.subjects)
        with context(charts.STYLE):
            one = figures.f1_per_subject(counts[counts["protocol"] == protocol], protocol)
        table = one.data[one.data["subject"] == charts.ALL].set_index("type")
        for kind in ("macro", "micro", "overall"):
            columns = [f"{kind}_{name}" for name in ("f1", "f1_low", "f1_high")]
            expected = summary.loc[protocol, columns].tolist()
            assert table.loc[kind, ["f1", "low", "high"]].tolist() == pytest.approx(expected)


def test_precision_and_recall_at_each_threshold(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["precision_recall"].set_index("type")
    columns = ["threshold", "tp", "n", "m"]
    assert table.loc["macro", columns].to_numpy().tolist() == [
        [0.9, 1, 1, 3],
        [0.8, 1, 2, 3],
        [0.6, 2, 3, 3],
    ]
    assert table.loc["micro", columns].to_numpy().tolist() == [[0.7, 0, 1, 2], [0.3, 1, 2, 2]]
    assert table["precision"].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 0, 1 / 2])
    assert table["recall"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 0, 1 / 2])
    assert table["f1"].tolist() == pytest.approx([1 / 2, 2 / 5, 2 / 3, 0, 1 / 2])
    assert "macro precision 0.67 at recall 0.67 (F1 0.67)" in told["precision_recall"]["alt"]


def test_intervals_of_one_score_come_together_and_the_last_is_the_score(drawn):
    """A better pair may come later: each threshold is counted by itself."""
    annotated = [("a", "a1", "macro", 0, 5, 9), ("a", "a1", "macro", 10, 15, 19)]
    spotted = [
        ("a", "a1", "macro", 0, 5, 19, 0.9),  # half of each
        ("a", "a1", "macro", 0, 5, 9, 0.5),
        ("a", "a1", "macro", 40, 45, 49, 0.5),
    ]
    data, _ = drawn(annotated, spotted)
    counts = data["precision_recall"][["threshold", "tp", "n", "m"]]
    assert counts.to_numpy().tolist() == [[0.9, 1, 1, 2], [0.5, 2, 3, 2]]


def test_durations_in_seconds_of_each_videos_own_rate(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["durations"].groupby(["type", "of", "outcome"])["duration_s"].agg(list)
    assert table["macro", "annotated", "found"] == pytest.approx([1, 1])
    assert table["macro", "annotated", "missed"] == pytest.approx([20 / 30 + 1 / 3])
    assert table["macro", "spotted", "found"] == pytest.approx([32 / 30, 30 / 25])
    assert table["macro", "spotted", "false"] == pytest.approx([20 / 30])
    assert table["micro", "annotated", "missed"] == pytest.approx([9 / 30])
    assert table["micro", "spotted", "false"] == pytest.approx([10 / 25])
    assert "1 macro false (median 0.67 s)" in told["durations"]["alt"]


def test_the_best_overlap_of_each_expression(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["overlaps"]
    assert table["type"].tolist() == ["macro"] * 3 + ["micro"] * 2
    assert table["iou"].tolist() == pytest.approx([29 / 33, 5 / 45, 25 / 30, 0, 1])
    assert table["outcome"].tolist() == ["found", "missed", "found", "missed", "found"]
    alt = told["overlaps"]["alt"]
    assert "macro, 3 annotated: 2 are overlapped by at least 0.5, 1 by less, 0 by nothing" in alt


def test_errors_in_ms_of_each_videos_own_rate(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["boundary_errors"].set_index(["video", "type", "point"]).sort_index()["error_ms"]
    assert table["a1", "macro"].to_dict() == pytest.approx(
        {"onset": 1000 / 30, "apex": 0, "offset": 100}
    )
    assert table["b1", "macro"].to_dict() == pytest.approx({"onset": -200, "apex": 0, "offset": 0})
    assert table["b1", "micro"].to_dict() == {"onset": 0, "apex": 0, "offset": 0}
    assert len(table) == 9
    assert (
        "2 macro found, median errors onset -83 ms, apex +0 ms, offset +50 ms"
        in (told["boundary_errors"]["alt"])
    )


def test_scores_are_merged_until_there_are_enough():
    scores = pd.Series([0.05] * 4 + [0.15] * 7 + [0.31] * 12 + [0.95] * 3, index=range(5, 31))
    right = pd.Series(False, index=range(40))
    right[:10] = True  # of the first 11, five
    first, last = figures.bins(scores, right)
    assert first[:2] + first[3:6] == (0, 0.2, 11, 5, 5 / 11)
    assert first[2] == pytest.approx((4 * 0.05 + 7 * 0.15) / 11)
    assert last[:2] + last[3:6] == (0.2, 1, 15, 0, 0)
    # Wilson's interval: Brown, Cai and DasGupta 2001, and 0 of 15 by hand.
    z = NormalDist().inv_cdf(0.975)
    assert last[6:] == pytest.approx((0, z**2 / (15 + z**2)), abs=1e-12)
    half = pd.Series([True] * 5 + [False] * 5)
    ((*_, low, high),) = figures.bins(pd.Series([0.5] * 10), half)
    assert (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert [row[:2] + row[3:5] for row in figures.bins(scores[:3], right)] == [(0, 1, 3, 3)]
    assert list(figures.bins(scores[:0], right)) == []


def test_how_often_a_score_is_right(drawn):
    data, told = drawn(ANNOTATED, SPOTTED)
    table = data["reliability"].set_index("type")
    assert table.loc["macro", ["n", "right"]].tolist() == [3, 2]
    assert table.loc["micro", "score"] == pytest.approx(0.5)
    assert "macro: 67% of 3 at a score of 0.77 are right" in told["reliability"]["alt"]


@pytest.mark.parametrize("time", ["epoch", "step"])
def test_losses_of_the_folds(drawn, tmp_path, time):
    histories = []
    for fold, losses in {"a": (4, 2), "b": (6, 1)}.items():
        histories.append(tmp_path / "folds" / fold / "history.csv")
        rows = [{time: 50 * k, "loss": loss, "peaks": 0} for k, loss in enumerate(losses, 1)]
        write_table(rows, rows[0], histories[-1])
    data, told = drawn(ANNOTATED, SPOTTED, histories=histories)
    assert data["training"].to_numpy().tolist() == [["a", 50, 4], ["a", 100, 2], ["b", 50, 6], ["b", 100, 1]]  # fmt: skip
    assert f"2 folds goes from 5 at {time} 50 to 1.5 at {time} 100" in told["training"]["alt"]
    write_table([{"loss": 1}], ["loss"], histories[1])
    with pytest.raises(InputError, match=f"history.csv: no column {time}"):
        drawn(ANNOTATED, SPOTTED, histories=histories)


def test_the_graph_of_a_model(drawn, planted):
    data, told = drawn(ANNOTATED, SPOTTED, model=planted / "model.pt")
    table = data["graph"].pivot(index="region", columns="other", values="weight")
    annotated = pd.read_csv(planted / "annotation.csv")
    aus = annotated["au"][annotated["subject"] != "s0"].astype(str)
    expected = graph.adjacency(aus, graph.AU_ROIS, 12)
    found = table.loc[[*PUBLISHED_REGIONS], [*PUBLISHED_REGIONS]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert "12 regions" in told["graph"]["alt"]


@pytest.mark.parametrize(
    ("kind", "told_by"),
    [("co_occurrence", "annotated together"), ("conditional", "enough of"), ("distance", "near")],
)
def test_the_graph_of_a_multiscale_model(drawn, tmp_path, kind, told_by):
    regions = ("right_brow", "left_brow", "chin")
    linked = np.array([[0.5, 0.5, 0], [0.25, 0.75, 0], [0, 0, 1]])
    facts = {"model": "multiscale", "left_out": [], "regions": regions, "channels": 4}
    facts = multiscale_trained.Facts(**facts, temporal="dilated", graph=kind, aus=False)
    model = multiscale_trained.untrained(facts, linked)
    multiscale_trained.save_model(tmp_path / "model.pt", model)
    data, told = drawn(ANNOTATED, SPOTTED, model=tmp_path / "model.pt")
    assert data["graph"]["weight"].tolist() == linked.ravel().tolist()
    assert "1 links, the strongest between right brow and left brow (0.38)" in told["graph"]["alt"]
    assert told_by in told["graph"]["caption"]
    elsewhere = multiscale_trained.untrained(
        facts.model_copy(update={"regions": ("right_brow", "ear", "chin")}), linked
    )
    multiscale_trained.save_model(tmp_path / "model.pt", elsewhere)
    _, told = drawn(ANNOTATED, SPOTTED, model=tmp_path / "model.pt")
    assert "graph" not in told, "where an ear lies is unknown"


def test_the_same_again_is_the_same_to_the_byte(made, tmp_path, planted):
    """Whatever a machine's own style is."""
    run = made(ANNOTATED, SPOTTED, model=planted / "model.pt")
    figures.figures(run, "d", "m", tmp_path / "one", Report())
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        figures.figures(run, "d", "m", tmp_path / "two", Report())
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 3 * 7 + 1
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def texts(svg) -> list[str]:
    return [text for element in ET.parse(svg).iter() for text in [element.text] if text]


def test_pictures_are_of_a_papers_size_and_text_is_text(drawn, tmp_path):
    _, told = drawn(ANNOTATED, SPOTTED)
    for name, one in told.items():
        picture = Image.open(tmp_path / "out" / f"{name}.png")
        assert picture.width == 3.4 * 300
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        svg = tmp_path / "out" / f"{name}.svg"
        assert ET.parse(svg).getroot().get("width") == f"{72 * 3.4:g}pt"
        assert {one["title"], one["alt"]} <= {*texts(svg)}
        assert "date" not in svg.read_text().lower()
    assert {"a", "b", "macro", "micro"} <= {*texts(tmp_path / "out" / "f1_per_subject.svg")}
    assert "Software" not in picture.info


@pytest.mark.parametrize(
    ("annotated", "spotted"),
    [
        ([], []),
        (ANNOTATED, []),
        ([], SPOTTED),
        (ANNOTATED[:2], SPOTTED[:2]),  # one subject, no micro
        (ANNOTATED[:1], SPOTTED[:1]),
        (ANNOTATED[2:3], SPOTTED[3:]),  # no macro, none found
        # An offset before the onset: of no length.
        ([*ANNOTATED, ("a", "a1", "macro", 500, 500, 490)], SPOTTED),
    ],
)
@pytest.mark.filterwarnings("error")
def test_little_and_nothing_is_drawn_too(drawn, annotated, spotted):
    data, told = drawn(annotated, spotted)
    assert list(told) == ALWAYS
    assert len(data["overlaps"]) == len(annotated)
    assert len(data["durations"]) == len(annotated) + len(spotted)
    assert not re.search("nan|inf", json.dumps(told))


@pytest.mark.filterwarnings("error")
def test_a_thousand_subjects_are_not_named(tmp_path):
    names = [f"subject_{k:04}" for k in range(1000)]
    rows = [
        (name, type_, k % 5, 5, 5) for k, name in enumerate(names) for type_ in ("macro", "micro")
    ]
    counts = pd.DataFrame(rows, columns=["subject", "type", "tp", "n", "m"])
    for number, named in ((60, True), (61, False), (1000, False)):
        some = counts[counts["subject"] < f"subject_{number:04}"]
        with context(charts.STYLE):
            one = figures.f1_per_subject(some, "strict")
            charts.save(one.figure, tmp_path / "many", one.title, one.alt)
        shown = texts(tmp_path / "many.svg")
        assert ("subject_0000" in shown) is named
        assert (f"{number} subjects, by overall F1" in shown) is not named
        assert (tmp_path / "many.svg").stat().st_size < 1e6


def test_what_does_not_fit_together_is_named(made, tmp_path):
    run = made(ANNOTATED, [*SPOTTED, ("z", "z1", "macro", 0, 5, 9, 0.5)])
    with pytest.raises(InputError, match="intervals.csv: video z1 is not in .*features.h5"):
        figures.figures(run, "d", "m", tmp_path / "out", Report())
    assert not (tmp_path / "out").exists()
    (tmp_path / "model.pt").write_text("none")
    with pytest.raises(InputError, match="model.pt: not a model that mespot trained"):
        figures.linked(tmp_path / "model.pt")


def test_the_command(made, tmp_path):
    run, out = made(ANNOTATED, SPOTTED), tmp_path / "new" / "m"
    words = ["figures", "--dataset", "d", "--method", "m", "--out", out]
    for name in ("annotation", "intervals", "subjects", "features"):
        words += [f"--{name}", getattr(run, name)]
    done = mespot(*words, "--settings", '{"headline": "megc2020"}')
    assert done.exit_code == 0, done.output
    told = json.loads((out / "figures.json").read_text())
    assert "protocol megc2020" in told[0]["caption"]
