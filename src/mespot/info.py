"""info: what made an output of mespot's, and whether the same would make it now."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from mespot import errors, provenance
from mespot.errors import InputError

LONG = 160  # characters of a setting; `--json` has all of it


class Record(BaseModel):
    """What `provenance` writes down."""

    stage: Annotated[str, Field(pattern="^[a-z-]+$")]
    settings: dict[str, dict[str, Any]]  # by section of config.yaml
    options: dict[str, Any]  # what else the command was given
    code: str
    versions: dict[str, str]
    inputs: dict[str, str | None]  # fingerprints by path, from the output's folder
    source: str | None = None
    attributes: dict[str, Any] = {}  # what else an HDF5 file says of itself


def record(path: Path) -> dict[str, Any]:
    """The record of an output, or of a file in a folder that is one; of a failure its message.

    Raises InputError where there is none, or the file is not the one that mespot wrote.
    """
    return _found(path)[1]


def described(path: Path) -> str:
    """The record for people: aligned lines, and what is not the same now."""
    output, found = _found(path)
    if "failed" in found:
        return _printable(f"{path}: no output but why there is none: {found['failed']}")
    try:
        made = Record.model_validate(found)
    except ValidationError as error:
        fault = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{path}: its record is not one of this mespot's (at {fault!r}); make it again"
        ) from None
    lines = [str(path)]
    width = max(shutil.get_terminal_size().columns - 1, 60)
    for label, text in _rows(made, output.parent):
        lines += textwrap.wrap(
            text,
            width,
            initial_indent=f"{label:12}",
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(map(_printable, lines))


def _found(path: Path) -> tuple[Path, dict[str, Any]]:
    """The output that a path is, or lies in, and its record."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file or folder")
    if path.is_file() and (message := errors.failure(path)):
        return path, {"failed": message}
    whole = Path(os.path.abspath(path))
    for output in (whole, *whole.parents):
        if found := provenance.read(output):
            return output, found
    raise InputError(
        f"{path}: nothing in it or beside it tells what made it; it is no output of a command of mespot's, "
        "or one that was moved without its folder .made"
    )


def _rows(made: Record, folder: Path) -> Iterator[tuple[str, str]]:
    """Label and text of each line; `folder` is the output's."""
    yield "stage", made.stage
    for section, settings in made.settings.items():
        yield "settings", f"{section}: {_listed(settings)}"
    if made.options:
        yield "options", _listed(made.options)
    if made.attributes:
        yield "attributes", _listed(made.attributes)
    yield "code", f"{made.code}, {_code_now(made)}"
    now = provenance.versions()
    same = {name: was for name, was in made.versions.items() if now.get(name) == was}
    if same:
        yield "versions", "the same now: " + ", ".join(map(" ".join, same.items()))
    for name, was in made.versions.items():
        if name not in same:
            yield "", f"{name} {was} then, {now.get(name, 'none')} now"
    for verdict, paths in _inputs(made, folder).items():
        yield "inputs", f"{verdict}: {_some(paths)}"
    if made.source:
        yield "source", made.source


def _code_now(made: Record) -> str:
    try:
        now = provenance.code(made.stage, made.settings, made.options)
    except (OSError, ValueError, SyntaxError):  # no module of that name; no Python
        now = None
    return "the same now" if now == made.code else "changed since"


def _inputs(made: Record, folder: Path) -> dict[str, list[str]]:
    """The inputs by what is to be said of them."""
    said: dict[str, list[str]] = {}
    for name, was in made.inputs.items():
        path, verdict = folder / name, "not compared"  # a folder, or many files together
        if was is not None and " files, " not in name:
            now = provenance.fingerprint(path)
            verdict = {was: "the same now", None: "no longer there"}.get(now, "changed since")
        shown = name if " files, " in name else os.path.relpath(path)
        said.setdefault(verdict, []).append(shown)
    return said


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}..."


def _printable(line: str) -> str:
    """What a file says is no command to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in line)


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:6]) + (f" and {len(paths) - 6} more" if len(paths) > 6 else "")
