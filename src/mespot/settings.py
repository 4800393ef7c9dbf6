"""What may stand in each section of the configuration: keys, defaults and checks.

`config.yaml` explains every key; `config` lays the sections over each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mespot import provenance
from mespot.errors import InputError

# What may stand in a path and in a command: of datasets, methods, subjects and videos.
NAME = re.compile(r"\w[\w.-]*")
# Bytes of a name: a file's may have 255, and others are made of it (anna_NAME__2.json).
LONGEST = 100


def _name(name: str) -> str:
    """A name that may stand in a path and in a command."""
    if not NAME.fullmatch(name) or len(name.encode()) > LONGEST:
        raise ValueError(
            "a name has letters (of any script), digits, '_', '.' and '-', begins with none of the last "
            f"two, and has at most {LONGEST} bytes; rename it"
        )
    return name


Name = Annotated[str, AfterValidator(_name)]
Regions = Annotated[tuple[Name, ...], Field(min_length=1)]
Rate = Annotated[float, Field(ge=1, le=1000)]  # frames/s, worked at
OwnRate = Annotated[float, Field(ge=1, le=20_000)]  # frames/s, of a camera
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# Rows of a training window, and of its context on each side.
Window, Context = Annotated[int, Field(ge=1, le=100_000)], Annotated[int, Field(ge=0, le=10_000)]
Protocol = Literal["strict", "megc2020", "auw_gcn", "auw_gcn_distinct"]


class Settings(BaseModel):
    """Settings of one stage; an unknown key is an error."""

    # A folder or a subject may be called 2024, which YAML reads as a number.
    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, text: str, unread: tuple[str, ...] = ()) -> Settings:
        """Settings from the JSON text of a command's `--settings`, and a note for its outputs' record.

        `unread` are keys that the command does not read.
        """
        try:
            settings = cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(f"--settings: {explain(error)}") from None
        read = {key: value for key, value in settings.plain().items() if key not in unread}
        provenance.note(cls.__name__.lower(), read)
        return settings

    def plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def of_this_system(path: str) -> str:
    """The path, unless it was written for Windows, which would be looked for as one odd name."""
    if re.search(r"[\x00-\x1f]", path):
        raise ValueError(
            "a line break or tab in a path; put it in single quotes, or write / for \\"
        )
    if os.name == "posix" and re.match(r"[A-Za-z]:[\\/]", path):
        raise ValueError(
            f"a path of Windows; write where it is here (under WSL /mnt/{path[0].lower()}/...)"
        )
    return path


class Demo(Settings):
    seed: Seed = 2023
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


class Align(Settings):
    mode: Literal["box", "similarity"] = "similarity"
    size: Annotated[int, Field(ge=64, le=1024)] = 224
    margin: Annotated[float, Field(ge=0, le=2)] = 0.25
    detector: Literal["dlib", "retinaface"] = "dlib"
    face: Literal["largest", "left", "right"] | Count = "largest"  # a number: from the left, from 1
    every: Annotated[int, Field(ge=0)] = 0  # frames; 0: the first alone
    min_resemblance: Annotated[float, Field(ge=0, le=1)] = 0.5


class Reading(Settings):
    """How sources are read: the section `decode`."""

    damaged: Literal["error", "leave_out"] = "error"
    numbers: Literal["consecutive", "ordered"] = "consecutive"


class Decode(Reading):
    fps: Rate = 30.0
    frames_fps: OwnRate | None = None
    # The part that is decoded, in seconds from the source's first frame; None: from there, to its end.
    from_s: Annotated[float, Field(ge=0)] | None = None
    to_s: Positive | None = None
    align: Align | None = None  # what the frames are for; None: they keep their size and colour

    @property
    def frames_per_row(self) -> float:
        """How many frames of a folder, or of a spreadsheet, make one at the working rate."""
        return (self.frames_fps or self.fps) / self.fps

    @model_validator(mode="after")
    def _in_order(self) -> Decode:
        if self.to_s is not None and self.to_s <= (self.from_s or 0):
            raise ValueError(f"to_s: {self.to_s} is not after from_s, {self.from_s}")
        return self


class Landmarks(Settings):
    detector: Literal["dlib", "san"] = "dlib"
    patch: Count = 4  # cells around a peak of SAN's heatmaps, on each side
    smooth: Annotated[float, Field(ge=0)] = 2.0  # standard deviation in time, frames


class NamedSets(Settings):
    """Several sets of parameters by their names, one of which counts."""

    set: str
    sets: dict[str, Any]

    @model_validator(mode="after")
    def _known_set(self) -> NamedSets:
        if self.set not in self.sets:
            raise ValueError(f"set {self.set!r} is none of {sorted(self.sets)}")
        return self


class Tvl1(Settings):
    """Parameters of TV-L1; the defaults are the published ones."""

    tau: Positive = 0.25  # time step of the dual update
    lam: Positive = 0.15  # weight of the data term, lambda in the paper
    theta: Positive = 0.3  # tightness: the coupling of the flow u with the auxiliary flow v
    scales: Count = 5  # levels of the pyramid; fewer where a side would fall below 16 px
    warps: Count = 5  # warpings of the second image at each level
    epsilon: Annotated[float, Field(ge=0)] = 0.01  # px; RMS change of u that ends the iteration
    iterations: Count = 300  # at most, for each warp
    scale_step: Annotated[float, Field(gt=0, lt=1)] = 0.8  # size of a level of the next finer one


PUBLISHED_TVL1 = Tvl1()


class Flow(NamedSets):
    backend: Literal["auto", "torch", "cpu", "cuda", "opencv"] = "auto"
    set: str = "published"
    sets: dict[str, Tvl1] = {
        "published": PUBLISHED_TVL1,
        "micro": Tvl1(scales=3, epsilon=0, iterations=30, scale_step=0.5),
    }


class Region(Settings):
    """The box around some landmarks, widened on each side; one landmark gives a square window."""

    landmarks: Annotated[list[Annotated[int, Field(ge=0, le=67)]], Field(min_length=1)]
    margin: Annotated[float, Field(ge=0)] = 0.05
    unit: Literal["inter_ocular", "inner_eye", "px"] = "inter_ocular"


class Roi(NamedSets):
    set: str = "auw_gcn"
    nose: Region = Region(landmarks=[29, 30], margin=0.175, unit="inner_eye")
    sets: dict[str, Annotated[dict[Name, Region], Field(min_length=1)]]


class Mdmo(Settings):
    roi_share: Share = 0.6
    nose_share: Share = 0.88
    max_gap: Annotated[float, Field(ge=0)] = 0.2


class Features(Settings):
    published_unit: Positive = 20.0


class Annotation(Settings):
    offset_zero: Literal["mirror", "apex", "apex_plus_20", "drop"] = "mirror"


# The regions in which an action unit shows, of both sets of regions.
GRAPH_ROIS = {
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
TemporalKind = Literal["dilated", "gru", "attention", "pyramid"]
GraphKind = Literal["none", "co_occurrence", "conditional", "distance", "learned"]


class Train(Settings):
    seed: Seed = 1
    epochs: Count = 100
    batch: Count = 128
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    decay: Share = 0.96
    window: Window = 256
    context: Context = 7
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
    graph_rois: dict[int, list[str]] = GRAPH_ROIS


class Multiscale(Settings):
    """The training of the two-stage method's network: docs/method.md."""

    seed: Seed = 1
    steps: Count = 450
    batch: Annotated[int, Field(ge=2, le=10**9)] = 24
    window: Window = 512  # rows, at 30 a second
    learning_rate: Positive = 0.004
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    channels: Annotated[int, Field(ge=1, le=512)] = 48
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    temporal: TemporalKind = "dilated"
    graph: GraphKind = "none"
    graph_rois: dict[int, list[str]] = GRAPH_ROIS
    inside_weight: Positive = 3.0
    distance_weight: Annotated[float, Field(ge=0)] = 1.0
    consistency_weight: Annotated[float, Field(ge=0)] = 0.0
    au_weight: Annotated[float, Field(ge=0)] = 0.0
    expressive: Annotated[float, Field(ge=0, le=1)] = 0.75
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.5
    amplitude: Annotated[float, Field(ge=0)] = 0.25
    speeds: Annotated[list[Annotated[float, Field(ge=0.1, le=10)]], Field(min_length=1)] = [1.0]

    @model_validator(mode="after")
    def _divides(self) -> Multiscale:
        parts = {"gru": 2, "attention": 4}.get(self.temporal, 1)  # directions, heads
        if self.channels % parts:
            raise ValueError(f"channels: {self.temporal} takes a multiple of {parts}")
        return self


class Select(Settings):
    """How the epoch and the thresholds are chosen; `last` chooses nothing."""

    policies: Annotated[list[Literal["last", "inner", "oracle"]], Field(min_length=1)] = ["last"]
    groups: Annotated[int, Field(ge=3)] = 5
    first_epoch: Count = 10
    protocol: Protocol = "strict"


class Evaluate(Settings):
    """The second stage: what tells how probable a candidate is."""

    groups: Annotated[int, Field(ge=3)] = 6
    overlap: Share = 0.2


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


class TwoStage(Settings):
    """Spotting in two stages; null: each type's, with which F1 is to be expected best."""

    least: Annotated[float, Field(ge=0, le=1)] | None = None  # probability of being right


class Displacement(Settings):
    """The method without training; times in seconds, lengths in inter-ocular distances."""

    baseline: Positive = 16.0
    drifting_baseline: Positive = 4.0
    detail: Positive = 0.067
    smooth: Positive = 0.05
    prominence: Positive = 0.06
    own_prominence: Positive = 4.0  # of the video's own scale
    width: Share = 0.6
    shared: Share = 0.34
    hidden: Annotated[float, Field(ge=0, le=1)] = 0.5
    shortest: Positive = 0.13
    micro: Positive = 0.5
    longest: Positive = 4.0

    @model_validator(mode="after")
    def _in_order(self) -> Displacement:
        if not self.shortest <= self.micro <= self.longest:
            raise ValueError(
                f"shortest <= micro <= longest was expected, not {self.shortest}, {self.micro}, {self.longest}"
            )
        return self


class Lanes(Settings):
    """What is told from expressions; times in seconds, lengths in inter-ocular distances."""

    not_counted: list[Literal["talking", "blink"]] = ["talking", "blink"]
    talking_window: Positive = 2.0
    talking_swing: Positive = 0.02
    talking_turns: Positive = 1.75  # a second
    talking_gap: Annotated[float, Field(ge=0)] = 0.5
    talking_shortest: Annotated[float, Field(ge=0)] = 3.0
    blink_dip: Positive = 0.025
    blink_longest: Positive = 0.5
    head_smooth: Positive = 0.1
    head_window: Positive = 0.3
    head_speed: Positive = 0.3  # a second


class Score(Settings):
    protocols: list[Protocol] = [
        "strict",
        "megc2020",
        "auw_gcn",
        "auw_gcn_distinct",
    ]


class Report(Settings):
    headline: str = "strict"
    methods: list[str] | None = None


class Method(Settings):
    """A method, written as what differs from its base."""

    base: str | None = None
    model: str | None = None
    mean_of: str | None = None
    seeds: Count | None = None
    datasets: dict[str, dict[str, dict[str, Any]]] | None = None
    train: dict[str, Any] = {}
    select: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    spot: dict[str, Any] = {}


class Dataset(Settings):
    layout: Literal["cas_me_sq", "samm_lv", "videos", "features", "joined"]
    demo: bool = False
    root: str | None = None
    of: list[str] = []
    annotation: Annotated[str, Field(min_length=1)] | None = None
    compare: Annotated[str, Field(min_length=1)] | None = None
    fps: Rate = 30.0
    frames_fps: OwnRate | None = None
    settings: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _has_videos(self) -> Dataset:
        if (self.layout == "joined") != bool(self.of):
            raise ValueError("of: the datasets that a dataset of layout joined is made of")
        if self.demo + (self.root is not None) + bool(self.of) != 1:
            raise ValueError(
                "root: the folder of the videos was expected (a demo or a joined dataset has none)"
            )
        if self.root == "":
            raise ValueError("root: an empty path; the folder of the videos was expected, or null")
        what, lacks = "demo" if self.demo else "joined dataset", []
        if self.demo or self.of:
            lacks = ["annotation", "compare"] + (["fps", "frames_fps"] if self.of else [])
        for key in lacks:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: a {what} has none of its own")
        if self.demo and self.layout not in ("cas_me_sq", "samm_lv"):
            raise ValueError("layout: a demo is made as cas_me_sq or samm_lv")
        if self.compare and not self.annotation:
            raise ValueError("compare: it is compared with `annotation`, which is not given")
        return self

    @field_validator("root", "annotation", "compare")
    @classmethod
    def _from_home(cls, path: str | None) -> str | None:
        return path and str(Path(of_this_system(path)).expanduser())

    def file(self, name: str) -> str:
        """An annotation's path: in the dataset's root, in the folder around that, or as it is given.

        `name` may hold * for what differs from one release to the next. Raises InputError where no
        file fits, or several do.
        """
        root = Path(self.root or "")
        if not root.exists():
            raise InputError(
                f"{root}: no such file or folder; set the dataset's root in config.yaml"
            )
        places = [root, root.parent, Path()]
        for place in places:
            if (place / name).exists():
                return str(place / name)
        for place in places if root.is_dir() and not Path(name).is_absolute() else []:
            found = sorted(
                path
                for path in place.iterdir()
                if path.match(name) and not path.name.startswith((".", "~$"))
            )
            if len(found) > 1:
                listed = ", ".join(path.name for path in found)
                raise InputError(
                    f"{place}: {name} fits {listed}; name one as the dataset's annotation"
                )
            if found:
                return str(found[0])
        tables = [
            str(path)
            for place in places[:2]
            for ending in ("xlsx", "xls", "csv", "tsv", "txt", "eaf")
            for path in sorted(place.glob(f"[!.~]*.{ending}"))
        ]
        raise InputError(
            f"{root}: no annotation {name} in it or beside it; there are {', '.join(tables) or 'no tables'}: "
            "name one as the dataset's annotation in config.yaml"
        )


class Own(Settings):
    """How videos of one's own are prepared, and which method spots in them."""

    method: str = "displacement"
    dataset: str | None = None  # whose model of all subjects spots, if the method trains one
    fps: Rate = 30.0
    frames_fps: OwnRate | None = None
    face: Literal["largest", "left", "right", "all"] | Count = "largest"
    from_s: Annotated[float, Field(ge=0)] | None = Field(None, alias="from")
    to_s: Positive | None = Field(None, alias="to")
    overlay: bool = False
    settings: dict[str, dict[str, Any]] = {"align": {"size": 128}}

    @model_validator(mode="after")
    def _in_order(self) -> Own:
        if self.to_s is not None and self.to_s <= (self.from_s or 0):
            raise ValueError(f"to: {self.to_s:g} s is not after from, {self.from_s or 0:g} s")
        return self


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
    "multiscale": Multiscale,
    "select": Select,
    "evaluate": Evaluate,
    "spot": Spot,
    "two_stage": TwoStage,
    "displacement": Displacement,
    "score": Score,
    "report": Report,
}


def _in_short(value: str | float) -> str:
    if isinstance(value, int) and abs(value) > 2**64:
        return "a number of so many digits"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def explain(error: ValidationError, place: Callable[[tuple], str] = lambda keys: "") -> str:
    """A line for each fault: its place, the key, what was expected, what was there."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        # Without what pydantic calls the kinds that a value may be of.
        parts = [
            part
            for part in map(str, fault["loc"])
            if not re.match(r"\[key\]$|literal\[|constrained-", part)
        ]
        key = ".".join(parts)
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            said = "unknown key; config.yaml lists every key there is"
        elif fault["type"] in ("dict_type", "model_type"):
            said = "keys of its own were expected below it, as in config.yaml"
        elif isinstance(fault["input"], str | int | float):
            said += f" (given: {_in_short(fault['input'])})"
        where = f"{place(fault['loc'])}{key}: " if key else place(())
        lines[where] = f"{lines[where]}, or: {said}" if key and where in lines else f"{where}{said}"
    return "\n  ".join(lines.values())
