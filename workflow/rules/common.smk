import json
import os
import re
import shlex
import sys
import sysconfig
from functools import cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.io import contains_wildcard

from mespot import faces, own
from mespot.datasets import layouts
from mespot.config import load
from mespot.errors import InputError
from mespot.rerun import digest, file_digest
from mespot.start import check_writable, stop

try:
    # Where it is written, unless --config says otherwise: the last --configfile counts, config.yaml least.
    files = [
        Path(file) for file in workflow.configfiles[-2::-1] + workflow.configfiles[-1:]
    ]
    cfg = load(config, [] if workflow.config_settings.config else files)
except InputError as error:
    stop(error)

R = cfg.results
if workflow.is_main_process:
    check_writable(Path(R).absolute(), "give another folder: --config results=FOLDER")
# The dataset each of whose videos becomes one for each person in the picture.
EACH_PERSON = [cfg.own_name] if cfg.video and cfg.own.face == "all" else []


wildcard_constraints:
    dataset=r"[\w.-]+",
    source=r"[\w.-]+",
    video=r"[\w.-]+",
    # A method; its further seeds stand below it.
    run=r"[\w.-]+(/seed_\d+)?",
    # A subject, or all; inner_I_J leaves out two groups of subjects.
    fold=r"[\w.-]+",
    # How epoch and thresholds were chosen: `last`, where nothing is, stands at the run itself.
    chosen="|/inner|/oracle",
    policy="inner|oracle",


# Jobs run the `mespot` of this interpreter, whatever is on PATH. (An environment that Snakemake
# activates for a job, as with --sdm conda, comes before it.)
first = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
os.environ.update(PATH=os.pathsep.join(first))
# Jobs share the cores; a library that opens a thread for each core would slow the others down.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(variable, "1")


def found_file(entry, name):
    try:
        return entry.file(name)
    except InputError as error:
        stop(error)


@cache
def videos(dataset):
    """The dataset's videos, known before anything runs, so that no checkpoint is needed."""
    entry = cfg.datasets[dataset]
    try:
        if entry.demo:
            made = cfg.stage("demo", dataset)
            return layouts.demo(
                entry.layout, f"{R}/demo/{dataset}", made.subjects, made.videos
            )
        if entry.of:
            return [found for part in entry.of for found in videos(part)]
        if dataset in EACH_PERSON:
            counts = Path(f"{R}/{dataset}/faces.json")
            return own.tracks(own.find(cfg.video), cfg.stage("align", dataset), counts)
        if cfg.video and dataset == cfg.own_name:
            return own.find(cfg.video)
        subjects = {}
        # A folder of the layout `videos` need not name its videos' subjects.
        if entry.layout == "videos" and entry.annotation:
            from mespot.datasets import annotation_files  # pandas: half a second

            subjects = annotation_files.subjects(Path(entry.file(entry.annotation)))
        return layouts.find(entry.layout, entry.root, subjects)
    except InputError as error:
        stop(error)


# Here, not first in an input function: where one fails Snakemake goes by what is there already.
for name, entry in cfg.datasets.items():
    tables = [
        found_file(entry, file) for file in (entry.annotation, entry.compare) if file
    ]
    for path in [*(found.path for found in videos(name)), *tables]:
        if contains_wildcard(path):
            stop(f"{path}: a name in braces means something to Snakemake; rename it")


def video(wildcards):
    """The video that a job's wildcards name."""
    for found in videos(wildcards.dataset):
        if found.video == wildcards.video:
            return found
    raise WorkflowError(f"{wildcards.dataset} has no video {wildcards.video}")


def first_frame(wildcards):
    """What a benchmark's frames must begin with, since its annotation counts from there."""
    first = layouts.FIRST_FRAME.get(cfg.datasets[wildcards.dataset].layout)
    return "" if first is None else f"--first-frame {first}"


def subjects(dataset):
    return sorted({found.subject for found in videos(dataset)})


def labelled():
    """The datasets to train and score on."""
    return [name for name in cfg.datasets if cfg.labelled(name)]


def method_of(run):
    return run.split("/")[0]


def runs(method):
    """A method, once for each of its seeds."""
    further = range(2, cfg.seeds(method) + 1)
    return [method, *(f"{method}/seed_{number}" for number in further)]


def ways(dataset, method, without=()):
    """The paths' part for each way of choosing the epoch."""
    if not cfg.trains(method):
        return [""]
    policies = cfg.stage("select", dataset, method).policies
    parts = {policy: os.sep + policy for policy in policies}
    parts["last"] = ""
    return [parts[policy] for policy in policies if policy not in without]


def apart(one, other):
    """Whether two datasets have no subject in common."""
    return not set(subjects(one)) & set(subjects(other))


def pool():
    """The datasets whose counts are added up; none if a person would count twice."""
    single = [name for name in labelled() if not cfg.datasets[name].of]
    return single if all(apart(a, b) for a, b in combinations(single, 2)) else []


def left_one_out(method):
    """The datasets that a method is scored on with one subject left out of its training, if it has any."""
    return [
        name
        for name in cfg.run_on(method)
        if not cfg.trains(method) or len(subjects(name)) > 1
    ]


def one_subject(dataset, methods):
    """Why methods are not scored on a dataset of one subject: nothing is left to train on."""
    return (
        f"datasets.{dataset}: one subject, and to leave one out takes two: {', '.join(methods)} cannot be "
        "scored on it (displacement, which trains nothing, can); the model of all, "
        f"{R}/{dataset}/{methods[0]}/folds/all/model.pt, spots in other videos with "
        f"own: {{method: {methods[0]}, dataset: {dataset}}}"
    )


def not_scored():
    """A line for each dataset of one subject that methods would be trained on."""
    for dataset in [] if cfg.video else labelled():
        methods = [method for on, method in cfg.trained() if on == dataset]
        if methods and len(subjects(dataset)) == 1:
            yield one_subject(dataset, methods)


def left_aside():
    """What is not run or not scored of what the configuration lists, and why: a line each."""
    for dataset in [] if cfg.video else cfg.datasets:
        if not cfg.labelled(dataset):
            yield (
                f"datasets.{dataset}: it has no annotation, so nothing is run on it; name one "
                "(docs/datasets.md), or spot in its folder alone: --config video=FOLDER"
            )
    yield from not_scored()


def crossed(method):
    """Pairs (trained on, tested on) of datasets of other people whose features are of one kind.

    Published features tell no face size, so they do not go together with filmed ones.
    """
    if not cfg.trains(method):
        return []
    kind = {
        name: cfg.datasets[name].layout == "features"
        for name in cfg.run_on(method)
        if not cfg.datasets[name].of
    }
    return [(a, b) for a in kind for b in kind if kind[a] == kind[b] and apart(a, b)]


def of_videos(stage, ending="h5"):
    """Input function: a stage's files of all videos of the dataset."""
    return lambda wildcards: [
        f"{R}/{wildcards.dataset}/{stage}/{found.video}.{ending}"
        for found in videos(wildcards.dataset)
    ]


def threads_for_a_video(wildcards):
    """One while there are as many videos as cores; more for few videos, or one long one."""
    number = sum(
        len(videos(name)) for name in cfg.datasets if not cfg.datasets[name].of
    )
    return max(1, (workflow.cores or 1) // number)


def stage(name, without=(), of=None):
    """The one `params` of a stage, its slice of the config and a digest of its code.

    `without` are keys that a rule does not read, `of` is the stage whose settings it reads if it has
    none of its own. Of a stage with a detector, the detector's code and weights count too. One dict,
    since Snakemake compares the values of params as a set, without their names.
    """

    def params(wildcards):
        dataset = getattr(wildcards, "dataset", None)
        run = getattr(wildcards, "run", None)
        settings = cfg.stage(of or name, dataset, run and method_of(run)).plain()
        modules, weights = [name], {}
        if name == "align" and dataset in EACH_PERSON:
            settings["face"] = own.person(wildcards.video)
        if name == "spot":
            way = "network" if cfg.trains(method_of(run)) else "displacement"
            modules.append(f"spotting.{way}")
        if name == "train":
            settings["seed"] += runs(method_of(run)).index(run)
        settings = {key: value for key, value in settings.items() if key not in without}
        if detector := settings.get("detector"):
            modules.append(f"faces.{detector}")
            weights = weights_of(detector)
        return {"config": json.dumps(settings), "code": digest(*modules), **weights}

    return params


@cache
def weights_of(detector):
    """Which detector, and its weights if it needs any. Without them nothing runs."""
    try:
        return faces.provenance(detector)
    except InputError as error:
        stop(error)


def gpu_of(name):
    """Resources function: a stage whose detector is a network uses a GPU where there is one."""
    return lambda wildcards: int(
        "weights" in weights_of(cfg.stage(name, wildcards.dataset).detector)
    )


def check_detectors(dataset):
    """Say before anything runs which weights are missing."""
    entry = cfg.datasets[dataset]
    if entry.layout not in ("features", "joined"):
        for name in ("align", "landmarks"):
            weights_of(cfg.stage(name, dataset).detector)


def each(flag, name):
    """Params function: a flag before each of the named input files, quoted for the shell."""
    return lambda wildcards, input: " ".join(
        f"{flag} {shlex.quote(str(path))}" for path in input.get(name, [])
    )


def demo_indices(wildcards):
    """Which subject and which of its videos a demo folder is."""
    root = f"{R}/demo/{wildcards.dataset}"
    folders = [found.path for found in videos(wildcards.dataset)]
    index = folders.index(f"{root}/{wildcards.folder}")
    return divmod(index, cfg.stage("demo", wildcards.dataset).videos)


def annotation_file(wildcards):
    """The dataset's spreadsheet or CSV; a demo's is made."""
    entry = cfg.datasets[wildcards.dataset]
    return (
        f"{R}/demo/{wildcards.dataset}/annotation.xlsx"
        if entry.demo
        else found_file(entry, entry.annotation)
    )


def compared_file(wildcards):
    """Input function: the dataset's second annotation, if any."""
    entry = cfg.datasets[wildcards.dataset]
    return [found_file(entry, entry.compare)] if entry.compare else []


# The datasets of which there is something to check before anything long starts.
CHECKED = [
    name for name, entry in cfg.datasets.items() if entry.root and entry.annotation
]


def check_annotations():
    """Stop at once, also under --keep-going, for what in an annotation would stop training."""
    from mespot.check import check_annotation

    for name in CHECKED:
        wildcards = SimpleNamespace(dataset=name)
        other = [Path(path) for path in compared_file(wildcards)] or [None]
        source = Path(annotation_file(wildcards))
        try:
            shown = check_annotation(
                source, *other, videos(name), cfg.stage("decode", name)
            )
        except InputError as error:
            stop(error)
        # One subject alone in the whole dataset is `not_scored`.
        trained = [method for on, method in cfg.trained() if on == name]
        if trained and len(shown) == 1 < len(subjects(name)):
            stop(
                f"{source}: only {min(shown)} has expressions in it: left out, nothing is left to train on; "
                f"annotate a second subject, or run {', '.join(trained)} on other datasets (methods.NAME.datasets)"
            )


# Where the models that come with mespot stand; any other is a file of the user's.
OF_MESPOT = {"auw_gcn": "networks.auw_gcn", "displacement": "spotting.displacement"}


def network_of(method):
    """What names the method's model class, and the digest of its code if it is the user's own."""
    name = cfg.model(method)
    path, colon, _ = name.rpartition(":")
    if name not in OF_MESPOT and not (colon and Path(path).is_file()):
        stop(
            f"methods.{method}.model: {name!r}: one of {', '.join(OF_MESPOT)} or path/to/file.py:Class "
            "was expected"
        )
    return {
        "name": name,
        "code": file_digest(Path(path)) if colon else digest(OF_MESPOT[name]),
    }


def check_folds(dataset, method):
    """Say before anything runs what would go wrong in the folds, or be unfair."""
    network_of(method)
    everyone = subjects(dataset)
    if "inner" in cfg.stage("select", dataset, method).policies and len(everyone) < 3:
        stop(
            f"{dataset}: policy inner needs at least 3 subjects; it has {len(everyone)}: give "
            f"methods.{method}.select.policies without it"
        )
    start = cfg.stage("train", dataset, method).start
    if start and not apart(start.split("/")[0], dataset):
        stop(
            f"methods.{method}.train.start: {start} has seen subjects that are left out of "
            f"{dataset}; start from a dataset of other people"
        )


def groups(wildcards):
    """The groups of subjects that the inner trainings leave out, numbered from 1."""
    everyone = subjects(wildcards.dataset)
    number = cfg.stage("select", wildcards.dataset, method_of(wildcards.run)).groups
    number = min(number, len(everyone))
    return {k: everyone[k - 1 :: number] for k in range(1, number + 1)}


def left_out(wildcards):
    """Params function: whom a training leaves out: a subject, groups of subjects, or nobody."""
    fold = wildcards.fold
    if inner := re.fullmatch(r"inner_(\d+)_(\d+)", fold):
        pair = [int(number) for number in inner.groups()]
        out = [name for k in pair for name in groups(wildcards)[k]]
    else:
        out = [] if fold == layouts.ALL else [fold]
    return " ".join(f"--left-out {name}" for name in out)


def trainings_to_choose_by(wildcards):
    """Input function: inner: the trainings that left out each pair of groups; oracle: the folds."""
    where = f"{R}/{wildcards.dataset}/{wildcards.run}/folds"
    folds = subjects(wildcards.dataset)
    if wildcards.policy == "inner":
        folds = [f"inner_{i}_{j}" for i, j in combinations(groups(wildcards), 2)]
    return [f"{where}/{fold}/epochs.pt" for fold in folds]


def models_of_folds(wildcards):
    """Input function: the folds' last models, or all their epochs to take the chosen from.

    Across datasets it is the model of all subjects of the source.
    """
    if not cfg.trains(method_of(wildcards.run)):
        return []
    name = "epochs.pt" if wildcards.chosen else "model.pt"
    source = getattr(wildcards, "source", None)
    where = f"{R}/{source or wildcards.dataset}/{wildcards.run}/folds"
    folds = [layouts.ALL] if source else subjects(wildcards.dataset)
    return [f"{where}/{fold}/{name}" for fold in folds]


def selection_of(wildcards):
    """Input function: what was chosen, if anything was."""
    if not wildcards.chosen:
        return []
    source = getattr(wildcards, "source", wildcards.dataset)
    return [f"{R}/{source}/{wildcards.run}{wildcards.chosen}/selection.csv"]


def annotation_to_train_on(wildcards):
    """Input function: the annotation; the published code takes its frames as given."""
    if [wildcards.fold] == subjects(wildcards.dataset):
        stop(one_subject(wildcards.dataset, [method_of(wildcards.run)]))
    settings = cfg.stage("train", wildcards.dataset, method_of(wildcards.run))
    form = "_as_given" if settings.labels == "published" else ""
    return f"{R}/{wildcards.dataset}/annotation{form}.csv"


def model_to_start_from(wildcards):
    """Input function: the other dataset's model that training begins with, if any."""
    start = cfg.stage("train", wildcards.dataset, method_of(wildcards.run)).start
    return [f"{R}/{start}/folds/all/model.pt"] if start else []


def scores():
    """The score files of all methods and seeds, on each dataset and from one to another."""
    return [
        f"{R}/{dataset}/{run}{chosen}/score.json"
        for method in cfg.methods
        for dataset in left_one_out(method)
        for run in runs(method)
        for chosen in ways(dataset, method)
    ] + [
        f"{R}/{dataset}/{run}/cross/{source}{chosen}/score.json"
        for method in cfg.methods
        for source, dataset in crossed(method)
        for run in runs(method)
        for chosen in ways(source, method, without=["oracle"])
    ]


def shown():
    """Where the intervals of the timelines stand: those of each method's first seed and policy."""
    return [
        f"{dataset}/{method}{ways(dataset, method)[0]}"
        for method in cfg.methods
        for dataset in left_one_out(method)
        if not cfg.datasets[dataset].of
        and (cfg.report.timelines is None or method in cfg.report.timelines)
    ]


def results():
    """The table, the page, and for each dataset and method the model to use on new videos."""
    if not scores():
        nothing = (
            "no dataset has an annotation: nothing to score; name one (docs/datasets.md), or spot in a "
            "folder of videos alone: --config video=FOLDER"
        )
        stop(next(not_scored(), nothing))
    models = [
        f"{R}/{dataset}/{method}/folds/all/model.pt"
        for dataset, method in cfg.trained()
    ]
    checks = [f"{R}/{dataset}/check.csv" for dataset in CHECKED]
    return [*checks, f"{R}/summary.csv", f"{R}/report/index.html", *models]


def way_for_new(dataset, method):
    """The way of choosing for new videos: the method's first one that needs no labels of theirs."""
    return next(iter(ways(dataset, method, without=["oracle"])), "")


def own_run():
    """Where the intervals in one's own video stand, below its dataset's folder."""
    if not cfg.video:
        return "none"
    if not cfg.own.dataset:
        return cfg.own.method
    chosen = way_for_new(cfg.own.dataset, cfg.own.method)
    return f"{cfg.own.method}/cross/{cfg.own.dataset}{chosen}"


def own_results():
    """What spotting in one's own video gives."""
    where = f"{R}/{cfg.own_name}"
    return [f"{where}/{own_run()}/intervals.csv", f"{where}/report/index.html"]


def failures():
    """A line for each video that failed."""
    records = [
        Path(f"{R}/{dataset}/mdmo/{found.video}.h5")
        for dataset in cfg.datasets
        for found in videos(dataset)
    ]
    return own.failures(records).splitlines()


if workflow.is_main_process:  # not again in each job
    for line in left_aside():
        print(f"warning: {line}", file=sys.stderr)


def print_warnings(dataset):
    """What the stages warned of. A video that is no longer there has a log all the same."""
    logs = [
        Path(f"{R}/logs/{stage}/{dataset}/{found.video}.log")
        for stage in ("decode", "align", "mdmo")
        for found in videos(dataset)
    ]
    logs += sorted(Path(f"{R}/logs/annotation").glob(f"{dataset}*.log"))
    for log in logs:
        for line in log.read_text().splitlines() if log.exists() else []:
            if line.startswith("warning: "):
                print(line)


def print_own_result():
    """What was spotted in one's own videos, and what failed."""
    intervals, page = own_results()
    if not Path(intervals).exists():
        return
    print_warnings(cfg.own_name)
    for line in own.passed_over(cfg.video):
        print(f"warning: {line}")
    spotted = Path(intervals)
    not_counted = spotted.with_name("not_counted.csv")
    features = Path(f"{R}/{cfg.own_name}/features.h5")
    colour = sys.stdout.isatty()
    print("", own.overview(spotted, not_counted, features, colour), sep="\n")
    if len(videos(cfg.own_name)) == 1:
        print("", own.listing(spotted), sep="\n")
    print(f"\nintervals: {intervals}\npage:      {page}", flush=True)
    if failed := failures():
        stop("\n".join(failed))


def print_error(logs):
    """Why jobs failed: the last lines, not some among Snakemake's, whose logs name theirs."""
    failed = failures()
    if cfg.video and len(failed) == len(videos(cfg.own_name)):
        stop("\n".join(failed))
    said = {}
    for text in (Path(log).read_text() for log in logs):
        of_jobs = re.findall(r"^ +log: (.+) \(check log file", text, re.M)
        for path in filter(Path.is_file, map(Path, of_jobs)):
            for line in path.read_text().splitlines():
                if line.startswith("mespot "):
                    said[path] = line.removeprefix("mespot ")
    if said:
        stop("\n".join([*failed, *said.values()]))


def print_result():
    """What the stages warned of, where to look, and the headline table."""
    if cfg.video:
        print_own_result()
        return
    for dataset in labelled():
        print_warnings(dataset)
    for line in left_aside():
        print(f"warning: {line}")
    for path in (Path(f"{R}/{name}/check.csv") for name in CHECKED):
        if path.exists():
            from mespot.check import counted

            print(f"{path}: {counted(path)}")
    summary = Path(f"{R}/summary.csv")
    if summary.exists():
        from mespot.aggregate import headline

        print(f"\n{headline(summary, cfg.report.headline)}\n\ntable: {summary}")
        print(f"page:  {R}/report/index.html", flush=True)
    if failed := failures():
        stop("\n".join(failed))
