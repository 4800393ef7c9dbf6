"""Endings of the files that hold frames and videos, and which entries of a folder count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"}
VIDEOS |= {".mts", ".m2ts", ".3gp", ".ogv", ".vob"}


def visible(folder: Path) -> Iterator[Path]:
    """A folder's entries but for those of macOS (._img1.jpg, .DS_Store, __MACOSX) and other hidden ones."""
    entries = folder.iterdir()
    return (
        entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"
    )
