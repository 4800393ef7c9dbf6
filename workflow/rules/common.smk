import json
import os
import re
import shlex
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from mespot import layouts
from mespot.config import load
from mespot.errors import InputError
from mespot.rerun import digest, file_digest

try:
    cfg = load(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

R = cfg.results


wildcard_constraints:
    dataset=r"[\w.-]+",
    source=r"[\w.-]+",
    method=r"[\w.-]+",
    video=r"[\w.-]+",
    fold=r"[\w.-]+",


# Jobs share the cores; a library that opens a thread for each core would slow the others down.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(variable, "1")


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
        return layouts.find(entry.layout, entry.root)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def video(wildcards):
    """The video that a job's wildcards name."""
    for found in videos(wildcards.dataset):
        if found.video == wildcards.video:
            return found
    raise WorkflowError(f"{wildcards.dataset} has no video {wildcards.video}")


def subjects(dataset):
    return sorted({found.subject for found in videos(dataset)})


def labelled():
    """The datasets to train and score on."""
    return [name for name in cfg.datasets if cfg.labelled(name)]


def crossed():
    """Pairs (trained on, tested on) of different datasets whose features are of one kind.

    Published features tell no face size, so they do not go together with filmed ones.
    """
    kind = {name: cfg.datasets[name].layout == "features" for name in labelled()}
    return [(a, b) for a in kind for b in kind if a != b and kind[a] == kind[b]]


def of_videos(stage, ending="h5"):
    """Input function: a stage's files of all videos of the dataset."""
    return lambda wildcards: [
        f"{R}/{wildcards.dataset}/{stage}/{found.video}.{ending}"
        for found in videos(wildcards.dataset)
    ]


def stage(name):
    """The one `params` of a stage, its slice of the config and a digest of its code.

    One dict, since Snakemake compares the values of params as a set, without their names.
    """

    def params(wildcards):
        dataset = getattr(wildcards, "dataset", None)
        method = getattr(wildcards, "method", None)
        settings = cfg.stage(name, dataset, method).plain()
        return {"config": json.dumps(settings), "code": digest(name)}

    return params


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
        else entry.annotation
    )


def model_of(method):
    """What names the method's model class, and the digest of its code if it is the user's own."""
    name = cfg.model(method)
    path, colon, _ = name.rpartition(":")
    if name != "auw_gcn" and not (colon and Path(path).is_file()):
        raise WorkflowError(
            f"methods.{method}.model: {name!r}: auw_gcn or path/to/file.py:Class was expected"
        )
    return {"name": name, "code": file_digest(Path(path)) if colon else digest("model")}


def of_folds(name):
    """Input function: a file of every fold of the dataset and method."""
    return lambda wildcards: [
        f"{R}/{wildcards.dataset}/{wildcards.method}/folds/{subject}/{name}"
        for subject in subjects(wildcards.dataset)
    ]


def results():
    """The table, the page, and for each dataset and method the model to use on new videos."""
    if not labelled():
        raise WorkflowError(
            "no dataset has an annotation: nothing to train on; see docs/datasets.md"
        )
    models = [
        f"{R}/{dataset}/{method}/folds/all/model.pt"
        for dataset in labelled()
        for method in cfg.methods
    ]
    return [f"{R}/summary.csv", f"{R}/report/index.html", *models]


def own_results():
    """What spotting in one's own video gives."""
    where = f"{R}/{cfg.own_name}"
    return [
        f"{where}/{cfg.own.method}/cross/{cfg.own.dataset}/intervals.csv",
        f"{where}/report/index.html",
    ]


def print_result():
    """What the stages warned of, where to look, and the headline table."""
    names = [cfg.own_name] if cfg.video else labelled()
    for log in [
        log
        for name in names
        for log in sorted(Path(f"{R}/logs/align/{name}").glob("*.log"))
    ]:
        for line in log.read_text().splitlines():
            if line.startswith("warning: "):
                print(line)
    if cfg.video:
        intervals, page = own_results()
        print(
            f"\n{Path(intervals).read_text()}\nintervals: {intervals}\npage:      {page}"
        )
        return
    summary = Path(f"{R}/summary.csv")
    if summary.exists():
        from mespot.aggregate import headline

        print(f"\n{headline(summary, cfg.report.headline)}\n\ntable: {summary}")
        print(f"page:  {R}/report/index.html")
