"""source: files of the kinds that people have; the right picture at the right time, or an error."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mespot import source, video
from mespot.decode import decode
from mespot.errors import InputError
from mespot.settings import Decode
from mespot.source import timed_frames
from mespot.video_file import Decoded

RNG = np.random.default_rng(7)
RATE = 25


def grey(n: int, height: int = 48, width: int = 64, first: int = 0) -> list[np.ndarray]:
    """Frames that tell their number by their brightness."""
    return [np.full((height, width), 10 + 4 * (first + k), np.uint8) for k in range(n)]


def save(
    path: Path,
    frames: list[np.ndarray],
    codec: str = "libx264",
    times: list[float] | None = None,
    sound: float = 0.0,
    pixel: str = "yuv420p",
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """A video of `frames` at RATE or at `times` (s), with so many seconds of sound."""
    times = times or [k / RATE for k in range(len(frames))]
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel
        stream.bit_rate = 4_000_000
        even = all(abs(time * RATE - round(time * RATE)) < 1e-6 for time in times)
        base = Fraction(1, RATE if even else 1000)
        stream.codec_context.time_base = base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        voice = file.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.stack([frame] * 3, 2), format="rgb24")
            picture.pts, picture.time_base = round(time / base), base
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
        for second in range(round(10 * sound)):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 800), np.int16), format="s16", layout="mono"
            )
            silence.sample_rate, silence.pts = 8000, 800 * second
            file.mux(voice.encode(silence))
    return path


def shown(path: Path, **options) -> tuple[list[int], list[float], list[bool]]:
    """The numbers that the pictures tell, their times, and whether they are known."""
    timed = list(timed_frames(path, **options))
    pictures = [round((one.picture.pixels(True).mean() - 10) / 4) for one in timed[:-1]]
    return pictures, [one.time for one in timed], [one.known for one in timed]


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("ts", "libx264"), ("m2ts", "mpeg2video"), ("mpg", "mpeg2video"), ("mkv", "mpeg4"), ("webm", "libvpx")],
)  # fmt: skip
def test_the_clock_goes_on_where_timestamps_start_again(tmp_path, capsys, ending, codec):
    parts = [save(tmp_path / f"{k}.{ending}", grey(25, 96, 128, 25 * k), codec) for k in range(2)]
    whole = joined(tmp_path / f"whole.{ending}", *parts)
    pictures, times, known = shown(whole)
    assert pictures == list(range(50))
    assert np.allclose(np.diff(times), 1 / RATE, atol=0.041)  # .mpg's own are not even
    assert min(np.diff(times)) > 0.03
    after = [k for k, sure in enumerate(known) if not sure]
    assert after == list(range(25, 32))
    assert "whole." in (said := capsys.readouterr().err)
    assert "start again at frame 25" in said
    decode(whole, tmp_path / "out.mkv", Decode(fps=RATE))
    unknown = video.info(tmp_path / "out.mkv").origin.unknown
    assert unknown == [k + unknown[0] - 25 for k in after]


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mov", "mpeg4"), ("flv", "libx264"), ("wmv", "wmv2")]
)
def test_a_second_recording_that_cannot_be_reached_is_named(tmp_path, ending, codec):
    parts = [save(tmp_path / f"{k}.{ending}", grey(25, first=25 * k), codec) for k in range(2)]
    whole = joined(tmp_path / f"whole.{ending}", *parts)
    with pytest.raises(InputError, match=rf"whole\.{ending}: another recording begins at byte \d+"):
        shown(whole)
    assert shown(parts[1])[0] == list(range(25, 50))


def test_timestamps_that_jump_ahead_are_named(tmp_path):
    times = [k / RATE + (3600 if k >= 12 else 0) for k in range(25)]
    path = save(tmp_path / "v.mkv", grey(25), "mpeg4", times)
    with pytest.raises(
        InputError, match=r"v\.mkv: between frames 11 and 12 3600\.0 s pass.*cut the video there"
    ):
        decode(path, tmp_path / "out.mkv", Decode(fps=RATE))
    assert not list(tmp_path.glob("out*"))
    assert shown(path, rate=50.0)[1][-1] == pytest.approx(0.5)


@pytest.mark.parametrize(("lost", "marked"), [(1, 0), (2, 0), (4, 4), (25, 25)])
def test_a_gap_is_not_known(tmp_path, capsys, lost, marked):
    """Four lost frames: more than mdmo shares out as slow motion."""
    times = [(k + (lost if k >= 12 else 0)) / RATE for k in range(25)]
    path = save(tmp_path / "v.mkv", grey(25), "mpeg4", times)
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == [*range(12), *[11] * lost, *range(12, 25)]
    assert origin.unknown == list(range(12, 12 + marked))
    assert ("gaps" in capsys.readouterr().err) == bool(marked)


def test_slow_pictures_are_no_gaps(tmp_path):
    path = save(tmp_path / "v.mkv", grey(10), "mpeg4", [k / 2 for k in range(10)])
    assert all(shown(path)[2])


def test_null_frames_of_an_avi_are_repeats(tmp_path):
    times = [k / RATE for k in range(25) if k % 5 != 3]
    path = save(tmp_path / "v.avi", grey(20), "mjpeg", times, pixel="yuvj420p")
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 25
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == [4 * (k // 5) + (0, 1, 2, 2, 3)[k % 5] for k in range(25)]
    assert origin.unknown == []


def tracks_header(content: bytes, matrix: list[int]) -> bytes:
    at = content.index(b"tkhd") + 4 + 40
    return content[:at] + struct.pack(">9i", *matrix) + content[at + 36 :]


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda a: a),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),  # a mirrored selfie
        ((1, 0, 0, -1), lambda a: a[::-1]),
        ((-1, 0, 0, -1), lambda a: a[::-1, ::-1]),
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),  # clockwise
        ((0, -1, 1, 0), lambda a: np.rot90(a, 1)),
        ((0, 1, 1, 0), lambda a: a.T),
        ((0, -1, -1, 0), lambda a: np.rot90(a, 2).T),
    ],
)
def test_the_whole_display_matrix_counts(tmp_path, matrix, upright):
    frame = np.full((48, 64), 20, np.uint8)
    frame[:16, :32] = 220
    frame[:16, 32:] = 120
    path = save(tmp_path / "v.mp4", [frame] * 3)
    a, b, c, d = (part << 16 for part in matrix)
    path.write_bytes(tracks_header(path.read_bytes(), [a, b, 0, c, d, 0, 0, 0, 1 << 30]))
    picture = next(timed_frames(path)).picture
    expected = upright(frame)
    assert picture.size == expected.shape[::-1]
    assert np.abs(picture.pixels(True).astype(int) - expected).mean() < 8
    small = picture.pixels(True, (picture.size[0] // 2, picture.size[1] // 2))
    assert np.abs(small.astype(int) - expected[::2, ::2]).mean() < 12


@pytest.mark.parametrize(
    ("aspect", "size"), [((4, 3), (85, 48)), ((8, 9), (64, 54)), ((10, 1), (64, 48))]
)
def test_pixels_become_square(tmp_path, aspect, size):
    """None of the picture's sides is shortened; what no camera has is not believed."""
    path = save(tmp_path / "v.mkv", grey(3), aspect=Fraction(*aspect))
    assert next(timed_frames(path)).picture.size == size
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE))
    info = video.info(tmp_path / "out.mkv")
    assert (info.width, info.height) == size
    assert info.origin.scale == (size[0] / 64, size[1] / 48)


def combed(n: int, width: int = 720) -> list[np.ndarray]:
    """A texture that moves 8 px a frame, its odd lines half a frame later, in the height of PAL."""
    texture = RNG.integers(0, 256, (576 // 8, 2000 // 8), dtype=np.uint8)
    texture = np.kron(texture, np.ones((8, 8), np.uint8))
    frames = []
    for k in range(n):
        frame = texture[:, 8 * k : 8 * k + width].copy()
        frame[1::2] = texture[1::2, 8 * k + 4 : 8 * k + 4 + width]
        frames.append(frame)
    return frames


def combing(frame: np.ndarray) -> float:
    """How much neighbouring lines differ, over lines of one half-picture."""
    frame = frame.astype(int)
    return np.abs(np.diff(frame, axis=0)).mean() / np.abs(frame[2:] - frame[:-2]).mean()


def test_interlaced_pictures_are_made_whole(tmp_path):
    path = save(tmp_path / "v.avi", combed(6), "dvvideo")
    with av.open(str(path)) as file:
        coded = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    timed = list(timed_frames(path))
    assert [one.number for one in timed] == list(range(7))
    whole = [one.picture.pixels(True) for one in timed]
    assert combing(coded[3]) > 1.4
    assert combing(whole[3]) < 0.8


@pytest.mark.parametrize("still", [False, True])
def test_combing_that_the_file_does_not_tell_of_is_found(tmp_path, capsys, still):
    frames = combed(60, 64)
    if still:  # all lines of one instant
        frames = [np.repeat(frame[::2], 2, axis=0) for frame in frames]
    path = save(tmp_path / "v.mkv", frames, "ffv1", pixel="gray")
    whole = [one.picture.pixels(True) for one in timed_frames(path)]
    assert len(whole) == 61
    assert ("two half-pictures" in capsys.readouterr().err) != still
    if still:
        assert (whole[30] == frames[30]).all()
    else:
        assert combing(whole[30]) < 0.8 < 1.4 < combing(frames[30])


@pytest.mark.parametrize(
    ("ending", "codec"), [("mkv", "mpeg4"), ("mov", "libx264"), ("avi", "mpeg4")]
)
def test_sound_may_be_longer_than_the_picture(tmp_path, ending, codec):
    path = save(tmp_path / f"v.{ending}", grey(25), codec, sound=5)
    assert shown(path)[0] == list(range(25))
    assert source.seconds(path) == pytest.approx(1, abs=0.05)
    if ending == "mkv":
        with av.open(str(path)) as file:
            where = [packet.pos for packet in file.demux(video=0) if packet.size]
        path.write_bytes(path.read_bytes()[: where[12]])
        with pytest.raises(
            InputError, match=r"v\.mkv: ends after 0\.5 s.*announces 1\.0 s.*cut off"
        ):
            shown(path)


def test_a_picture_that_begins_late_is_whole_and_counts_from_its_first(tmp_path, capsys):
    times = [2 + k / RATE for k in range(25)]
    path = save(tmp_path / "v.mkv", grey(25), "mpeg4", times, sound=3)
    pictures, at, _ = shown(path)
    assert pictures == list(range(25))
    assert at[0] == 0
    assert at[-1] == pytest.approx(1, abs=2e-3)
    assert "v.mkv: its picture begins 2.00 s after the file does" in capsys.readouterr().err


def test_a_cover_is_not_the_video(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as file:
        cover = file.add_stream("mjpeg", rate=RATE)
        cover.width = cover.height = 200
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k, frame in enumerate(grey(25)):
            picture = av.VideoFrame.from_ndarray(np.stack([frame] * 3, 2), format="rgb24")
            if k == 0:
                large = picture.reformat(200, 200)
                file.mux([*cover.encode(large), *cover.encode()])
            picture.pts, picture.time_base = k, Fraction(1, RATE)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    assert shown(path)[0] == list(range(25))
    assert next(source.sample(path, 1)).shape[:2] == (48, 64)


def scrolling(n: int) -> list[np.ndarray]:
    """A texture that moves 2 px a frame: each frame but the key ones rests on others."""
    texture = np.kron(RNG.integers(0, 256, (16, 64), dtype=np.uint8), np.ones((4, 4), np.uint8))
    return [texture[:, 2 * k : 2 * k + 64].copy() for k in range(n)]


def test_a_recording_that_starts_between_key_frames_begins_at_the_first_whole_one(tmp_path, capsys):
    whole = save(tmp_path / "whole.ts", scrolling(50), g="20", bf="0")
    packets = whole.read_bytes()
    third = len(packets) // 188 // 3 * 188
    path = tmp_path / "v.ts"
    path.write_bytes(packets[: 3 * 188] + packets[third:])  # its tables, then from within
    timed = list(timed_frames(path))
    original = [one.picture.pixels(True) for one in timed_frames(whole)]
    assert len(timed) == 31  # from the key frame 20 on, and the end
    assert all(
        (one.picture.pixels(True) == true).all()
        for one, true in zip(timed, original[20:], strict=True)
    )
    assert "frames before the first that can be decoded are skipped" in capsys.readouterr().err


def test_a_cut_in_an_open_group_of_pictures_is_whole(tmp_path):
    """Its first pictures rest on some before the cut, which the decoder says and players pass over."""
    parameters = {"g": "25", "x264-params": "open-gop=1:bframes=3"}
    whole = save(tmp_path / "whole.mkv", scrolling(75), **parameters)
    path = tmp_path / "cut.mkv"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        keys = [p.pts for p in old.demux(video=0) if p.is_keyframe]
        old.seek(0)
        for packet in old.demux(video=0):
            if packet.dts is not None and packet.pts >= keys[1]:
                packet.pts, packet.dts = packet.pts - keys[1], packet.dts - keys[1]
                packet.stream = stream
                new.mux(packet)
    original = [one.picture.pixels(True) for one in timed_frames(whole)]
    cut = [one.picture.pixels(True) for one in timed_frames(path)]
    assert len(cut) == 51
    assert all((a == b).all() for a, b in zip(cut, original[25:], strict=True))


def test_one_damaged_frame_is_named_or_left_out(tmp_path, capsys):
    whole = save(tmp_path / "v.mp4", scrolling(60), "mpeg4", g="12")
    original = [one.picture.pixels(True) for one in timed_frames(whole)]
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as file:
        where = [packet.pos for packet in file.demux(video=0) if packet.size]
    content[where[29] + 60 : where[29] + 300] = bytes(240)
    whole.write_bytes(content)
    with pytest.raises(InputError, match=r"v\.mp4: cannot be decoded at frame 29; .*leave_out"):
        decode(whole, tmp_path / "out.mkv", Decode(fps=RATE))
    decode(whole, tmp_path / "out.mkv", Decode(fps=RATE, damaged="leave_out"))
    origin = video.info(tmp_path / "out.mkv").origin
    assert list(origin.unknown) == list(range(29, 36))  # until the next key frame
    assert origin.frames == [*range(29), *[28] * 7, *range(36, 60)]
    known = [k for k in range(60) if k not in origin.unknown]
    read = [frame[..., 0] for frame in video.read(tmp_path / "out.mkv")]
    assert all(np.abs(read[k].astype(int) - original[k]).mean() < 1 for k in known)
    assert "nothing is known of 0.28 s" in capsys.readouterr().err


def test_a_rate_that_is_given_counts_for_a_file_too(tmp_path):
    """A high-speed camera's file: 40 pictures taken in a fifth of a second, which says 25 a second."""
    path = save(tmp_path / "v.mp4", grey(40))
    decode(path, tmp_path / "out.mkv", Decode(fps=50, frames_fps=200))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == list(range(0, 40, 4))
    assert origin.fps == pytest.approx(200)
    assert source.seconds(path, 200) == pytest.approx(0.2)


def test_a_stream_without_timestamps_says_at_which_rate_it_is_taken(tmp_path, capsys):
    path = save(tmp_path / "v.h264", grey(30))
    pictures, times, _ = shown(path)
    assert pictures == list(range(30))
    assert times[-1] == pytest.approx(30 / 25)
    assert "v.h264: it has no timestamps; 25 frames/s were taken" in capsys.readouterr().err


def test_the_last_frame_lasts_as_long_as_its_neighbours(tmp_path):
    """A .dv file's header holds the ticks of its clock, 60000, as its rate."""
    path = save(tmp_path / "v.dv", [np.full((576, 720), 90, np.uint8)] * 10, "dvvideo")
    with av.open(str(path)) as file:
        assert file.streams.video[0].average_rate > 1000
    assert source.average_rate(path) == 25
    times = shown(path)[1]
    assert times[-1] == pytest.approx(0.4)
    assert all(b - a == pytest.approx(0.04) for a, b in pairwise(times))


def test_pictures_of_another_size_are_brought_to_the_first_ones(tmp_path):
    """As video calls do when the connection changes; another shape is another picture."""
    parts = [
        save(tmp_path / f"{k}.h264", grey(5, height, width, 5 * k))
        for k, (height, width) in enumerate([(48, 64), (96, 128), (64, 48)])
    ]
    decode(joined(tmp_path / "v.h264", *parts[:2]), tmp_path / "out.mkv", Decode(fps=RATE))
    read = list(video.read(tmp_path / "out.mkv"))
    assert {frame.shape for frame in read} == {(48, 64, 3)}
    assert np.allclose([frame.mean() for frame in read], 10 + 4 * np.arange(10), atol=3)
    with pytest.raises(InputError, match=r"w\.h264: frame 10 is 48 x 64, of another shape"):
        decode(joined(tmp_path / "w.h264", *parts), tmp_path / "none.mkv", Decode(fps=RATE))


def test_a_title_in_another_encoding_is_no_matter(tmp_path):
    path = save(tmp_path / "v.avi", grey(5), "mpeg4")
    content = path.read_bytes()
    name = content.index(b"Lavf")  # the program that wrote it
    path.write_bytes(content[:name] + "中文".encode("gbk") + content[name + 4 :])
    assert shown(path)[0] == list(range(5))
    assert source.seconds(path)


@pytest.mark.parametrize(
    ("ending", "codec"), [("avi", "libx264"), ("asf", "libx264"), ("avi", "mpeg4")]
)
def test_containers_that_tell_only_the_order_of_decoding_keep_the_time(tmp_path, ending, codec):
    """Pictures that rest on later ones are decoded in another order than they are shown in."""
    path = save(tmp_path / f"v.{ending}", grey(50), codec, bf="2")
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == list(range(50))
    assert origin.unknown == []


def test_a_hole_in_a_transport_stream_is_damage(tmp_path):
    """Decoders make up what is missing; the container says where."""
    path = save(tmp_path / "v.ts", scrolling(80), g="20", bf="0")
    original = [one.picture.pixels(True).astype(int) for one in timed_frames(path)]
    with av.open(str(path)) as file:
        where = [packet.pos for packet in file.demux(video=0) if packet.size]
    content = path.read_bytes()
    path.write_bytes(content[: where[26]] + content[where[31] :])
    with pytest.raises(InputError, match=r"v\.ts: cannot be decoded at frame 2\d"):
        shown(path)
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE, damaged="leave_out"))
    origin = video.info(tmp_path / "out.mkv").origin
    assert set(range(26, 40)) <= {*origin.unknown} <= set(range(24, 40))
    read = list(video.read(tmp_path / "out.mkv"))
    for k in {*range(80)} - {*origin.unknown}:
        assert np.abs(read[k][..., 0].astype(int) - original[k]).mean() < 2


def test_damage_in_the_first_picture_is_named(tmp_path):
    path = save(tmp_path / "v.avi", scrolling(10), "mjpeg", pixel="yuvj420p")
    with av.open(str(path)) as file:
        first = next(packet.pos for packet in file.demux(video=0))
    content = bytearray(path.read_bytes())
    content[first + 20 : first + 400] = bytes(380)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"v\.avi: cannot be decoded at frame 0"):
        shown(path)
    assert len(shown(path, leave_out=True)[0]) == 9


def test_the_stream_that_lasts_is_taken(tmp_path):
    """A larger one of one picture is a cover, though nothing calls it so."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream(codec, rate=RATE) for codec in ("mjpeg", "mpeg4")]
        for stream, size, form in zip(streams, (200, 64), ("yuvj420p", "yuv420p"), strict=True):
            stream.width, stream.height, stream.pix_fmt = size, size, form
            stream.bit_rate = 4_000_000
        for k, frame in enumerate(grey(25, 64, 64)):
            picture = av.VideoFrame.from_ndarray(np.stack([frame] * 3, 2), format="rgb24")
            if k == 0:
                file.mux([*streams[0].encode(picture.reformat(200, 200)), *streams[0].encode()])
            picture.pts, picture.time_base = k, Fraction(1, RATE)
            file.mux(streams[1].encode(picture))
        file.mux(streams[1].encode())
    assert shown(path)[0] == list(range(25))


def test_pictures_of_photo_cameras_are_turned(tmp_path):
    """Motion JPEG of JPEGs with EXIF, which PyAV cannot name."""
    frame = np.full((48, 64, 3), 20, np.uint8)
    frame[:24] = 220
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise: what is at the top comes to the right
    path = tmp_path / "v.mjpeg"
    with open(path, "wb") as file:
        for _ in range(5):
            Image.fromarray(frame).save(file, "JPEG", exif=exif)
    picture = next(timed_frames(path)).picture
    assert picture.size == (48, 64)
    pixels = picture.pixels(True)
    assert pixels[:, :20].mean() < 60 < 180 < pixels[:, 28:].mean()


def test_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("a.mp4"), grey(5))
    save(Path("b.mp4"), grey(9)).rename("concat:a.mp4")
    assert len(shown(Path("concat:a.mp4"))[0]) == 9


def told(clock: source._Clock, number: int, time: float, order: float | None = None) -> float:
    """When a clock shows a frame of which a file tells these times."""
    return clock.time(Decoded(number, 0, time, order, 0, None, 1.0, 1 / RATE))


def test_a_clock_goes_by_the_order_of_decoding_where_times_are_made_up():
    clock = source._Clock(Path("v.mp4"), None, source.silent)
    made_up = [2, 3, 4, 6, 5, 7, 9, 8, 11, 10, 12]
    shown_at = [told(clock, k, time / RATE, k / RATE) * RATE for k, time in enumerate(made_up)]
    assert shown_at == pytest.approx([0, 1, 2, 4, 4, 5, 6, 7, 8, 9, 10])
    # And never goes back, whatever a file says.
    assert told(clock, 11, 0.1, 0.1) * RATE == pytest.approx(10)


def test_a_clock_that_stands_still_is_named():
    clock = source._Clock(Path("v.mxf"), None, source.silent)
    told(clock, 0, 1.0)
    with pytest.raises(
        InputError, match=r"v\.mxf: its timestamps stand still at frame \d+; .*frames_fps"
    ):
        [told(clock, k, 1.0) for k in range(1, 50)]


@pytest.mark.parametrize(
    ("ending", "codec", "pixel"), [("avi", "mjpeg", "yuvj420p"), ("mov", "png", "rgb24")]
)
def test_numbers_go_on_behind_a_frame_that_is_lost(tmp_path, ending, codec, pixel):
    path = save(tmp_path / f"v.{ending}", scrolling(10), codec, pixel=pixel)
    with av.open(str(path)) as file:
        where = [packet.pos for packet in file.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[where[4] + 30 : where[4] + 500] = bytes(470)
    path.write_bytes(content)
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE, damaged="leave_out"))
    origin = video.info(tmp_path / "out.mkv").origin
    assert origin.frames == [0, 1, 2, 3, 3, 5, 6, 7, 8, 9]
    assert origin.unknown == [4]


@pytest.mark.parametrize("at", [26, 29, 30, 31, 33])
def test_what_rests_on_damage_is_left_out(tmp_path, at):
    """Pictures that rest on later ones are decoded behind them and shown before them."""
    path = save(tmp_path / "v.mp4", scrolling(75), g="25", bf="3")
    original = [one.picture.pixels(True).astype(int) for one in timed_frames(path)]
    with av.open(str(path)) as file:
        coded = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    whole = path.read_bytes()
    begin, size = whole.index(coded[at]), len(coded[at])
    content = bytearray(whole)
    content[begin + size // 3 : begin + size - 2] = RNG.bytes(size - 2 - size // 3)
    path.write_bytes(content)
    decode(path, tmp_path / "out.mkv", Decode(fps=RATE, damaged="leave_out"))
    origin = video.info(tmp_path / "out.mkv").origin
    read = [frame[..., 0].astype(int) for frame in video.read(tmp_path / "out.mkv")]
    assert origin.frames[50:] == list(range(50, 75))
    known = {*range(75)} - {*origin.unknown}
    assert len(known) >= 50
    assert all(np.abs(read[k] - original[k]).mean() < 2 for k in known)


def test_an_mp4_that_lacks_its_last_frames_is_cut_off(tmp_path):
    path = save(tmp_path / "v.mp4", scrolling(50), bf="0")
    whole = tmp_path / "w.mp4"
    with (
        av.open(str(path)) as old,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    with av.open(str(whole)) as file:
        where = [packet.pos for packet in file.demux(video=0) if packet.size]
    whole.write_bytes(whole.read_bytes()[: where[-3]])
    with pytest.raises(InputError, match=r"w\.mp4.*cut off"):
        shown(whole)


def test_an_avi_is_as_long_as_its_header_says(tmp_path):
    """Its index, made again, counts just what is there."""
    path = save(tmp_path / "v.avi", scrolling(50), "mpeg4")
    with av.open(str(path)) as file:
        where = [packet.pos for packet in file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: where[25] - 8])
    with pytest.raises(
        InputError, match=r"v\.avi: ends after 1\.0 s .*announces 2\.0 s: it is cut"
    ):
        shown(path)


def test_a_tag_that_was_left_from_before_a_cut_is_not_believed(tmp_path):
    path = save(tmp_path / "v.mkv", grey(25), "mpeg4")
    tag = b"00:00:01.000000000"
    content = path.read_bytes()
    assert tag in content
    path.write_bytes(content.replace(tag, b"00:00:09.000000000"))
    assert shown(path)[0] == list(range(25))


def test_a_stream_that_begins_in_the_middle_of_a_picture_is_a_cut(tmp_path, capsys):
    whole = save(tmp_path / "whole.mpg", combed(36), "mpeg2video", g="12").read_bytes()
    third = len(whole) // 2048 // 3 * 2048
    path = tmp_path / "v.mpg"
    path.write_bytes(whole[:2048] + whole[third:])
    assert 10 < len(shown(path)[0]) < 26
    assert "are skipped" in capsys.readouterr().err


def test_sound_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as file:
        cover = file.add_stream("mjpeg", rate=RATE)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        voice = file.add_stream("aac", rate=8000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        file.mux([*cover.encode(picture), *cover.encode()])
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 8000, 0
        file.mux([*voice.encode(silence), *voice.encode()])
    with pytest.raises(InputError, match=r"v\.mp4: no video stream in it"):
        shown(path)


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("ts", "mpeg2video"), ("webm", "libvpx-vp9")],
)  # fmt: skip
def test_whatever_is_damaged_gives_pictures_or_an_error(tmp_path, ending, codec):
    whole = save(tmp_path / f"v.{ending}", scrolling(30), codec, g="10").read_bytes()
    path = tmp_path / f"w.{ending}"
    for _ in range(25):
        content = bytearray(whole)
        for at in RNG.integers(0, len(whole), RNG.integers(1, 4)):
            length = RNG.integers(1, 60)
            content[at : at + length] = RNG.bytes(length)
        path.write_bytes(content)
        for leave_out in (False, True):
            try:
                numbers = [one.number for one in timed_frames(path, leave_out=leave_out)]
            except InputError as error:
                assert path.name in str(error)  # noqa: PT017
            else:
                assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: RNG.bytes(5000),
        lambda content: b"<html>not found</html>",
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "ts", "gif"])
def test_what_is_no_video_is_named(tmp_path, ending, spoil: Callable[[bytes], bytes]):
    path = tmp_path / f"v.{ending}"
    path.write_bytes(spoil(save(tmp_path / "w.mp4", grey(5)).read_bytes()))
    for read in (shown, source.seconds, lambda path: list(source.sample(path, 3))):
        with pytest.raises(InputError, match=r"v\."):
            read(path)
