"""The command line: one command for each stage, as the rules call them and as people may."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mespot import config, errors

app = typer.Typer(
    help="Spot macro- and micro-expressions in long face videos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

In = Annotated[Path, typer.Option(show_default=False)]
Out = Annotated[Path, typer.Option(show_default=False, help="file to write")]
Ins = Annotated[list[Path], typer.Option(show_default=False)]
Word = Annotated[str, typer.Option(show_default=False)]
Words = Annotated[list[str], typer.Option(show_default=False)]
Number = Annotated[int, typer.Option(show_default=False)]
Settings = Annotated[str, typer.Option(help="settings that differ from the defaults, as JSON")]


def command(name: str, per_video: bool = False) -> Callable:
    """Register a command that ends with exit code 2 and one message on an InputError.

    The stages of one video (`per_video`) have outputs named `out*`. Under --keep-going their failure
    is written there instead, and passed on by the stages that follow, so that the others' work ends.
    """

    def wrap(stage: Callable) -> Callable:
        @functools.wraps(stage)
        def run(**arguments) -> None:
            outputs = [path for flag, path in arguments.items() if flag.startswith("out")]
            if per_video:
                for flag, path in arguments.items():
                    if isinstance(path, Path) and flag not in ("source",) and path not in outputs:
                        message = errors.failure(path) if path.is_file() else None
                        if message:
                            errors.write_failure(message, outputs)
                            print(f"mespot {name}: passed on: {message}", file=sys.stderr)
                            return
            try:
                stage(**arguments)
            except errors.InputError as error:
                print(f"mespot {name}: {error}", file=sys.stderr)
                if not (per_video and errors.keep_going()):
                    raise typer.Exit(2) from None
                errors.write_failure(f"{name}: {error}", outputs)

        run.__signature__ = inspect.signature(stage, eval_str=True)
        app.command(name)(run)
        return run

    return wrap


@command("demo")
def _demo(
    layout: Word, subject: Number, video: Number, frames: Out, truth: Out, settings: Settings = "{}"
) -> None:
    """Render one video of a demo dataset, with its truth beside it."""
    from mespot.demo import make_video

    make_video(layout, subject, video, config.Demo.parse(settings), frames, truth)


@command("demo-annotation")
def _demo_annotation(layout: Word, out: Out, settings: Settings = "{}") -> None:
    """Write a demo dataset's spreadsheet."""
    from mespot.demo import write_annotation

    write_annotation(layout, config.Demo.parse(settings), out)


@command("decode", per_video=True)
def _decode(source: In, out: Out, settings: Settings = "{}") -> None:
    """A video file or a folder of frames to a lossless video at the working rate."""
    from mespot.decode import decode

    decode(source, out, config.Decode.parse(settings))


@command("align", per_video=True)
def _align(decoded: In, out_video: Out, out: Out, settings: Settings = "{}") -> None:
    """Find the face, register every frame to it and crop."""
    from mespot.align import align

    align(decoded, out_video, out, config.Align.parse(settings))


@command("landmarks", per_video=True)
def _landmarks(aligned: In, align: In, out: Out, settings: Settings = "{}") -> None:
    """68 points in each aligned frame."""
    from mespot.landmarks import landmarks

    landmarks(aligned, align, out, config.Landmarks.parse(settings))


@command("flow", per_video=True)
def _flow(aligned: In, out: Out, settings: Settings = "{}") -> None:
    """TV-L1 optical flow from each aligned frame to the next."""
    from mespot.flow import flow

    flow(aligned, out, config.Flow.parse(settings))


@command("roi", per_video=True)
def _roi(flow: In, landmarks: In, out: Out, settings: Settings = "{}") -> None:
    """Flow windows around the regions of interest."""
    from mespot.roi import roi

    roi(flow, landmarks, out, config.Roi.parse(settings))


@command("mdmo", per_video=True)
def _mdmo(roi: In, align: In, out: Out, settings: Settings = "{}") -> None:
    """Main directional mean optical flow of each region."""
    from mespot.mdmo import mdmo

    mdmo(roi, align, out, config.Mdmo.parse(settings))


@command("features")
def _features(mdmo: Ins, subject: Words, out: Out, settings: Settings = "{}") -> None:
    """Gather the videos' mdmo files into the dataset's feature store; one --subject for each."""
    from mespot.features import collect

    collect(mdmo, subject, out, config.Features.parse(settings))


@command("features-import")
def _features_import(
    root: In, fps: Annotated[float, typer.Option()], out: Out, settings: Settings = "{}"
) -> None:
    """Make a feature store of the authors' published segment files."""
    from mespot.features import import_published

    import_published(root, fps, out, config.Features.parse(settings))


@command("annotation")
def _annotation(
    source: In,
    features: In,
    out: Out,
    audit: Out,
    frames_per_row: float = 1,
    settings: Settings = "{}",
) -> None:
    """Bring a spreadsheet or CSV to the normal form and write down every decision."""
    from mespot.annotation import annotation
    from mespot.features import lengths, missing

    known = (lengths(features), missing(features))
    annotation(source, *known, frames_per_row, out, audit, config.Annotation.parse(settings))


@command("train")
def _train(
    features: In,
    annotation: In,
    out: Out,
    history: Out,
    left_out: Annotated[str, typer.Option(help="subject to leave out; none for all")] = "",
    model: Annotated[str, typer.Option(help="auw_gcn, or path/to/file.py:Class")] = "auw_gcn",
    settings: Settings = "{}",
) -> None:
    """Train a model on all subjects but one."""
    from mespot.train import train

    train(features, annotation, left_out, model, out, history, config.Train.parse(settings))


@command("spot")
def _spot(
    features: In,
    model: In,
    out: Out,
    curves: Out,
    subject: Annotated[str, typer.Option(help="spot in this subject's videos; none for all")] = "",
    settings: Settings = "{}",
) -> None:
    """Per-frame probabilities and intervals from features and a trained model."""
    from mespot.spot import spot

    spot(features, model, subject, out, curves, config.Spot.parse(settings))


@command("score")
def _score(
    annotation: In,
    intervals: Ins,
    protocol: Annotated[list[str], typer.Option(help="strict, megc2020, auw_gcn, ...")],
    out: Annotated[Path | None, typer.Option(help="file to write; standard output if none")] = None,
) -> None:
    """F1 of spotted against annotated intervals, as JSON; keyed by protocol if more than one."""
    from mespot.score import score_files

    scores = score_files(annotation, intervals, protocol)
    text = json.dumps(scores if len(protocol) > 1 else scores[protocol[0]], indent=2)
    if out is None:
        print(text)
    else:
        out.write_text(json.dumps(scores, indent=2) + "\n")


@command("aggregate")
def _aggregate(score: Ins, results: In, out: Out) -> None:
    """One table of all scores, with the rows pooled over datasets."""
    from mespot.aggregate import aggregate

    aggregate(score, results, out)


@command("report")
def _report(
    results: In,
    dataset: Words,
    method: Words,
    out: Out,
    summary: Annotated[Path | None, typer.Option(help="the table of all scores")] = None,
    model_of: Annotated[str, typer.Option(help="the other dataset whose model spotted")] = "",
    settings: Settings = "{}",
) -> None:
    """The page: the table of scores, and a timeline of each video."""
    from mespot.report import report

    parsed = config.Report.parse(settings)
    report(results, dataset, method, model_of or None, summary, out, parsed)


@command("schema")
def _schema() -> None:
    """Print the JSON schema of the configuration."""
    print(config.schema(), end="")
