"""names: which subject or video a table means whose name it writes in another way than the folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# What people write before a subject's number: S6, sub-06, P006.
_PREFIX = re.compile(r"^(?:s|sub|subj|subject|p|participant)[-_.]?(?=\d+$)")


class Names:
    """The names of a dataset's videos or subjects, to look up what a table writes."""

    def __init__(self, known: Iterable[str] = (), subjects: bool = False) -> None:
        self.subjects = subjects
        self.known: set[str] = set()
        self.alike: dict[str, list[str]] = {}  # by what `_plain` leaves of them
        self.numbered: dict[str, list[str]] = {}  # of subjects, by their number
        for name in known:
            self.add(name)

    def add(self, name: str) -> None:
        if name not in self.known:
            self.known.add(name)
            self.alike.setdefault(_plain(name), []).append(name)
            self.numbered.setdefault(_number(name), []).append(name)

    def meant(self, written: str) -> str | None:
        """The one of the known names that is meant: that name, or the only one that is the same but for
        case, hyphens, the zeros before a number (6, 6.0, 006) and, of subjects, a letter before it (6,
        S6 and sub-06; but S6 and P6 may be two people).

        None where none is, or several are.
        """
        if written in self.known:
            return written
        found = self.alike.get(_plain(written), [])
        if not found and self.subjects:
            found = self.numbered.get(_number(written), [])
            letters = {_PREFIX.match(_plain(name)) for name in (written, *found)} - {None}
            if len({letter[0][0] for letter in letters}) > 1:
                return None
        return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    name = re.sub(r"[-_]+", "_", unicodedata.normalize("NFKC", name).casefold())
    name = re.sub(r"((?:^|_)\d+)\.0+$", r"\1", name)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", name)


def _number(name: str) -> str:
    """A name without the letter before its number."""
    return _plain(_PREFIX.sub("", _plain(name)))
