"""What made a file: the record that every output of a command has, inside it or beside it.

HDF5 files carry it as the attribute `made`, videos as the tag MADE, models under the key `made`, as JSON.
That of anything else (tables, pages, pictures, folders) lies in the folder .made beside it, with the
output's own fingerprint, so that another file in its place is told.

A record is the same wherever, and on however many cores, the same is computed: it tells no times and no
machine, and names inputs as seen from the output's folder. `info` shows it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from mespot import __version__
from mespot.errors import InputError
from mespot.rerun import digest, digest_of, file_digest

# Libraries whose version can change the numbers in a file.
LIBRARIES = (
    *("numpy", "numba", "scipy", "pandas", "torch", "av", "pillow"),
    *("opencv-contrib-python", "dlib-bin", "h5py", "scikit-learn"),
)
# Commands whose code is not in the module of their name, or of its first word.
MODULES = {
    "features-export": "datasets.export",
    "intervals-export": "exchange.export",
    "train-multiscale": "train_multiscale",
    "figures-table": "papers.table",
    "checkpoint-import": "networks.checkpoints",
    "checkpoint-export": "networks.checkpoints",
}
MOST = 20_000  # characters on inputs, or on an option; beyond that they are told together
END = 1 << 20  # bytes at either end of a file by which it is known, besides its size


class Job:
    """What a command was given, of which the records of its outputs are made."""

    def __init__(
        self, stage: str, inputs: Iterable[Path] = (), options: Mapping[str, Any] | None = None
    ):
        self.stage, self.options = stage, dict(options or {})
        self.inputs = [Path(os.path.abspath(path)) for path in inputs]
        self.settings: dict[str, Any] = {}  # by section of the configuration
        self.carried: set[Path] = set()  # outputs with the record inside

    def record(self, output: Path) -> dict[str, Any]:
        """The record of one output."""
        around = Path(os.path.abspath(output)).parents  # such as that of all results: no input
        marks, source = self._known
        marks = {path: known_by for path, known_by in marks.items() if path not in around}
        inputs = {os.path.relpath(path, around[0]): marks[path] for path in marks}
        if len(json.dumps(inputs)) > MOST:
            inputs = {_in_short(list(inputs), "files"): digest_of(json.dumps(list(marks.values())))}
        return self._facts | {"inputs": inputs, "source": source}

    def write_beside(self, outputs: Iterable[Path]) -> None:
        """Put the records of the outputs that carry none into the folder beside them."""
        for output in outputs:
            if output not in self.carried and output.exists():
                from mespot.store import replacing  # h5py and numpy, here mostly imported by now

                kept = {"made": self.record(output), "file": _looks(output)}
                with replacing(_place(output)) as temporary:
                    temporary.write_text(json.dumps(kept, indent=1) + "\n")

    @cached_property
    def _facts(self) -> dict[str, Any]:
        options = {
            name: value if len(json.dumps(value)) <= MOST else _in_short(value, "values")
            for name, value in self.options.items()
        }
        what = {"stage": self.stage, "settings": self.settings, "options": options}
        return what | {"code": code(**what), "versions": versions()}

    @cached_property
    def _known(self) -> tuple[dict[Path, str | None], str | None]:
        """The fingerprint of each input; and of the source that they come from, of several together."""
        marks, sources = {}, set()
        for path in self.inputs:
            record = _carried(path)
            marks[path] = _mark(path, record)
            with suppress(InputError):
                sources.add((record or _beside(path) or {}).get("source"))
        of_all = sorted(sources - {None})
        return marks, digest_of(" ".join(of_all)) if len(of_all) > 1 else "".join(of_all) or None


_job: Job | None = None  # of the command that runs


@contextmanager
def job(stage: str, inputs: Iterable[Path], options: Mapping[str, Any]) -> Iterator[Job]:
    """A command that runs: what is written meanwhile gets its record."""
    global _job
    _job = Job(stage, inputs, options)
    try:
        yield _job
    finally:
        _job = None


def note(section: str, settings: Mapping[str, Any]) -> None:
    """Tell the command that runs its settings."""
    if _job:
        _job.settings[section] = settings


def inside(output: Path, stage: str = "", settings: Mapping[str, Any] | None = None) -> str | None:
    """The record to put into an output, as JSON.

    Outside of a command `stage` and `settings` are all that is known; without them there is no record.
    """
    current = _job
    if current is None:
        if not stage:
            return None
        current = Job(stage)
        current.settings[stage] = settings
    current.carried.add(Path(output))
    return json.dumps(current.record(output))


def read(path: Path) -> dict[str, Any] | None:
    """The record of a file or folder; None if it has none.

    Raises InputError if it is not the one that the record beside it is of.
    """
    return _carried(path) or _beside(path)


def fingerprint(path: Path) -> str | None:
    """What a file is known by; None of a folder, and of what is not there.

    Of a file that carries a record, that record, less the places of its inputs: what is computed
    again in the same way is the same. Of any other its size and both ends.
    """
    return _mark(path, _carried(path))


def _mark(path: Path, record: dict[str, Any] | None) -> str | None:
    """`fingerprint`, where the record in the file has been read."""
    if record:
        marks = sorted(map(str, record["inputs"].values()))
        return digest_of(json.dumps(record | {"inputs": marks}))
    return _looks(path) if os.path.isfile(path) else None


def code(stage: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Digest of the code behind a command, by which its rule runs again; and of a model of one's own."""
    modules = [MODULES.get(stage, stage.partition("-")[0])]
    if stage == "spot":
        ways = ("displacement", "two_stage")
        modules.append(f"spotting.{next((way for way in ways if way in settings), 'network')}")
    if detector := settings.get(stage, {}).get("detector"):
        modules.append(f"faces.{detector}")
    own = Path(str(options.get("network")).rpartition(":")[0])  # path/to/file.py:Class
    return " ".join([digest(*modules), *([file_digest(own)] if os.path.isfile(own) else [])])


def versions() -> dict[str, str]:
    """Of mespot, Python and the libraries, as they are installed."""
    from importlib.metadata import version

    libraries = {name: version(name) for name in LIBRARIES}
    return {"mespot": __version__, "python": sys.version.split()[0], **libraries}


def _carried(path: Path) -> dict[str, Any] | None:
    """The record inside a file, with what else the file tells of itself."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        head = file.read(64)
    reader = next((reader for sign, reader in FORMS.items() if sign in head), None)
    if reader is None:
        return None
    try:
        made, told = reader(path)
        return _record_of(json.loads(made) | {key: value for key, value in told.items() if value})
    except Exception:  # a file of any content raises anything, or has no record; its reader says it
        return None


def _record_of(content: Any) -> dict[str, Any]:
    """What was read, if it has the form of a record. Raises TypeError."""
    if not isinstance(content["inputs"], dict) or not isinstance(content["source"], str | None):
        raise TypeError("inputs and source of another kind")
    return content


def _of_hdf5(path: Path) -> tuple[str | None, dict[str, Any]]:
    from mespot import store

    with store.read(path) as file:
        told = {name: _plain(value) for name, value in store.attributes(file).items()}
    return told.pop("made", None), {"source": told.pop("source", None), "attributes": told}


def _of_video(path: Path) -> tuple[str | None, dict[str, Any]]:
    from mespot import video

    tags = video.tags(path)
    return tags.get("MADE"), {"source": tags.get("SOURCE")}


def _of_model(path: Path) -> tuple[str | None, dict[str, Any]]:
    from mespot.networks.trained import read

    return read(path).get("made"), {}


# The forms that carry a record, by what is among their first bytes.
FORMS = {b"\x89HDF\r\n": _of_hdf5, b"\x1aE\xdf\xa3": _of_video, b"data.pkl": _of_model}


def _plain(value: Any) -> Any:
    return None if value != value else value  # JSON has no NaN


def _beside(path: Path) -> dict[str, Any] | None:
    """The record in the folder beside a file or folder."""
    kept_in = _place(path)
    try:
        kept = json.loads(kept_in.read_bytes())
        record, file = _record_of(kept["made"]), kept["file"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{kept_in}: not a record of mespot's ({error!r}); delete it") from None
    if file != _looks(path):
        raise InputError(f"{path}: not as mespot wrote it: changed, or another in its place")
    return record


def _place(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    return path.parent / ".made" / f"{path.name}.json"


def _looks(path: Path) -> str:
    """Digest of a file's size and both ends; of a folder, of the names and sizes in it."""
    if path.is_dir():
        # Not the hidden ones: Snakemake puts a time into the folders that it is given.
        files = (each for each in sorted(path.rglob("[!.]*")) if each.is_file())
        names = (os.fsencode(f"{each.relative_to(path)} {each.stat().st_size}\n") for each in files)
        return hashlib.sha256(b"".join(names)).hexdigest()[:16]
    size = path.stat().st_size
    with open(path, "rb") as file:
        ends = file.read(END)
        file.seek(max(END, size - END))
        ends += file.read(END)
    return hashlib.sha256(f"{size} ".encode() + ends).hexdigest()[:16]


def _in_short(values: list[str], what: str) -> str:
    digest = digest_of(json.dumps(values))
    return f"{len(values)} {what}, {values[0]} to {values[-1]}, in all {digest}"
