"""export: a feature store as published segment files, and back."""

from __future__ import annotations

import tarfile

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from mespot import feature_store, features, store
from mespot.annotation import annotation
from mespot.cli import app
from mespot.datasets import segments
from mespot.datasets.export import export_segments
from mespot.errors import InputError
from mespot.settings import Annotation, Features

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def published(shared, tmp_path_factory):
    """The authors' segment files, unpacked; in a stream, or the archive is decompressed twice."""
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(shared / "data" / "auw_gcn_features.tar.xz", "r|xz") as file:
        file.extractall(folder)
    return folder


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def as_given(path, store_, folder):
    """The annotation as given that the stage `annotation` writes of the authors' CSV."""
    files = [folder / name for name in ("a.csv", "given.csv", "audit.csv")]
    annotation(path, feature_store.lengths(store_), [], 1, *files, Annotation())
    return files[1]


@pytest.mark.parametrize(
    ("folder", "table", "n_videos", "n_segments"),
    [
        ("cas(me)^2/feature_segment/train", "cas_me_sq_30fps.csv", 97, 1031),
        ("samm_25/feature_segment_25/train", "samm_lv_25fps.csv", 147, 300),
    ],
)
def test_real_segments_come_back(shared, published, tmp_path, folder, table, n_videos, n_segments):
    root, out, first = published / folder, tmp_path / "out", tmp_path / "f.h5"
    features.import_published(root, 30, first, Features())
    videos = feature_store.load(first)
    assert len(videos) == n_videos
    assert all(0.01 < video.mdmo.std() < 1 for video in videos)
    csv = as_given(shared / "data" / "annotations" / table, first, tmp_path)
    export_segments(first, csv, out, Features())

    names = sorted(path.relative_to(root) for path in root.rglob("*.npz"))
    assert sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) == names
    assert len(names) == n_segments
    for name in names:
        theirs, ours = arrays(root / name), arrays(out / name)
        forms = [[(key, a.dtype, a.shape) for key, a in file.items()] for file in (ours, theirs)]
        assert forms[0] == forms[1], name
        assert ours["label"].tobytes() == theirs["label"].tobytes(), name
        assert ours["video_name"] == theirs["video_name"], name
        # To px/frame and back is two roundings of float32; half a grey level would be 1 / 510.
        error = np.abs(ours["feature"] - theirs["feature"])
        assert (error <= 2.0**-23 * np.abs(theirs["feature"])).all(), name

    features.import_published(out, 30, tmp_path / "again.h5", Features())
    for video, again in zip(videos, feature_store.load(tmp_path / "again.h5"), strict=True):
        assert (again.subject, again.video) == (video.subject, video.video)
        assert again.mdmo.tobytes() == video.mdmo.tobytes(), video.video


def save_store(path, rows: np.ndarray, valid=None, regions=segments.PUBLISHED_REGIONS, video="v_1"):
    """A feature store of one video (T-1, R, 2)."""
    valid = np.ones(len(rows), bool) if valid is None else valid
    feature = feature_store.Feature(
        "s", video, rows.astype(np.float32), valid, 30.0, np.nan, regions
    )
    with store.create(path, stage="features", settings={}, source="s") as file:
        feature_store.write(file, feature)
        store.tell(file, missing="{}")
    return path


def save_annotation(path, *rows: str, head: str = "video,type,onset,apex,offset"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("n", [1, 200, 249, 250, 256, 257, 262, 263, 600])
def test_an_exported_store_is_imported_again(tmp_path, n):
    rows = RNG.normal(size=(n, 12, 2)).astype(np.float32)
    made = save_store(tmp_path / "f.h5", rows)
    csv = save_annotation(tmp_path / "a.csv", "v_1,macro,0,2,4", "v_1,micro,258,259,261")
    export_segments(made, csv, tmp_path / "out", Features(published_unit=20))

    starts = range(0, n, 256)
    paths = [tmp_path / "out" / "s" / f"v_1_{start:04d}.npz" for start in starts]
    assert sorted((tmp_path / "out").rglob("*.npz")) == paths
    for start, path in zip(starts, paths, strict=True):
        feature, label, name = (segment := arrays(path)).values()
        assert list(segment) == ["feature", "label", "video_name"]
        assert (name.dtype, name.shape, str(name)) == ("<U3", (), "v_1")
        assert (feature.shape, label.shape, label.dtype) == ((270, 12, 2), (270, 8), np.int64)
        inside = np.isin(np.arange(start - 7, start + 263), np.arange(n))
        assert feature.dtype == (np.float32 if inside.all() else np.float64)
        assert not feature[~inside].any()
        assert not label[~inside].any()
        # Columns 3 and 7: every frame of a micro- and of a macro-expression.
        expressive = {3: range(258, min(262, n)), 7: range(min(5, n))}
        for column, frames in expressive.items():
            expected = [frame - start + 7 for frame in frames if 0 <= frame - start + 7 < 270]
            # The published reading leaves out whole what has its apex beyond the last row.
            beyond = n <= (259 if column == 3 else 2)
            assert np.flatnonzero(label[:, column]).tolist() == ([] if beyond else expected)

    features.import_published(tmp_path / "out", 30, tmp_path / "again.h5", Features())
    (video,) = feature_store.load(tmp_path / "again.h5")
    np.testing.assert_allclose(video.mdmo, rows, rtol=2.0**-23)


def test_labels_are_exported_as_given(tmp_path):
    """Offset 0, apex 0 and apex -1 read the published way; a video without rows has labels 0."""
    made = save_store(tmp_path / "f.h5", np.ones((40, 12, 2)))
    rows = ["v_1,macro,2,5,0", "v_1,macro,12,0,18", "v_1,micro,22,-1,26"]
    csv = save_annotation(tmp_path / "a.csv", *rows)
    export_segments(made, csv, tmp_path / "one", Features())
    label = np.load(tmp_path / "one" / "s" / "v_1_0000.npz")["label"][7:47]
    marked = {column: np.flatnonzero(label[:, column]).tolist() for column in (1, 2, 5, 6)}
    assert marked == {1: [39], 2: [26], 5: [5, 15], 6: [8, 18]}
    export_segments(made, save_annotation(csv), tmp_path / "two", Features())
    assert not np.load(tmp_path / "two" / "s" / "v_1_0000.npz")["label"].any()


def test_regions_are_exported_in_the_published_order(tmp_path):
    rows = RNG.normal(size=(9, 12, 2)).astype(np.float32)
    regions = segments.PUBLISHED_REGIONS[::-1]
    made = save_store(tmp_path / "f.h5", rows[:, ::-1], regions=regions)
    csv = save_annotation(tmp_path / "a.csv")
    export_segments(made, csv, tmp_path / "out", Features(published_unit=1))
    feature = np.load(tmp_path / "out" / "s" / "v_1_0000.npz")["feature"]
    np.testing.assert_array_equal(feature[7:16], rows)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"valid": np.arange(9) != 3}, "v_1: 1 of 9 rows do not count.*the first is row 3"),
        ({"regions": tuple("abcdefghijkl")}, "v_1: regions a, b, .*the 12 right_brow_outer"),
        ({"rows": np.ones((9, 2, 2)), "regions": ("nose_tip", "upper_lip")}, "set roi.set"),
    ],
)
def test_what_the_published_form_cannot_say_is_named(tmp_path, spoil, message):
    made = save_store(tmp_path / "f.h5", **{"rows": np.ones((9, 12, 2)), **spoil})
    csv = save_annotation(tmp_path / "a.csv", "v_1,macro,2,3,4")
    with pytest.raises(InputError, match=f"f.h5: .*{message}") as error:
        export_segments(made, csv, tmp_path / "out", Features())
    assert "--without v_1" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("video,type,onset,offset", "v_1,macro,2,4", "no column apex"),
        ("video,type,onset,apex,offset", "v_1,macro,2,x,4", "row 2: apex is x; a whole frame"),
        ("video,type,onset,apex,offset", "v_1,macro,2,,4", "row 2: apex is empty"),
        ("video,type,onset,apex,offset", "v_1,macro,2,3,inf", "row 2: offset is inf"),
        ("video,type,onset,apex,offset", "v_1,macro,2.5,3,4", "row 2: onset is 2.5"),
        ("video,type,onset,apex,offset", "v_1,macro,4,3,2", "v_1: an interval must.*not 4, 2"),
        ("video,type,onset,apex,offset", "w,macro,2,3,4", "1 of its videos, which are all"),
    ],
)
def test_a_wrong_annotation_is_named_at_export(tmp_path, head, row, message):
    made = save_store(tmp_path / "f.h5", np.ones((9, 12, 2)))
    csv = save_annotation(tmp_path / "a.csv", row, head=head)
    with pytest.raises(InputError, match=f"a.csv: .*{message}"):
        export_segments(made, csv, tmp_path / "out", Features())
    assert not (tmp_path / "out").exists()


def test_export_on_the_command_line(tmp_path):
    rows = RNG.normal(size=(9, 12, 2))
    made = save_store(tmp_path / "f.h5", rows)
    with h5py.File(made, "a") as file:
        valid = np.arange(9) > 4
        covered = feature_store.Feature(
            "s", "covered", rows, valid, 30.0, np.nan, segments.PUBLISHED_REGIONS
        )
        feature_store.write(file, covered)
    csv = save_annotation(tmp_path / "a.csv", "v_1,macro,2,3,4", "w,macro,2,3,4")
    out = tmp_path / "out"

    def export(*more: str):
        arguments = ["--features", made, "--annotation", csv, "--out", out, *more]
        return CliRunner().invoke(app, ["features-export", *map(str, arguments)])

    result = export()
    assert result.exit_code == 2
    assert "leave it out (--without covered)" in result.stderr
    assert "no video x to leave out" in export("--without", "x").stderr
    assert "no video left" in export("--without", "covered", "--without", "v_1").stderr
    result = export("--without", "covered", "--settings", '{"published_unit": 2}')
    assert result.exit_code == 0
    assert "does not have 1 of its videos: w" in result.stderr
    (path,) = (path for path in out.rglob("*") if path.is_file())
    np.testing.assert_array_equal(np.load(path)["feature"][7:16], rows.astype(np.float32) / 2)
    # Segments of another store would be joined to these at the next import.
    result = export("--without", "covered")
    assert result.exit_code == 2
    assert "not an empty folder" in result.stderr
