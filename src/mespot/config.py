"""The configuration: datasets, methods, and whose settings count for which of them.

`config.yaml` documents every key for users. The models here and in `settings` are the only
definition; `workflow/schemas/config.schema.json` is generated from them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError, model_validator

from mespot import config_file
from mespot.datasets.layouts import video_name
from mespot.errors import InputError
from mespot.settings import (
    STAGES,
    Align,
    Annotation,
    Dataset,
    Demo,
    Displacement,
    Evaluate,
    Features,
    Flow,
    Landmarks,
    Lanes,
    Mdmo,
    Method,
    Multiscale,
    Name,
    Own,
    Reading,
    Report,
    Roi,
    Score,
    Select,
    Settings,
    Spot,
    Train,
    TwoStage,
    explain,
    of_this_system,
)

# Every key with its default; mespot is run from its checkout.
DEFAULTS = Path(__file__).parents[2] / "config.yaml"
# The stages that a method may change.
OF_A_METHOD = ("train", "select", "evaluate", "spot")
# The stages of one video, and those that one's own goes through.
PREPARE = ("decode", "align", "landmarks", "flow", "roi", "mdmo")
OF_OWN = (*PREPARE, "features", "spot", "displacement", "two_stage")
# The model that trains nothing, and that of two stages, whose networks have no epochs to choose from.
UNTRAINED, TWO_STAGE = "displacement", "multiscale"
# What a method of each model may change, and the sections of its own that its stages have.
STAGES_OF = {UNTRAINED: ("spot",), TWO_STAGE: ("train", "evaluate", "spot")}
SECTIONS = {UNTRAINED: {"spot": UNTRAINED}, TWO_STAGE: {"train": TWO_STAGE, "spot": "two_stage"}}
# What else lies in the results folder, and in a dataset's folder there.
IN_RESULTS = {"logs", "benchmarks", "demo", "report", "summary.csv", "sources.json"}
IN_A_DATASET = {"report", "features.h5", "faces.json", "check.csv", "annotation.csv"}
IN_A_DATASET |= {"annotation_as_given.csv", "annotation_audit.csv", *PREPARE}
# Those of one dataset's videos and folds, which `datasets.NAME.settings` may change.
OF_A_DATASET = set(STAGES) - {"score", "report"}


# The keys under which values stand, and the values.
Layer = tuple[tuple[str, ...], dict[str, Any]]


def _folder(path: str) -> str:
    """A folder for results, whose name stands in all of Snakemake's patterns."""
    if re.search(r"[{}<>\ud800-\udfff]", path):
        raise ValueError("braces or <>, which mean something to Snakemake, or no UTF-8; rename it")
    return str(Path(of_this_system(path)).expanduser())


class Config(Settings):
    results: Annotated[str, AfterValidator(_folder)] = "results"
    video: str | None = None
    own: Own = Own()
    datasets: dict[Name, Dataset]
    methods: dict[Name, Method]
    demo: Demo = Demo()
    decode: Reading = Reading()
    align: Align = Align()
    landmarks: Landmarks = Landmarks()
    flow: Flow = Flow()
    roi: Roi
    mdmo: Mdmo = Mdmo()
    features: Features = Features()
    annotation: Annotation = Annotation()
    train: Train = Train()
    multiscale: Multiscale = Multiscale()
    select: Select = Select()
    evaluate: Evaluate = Evaluate()
    spot: Spot = Spot()
    two_stage: TwoStage = TwoStage()
    displacement: Displacement = Displacement()
    lanes: Lanes = Lanes()
    score: Score = Score()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _without_those_to_come(cls, values: Any) -> Any:
        """Entries whose `root` is null, the benchmarks' ready ones, are left out until it is given."""
        datasets = values.get("datasets") if isinstance(values, dict) else None
        if not isinstance(datasets, dict):
            return values

        def to_come(entry: Any) -> bool:
            missing = isinstance(entry, dict) and "root" in entry and entry["root"] is None
            return missing and not (entry.get("demo") or entry.get("of"))

        given = {name: entry for name, entry in datasets.items() if not to_come(entry)}
        return values | {"datasets": given}

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if "pooled" in self.datasets:
            raise ValueError(
                "datasets.pooled: the name of the rows that add datasets up; rename it"
            )
        for kind, names, taken in (
            ("datasets", self.datasets, IN_RESULTS),
            ("methods", self.methods, IN_A_DATASET),
        ):
            for name in taken & set(names):
                raise ValueError(
                    f"{kind}.{name}: something else of that name is among the results; rename it"
                )
        for name in self.datasets:
            self._dataset(name)
        for name in self.methods:
            self._method(name)
        if self.video:
            self._own()
        if self.report.headline not in self.score.protocols:
            raise ValueError(f"report.headline {self.report.headline!r} is not in score.protocols")
        for method in self.report.methods or []:
            if method not in self.methods:
                raise ValueError(f"report.methods: {method!r} is none of {list(self.methods)}")
        return self

    def _dataset(self, name: str) -> None:
        """Whether a dataset's parts and settings are possible."""
        entry = self.datasets[name]
        for part in entry.of:
            if part not in self.datasets or self.datasets[part].of or entry.of.count(part) > 1:
                raise ValueError(f"datasets.{name}.of: {part!r} is no dataset to join, or is twice")
        for stage in entry.settings:
            if stage not in OF_A_DATASET:
                raise ValueError(f"datasets.{name}.settings.{stage}: no stage of a dataset's own")
            if stage == "decode":  # its rates and its span stand elsewhere
                self._reading(f"datasets.{name}.settings", entry.settings)
            self.stage(stage, name)

    def _reading(self, where: str, settings: dict[str, dict[str, Any]]) -> None:
        for key in set(settings["decode"]) - set(Reading.model_fields):
            raise ValueError(
                f"{where}.decode.{key}: one of {', '.join(Reading.model_fields)} expected"
            )

    def _own(self) -> None:
        """Whether one's own video can be prepared so, and there is a model if the method needs one."""
        for stage, values in self.own.settings.items():
            if stage not in OF_OWN:
                raise ValueError(f"own.settings.{stage}: none of {', '.join(OF_OWN)}")
            if stage == "decode":
                self._reading("own.settings", self.own.settings)
            if stage == "align" and "face" in values:
                raise ValueError("own.settings.align.face: own.face stands for it")
            layers = [
                ((stage,), getattr(self, stage).plain()),
                (("own", "settings", stage), values),
            ]
            laid(STAGES[stage], layers)
        dataset, method = self.own.dataset, self.own.method
        if method not in self.methods:
            raise ValueError(f"own.method {method!r} is none of {list(self.methods)}")
        if not self.trains(method):
            return
        if dataset is None:
            raise ValueError(
                f"own.dataset: the dataset that methods.{method} is trained on is missing"
            )
        if dataset not in self.datasets:
            raise ValueError(f"own.dataset {dataset!r} is none of {list(self.datasets)}")
        if not self.labelled(dataset):
            raise ValueError(f"own.dataset {dataset!r} has no annotation to train on")
        if dataset not in self.run_on(method):
            raise ValueError(f"methods.{method} is not run on {dataset}")
        if self.two_stage_method(method):
            return  # its inputs have no unit, and one rate
        parts = [self.datasets[part] for part in self.parts(dataset)]
        if any(part.layout == "features" for part in parts):
            raise ValueError(
                f"own.dataset {dataset!r}: published features tell no face size, which filmed video "
                "is measured in; name a dataset of videos"
            )
        rates = sorted({part.fps for part in parts})
        if self.own.fps not in rates:
            raise ValueError(
                f"own.fps {self.own.fps:g}: methods.{method} was trained on {dataset} at "
                f"{' and '.join(format(rate, 'g') for rate in rates)} frames/s; give the same"
            )

    def _method(self, name: str) -> None:
        """Whether a method's settings are possible, and so on each dataset that it is run on."""
        model, own = self.model(name), self.methods[name]
        possible = STAGES_OF.get(model, ("train", "select", "spot"))
        if own.base and self.methods[own.base].mean_of:
            raise ValueError(
                f"methods.{name}.base: {own.base} is a mean; write mean_of: {self.methods[own.base].mean_of}"
            )
        if own.mean_of:
            self._mean(name)
            possible = ("evaluate", "spot")
        for key in {*OF_A_METHOD, "seeds"} - {
            *possible,
            *(["seeds"] if "train" in possible else []),
        }:
            if getattr(own, key):
                why = (
                    f"it spots by the networks of {own.mean_of}"
                    if own.mean_of
                    else f"{model} has none"
                )
                why = why if self.trains(name) else f"{model} trains nothing"
                raise ValueError(f"methods.{name}.{key}: {why}")
        named = self.methods[name].datasets or {}
        for dataset, differences in named.items():
            if dataset not in self.datasets:
                raise ValueError(
                    f"methods.{name}.datasets: {dataset!r} is none of {list(self.datasets)}"
                )
            if set(differences) - set(possible):
                raise ValueError(
                    f"methods.{name}.datasets.{dataset}: only {', '.join(possible)} can differ"
                )
        run_on = self.run_on(name)
        for dataset in dict.fromkeys([None, *run_on, *named]):
            for stage in possible:
                self.stage(stage, dataset, name)
            if dataset not in run_on or "select" not in possible:
                continue
            training, choosing = (self.stage(stage, dataset, name) for stage in ("train", "select"))
            if choosing.policies != ["last"] and not (
                0 < training.keep <= training.epochs and choosing.first_epoch <= training.epochs
            ):
                raise ValueError(
                    f"methods.{name} on {dataset}: select.policies {choosing.policies} need train.keep and "
                    f"select.first_epoch to be at most train.epochs ({training.epochs}), and train.keep above 0"
                )
            self._start(dataset, name)

    def _mean(self, method: str) -> None:
        """Whether a method is the mean of another one's seeds."""
        own = self.methods[method]
        if own.base or own.model:
            raise ValueError(f"methods.{method}: mean_of stands instead of base and model")
        if self.methods[own.mean_of].mean_of or self.model(own.mean_of) != TWO_STAGE:
            raise ValueError(
                f"methods.{method}.mean_of: {own.mean_of} is no method of the model {TWO_STAGE}"
            )

        differing = [
            own.evaluate,
            *(of.get("evaluate", {}) for of in (own.datasets or {}).values()),
        ]
        if any("groups" in evaluate for evaluate in differing):
            raise ValueError(f"methods.{method}.evaluate.groups: they are those of {own.mean_of}")

    def _start(self, dataset: str, method: str) -> None:
        """Whether there is the model that training begins with (plan: of other subjects)."""
        start = self._starts_from(dataset, method)
        if start:
            source, _, of = start.partition("/")
            if source not in self.datasets or of not in self.methods:
                raise ValueError(
                    f"methods.{method}.train.start: {start!r}: DATASET/METHOD expected"
                )
            if self._starts_from(source, of):
                raise ValueError(
                    f"methods.{method}.train.start: {start} does not begin with random weights itself"
                )
            if self.model(of) != self.model(method):
                raise ValueError(f"methods.{method}.train.start: {start} is of another network")
            if source not in self.run_on(of):
                raise ValueError(f"methods.{of} is not run on {source}, which train.start names")

    def _starts_from(self, dataset: str, method: str) -> str | None:
        """DATASET/METHOD whose weights a training begins with; of two stages none does."""
        return getattr(self.stage("train", dataset, method), "start", None)

    def stage(self, stage: str, dataset: str | None = None, method: str | None = None) -> Settings:
        """Settings of a stage: the config's, then what the method differs in, then the dataset, and
        last what the method differs in on that dataset. `spot` of a method that trains nothing has a
        section of its own."""
        section = SECTIONS.get(self.model(method), {}).get(stage, stage) if method else stage
        layers: list[Layer] = [((section,), getattr(self, section).plain())]
        lineage = self.lineage(method)[::-1] if method and stage in OF_A_METHOD else []
        for link in lineage:
            layers.append((("methods", link, stage), getattr(self.methods[link], stage)))
        if dataset is not None:
            entry = self.datasets[dataset]
            if stage == "decode":
                rates = {"fps": entry.fps, "frames_fps": entry.frames_fps}
                rates["align"] = self.stage("align", dataset).plain()
                layers.append((("datasets", dataset), rates))
            own = entry.settings.get(section, {})
            layers.append((("datasets", dataset, "settings", section), own))
        for link in lineage:
            own = (self.methods[link].datasets or {}).get(dataset, {}).get(stage, {})
            layers.append((("methods", link, "datasets", dataset, stage), own))
        return laid(STAGES[section], layers)

    def run_on(self, method: str) -> list[str]:
        """The datasets with an annotation that a method is run on: those that its `datasets` name, or all."""
        named = self._of_lineage(method, "datasets")
        labelled = [name for name in self.datasets if self.labelled(name)]
        return labelled if named is None else [name for name in labelled if name in named]

    def seeds(self, method: str) -> int:
        """How often a method's folds are trained; one that trains nothing, or is a mean, has one run."""
        once = not self.trains(method) or self.methods[method].mean_of
        return 1 if once else self._of_lineage(method, "seeds") or 1

    def _of_lineage(self, method: str, key: str) -> Any:
        """What the method's own entry, or else its base's, says of `key`."""
        said = (getattr(self.methods[link], key) for link in self.lineage(method))
        return next((value for value in said if value is not None), None)

    @property
    def own_name(self) -> str:
        """The name under which the results of one's own video stand."""
        return video_name(Path(os.path.abspath(os.path.expanduser(self.video or ""))))

    def with_own_video(self) -> Config:
        """This configuration with one's own video as a dataset, beside those that its model is trained on.

        No other dataset is left: what is wrong with it is no matter here.
        """
        if self.own_name in self.datasets:
            raise InputError(f"{self.video}: a dataset is called {self.own_name}; rename the video")
        where = Path(self.results, self.own_name)
        if where.is_file() or self.own_name in IN_RESULTS:
            raise InputError(
                f"{self.video}: {where} would be a file and a folder; rename the video"
            )
        own = (
            self.own
            if self.trains(self.own.method)
            else self.own.model_copy(update={"dataset": None})
        )
        span = {"from_s": own.from_s, "to_s": own.to_s}
        settings = own.settings | {"decode": own.settings.get("decode", {}) | span}
        if own.face != "all":  # else each person is a video with a face of its own: mespot.own
            settings["align"] = settings.get("align", {}) | {"face": own.face}
        methods = self.methods
        if own.dataset:
            # The model's regions, and what its method says for the dataset, count here too.
            part = self.parts(own.dataset)[0]
            settings["roi"] = self.stage("roi", part).plain()
            if self.datasets[part].layout == "features":
                settings["roi"]["set"] = "auw_gcn"  # published features are of the paper's regions
            methods = {
                name: method.model_copy(
                    update={"datasets": {**said, self.own_name: said[own.dataset]}}
                )
                if own.dataset in (said := method.datasets or {})
                else method
                for name, method in methods.items()
            }
        try:
            entry = Dataset(
                layout="videos",
                root=self.video,
                fps=own.fps,
                frames_fps=own.frames_fps,
                settings=settings,
            )
        except ValidationError as error:
            raise InputError(f"video: {explain(error)}") from None
        behind = {
            name: self.datasets[name]
            for dataset, _ in self.model_copy(update={"own": own}).trained()
            for name in (*self.datasets[dataset].of, dataset)
        }
        datasets = behind | {self.own_name: entry}
        return self.model_copy(update={"datasets": datasets, "methods": methods, "own": own})

    def trained(self) -> list[tuple[str, str]]:
        """Dataset and method of each model that is trained; for one's own video, those that it needs."""
        dataset, method = self.own.dataset, self.own.method
        if not self.video:
            pairs = (
                (on, self.trainer(name))
                for name in self.methods
                if self.trains(name)
                for on in self.run_on(name)
            )
            return list(dict.fromkeys(pairs))
        if dataset is None:
            return []
        start = self._starts_from(dataset, method)
        return [(dataset, self.trainer(method)), *([tuple(start.split("/"))] if start else [])]

    def parts(self, dataset: str) -> list[str]:
        """The datasets that a dataset is made up of: those of a joined one, else itself."""
        return self.datasets[dataset].of or [dataset]

    def labelled(self, dataset: str) -> bool:
        """Whether a dataset can be trained and scored on."""
        entry = self.datasets[dataset]
        if entry.of:
            return all(self.labelled(part) for part in entry.of)
        return entry.demo or entry.annotation is not None

    def lineage(self, method: str) -> list[str]:
        """The method, its base, the base's base and so on."""
        chain = [method]
        while base := self.methods[chain[-1]].mean_of or self.methods[chain[-1]].base:
            if base not in self.methods:
                key = "mean_of" if self.methods[chain[-1]].mean_of else "base"
                raise ValueError(
                    f"methods.{chain[-1]}.{key} {base!r} is none of {list(self.methods)}"
                )
            if base in chain:
                raise ValueError(f"methods: {' -> '.join([*chain, base])} goes round in a circle")
            chain.append(base)
        return chain

    def model(self, method: str) -> str:
        """What names the method's model class: its own entry's, or else its base's."""
        return self._of_lineage(method, "model") or "auw_gcn"

    def trains(self, method: str) -> bool:
        """Whether a method spots by networks; if not, it has no seeds, folds, epochs or model."""
        return self.model(method) != UNTRAINED

    def two_stage_method(self, method: str) -> bool:
        """Whether a method's networks find candidates that a second stage evaluates."""
        return self.model(method) == TWO_STAGE

    def trainer(self, method: str) -> str:
        """The method whose networks a method spots by: its own, or those that it is the mean of."""
        return self.methods[method].mean_of or method


def laid(kind: type[Settings], layers: Sequence[Layer]) -> Settings:
    """Settings of values that are laid over one another, each under the keys where it stands.

    Raises ValidationError; each fault is of the last layer that says it.
    """
    values = {key: value for _, layer in layers for key, value in layer.items()}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            loc = fault["loc"]
            said = (
                where for where, layer in layers[::-1] if layer and (not loc or loc[0] in layer)
            )
            ctx = {"ctx": fault["ctx"]} if "ctx" in fault else {}
            loc = (*next(said, ()), *loc)
            faults.append({"type": fault["type"], "loc": loc, "input": fault["input"], **ctx})
        raise ValidationError.from_exception_data(error.title, faults) from None


def without_demos(values: dict[str, Any]) -> dict[str, Any]:
    """config.yaml less its demos once the root of another dataset is given, but for those named in it.

    Or real faces would be scored with a demo's model, and not be added up, since a demo's people have
    the benchmarks' names.
    """
    datasets, methods, own = (values.get(key) for key in ("datasets", "methods", "own"))
    if not all(isinstance(section, dict) for section in (datasets, methods, own)):
        return values  # `load` says what is wrong
    entries = {name: entry if isinstance(entry, dict) else {} for name, entry in datasets.items()}
    real = [entry for entry in entries.values() if not entry.get("demo")]
    if not any(entry.get("root") for entry in real):
        return values
    named = {part for entry in real for part in entry.get("of") or []}
    for method in methods.values():
        named |= set(method.get("datasets") or [] if isinstance(method, dict) else [])
    if values.get("video"):
        named.add(own.get("dataset"))  # for its model
    kept = {
        name: entry
        for name, entry in datasets.items()
        if name in named or not entries[name].get("demo")
    }
    return values | {"datasets": kept}


def over_defaults(given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What counts of `values`, in which Snakemake has laid the `given` configuration over config.yaml's.

    Given datasets stand instead of config.yaml's, its demos; so do those that a method is run on.
    """
    if "datasets" in given:
        values = values | {"datasets": given["datasets"]}
    methods, changed = values.get("methods"), given.get("methods")
    if isinstance(methods, dict) and isinstance(changed, dict):
        named = {
            name: methods[name] | {"datasets": method["datasets"]}
            for name, method in changed.items()
            if isinstance(method, dict) and "datasets" in method
        }
        values = values | {"methods": methods | named}
    return values if "datasets" in given else without_demos(values)


def load(values: dict[str, Any], files: Sequence[Path] = ()) -> Config:
    """The checked configuration from Snakemake's `config`, which was read from `files`, the last laid first.

    Raises InputError that names the line of each wrong key, its value and what was expected.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, partial(config_file.place, files))) from None
    return config.with_own_video() if config.video else config


def load_file(path: Path) -> Config:
    """The configuration of a file, as `snakemake --configfile` takes it, but for a video of one's own in it.

    Raises InputError.
    """
    from snakemake.utils import update_config  # half a second

    given, values = config_file.read(path), config_file.read(DEFAULTS)
    update_config(values, given)
    return load(over_defaults(given, values) | {"video": None}, [path, DEFAULTS])


def schema() -> str:
    """The JSON schema of the configuration, as kept in workflow/schemas."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
