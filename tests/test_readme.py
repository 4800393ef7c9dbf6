"""The two READMEs say the same, as far as a machine can tell: headings, commands, code, links and figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh.md"))


def commands(text: str) -> list[str]:
    """The lines of code, without remarks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


def code(text: str) -> list[str]:
    return sorted(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)))


def links(text: str) -> list[str]:
    return sorted(link for link in re.findall(r"\]\(([^)]+)\)", text) if "README" not in link)


def figures(text: str) -> list[str]:
    return sorted(re.findall(r"(?<![\w.])\d*\.\d+", text))


def headings(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]


def rows(text: str) -> int:
    return len(re.findall(r"^\|", text, re.M))


@pytest.mark.parametrize("part", [headings, commands, code, links, figures, rows])
def test_both_say_the_same(part):
    assert part(CHINESE) == part(ENGLISH)
    assert part(ENGLISH)


def test_each_leads_to_the_other():
    assert "(README.zh.md)" in ENGLISH
    assert "(README.md)" in CHINESE


def test_what_they_link_to_is_there():
    for link in links(ENGLISH):
        if not link.startswith("http"):
            path, _, heading = link.partition("#")
            there = (ROOT / path).read_bytes()
            names = {
                re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
                for name in re.findall(r"^#+ (.+)$", there.decode(errors="replace"), re.M)
            }
            assert not heading or heading in names, link
