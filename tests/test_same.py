"""The comparison of two results folders sees what it should."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import torch
from same import different


@pytest.fixture
def two(tmp_path):
    """Two equal results folders."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "data" / "logs").mkdir(parents=True)
    (one / "logs").mkdir()
    (one / "logs" / "x.csv").write_text("a log\n")
    (one / "summary.csv").write_text("a,b\n1,2\n")
    torch.save({"weights": [torch.tensor([0.0, 1.0])], "left_out": ["s1"]}, one / "model.pt")
    with h5py.File(one / "data" / "features.h5", "w") as file:
        file.attrs["units"] = "px"
        file["s1/v1"] = np.array([0.0, np.nan])
        file["s1/v1"].attrs["regions"] = ["nose", "mouth"]
    shutil.copytree(one, other)
    return one, other


def test_equal_folders_do_not_differ(two):
    one, other = two
    (other / "logs" / "x.csv").write_text("another log\n")
    # The same, saved at another time: other bytes, the same content.
    content = torch.load(other / "model.pt", weights_only=True)
    torch.save(content, other / "model.pt", _use_new_zipfile_serialization=False)
    with h5py.File(other / "data" / "features.h5", "a") as file:
        file["gone"] = 1
        del file["gone"]
    assert (one / "model.pt").read_bytes() != (other / "model.pt").read_bytes()
    assert different(one, other) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (lambda file: file["s1/v1"].write_direct(np.array([-0.0, np.nan])), "s1/v1"),
        (lambda file: file.attrs.update(units="mm"), "@units"),
        (lambda file: file["s1/v1"].attrs.update(regions=["nose", "ear"]), "s1/v1@regions"),
        (lambda file: file.create_dataset("s1/v2", data=1), "s1/v2"),
    ],
)
def test_what_differs_in_an_array_is_named(two, changed, line):
    one, other = two
    with h5py.File(other / "data" / "features.h5", "a") as file:
        changed(file)
    assert different(one, other) == [f"data/features.h5: {line}"]


def test_what_differs_elsewhere_is_named(two):
    one, other = two
    (other / "summary.csv").write_text("a,b\n1,3\n")
    torch.save({"weights": [torch.tensor([0.0, 2.0])], "left_out": ["s1"]}, other / "model.pt")
    (other / "new.json").write_text("{}")
    (one / "data" / "old.csv").write_text("\n")
    assert different(one, other) == [
        f"data/old.csv: only in {one}",
        f"new.json: only in {other}",
        "model.pt: /weights/0",
        "summary.csv: other bytes",
    ]
