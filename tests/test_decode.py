"""decode: the right frame at each instant, losslessly; every bad input named."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mespot import demo, video
from mespot.decode import Kept, decode, resample
from mespot.errors import InputError
from mespot.faces.dlib import detect_faces
from mespot.settings import Align, Decode, Demo
from mespot.source import timed_frames

RNG = np.random.default_rng(5)


def numbered(n: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Grey frames that tell their number by their brightness."""
    return [np.full((height, width), 10 + 5 * k, np.uint8) for k in range(n)]


def save_folder(folder: Path, frames: list[np.ndarray], name: str = "img_{}.png") -> Path:
    folder.mkdir(parents=True)
    for k, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / name.format(k))
    return folder


def save_video(
    path: Path, frames: list[np.ndarray], times: list[float], codec: str = "mpeg4"
) -> Path:
    """A video whose frames appear at `times` (s): variable rate where they are not even."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=1000)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.bit_rate = 4_000_000
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.stack([frame] * 3, 2), format="rgb24")
            picture.pts, picture.time_base = round(time * 1000), Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def numbers(path: Path) -> list[int]:
    return [round((float(frame.mean()) - 10) / 5) for frame in video.read(path)]


def test_folder_is_read_in_natural_order_and_losslessly(tmp_path):
    frames = [RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(12)]
    source = save_folder(tmp_path / "a [b]^ c", frames)
    decode(source, tmp_path / "out.mkv", Decode(fps=30))
    read = list(video.read(tmp_path / "out.mkv"))
    assert len(read) == 12
    assert all(np.array_equal(a, b) for a, b in zip(frames, read, strict=True))
    assert video.info(tmp_path / "out.mkv")[:4] == (30.0, 12, 64, 48)


def test_how_many_frames_are_expected_is_told_before_they_are_read(tmp_path):
    folder = save_folder(tmp_path / "s", numbered(40))
    film = save_video(tmp_path / "v.mp4", numbered(40), [k / 20 for k in range(40)])
    for source, settings, expected in (
        (folder, Decode(fps=25, frames_fps=200), 5),
        (folder, Decode(fps=25), 40),
        (film, Decode(fps=10), 20),
        (film, Decode(fps=10, from_s=0.5, to_s=1.5), 10),
        (film, Decode(fps=10, frames_fps=40), 10),
    ):
        found = Kept(source, settings, None).expected()
        assert abs(found - expected) <= 1, (source.name, settings)


def test_grey_frames_stay_grey(tmp_path):
    source = save_folder(tmp_path / "g", numbered(4))
    decode(source, tmp_path / "out.mkv", Decode(fps=30))
    assert next(video.read(tmp_path / "out.mkv")).shape == (48, 64)


def test_200_fps_folder_keeps_every_eighth_frame(tmp_path):
    source = save_folder(tmp_path / "s", numbered(41))
    decode(source, tmp_path / "out.mkv", Decode(fps=25, frames_fps=200))
    assert numbers(tmp_path / "out.mkv") == [0, 8, 16, 24, 32, 40]


def test_a_span_ends_within_a_long_frame():
    """Frames of .1 s at 30 frames/s, to .15 s: three instants of the first, two of the second."""
    timed = ((k / 10, k) for k in range(6))
    assert list(resample(timed, 30, 0.0, 0.15)) == [0, 0, 0, 1, 1]


def test_variable_rate_is_resampled_by_timestamps(tmp_path):
    times = [0, 0.1, 0.2, 0.5, 0.6, 0.7]
    source = save_video(tmp_path / "v.mp4", numbered(6), times)
    decode(source, tmp_path / "out.mkv", Decode(fps=10))
    assert numbers(tmp_path / "out.mkv")[:8] == [0, 1, 2, 2, 2, 3, 4, 5]


def test_same_input_gives_the_same_bytes(tmp_path):
    source = save_folder(tmp_path / "s", numbered(5))
    for name in ("1.mkv", "2.mkv"):
        decode(source, tmp_path / name, Decode(fps=30))
    assert (tmp_path / "1.mkv").read_bytes() == (tmp_path / "2.mkv").read_bytes()


@given(
    source=st.sampled_from([24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 200.0]),
    fps=st.sampled_from([24.0, 25.0, 30.0]),
    n=st.integers(2, 80),
)
def test_each_instant_shows_the_latest_frame(source, fps, n):
    shown = list(resample(((k / source, k) for k in range(n + 1)), fps))
    for k, frame in enumerate(shown):
        assert frame == min(int((k / fps + 0.002) * source + 1e-9), n - 1)
    assert len(shown) == pytest.approx(n * fps / source, abs=1)


def test_a_span_begins_with_the_frame_shown_at_its_start(tmp_path):
    times = [0, 0.1, 0.2, 0.5, 0.6, 0.7]
    source = save_video(tmp_path / "v.mp4", numbered(6), times)
    decode(source, tmp_path / "out.mkv", Decode(fps=10, from_s=0.35, to_s=0.7))
    assert numbers(tmp_path / "out.mkv") == [2, 2, 3, 4]
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.start_s == 0.35
    assert origin.frames == [2, 2, 3, 4]
    with pytest.raises(InputError, match=r"v\.mp4: ends before 9 s; set own\.from"):
        decode(source, tmp_path / "none.mkv", Decode(fps=10, from_s=9))
    assert not (tmp_path / "none.mkv").exists()


def test_each_frame_tells_its_number_in_the_source(tmp_path):
    source = save_folder(tmp_path / "s", numbered(41))
    decode(source, tmp_path / "out.mkv", Decode(fps=25, frames_fps=200))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin == video.Origin(0.0, 200.0, (1.0, 1.0), [0, 8, 16, 24, 32, 40], [])


def test_frames_are_shrunk_and_grey_as_align_needs_them(tmp_path):
    """Not below 1.5 px for a pixel of the crop; as they are for a detector that sees colour."""
    person = demo.make_subject("cas_me_sq", 0, Demo())
    picture = np.uint8(person.picture.clip(0, 255))
    large = cv2.resize(picture, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    source = save_folder(tmp_path / "s", [large, large])
    decode(source, tmp_path / "out.mkv", Decode(align=Align(size=128)))
    info = video.info(tmp_path / "out.mkv")
    frame = next(video.read(tmp_path / "out.mkv"))
    x0, _, x1, _ = detect_faces(frame)[0]
    assert frame.ndim == 2
    assert x1 - x0 == pytest.approx(1.5 * 128 / 1.5, rel=0.1)
    assert info.origin.scale == (info.width / 1024, info.height / 1024)
    decode(source, tmp_path / "c.mkv", Decode(align=Align(size=128, detector="retinaface")))
    assert next(video.read(tmp_path / "c.mkv")).ndim == 3
    small = save_folder(tmp_path / "small", [picture, picture])
    decode(small, tmp_path / "same.mkv", Decode(align=Align(size=224)))
    assert video.info(tmp_path / "same.mkv").width == 256


def test_rotation_metadata_is_honoured(tmp_path):
    """A display matrix that turns by 90 degrees clockwise: what was left comes to the top."""
    frame = np.full((48, 64), 20, np.uint8)
    frame[:, :32] = 220
    source = save_video(tmp_path / "v.mp4", [frame] * 3, [0, 0.1, 0.2])
    content = bytearray(source.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = struct.pack(">9i", *clockwise)
    source.write_bytes(content)
    upright = next(timed_frames(source)).picture.pixels()
    assert upright.shape == (64, 48, 3)
    assert upright[:32].mean() > 180
    assert upright[32:].mean() < 60


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_a_file_without_a_count_of_frames_is_judged_by_its_length(tmp_path, ending):
    noise = [RNG.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(60)]
    codec = "libvpx" if ending == "webm" else "mpeg4"
    source = save_video(tmp_path / f"v.{ending}", noise, [k / 30 for k in range(60)], codec)
    decode(source, tmp_path / "out.mkv", Decode(fps=30))
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"v\.{ending}.*cut off|v\.{ending}.*decoded at frame"):
        decode(source, tmp_path / "cut.mkv", Decode(fps=30))


def test_frames_of_16_bits_are_refused(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for k in range(3):
        Image.fromarray(np.full((32, 32), 9000 * k, np.uint16)).save(source / f"{k}.png")
    with pytest.raises(InputError, match=r"0\.png: frame is of mode I;16; 8 bits"):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "img_3.png").write_bytes(b""), "img_3.png.*cannot be read"),
        (
            lambda folder: (folder / "img_3.png").write_bytes(
                (folder / "img_3.png").read_bytes()[:70]
            ),
            "img_3.png.*cannot be read",
        ),
        (lambda folder: (folder / "img_3.png").unlink(), "frame 3 is missing"),
        (
            lambda folder: (folder / "img_3.png").rename(folder / "img_x.png"),
            "must hold its number",
        ),
        (
            lambda folder: Image.new("L", (9, 9)).save(folder / "img_3.png"),
            "img_3.png.*first of its",
        ),
        (lambda folder: [(folder / f"img_{k}.png").unlink() for k in (2, 3, 4, 5)], "at least two"),
    ],
)
def test_bad_folders_are_named(tmp_path, spoil, message):
    source = save_folder(tmp_path / "s", numbered(5))
    spoil(source)
    with pytest.raises(InputError, match=message):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("damaged", "shown"), [([3], [0, 1, 1, 3, 4, 5]), ([1, 2], [2, 2, 2, 3, 4, 5]), ([6], [0, 1, 2, 3, 4, 4])]
)  # fmt: skip
def test_damaged_frames_of_a_folder_may_be_left_out(tmp_path, capsys, damaged, shown):
    source = save_folder(tmp_path / "s", numbered(6))
    for number in damaged:
        (source / f"img_{number}.png").write_bytes(b"no picture")
    decode(source, tmp_path / "out.mkv", Decode(fps=30, damaged="leave_out"))
    assert numbers(tmp_path / "out.mkv") == shown
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == shown
    assert origin.unknown == [number - 1 for number in damaged]
    said = f"warning: s: {len(damaged)} of 6 frames cannot be read, the first is frame {damaged[0] - 1}"
    assert said in capsys.readouterr().err


def test_every_fifth_frame_of_a_folder_is_taken_as_said(tmp_path):
    source = save_folder(tmp_path / "s", numbered(6), "img_{}0.png")
    with pytest.raises(InputError, match=r"goes up by 10, not by 1 .*\{numbers: ordered\}"):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))
    decode(source, tmp_path / "out.mkv", Decode(fps=30, frames_fps=15, numbers="ordered"))
    assert numbers(tmp_path / "out.mkv") == [k // 2 for k in range(12)]


def test_truncated_jpeg_is_named(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    noise = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    for k in (1, 2, 3):
        Image.fromarray(noise).save(source / f"img{k:03d}.jpg")
    whole = (source / "img002.jpg").read_bytes()
    (source / "img002.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"img002\.jpg: frame cannot be read"):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))


@pytest.mark.parametrize("keep", [0, 0.5, 0.9])
def test_truncated_videos_are_named(tmp_path, keep):
    noise = [RNG.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(40)]
    source = save_video(tmp_path / "v.mp4", noise, [k / 30 for k in range(40)])
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"v\.mp4"):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))


def test_video_damaged_in_the_middle_is_named(tmp_path):
    noise = [RNG.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(40)]
    source = save_video(tmp_path / "v.mp4", noise, [k / 30 for k in range(40)])
    damaged = bytearray(source.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 20000] = bytes(20000)
    source.write_bytes(damaged)
    with pytest.raises(InputError, match=r"v\.mp4.*frame \d+"):
        decode(source, tmp_path / "out.mkv", Decode(fps=30))


def test_missing_source_is_named(tmp_path):
    with pytest.raises(InputError, match="no such video"):
        decode(tmp_path / "none.mp4", tmp_path / "out.mkv", Decode())


def test_video_whose_edit_list_hides_frames_is_whole(shared, tmp_path):
    """no_face.mp4: 98 packets, of which an edit list hides three."""
    decode(shared / "media" / "no_face.mp4", tmp_path / "out.mkv", Decode(fps=25))
    assert video.info(tmp_path / "out.mkv").n_frames == pytest.approx(95 * 25 / 23.67, abs=2)


def test_a_benchmarks_folder_that_lacks_its_first_frames_is_named(tmp_path):
    """Or all of its labels would lie elsewhere."""
    source = save_folder(tmp_path / "s", numbered(5))
    decode(source, tmp_path / "out.mkv", Decode(fps=30), first=1)
    for name in ("img_1.png", "img_2.png"):
        (source / name).unlink()
    with pytest.raises(
        InputError, match=r"s: its first frame is img_3\.png; the annotation counts"
    ):
        decode(source, tmp_path / "out.mkv", Decode(fps=30), first=1)
    decode(source, tmp_path / "out.mkv", Decode(fps=30))
