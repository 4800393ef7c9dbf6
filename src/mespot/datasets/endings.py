"""Which entries of a folder are videos or frames, by their names; what a system keeps beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# What Pillow reads.
IMAGES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".tif"}
IMAGES |= {".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"}
IMAGES |= {".jpx", ".tga", ".avif"}
# Those of them that may hold many pages, and then are a video.
PAGED = {".tif", ".tiff", ".webp", ".png", ".apng", ".gif"}
# What ffmpeg reads: containers, and streams without one.
VIDEOS = {".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3g2", ".mj2", ".insv", ".lrv"}
VIDEOS |= {".360", ".ismv", ".avi", ".divx", ".amv", ".mkv", ".mk3d", ".webm", ".ogv"}
VIDEOS |= {".ogm", ".ogx", ".nut", ".ivf", ".wmv", ".asf", ".wtv", ".flv", ".rm", ".rmvb"}
VIDEOS |= {".mxf", ".gxf", ".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v", ".vob"}
VIDEOS |= {".vro", ".mod", ".tod", ".ts", ".mts", ".m2t", ".m2ts", ".trp", ".dv", ".h264"}
VIDEOS |= {".264", ".avc", ".h265", ".265", ".hevc", ".av1", ".obu", ".y4m", ".mjpeg"}
VIDEOS |= {".mjpg"}
# Of a folder of annotations, as ELAN writes them or as events of BIDS.
ANNOTATIONS = {".eaf", ".tsv"}
# Of a download that goes on.
UNFINISHED = {".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart"}
UNFINISHED |= {".aria2", ".tmp"}
# Folders and files of Synology, QNAP, Windows, Linux and macOS, in small letters.
SYSTEM = {
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@tmp",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "found.000",
    "lost+found",
    "__macosx",
    "network trash folder",
    "temporary items",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
}


def visible(folder: Path) -> Iterator[Path]:
    """A folder's entries but for hidden ones and the system's own."""
    return (path for path in folder.iterdir() if not (hidden(path.name) or system(path.name)))


def hidden(name: str) -> bool:
    return name.startswith(".")


def system(name: str) -> bool:
    return name.lower() in SYSTEM


def unfinished(name: str) -> bool:
    """Whether a file is one of a download that goes on, or of an open program (~$a.xlsx)."""
    return name.startswith("~$") or Path(name).suffix.lower() in UNFINISHED


def has_pages(path: Path) -> bool:
    """Whether a file of frames is a video by itself: a TIFF stack, or a picture that moves.

    A second page of another size is a thumbnail.
    """
    if path.suffix.lower() not in PAGED:
        return False
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
            image.seek(1)
            return image.size == size
    except Exception:  # no picture, or of one page; what else is wrong with it `frames` says
        return False


def shown(path: object) -> str:
    """A path as a message shows it, on one line: a name may hold what no terminal prints, or what turns
    round all that follows."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def is_text(name: str) -> bool:
    """Whether a name is UTF-8; one of another time or place, GBK say, Python holds as surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in name)
