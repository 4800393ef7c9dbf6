"""A config file as people save it: YAML to values; what cannot be read is one line that names the place."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mespot.errors import InputError

MOST = 100_000  # values in a file
# What PyYAML finds, and what to do about it. The first that fits counts.
MENDS = {
    "'\\t'": "a tab; write spaces instead",
    "escape": "in double quotes a backslash begins an escape; put a path in single quotes, or write / for \\",
    "mapping values are not allowed": "a second colon, or a line indented too far; put a value with a colon in quotes",
    "could not find expected ':'": "`key: value` was expected, with a plain colon and a space after it",
    "while scanning a quoted scalar": "a quote that is not closed; close it",
    "alias": "a value that begins with * stands in quotes",
    "cannot start any token": "a value that begins with @, ` or % stands in quotes",
    "expected ',' or": "a bracket or brace that is not closed; close it",
    "<stream end>": "a bracket or brace that is not closed, or nothing follows; write what belongs there",
    "expected a single document": "a line of --- begins a second file; keep one",
    "unhashable": "a name was expected before the colon; put what has braces in quotes",
    "expected <block end>": "indented otherwise than the lines before it; keys that belong together begin in one column",
}


def read(path: Path) -> dict[str, Any]:
    """The values of a YAML file. Raises InputError that names the line and says what to do."""
    text = _text(path)
    for n, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*[^\S \t\r\n]", line) and line.strip():
            raise InputError(
                f"{path}: line {n}: indented by an odd space (no-break or wide); write plain ones"
            )
    try:
        values = yaml.load(text, _Strict)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise InputError(
            f"{path}: line {line}: the control character U+{ord(text[error.position]):04X}; delete it"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}: {_explained(error)}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; put a date in quotes") from None
    except RecursionError:
        raise InputError(
            f"{path}: keys or brackets in too many others; no key stands so deep"
        ) from None
    if not isinstance(values, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(values), "no key")
        raise InputError(
            f"{path}: {found} in it; keys as in config.yaml were expected, `key: value`"
        )
    return values


def place(files: Sequence[Path], keys: Sequence[str | int]) -> str:
    """Where nested `keys` stand, `FILE: line N: `: in the first file that has most of them."""
    if not files:
        return "config: "
    found = [(*_found(_text(path), keys), path) for path in files]
    depth, line, path = max(found, key=lambda one: one[0])
    return f"{path}: line {line}: " if depth else f"{path}: "


def _found(text: str, keys: Sequence[str | int]) -> tuple[int, int]:
    """How many of nested `keys` there are, and the line of the last of them."""
    node, line = yaml.compose(text, yaml.SafeLoader), 0
    for depth, wanted in enumerate(keys):
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        fitting = [(key, value) for key, value in entries if key.value == str(wanted)]
        if not fitting:
            return depth, line
        key, node = fitting[0]
        line = key.start_mark.line + 1
    return len(keys), line


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; the path of a config file was expected"
        ) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise InputError(f"{path}: line 1: UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: not UTF-8 but another encoding (GBK or Latin-1, say); save it as UTF-8"
        ) from None


class _Strict(yaml.SafeLoader):
    """YAML in which no key is there twice, or read as something else than it says."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.number = 0  # of nodes so far
        self.sizes: dict[int, int] = {}  # of those that are whole, with all that is in them

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """Count an alias as all that it repeats: a few lines of them can stand for billions of values."""
        event, before = self.peek_event(), self.number
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            self.number += self.sizes.get(id(node), MOST)  # else it would be in itself
        else:
            self.number += 1
            self.sizes[id(node)] = self.number - before
        if self.number > MOST:
            what = f"more than {MOST} values up to here, with those that * repeats; write fewer"
            raise yaml.composer.ComposerError(None, None, what, event.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            name = key.value
            meant = (
                super().construct_yaml_int(key) if key.tag == INT else self.construct_object(key)
            )
            what = None
            if name in lines:
                what = f"{name!r} is in line {lines[name]} already; keep one of them"
            elif not isinstance(meant, str | int) or str(meant) != name:
                what = f"{name} is read as {meant!r}; put it in quotes"
            if what:
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if re.match(r"[-+]?0\d", node.value):  # YAML would count by eights
            what = f"{node.value} begins with 0; leave that out"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        return super().construct_yaml_int(node)


INT, MERGE = "tag:yaml.org,2002:int", "tag:yaml.org,2002:merge"
_Strict.add_constructor(INT, _Strict.construct_yaml_int)


def _explained(error: yaml.MarkedYAMLError) -> str:
    """Where and what, in one line."""
    # Of what is not closed or has no colon PyYAML marks the end; where it begins is its context.
    begun = error.context_mark and any(
        words in f"{error.context} {error.problem}"
        for words in ("quoted scalar", "could not find expected ':'", "expected ',' or")
    )
    mark = error.context_mark if begun and "escape" not in error.problem else error.problem_mark
    said = f"{error.context} {error.problem}"
    mend = next((mend for words, mend in MENDS.items() if words in said), error.problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {mend}"
