"""score: hand-made intervals under each protocol; published counts; MEGC2020's official score."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mespot.cli import app
from mespot.datasets.plain_table import PUBLISHED
from mespot.score import PROTOCOLS, Count, by_subject, count, overlaps, pairs, score, score_files

TYPE = {1: "macro", 2: "micro"}


def table(*rows: tuple, video: str = "v", type_: str = "macro") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["onset", "offset"])
    return frame.assign(video=video, type=type_)


@pytest.mark.parametrize(
    ("protocol", "truth", "found", "tp"),
    [
        # Two spotted intervals on one annotated: one true positive, but the published code counts both.
        ("strict", [(10, 29)], [(10, 29), (11, 28)], 1),
        ("megc2020", [(10, 29)], [(10, 29), (11, 28)], 1),
        ("auw_gcn", [(10, 29)], [(10, 29), (11, 28)], 2),
        ("auw_gcn_distinct", [(10, 29)], [(10, 29), (11, 28)], 1),
        # One spotted interval over two annotated: one to one, or both hit.
        ("strict", [(0, 19), (1, 20)], [(0, 20)], 1),
        ("megc2020", [(0, 19), (1, 20)], [(0, 20)], 2),
        ("auw_gcn_distinct", [(0, 19), (1, 20)], [(0, 20)], 1),
        # Exactly half: 10 of 20 frames inclusive; 9 of 19 without the +1.
        ("strict", [(0, 19)], [(0, 9)], 1),
        ("megc2020", [(0, 19)], [(0, 9)], 1),
        ("auw_gcn", [(0, 19)], [(0, 9)], 0),
        # Exactly half without the +1 is not enough for the published code.
        ("auw_gcn", [(0, 20)], [(0, 10)], 0),
        ("auw_gcn", [(0, 20)], [(0, 11)], 1),
        # An offset before its onset never matches.
        ("auw_gcn", [(30, 0)], [(10, 30)], 0),
        # The best matching, not the first: the long interval must give way.
        ("strict", [(0, 99), (0, 55)], [(0, 60), (0, 99)], 2),
    ],
)
def test_protocols(protocol, truth, found, tp):
    counts = score(table(*truth), table(*found), protocol)
    assert counts["macro"] == Count(tp, len(found), len(truth))
    assert counts["micro"] == Count(0, 0, 0)
    assert counts["overall"] == counts["macro"]


def test_types_and_videos_are_kept_apart():
    truth = pd.concat([table((0, 9)), table((0, 9), video="w"), table((0, 9), type_="micro")])
    found = pd.concat([table((0, 9), type_="micro"), table((0, 9), video="x")])
    counts = score(truth, found, "strict")
    assert counts["macro"] == Count(0, 1, 2)
    assert counts["micro"] == Count(1, 1, 1)
    assert counts["overall"].f1 == pytest.approx(2 / 5)


def test_nothing_at_all_is_zero():
    assert score(table(), table(), "strict")["overall"].f1 == 0


intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda x: (x[0], sum(x))), max_size=8
)


@given(truth=intervals, found=intervals)
def test_one_to_one_never_exceeds_the_looser_counts(truth, found):
    strict = score(table(*truth), table(*found), "strict")["overall"]
    assert strict.tp <= min(strict.n, strict.m)
    assert strict.tp <= score(table(*truth), table(*found), "megc2020")["overall"].tp


@given(truth=intervals)
def test_perfect_spotting_scores_one(truth):
    truth = list(dict.fromkeys(truth))
    if truth:
        assert score(table(*truth), table(*truth), "strict")["overall"].f1 == 1


def test_overlap_of_known_intervals():
    assert overlaps(np.array([[0, 9]]), np.array([[5, 14], [20, 30]])) == pytest.approx(
        np.array([[5 / 15, 0]])
    )


@pytest.mark.parametrize("dataset", ["cas_me_sq", "samm_lv"])
def test_megc2020_official_score(shared, dataset):
    folder = shared / "data" / "megc2020"
    expected = json.loads((folder / "expected.json").read_text())[dataset]
    truth, found = (pd.read_csv(folder / name) for name in ("annotation.csv", "predictions.csv"))
    counts = score(truth[truth.dataset == dataset], found[found.dataset == dataset], "megc2020")
    for kind in ("macro", "micro"):
        assert counts[kind]._asdict() == {key: expected[kind][key] for key in ("tp", "n", "m")}
        assert round(counts[kind].f1, 4) == expected[kind]["f1"]
    assert round(counts["overall"].f1, 4) == expected["overall_f1"]


@pytest.mark.parametrize(
    ("dataset", "csv"), [("cas_me_sq", "cas_me_sq_30fps"), ("samm_lv", "samm_lv_25fps")]
)
@pytest.mark.parametrize(
    ("protocol", "key"),
    [
        ("auw_gcn", "any_proposal_as_published_2023"),
        ("auw_gcn_distinct", "distinct_proposals_since_2025"),
    ],
)
def test_published_scorers(reference, shared, dataset, csv, protocol, key):
    expected = json.loads((reference / f"counts_{dataset}.json").read_text())
    found = pd.read_csv(reference / f"nms_{dataset}.csv").rename(columns=PUBLISHED)
    truth = pd.read_csv(shared / "data" / "annotations" / f"{csv}.csv").rename(columns=PUBLISHED)
    truth = truth[truth["video"].isin(expected["videos"])]
    counts = score(
        truth.assign(type=truth["type"].map(TYPE)),
        found.assign(type=found["type"].map(TYPE)),
        protocol,
    )
    for kind in ("macro", "micro"):
        assert counts[kind]._asdict() == expected["counts"][key][kind]


def test_command_takes_any_two_files_and_prints_json(tmp_path):
    table((0, 9)).to_csv(tmp_path / "a.csv", index=False)
    table((0, 9)).to_csv(tmp_path / "b.csv", index=False)
    arguments = ["score", "--annotation", tmp_path / "a.csv", "--intervals", tmp_path / "b.csv"]
    for protocol in PROTOCOLS:
        result = CliRunner().invoke(app, [*map(str, arguments), "--protocol", protocol])
        assert json.loads(result.stdout)["overall"] == {"tp": 1, "n": 1, "m": 1, "f1": 1.0}


def test_the_published_scorers_take_frames_as_given(tmp_path):
    """An offset of 0, repaired for the others, cannot be matched under the published ones."""
    files = {
        "annotation": table((10, 30)),
        "as-given": table((10, 0)),
        "intervals": table((10, 30)),
    }
    arguments = ["score"]
    for flag, content in files.items():
        content.to_csv(tmp_path / f"{flag}.csv", index=False)
        arguments += [f"--{flag}", str(tmp_path / f"{flag}.csv")]
    arguments += [part for protocol in PROTOCOLS for part in ("--protocol", protocol)]
    scores = json.loads(CliRunner().invoke(app, arguments).stdout)
    tp = {protocol: scores[protocol]["macro"]["tp"] for protocol in PROTOCOLS}
    assert tp == {"strict": 1, "megc2020": 1, "auw_gcn": 0, "auw_gcn_distinct": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video,type,onset\nv,macro,1\n", "no column offset"),
        ("video,type,onset,offset\nv,big,1,2\n", "type 'big'"),
        ("video,type,onset,offset\nv,macro,x,2\n", "row 2: onset is x"),
        ("", "cannot be read as CSV"),
    ],
)
def test_wrong_tables_are_named(tmp_path, content, message):
    (tmp_path / "bad.csv").write_text(content)
    table((0, 9)).to_csv(tmp_path / "good.csv", index=False)
    arguments = ["score", "--annotation", str(tmp_path / "good.csv")]
    arguments += ["--intervals", str(tmp_path / "bad.csv"), "--protocol", "strict"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "bad.csv" in result.stderr
    assert message in result.stderr


SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 40)).map(lambda span: (span[0], sum(span))),
    min_size=1,
    max_size=6,
)


@given(truth=SPANS, found=SPANS)
def test_pairs_are_as_many_as_strict_counts(truth, found):
    truth, found = np.array(truth, float), np.array(found, float)
    paired = pairs(truth, found)
    assert len(paired) == count(truth, found, "strict").tp
    for side in zip(*paired, strict=True):
        assert len(set(side)) == len(paired)
    assert all(overlaps(truth, found)[i, j] >= 0.5 for i, j in paired)


def test_of_two_that_hit_the_nearer_is_the_pair():
    assert pairs(np.array([[10, 29]]), np.array([[8, 33], [10, 28]])) == [(0, 1)]


def test_each_subjects_counts_add_up(tmp_path):
    truth = pd.concat(
        [table((0, 9), (40, 49)).assign(subject="a"), table((0, 9), video="w").assign(subject="b")]
    )
    found = pd.concat(
        [table((0, 9)).assign(subject="a"), table((0, 9), video="x").assign(subject="c")]
    )
    apart = by_subject(truth, found, "strict").set_index(["subject", "type"])
    assert tuple(apart.loc["a", "macro"]) == (1, 1, 2)
    assert tuple(apart.loc["b", "macro"]) == (0, 0, 1)
    assert tuple(apart.loc["c", "macro"]) == (0, 1, 0)
    assert tuple(apart.sum()) == tuple(score(truth, found, "strict")["overall"])
    for name, rows in {"truth": truth, "found": found}.items():
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    files = ["--annotation", tmp_path / "truth.csv", "--intervals", tmp_path / "found.csv"]
    names = ["--protocol", "strict", "--subjects", tmp_path / "subjects.csv"]
    done = CliRunner().invoke(app, ["score", *map(str, files + names)])
    assert json.loads(done.output)["overall"]["tp"] == 1
    written = pd.read_csv(tmp_path / "subjects.csv").set_index(["subject", "type"])
    assert written.loc["a", "macro"][["tp", "n", "m"]].tolist() == [1, 1, 2]


def test_a_protocol_named_twice_counts_once(tmp_path):
    """Or each subject would count twice in the intervals of confidence."""
    table = tmp_path / "a.csv"
    table.write_text("subject,video,type,onset,offset\ns,v,macro,1,30\n")
    told = []
    for protocols in (["strict"], ["strict", "strict"]):
        score_files(table, None, [table], protocols, subjects=tmp_path / "s.csv")
        told.append((tmp_path / "s.csv").read_text())
    assert told[0] == told[1]
    assert "strict" in told[0]
