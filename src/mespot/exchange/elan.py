"""elan: ELAN's .eaf: a tier for each type, which ELAN shows along the video and lets move."""

from __future__ import annotations

import mimetypes
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote
from xml.parsers import expat

from pympi.Elan import Eaf

from mespot import __version__
from mespot.datasets import tables
from mespot.datasets.layouts import video_name
from mespot.errors import InputError, reading
from mespot.exchange import Recording, tiers, type_named

ENDING = ".eaf"
# What `Interval.text` says, and whoever annotates may.
APEX = re.compile(r"\bapex (\d+(?:\.\d+)?) ?s\b", re.IGNORECASE)
AU = re.compile(r"\bau ([^;]+)", re.IGNORECASE)


def write(recording: Recording, folder: Path) -> None:
    """Write a video's intervals as {video}.eaf, linked to its media file where that is known."""
    eaf = Eaf(author=f"mespot {__version__}")
    eaf.adocument["DATE"] = "1970-01-01T00:00:00+00:00"  # the same intervals give the same bytes
    eaf.header.update(MEDIA_FILE="", TIME_UNITS="milliseconds")
    eaf.remove_tier("default")
    if media := recording.media:
        kind = mimetypes.guess_type(media.name)[0] or "unknown"
        # As ELAN writes them, spaces and all.
        url, relative = f"file://{media.resolve().as_posix()}", os.path.relpath(media, folder)
        eaf.add_linked_file(url, relative, kind)
    for name, intervals in tiers(recording).items():
        eaf.add_tier(name, part=recording.subject)
        for one in intervals:
            eaf.add_annotation(name, one.onset, one.offset, one.text)
    eaf.to_file(folder / f"{recording.video}{ENDING}")


def read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The annotations of a file's tiers macro and micro, and the names of its other tiers.

    Each is a row of an annotation as text, its times in seconds of the video that the file is named by.
    Raises InputError.
    """
    data = tables.load(path)
    rows, others = [], []
    with reading(path, "not a whole file of ELAN's", "open it in ELAN and save it again"):
        _refuse_entities(path, data)
        eaf = Eaf(path, suppress_version_warning=True)
        begins = _begins(eaf, video_name(Path(path.stem)))
        for name, (aligned, referring, about, _) in eaf.tiers.items():
            type_ = type_named(name)
            if type_ is None:
                others += [name] if aligned or referring else []
                continue
            where = f"{path}: tier {name}"
            if referring:
                raise InputError(
                    f"{where}: its annotations have no times of their own; give it a tier type without a "
                    "stereotype in ELAN"
                )
            for number, (first, last, value, _) in aligned.items():
                onset, offset = eaf.timeslots[first], eaf.timeslots[last]
                if onset is None or offset is None or onset >= offset:
                    raise InputError(
                        f"{where}: annotation {number} is from {onset} to {offset} ms; an end after its "
                        "beginning was expected: correct it in ELAN"
                    )
                apex, au = APEX.search(value), AU.search(value)
                rows.append(
                    {
                        "subject": about.get("PARTICIPANT") or "",
                        "video": path.stem,
                        "type": type_,
                        "onset": f"{(onset + begins) / 1000:.3f}",
                        "apex": apex[1] if apex else "-1",
                        "offset": f"{(offset + begins) / 1000:.3f}",
                        "au": au[1] if au else "",
                        "where": f"{where}: annotation {number}",
                    }
                )
    return rows, others


def _refuse_entities(path: Path, data: bytes) -> None:
    """Raise InputError for a document type: ELAN writes none, and a few lines of one fill any memory."""

    def refuse(*_: object) -> None:
        raise InputError(
            f"{path}: a document type (<!DOCTYPE) is declared, which no file of ELAN's has; open it in "
            "ELAN and save it again"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(data, True)


def _begins(eaf: Eaf, video: str) -> int:
    """At which time of the video, ms, ELAN's begins: another than 0 where videos were synchronised."""
    for media in eaf.media_descriptors:
        name = PurePosixPath(unquote(media["MEDIA_URL"]).replace("\\", "/")).name
        if video_name(Path(name)) == video:
            return int(media.get("TIME_ORIGIN") or 0)
    return 0
