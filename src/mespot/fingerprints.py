"""What a source is known by, so that a run notices that another has taken its place.

Times alone do not tell: a file copied over another may be the older one, a touched file is the same,
and a folder's own time says nothing of a frame that was written anew inside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mespot.datasets.endings import IMAGES
from mespot.errors import InputError

# Of a folder, what counts: frames, and published segments.
COUNT = IMAGES | {".npz"}


def fingerprint(path: Path, count: Collection[str] = COUNT) -> str:
    """SHA-256 over a file, or over the names and contents of a folder's files that `count` by their endings.

    Raises InputError.
    """
    if not path.is_dir():
        return _digest(path)
    contents = "".join(f"{name} {_digest(file)}\n" for name, file in _inside(path, count))
    return hashlib.sha256(os.fsencode(contents)).hexdigest()


def signature(path: Path) -> str:
    """Size and time of a file, or of all of a folder's frames or segments. Raises InputError."""
    if not path.is_dir():
        return _state(path)
    states = "".join(f"{name} {_state(file)}\n" for name, file in _inside(path))
    return hashlib.sha256(os.fsencode(states)).hexdigest()


class Sources:
    """What each source of a results folder is known by, kept in a JSON file from run to run.

    That is its signature when it was first seen: reading every video whole before a run would take
    too long. Where the signature is another, the source is read, and stays what it was if it is what
    the output was made of.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.changed = file, False
        try:
            self.kept = TypeAdapter(dict[str, tuple[str, str]]).validate_json(file.read_bytes())
        except (OSError, ValidationError):  # none, or none that can be used
            self.kept = {}

    def known_as(self, name: str, path: Path, made: Path) -> str:
        """What the source `name` at `path` is known by; `made` is an HDF5 file that was made of it."""
        now = signature(path)
        known, seen = self.kept.get(name, (now, now))
        if seen != now and not _made_of(made, path):
            known = now
        if self.kept.get(name) != (known, now):
            self.kept[name], self.changed = (known, now), True
        return known

    def save(self) -> None:
        """Write the file, if there is anything new to keep: once it is sure that what is new will be read."""
        from mespot.store import replacing  # HDF5: slow to import

        if self.changed:
            with replacing(self.file) as temporary:
                temporary.write_text(json.dumps(self.kept, indent=0, sort_keys=True) + "\n")
            self.changed = False


def _made_of(made: Path, source: Path) -> bool:
    from mespot import store

    try:
        with store.read(made) as file:
            return store.attribute(file, "source") == fingerprint(source)
    except InputError:
        return False


def _inside(folder: Path, count: Collection[str] = COUNT) -> Iterator[tuple[str, Path]]:
    """A folder's files that count, with their names in it, in order."""
    for where, inner, files in os.walk(folder):
        inner.sort()
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in count:
                file = Path(where, name)
                yield os.path.relpath(file, folder), file


def _digest(file: Path) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from None


def _state(file: Path) -> str:
    try:
        state = os.stat(file)
    except OSError as error:
        raise _unreadable(file, error) from None
    return f"{state.st_size} {state.st_mtime_ns}"


def _unreadable(file: Path, error: OSError) -> InputError:
    return InputError(
        f"{file}: cannot be read ({error.strerror}); copy it again, or give yourself the right to it"
    )
