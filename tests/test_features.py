"""features: published segments joined to whole videos; failed videos left out and listed."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from mespot import feature_store, features, store
from mespot.errors import InputError, write_failure
from mespot.settings import Features

RNG = np.random.default_rng(3)


def save_segments(folder, rows: np.ndarray, video: str = "v_1") -> None:
    """Cut rows as the authors do: 256 with 7 of context on each side, zeros where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), 256):
        padded = np.zeros((270, *rows.shape[1:]), np.float32)
        for k in range(270):
            if 0 <= start - 7 + k < len(rows):
                padded[k] = rows[start - 7 + k]
        np.savez(folder / f"{video}_{start:04d}.npz", feature=padded, label=np.zeros((270, 8)))


@pytest.mark.parametrize("n", [1, 200, 256, 257, 262, 600])
def test_segments_join_to_the_rows_they_were_cut_from(tmp_path, n):
    rows = RNG.normal(size=(n, 12, 2)).astype(np.float32)
    save_segments(tmp_path / "casme_015", rows)
    features.import_published(tmp_path, 30, tmp_path / "f.h5", Features(published_unit=20))
    (video,) = feature_store.load(tmp_path / "f.h5")
    assert (video.subject, video.video, video.fps) == ("casme_015", "v_1", 30)
    np.testing.assert_array_equal(video.mdmo, rows * np.float32(20))
    assert video.valid.all()
    assert feature_store.lengths(tmp_path / "f.h5") == {"v_1": ("casme_015", n + 1)}


def test_overlap_that_disagrees_is_named(tmp_path):
    rows = RNG.normal(size=(400, 12, 2)).astype(np.float32)
    save_segments(tmp_path / "s", rows)
    path = tmp_path / "s" / "v_1_0256.npz"
    spoilt = np.load(path)["feature"]
    spoilt[3] += 1
    np.savez(path, feature=spoilt)
    with pytest.raises(InputError, match="v_1_0256.npz.*not the last of the segment before"):
        features.import_published(tmp_path, 30, tmp_path / "f.h5", Features())


def test_missing_segment_and_foreign_file_are_named(tmp_path):
    save_segments(tmp_path / "s", RNG.normal(size=(700, 12, 2)))
    (tmp_path / "s" / "v_1_0256.npz").unlink()
    with pytest.raises(InputError, match=r"begin at rows \[0, 512\]"):
        features.import_published(tmp_path, 30, tmp_path / "f.h5", Features())
    (tmp_path / "s" / "v_1_0512.npz").unlink()
    np.savez(tmp_path / "s" / "v_1_0000.npz", other=np.zeros(3))
    with pytest.raises(InputError, match="v_1_0000.npz: not a published segment"):
        features.import_published(tmp_path, 30, tmp_path / "f.h5", Features())


def test_a_pickle_in_a_segment_is_refused(tmp_path):
    (tmp_path / "s").mkdir()
    np.savez(tmp_path / "s" / "v_1_0000.npz", feature=np.array([{}], object))
    with pytest.raises(InputError, match="not a published segment"):
        features.import_published(tmp_path, 30, tmp_path / "f.h5", Features())


def test_real_published_features_join(shared, tmp_path):
    archive = shared / "data" / "auw_gcn_features.tar.xz"
    with tarfile.open(archive) as file:
        members = [entry for entry in file.getmembers() if "/casme_015_0401_" in entry.name]
        file.extractall(tmp_path / "in", members=members)
    features.import_published(tmp_path / "in", 30, tmp_path / "f.h5", Features())
    (video,) = feature_store.load(tmp_path / "f.h5")
    assert video.video == "casme_015_0401"
    # The 8-bit grid of the published pipeline: one grey level is 20 / 255 px.
    assert 256 * (len(members) - 1) < len(video.mdmo) <= 256 * len(members) + 7
    assert 0.01 < video.mdmo.std() < 1


def save_mdmo(path, n: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.create(
        path,
        stage="mdmo",
        settings={},
        source="s",
        fps=30.0,
        inter_ocular=50.0,
        regions=["a"] * 12,
        detectors="faces dlib, landmarks san",
    ) as file:
        file["mdmo"], file["valid"] = np.ones((n, 12, 2), np.float32), np.ones(n, bool)


def test_failed_videos_are_left_out_and_listed(tmp_path):
    good, bad = tmp_path / "good.h5", tmp_path / "bad.h5"
    save_mdmo(good)
    write_failure("decode: x.mp4: cannot be decoded", [bad])
    features.collect([good, bad], ["s1", "s2"], tmp_path / "f.h5", Features())
    (video,) = feature_store.load(tmp_path / "f.h5")
    assert (video.video, video.detectors) == ("good", "faces dlib, landmarks san")
    assert "x.mp4: cannot be decoded" in feature_store.missing(tmp_path / "f.h5")["bad"]


def test_a_dataset_of_which_nothing_is_left_is_an_error(tmp_path):
    bad = tmp_path / "bad.h5"
    write_failure("decode: x.mp4: cannot be decoded", [bad])
    with pytest.raises(InputError, match="every video"):
        features.collect([bad], ["s1"], tmp_path / "f.h5", Features())
    assert not (tmp_path / "f.h5").exists()
