"""The configuration: every key, its default and its check. `config.yaml` documents each for users.

The models here are the only definition; `workflow/schemas/config.schema.json` is generated from them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mespot.errors import InputError
from mespot.layouts import video_name

NAME = re.compile(r"^[\w.-]+$")
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Protocol = Literal["strict", "megc2020", "auw_gcn", "auw_gcn_distinct"]


class Settings(BaseModel):
    """Settings of one stage; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, text: str) -> Settings:
        """Settings from the JSON text of a command's `--settings`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(f"--settings: {explain(error)}") from None

    def plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class Demo(Settings):
    seed: int = 2023
    subjects: Annotated[int, Field(ge=2, le=9)] = 5
    videos: Annotated[int, Field(ge=1, le=9)] = 1  # of each subject
    seconds: Annotated[float, Field(ge=4)] = 10.0  # of each video
    size: tuple[Count, Count] = (256, 256)  # width and height of the frames, px
    noise: Annotated[float, Field(ge=0)] = 1.0  # standard deviation, grey levels
    distractors: list[Literal["blink", "gaze", "head", "light"]] = [
        "blink",
        "gaze",
        "head",
        "light",
    ]


class Decode(Settings):
    fps: Positive = 30.0
    frames_fps: Positive | None = None


class Align(Settings):
    mode: Literal["box", "similarity"] = "similarity"
    size: Annotated[int, Field(ge=64, le=1024)] = 224
    margin: Annotated[float, Field(ge=0)] = 0.25
    detector: Literal["dlib"] = "dlib"
    min_resemblance: Annotated[float, Field(ge=0, le=1)] = 0.5


class Landmarks(Settings):
    detector: Literal["dlib"] = "dlib"
    smooth: Annotated[float, Field(ge=0)] = 2.0  # standard deviation in time, frames


class Flow(Settings):
    solver: Literal["tvl1", "opencv"] = "tvl1"
    tau: Positive = 0.25
    lam: Positive = 0.15
    theta: Positive = 0.3
    scales: Count = 5
    warps: Count = 5
    epsilon: Positive = 0.01
    iterations: Count = 300
    scale_step: Annotated[float, Field(gt=0, lt=1)] = 0.8


class Region(Settings):
    """The box around some landmarks, widened on each side; one landmark gives a square window."""

    landmarks: Annotated[list[Annotated[int, Field(ge=0, le=67)]], Field(min_length=1)]
    margin: Annotated[float, Field(ge=0)] = 0.05
    unit: Literal["inter_ocular", "inner_eye", "px"] = "inter_ocular"


class Roi(Settings):
    set: str = "auw_gcn"
    nose: Region = Region(landmarks=[29, 30], margin=0.175, unit="inner_eye")
    sets: dict[str, dict[str, Region]]

    @model_validator(mode="after")
    def _known_set(self) -> Roi:
        if self.set not in self.sets:
            raise ValueError(f"roi set {self.set!r} is none of {sorted(self.sets)}")
        return self


class Mdmo(Settings):
    roi_share: Share = 0.6
    nose_share: Share = 0.88
    max_gap: Annotated[float, Field(ge=0)] = 0.2


class Features(Settings):
    published_unit: Positive = 20.0


class Annotation(Settings):
    offset_zero: Literal["mirror", "apex", "apex_plus_20", "drop"] = "mirror"


class Train(Settings):
    seed: int = 1
    epochs: Count = 100
    batch: Count = 128
    learning_rate: Positive = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    decay: Share = 0.96
    window: Count = 256
    context: Annotated[int, Field(ge=0)] = 7
    apex_weight: Positive = 1.8
    boundary_weight: Positive = 1.0
    action_weight: Positive = 0.1
    macro_weight: Positive = 0.5
    # What the published code does otherwise than the paper's description or an honest experiment.
    normalisation: Literal["training", "published"] = "training"
    graph: Literal["training", "published"] = "training"
    labels: Literal["repaired", "published"] = "repaired"
    start: str | None = None  # DATASET/METHOD whose model of all subjects training begins with
    keep: Annotated[int, Field(ge=0)] = 5  # every so many epochs the weights are kept; 0: never
    graph_rois: dict[int, list[str]] = {
        1: [
            "right_brow_outer",
            "right_brow_middle",
            "left_brow_middle",
            "left_brow_outer",
            "right_brow_head",
            "left_brow_head",
        ],
        2: ["right_brow_inner", "left_brow_inner", "right_brow", "left_brow"],
        12: ["right_lip_corner", "left_lip_corner", "right_lips", "left_lips"],
        14: ["right_lip_corner", "left_lip_corner", "right_lips", "left_lips"],
        25: ["upper_lip", "lower_lip", "chin"],
        26: ["upper_lip", "lower_lip", "chin"],
    }


class Select(Settings):
    """How the epoch and the thresholds are chosen; `last` chooses nothing."""

    policies: Annotated[list[Literal["last", "inner", "oracle"]], Field(min_length=1)] = ["last"]
    groups: Annotated[int, Field(ge=3)] = 5
    first_epoch: Count = 10
    protocol: Protocol = "strict"


class Spot(Settings):
    proposals: Literal["video", "published"] = "video"
    apex: Share = 0.5
    min_macro: Annotated[float, Field(ge=0, le=1)] = 0.125
    min_micro: Annotated[float, Field(ge=0, le=1)] = 0.125
    overlap: Share = 0.5
    top_macro: Count | None = None
    top_micro: Count | None = None
    # Shortest and longest interval of each type, and how far its ends lie from its apex, seconds.
    macro_seconds: tuple[Positive, Positive] = (0.5, 4.0)
    micro_seconds: tuple[Positive, Positive] = (0.1, 0.5)
    macro_reach: tuple[Positive, Positive] = (0.17, 2.0)
    micro_reach: tuple[Positive, Positive] = (0.03, 0.3)

    @model_validator(mode="after")
    def _in_order(self) -> Spot:
        for name in ("macro_seconds", "micro_seconds", "macro_reach", "micro_reach"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name}: {least} is more than {most}")
        return self


class Score(Settings):
    protocols: list[Protocol] = [
        "strict",
        "megc2020",
        "auw_gcn",
        "auw_gcn_distinct",
    ]


class Report(Settings):
    headline: str = "strict"
    timelines: list[str] | None = None
    dpi: Count = 110


class Method(Settings):
    """A method, written as what differs from its base."""

    base: str | None = None
    model: str | None = None
    seeds: Count | None = None
    datasets: dict[str, dict[str, dict[str, Any]]] | None = None
    train: dict[str, Any] = {}
    select: dict[str, Any] = {}
    spot: dict[str, Any] = {}


# The stages that a method may change.
OF_A_METHOD = ("train", "select", "spot")


class Dataset(Settings):
    layout: Literal["cas_me_sq", "samm_lv", "videos", "features", "joined"]
    demo: bool = False
    root: str | None = None
    of: list[str] = []
    annotation: str | None = None
    fps: Positive = 30.0
    frames_fps: Positive | None = None
    settings: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _has_videos(self) -> Dataset:
        if (self.layout == "joined") != bool(self.of):
            raise ValueError("of: the datasets that a dataset of layout joined is made of")
        if self.demo + (self.root is not None) + bool(self.of) != 1:
            raise ValueError(
                "root: the folder of the videos was expected (a demo or a joined dataset has none)"
            )
        if self.demo and self.layout not in ("cas_me_sq", "samm_lv"):
            raise ValueError("layout: a demo is made as cas_me_sq or samm_lv")
        return self

    @property
    def frames_per_row(self) -> float:
        """How many frames of the dataset's own rate make one at the working rate."""
        return (self.frames_fps or self.fps) / self.fps


class Own(Settings):
    """Which model spots on videos of one's own."""

    dataset: str = "demo_color"
    method: str = "mespot"
    frames_fps: Positive | None = None


STAGES: dict[str, type[Settings]] = {
    "demo": Demo,
    "decode": Decode,
    "align": Align,
    "landmarks": Landmarks,
    "flow": Flow,
    "roi": Roi,
    "mdmo": Mdmo,
    "features": Features,
    "annotation": Annotation,
    "train": Train,
    "select": Select,
    "spot": Spot,
    "score": Score,
    "report": Report,
}


# Those of one dataset's videos and folds, which `datasets.NAME.settings` may change.
OF_A_DATASET = set(STAGES) - {"decode", "score", "report"}


class Config(Settings):
    results: Annotated[str, AfterValidator(lambda path: str(Path(path)))] = "results"
    video: str | None = None
    own: Own = Own()
    datasets: dict[str, Dataset]
    methods: dict[str, Method]
    demo: Demo = Demo()
    align: Align = Align()
    landmarks: Landmarks = Landmarks()
    flow: Flow = Flow()
    roi: Roi
    mdmo: Mdmo = Mdmo()
    features: Features = Features()
    annotation: Annotation = Annotation()
    train: Train = Train()
    select: Select = Select()
    spot: Spot = Spot()
    score: Score = Score()
    report: Report = Report()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        for name in [*self.datasets, *self.methods]:
            if not NAME.match(name):
                raise ValueError(
                    f"name {name!r}: only letters, digits, '_', '.' and '-' are possible"
                )
        if "pooled" in self.datasets:
            raise ValueError(
                "datasets.pooled: the name of the rows that add datasets up; rename it"
            )
        for name, entry in self.datasets.items():
            for part in entry.of:
                if part not in self.datasets or self.datasets[part].of or entry.of.count(part) > 1:
                    raise ValueError(
                        f"datasets.{name}.of: {part!r} is no dataset to join, or is twice"
                    )
        if self.video and self.own.dataset not in self.datasets:
            raise ValueError(f"own.dataset {self.own.dataset!r} is none of {list(self.datasets)}")
        if self.video and self.datasets[self.own.dataset].layout in ("joined", "features"):
            raise ValueError(
                f"own.dataset {self.own.dataset!r}: videos were expected there, prepared as one's own"
            )
        if self.video and not self.labelled(self.own.dataset):
            raise ValueError(f"own.dataset {self.own.dataset!r} has no annotation to train on")
        if self.video and self.own.method not in self.methods:
            raise ValueError(f"own.method {self.own.method!r} is none of {list(self.methods)}")
        if self.video and self.own.dataset not in self.run_on(self.own.method):
            raise ValueError(f"methods.{self.own.method} is not run on {self.own.dataset}")
        if self.report.headline not in self.score.protocols:
            raise ValueError(f"report.headline {self.report.headline!r} is not in score.protocols")
        for method in self.report.timelines or []:
            if method not in self.methods:
                raise ValueError(f"report.timelines: {method!r} is none of {list(self.methods)}")
        for name, entry in self.datasets.items():
            for stage in entry.settings:
                if stage not in OF_A_DATASET:
                    raise ValueError(
                        f"datasets.{name}.settings.{stage}: no stage of a dataset's own"
                    )
                if stage not in OF_A_METHOD:
                    self.stage(stage, name)
        for method in self.methods:
            for name, differences in (self.methods[method].datasets or {}).items():
                if name not in self.datasets:
                    raise ValueError(
                        f"methods.{method}.datasets: {name!r} is none of {list(self.datasets)}"
                    )
                if set(differences) - set(OF_A_METHOD):
                    raise ValueError(
                        f"methods.{method}.datasets.{name}: only {', '.join(OF_A_METHOD)} are possible"
                    )
            for dataset in [None, *self.datasets]:
                training, choosing, _ = (self.stage(name, dataset, method) for name in OF_A_METHOD)
                if choosing.policies != ["last"] and not (
                    training.keep and choosing.first_epoch <= training.epochs
                ):
                    raise ValueError(
                        f"methods.{method}: select.policies {choosing.policies} need train.keep and "
                        f"select.first_epoch <= train.epochs ({training.epochs})"
                    )
                if dataset:
                    self._start(dataset, method)
        return self

    def _start(self, dataset: str, method: str) -> None:
        """Whether there is the model that training begins with (common.smk: of other subjects)."""
        start = self.stage("train", dataset, method).start
        if start and dataset in self.run_on(method):
            source, _, of = start.partition("/")
            if source not in self.datasets or of not in self.methods:
                raise ValueError(
                    f"methods.{method}.train.start: {start!r}: DATASET/METHOD expected"
                )
            if self.stage("train", source, of).start:
                raise ValueError(
                    f"methods.{method}.train.start: {start} does not begin with random weights itself"
                )
            if self.model(of) != self.model(method):
                raise ValueError(f"methods.{method}.train.start: {start} is of another network")
            if source not in self.run_on(of):
                raise ValueError(f"methods.{of} is not run on {source}, which train.start names")

    def stage(self, stage: str, dataset: str | None = None, method: str | None = None) -> Settings:
        """Settings of a stage: the config's, then what the method differs in, then the dataset, and
        last what the method differs in on that dataset."""
        settings = {} if stage == "decode" else getattr(self, stage).plain()
        lineage = self.lineage(method)[::-1] if method and stage in OF_A_METHOD else []
        for link in lineage:
            settings |= getattr(self.methods[link], stage)
        if dataset is not None:
            entry = self.datasets[dataset]
            if stage == "decode":
                settings = {"fps": entry.fps, "frames_fps": entry.frames_fps}
            settings |= entry.settings.get(stage, {})
        for link in lineage:
            settings |= (self.methods[link].datasets or {}).get(dataset, {}).get(stage, {})
        return STAGES[stage].model_validate(settings)

    def run_on(self, method: str) -> list[str]:
        """The datasets with an annotation that a method is run on: those that its `datasets` name, or all."""
        named = self._of_lineage(method, "datasets")
        labelled = [name for name in self.datasets if self.labelled(name)]
        return labelled if named is None else [name for name in labelled if name in named]

    def seeds(self, method: str) -> int:
        """How often a method's folds are trained."""
        return self._of_lineage(method, "seeds") or 1

    def _of_lineage(self, method: str, key: str) -> Any:
        """What the method's own entry, or else its base's, says of `key`."""
        said = (getattr(self.methods[link], key) for link in self.lineage(method))
        return next((value for value in said if value is not None), None)

    @property
    def own_name(self) -> str:
        """The name under which the results of one's own video stand."""
        return video_name(Path(self.video or ""))

    def with_own_video(self) -> Config:
        """This configuration with one's own video as a dataset, prepared as the model's was."""
        if self.own_name in self.datasets:
            raise InputError(f"{self.video}: a dataset is called {self.own_name}; rename the video")
        like = self.datasets[self.own.dataset]
        own = Dataset(
            layout="videos",
            root=self.video,
            fps=like.fps,
            frames_fps=self.own.frames_fps,
            settings=like.settings,
        )
        methods = {
            name: method.model_copy(
                update={"datasets": {**said, self.own_name: said[self.own.dataset]}}
            )
            if self.own.dataset in (said := method.datasets or {})
            else method
            for name, method in self.methods.items()
        }
        datasets = {**self.datasets, self.own_name: own}
        return self.model_copy(update={"datasets": datasets, "methods": methods})

    def labelled(self, dataset: str) -> bool:
        """Whether a dataset can be trained and scored on."""
        entry = self.datasets[dataset]
        if entry.of:
            return all(self.labelled(part) for part in entry.of)
        return entry.demo or entry.annotation is not None

    def lineage(self, method: str) -> list[str]:
        """The method, its base, the base's base and so on."""
        chain = [method]
        while base := self.methods[chain[-1]].base:
            if base not in self.methods:
                raise ValueError(
                    f"methods.{chain[-1]}.base {base!r} is none of {list(self.methods)}"
                )
            if base in chain:
                raise ValueError(f"methods: {' -> '.join([*chain, base])} goes round in a circle")
            chain.append(base)
        return chain

    def model(self, method: str) -> str:
        """What names the method's model class: its own entry's, or else its base's."""
        return self._of_lineage(method, "model") or "auw_gcn"


def load(values: dict[str, Any]) -> Config:
    """The checked configuration from Snakemake's `config` or a parsed YAML file.

    Raises InputError that names each wrong key, its value and what was expected.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"config: {explain(error)}") from None
    return config.with_own_video() if config.video else config


def load_file(path: str | Path) -> Config:
    """The configuration of a YAML file. Raises InputError."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from None
    return load(values)


def explain(error: ValidationError) -> str:
    """A line for each fault: the key, what was expected, what was there."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "(whole)"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key; config.yaml lists every key there is")
        else:
            given = fault["input"] if isinstance(fault["input"], str | int | float) else None
            was = f" (given: {given!r})" if given is not None else ""
            lines.append(f"{key}: {fault['msg']}{was}")
    return "\n  ".join(lines)


def schema() -> str:
    """The JSON schema of the configuration, as kept in workflow/schemas."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
