"""config: every key documented, every fault named, methods and datasets laid over the defaults."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mespot import config, settings
from mespot.errors import InputError
from mespot.settings import Dataset

ROOT = Path(__file__).parents[1]


def test_schema_in_the_repository_is_the_models(tmp_path):
    kept = (ROOT / "workflow" / "schemas" / "config.schema.json").read_text()
    assert kept == config.schema(), "run `make schema`"


def test_every_key_is_in_config_yaml_with_its_default(default_config):
    for stage, model in settings.STAGES.items():
        if stage == "decode":  # its settings are the dataset's fps and frames_fps
            continue
        assert set(default_config[stage]) == set(model.model_fields), stage
        for key, field in model.model_fields.items():
            if not field.is_required() and key != "nose":
                plain = config.load(default_config).stage(stage).plain()[key]
                assert plain == model.model_construct().plain()[key], f"{stage}.{key}"
    for key in config.Config.model_fields:
        assert key in default_config
    entries = [default_config["datasets"]["demo_color"], default_config["methods"]["mespot"]]
    for entry, model in zip(entries, (settings.Dataset, settings.Method), strict=True):
        assert set(entry) == set(model.model_fields)
    fields = settings.Own.model_fields.items()
    assert set(default_config["own"]) == {field.alias or name for name, field in fields}
    assert config.load(default_config).own == settings.Own()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("flow", "lambada"), 0.1, "flow.lambada: unknown key"),
        (("flow", "set"), "none", "flow: .*set 'none' is none of .*'micro', 'published'"),
        (("flow", "sets"), {"published": {"tau": "quick"}}, "published.tau: .*number.*'quick'"),
        (("align", "mode"), "3d", "align.mode: .*'box' or 'similarity'"),
        (("datasets", "demo_color", "settings"), {"flow": {"tu": 1}}, "tu: unknown key"),
        (("datasets", "demo_color", "settings"), {"flaw": {}}, "flaw: no stage of a dataset's own"),
        (("datasets", "demo_color", "root"), "x", "root: .*demo or a joined dataset has none"),
        (("datasets", "a b"), {"layout": "videos", "root": "x"}, "datasets.a b: a name has"),
        (("methods", "mine"), {"base": "none"}, "methods.mine.base 'none'"),
        (("methods", "mespot", "train"), {"epoch": 1}, "epoch: unknown key"),
        (
            ("methods", "mespot", "datasets"),
            {"typo": {}},
            "methods.mespot.datasets: 'typo' is none",
        ),
        (
            ("methods", "mespot", "datasets"),
            {"demo_color": {"flow": {}}},
            "only train, select, spot",
        ),
        (
            ("methods", "mespot", "select"),
            {"policies": ["inner"], "first_epoch": 101},
            "methods.mespot on demo_color: .*first_epoch",
        ),
        (("methods", "mespot", "train"), {"start": "nowhere/mespot"}, "DATASET/METHOD expected"),
        (("methods", "x"), {"train": {"start": "demo_grey/published"}}, "is not run on demo_grey"),
        (("datasets", "both"), {"layout": "joined", "of": ["demo_grey", "none"]}, "'none' is no"),
        (("datasets", "both"), {"layout": "joined"}, "of: the datasets that"),
        (
            ("datasets", "a"),
            {"layout": "videos", "root": "x", "compare": "b.csv"},
            "compare: it is compared with `annotation`",
        ),
        (("datasets", "a"), {"layout": "videos"}, "datasets.a: .*root: the folder of the videos"),
        (("datasets", "pooled"), {"layout": "videos", "root": "x"}, "datasets.pooled: the name of"),
        *(
            (
                ("datasets", name),
                {"layout": "videos", "root": "x"},
                "begins with none of the last two",
            )
            for name in ("..", "-x", "a\n")
        ),
        (
            ("datasets", "a"),
            {"layout": "videos", "root": r"C:\data"},
            "root: a path of Windows.*/mnt/c",
        ),
        (("datasets", "a"), {"layout": "videos", "root": "C:\new"}, "root: a line break or tab"),
        (("methods", "published", "train"), {"epoch": 1}, "epoch: unknown key"),
        (
            ("datasets", "a"),
            {"layout": "videos", "root": "x", "settings": {"train": {"epoch": 1}}},
            "ep",
        ),
        (("flow",), None, "flow: keys of its own were expected below it"),
        (("spot", "macro_reach"), [2, 0.1], "macro_reach: 2.0 is more than 0.1"),
        (("report", "methods"), ["none"], "report.methods: 'none'"),
        (("roi", "set"), "other", "roi: .*set 'other'"),
        (("report", "headline"), "loose", "report.headline 'loose'"),
    ],
)
def test_faults_are_named(default_config, path, value, message):
    values = deepcopy(default_config)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=message):
        config.load(values)


def test_methods_are_what_differs_from_their_base(default_config):
    values = deepcopy(default_config)
    values["methods"]["longer"] = {"base": "mespot", "train": {"epochs": 7}}
    values["methods"]["mine"] = {"base": "longer", "model": "x.py:Net", "spot": {"apex": 0.4}}
    loaded = config.load(values)
    assert loaded.stage("train", None, "mine").epochs == 7
    assert loaded.stage("train", "demo_grey", "mine").macro_weight == 0.7
    assert loaded.stage("spot", None, "mine").apex == 0.4
    assert loaded.stage("spot", None, "longer").apex == 0.5
    assert (loaded.model("mine"), loaded.model("longer")) == ("x.py:Net", "auw_gcn")
    values["methods"]["longer"]["base"] = "mine"
    with pytest.raises(InputError, match="goes round in a circle"):
        config.load(values)


def test_a_methods_word_for_a_dataset_comes_before_the_datasets_own(default_config):
    values = deepcopy(default_config)
    values["methods"]["a"] = {
        "base": "mespot",
        "seeds": 3,
        "datasets": {"demo_grey": {"train": {"macro_weight": 0.9}}},
    }
    values["methods"]["b"] = {"base": "a", "train": {"macro_weight": 0.1, "batch": 9}}
    loaded = config.load(values)
    # Common 0.5; the dataset says 0.7; a, for that dataset, 0.9.
    assert loaded.stage("train", "demo_grey", "mespot").macro_weight == 0.7
    assert loaded.stage("train", "demo_grey", "b").macro_weight == 0.9
    assert loaded.stage("train", "demo_color", "b").macro_weight == 0.1
    assert loaded.stage("train", "demo_grey", "b").batch == 4
    assert loaded.run_on("b") == ["demo_grey"]
    assert (loaded.seeds("b"), loaded.seeds("mespot")) == (3, 1)
    assert loaded.run_on("published") == []
    assert loaded.run_on("mespot") == ["demo_color", "demo_grey"]


def test_a_method_is_checked_where_it_is_run(default_config):
    """`published`, run on nothing, chooses from epoch 15 on; a dataset of few epochs is no fault."""
    values = deepcopy(default_config)
    values["datasets"]["mine"] = {"layout": "videos", "root": "x", "annotation": "a.csv"}
    values["datasets"]["mine"]["settings"] = {"train": {"epochs": 2}}
    assert config.load(values).stage("train", "mine", "mespot").epochs == 2
    values["methods"]["published"]["datasets"] = {"mine": {}}
    with pytest.raises(InputError, match="methods.published on mine: .*train.epochs \\(2\\)"):
        config.load(values)


@pytest.mark.parametrize("name", [2024, "我的数据", "données_1.2", "a-b"])
def test_names_may_be_numbers_and_of_any_script(default_config, name):
    values = deepcopy(default_config)
    values["datasets"][name] = {"layout": "videos", "root": 2024, "annotation": "a.csv"}
    values["datasets"]["both"] = {"layout": "joined", "of": [name, "demo_grey"]}
    loaded = config.load(values)
    assert loaded.datasets[str(name)].root == "2024"
    assert loaded.run_on("mespot")[-2:] == [str(name), "both"]


def test_the_published_method_depends_on_no_common_setting(default_config):
    values = deepcopy(default_config)
    values["train"] |= {"epochs": 3, "batch": 7, "decay": 0.5, "apex_weight": 9.0}
    values["spot"] |= {"apex": 0.1, "overlap": 0.9}
    changed, plain = config.load(values), config.load(default_config)
    for stage in ("train", "spot"):
        assert changed.stage(stage, None, "published") == plain.stage(stage, None, "published")


def test_every_roi_set_has_regions_for_every_action_unit_of_the_graph(default_config):
    loaded = config.load(default_config)
    for name, regions in loaded.roi.sets.items():
        for unit, rois in loaded.train.graph_rois.items():
            assert set(rois) & set(regions), f"AU {unit} moves no region of {name}"
    paper = [
        list(loaded.roi.sets["auw_gcn"]).index(name) for name in loaded.train.graph_rois[1][:4]
    ]
    assert paper == [0, 1, 4, 5]


def test_the_benchmarks_entries_lack_only_their_path(default_config, tmp_path):
    assert list(config.load(default_config).datasets) == ["demo_color", "demo_grey"]
    values = deepcopy(default_config)
    for name in ("cas_me_sq", "samm_lv"):
        values["datasets"][name]["root"] = str(tmp_path)
    loaded = config.load(config.without_demos(values))
    assert list(loaded.datasets) == ["cas_me_sq", "samm_lv"], (
        "real faces, and the demo's beside them"
    )
    assert loaded.labelled("cas_me_sq")
    assert loaded.stage("decode", "samm_lv").frames_per_row == 8
    # A model of the demo's may spot in one's own video all the same.
    named = {"video": "/x/a.mp4", "own": {"method": "mespot", "dataset": "demo_color"}}
    assert list(config.load(config.without_demos(values | named)).datasets) == ["demo_color", "a"]
    # And one that something else names stays.
    values["datasets"]["both"] = {"layout": "joined", "of": ["cas_me_sq", "demo_grey"]}
    kept = config.load(config.without_demos(values))
    assert list(kept.datasets) == ["demo_grey", "cas_me_sq", "samm_lv", "both"]
    assert config.without_demos(default_config) == default_config
    # What is wrong is for `load` to say.
    for wrong in ({"datasets": []}, {"datasets": {"mine": "x"}}, {"methods": {"mespot": 3}}):
        broken = values | wrong
        with pytest.raises(InputError):
            config.load(config.without_demos(broken))


@pytest.mark.parametrize(
    "release", ["CAS(ME)^2code_final.xlsx", "CAS(ME)^2code_final(Updated).xlsx"]
)
def test_an_annotation_lies_in_the_root_or_beside_it(tmp_path, release):
    name = "CAS(ME)^2code_final*.xlsx"
    root = tmp_path / "rawpic"
    root.mkdir()
    entry = Dataset(layout="cas_me_sq", root=str(root / "none"), annotation=name)
    with pytest.raises(InputError, match="none: no such file or folder; set the dataset's root"):
        entry.file(name)
    entry = Dataset(layout="cas_me_sq", root=str(root), annotation=name)
    with pytest.raises(InputError, match="rawpic: no annotation .* there are no tables"):
        entry.file(name)
    (tmp_path / "codes.xls").touch()
    (tmp_path / f"~${release}").touch()
    with pytest.raises(InputError, match=r"there are .*/codes\.xls: name one"):
        entry.file(name)
    (tmp_path / release).touch()
    assert entry.file(name) == str(tmp_path / release)
    assert entry.file("codes.xls") == str(tmp_path / "codes.xls")
    assert entry.file(str(tmp_path / "codes.xls")) == str(tmp_path / "codes.xls")
    (root / release).touch()
    assert entry.file(name) == str(root / release)
    (root / release.replace("final", "final_mine")).touch()
    with pytest.raises(InputError, match="fits .*; name one as the dataset's annotation"):
        entry.file(name)


def test_a_path_may_begin_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").touch()
    (tmp_path / "data").mkdir()
    entry = Dataset(layout="videos", root="~/data", annotation="~/a.csv")
    assert entry.root == str(tmp_path / "data")
    assert entry.file(entry.annotation) == str(tmp_path / "a.csv")


def own(default_config, video="/x/a b[1].mp4", datasets=(), methods=(), **section):
    """The configuration for a video of one's own, with `section` in `own`."""
    values = deepcopy(default_config) | {"video": video}
    values["datasets"] |= dict(datasets)
    values["methods"] |= dict(methods)
    values["own"] |= section
    return config.load(values)


def test_own_video_is_prepared_by_settings_of_its_own(default_config):
    given = {
        "from": 1.5,
        "to": 9,
        "fps": 60,
        "face": "left",
        "settings": {"flow": {"set": "micro"}},
    }
    loaded = own(default_config, **given)
    assert loaded.own_name == "a_b_1"
    assert list(loaded.datasets) == ["a_b_1"], "nothing else is needed"
    decode = loaded.stage("decode", "a_b_1")
    assert (decode.fps, decode.from_s, decode.to_s) == (60, 1.5, 9)
    assert loaded.stage("align", "a_b_1").face == "left"
    assert loaded.stage("flow", "a_b_1").set == "micro"
    assert (loaded.trained(), loaded.own.dataset) == ([], None)
    plain = own(default_config, dataset="demo_color")
    assert plain.stage("align", "a_b_1").size == 128
    assert plain.own.dataset is None, "displacement asks for no dataset"
    assert own(default_config, video=2024).own_name == "2024"
    assert own(default_config, video=str(ROOT / "src" / "..")).own_name == ROOT.name


def test_own_video_may_not_have_the_name_of_a_file_of_results(default_config, tmp_path):
    (tmp_path / "README.md").touch()
    default_config = default_config | {"results": str(tmp_path)}
    for name in ("README.md", "summary.csv"):
        with pytest.raises(InputError, match=f"{name} would be a file and a folder; rename"):
            own(default_config, video=f"/videos/{name}.mp4")


def test_own_video_may_be_spotted_by_a_trained_model(default_config):
    narrow = {"layout": "videos", "root": "x", "annotation": "a.csv", "fps": 25}
    datasets = {
        "other": narrow | {"settings": {"roi": {"set": "boxes"}}},
        "both": {"layout": "joined", "of": ["demo_color", "demo_grey"]},
    }
    tuned = {
        "base": "mespot",
        "datasets": {"other": {"train": {"start": "demo_grey/mespot"}, "spot": {"apex": 0.3}}},
    }
    given = {"datasets": datasets, "methods": {"tuned": tuned}}
    loaded = own(default_config, **given, method="tuned", dataset="other", fps=25)
    assert list(loaded.datasets) == ["other", "demo_grey", "a_b_1"]
    assert loaded.trained() == [("other", "tuned"), ("demo_grey", "mespot")]
    assert loaded.stage("roi", "a_b_1").set == "boxes", "as the model's inputs"
    assert loaded.stage("spot", "a_b_1", "tuned").apex == 0.3
    joined = own(default_config, **given, method="mespot", dataset="both")
    assert list(joined.datasets) == ["demo_color", "demo_grey", "both", "a_b_1"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"method": "mespot"}, "own.dataset: the dataset that methods.mespot is trained on is mis"),
        ({"method": "mespot", "dataset": "x"}, "own.dataset 'x' is none of"),
        ({"method": "mespot", "dataset": "bare"}, "own.dataset 'bare' has no annotation"),
        ({"method": "mespot", "dataset": "paper"}, "'paper': published features tell no face size"),
        ({"method": "published", "dataset": "demo_grey"}, "methods.published is not run on demo_g"),
        (
            {"method": "mespot", "dataset": "demo_grey"},
            "own.fps 30: .* at 25 frames/s; give the sa",
        ),
        ({"method": "none"}, "own.method 'none' is none of"),
        ({"from": 3, "to": 2}, "own: .*to: 2 s is not after from, 3 s"),
        ({"from": -1}, "own.from: .*greater than or equal to 0"),
        ({"face": "middle"}, "own.face: .*'largest', 'left', 'right' or 'all'"),
        ({"settings": {"train": {}}}, "own.settings.train: none of decode, "),
        ({"settings": {"align": {"sise": 1}}}, "own.settings.align.sise: unknown key"),
        ({"settings": {"align": {"face": 2}}}, "own.settings.align.face: own.face stands for it"),
    ],
)
def test_faults_of_ones_own_section_are_named(default_config, section, message):
    datasets = {
        "bare": {"layout": "videos", "root": "x"},
        "paper": {"layout": "features", "root": "x", "annotation": "a.csv"},
    }
    with pytest.raises(InputError, match=message):
        own(default_config, datasets=datasets, **section)


def test_the_middle_one_of_several_people_can_be_chosen(default_config):
    loaded = own(default_config, face=2)
    assert loaded.stage("align", loaded.own_name).face == 2


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"fps": 12}, "datasets.mine: fps: a joined dataset has none of its own"),
        ({"annotation": "a.csv"}, "datasets.mine: annotation: a joined dataset has none"),
        (
            {"layout": "samm_lv", "demo": True, "of": [], "annotation": "a"},
            "annotation: a demo has",
        ),
        ({"layout": "videos", "of": [], "root": ""}, "root: an empty path"),
        ({"settings": {"train": {"epochs": 0}}}, "datasets.mine.settings.train.epochs: Input"),
        ({"settings": {"roi": {"sets": {"own": {}}}}}, "datasets.mine.settings.roi.sets.own: Dict"),
    ],
    ids=str,
)
def test_what_a_dataset_has_not_is_said_with_its_whole_key(default_config, dataset, message):
    values = deepcopy(default_config)
    joined = {"layout": "joined", "of": ["demo_color", "demo_grey"]}
    values["datasets"]["mine"] = joined | dataset
    with pytest.raises(InputError, match=message):
        config.load(values)


def test_a_methods_fault_is_said_with_its_whole_key(default_config):
    for entry, message in (
        ({"spot": {"macro_seconds": [4, 0.5]}}, "methods.mine.spot: macro_seconds: 4.0 is more"),
        (
            {"datasets": {"demo_grey": {"train": {"epochs": 0}}}},
            "methods.mine.datasets.demo_grey.train.epochs: Input",
        ),
    ):
        values = deepcopy(default_config)
        values["methods"]["mine"] = {"base": "mespot"} | entry
        with pytest.raises(InputError, match=message):
            config.load(values)


def test_own_video_is_not_called_as_a_dataset(default_config):
    with pytest.raises(InputError, match="a dataset is called demo_grey"):
        own(default_config, video="/x/demo_grey.mp4")


def test_a_method_that_trains_nothing_has_a_section_instead_of_spot(default_config):
    values = deepcopy(default_config)
    values["methods"]["calm"] = {"base": "displacement", "datasets": {"demo_grey": {"spot": {}}}}
    values["datasets"]["demo_grey"]["settings"]["spot"] = {"top_macro": 6}  # is the others'
    loaded = config.load(values)
    assert [loaded.trains(name) for name in ("calm", "displacement", "mespot")] == [0, 0, 1]
    assert isinstance(loaded.stage("spot", "demo_grey", "calm"), settings.Displacement)
    assert loaded.stage("spot", "demo_grey", "mespot").top_macro == 6
    assert loaded.run_on("displacement") == ["demo_color", "demo_grey"]
    assert loaded.trained() == [("demo_color", "mespot"), ("demo_grey", "mespot")]
    for wrong in ({"seeds": 2}, {"train": {"epochs": 1}}, {"select": {"policies": ["oracle"]}}):
        values["methods"]["calm"] = {"base": "displacement"} | wrong
        message = f"methods.calm.{next(iter(wrong))}: displacement trains nothing"
        with pytest.raises(InputError, match=message):
            config.load(values)
    values["methods"]["calm"] = {"base": "displacement", "datasets": {"demo_grey": {"train": {}}}}
    with pytest.raises(InputError, match="demo_grey: only spot can differ"):
        config.load(values)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"mean_of": "mespot"}, "mespot is no method of the model multiscale"),
        ({"mean_of": "two_stage"}, "two_stage is no method of the model multiscale"),
        ({"mean_of": "nobody"}, "mean_of 'nobody' is none of"),
        (
            {"mean_of": "one_seed", "model": "multiscale"},
            "mean_of stands instead of base and model",
        ),
        ({"mean_of": "one_seed", "seeds": 2}, "seeds: it spots by the networks of one_seed"),
        (
            {"mean_of": "one_seed", "train": {"steps": 9}},
            "train: it spots by the networks of one_seed",
        ),
        ({"mean_of": "one_seed", "evaluate": {"groups": 4}}, "groups: they are those of one_seed"),
        (
            {"mean_of": "one_seed", "datasets": {"demo_grey": {"evaluate": {"groups": 4}}}},
            "groups: they are those of one_seed",
        ),
        ({"base": "two_stage"}, "two_stage is a mean; write mean_of: one_seed"),
        ({"model": "multiscale", "select": {"groups": 4}}, "select: multiscale has none"),
        ({"model": "multiscale", "train": {"epochs": 4}}, "epochs"),
        ({"base": "mespot", "evaluate": {"groups": 4}}, "evaluate: auw_gcn has none"),
    ],
)
def test_a_mean_of_seeds_is_of_two_stages_and_trains_nothing(default_config, method, message):
    values = deepcopy(default_config)
    values["methods"]["mine"] = method
    with pytest.raises(InputError, match=message):
        config.load(values)


def test_pinned_list_is_complete_exact_and_hashed():
    pins, hashed = {}, set()
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    for line in lines:
        if line[:1].isalnum():
            name, version = line.split(" ")[0].split("==")
            pins.setdefault(name, set()).add(version)
            last = name
        elif "--hash=sha256:" in line:
            hashed.add(last)
    assert hashed == set(pins)
    assert [name for name in pins if name.startswith("opencv")] == ["opencv-contrib-python"]
    assert not [line for line in lines if "://" in line]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    direct = {requirement.partition("==")[0].partition(">")[0] for requirement in wanted}
    python, _, conda = yaml.safe_load((ROOT / "envs" / "mespot.yaml").read_text())["dependencies"]
    conda_pins = dict(line.split("==") for line in conda["pip"])
    of_python = {"python_full_version": python.removeprefix("python=") + ".0"}
    listed = [Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalnum()]
    listed = {
        f"{one.name}{one.specifier}"
        for one in listed
        if not one.marker or one.marker.evaluate(of_python)
    }
    # pip would refuse its wish for torch 1.9, which envs/overrides.txt overrides.
    assert set(conda_pins) == direct - {"retinaface-pytorch"}
    assert {f"{name}=={version}" for name, version in conda_pins.items()} <= listed
