"""Pages for people: a template each in `templates/`, what is drawn on it, and what is said first."""

from __future__ import annotations

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
