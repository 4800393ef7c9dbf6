"""What lies in a folder: videos and folders of frames, and what is passed over, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from mespot.datasets import endings
from mespot.datasets.endings import IMAGES, PAGED, VIDEOS, has_pages, shown

# How many pictures of one ending in a folder, and files of an ending that is no video's, are looked
# into: where there are thousands, the others are as these.
PICTURES, UNKNOWN_FILES = 50, 20
# Why something is passed over that may hold a video all the same.
UNKNOWN = "neither a video nor a picture that is read, by its ending"
NO_VIDEO = "no video and no folder of frames lies in it"
NO_FRAME = "no frame, in a folder of frames"


class PassedOver(NamedTuple):
    path: str
    why: str


class Tree(NamedTuple):
    """A folder: a folder of frames, or what lies in it."""

    path: Path
    frames: int  # how many; 0 if it is no folder of frames
    files: list[Path]  # videos
    folders: list[Tree]
    left: list[PassedOver]

    def videos(self) -> list[Path]:
        return [*self.files, *(folder.path for folder in self.folders if folder.frames)]

    def inner(self) -> list[Tree]:
        """The folders in it that are none of frames."""
        return [folder for folder in self.folders if not folder.frames]

    def holds(self, frames: int = 1) -> bool:
        """Whether there are videos in it, at any depth, or that many frames in a folder."""
        return (
            bool(self.files) or self.frames >= frames or any(f.holds(frames) for f in self.folders)
        )


def tree_of(folder: Path, around: tuple[str, ...] = ()) -> Tree:
    """A folder with all that is in it; `around` are the true paths of the folders that it is in.

    A folder of frames has images, and neither videos nor folders of frames in it. One picture in a
    folder makes none beside many.
    """
    around = (*around, os.path.realpath(folder))
    folders, files, left = listed(folder, around)
    inner = [tree_of(path, around) for path in folders]
    pictures = [path for path in files if path.suffix.lower() in IMAGES]
    videos = [path for path in files if path.suffix.lower() in VIDEOS] + _with_pages(pictures)
    left += [entry for one in inner if one.frames for entry in one.left]
    if pictures and not videos and not any(one.holds(min(2, len(pictures))) for one in inner):
        left += [PassedOver(str(path), NO_FRAME) for path in sorted({*files} - {*pictures})]
        left += [PassedOver(str(one.path), NO_FRAME) for one in inner]
        return Tree(folder, len(pictures), [], [], left)
    for path in sorted({*files} - {*videos}):
        beside = "a picture beside videos or folders of frames"
        left.append(PassedOver(str(path), beside if path.suffix.lower() in IMAGES else UNKNOWN))
    return Tree(folder, 0, sorted(videos), inner, left)


def _with_pages(pictures: list[Path]) -> list[Path]:
    """Those of a folder's pictures that are videos by themselves."""
    found = []
    for ending in PAGED:
        alike = [path for path in pictures if path.suffix.lower() == ending]
        if any(map(has_pages, alike[:PICTURES])):
            found += filter(has_pages, alike)
    return found


def listed(
    folder: Path, around: tuple[str, ...] = ()
) -> tuple[list[Path], list[Path], list[PassedOver]]:
    """The folders and the files in a folder, sorted, and what does not count."""
    folders, files, left = [], [], []
    around = around or (os.path.realpath(folder),)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            why = _aside(entry, around)
            if why:
                left.append(PassedOver(str(folder / entry.name), why))
            elif why is None:
                (folders if entry.is_dir() else files).append(folder / entry.name)
    return folders, files, left


def _aside(entry: os.DirEntry[str], around: tuple[str, ...]) -> str | None:
    """Why an entry of a folder does not count: None if it does, "" if nobody need be told."""
    name = entry.name
    if endings.system(name):
        return f"the system's own ({name.lower()})"
    if entry.is_symlink() and not os.path.exists(entry.path):
        return "" if endings.hidden(name) else "a link to what is not there"
    if endings.hidden(name):
        a_video = Path(name).suffix.lower() in VIDEOS and not name.startswith("._")
        return "hidden" if entry.is_dir() or a_video else ""
    if entry.is_dir():
        real = os.path.join(os.path.realpath(entry.path), "")
        if entry.is_symlink() and any(os.path.join(one, "").startswith(real) for one in around):
            return "a link back to a folder that it lies in"
    elif not entry.is_file():
        return "neither a file nor a folder"
    elif endings.unfinished(name):
        return "unfinished, of a download or an open program"
    frame = Path(name).suffix.lower() in IMAGES
    return None if frame or endings.is_text(name) else "its name is not UTF-8; rename it"


def in_short(left: Iterable[PassedOver]) -> list[PassedOver]:
    """One entry for all that are passed over for one reason, with how many and the first names.

    A file that is a video by what is in it has an entry of its own.
    """
    alike: dict[str, list[str]] = {}
    looked: Counter[str] = Counter()
    for path, why in left:
        for file in _unknown(Path(path), why):
            looked[file.suffix] += 1
            if looked[file.suffix] <= UNKNOWN_FILES and (ending := ending_for(file)):
                why = f"{shown(file.name)} looks like a video; give it the ending {ending}"
                break
        alike.setdefault(why, []).append(path)
    return [PassedOver(paths[0], why + _and_more(paths[1:])) for why, paths in alike.items()]


def _and_more(paths: list[str]) -> str:
    if not paths:
        return ""
    names = [shown(Path(path).name) for path in paths[:3]] + ["..."] * (len(paths) > 3)
    return f"; so {'is' if len(paths) == 1 else 'are'} {len(paths)} more ({', '.join(names)})"


def _unknown(path: Path, why: str, around: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files of no known ending at, or below, what is passed over."""
    if why == UNKNOWN:
        yield path
    elif why == NO_VIDEO:
        around = (*around, os.path.realpath(path))
        folders, files, _ = listed(path, around)
        yield from files
        for folder in folders:
            yield from _unknown(folder, why, around)


def ending_for(file: Path) -> str:
    """The ending that a file should have if it holds a video of at least two frames, else ""."""
    import av  # slow to import: only where it is needed

    try:
        with (
            open(file, "rb") as opened,
            # Without its name, by which ffmpeg takes a text for a video of letters.
            mmap(opened.fileno(), 0, access=ACCESS_READ) as content,
            av.open(content) as container,
        ):
            packets = (packet for packet in container.demux(video=0) if packet.size)
            if not (next(packets, None) and next(packets, None)):
                return ""
            names = {*container.format.name.split(","), *container.format.extensions}
    except (OSError, ValueError, IndexError):  # PyAV's errors are among these
        return ""
    known = sorted((VIDEOS | PAGED) & {f".{name}" for name in names})
    return ".mp4" if ".mp4" in known or not known else known[0]
