"""rerun: the digest follows code through imports, and not comments or docstrings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mespot import rerun
from mespot.settings import STAGES


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A copy of the package that may be edited."""
    copy = tmp_path / "mespot"
    shutil.copytree(rerun.PACKAGE, copy)
    monkeypatch.setattr(rerun, "PACKAGE", copy)
    return copy


def digests() -> dict[str, str]:
    rerun.forget()
    return {stage: rerun.digest(stage) for stage in [*STAGES, "aggregate"]}


def changed_by(path: Path, edit) -> set[str]:
    before = digests()
    path.write_text(edit(path.read_text()))
    after = digests()
    return {stage for stage in before if before[stage] != after[stage]}


def test_comments_docstrings_and_layout_change_nothing(package):
    def edit(code: str) -> str:
        return code.replace('"""flow: ', '"""Another word. ').replace("\n\n", "\n# why\n\n")

    assert edit((package / "flow.py").read_text()) != (package / "flow.py").read_text()
    assert changed_by(package / "flow.py", edit) == set()


def test_a_stages_own_code_changes_that_stage_alone(package):
    assert changed_by(package / "flow.py", lambda code: code + "\nX = 1\n") == {"flow"}


def test_an_import_inside_a_function_counts(package):
    assert changed_by(package / "tvl1" / "plain.py", lambda code: code + "\nX = 1\n") == {"flow"}


def test_a_template_is_code_of_the_page_that_is_made_of_it(package):
    for name in ("templates/page.html.jinja", "templates/viewer.js", "uplot/uPlot.min.css"):
        assert changed_by(package / "pages" / name, lambda text: text + " ") == {"report"}


def test_a_shared_module_changes_all_that_import_it(package):
    changed = changed_by(package / "store.py", lambda code: code + "\nX = 1\n")
    assert {"decode", "align", "flow", "roi", "mdmo", "features", "spot"} <= changed


def test_a_stage_does_not_depend_on_later_ones(package):
    assert changed_by(package / "spot.py", lambda code: code + "\nX = 1\n") == {"spot"}
    # `select` spots with each epoch, as `spot` does by networks, and scores.
    network = package / "spotting" / "network.py"
    assert changed_by(network, lambda code: code + "\nX = 1\n") == {"select"}
    changed = changed_by(package / "score.py", lambda code: code + "\nX = 1\n")
    assert changed == {"select", "score", "aggregate", "report"}
    assert changed_by(package / "select.py", lambda code: code + "\nX = 1\n") == {"select"}


@pytest.mark.parametrize("module", ["config.py", "settings.py", "provenance.py"])
def test_an_option_added_to_the_configuration_or_to_what_is_told_changes_nothing(package, module):
    assert changed_by(package / module, lambda code: code + "\nX = 1\n") == set()


def test_version_alone_changes_nothing(package):
    assert changed_by(package / "__init__.py", lambda code: code + '\n__version__ = "9"\n') == set()
