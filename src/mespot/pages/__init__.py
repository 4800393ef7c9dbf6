"""Pages for people: a template each in `templates/`, what is drawn on it, and what is said first."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

# What was measured on ten real videos (docs/real_faces.md), by method and what it was trained on.
REACHED = {
    "displacement, which is trained on nothing": "On ten real videos it found 15 of 19 clear expressions; 8 more of its intervals are not right, 6 of them far from any (F1 0.71 at IoU 0.5; with the thresholds chosen on the other nine videos 0.65). It loses smiles within speech, and takes slow changes of gaze or pose for expressions.",
    "mespot, trained on demo_color": "On ten real videos it found 3 of 19 expressions, no more than chance would (F1 0.09 at IoU 0.5): its intervals show the workflow, not the face.",
}


def about(method: str, dataset: str | None) -> str:
    """What a page of one's own videos says first: who spotted, and how far to believe it.

    `dataset` is what the method was trained on; None if on nothing.
    """
    who = f"{method}, " + (f"trained on {dataset}" if dataset else "which is trained on nothing")
    reached = REACHED.get(who, "What it reaches on real faces was not measured.")
    return f"Spotted by the method {who}. {reached}"


def environment() -> Environment:
    """The templates, strict about what they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # `about` alone needs none of it

    made = Environment(
        loader=PackageLoader("mespot.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals["file"] = _file
    return made


@cache
def _file(name: str) -> str:
    """A file of this package, to stand in the page as it is."""
    return resources.files("mespot.pages").joinpath(name).read_text(encoding="utf-8")
