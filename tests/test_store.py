"""store: temporary names."""

from __future__ import annotations

import pytest

from mespot.store import replacing


def test_a_name_may_be_as_long_as_a_file_systems(tmp_path):
    path = tmp_path / ("张" * 83 + ".h5")
    assert len(path.name.encode()) == 252
    with replacing(path) as temporary, replacing(path) as of_another:
        for each in (temporary, of_another):
            each.write_text("x")
        assert temporary != of_another
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".mespot-")
        assert temporary.suffix == ".h5"
        assert len(temporary.name) < 40
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nothing_is_left_of_what_fails(tmp_path):
    def fail(path):
        with replacing(path) as temporary:
            temporary.write_text("x")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())
