"""store: temporary names, rows that come back as they went in, attributes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mespot import store
from mespot.errors import InputError
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


@pytest.mark.parametrize(
    "shape", [(1, 2, 5, 7), (23, 2, 224, 224), (64, 3, 11, 13, 2), (130, 1, 9, 9, 2)]
)
@pytest.mark.parametrize("together", [1, 3, 64])
def test_rows_come_back_as_they_were_here_and_in_other_programs(tmp_path, shape, together):
    rows = np.random.default_rng(1).integers(-3000, 3000, shape, np.int16)
    with store.create(tmp_path / "a.h5", stage="flow", settings={}) as file:
        packed = store.frames_dataset(file, "rows", shape, np.int16, together)
        for part in store.blocks(len(rows), 6 * packed.chunks[0]):
            store.write_rows(packed, part.start, rows[part])
    with store.read(tmp_path / "a.h5") as file:
        read = store.rows(file, "rows", np.int16, *shape)
        np.testing.assert_array_equal(file["rows"][:], rows)  # as HDF5 unpacks them
        for part in (slice(0, len(rows)), slice(len(rows) // 2, len(rows) // 2 + 1)):
            np.testing.assert_array_equal(read[part], rows[part])


def test_large_rows_are_not_packed_together(tmp_path):
    with store.create(tmp_path / "a.h5", stage="roi", settings={}) as file:
        packed = store.frames_dataset(file, "rows", (200, 12, 300, 300, 2), np.int16, 64)
        assert packed.chunks[0] == 1


def test_attributes_come_back_as_they_were(tmp_path):
    told = {"text": "é微", "none": "", "long": "a" * 70_000, "texts": ["a", "微表情"], "number": 3}
    told |= {"real": 0.1, "numbers": [1.0, 2.5]}
    with store.create(tmp_path / "a.h5", stage="flow", settings={"a": 1}, **told) as file:
        pass
    with store.read(tmp_path / "a.h5") as file:
        assert told.items() <= store.attributes(file).items()
        made = json.loads(store.attribute(file, "made"))
        assert (made["stage"], made["settings"]) == ("flow", {"flow": {"a": 1}})
        with pytest.raises(InputError, match="a.h5: cut off or damaged .*valid integer.*: rm "):
            store.attribute(file, "text", int)
