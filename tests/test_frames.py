"""frames: which pictures are a video's frames, in which order, and their pixels."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mespot import frames, source, video
from mespot.datasets import layouts
from mespot.decode import decode
from mespot.errors import InputError
from mespot.settings import Decode

RED = (255, 0, 0)


def grey(k: int, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("L", size, 10 * k)


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def shades(read) -> list[int | None]:
    """What number each frame tells by its brightness."""
    return [None if frame is None else round(frame.mean() / 10) for frame in read]


def lab(image: Image.Image) -> Image.Image:
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("CMYK", "jpg"),
        ("CMYK", "tif"),
        ("YCbCr", "tif"),
        ("LAB", "tif"),
        ("P", "png"),
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("RGB", "ppm"),
    ],
)
def test_red_stays_red_in_every_mode_of_8_bits(tmp_path, mode, ending):
    red = Image.new("RGB", (16, 16), RED)
    path = tmp_path / f"1.{ending}"
    (lab(red) if mode == "LAB" else red.convert(mode)).save(path)
    assert np.abs(frames.read_image(path).astype(int) - RED).max() <= 6


def test_frames_are_upright_by_their_exif(tmp_path):
    picture = Image.new("L", (8, 6))
    picture.paste(200, (0, 0, 4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # what was left comes to the top
    picture.save(tmp_path / "1.png", exif=exif)
    frame = frames.read_image(tmp_path / "1.png")
    assert frame.shape == (8, 6)
    assert frame[:4].min() == 200


@pytest.mark.parametrize(("kinds", "ndim"), [(["L", "RGB", "L"], 2), (["RGB", "L", "RGB"], 3)])
def test_all_frames_are_of_the_firsts_kind(tmp_path, capsys, kinds, ndim):
    for k, kind in enumerate(kinds):
        grey(k).convert(kind).save(tmp_path / f"{k}.png")
    read = list(frames.read(tmp_path))
    assert [frame.ndim for frame in read] == [ndim] * 3
    assert shades(read) == [0, 1, 2]
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path}/1.png: made ")


@pytest.mark.parametrize("ending", ["tif", "webp", "png"])
def test_pages_are_frames(tmp_path, ending):
    path = tmp_path / f"stack.{ending}"
    pages = [grey(k).convert("RGB") for k in range(5)]
    lossless = {"lossless": True} if ending == "webp" else {}
    pages[0].save(path, save_all=True, append_images=pages[1:], **lossless)
    assert frames.is_frames(path)
    assert frames.count(path) == 5
    assert shades(frames.read(path)) == [0, 1, 2, 3, 4]
    assert shades(source.sample(path, 3)) == [0, 2, 4]
    decode(path, tmp_path / "out.mkv", Decode(fps=10, frames_fps=20))
    assert shades(video.read(tmp_path / "out.mkv")) == [0, 2, 4]
    assert video.info(tmp_path / "out.mkv").origin.fps == 20


def test_the_picture_that_stands_for_an_animated_png_is_no_frame(tmp_path):
    path = tmp_path / "a.png"
    pages = [grey(1), grey(2)]
    grey(9).save(path, save_all=True, append_images=pages, default_image=True)
    assert shades(frames.read(path)) == [1, 2]
    assert frames.count(path) == 2


def test_a_gif_goes_by_its_own_times(tmp_path):
    path = tmp_path / "a.gif"
    grey(3).save(path, save_all=True, append_images=[grey(6), grey(9)], duration=[100, 300, 100])
    assert not frames.is_frames(path)
    decode(path, tmp_path / "out.mkv", Decode(fps=10))
    assert shades(video.read(tmp_path / "out.mkv"))[:4] == [3, 6, 6, 6]


def test_a_page_of_another_size_or_of_16_bits_is_named(tmp_path):
    path = tmp_path / "stack.tif"
    grey(1).save(path, save_all=True, append_images=[grey(2), grey(3, (9, 9))])
    with pytest.raises(InputError, match=r"stack\.tif: page 3: frame of 9 x 9 px.* 8 x 6"):
        list(frames.read(path))
    deep = [Image.fromarray(np.full((6, 8), 900 * k, np.uint16)) for k in range(3)]
    deep[0].save(path, save_all=True, append_images=deep[1:])
    with pytest.raises(InputError, match=r"stack\.tif: page 1: frame is of mode I;16"):
        list(frames.read(path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(b"no picture"),
        lambda path: (path.unlink(), path.symlink_to("nowhere.png")),
    ],
)
def test_damaged_frames_keep_their_place_or_are_an_error(tmp_path, damage):
    for k in range(4):
        grey(k).save(tmp_path / f"{k}.png")
    damage(tmp_path / "2.png")
    assert shades(frames.read(tmp_path, skip_damaged=True)) == [0, 1, None, 3]
    with pytest.raises(InputError, match=r"2\.png: frame cannot be read"):
        list(frames.read(tmp_path))
    for k in range(4):
        (tmp_path / f"{k}.png").unlink()
        (tmp_path / f"{k}.png").touch()
    with pytest.raises(InputError, match="no frame in it that can be read"):
        list(frames.read(tmp_path, skip_damaged=True))


def test_more_pixels_than_pillow_trusts_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    grey(1).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png: frame cannot be read"):
        list(frames.read(tmp_path))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["img_0", "img_5", "img_10"], "goes up by 5, not by 1 (img_0.png, img_5.png, img_10.png)"),
        (["1614863000123", "1614863000156", "1614863000190"], "goes up by 33 to 34, not by 1"),
        (
            ["f_2024-11-25_14-13-39.123", "f_2024-11-25_14-13-40.124", "f_2024-11-25_14-13-41.023"],
            "goes up by 1 to 100, not by 1",
        ),
        (
            ["a_1", "a_2", "b_1", "b_2"],
            "two pictures of most numbers (a_1.png, b_1.png, a_2.png, b_2.png), as of two cameras",
        ),
        (["img_1", "img_2", "img_4"], "frame 3 is missing, between img_2.png and img_4.png"),
        (["1", "2", "3", "7", "8"], "frame 4 to 6 is missing, between 3.png and 7.png"),
        (["1", "2", "3", "4", "04"], "4.png and 4.png: two frames of number 4"),
        (["1", "2", "three"], "three.png: a frame's name must hold its number"),
    ],
)
def test_numbers_that_do_not_count_the_frames(tmp_path, names, message):
    folder = touch(tmp_path / "s", *(f"{name}.png" for name in names))
    with pytest.raises(InputError) as raised:
        frames.frame_files(folder)
    said = str(raised.value).replace("04.png", "4.png")
    assert message in said
    assert ("{numbers: ordered}" in said) == ("goes up" in said)
    assert len(frames.frame_files(folder, ordered=True)) == len(names)


def test_frames_may_have_names_in_another_encoding(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(3):
        grey(k).save(folder / os.fsdecode(f"张{k}.png".encode("gbk")))
    assert [found.video for found in layouts.find("videos", tmp_path)] == ["s"]
    decode(folder, tmp_path / "out.mkv", Decode())
    assert shades(video.read(tmp_path / "out.mkv")) == [0, 1, 2]


def test_a_benchmarks_numbers_count_its_frames(tmp_path):
    folder = touch(tmp_path / "s", "1.png", "6.png", "11.png")
    with pytest.raises(InputError, match="frame 2 to 5 is missing"):
        frames.frame_files(folder, first=1)
    with pytest.raises(InputError, match=r"its first frame is 1\.png"):
        frames.frame_files(folder, first=0, ordered=True)


def test_names_of_times_are_in_natural_order(tmp_path):
    names = ["t_2024-2-1_9.png", "t_2024-2-1_10.png", "t_2024-2-11_1.png", "t_2024-11-1_0.png"]
    folder = touch(tmp_path / "s", *names)
    assert [path.name for path in frames.frame_files(folder, ordered=True)] == names


@given(numbers=st.sets(st.integers(0, 10**15), min_size=2, max_size=30), width=st.integers(0, 17))
def test_numbered_names_are_in_the_order_of_their_numbers(tmp_path_factory, numbers, width):
    names = {f"img {number:0{width}d}.png": number for number in numbers}
    folder = touch(tmp_path_factory.mktemp("s"), *names)
    files = frames.frame_files(folder, ordered=True)
    assert [names[path.name] for path in files] == sorted(numbers)


def test_a_failing_drive_is_no_damaged_frame(tmp_path, monkeypatch):
    """Or it would be left out with the damaged ones."""
    Image.new("L", (8, 8)).save(tmp_path / "1.png")
    Image.new("L", (8, 8)).save(tmp_path / "2.png")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(frames.Image, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        list(frames.read(tmp_path, skip_damaged=True))
