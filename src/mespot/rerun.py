"""What makes a stage run again: a digest of its code, comments and docstrings left out.

Snakemake compares `params`, not imported modules (DESIGN.md, "What reruns"). So every rule carries
the digest of its stage's module and of everything that it imports inside the package.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent
# What a stage takes from the configuration stands in the params as values; the modules that check
# them are not part of the stage's code, nor is the one that writes down what made a file.
NOT_CODE = {"mespot.config", "mespot.settings", "mespot.provenance"}


@cache
def digest(*modules: str) -> str:
    """Digest of the code behind a stage: the modules `mespot.{...}` with their import closure."""
    sources = sorted(set().union(*(_closure(f"mespot.{module}") for module in modules)))
    return digest_of(" ".join(f"{name}={_module(name).digest}" for name in sources))


def forget() -> None:
    """Read the modules again, which may have been edited since."""
    for kept in (digest, _module):
        kept.cache_clear()


def file_digest(path: Path) -> str:
    """Digest of one Python file outside the package (a model of the user's own)."""
    return digest_of(_code_of(ast.parse(path.read_text(), str(path))))


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found | NOT_CODE and _path(name):
            found.add(name)
            waiting.extend(_module(name).imports)
            waiting.append(name.rpartition(".")[0])  # the package around it runs first
    return found


def _path(module: str) -> Path | None:
    """The file of a module inside the package; None for any other name.

    The package's own __init__ holds only the version, which the outputs record: not code.
    """
    parts = module.split(".")
    if parts[0] != "mespot" or len(parts) == 1:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    if path.is_dir():
        return path / "__init__.py"
    path = path.with_suffix(".py")
    return path if path.exists() else None


class _Module(NamedTuple):
    imports: tuple[str, ...]  # what it imports, the modules of the package among them
    digest: str


@cache
def _module(name: str) -> _Module:
    path = _path(name)
    tree = ast.parse(path.read_text(), str(path))
    imports = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from mespot import store` imports the module mespot.store.
            imports += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    # What a package's modules fill in is code as well.
    folders = ("templates", "uplot") if path.name == "__init__.py" else ()
    filled = "".join(
        file.read_text() for folder in folders for file in sorted(path.parent.glob(f"{folder}/*"))
    )
    return _Module(tuple(imports), digest_of(_code_of(tree) + filled))


def _code_of(tree: ast.Module) -> str:
    """The source without comments, docstrings and layout."""
    for node in _statements(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:]
    return ast.unparse(tree)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and every statement in it; `ast.walk` takes its time over what they are made of."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            if isinstance(inner := getattr(node, part, None), list):
                waiting += inner


def digest_of(text: str) -> str:
    """A short digest, to tell two texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
