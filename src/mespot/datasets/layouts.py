"""Where a dataset's videos lie: from a folder as distributed to subjects and videos.

A video is a file, or a folder of numbered frames. Its name here is the one of the published CSVs:
`casme_015_0101`, `samm_006_1`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mespot.datasets.endings import IMAGES, VIDEOS, visible
from mespot.datasets.names import meant
from mespot.errors import InputError

CAS_ME_SQ_FOLDER = re.compile(r"^(?P<subject>\d+)_(?P<code>\d{4})[A-Za-z]*$")
SAMM_LV_FOLDER = re.compile(r"^(?P<subject>\d{3})_(?P<number>\d+)$")
# The number of a video's first frame, where the annotation counts by the frames' names.
FIRST_FRAME = {"cas_me_sq": 1, "samm_lv": 1}
SEGMENT = re.compile(r"^(?P<video>.+)_(?P<start>\d+)\.npz$")


# The demo's people by number, and its clips in CAS(ME)^2's form: code, name in the spreadsheet, folder.
DEMO_PEOPLE = {"cas_me_sq": 15, "samm_lv": 6}
DEMO_CAS_ME_SQ = [
    (101, "disgust1", "0101disgustingteeth"),
    (502, "happy1", "0502funnyerrors"),
    (401, "anger1", "0401demo"),
    (102, "disgust2", "0102demo"),
    (503, "happy2", "0503demo"),
    (402, "anger2", "0402demo"),
    (505, "happy3", "0505demo"),
    (507, "happy4", "0507demo"),
    (508, "happy5", "0508demo"),
]


# The fold that leaves nobody out, and those that leave two groups of subjects out.
ALL = "all"
RESERVED = re.compile(rf"{ALL}|inner_[\d_]+")


NOBODY: Mapping[str, str] = {}


class Video(NamedTuple):
    subject: str  # "" while no folder names it
    video: str
    path: str  # a video file, a folder of frames, or (published features) a subject's folder


class Misplaced(NamedTuple):
    path: str
    why: str
    video: str = ""  # which it would be by its name


def find(layout: str, root: str | Path, subjects: Mapping[str, str] = NOBODY) -> list[Video]:
    """The videos of a dataset, by subject and name; see `survey`."""
    return survey(layout, root, subjects)[0]


def survey(
    layout: str, root: str | Path, subjects: Mapping[str, str] = NOBODY
) -> tuple[list[Video], list[Misplaced]]:
    """The videos of a dataset, by subject and name, and the folders that are none of them, and why.

    Where no folder names a video's subject, `subjects` may (`annotation_files.subjects`); else the
    video is its own. Raises InputError if the folder is missing, holds no video or two of one name.
    """
    root = Path(root)
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: one of {', '.join(LAYOUTS)} was expected")
    if not root.exists():
        raise InputError(f"{root}: no such file or folder; set the dataset's root in config.yaml")
    found = sorted(LAYOUTS[layout](root))
    videos = [entry for entry in found if isinstance(entry, Video)]
    misplaced = [entry for entry in found if isinstance(entry, Misplaced)]
    for entry in [*misplaced]:  # the only copy there is counts, wherever it lies
        of_name = [other for other in (*videos, *misplaced) if other.video == entry.video]
        if entry.video and of_name == [entry]:
            videos.append(Video(entry.video.rpartition("_")[0], entry.video, entry.path))
            misplaced[misplaced.index(entry)] = entry._replace(
                why=f"{entry.why}; used all the same"
            )
    names = [entry.video for entry in videos]
    of = {meant(written, names) or written: subject for written, subject in subjects.items()}
    videos = sorted(
        entry._replace(subject=entry.subject or of.get(entry.video) or entry.video)
        for entry in videos
    )
    if not videos:
        there = ", ".join(sorted(path.name for path in visible(root))[:8]) if root.is_dir() else ""
        raise InputError(
            f"{root}: no video found in it; layout {layout} was expected: {LAYOUTS[layout].__doc__}; there "
            f"are: {there or 'no entries'}"
        )
    for video in videos:
        if RESERVED.fullmatch(video.subject):
            raise InputError(
                f"{root}: a subject is called {video.subject!r}, which names a fold of others; rename it"
            )
    for name, times in Counter(video.video for video in videos).items():
        if times > 1:
            paths = ", ".join(video.path for video in videos if video.video == name)
            raise InputError(f"{root}: {times} videos would be named {name} ({paths}); rename one")
    return videos, misplaced


def cas_me_sq(root: Path) -> list[Video | Misplaced]:
    """rawpic/s15/15_0101disgustingteeth/img001.jpg (or longVideoFaceCropped/..., img_1.jpg)"""
    found: list[Video | Misplaced] = []
    people = _folders(_within(root, "rawpic", "longVideoFaceCropped"))
    people = [folder for folder in people if folder.name.lower().startswith("s")]
    for folder in (clip for person in people for clip in _folders(person)):
        match = CAS_ME_SQ_FOLDER.match(folder.name)
        if not match:
            found.append(Misplaced(str(folder), "is not named as 15_0101disgustingteeth is"))
            continue
        subject = f"casme_{int(match['subject']):03d}"
        video = f"{subject}_{match['code']}"
        if folder.parent.name.lower() == f"s{match['subject']}":
            found.append(Video(subject, video, str(folder)))
        else:
            why = f"lies in {folder.parent.name}, but its name is of s{match['subject']}"
            found.append(Misplaced(str(folder), why, video))
    return found


def samm_lv(root: Path) -> list[Video | Misplaced]:
    """SAMM_longvideos/006_1/006_1_0001.jpg"""
    found: list[Video | Misplaced] = []
    for folder in _folders(_within(root, "SAMM_longvideos")):
        match = SAMM_LV_FOLDER.match(folder.name)
        if not match:
            found.append(Misplaced(str(folder), "is not named as 006_1 is"))
            continue
        subject = f"samm_{match['subject']}"
        found.append(Video(subject, f"{subject}_{match['number']}", str(folder)))
    return found


def videos(root: Path) -> list[Video | Misplaced]:
    """videos/one.mp4, videos/anna/two.mp4 or videos/anna/three/1.jpg"""
    # A folder between names the subject.
    root = _within(root, "videos")
    if root.is_file() or is_video(root):
        return [Video("", video_name(root), str(root))]
    found: list[Video | Misplaced] = []
    for path in visible(root):
        if is_video(path):
            found.append(Video("", video_name(path), str(path)))
        elif path.is_dir():
            inside = [inner for inner in visible(path) if is_video(inner)]
            found += [Video(video_name(path), video_name(inner), str(inner)) for inner in inside]
            if not inside:
                found.append(Misplaced(str(path), "no video and no folder of frames lies in it"))
    # anna/1.mp4 beside ben/1.mp4 are anna_1 and ben_1; beside 1.mp4 one must be renamed.
    flat = {entry.video for entry in found if isinstance(entry, Video) and not entry.subject}
    times = Counter(entry.video for entry in found if entry.video not in flat)
    return [
        entry._replace(video=f"{entry.subject}_{entry.video}")
        if isinstance(entry, Video) and times[entry.video] > 1
        else entry
        for entry in found
    ]


def features(root: Path) -> list[Video]:
    """casme_015/casme_015_0401_0256.npz, the authors' segment files, at any depth"""
    named = {(path.parent, match["video"]) for path, match in segments(root)}
    return [Video(folder.name, video, str(folder)) for folder, video in named]


def segments(root: Path) -> list[tuple[Path, re.Match[str]]]:
    """The segment files below a folder, each with its name taken apart."""
    matches = ((path, SEGMENT.match(path.name)) for path in root.rglob("[!.]*.npz"))
    return [(path, match) for path, match in matches if match]


def demo(layout: str, root: str | Path, subjects: int, videos: int) -> list[Video]:
    """The videos that the stage `demo` makes; `find` finds the same once they are there."""
    found = []
    for subject in range(subjects):
        number = DEMO_PEOPLE[layout] + subject
        for video in range(videos):
            if layout == "cas_me_sq":
                name, title = f"casme_{number:03d}", DEMO_CAS_ME_SQ[video][2]
                folder = Path(root) / "rawpic" / f"s{number}" / f"{number}_{title}"
                found.append(Video(name, f"{name}_{title[:4]}", str(folder)))
            else:
                name, folder = f"samm_{number:03d}", Path(root) / f"{number:03d}_{video + 1}"
                found.append(Video(name, f"{name}_{video + 1}", str(folder)))
    return found


LAYOUTS = {"cas_me_sq": cas_me_sq, "samm_lv": samm_lv, "videos": videos, "features": features}


def is_video(path: Path) -> bool:
    """Whether a path is a video file by its ending, or a folder of frames.

    That has images and no video; one image alone may be a picture beside folders of frames.
    """
    if not path.is_dir():
        return path.suffix.lower() in VIDEOS
    images, others = 0, []
    for entry in visible(path):
        if entry.suffix.lower() in IMAGES:
            images += 1
        else:
            others.append(entry)
    if any(entry.suffix.lower() in VIDEOS for entry in others):
        return False
    return images > 1 or (images == 1 and not any(is_video(entry) for entry in others))


def video_name(path: Path) -> str:
    """A video's or subject's name: its file's; what is not a letter, digit, '.', '_' or '-' as '_'."""
    stem = path.stem if path.suffix.lower() in VIDEOS | IMAGES else path.name
    return re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "video"


def _within(root: Path, *names: str) -> Path:
    """The folder in `root` of the first of these names, in any case, or `root` itself.

    Unpacking an archive may have made it twice (longVideoFaceCropped/longVideoFaceCropped).
    """
    folders = {folder.name.lower(): folder for folder in _folders(root)} if root.is_dir() else {}
    for name in names:
        if name.lower() in folders:
            return _within(folders[name.lower()], name)
    return root


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in visible(root) if path.is_dir())
