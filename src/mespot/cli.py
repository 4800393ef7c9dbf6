"""The command line: one command for each stage, as the rules call them and as people may."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mespot import errors, provenance

app = typer.Typer(
    help="Spot macro- and micro-expressions in long face videos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes as long to import as all the rest
    pretty_exceptions_enable=False,
)

weights_app = typer.Typer(help="Weights of the face networks.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

WRITTEN = "written"  # marks what a command writes among its arguments
In = Annotated[Path, typer.Option(show_default=False)]
Out = Annotated[Path, typer.Option(show_default=False, help="file to write"), WRITTEN]
MaybeOut = Annotated[
    Path | None, typer.Option(help="file to write; standard output if none"), WRITTEN
]
Ins = Annotated[list[Path], typer.Option(show_default=False)]
Word = Annotated[str, typer.Option(show_default=False)]
Words = Annotated[list[str], typer.Option(show_default=False)]
Number = Annotated[int, typer.Option(show_default=False)]
OfDemo = Annotated[Literal["cas_me_sq", "samm_lv"], typer.Option(show_default=False)]
Network = Annotated[str, typer.Option(help="auw_gcn, or path/to/file.py:Class")]
Net = Annotated[str, typer.Argument(show_default=False, help="retinaface or san")]
Settings = Annotated[str, typer.Option(help="settings that differ from the defaults, as JSON")]


def command(name: str, per_video: bool = False, folder: str | None = None) -> Callable:
    """Register a command that ends with exit code 2 and one message on an InputError, or on a full disk
    and the like; what it writes gets its record (`provenance`).

    `weights NAME` is a command of that group; `folder` is what the command writes beside its first output.

    Under --keep-going the failure of a stage of one video (`per_video`) is written in place of its
    outputs instead, and passed on by the stages that follow, so that the others' work ends.
    """

    def wrap(stage: Callable) -> Callable:
        signature = inspect.signature(stage, eval_str=True)
        written = {
            flag
            for flag, parameter in signature.parameters.items()
            if WRITTEN in getattr(parameter.annotation, "__metadata__", ())
        }

        @functools.wraps(stage)
        def run(**arguments) -> None:
            outputs = [arguments[flag] for flag in arguments if flag in written and arguments[flag]]
            inputs, options = given(arguments, written)
            if per_video:
                for path in inputs:
                    output = path != arguments.get("source") and path.is_file()
                    message = errors.failure(path) if output else None
                    if message:
                        errors.write_failure(message, outputs)
                        print(f"mespot {name}: passed on: {message}", file=sys.stderr)
                        return
            try:
                with provenance.job(name, inputs, options) as job:
                    stage(**arguments)
                    job.write_beside(outputs + ([outputs[0].with_name(folder)] if folder else []))
            except errors.InputError as error:
                print(f"mespot {name}: {error}", file=sys.stderr)
                if not (per_video and errors.keep_going()):
                    raise typer.Exit(2) from None
                errors.write_failure(f"{name}: {error}", outputs)
            # No fault of a video's: --keep-going or not.
            except (OSError, RuntimeError, MemoryError) as error:
                if not (refused := errors.refusal(error, next(iter(outputs), Path()))):
                    raise
                print(f"mespot {name}: {refused}", file=sys.stderr, flush=True)
                os._exit(2)  # HDF5 would crash over the file that it cannot close

        run.__signature__ = signature
        group, _, last = name.rpartition(" ")
        (weights_app if group else app).command(last)(run)
        return run

    return wrap


def given(arguments: dict[str, Any], written: set[str]) -> tuple[list[Path], dict[str, Any]]:
    """A command's inputs, and what else it was given that can change what it writes.

    Its settings it tells itself, complete (`Settings.parse`).
    """
    inputs, options = [], {}
    for flag, value in arguments.items():
        if flag in written or flag.endswith(("settings", "threads")) or value in (None, (), []):
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if isinstance(values[0], Path):
            inputs += values
        else:
            options[flag] = value
    return inputs, options


@command("demo")
def _demo(
    layout: OfDemo,
    subject: Number,
    video: Number,
    frames: Out,
    truth: Out,
    settings: Settings = "{}",
) -> None:
    """Render one video of a demo dataset, with its truth beside it."""
    from mespot.demo import make_video
    from mespot.settings import Demo

    parsed = Demo.parse(settings, unread=("subjects", "videos"))
    make_video(layout, subject, video, parsed, frames, truth)


@command("demo-annotation")
def _demo_annotation(layout: OfDemo, out: Out, settings: Settings = "{}") -> None:
    """Write a demo dataset's spreadsheet."""
    from mespot.demo import write_annotation
    from mespot.settings import Demo

    write_annotation(layout, Demo.parse(settings), out)


@command("check")
def _check(
    configfile: Annotated[
        Path | None, typer.Option(help="all of its datasets; config.yaml if none")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="one folder instead")] = None,
    layout: Annotated[str, typer.Option(help="of that folder")] = "videos",
    annotation: Annotated[
        Path | None, typer.Option(help="spreadsheet, CSV, or folder of ELAN's or BIDS files")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="a second annotation")] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV to write: videos and faults"), WRITTEN
    ] = None,
    settings: Settings = "{}",
) -> None:
    """Whether datasets' folders and annotations fit together: a table, and each fault by name."""
    from mespot.check import check, check_config
    from mespot.settings import Decode

    if root:
        parsed = Decode.parse(settings, unread=("align",))
        print(check(layout, root, annotation, compare, out, parsed))
    else:
        for table in check_config(configfile or Path("config.yaml")):
            print(table)


@command("decode", per_video=True)
def _decode(
    source: In,
    out: Out,
    first_frame: Annotated[
        int | None, typer.Option(help="number that a folder's frames must begin with")
    ] = None,
    settings: Settings = "{}",
) -> None:
    """A video file or a folder of frames to a lossless video at the working rate."""
    from mespot.decode import decode
    from mespot.settings import Decode

    decode(source, out, Decode.parse(settings), first_frame)


@command("align", per_video=True)
def _align(decoded: In, out_video: Out, out: Out, settings: Settings = "{}") -> None:
    """Find the face, register every frame to it and crop."""
    from mespot.align import align
    from mespot.settings import Align

    align(decoded, out_video, out, Align.parse(settings))


@command("landmarks", per_video=True)
def _landmarks(aligned: In, align: In, out: Out, settings: Settings = "{}") -> None:
    """68 points in each aligned frame."""
    from mespot.landmarks import landmarks
    from mespot.settings import Landmarks

    landmarks(aligned, align, out, Landmarks.parse(settings))


@command("flow", per_video=True)
def _flow(aligned: In, out: Out, threads: int = 1, settings: Settings = "{}") -> None:
    """TV-L1 optical flow from each aligned frame to the next."""
    from mespot.flow import flow
    from mespot.settings import Flow

    flow(aligned, out, Flow.parse(settings), threads)


@command("roi", per_video=True)
def _roi(flow: In, landmarks: In, out: Out, settings: Settings = "{}") -> None:
    """Flow windows around the regions of interest."""
    from mespot.roi import roi
    from mespot.settings import Roi

    roi(flow, landmarks, out, Roi.parse(settings))


@command("mdmo", per_video=True)
def _mdmo(roi: In, align: In, out: Out, settings: Settings = "{}") -> None:
    """Main directional mean optical flow of each region."""
    from mespot.mdmo import mdmo
    from mespot.settings import Mdmo

    mdmo(roi, align, out, Mdmo.parse(settings))


@command("features")
def _features(mdmo: Ins, subject: Words, out: Out, settings: Settings = "{}") -> None:
    """Gather the videos' mdmo files into the dataset's feature store; one --subject for each."""
    from mespot.features import collect
    from mespot.settings import Features

    if len(mdmo) != len(subject):
        raise errors.InputError(
            f"{len(mdmo)} --mdmo and {len(subject)} --subject; one of each for each video were expected"
        )
    collect(mdmo, subject, out, Features.parse(settings))


@command("features-import")
def _features_import(
    root: In,
    fps: Annotated[float, typer.Option(min=1, max=1000)],
    out: Out,
    settings: Settings = "{}",
) -> None:
    """Make a feature store of the authors' published segment files."""
    from mespot.features import import_published
    from mespot.settings import Features

    import_published(root, fps, out, Features.parse(settings))


@command("features-export")
def _features_export(
    features: In,
    annotation: Annotated[Path, typer.Option(help="annotation_as_given.csv, for their labels")],
    out: Annotated[
        Path, typer.Option(show_default=False, help="folder to write; new or empty"), WRITTEN
    ],
    without: Annotated[list[str], typer.Option(help="video to leave out")] = (),
    settings: Settings = "{}",
) -> None:
    """Write a feature store as segment files of the authors' form."""
    from mespot.datasets.export import export_segments
    from mespot.settings import Features

    export_segments(features, annotation, out, Features.parse(settings), without)


@command("features-join")
def _features_join(features: Ins, out: Out, settings: Settings = "{}") -> None:
    """Join the feature stores of several datasets, to leave one subject out of all of them."""
    from mespot.features import join_stores
    from mespot.settings import Features

    join_stores(features, out, Features.parse(settings))


@command("annotation")
def _annotation(
    source: In,
    features: In,
    out: Out,
    as_given: Out,
    audit: Out,
    frames_per_row: float = 1,
    compare: Annotated[Path | None, typer.Option(help="a second annotation, for the audit")] = None,
    settings: Settings = "{}",
) -> None:
    """Bring a spreadsheet, CSV or ELAN's files to the normal form and write down every decision."""
    from mespot.annotation import annotation
    from mespot.datasets.annotation_files import Timing
    from mespot.feature_store import lengths, missing, timing
    from mespot.settings import Annotation

    known = (lengths(features), missing(features), frames_per_row)
    parsed, when = Annotation.parse(settings), Timing(*timing(features))
    annotation(source, *known, out, as_given, audit, parsed, compare, when)


@command("annotation-join")
def _annotation_join(annotation: Ins, out: Out) -> None:
    """Join the normal forms of several datasets."""
    from mespot.annotation import join_tables

    join_tables(annotation, out)


@command("train")
def _train(
    features: In,
    annotation: In,
    out: Out,
    epochs: Out,
    history: Out,
    left_out: Annotated[list[str], typer.Option(help="subject to leave out; none for all")] = (),
    network: Network = "auw_gcn",
    start: Annotated[Path | None, typer.Option(help="a model to begin with")] = None,
    settings: Settings = "{}",
) -> None:
    """Train a model on all subjects but some; a run that was killed is taken up where it stopped."""
    from mespot.settings import Train
    from mespot.train import train

    parsed = Train.parse(settings)
    train(features, annotation, left_out, network, start, out, epochs, history, parsed)


@command("train-multiscale")
def _train_multiscale(
    features: In,
    annotation: In,
    out: Out,
    history: Out,
    left_out: Annotated[list[str], typer.Option(help="subject to leave out; none for all")] = (),
    settings: Settings = "{}",
) -> None:
    """Train a network of the two-stage method on all subjects but some."""
    from mespot.settings import Multiscale
    from mespot.train_multiscale import train

    train(features, annotation, left_out, out, history, Multiscale.parse(settings))


@command("evaluate")
def _evaluate(
    features: In,
    annotation: In,
    model: Annotated[list[Path], typer.Option(help="one for each pair of groups left out")],
    out: Out,
    settings: Settings = "{}",
) -> None:
    """Learn how probable a candidate of the two-stage method is, for each fold on other people."""
    from mespot.evaluate import evaluate
    from mespot.settings import Evaluate

    evaluate(features, annotation, model, out, Evaluate.parse(settings, unread=("groups",)))


@command("select")
def _select(
    policy: Annotated[Literal["inner", "oracle"], typer.Option(show_default=False)],
    features: In,
    annotation: In,
    as_given: In,
    epochs: Ins,
    out: Out,
    network: Network = "auw_gcn",
    settings: Settings = "{}",
    spot_settings: Settings = "{}",
) -> None:
    """Choose each fold's epoch (and thresholds) on inner left-out subjects, or as the oracle."""
    from mespot.select import select
    from mespot.settings import Select, Spot

    chosen = Select.parse(settings, unread=("policies", "groups"))
    parsed = (chosen, Spot.parse(spot_settings))
    select(policy, features, annotation, as_given, epochs, network, out, *parsed)


@command("spot")
def _spot(
    features: In,
    out: Out,
    not_counted: Out,
    lanes: Out,
    curves: Out,
    model: Annotated[list[Path], typer.Option(help="of a network: one for each left out")] = (),
    selection: Annotated[Path | None, typer.Option(help="chosen epochs, of `select`")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="of multiscale: from `evaluate`")] = None,
    network: Annotated[
        str, typer.Option(help="displacement, multiscale, auw_gcn, or path/to/file.py:Class")
    ] = "displacement",
    settings: Settings = "{}",
    lane_settings: Settings = "{}",
) -> None:
    """Intervals, curves and lanes: by displacement, or by networks in the videos they left out."""
    from mespot import spot
    from mespot.feature_store import load
    from mespot.settings import Displacement, Lanes, Spot

    stored = load(features)
    if network == "displacement":
        from mespot.spotting.displacement import UNITS, by_displacement

        parsed = Displacement.parse(settings)
        spotted = by_displacement(stored, parsed)
    elif network == "multiscale":
        from mespot.settings import TwoStage
        from mespot.spotting.two_stage import UNITS, by_two_stages

        if evaluation is None or not model:
            raise errors.InputError(
                "--model and --evaluation: networks, and the file that `mespot evaluate` wrote, were expected"
            )
        parsed = TwoStage.parse(settings)
        spotted = by_two_stages(stored, model, evaluation, parsed)
    else:
        from mespot.spotting.network import UNITS, by_networks

        parsed = Spot.parse(settings)
        spotted = by_networks(stored, model, network, selection, parsed)
    files = spot.Files(out, not_counted, lanes, curves)
    spot.spot(features, spotted, UNITS, files, parsed.plain(), Lanes.parse(lane_settings))


@command("curves")
def _curves(
    features: In,
    curves: Annotated[Path, typer.Option(show_default=False, help="curves.h5, of `spot`")],
    out: MaybeOut = None,
    video: Annotated[str | None, typer.Option(help="this one alone")] = None,
) -> None:
    """Every curve of each frame as CSV: time, the source's frame, what was spotted by, eyes, mouth."""
    from mespot.curves import curves as write

    write(features, curves, video, out or sys.stdout)


@command("intervals-export")
def _intervals_export(
    intervals: Annotated[
        Path, typer.Option(show_default=False, help="intervals.csv, or annotation.csv")
    ],
    format: Annotated[
        str, typer.Option(show_default=False, help="elan, textgrid, bids, boris or webvtt")
    ],
    out: Annotated[
        Path, typer.Option(show_default=False, help="folder to write; new or empty"), WRITTEN
    ],
    features: Annotated[
        Path | None, typer.Option(help="feature store, whose other videos get an empty file")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="of a table that has frames alone; none: of the store")
    ] = None,
    media: Annotated[
        Path | None, typer.Option(help="folder of the videos, to link them in ELAN")
    ] = None,
) -> None:
    """Write intervals for other programs: a file for each video."""
    from mespot.exchange.export import export_intervals

    export_intervals(intervals, format, out, features, fps, media)


@command("overlay", per_video=True)
def _overlay(
    source: In,
    align: In,
    landmarks: In,
    flow: In,
    features: In,
    intervals: In,
    curves: In,
    video: Word,
    out: Out,
    annotation: Annotated[Path | None, typer.Option(help="of the video's dataset")] = None,
    first_frame: Annotated[
        int | None, typer.Option(help="number that a folder's frames must begin with")
    ] = None,
    decode_settings: Settings = "{}",
    roi_settings: Settings = "{}",
) -> None:
    """A video to watch: the source with landmarks, regions, flow, curves and intervals, as H.264."""
    from mespot.overlay import Files, overlay
    from mespot.settings import Decode, Roi

    files = Files(align, landmarks, flow, features, intervals, curves, annotation)
    reading = Decode.parse(decode_settings, unread=("align",))
    overlay(source, video, files, out, reading, Roi.parse(roi_settings), first_frame)


@command("score")
def _score(
    annotation: In,
    intervals: Ins,
    protocol: Annotated[list[str], typer.Option(help="strict, megc2020, auw_gcn, ...")],
    as_given: Annotated[
        Path | None, typer.Option(help="for protocols that take frames as they were given")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="only what is spotted in this feature store's videos counts")
    ] = None,
    out: MaybeOut = None,
    subjects: Annotated[
        Path | None, typer.Option(help="CSV of each subject's counts to write"), WRITTEN
    ] = None,
) -> None:
    """F1 of spotted against annotated intervals, as JSON; keyed by protocol if more than one."""
    from mespot.feature_store import lengths
    from mespot.score import score_files
    from mespot.store import replacing

    videos = None if features is None else lengths(features).keys()
    scores = score_files(annotation, as_given, intervals, protocol, videos, subjects)
    text = json.dumps(scores if len(protocol) > 1 else scores[protocol[0]], indent=2)
    if out is None:
        print(text)
    else:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(scores, indent=2) + "\n")


@command("aggregate")
def _aggregate(
    score: Ins,
    results: In,
    out: Out,
    subjects: Annotated[
        list[Path], typer.Option(help="each subject's counts, to tell how sure F1 is")
    ] = (),
    pool: Annotated[list[str], typer.Option(help="dataset to add up")] = (),
    untrained: Annotated[list[str], typer.Option(help="method that trains nothing")] = (),
) -> None:
    """One table of all scores, with the rows pooled over datasets."""
    from mespot.aggregate import aggregate

    aggregate(score, results, pool, untrained, out, subjects)


@command("figures")
def _figures(
    dataset: Word,
    method: Annotated[str, typer.Option(show_default=False, help="METHOD, or METHOD/inner")],
    annotation: In,
    intervals: In,
    subjects: Annotated[
        Path, typer.Option(show_default=False, help="each one's counts, of `score`")
    ],
    features: In,
    out: Annotated[Path, typer.Option(show_default=False, help="folder to write"), WRITTEN],
    listed: Annotated[Path | None, typer.Option(help="figures.json once more"), WRITTEN] = None,
    history: Annotated[list[Path], typer.Option(help="of a fold: folds/FOLD/history.csv")] = (),
    model: Annotated[Path | None, typer.Option(help="one whose network has a fixed graph")] = None,
    settings: Settings = "{}",
) -> None:
    """A run's figures as SVG and PNG, each with its data as CSV, and figures.json, which tells them."""
    from mespot.figures import Run, figures
    from mespot.settings import Report

    parsed = Report.parse(settings, unread=("methods",))
    run = Run(annotation, intervals, subjects, features, history, model)
    figures(run, dataset, method, out, parsed, listed)


@command("figures-table")
def _figures_table(
    summary: In,
    out: Out,
    joined: Annotated[list[str], typer.Option(help="dataset that others were joined to")] = (),
    settings: Settings = "{}",
) -> None:
    """The table of F1 as LaTeX, in the form of the paper's Table 1."""
    from mespot.papers.table import table1
    from mespot.settings import Report

    table1(summary, joined, out, Report.parse(settings, unread=("methods",)))


@command("report", folder="videos")
def _report(
    results: In,
    out: Out,
    shown: Annotated[
        list[str], typer.Option(help="DATASET/METHOD/..., whose intervals to show")
    ] = (),
    summary: Annotated[Path | None, typer.Option(help="the table of all scores")] = None,
    figures: Annotated[
        list[Path], typer.Option(help="list of figures: RUN.json beside the folder RUN")
    ] = (),
    about: Annotated[str, typer.Option(help="what a page of one's own videos says first")] = "",
    settings: Settings = "{}",
) -> None:
    """The page: table, figures, and each video's intervals with timeline and faces."""
    from mespot.report import report
    from mespot.settings import Report

    report(results, shown, summary, out, Report.parse(settings), about, figures)


@command("checkpoint-import")
def _checkpoint_import(checkpoint: In, out: Out) -> None:
    """Make a model of a checkpoint of the published code."""
    from mespot.networks.checkpoints import import_checkpoint

    import_checkpoint(checkpoint, out)


@command("checkpoint-export")
def _checkpoint_export(
    model: In,
    out: Out,
    epoch: Annotated[int | None, typer.Option(help="of an epochs.pt; none: the last")] = None,
) -> None:
    """Write a model as a checkpoint that the published code loads."""
    from mespot.networks.checkpoints import export_checkpoint

    export_checkpoint(model, out, epoch)


@command("weights fetch")
def _weights_fetch(network: Net) -> None:
    """Download released weights, check their SHA-256 and import them."""
    from mespot.faces import weights

    path = weights.fetch(network)
    print(f"{path}: {weights.facts(path)}")


@command("weights import")
def _weights_import(
    network: Net,
    file: Annotated[Path, typer.Argument(show_default=False, help="a published checkpoint")],
    trained_by: Annotated[
        str | None, typer.Option(help="ternaus/retinaface or biubug6/Pytorch_Retinaface")
    ] = None,
) -> None:
    """Take the weights out of a published checkpoint, without running anything in it."""
    from mespot.faces import weights

    path = weights.import_weights(network, file, trained_by)
    print(f"{path}: {weights.facts(path)}")


@command("why")
def _why(
    arguments: Annotated[
        list[str], typer.Argument(help="as given to snakemake; options after --")
    ] = (),
) -> None:
    """What a run of the workflow would do, and why: a line for each stage."""
    from mespot.why import why

    print(why(arguments))


@command("info")
def _info(
    file: Annotated[Path, typer.Argument(help="any output: a file or folder", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="the record as it was written")] = False,
) -> None:
    """What made an output: stage, settings, code, versions and inputs, and whether they are the same now."""
    from mespot.info import described, record

    print(json.dumps(record(file), indent=2) if as_json else described(file))


@command("schema")
def _schema() -> None:
    """Print the JSON schema of the configuration."""
    from mespot import config

    print(config.schema(), end="")
