"""fingerprints: what a source is known by stays while it is the same, and changes with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot import store
from mespot.errors import InputError
from mespot.fingerprints import Sources, fingerprint, signature


@pytest.fixture
def film(tmp_path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"a film")
    return path


@pytest.fixture
def frames(tmp_path) -> Path:
    folder = tmp_path / "frames"
    (folder / "inner").mkdir(parents=True)
    for name in ("1.png", "2.PNG", "inner/3.npz"):
        (folder / name).write_bytes(name.encode())
    return folder


def made_of(source: Path, made: Path) -> None:
    with store.create(made, stage="align", settings={}, source=fingerprint(source)):
        pass


def later(path: Path) -> None:
    os.utime(path, (2_000_000_000, 2_000_000_000))


def test_of_a_file_it_is_its_sha256(film):
    import hashlib

    assert fingerprint(film) == hashlib.sha256(b"a film").hexdigest()


@pytest.mark.parametrize("name", ["1.png", "2.PNG", "inner/3.npz"])
def test_of_a_folder_each_frame_counts_by_name_and_content(frames, name):
    before = fingerprint(frames)
    later(frames / name)
    assert fingerprint(frames) == before
    (frames / "notes.txt").write_text("no frame")
    assert fingerprint(frames) == before
    (frames / name).write_bytes(b"another")
    changed = fingerprint(frames)
    assert changed != before
    (frames / name).rename(frames / "4.png")
    assert fingerprint(frames) not in (before, changed)


@given(st.lists(st.sampled_from("abc"), min_size=1, unique=True), st.data())
def test_frames_in_any_order_of_writing_are_the_same(tmp_path_factory, names, data):
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for folder in folders:
        for name in data.draw(st.permutations(names)):
            (folder / f"{name}.png").write_bytes(name.encode())
            later(folder / f"{name}.png")
    assert len({fingerprint(folder) for folder in folders}) == 1
    assert len({signature(folder) for folder in folders}) == 1


def test_a_touched_source_stays_what_it_was_and_another_does_not(tmp_path, film, frames):
    for source, inside in ((film, film), (frames, frames / "1.png")):
        kept, made = tmp_path / "sources.json", tmp_path / f"{source.stem}.h5"
        sources = Sources(kept)
        first = sources.known_as("v", source, made)
        sources.save()
        made_of(source, made)
        assert Sources(kept).known_as("v", source, made) == first
        later(inside)
        touched = Sources(kept)
        assert touched.known_as("v", source, made) == first
        touched.save()
        assert Sources(kept).known_as("v", source, made) == first
        # The same size, an older time.
        inside.write_bytes(inside.read_bytes()[::-1])
        os.utime(inside, (1_000_000_000, 1_000_000_000))
        assert Sources(kept).known_as("v", source, made) != first
        kept.unlink()


def test_what_nothing_was_made_of_is_known_by_its_time(tmp_path, film):
    sources = Sources(tmp_path / "sources.json")
    first = sources.known_as("v", film, tmp_path / "none.h5")
    later(film)
    assert sources.known_as("v", film, tmp_path / "none.h5") != first


def test_a_failed_videos_source_is_another_when_touched(tmp_path, film):
    """So that touching it tries again."""
    from mespot.errors import write_failure

    write_failure("decode: cannot be read", [tmp_path / "made.h5"])
    sources = Sources(tmp_path / "sources.json")
    first = sources.known_as("v", film, tmp_path / "made.h5")
    later(film)
    assert sources.known_as("v", film, tmp_path / "made.h5") != first


@given(st.one_of(st.binary(), st.sampled_from([b"[]", b'{"v": 3}', b'{"v": [1, 2, 3]}'])))
def test_a_file_of_what_is_known_that_cannot_be_read_is_none(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("kept")
    (folder / "film.mp4").write_bytes(b"x")
    (folder / "sources.json").write_bytes(content)
    sources = Sources(folder / "sources.json")
    known = sources.known_as("v", folder / "film.mp4", folder / "none.h5")
    assert known == signature(folder / "film.mp4")
    sources.save()
    assert Sources(folder / "sources.json").kept == {"v": (known, known)}


def test_nothing_new_writes_nothing(tmp_path):
    Sources(tmp_path / "deep" / "sources.json").save()
    assert not list(tmp_path.iterdir())


def test_what_is_gone_is_an_input_error(tmp_path):
    for ask in (fingerprint, signature):
        with pytest.raises(InputError, match="none.mp4: cannot be read"):
            ask(tmp_path / "none.mp4")
