"""Where a dataset's videos lie: from a folder as distributed to subjects and videos.

A video is a file, or a folder of numbered frames. Its name here is the one of the published CSVs:
`casme_015_0101`, `samm_006_1`.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mespot.datasets.endings import IMAGES, VIDEOS, is_text, shown, visible
from mespot.datasets.folders import NO_VIDEO, PassedOver, Tree, listed, tree_of
from mespot.datasets.names import Names
from mespot.errors import InputError
from mespot.settings import LONGEST, NAME

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
RESERVED = re.compile(rf"{ALL}|inner_[\d_]+", re.IGNORECASE)


NOBODY: Mapping[str, str] = {}


class Video(NamedTuple):
    subject: str  # "" while no folder names it
    video: str
    path: str  # a video file, a folder of frames, or (published features) a subject's folder


class Misplaced(NamedTuple):
    path: str
    why: str
    video: str = ""  # which it would be by its name


Found = Video | Misplaced | PassedOver


def find(layout: str, root: str | Path, subjects: Mapping[str, str] = NOBODY) -> list[Video]:
    """The videos of a dataset, by subject and name; see `survey`."""
    return survey(layout, root, subjects)[0]


def survey(
    layout: str, root: str | Path, subjects: Mapping[str, str] = NOBODY
) -> tuple[list[Video], list[Misplaced | PassedOver]]:
    """The videos of a dataset, by subject and name, and whatever else lies there, and why it is none.

    Where no folder names a video's subject, `subjects` may (`annotation_files.subjects`); else the
    video is its own. Raises InputError if the folder is missing or cannot be read, holds no video or
    two of one name.
    """
    root = Path(root)
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: one of {', '.join(LAYOUTS)} was expected")
    try:
        if not root.exists():
            raise InputError(
                f"{root}: no such file or folder; set the dataset's root in config.yaml"
            )
        found = sorted(LAYOUTS[layout](root))
        there = sorted(path.name for path in visible(root)) if root.is_dir() else []
    except OSError as error:
        raise InputError(
            f"{error.filename or root}: cannot be read ({error.strerror}); a folder that you may read was "
            "expected"
        ) from None
    videos = [entry for entry in found if isinstance(entry, Video)]
    left = [entry for entry in found if not isinstance(entry, Video)]
    misplaced = [entry for entry in left if isinstance(entry, Misplaced)]
    for entry in misplaced:  # the only copy there is counts, wherever it lies
        of_name = [other for other in (*videos, *misplaced) if other.video == entry.video]
        if entry.video and of_name == [entry]:
            videos.append(Video(entry.video.rpartition("_")[0], entry.video, entry.path))
            left[left.index(entry)] = entry._replace(why=f"{entry.why}; used all the same")
    names = Names(entry.video for entry in videos)
    of = {names.meant(written) or written: subject for written, subject in subjects.items()}
    videos = sorted(
        entry._replace(subject=entry.subject or of.get(entry.video) or entry.video)
        for entry in videos
    )
    if not videos:
        deeper = "".join(f"{shown(entry.path)}: {entry.why}; " for entry in misplaced[:1])
        raise InputError(
            f"{shown(root)}: no video and no folder of frames in it; there are: "
            f"{shown(', '.join(there[:8])) or 'no entries'}; {deeper}layout {layout} was expected: "
            f"{LAYOUTS[layout].__doc__}"
        )
    _must_have_names(root, videos)
    return videos, left


def _must_have_names(root: Path, videos: list[Video]) -> None:
    """Raise InputError where two videos or subjects could not be told apart, or from a fold.

    Capitals are no difference: to some file systems they are none.
    """
    if not is_text(str(root)):
        raise InputError(f"{shown(root)}: rename it; a name in UTF-8 was expected")
    for video in videos:
        _must_be_names(Path(video.path), video.subject, video.video)
    for one, _ in _alike([video.video for video in videos]):
        same = [video for video in videos if video.video.casefold() == one.casefold()]
        paths = ", ".join(shown(video.path) for video in same)
        raise InputError(f"{root}: {len(same)} videos would be named {one} ({paths}); rename one")
    subjects = sorted({video.subject for video in videos})
    for subject in subjects:
        if RESERVED.fullmatch(subject):
            raise InputError(
                f"{root}: a subject is called {subject!r}, which names a fold of others; rename it"
            )
    for one, other in _alike(subjects):
        raise InputError(
            f"{root}: subjects {one} and {other} differ in capitals alone; name one person one way"
        )


def _must_be_names(path: Path, *names: str) -> None:
    """Raise InputError for what could not stand in a path or a command."""
    for name in names:
        if not NAME.fullmatch(name) or len(name.encode()) > 2 * LONGEST:
            raise InputError(
                f"{shown(str(path))}: rename it: a subject and a video have names of letters, digits, '_', '.' "
                f"and '-', beginning with none of the last two, and at most {2 * LONGEST} bytes"
            )


def _alike(names: list[str]) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for name in names:
        if name.casefold() in first:
            yield first[name.casefold()], name
        first.setdefault(name.casefold(), name)


def cas_me_sq(root: Path) -> list[Found]:
    """rawpic/s15/15_0101disgustingteeth/img001.jpg (or longVideoFaceCropped/..., img_1.jpg)"""
    people, found = _in(*_within(root, "rawpic", "longVideoFaceCropped"), "s15")
    clips = []
    for person in people:
        if person.name.lower().startswith("s"):
            inside, found = _in(person, found, "15_0101disgustingteeth")
            clips += inside
        else:
            found.append(PassedOver(str(person), "is not named as s15 is"))
    for folder in clips:
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


def samm_lv(root: Path) -> list[Found]:
    """SAMM_longvideos/006_1/006_1_0001.jpg"""
    folders, found = _in(*_within(root, "SAMM_longvideos"), "006_1")
    for folder in folders:
        match = SAMM_LV_FOLDER.match(folder.name)
        if not match:
            found.append(Misplaced(str(folder), "is not named as 006_1 is"))
            continue
        subject = f"samm_{match['subject']}"
        found.append(Video(subject, f"{subject}_{match['number']}", str(folder)))
    return found


def _in(folder: Path, found: list[Found], like: str) -> tuple[list[Path], list[Found]]:
    """The folders in a folder, of which each should be named `like` this; and all that is found so far."""
    folders, files, left = listed(folder)
    left += [PassedOver(str(file), f"no folder such as {like}") for file in files]
    return folders, [*found, *left]


def videos(root: Path) -> list[Found]:
    """videos/one.mp4, videos/anna/two.mp4 or videos/anna/three/1.jpg"""
    # A folder between names the subject.
    root, left = _within(root, "videos")
    tree = None if root.is_file() else tree_of(root)
    if tree is None or tree.frames:
        return [Video("", video_name(root), str(root)), *left, *(tree.left if tree else [])]
    found: list[Found] = [*left, *tree.left]
    found += [Video("", video_name(path), str(path)) for path in tree.videos()]
    # A folder deeper, anna/session/one.mp4, is a guess: only where there is nothing else.
    people = tree.inner()
    sessions = [session for person in people for session in person.inner() if session.videos()]
    deeper = sessions and not (tree.videos() or any(person.videos() for person in people))
    for person in people:
        subject = video_name(person.path)
        if deeper and any(session in sessions for session in person.inner()):
            why = f"its videos lie a folder deeper; all are taken as {subject}'s"
            found.append(Misplaced(str(person.path), why))
        found += _of_subject(person, subject, deeper)
    return _told_apart(_once(found, root), root)


def _of_subject(folder: Tree, subject: str, deeper: bool = False) -> Iterator[Found]:
    """The videos in a subject's folder, or `deeper`, in the folders there; and what else there is."""
    if not folder.holds():
        yield PassedOver(str(folder.path), NO_VIDEO)
        return
    yield from folder.left
    for path in folder.videos():
        yield Video(subject, video_name(path), str(path))
    for inner in folder.inner():
        if deeper or not inner.holds():
            yield from _of_subject(inner, subject)
        else:
            why = f"its videos lie too deep; move them into {shown(folder.path.name)}"
            yield Misplaced(str(inner.path), why)


def _once(found: list[Found], root: Path) -> list[Found]:
    """Of a video that is there by a link as well, the one that is none."""
    real = {entry: os.path.realpath(entry.path) for entry in found if isinstance(entry, Video)}
    top, first = os.path.realpath(root), {}

    def linked(entry: Video) -> bool:
        return real[entry] != os.path.join(top, os.path.relpath(entry.path, root))

    for entry in sorted(real, key=lambda entry: (linked(entry), entry)):
        first.setdefault(real[entry], entry)
    return [
        PassedOver(entry.path, "a link to a video that is taken already")
        if entry in real and first[real[entry]] != entry
        else entry
        for entry in found
    ]


def _told_apart(found: list[Found], root: Path) -> list[Found]:
    """anna/1.mp4 beside ben/1.mp4 are anna_1 and ben_1; beside 1.mp4 one must be renamed."""
    flat = {
        entry.video.casefold() for entry in found if isinstance(entry, Video) and not entry.subject
    }
    times = Counter(entry.video.casefold() for entry in found if isinstance(entry, Video))

    def name(entry: Video) -> str:
        folders = Path(os.path.relpath(entry.path, root)).parts[:-1]
        parts = [video_name(Path(folder)) for folder in folders]
        return _shortened("_".join([*parts, entry.video]), 2 * LONGEST)

    return [
        entry._replace(video=name(entry))
        if isinstance(entry, Video)
        and times[entry.video.casefold()] > 1
        and entry.video.casefold() not in flat
        else entry
        for entry in found
    ]


def features(root: Path) -> list[Found]:
    """casme_015/casme_015_0401_0256.npz, the authors' segment files, at any depth"""
    matches, left = _segments(root)
    named = {(path.parent, match["video"]) for path, match in matches}
    return [*(Video(folder.name, video, str(folder)) for folder, video in named), *left]


def segments(root: Path) -> list[tuple[Path, re.Match[str]]]:
    """The segment files below a folder, each with its name taken apart."""
    return _segments(root)[0]


def _segments(
    folder: Path, around: tuple[str, ...] = ()
) -> tuple[list[tuple[Path, re.Match[str]]], list[PassedOver]]:
    around = (*around, os.path.realpath(folder))
    folders, files, left = listed(folder, around)
    matches = []
    for file in files:
        if match := SEGMENT.match(file.name):
            _must_be_names(file, folder.name, match["video"])
            matches.append((file, match))
        else:
            left.append(PassedOver(str(file), "is not named as casme_015_0401_0256.npz is"))
    for inner in folders:
        more, others = _segments(inner, around)
        matches += more
        left += others
    return matches, left


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


def video_name(path: Path) -> str:
    """A video's or subject's name: its file's; what is not a letter, digit, '.', '_' or '-' as '_'.

    The end of a long one is a digest of it. An accent is part of its letter, as macOS has it or not.
    """
    # p.264 may be a raw video, but a person as well.
    ending = path.suffix.lower()
    known = ending in VIDEOS | IMAGES and not ending[1:].isdigit()
    name = unicodedata.normalize("NFC", path.stem if known else path.name)
    name = re.sub(r"[^\w.-]+", "_", name).rstrip("_.").lstrip("_.-")
    return _shortened(name or "video", LONGEST)


def _shortened(name: str, longest: int) -> str:
    """A name of at most so many bytes, still its own."""
    written = name.encode()
    if len(written) <= longest:
        return name
    digest = hashlib.sha256(written).hexdigest()[:8]
    return written[: longest - 9].decode(errors="ignore") + f"-{digest}"


def _within(root: Path, *names: str) -> tuple[Path, list[Found]]:
    """The folder in `root` of the first of these names, in any case, or `root` itself; and the rest.

    Unpacking an archive may have made it twice (longVideoFaceCropped/longVideoFaceCropped).
    """
    if not root.is_dir():
        return root, []
    folders, files, left = listed(root)
    for name in names:
        for taken in folders:
            if taken.name.lower() == name.lower():
                beside = [path for path in (*folders, *files) if path != taken]
                why = f"beside {taken.name}, which is taken"
                left += [PassedOver(str(path), why) for path in beside]
                inside, more = _within(taken, name)
                return inside, [*left, *more]
    return root, []
