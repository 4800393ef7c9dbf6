"""plan: what a configuration asks for: which videos, folds, runs and files, and what each is made of.

A *run* is a method, or one of its further seeds (METHOD/seed_2); a *fold* is the subject who is left
out, `all`, or inner_I_J, which leaves out two groups of subjects; *chosen* is the part of a path that
says how the epoch was chosen: "", "/inner" or "/oracle". Nothing here knows of Snakemake: the rules
ask by the names of their wildcards (workflow/rules/common.smk).
"""

from __future__ import annotations

import json
import os
import re
import symtable
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from mespot import faces, own
from mespot.config import Config
from mespot.datasets import layouts
from mespot.datasets.endings import ANNOTATIONS
from mespot.datasets.layouts import ALL, Video
from mespot.errors import InputError
from mespot.experiments import SPOTTED, of_folder, spotted_in
from mespot.fingerprints import Sources, fingerprint
from mespot.rerun import digest, digest_of, file_digest

# Where the models that come with mespot stand; any other is a file of the user's.
OF_MESPOT = {
    "auw_gcn": "networks.auw_gcn",
    "displacement": "spotting.displacement",
    "multiscale": "networks.multiscale",
}
# What a network's graph is called that is none, or no fixed one.
NO_GRAPH = ("none", "learned")


class Plan:
    """What a checked configuration asks for. What is asked twice is kept."""

    def __init__(self, config: Config) -> None:
        self.config, self.results = config, config.results
        self.sources = Sources(Path(self.results, "sources.json"))
        self.videos = cache(self._videos)
        self.subjects = cache(self._subjects)
        self.settings = cache(self._settings)
        self._apart = cache(self._are_apart)

    # --- videos ---------------------------------------------------------------------------------

    def _videos(self, dataset: str) -> dict[str, Video]:
        """The dataset's videos by name, known before anything runs, so that no checkpoint is needed.

        Raises InputError.
        """
        config, entry = self.config, self.config.datasets[dataset]
        if entry.of:
            return {name: one for part in entry.of for name, one in self.videos(part).items()}
        if entry.demo:
            made = config.stage("demo", dataset)
            root = f"{self.results}/demo/{dataset}"
            found = layouts.demo(entry.layout, root, made.subjects, made.videos)
        elif dataset in self.each_person:
            counts = Path(self.results, dataset, "faces.json")
            found = own.tracks(own.find(config.video), config.stage("align", dataset), counts)
        elif self.is_own(dataset):
            found = own.find(config.video)
        else:
            found = layouts.find(entry.layout, entry.root, self._subjects_named(dataset))
        return {one.video: one for one in found}

    def _subjects_named(self, dataset: str) -> dict[str, str]:
        """A folder of the layout `videos` need not name its videos' subjects: the annotation may."""
        entry = self.config.datasets[dataset]
        if entry.layout != "videos" or not entry.annotation:
            return {}
        from mespot.datasets import annotation_files  # pandas: half a second

        return annotation_files.subjects(Path(entry.file(entry.annotation)))

    def video(self, dataset: str, video: str) -> Video:
        """One video by its name. Raises InputError where the dataset has none of that name."""
        try:
            return self.videos(dataset)[video]
        except KeyError:
            raise InputError(f"{dataset} has no video {video}") from None

    def is_own(self, dataset: str) -> bool:
        """Whether a dataset is one's own video, or a folder of them."""
        return bool(self.config.video) and dataset == self.config.own_name

    @property
    def each_person(self) -> list[str]:
        """The dataset each of whose videos becomes one for each person in the picture."""
        config = self.config
        return [config.own_name] if config.video and config.own.face == "all" else []

    def _subjects(self, dataset: str) -> tuple[str, ...]:
        return tuple(sorted({found.subject for found in self.videos(dataset).values()}))

    def of_videos(self, dataset: str, stage: str, ending: str = "h5") -> list[str]:
        """A stage's files of all videos of a dataset."""
        where = f"{self.results}/{dataset}/{stage}"
        return [f"{where}/{video}.{ending}" for video in self.videos(dataset)]

    @cached_property
    def n_videos(self) -> int:
        """How many videos there are to prepare."""
        return sum(len(self.videos(name)) for name in [*self.filmed, *self.published])

    def first_frame(self, dataset: str) -> list[int]:
        """What a benchmark's frames must begin with, if anything, since its annotation counts from there."""
        first = layouts.FIRST_FRAME.get(self.config.datasets[dataset].layout)
        return [] if first is None else [first]

    def demo_folders(self, dataset: str) -> list[str]:
        """The folders of frames, below its own, that a demo dataset is made of."""
        root = f"{self.results}/demo/{dataset}"
        return [os.path.relpath(found.path, root) for found in self.videos(dataset).values()]

    def demo_indices(self, dataset: str, folder: str) -> tuple[int, int]:
        """Which subject and which of its videos a demo folder is."""
        each = self.config.stage("demo", dataset).videos
        return divmod(self.demo_folders(dataset).index(folder), each)

    def people(self, dataset: str) -> dict[str, str]:
        """The subject of each video."""
        return {name: found.subject for name, found in self.videos(dataset).items()}

    # --- kinds of datasets ----------------------------------------------------------------------

    @property
    def published(self) -> list[str]:
        """The datasets of published features."""
        return [name for name, entry in self.config.datasets.items() if entry.layout == "features"]

    @property
    def joined(self) -> list[str]:
        return [name for name, entry in self.config.datasets.items() if entry.of]

    @property
    def filmed(self) -> list[str]:
        """The datasets whose videos are prepared."""
        others = {*self.published, *self.joined}
        return [name for name in self.config.datasets if name not in others]

    @property
    def demos(self) -> list[str]:
        return [name for name, entry in self.config.datasets.items() if entry.demo]

    @property
    def labelled(self) -> list[str]:
        """The datasets to train and score on."""
        return [name for name in self.config.datasets if self.config.labelled(name)]

    @property
    def checked(self) -> list[str]:
        """The datasets of which there is something to check before anything long starts."""
        datasets = self.config.datasets
        return [name for name, entry in datasets.items() if entry.root and entry.annotation]

    def apart(self, one: str, other: str) -> bool:
        """Whether two datasets have no subject in common."""
        return self._apart(*sorted((one, other)))

    def _are_apart(self, one: str, other: str) -> bool:
        return set(self.subjects(one)).isdisjoint(self.subjects(other))

    @property
    def pool(self) -> list[str]:
        """The datasets whose counts are added up; none if a person would count twice."""
        single = [name for name in self.labelled if not self.config.datasets[name].of]
        return single if all(self.apart(a, b) for a, b in combinations(single, 2)) else []

    # --- annotations ----------------------------------------------------------------------------

    def annotation_file(self, dataset: str) -> str:
        """The dataset's spreadsheet, CSV or folder of annotations; a demo's is made. Raises InputError."""
        entry = self.config.datasets[dataset]
        if entry.demo:
            return f"{self.results}/demo/{dataset}/annotation.xlsx"
        return entry.file(entry.annotation)

    def compared_file(self, dataset: str) -> list[str]:
        """The dataset's second annotation, if any. Raises InputError."""
        entry = self.config.datasets[dataset]
        return [entry.file(entry.compare)] if entry.compare else []

    def given_files(self, dataset: str) -> list[str]:
        """Every video and table of a dataset that a user gave. Raises InputError."""
        entry = self.config.datasets[dataset]
        if entry.demo or entry.of:
            return []
        tables = [entry.file(name) for name in (entry.annotation, entry.compare) if name]
        return [*(found.path for found in self.videos(dataset).values()), *tables]

    # --- what is known of a source, so that another in its place is noticed ------------------------

    def source(self, dataset: str, video: str) -> str:
        """What a video's source is known by: it changes where the source does. "" of a demo's."""
        if self.config.datasets[dataset].demo:
            return ""
        made = Path(self.results, dataset, "align", f"{video}.h5")
        return self.sources.known_as(
            f"{dataset}/{video}", Path(self.video(dataset, video).path), made
        )

    def published_source(self, dataset: str) -> str:
        """The same of the folder of published features."""
        root = Path(self.config.datasets[dataset].root)
        return self.sources.known_as(dataset, root, Path(self.results, dataset, "features.h5"))

    def annotation_source(self, dataset: str) -> list[str]:
        """The same of the annotations: their digests, for they are small."""
        if self.config.datasets[dataset].demo:
            return []
        files = [self.annotation_file(dataset), *self.compared_file(dataset)]
        return [fingerprint(Path(file), ANNOTATIONS) for file in files]

    def all_sources(self, dataset: str) -> str:
        """One digest of all that a dataset comes from, for `check`."""
        if dataset in self.published:
            known = [self.published_source(dataset)]
        else:
            found = self.videos(dataset).values()
            known = [f"{one.path} {self.source(dataset, one.video)}" for one in found]
        return digest_of("\n".join([*known, *self.annotation_source(dataset)]))

    # --- methods, runs and folds ----------------------------------------------------------------

    def runs(self, method: str) -> list[str]:
        """A method, once for each of its seeds."""
        further = range(2, self.config.seeds(method) + 1)
        return [method, *(f"{method}/seed_{number}" for number in further)]

    @property
    def two_stage(self) -> list[str]:
        """The methods whose networks' candidates are evaluated by a second stage."""
        return [name for name in self.config.methods if self.config.two_stage_method(name)]

    def ways(self, dataset: str, method: str, without: tuple[str, ...] = ()) -> list[str]:
        """The paths' part for each way of choosing the epoch."""
        if not self.config.trains(method) or self.config.two_stage_method(method):
            return [""]
        policies = self.settings("select", dataset, method).policies
        parts = {policy: f"/{policy}" for policy in policies} | {"last": ""}
        return [parts[policy] for policy in policies if policy not in without]

    def left_one_out(self, method: str) -> list[str]:
        """The datasets that a method is scored on with one subject left out of its training, if it has any."""
        return [
            name
            for name in self.config.run_on(method)
            if not self.config.trains(method) or len(self.subjects(name)) > 1
        ]

    def crossed(self, method: str) -> list[tuple[str, str]]:
        """Pairs (trained on, tested on) of datasets of other people whose features are of one kind.

        That is of the same regions. And published features tell no face size, so they do not go together
        with filmed ones but by a method whose inputs have no unit.
        """
        if not self.config.trains(method):
            return []
        single = [name for name in self.config.run_on(method) if name not in self.joined]
        unit_free = self.config.two_stage_method(method)
        kind = {
            name: (not unit_free and name in self.published, self._regions(name)) for name in single
        }
        return [(a, b) for a in kind for b in kind if kind[a] == kind[b] and self.apart(a, b)]

    def _regions(self, dataset: str) -> tuple[str, ...]:
        """The regions of a dataset's features, by name; published features are of the paper's."""
        if dataset in self.published:
            from mespot.datasets.segments import PUBLISHED_REGIONS  # numpy: a tenth of a second

            return PUBLISHED_REGIONS
        roi = self.settings("roi", dataset)
        return (*roi.sets[roi.set],)

    def network(self, run: str) -> dict[str, str]:
        """What names a method's model class, and the digest of its code if it is the user's own.

        Raises InputError.
        """
        method = method_of(run)
        name = self.config.model(method)
        path, colon, _ = name.rpartition(":")
        if name not in OF_MESPOT and not (colon and Path(path).is_file()):
            raise InputError(
                f"methods.{method}.model: {name!r}: one of {', '.join(OF_MESPOT)} or path/to/file.py:Class "
                "was expected"
            )
        if colon and not defines(Path(path), name.rpartition(":")[2]):
            raise InputError(
                f"methods.{method}.model: {name!r}: no class of that name is in this Python file"
            )
        code = file_digest(Path(path)) if colon else digest(OF_MESPOT[name])
        return {"name": name, "code": code}

    def groups(self, dataset: str, run: str) -> dict[int, tuple[str, ...]]:
        """The groups of subjects that the inner trainings leave out, numbered from 1."""
        everyone, method = self.subjects(dataset), self.config.trainer(method_of(run))
        stage = "evaluate" if self.config.two_stage_method(method) else "select"
        number = min(self.settings(stage, dataset, method).groups, len(everyone))
        return {k: everyone[k - 1 :: number] for k in range(1, number + 1)}

    def left_out(self, dataset: str, run: str, fold: str) -> list[str]:
        """Whom a training leaves out: a subject, groups of subjects, or nobody."""
        if inner := re.fullmatch(r"inner_(\d+)_(\d+)", fold):
            groups = self.groups(dataset, run)
            return [name for number in inner.groups() for name in groups[int(number)]]
        return [] if fold == ALL else [fold]

    # --- what each file is made of ----------------------------------------------------------------

    def models_of_folds(
        self, dataset: str, run: str, chosen: str, source: str | None = None
    ) -> list[str]:
        """The folds' last models, or all their epochs to take the chosen from.

        Across datasets it is the model of all subjects of the `source`.
        """
        if not self.config.trains(method_of(run)):
            return []
        name = "epochs.pt" if chosen else "model.pt"
        folds = [ALL] if source else self.subjects(dataset)
        return [
            f"{self.results}/{source or dataset}/{trained}/folds/{fold}/{name}"
            for fold in folds
            for trained in self.trained_runs(run)
        ]

    def trained_runs(self, run: str) -> list[str]:
        """The runs whose networks a run spots by: its own, or all seeds of the method it is the mean of."""
        trainer = self.config.trainer(method_of(run))
        return [run] if trainer == method_of(run) else self.runs(trainer)

    def evaluation(
        self, dataset: str, run: str, chosen: str, source: str | None = None
    ) -> list[str]:
        """What tells how probable a candidate is, of a method of two stages."""
        if not self.config.two_stage_method(method_of(run)):
            return []
        return [f"{self.results}/{source or dataset}/{run}/evaluation.h5"]

    def models_to_learn_from(self, dataset: str, run: str) -> list[str]:
        """The trainings that left out each pair of groups of subjects."""
        pairs = combinations(self.groups(dataset, run), 2)
        return [
            f"{self.results}/{dataset}/{trained}/folds/inner_{i}_{j}/model.pt"
            for i, j in pairs
            for trained in self.trained_runs(run)
        ]

    def selection(
        self, dataset: str, run: str, chosen: str, source: str | None = None
    ) -> list[str]:
        """What was chosen, if anything was."""
        where = f"{self.results}/{source or dataset}/{run}"
        return [f"{where}{chosen}/selection.csv"] if chosen else []

    def trainings_to_choose_by(self, dataset: str, run: str, policy: str) -> list[str]:
        """inner: the trainings that left out each pair of groups; oracle: the folds."""
        folds = self.subjects(dataset)
        if policy == "inner":
            folds = [f"inner_{i}_{j}" for i, j in combinations(self.groups(dataset, run), 2)]
        return [f"{self.results}/{dataset}/{run}/folds/{fold}/epochs.pt" for fold in folds]

    def annotation_to_train_on(self, dataset: str, run: str, fold: str) -> str:
        """The annotation; the published code takes its frames as given. Raises InputError."""
        if self.subjects(dataset) == (fold,):
            raise InputError(self._one_subject(dataset, [method_of(run)]))
        settings = self.settings("train", dataset, method_of(run))
        form = "_as_given" if getattr(settings, "labels", "") == "published" else ""
        return f"{self.results}/{dataset}/annotation{form}.csv"

    def model_to_start_from(self, dataset: str, run: str) -> list[str]:
        """The other dataset's model that training begins with, if any."""
        start = self.settings("train", dataset, method_of(run)).start
        return [f"{self.results}/{start}/folds/{ALL}/model.pt"] if start else []

    def histories(self, dataset: str, run: str, chosen: str) -> list[str]:
        """The course of each fold's training; none of a run that trains nothing itself."""
        if not self.trains_itself(run):
            return []
        folds = self.subjects(dataset)
        return [f"{self.results}/{dataset}/{run}/folds/{fold}/history.csv" for fold in folds]

    def model_with_graph(self, dataset: str, run: str, chosen: str) -> list[str]:
        """The model of all subjects, where its network has a fixed graph."""
        method = method_of(run)
        if not self.trains_itself(run) or self.settings("train", dataset, method).graph in NO_GRAPH:
            return []
        return [f"{self.results}/{dataset}/{run}/folds/{ALL}/model.pt"]

    def trains_itself(self, run: str) -> bool:
        """Whether a run has trainings of its own: it spots by networks, and not by another method's."""
        return self.config.trains(method_of(run)) and self.trained_runs(run) == [run]

    # --- what is asked for ------------------------------------------------------------------------

    def scores(self) -> list[str]:
        """The score files of all methods and seeds, on each dataset and from one to another."""
        return (
            [
                f"{self.results}/{dataset}/{run}{chosen}/score.json"
                for method in self.config.methods
                for dataset in self.left_one_out(method)
                for run in self.runs(method)
                for chosen in self.ways(dataset, method)
            ]
            + [
                f"{self.results}/{dataset}/{run}/cross/{source}{chosen}/score.json"
                for method in self.config.methods
                for source, dataset in self.crossed(method)
                for run in self.runs(method)
                for chosen in self.ways(source, method, without=("oracle",))
            ]
            + [
                f"{self.results}/{dataset}/{run}/part/{part}{chosen}/score.json"
                for method in self.config.methods
                for dataset in self.left_one_out(method)
                for part in self.config.datasets[dataset].of
                for run in self.runs(method)
                for chosen in self.ways(dataset, method)
            ]
        )

    def drawn(self) -> list[str]:
        """The runs that figures are made of: each method's first seed and policy on each dataset."""
        chosen = self.config.report.methods
        return [
            f"{dataset}/{method}{self.ways(dataset, method)[0]}"
            for method in self.config.methods
            if chosen is None or method in chosen
            for dataset in self.left_one_out(method)
        ]

    def shown(self) -> list[str]:
        """The same, as folders of their scores, of which intervals are shown.

        A joined dataset's videos are its parts': of these each for itself.
        """
        found = []
        for folder in self.drawn():
            dataset, method, *way = folder.split("/")
            parts = [["part", part] for part in self.config.datasets[dataset].of] or [[]]
            found += ["/".join([dataset, method, *part, *way]) for part in parts]
        return found

    def spotted_shown(self) -> list[str]:
        """What was spotted in the runs on the page."""
        runs = [spotted_in(folder) for folder in self.shown()]
        return [f"{self.results}/{run}/{name}" for run in dict.fromkeys(runs) for name in SPOTTED]

    @property
    def datasets_shown(self) -> list[str]:
        return list(dict.fromkeys(of_folder(folder).dataset for folder in self.shown()))

    def faces(self, dataset: str) -> list[str]:
        """What shows the faces of a dataset's videos; nothing of published features."""
        if dataset not in self.filmed:
            return []
        kinds = {"align": "mkv", "landmarks": "h5", "flow": "h5"}
        return [
            path
            for stage, ending in kinds.items()
            for path in self.of_videos(dataset, stage, ending)
        ]

    def faces_shown(self) -> list[str]:
        """The same of all datasets on the page."""
        return [path for dataset in self.datasets_shown for path in self.faces(dataset)]

    def asked(self) -> list[str]:
        """What a run is for: the table and the page, or what spotting in one's own video gives.

        Scores and intervals too: what is missing of them would not be made again for the table, which is there.
        Raises InputError where there is nothing to score.
        """
        if self.config.video:
            return [*self.own_results(), *self.own_overlays()]
        if not self.scores():
            nothing = (
                "no dataset has an annotation: nothing to score; name one (docs/datasets.md), or spot in a "
                "folder of videos alone: --config video=FOLDER"
            )
            raise InputError(next(self._not_scored(), nothing))
        where = self.results
        models = [
            f"{where}/{dataset}/{method}/folds/{ALL}/model.pt"
            for dataset, method in self.config.trained()
        ]
        checks = [f"{where}/{dataset}/check.csv" for dataset in self.checked]
        scores = self.scores()
        intervals = [
            str(Path(score).with_name("intervals.csv")) for score in scores if "/part/" not in score
        ]
        pages = [f"{where}/summary.csv", f"{where}/report/index.html"]
        figures = [f"{where}/report/figures/{name}" for name in ("table1.tex", *self.drawn())]
        return [*checks, *pages, *figures, *models, *scores, *intervals]

    def own_run(self) -> str:
        """Where the intervals in one's own video stand, below its dataset's folder."""
        own_ = self.config.own
        if not self.config.video:
            return "none"
        if not own_.dataset:
            return own_.method
        # The method's first way of choosing that needs no labels of theirs.
        chosen = next(iter(self.ways(own_.dataset, own_.method, without=("oracle",))), "")
        return f"{own_.method}/cross/{own_.dataset}{chosen}"

    def own_spotted(self) -> list[str]:
        """What was spotted in one's own videos."""
        return [
            f"{self.results}/{self.config.own_name}/{self.own_run()}/{name}" for name in SPOTTED
        ]

    def own_results(self) -> list[str]:
        """What spotting in one's own video gives: intervals and page."""
        where = f"{self.results}/{self.config.own_name}"
        return [f"{where}/{self.own_run()}/intervals.csv", f"{where}/report/index.html"]

    def own_overlays(self) -> list[str]:
        """One's own videos, drawn, if that is wished."""
        config = self.config
        if not (config.video and config.own.overlay):
            return []
        where = f"{self.results}/{config.own_name}/{self.own_run()}/overlay"
        return [f"{where}/{video}.mp4" for video in self.videos(config.own_name)]

    def prepared(self, stage: str, dataset: str, video: str, **_: str) -> str:
        """A stage's file of a video. Raises InputError."""
        return f"{self.results}/{self.part(dataset, video)}/{stage}/{video}.h5"

    def preparing(self, stage: str, dataset: str, video: str, **_: str) -> str:
        """The settings by which a video was prepared, as JSON; of `decode` those of reading it alone."""
        part = self.part(dataset, video)
        return self.stage(stage, without=("align",), dataset=part, video=video)["config"]

    def part(self, dataset: str, video: str) -> str:
        """The dataset that a video is prepared in: itself, or of a joined one a part. Raises InputError."""
        self.video(dataset, video)
        part = next(one for one in self.config.parts(dataset) if video in self.videos(one))
        if part in self.published:
            raise InputError(f"{part}: published features; there are no pictures to draw on")
        return part

    # --- what a job is given, by which Snakemake tells whether it must run again ------------------

    def _settings(self, stage: str, dataset: str | None = None, method: str | None = None) -> Any:
        return self.config.stage(stage, dataset, method)

    def stage(
        self,
        name: str,
        without: tuple[str, ...] = (),
        of: str | None = None,
        *,
        dataset: str | None = None,
        run: str | None = None,
        video: str | None = None,
        **_: str,
    ) -> dict[str, str]:
        """The one `params` of a stage: its slice of the configuration and a digest of its code.

        `without` are keys that a rule does not read, `of` is the stage whose settings it reads if it
        has none of its own; the rest are the job's wildcards. Of a stage with a detector, the
        detector's code and weights count too. Raises InputError.
        """
        config, method = self.config, run and method_of(run)
        settings = self.settings(of or name, dataset, method).plain()
        modules, weights = [name], {}
        if name == "align" and dataset in self.each_person:
            settings["face"] = own.person(video)
        if name == "spot":
            modules.append(f"spotting.{self._way(method)}")
        if name == "train":
            settings["seed"] += self.runs(method).index(run)
            modules = ["train_multiscale"] if config.two_stage_method(method) else modules
        settings = {key: value for key, value in settings.items() if key not in without}
        if "sets" in settings:  # those that are not used may change
            settings["sets"] = {settings["set"]: settings["sets"][settings["set"]]}
        if detector := settings.get("detector"):
            modules.append(f"faces.{detector}")
            weights = weights_of(detector)
        return {"config": json.dumps(settings), "code": digest(*modules), **weights}

    def _way(self, method: str) -> str:
        """The module of `spotting` by which a method spots."""
        if self.config.two_stage_method(method):
            return "two_stage"
        return "network" if self.config.trains(method) else "displacement"

    def spot_settings(self, dataset: str, run: str) -> str:
        """What `select` spots with, as JSON."""
        return json.dumps(self.settings("spot", dataset, method_of(run)).plain())

    def gpu(self, stage: str, dataset: str) -> int:
        """Whether a stage with a detector asks for a GPU: it does if that is a network."""
        return int("weights" in weights_of(self.settings(stage, dataset).detector))

    # --- what is wrong, said before anything runs -------------------------------------------------

    def check(self) -> None:
        """Raises InputError for what would go wrong once jobs run, or be unfair."""
        for dataset in self.filmed:
            for stage in ("align", "landmarks"):
                weights_of(self.settings(stage, dataset).detector)
        for dataset, method in self.config.trained():
            self._check_folds(dataset, method)

    def _check_folds(self, dataset: str, method: str) -> None:
        self.network(method)
        self._check_parts(dataset, method)
        everyone = self.subjects(dataset)
        if self.config.two_stage_method(method):
            if len(everyone) < 3:
                raise InputError(
                    f"{dataset}: two stages need at least 3 subjects to learn from; it has {len(everyone)}: "
                    f"run {method} on other datasets (methods.{method}.datasets)"
                )
            return
        if self._leaves_out_pairs(dataset, method) and len(everyone) < 3:
            raise InputError(
                f"{dataset}: policy inner needs at least 3 subjects; it has {len(everyone)}: give "
                f"methods.{method}.select.policies without it"
            )
        start = self.settings("train", dataset, method).start
        if start and not self.apart(start.split("/")[0], dataset):
            raise InputError(
                f"methods.{method}.train.start: {start} has seen subjects that are left out of "
                f"{dataset}; start from a dataset of other people"
            )

    def _check_parts(self, dataset: str, method: str) -> None:
        """Whether the features of a joined dataset's parts go together in a training."""
        parts = self.config.parts(dataset)
        if len({self._regions(part) for part in parts}) > 1:
            raise InputError(
                f"datasets.{dataset}: {', '.join(parts)} have other regions than one another; prepare them with "
                f"the same roi.set, or run {method} on each (methods.{method}.datasets)"
            )
        mixed = len({part in self.published for part in parts}) > 1
        if mixed and not self.config.two_stage_method(method):
            training = self.settings("train", dataset, method)
            if training.normalisation != "published":
                raise InputError(
                    f"datasets.{dataset}: {', '.join(parts)}: published features tell no face size, filmed videos' "
                    f"do; leave {method} out (methods.{method}.datasets) or give it train.normalisation: published"
                )

    def _leaves_out_pairs(self, dataset: str, method: str) -> bool:
        """Whether a method trains without two groups of subjects, to choose on them or to learn from them."""
        if self.config.two_stage_method(method):
            return True
        return "inner" in self.settings("select", dataset, method).policies

    def wrong_annotations(self) -> Iterator[InputError]:
        """What in the datasets' annotations would stop training."""
        from mespot.check import check_annotation  # pandas: half a second

        for name in self.checked:
            source = Path(self.annotation_file(name))
            other = next(map(Path, self.compared_file(name)), None)
            videos = list(self.videos(name).values())
            try:
                shown = check_annotation(source, other, videos, self.settings("decode", name))
            except InputError as error:
                yield error
                continue
            # One subject alone in the whole dataset is `_not_scored`.
            trained = [method for on, method in self.config.trained() if on == name]
            if trained and len(shown) == 1 < len(self.subjects(name)):
                yield InputError(
                    f"{source}: only {min(shown)} has expressions in it: left out, nothing is left to train on; "
                    f"annotate a second subject, or run {', '.join(trained)} on other datasets (methods.NAME.datasets)"
                )
                continue
            for method in trained:
                groups = self.groups(name, method) if self._leaves_out_pairs(name, method) else {}
                for one, other in combinations(groups.values(), 2):
                    if shown <= {*one, *other}:
                        yield InputError(
                            f"{source}: only {', '.join(sorted(shown))} have expressions in it: {method} leaves out "
                            "groups of subjects, two at a time, and nothing would be left to train on; annotate "
                            "more subjects, or run it on other datasets (methods.NAME.datasets)"
                        )
                        break

    def left_aside(self) -> Iterator[str]:
        """What is not run or not scored of what the configuration lists, and why: a line each."""
        for dataset in [] if self.config.video else self.config.datasets:
            if not self.config.labelled(dataset):
                yield (
                    f"datasets.{dataset}: it has no annotation, so nothing is run on it; name one "
                    "(docs/datasets.md), or spot in its folder alone: --config video=FOLDER"
                )
        yield from self._not_scored()

    def _not_scored(self) -> Iterator[str]:
        """A line for each dataset of one subject that methods would be trained on."""
        for dataset in [] if self.config.video else self.labelled:
            methods = [method for on, method in self.config.trained() if on == dataset]
            if methods and len(self.subjects(dataset)) == 1:
                yield self._one_subject(dataset, methods)

    def _one_subject(self, dataset: str, methods: list[str]) -> str:
        """Why methods are not scored on a dataset of one subject: nothing is left to train on."""
        return (
            f"datasets.{dataset}: one subject, and to leave one out takes two: {', '.join(methods)} cannot be "
            "scored on it (displacement, which trains nothing, can); the model of all, "
            f"{self.results}/{dataset}/{methods[0]}/folds/{ALL}/model.pt, spots in other videos with "
            f"own: {{method: {methods[0]}, dataset: {dataset}}}"
        )


def defines(path: Path, name: str) -> bool:
    """Whether a Python file says what a name is; nothing of it runs."""
    try:
        found = symtable.symtable(path.read_text("utf-8"), str(path), "exec").lookup(name)
    except (SyntaxError, ValueError, KeyError):
        return False
    return path.suffix == ".py" and (found.is_assigned() or found.is_imported())


def method_of(run: str) -> str:
    return run.split("/")[0]


@cache
def weights_of(detector: str) -> dict[str, str]:
    """Which detector, and its weights if it needs any. Raises InputError: without them nothing runs."""
    return faces.provenance(detector)
