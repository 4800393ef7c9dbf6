"""plan: which videos, folds, runs and files a configuration asks for, and what is wrong with it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from mespot.config import load
from mespot.datasets.layouts import Video
from mespot.errors import InputError
from mespot.experiments import spotted_in
from mespot.plan import Plan, method_of

PEOPLE = ("anna", "ben", "cleo")


@pytest.fixture
def ask(tmp_path, default_config):
    """The plan of a dataset of three people and a demo, with other values by their keys."""
    for person in PEOPLE:
        folder = tmp_path / "mine" / person
        folder.mkdir(parents=True)
        for name in ("one", "two"):
            (folder / f"{person}_{name}.mp4").write_bytes(b"x")
    rows = "".join(f"{person}_one,macro,10,30\n" for person in PEOPLE)
    (tmp_path / "mine" / "a.csv").write_text("video,type,onset,offset\n" + rows)
    mine = {"layout": "videos", "root": str(tmp_path / "mine"), "annotation": "a.csv"}
    demo = {"layout": "cas_me_sq", "demo": True}

    def plan(change: dict[str, Any] | None = None, **datasets: dict[str, Any]) -> Plan:
        config = deepcopy(default_config) | {"results": str(tmp_path / "r")}
        config["demo"]["subjects"] = 3
        config["datasets"] = datasets or {"mine": mine, "toy": demo}
        for key, value in (change or {}).items():
            *sections, name = key.split(".")
            place = config
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = value
        return Plan(load(config))

    plan.mine, plan.demo = mine, demo
    return plan


@pytest.fixture
def published(tmp_path) -> dict[str, str]:
    """A dataset of published features of one person."""
    folder = tmp_path / "f" / "samm_006"
    folder.mkdir(parents=True)
    (folder / "samm_006_1_0000.npz").write_bytes(b"")
    (tmp_path / "f" / "a.csv").write_text("video,type,onset,offset\nsamm_006_1,macro,1,30\n")
    return {"layout": "features", "root": str(tmp_path / "f"), "annotation": "a.csv"}


def below(plan: Plan, files: list[str]) -> list[str]:
    return [str(Path(file).relative_to(plan.results)) for file in files]


def test_videos_are_found_by_name(ask, tmp_path):
    plan = ask()
    assert plan.subjects("mine") == PEOPLE
    path = str(tmp_path / "mine" / "ben" / "ben_two.mp4")
    assert plan.video("mine", "ben_two") == Video("ben", "ben_two", path)
    assert plan.people("mine")["cleo_one"] == "cleo"
    assert plan.subjects("toy") == ("casme_015", "casme_016", "casme_017")
    with pytest.raises(InputError, match="mine has no video nobody"):
        plan.video("mine", "nobody")
    files = below(plan, plan.of_videos("mine", "flow"))
    assert files[:2] == ["mine/flow/anna_one.h5", "mine/flow/anna_two.h5"]


def test_a_dataset_is_listed_once_however_often_it_is_asked(ask, monkeypatch):
    from mespot.datasets import layouts

    listed = []
    find = layouts.find
    monkeypatch.setattr(layouts, "find", lambda *given: listed.append(given) or find(*given))
    plan = ask()
    for video in ("anna_one", "ben_two", "cleo_one"):
        plan.video("mine", video)
        plan.stage("decode", dataset="mine", video=video)
        plan.subjects("mine")
    assert len(listed) == 1


def test_kinds_of_datasets(ask, tmp_path):
    both = {"layout": "joined", "of": ["mine", "toy"]}
    plan = ask(None, mine=ask.mine, toy=ask.demo, both=both)
    assert (plan.filmed, plan.joined, plan.published) == (["mine", "toy"], ["both"], [])
    assert (plan.demos, plan.labelled) == (["toy"], ["mine", "toy", "both"])
    assert plan.checked == ["mine"]
    assert plan.subjects("both") == tuple(sorted((*PEOPLE, *plan.subjects("toy"))))
    assert plan.n_videos == 9, "those of a joined dataset are its parts'"
    assert plan.given_files("toy") == plan.given_files("both") == []
    assert len(plan.given_files("mine")) == 7
    assert plan.annotation_file("toy") == f"{plan.results}/demo/toy/annotation.xlsx"
    assert plan.annotation_file("mine") == str(tmp_path / "mine" / "a.csv")
    assert plan.compared_file("mine") == []


def test_an_annotation_may_be_a_folder_of_which_each_file_counts(ask, tmp_path):
    folder = tmp_path / "mine" / "coded"
    folder.mkdir()
    (folder / "anna_one.eaf").write_text("a")
    (folder / "ben_one_events.tsv").write_text("b")
    plan = ask(None, mine=ask.mine | {"compare": "coded"})
    assert plan.compared_file("mine") == [str(folder)]
    assert str(folder) in plan.given_files("mine")
    table, coded = plan.annotation_source("mine")
    (folder / "notes.txt").write_text("no annotation")
    assert plan.annotation_source("mine") == [table, coded]
    (folder / "anna_one.eaf").write_text("another")
    assert plan.annotation_source("mine")[0] == table
    assert plan.annotation_source("mine")[1] != coded
    absolute = ask(None, mine=ask.mine | {"annotation": str(folder)})
    assert absolute.annotation_file("mine") == str(folder)


def test_people_who_are_in_two_datasets_are_not_added_up_or_tested_on_each_other(ask):
    plan = ask()
    assert plan.apart("mine", "toy")
    assert plan.pool == ["mine", "toy"]
    assert set(plan.crossed("mespot")) == {("mine", "toy"), ("toy", "mine")}
    assert plan.crossed("displacement") == []
    again = ask(None, mine=ask.mine, again=ask.mine)
    assert (again.apart("mine", "again"), again.pool, again.crossed("mespot")) == (False, [], [])


def test_runs_and_ways_of_choosing(ask):
    plan = ask({"methods.mespot.seeds": 3, "select.policies": ["inner", "last", "oracle"]})
    assert plan.runs("mespot") == ["mespot", "mespot/seed_2", "mespot/seed_3"]
    assert plan.runs("displacement") == ["displacement"]
    assert plan.ways("mine", "mespot") == ["/inner", "", "/oracle"]
    assert plan.ways("mine", "mespot", without=("oracle",)) == ["/inner", ""]
    assert plan.ways("mine", "displacement") == [""]
    assert method_of("mespot/seed_2") == "mespot"


def test_whom_a_fold_leaves_out(ask):
    plan = ask({"select.groups": 3, "select.policies": ["inner"]})
    assert plan.left_out("mine", "mespot", "ben") == ["ben"]
    assert plan.left_out("mine", "mespot", "all") == []
    assert plan.groups("mine", "mespot") == {1: ("anna",), 2: ("ben",), 3: ("cleo",)}
    assert plan.left_out("mine", "mespot", "inner_1_3") == ["anna", "cleo"]
    inner = below(plan, plan.trainings_to_choose_by("mine", "mespot", "inner"))
    assert inner == [f"mine/mespot/folds/inner_{pair}/epochs.pt" for pair in ("1_2", "1_3", "2_3")]
    oracle = below(plan, plan.trainings_to_choose_by("mine", "mespot", "oracle"))
    assert oracle == [f"mine/mespot/folds/{person}/epochs.pt" for person in PEOPLE]


def test_more_groups_than_subjects_are_one_each(ask):
    plan = ask({"select.groups": 9})
    assert len(plan.groups("mine", "mespot")) == 3


def test_what_spotting_reads(ask):
    plan = ask()
    folds = [f"mine/mespot/folds/{person}/model.pt" for person in PEOPLE]
    assert below(plan, plan.models_of_folds("mine", "mespot", "")) == folds
    across = plan.models_of_folds("mine", "mespot", "/inner", source="toy")
    assert below(plan, across) == ["toy/mespot/folds/all/epochs.pt"]
    assert plan.models_of_folds("mine", "displacement", "") == []
    assert plan.selection("mine", "mespot", "") == []
    chosen = plan.selection("mine", "mespot", "/inner", source="toy")
    assert below(plan, chosen) == ["toy/mespot/inner/selection.csv"]


def test_what_training_reads(ask):
    plan = ask({"methods.mespot.datasets": {"mine": {"train": {"start": "toy/plain"}}},
                "methods.plain": {"datasets": {"toy": {}, "mine": {}}}})  # fmt: skip
    on = below(plan, [plan.annotation_to_train_on("mine", "mespot", "anna")])
    assert on == ["mine/annotation.csv"]
    start = below(plan, plan.model_to_start_from("mine", "mespot"))
    assert start == ["toy/plain/folds/all/model.pt"]
    assert plan.model_to_start_from("mine", "plain") == []
    published = ask({"methods.published.datasets": {"mine": {}}})
    on = below(published, [published.annotation_to_train_on("mine", "published", "anna")])
    assert on == ["mine/annotation_as_given.csv"]


def test_a_mean_of_seeds_spots_by_all_their_networks_and_trains_none(ask):
    plan = ask({"methods.one_seed.datasets": {"mine": {}}, "methods.one_seed.seeds": 2})
    assert plan.two_stage == ["one_seed", "two_stage"]
    assert plan.runs("one_seed") == ["one_seed", "one_seed/seed_2"]
    assert plan.runs("two_stage") == ["two_stage"]
    assert ("mine", "two_stage") not in plan.config.trained()
    models = below(plan, plan.models_of_folds("mine", "two_stage", ""))
    assert models[:2] == [
        "mine/one_seed/folds/anna/model.pt",
        "mine/one_seed/seed_2/folds/anna/model.pt",
    ]
    assert below(plan, plan.models_of_folds("mine", "one_seed/seed_2", "")) == [
        f"mine/one_seed/seed_2/folds/{person}/model.pt" for person in PEOPLE
    ]
    assert below(plan, plan.evaluation("mine", "two_stage", "")) == ["mine/two_stage/evaluation.h5"]
    assert plan.evaluation("mine", "mespot", "") == []
    learnt = below(plan, plan.models_to_learn_from("mine", "two_stage"))
    assert len(learnt) == 3 * 2, "three pairs of one each, two seeds"
    assert learnt[0] == "mine/one_seed/folds/inner_1_2/model.pt"
    assert plan.left_out("mine", "one_seed", "inner_1_3") == ["anna", "cleo"]
    # On a dataset that is its own, the seeds are trained for it.
    alone = ask({"methods.two_stage": {"mean_of": "one_seed", "datasets": {"mine": {}}}})
    assert ("mine", "one_seed") in alone.config.trained()
    assert plan.ways("mine", "two_stage") == [""]
    first, second = (
        json.loads(plan.stage("train", dataset="mine", run=run, fold="anna")["config"])["seed"]
        for run in ("one_seed", "one_seed/seed_2")
    )
    assert second == first + 1


def test_two_stages_need_three_people_and_go_from_published_features_to_film(ask, published):
    plan = ask({"demo.subjects": 2, "methods.one_seed.datasets": {"toy": {}}})
    with pytest.raises(InputError, match="toy: two stages need at least 3 subjects"):
        plan.check()
    plan = ask(mine=ask.mine, theirs=published)
    assert plan.crossed("mespot") == []
    plan = ask(
        {"methods.one_seed.datasets": {"mine": {}, "theirs": {}}}, mine=ask.mine, theirs=published
    )
    assert set(plan.crossed("two_stage")) == {("mine", "theirs"), ("theirs", "mine")}
    own = ask.mine | {"settings": {"roi": {"set": "boxes"}}}
    plan = ask(
        {"methods.one_seed.datasets": {"mine": {}, "theirs": {}}}, mine=own, theirs=published
    )
    assert plan.crossed("two_stage") == [], "of other regions"


def test_parts_that_do_not_go_together_are_refused(ask, published):
    both = {"layout": "joined", "of": ["mine", "toy"]}
    boxes = ask.demo | {"settings": {"roi": {"set": "boxes"}}}
    plan = ask(mine=ask.mine, toy=boxes, both=both)
    with pytest.raises(InputError, match="datasets.both: mine, toy have other regions"):
        plan.check()
    on_both = {"methods.mespot.datasets": {"both": {}}, "methods.one_seed.datasets": {"both": {}}}
    with pytest.raises(InputError, match="published features tell no face size.*leave mespot out"):
        ask(on_both, mine=ask.mine, toy=published, both=both).check()
    ask(on_both | {"methods.mespot.datasets": {}}, mine=ask.mine, toy=published, both=both).check()


def test_a_class_of_ones_own_is_looked_for_before_anything_runs(ask, tmp_path):
    (tmp_path / "net.py").write_text("class Net: pass\nOther = Net\n1 / 0\n")
    (tmp_path / "net.txt").write_text("class Net: pass\n")
    (tmp_path / "odd.py").write_text("class Net\n")
    for name, known in (
        ("net.py:Net", True),
        ("net.py:Other", True),
        ("net.py:Nothing", False),
        ("net.py:", False),
        ("net.txt:Net", False),
        ("odd.py:Net", False),
    ):
        plan = ask({"methods.own": {"model": f"{tmp_path}/{name}", "datasets": {"mine": {}}}})
        if known:
            plan.check()
        else:
            with pytest.raises(InputError, match="no class of that name is in this Python file"):
                plan.check()


def test_where_a_part_was_spotted_in_whatever_the_method_is_called():
    for folder, expected in (
        ("both/part/part/one", "both/part"),
        ("both/part/seed_2/part/one/inner", "both/part/seed_2/inner"),
        ("both/mespot/part/one", "both/mespot"),
        ("both/part", "both/part"),
    ):
        assert spotted_in(folder) == expected


def test_what_is_asked_for(ask):
    plan = ask({"methods.mespot.datasets": {"mine": {}}, "methods.mespot.seeds": 2})
    runs = ["mine/mespot", "mine/mespot/seed_2", "mine/displacement", "toy/displacement"]
    scores = [f"{run}/score.json" for run in runs]
    assert below(plan, plan.scores()) == scores
    assert below(plan, plan.asked()) == [
        *("mine/check.csv", "summary.csv", "report/index.html", "report/figures/table1.tex"),
        *(f"report/figures/{run}" for run in (runs[0], *runs[2:])),
        *("mine/mespot/folds/all/model.pt", *scores, *(f"{run}/intervals.csv" for run in runs)),
    ]
    assert plan.shown() == ["mine/mespot", "mine/displacement", "toy/displacement"]
    only = ask({"report.methods": ["displacement"]})
    assert only.shown() == only.drawn() == ["mine/displacement", "toy/displacement"]


def test_what_figures_are_drawn_of(ask):
    """The first policy; joined datasets too, whose videos are shown with their own."""
    both = {"layout": "joined", "of": ["mine", "toy"]}
    change = {"methods.mespot.select": {"policies": ["inner", "last"]}, "methods.mespot.seeds": 2}
    change |= {"methods.one_seed.datasets": {"both": {}}}
    plan = ask(change, mine=ask.mine, toy=ask.demo, both=both)
    of_both = ["both/mespot/inner", "both/displacement", "both/one_seed", "both/two_stage"]
    assert set(plan.drawn()) - set(plan.shown()) == {*of_both}
    assert "both/mespot/part/toy/inner" in plan.shown()
    figures = {"report/figures/both/two_stage", "report/figures/mine/mespot/inner"}
    assert figures <= {*below(plan, plan.asked())}
    folds = [f"mine/mespot/folds/{person}/history.csv" for person in PEOPLE]
    assert below(plan, plan.histories("mine", "mespot", "/inner")) == folds
    graph = below(plan, plan.model_with_graph("mine", "mespot", "/inner"))
    assert graph == ["mine/mespot/folds/all/model.pt"]
    for method in ("displacement", "two_stage"):
        assert plan.histories("both", method, "") == []
        assert plan.model_with_graph("both", method, "") == []
    assert len(plan.histories("both", "one_seed", "")) == 6
    assert plan.model_with_graph("both", "one_seed", "") == []
    fixed = ask(change | {"multiscale.graph": "distance"}, mine=ask.mine, toy=ask.demo, both=both)
    assert len(fixed.model_with_graph("both", "one_seed", "")) == 1
    assert fixed.model_with_graph("both", "two_stage", "") == []


def test_videos_of_ones_own(ask, tmp_path):
    plan = ask({"video": str(tmp_path / "mine" / "anna")})
    assert plan.is_own("anna")
    assert below(plan, plan.asked()) == [
        "anna/displacement/intervals.csv",
        "anna/report/index.html",
    ]
    assert list(plan.left_aside()) == []
    trained = ask({"video": str(tmp_path / "mine" / "anna" / "anna_one.mp4"),
                   "own.method": "mespot", "own.dataset": "toy",
                   "select.policies": ["oracle", "inner"]})  # fmt: skip
    assert trained.own_run() == "mespot/cross/toy/inner"
    watched = ask({"video": str(tmp_path / "mine" / "anna"), "own.overlay": True})
    assert below(watched, watched.asked())[2:] == [
        f"anna/displacement/overlay/anna_{name}.mp4" for name in ("one", "two")
    ]
    assert ask().own_run() == "none"


def test_what_a_video_to_watch_is_drawn_from(ask, tmp_path):
    """Of a joined dataset the files and settings of the part that the video was prepared in."""
    both = {"layout": "joined", "of": ["mine", "toy"]}
    mine = ask.mine | {"fps": 25, "settings": {"decode": {"damaged": "leave_out"}}}
    plan = ask(None, mine=mine, toy=ask.demo, both=both)
    assert plan.prepared("flow", "both", "anna_one") == f"{plan.results}/mine/flow/anna_one.h5"
    reading = json.loads(plan.preparing("decode", "both", "anna_one"))
    assert (reading["fps"], reading["damaged"], "align" in reading) == (25, "leave_out", False)
    toy = min(plan.videos("toy"))
    assert plan.part("both", toy) == "toy"
    assert json.loads(plan.preparing("decode", "both", toy))["damaged"] == "error"
    with pytest.raises(InputError, match="both has no video nobody"):
        plan.prepared("flow", "both", "nobody")
    (tmp_path / "f" / "samm_006").mkdir(parents=True)
    (tmp_path / "f" / "samm_006" / "samm_006_1_0000.npz").write_bytes(b"")
    features = {"layout": "features", "root": str(tmp_path / "f")}
    plan = ask(None, mine=ask.mine, theirs=features)
    with pytest.raises(InputError, match="theirs: published features; there are no pictures"):
        plan.part("theirs", "samm_006_1")


def test_what_a_job_is_given_changes_with_what_it_goes_by_alone(ask):
    plan = ask({"methods.mespot.seeds": 2})
    flow = plan.stage("flow", dataset="mine", video="anna_one")
    assert flow == plan.stage("flow", dataset="mine", video="ben_two")
    settings = json.loads(flow["config"])
    assert list(settings["sets"]) == [settings["set"]] == ["published"]
    other = ask({"flow.sets.micro.tau": 0.2}).stage("flow", dataset="mine")
    assert other == flow, "a set that is not used"
    first, second = (
        json.loads(plan.stage("train", dataset="mine", run=run, fold="anna")["config"])
        for run in ("mespot", "mespot/seed_2")
    )
    assert second == first | {"seed": first["seed"] + 1}
    whole = json.loads(plan.stage("check", of="decode", dataset="mine")["config"])
    less = json.loads(plan.stage("check", ("align",), "decode", dataset="mine")["config"])
    assert set(whole) - set(less) == {"align"}
    codes = {plan.stage("spot", dataset="mine", run=run)["code"] for run in plan.config.methods}
    assert len(codes) == 3, "spotting by a network, in two stages, and by displacement"
    assert plan.gpu("align", "mine") == 0


def test_a_file_of_ones_own_network_counts_by_its_code(ask, tmp_path):
    net = tmp_path / "net.py"
    net.write_text("class Net:\n    x = 1\n")
    first = ask({"methods.mespot.model": f"{net}:Net"}).network("mespot/seed_2")
    assert first["name"] == f"{net}:Net"
    net.write_text("class Net:\n    '''Said.'''\n\n    x = 1  # why\n")
    assert ask({"methods.mespot.model": f"{net}:Net"}).network("mespot") == first
    net.write_text("class Net:\n    x = 2\n")
    assert ask({"methods.mespot.model": f"{net}:Net"}).network("mespot") != first


def test_demo_folders_are_numbered_by_subject_and_video(ask):
    plan = ask({"demo.videos": 2})
    assert [plan.demo_indices("toy", folder) for folder in plan.demo_folders("toy")] == [
        *((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1))
    ]
    assert (plan.first_frame("toy"), plan.first_frame("mine")) == ([1], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods.mespot.model": "none.py:Net"}, "methods.mespot.model: 'none.py:Net'"),
        ({"demo.subjects": 2, "select.policies": ["inner"]}, "toy: policy inner needs at least 3"),
        (
            {
                "datasets.again": {"layout": "cas_me_sq", "demo": True},
                "methods.mespot.datasets": {"toy": {"train": {"start": "again/plain"}}},
                "methods.plain": {"datasets": {"again": {}}},
            },
            "methods.mespot.train.start: again/plain has seen subjects that are left out of toy",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(ask, change, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        ask(change).check()


def test_one_subject_is_not_scored_and_said(ask, tmp_path):
    (tmp_path / "solo").mkdir()
    (tmp_path / "mine" / "anna").rename(tmp_path / "solo" / "anna")
    annotation = str(tmp_path / "mine" / "a.csv")
    plan = ask(None, one=ask.mine | {"root": str(tmp_path / "solo"), "annotation": annotation})
    assert plan.subjects("one") == ("anna",)
    said = list(plan.left_aside())
    assert len(said) == 1
    assert said[0].startswith("datasets.one: one subject, and to leave one out takes two: mespot")
    with pytest.raises(InputError, match="one subject"):
        plan.annotation_to_train_on("one", "mespot", "anna")
    assert plan.annotation_to_train_on("one", "mespot", "all").endswith("one/annotation.csv")
    assert plan.left_one_out("mespot") == []
    assert plan.left_one_out("displacement") == ["one"]


def test_a_dataset_without_annotation_is_left_aside(ask):
    bare = {key: value for key, value in ask.mine.items() if key != "annotation"}
    plan = ask(None, bare=bare, toy=ask.demo)
    assert [line.split(":")[0] for line in plan.left_aside()] == ["datasets.bare"]
    with pytest.raises(InputError, match="no dataset has an annotation"):
        ask(None, bare=bare).asked()
