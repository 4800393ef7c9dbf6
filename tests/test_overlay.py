"""overlay: what is drawn where and when, on a made video whose every number is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pandas as pd
import pytest
from test_source import grey, joined, save

from mespot import overlay, store, video
from mespot.errors import InputError
from mespot.faces.register import invert
from mespot.feature_store import Clock, Feature, write
from mespot.overlay import COLOURS, CURVES, GREY, MOVES, READOUT, TOP, Files
from mespot.settings import Decode, Region, Roi

T, FPS, SIDE = 60, 30.0, 128
HEIGHT, WIDTH = 359, 641
DECODED = 0.5  # px for one of the source
BACKGROUND = 60
RUNS, LEFT_OUT, FLOWS = range(20, 41), range(50, 56), range(8, 15)
ROI = Roi(
    set="two",
    sets={
        "two": {
            name: Region(landmarks=[k], unit="px", margin=6)
            for name, k in (("brow", 19), ("lip", 48))
        }
    },
)
BROW, MIDDLE = np.array([50.0, 40.0]), np.array([72.0, 76.0])  # px of the crop


class Made(NamedTuple):
    source: Path
    files: Files
    out: Path


def to_decoded(t: int) -> np.ndarray:
    """The made face's way through the picture: from px of the crop to px as decoded, (2, 3)."""
    turn, size = np.radians(10), 0.9
    linear = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, [110 + 0.5 * t, 20 + 0.1 * t]])


def in_source(point: np.ndarray, t: int) -> tuple[int, int]:
    """Where a point of the crop lies in the source, whole px: row and column."""
    decoded = to_decoded(t) @ [*point, 1]
    x, y = (decoded + 0.5) / DECODED - 0.5
    return round(y), round(x)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """A grey video, and files that say where a face is in it and what it does."""
    folder = tmp_path_factory.mktemp("made here")
    source = folder / "somebody.mkv"
    frame = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    video.write(source, [frame] * T, FPS, "s")
    return Made(source, write_files(folder), folder / "out.mp4")


def write_files(folder: Path, n: int = T, decoded: float = DECODED) -> Files:
    names = ("align.h5", "landmarks.h5", "flow.h5", "features.h5", "intervals.csv", "curves.h5")
    files = Files(*(folder / name for name in names), folder / "annotation.csv")
    around = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = MIDDLE + 50 * np.column_stack([np.cos(around), np.sin(around)])
    points[19], points[48] = BROW, MIDDLE
    known = {"fps": FPS, "source": "s", "units": "px", "settings": {}}
    with store.create(files.align, stage="align", decoded_scale=[decoded] * 2, **known) as file:
        file["transform"] = np.array([invert(to_decoded(t)) for t in range(n)])
        file["source_frame"], file["repeat"] = np.arange(n), np.zeros(n, bool)
    with store.create(files.landmarks, stage="landmarks", inter_ocular=30.0, **known) as file:
        file["points"] = np.repeat(points[None], n, 0).astype(np.float32)
    flow = np.zeros((n - 1, 2, SIDE, SIDE))
    flow[[t for t in FLOWS if t < n - 1], 1] = 1.0
    with store.create(files.flow, stage="flow", **known) as file:
        store.write_flow(store.frames_dataset(file, "flow", flow.shape, np.int16), flow)
    valid = ~np.isin(np.arange(n - 1), LEFT_OUT)
    still = np.zeros((n - 1, 2, 2), np.float32)
    clock = Clock(np.arange(n), FPS, 2.0)
    feature = Feature("s", "v", still, valid, FPS, 30.0, ("brow", "lip"), clock=clock)
    with store.create(files.features, stage="features", **known) as file:
        write(file, feature)
    moved = np.zeros((n, 2), np.float32)
    moved[RUNS[0] : RUNS[-1] + 1, 0] = TOP
    with store.create(files.curves, stage="spot", **known) as file:
        file["v"] = moved
        store.tell(file["v"], channels=["brow", "lip"])
    row = {"video": "v", "type": "macro", "onset": RUNS[0], "offset": RUNS[-1], "score": 0.5}
    others = [row | {"video": "w", "onset": 0}, row | {"type": "micro", "onset": 44, "offset": 46}]
    pd.DataFrame([row, *others]).assign(regions="brow+lip").to_csv(files.intervals, index=False)
    pd.DataFrame([row | {"onset": 0, "offset": 5}]).to_csv(files.annotation, index=False)
    return files


def draw(made: Made, **other) -> Path:
    given = {"source": made.source, "files": made.files, "out": made.out, "video": "v"} | other
    overlay.overlay(**given, reading=Decode(fps=FPS, frames_fps=FPS), regions=ROI)
    return made.out


class Film(NamedTuple):
    frames: np.ndarray  # (T, H, W, 3) int
    times: list[float]
    keys: list[bool]


@pytest.fixture(scope="module")
def film(made) -> Film:
    return read(draw(made))


def read(path: Path) -> Film:
    with av.open(str(path)) as file:
        decoded = list(file.decode(video=0))
    frames = np.stack([one.to_ndarray(format="rgb24").astype(int) for one in decoded])
    return Film(frames, [float(one.time) for one in decoded], [one.key_frame for one in decoded])


def near(pixels: np.ndarray, colour: object) -> np.ndarray:
    """Which pixels (..., 3) have a colour, as far as the coding leaves it."""
    return (np.abs(pixels - np.array(colour)) < 30).all(-1)


def test_browsers_play_it_in_step_with_the_timeline(made, film):
    assert film.times == pytest.approx(np.arange(T) / FPS)
    assert [t for t, key in enumerate(film.keys) if key] == [0, 30]
    with av.open(str(made.out)) as file:
        (stream,) = file.streams
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.frames, stream.start_time) == (FPS, T, 0)
        assert (stream.width, stream.height) == (642, 360 + overlay.Strip.height)
        assert stream.codec_context.has_b_frames == 0
    content = made.out.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "it plays before it is loaded whole"
    for word in (made.source.name, made.source.stem, made.out.parent.name):
        assert word.encode() not in content


def test_the_source_is_as_it_was_where_nothing_is_drawn(film):
    assert near(film.frames[:, 300:350, 10:60], [BACKGROUND] * 3).all()


def test_a_region_is_where_its_transform_says_and_coloured_as_it_moves(film):
    half = (np.array(MOVES) + BACKGROUND) / 2
    for t in (0, 19, 20, 30, 40, 41):
        corners = [BROW + np.array([dx, dy]) for dx in (-4, 4) for dy in (-4, 4)]
        inside = np.array([film.frames[t][in_source(point, t)] for point in corners])
        assert near(inside, half if t in RUNS else [BACKGROUND] * 3).all(), t
        beside = np.array([film.frames[t][in_source(BROW + np.array([d, 0]), t)] for d in (-9, 9)])
        assert near(beside, [BACKGROUND] * 3).all(), t


def dots(film: Film) -> np.ndarray:
    """In which frames the landmark of the brow is bright; colours of so few px are lost."""
    return np.array([film.frames[t][in_source(BROW, t)].mean() > 150 for t in range(T)])


def test_landmarks_and_arrows_are_in_the_face(film):
    assert np.flatnonzero(dots(film)).tolist() == [t for t in range(T) if t not in LEFT_OUT]
    red, green = (film.frames[:, :HEIGHT, :, k] for k in (0, 1))
    arrow = green > red + 25  # thin lines lose their colour in part
    arrow[:, :60] = False  # the label
    assert np.flatnonzero(arrow.sum((1, 2)) > 500).tolist() == [*FLOWS]
    rows, columns = np.nonzero(arrow[10])
    far = np.linalg.norm(np.column_stack([rows, columns]) - in_source(MIDDLE, 10), axis=1)
    assert 100 < far.max() < 140, (
        "px of the source; the jaw is 90 from the middle, an arrow 16 long"
    )


def test_the_label_is_there_in_the_intervals_frames_and_in_no_other(film):
    corner = film.frames[:, 10:14, 9:13]
    for type_, frames in (("macro", RUNS), ("micro", range(44, 47))):
        labelled = near(corner, COLOURS[type_]).all((1, 2))
        assert np.flatnonzero(labelled).tolist() == [*frames]


def test_a_left_out_frame_says_so_and_shows_no_landmarks(film):
    marked = near(film.frames[:, 10:14, 9:13], GREY).all((1, 2))
    assert np.flatnonzero(marked).tolist() == [*LEFT_OUT]
    assert np.flatnonzero(~dots(film)).tolist() == [*LEFT_OUT]


def cursor(film: Film) -> list[float]:
    """Column of the black line in the strip."""
    height = film.frames.shape[1]
    top = height - overlay.Strip.height + READOUT
    dark = film.frames[:, top + 20 : top + CURVES - 8].max((1, 3))
    return [np.flatnonzero(line < 110).mean() for line in dark]


def test_the_cursor_goes_in_step(film):
    x = np.array(cursor(film))
    steps = np.diff(x)
    assert steps.min() > 0
    assert np.abs(steps - steps.mean()).max() <= 1.5
    width = film.frames.shape[2]
    assert x[0] < overlay.GUTTER + 2 * steps.mean()
    assert x[-1] > width - overlay.MARGIN - 2 * steps.mean()


def test_the_same_again_is_the_same_to_the_byte(made, tmp_path):
    draw(made, out=tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == made.out.read_bytes()


def test_a_long_video_is_shown_a_page_at_a_time():
    n = 70 * round(FPS)
    feature = Feature("s", "v", np.zeros((n - 1, 1, 2)), np.ones(n - 1, bool), FPS, 30.0, ("a",))
    motion = np.zeros((n, 1))
    row = {"type": "micro", "onset": 1000, "offset": 1009, "score": 0.5, "regions": "a"}
    strip = overlay.Strip(
        feature, np.arange(n), pd.DataFrame({"a": motion[:, 0]}), motion, [row], []
    )
    canvas = np.zeros((strip.height, 640, 3), np.uint8)
    bars = []
    for t in (0, 699, 700, 1399, 1400, n - 1):
        strip.draw(canvas, t)
        bars.append(bool((canvas == COLOURS["micro"]).all(2)[:, overlay.GUTTER :].any()))
    assert bars == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((100, 60), (640, 384)), ((1920, 1080), (1280, 720)), ((720, 1700), (542, 1280))],
)
def test_small_sources_are_enlarged_and_large_ones_shrunk(tmp_path, size, drawn):
    files = write_files(tmp_path, 2)
    video.write(tmp_path / "v.mkv", [np.zeros(size[::-1], np.uint8)] * 2, FPS, "s")
    draw(Made(tmp_path / "v.mkv", files, tmp_path / "out.mp4"))
    height, width = read(tmp_path / "out.mp4").frames.shape[1:3]
    assert (width, height - overlay.Strip.height) == drawn


def test_a_source_that_changes_its_size_is_drawn_on_all_the_same(tmp_path):
    """What `align` tells is for the size at the end."""
    parts = [
        save(tmp_path / f"{k}.h264", grey(2, height, width))
        for k, (height, width) in enumerate([(180, 320), (360, 640)])
    ]
    source = joined(tmp_path / "v.h264", *parts)
    draw(Made(source, write_files(tmp_path, 4), tmp_path / "out.mp4"))
    frames = read(tmp_path / "out.mp4").frames
    assert frames.shape[2] == 640
    assert all(frames[t][in_source(BROW, t)].mean() > 150 for t in range(4))


def test_what_does_not_fit_together_is_an_input_error(made, tmp_path):
    for n, frames in ((50, "other frames"), (70, "other frames")):
        files = write_files(tmp_path, n)
        with pytest.raises(InputError, match=rf"somebody.mkv: it has {frames}"):
            draw(made._replace(files=files, out=tmp_path / "o.mp4"))
        assert not (tmp_path / "o.mp4").exists()
    with pytest.raises(InputError, match=r"features.h5: no video u"):
        draw(made, video="u")
    mixed = made.files._replace(landmarks=files.landmarks)
    with pytest.raises(InputError, match=r"landmarks.h5"):
        draw(made, files=mixed)
