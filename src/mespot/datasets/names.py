"""names: which subject or video a table means whose name it writes in another way than the folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

# What people write before a subject's number: S6, sub-06, P006.
_PREFIX = re.compile(r"^(?:s|sub|subj|subject|p|participant)[-_.]?(?=\d+$)")


def meant(written: str, known: Iterable[str], subjects: bool = False) -> str | None:
    """The one of the known names that is meant: that name, or the only one that is the same but for
    case, hyphens, the zeros before a number (6, 6.0, 006) and, of `subjects`, a letter before it (S6).

    None where none is, or several are.
    """
    known = set(known)
    if written in known:
        return written
    for bare in (False, True)[: 1 + subjects]:
        alike = [name for name in known if _plain(name, bare) == _plain(written, bare)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


@cache
def _plain(name: str, bare: bool) -> str:
    name = re.sub(r"[-_]+", "_", unicodedata.normalize("NFKC", name).casefold())
    if bare:
        name = _PREFIX.sub("", name)
    name = re.sub(r"((?:^|_)\d+)\.0+$", r"\1", name)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", name)
