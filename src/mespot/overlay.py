"""overlay: a video as it was seen and spotted in, to be watched.

On the source's own pictures, at the working rate: landmarks, regions, flow, and what runs just then. Under
them the curves, the intervals and a cursor. Frame t of it is frame t of everything else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import h5py
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from pydantic import PositiveFloat

from mespot import store
from mespot.align import moved
from mespot.curves import TOP, moved_by, of_video
from mespot.decode import Kept
from mespot.errors import InputError, damaged
from mespot.faces.register import compose, invert
from mespot.feature_store import CLOCK, Feature, load
from mespot.intervals import NEEDED, TYPES, load_intervals
from mespot.progress import progress
from mespot.roi import SIDES, box
from mespot.settings import Decode, Roi
from mespot.source import silent
from mespot.store import replacing
from mespot.stretches import runs

Colour = tuple[int, int, int]  # red, green, blue

# Longest side of a picture as it is drawn, and least width, px.
LARGEST, SMALLEST = 1280, 640
# Flow is drawn in cells so large, in inter-ocular distances, where it is faster than STILL, the same a
# second: as far as it would go in AHEAD s, and no farther than FAR.
CELL, STILL, AHEAD, FAR = 0.16, 0.15, 0.4, 0.3
# Okabe and Ito's colours, told apart by colour-blind people too.
COLOURS = {"macro": (0, 114, 178), "micro": (213, 94, 0)}
POINT, ARROW, RESTS, MOVES = (240, 228, 66), (120, 255, 200), (255, 255, 255), (230, 30, 160)
INK, PALE, GREY, PAPER = (40, 40, 40), (215, 215, 215), (110, 110, 110), (255, 255, 255)
LEFT_OUT = ("left out: the face is not seen", GREY)
# The strip under the pictures: seconds that it shows at most, and its parts in px.
PAGE = 30.0
READOUT, CURVES, LANE, TICKS = 28, 64, 18, 20
GUTTER, MARGIN = 52, 12
SHIFT = 4  # OpenCV draws by 1/16 px
EDGES = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


class Files(NamedTuple):
    """What the stages before wrote."""

    align: Path  # HDF5 of this video
    landmarks: Path
    flow: Path
    features: Path  # of its dataset
    intervals: Path
    curves: Path
    annotation: Path | None = None


def overlay(
    source: Path,
    video: str,
    files: Files,
    out: Path,
    reading: Decode,
    regions: Roi,
    first: int | None = None,
) -> None:
    """Write `out`: H.264 at the working rate, one frame for each that `decode` made of `source`.

    `reading` and `first` are those by which `video` was decoded, `regions` those that were cut from its
    flow. Raises InputError.
    """
    feature = next((one for one in load(files.features) if one.video == video), None)
    if feature is None:
        raise InputError(f"{files.features}: no video {video}")
    with store.read(files.curves) as file:
        curves = of_video(file, feature)
    if curves is None:
        raise InputError(f"{files.curves}: no video {video}; run the stage spot again")
    if [*regions.sets[regions.set]] != [*feature.regions]:
        raise InputError(f"{files.features}: its regions are not those of roi.sets.{regions.set}")
    # A network tells nothing of the last frame.
    curves = curves.reindex(range(len(feature.seen)), method="ffill")
    motion = moved_by(feature, curves)
    spotted = _of_video(files.intervals, video, [*NEEDED, "score", "regions"])
    annotated = _of_video(files.annotation, video, NEEDED)
    reading = reading.model_copy(update={"align": None})
    with store.read(files.flow) as flow, replacing(out) as temporary:
        face = Face(files, flow, feature, regions, motion)
        strip = Strip(feature, face.frames, curves, motion, spotted, annotated)
        while True:
            shown = Shown(source, reading, first)
            frames = progress(drawn(shown, face, strip), f"overlay {video}", len(face.frames))
            film(temporary, frames, feature.fps)
            if face.scale == shown.scale:
                break
            # Where pictures change their size only the last tells how `decode` shrank them.
            face.scale = shown.scale


def _of_video(path: Path | None, video: str, columns: Iterable[str]) -> list[dict[str, Any]]:
    """The intervals of one video; none without a table."""
    if path is None:
        return []
    table = load_intervals(path, columns)
    return table[table["video"] == video].to_dict("records")


def film(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames (H, W, 3) RGB, of even sides, as H.264 that browsers play, and seek in, as MP4."""
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as file:
        stream = None
        for t, frame in enumerate(frames):
            if stream is None:
                stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(10_000))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                # A key frame each second, to seek; one thread, for the same bytes on any machine.
                stream.options = {"preset": "veryfast", "crf": "23", "bf": "0", "threads": "1"}
                stream.options |= {"g": str(max(1, int(fps))), "flags": "+bitexact"}
                coding = stream.codec_context
                coding.colorspace = coding.color_primaries = coding.color_trc = 1  # BT.709
                coding.color_range = 1
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            picture.pts = t
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


class Shown(Kept):
    """A source in its own colours, as large as it is drawn."""

    def _smaller(self) -> float:
        for shown in self._timed(silent):
            width, height = shown.picture.size
            return min(LARGEST / max(width, height), max(1.0, SMALLEST / width))
        return 1.0


def drawn(shown: Shown, face: Face, strip: Strip) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) RGB, of even sides; one array, drawn in again and again. Raises InputError."""
    other = InputError(
        f"{shown.source}: it has other frames than {face.path} tells of; decode and align it again"
    )
    canvas, t = None, -1
    for t, picture in enumerate(shown.pictures()):
        if [shown.numbers[t]] != face.frames[t : t + 1].tolist():
            raise other
        if canvas is None:
            height, width = picture.shape[:2]
            below, face.scale = height + height % 2, face.scale or shown.scale
            canvas = np.zeros(
                (below + strip.height, max(width + width % 2, SMALLEST // 2), 3), np.uint8
            )
        on = canvas[:height, :width]
        on[:] = picture if picture.ndim == 3 else picture[:, :, None]
        if face.seen[t]:
            face.draw(on, t)
        _write(on, [*strip.running(t), *[LEFT_OUT] * (not face.seen[t])])
        strip.draw(canvas[below:], t)
        yield canvas
    if t + 1 < len(face.frames):
        raise other


def _write(picture: np.ndarray, said: list[tuple[str, Colour]]) -> None:
    """Lines, each on a ground of its colour, in the upper left corner."""
    size = max(16, picture.shape[1] // 44)
    y = size // 2
    for line, colour in said:
        words = text(line, size, PAPER, colour)
        paste(picture, words, size // 2, y)
        y += len(words) + 2


class Face:
    """What was measured of a face in each frame, in px of its crop."""

    def __init__(
        self, files: Files, flow: h5py.File, feature: Feature, regions: Roi, motion: np.ndarray
    ) -> None:
        n, self.path = len(feature.valid) + 1, files.align
        with store.read(files.align) as file:
            self.transforms = store.array(file, "transform", np.floating, n, 2, 3)
            self.frames = store.array(file, CLOCK, np.integer, n)
            repeat = store.array(file, "repeat", np.bool_, n)
            decoded = store.attribute(file, "decoded_scale", tuple[PositiveFloat, PositiveFloat])
        if not (np.linalg.det(self.transforms[:, :, :2]) > 0).all():
            raise damaged(files.align, "it has frames that are no crops")
        with store.read(files.landmarks) as file:
            self.points = store.array(file, "points", np.floating, n, 68, 2).astype(float)
            self.inter_ocular = store.attribute(file, "inter_ocular", PositiveFloat)
        # Px for one of the source: as it was decoded, and as it is drawn, once that is known.
        self.decoded, self.scale = np.array(decoded), None
        of_set = regions.sets[regions.set].values()
        self.boxes = np.stack([box(self.points, one, self.inter_ocular) for one in of_set], 1)
        self.flow = store.rows(flow, "flow", np.int16, n - 1, 2, SIDES, SIDES)
        # Where frames repeat, the motion to the next new one is shared among them, as `mdmo` does.
        new = np.flatnonzero(np.append(~repeat[1:-1], True))
        length = np.diff(new, prepend=-1)
        self.row, self.among = new.repeat(length), length.repeat(length)
        self.motion, self.fps, self.seen = motion, feature.fps, feature.seen

    def draw(self, picture: np.ndarray, t: int) -> None:
        """Draw frame t's on the source's `picture` (H, W, 3)."""
        zoom = np.array(self.scale) / self.decoded
        back = compose(np.column_stack([np.diag(zoom), (zoom - 1) / 2]), invert(self.transforms[t]))
        unit = min(self.inter_ocular * math.sqrt(np.linalg.det(back[:, :2])), LARGEST)
        thick = max(1, round(unit / 90))
        if t < len(self.row):
            for start, by in zip(*self.arrows(t), strict=True):
                ends = fixed(moved(back, np.array([start, start + by])))
                for colour, width in ((INK, thick + 2), (ARROW, thick)):
                    cv2.arrowedLine(picture, *ends.tolist(), colour, width, cv2.LINE_AA, SHIFT, 0.3)
        for corners, far in zip(self.boxes[t], self.motion[t], strict=True):
            # Ends are inclusive, and px count from their centres.
            quad = held(moved(back, corners[[[0, 1], [2, 1], [2, 3], [0, 3]]] + EDGES))
            _draw_region(picture, quad, min(far / TOP, 1.0), thick)
        for x, y in fixed(moved(back, self.points[t])).tolist():
            radius = round(max(1.3, unit / 60) * 2**SHIFT)
            cv2.circle(picture, (x, y), radius, POINT, cv2.FILLED, cv2.LINE_AA, SHIFT)

    def arrows(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Where in the face it moves from frame t on, (N, 2) px, and how far arrows go from there, (N, 2) px."""
        row = self.row[t]
        flow = self.flow[row : row + 1][0].transpose(1, 2, 0).astype(np.float32, "C")
        size = np.array(flow.shape[1::-1])
        cells = np.rint(size / (CELL * self.inter_ocular)).clip(1, size).astype(int)
        motion = cv2.resize(flow, cells.tolist(), interpolation=cv2.INTER_AREA)
        motion *= store.FLOW_UNIT / self.among[t]
        points = self.points[t]
        forehead = points[17:27] + 0.25 * (points[27] - points[8])
        outline = cv2.convexHull(np.float32(held([*points, *forehead])))[:, 0]
        outline = fixed((outline + 0.5) * cells / size - 0.5)
        inside = cv2.fillConvexPoly(np.zeros(cells[::-1], np.uint8), outline, 1, shift=SHIFT)
        speed = np.linalg.norm(motion, axis=2) * self.fps / self.inter_ocular
        y, x = np.nonzero(inside & (speed > STILL))
        ahead = np.minimum(AHEAD, FAR / speed[y, x]) * self.fps
        return (np.column_stack([x, y]) + 0.5) * size / cells - 0.5, motion[y, x] * ahead[:, None]


def _draw_region(picture: np.ndarray, quad: np.ndarray, share: float, thick: int) -> None:
    """Draw the outline of corners (4, 2) px, filled the more the larger `share` of TOP it has moved."""
    left, top = np.floor(quad.min(0)).astype(int).clip(0)
    right, bottom = np.ceil(quad.max(0)).astype(int).clip(0) + 1
    part = picture[top:bottom, left:right]
    if part.size:
        filled = part.copy()
        cv2.fillConvexPoly(filled, fixed(quad - (left, top)), MOVES, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(filled, share / 2, part, 1 - share / 2, 0, dst=part)
    colour = [round(r + share * (m - r)) for r, m in zip(RESTS, MOVES, strict=True)]
    cv2.polylines(picture, [fixed(quad)], True, colour, thick, cv2.LINE_AA, SHIFT)


class Strip:
    """What stands under the pictures: time, curves and intervals, some PAGE s at a time."""

    height = READOUT + CURVES + len(TYPES) * LANE + TICKS

    def __init__(
        self,
        feature: Feature,
        frames: np.ndarray,
        curves: pd.DataFrame,
        motion: np.ndarray,
        spotted: list[dict[str, Any]],
        annotated: list[dict[str, Any]],
    ) -> None:
        self.feature, self.frames, self.motion = feature, frames, motion
        self.spotted, self.annotated = spotted, annotated
        if {f"{type_}_apex" for type_ in TYPES} <= set(curves):
            self.lines = {type_: curves[f"{type_}_apex"].to_numpy() for type_ in TYPES}
            self.top, self.says = 1.0, "probability of an apex"
        else:
            self.lines = {"": motion.max(1)}
            self.top = max(TOP, float(motion.max()))
            self.says = f"farthest region from its place, to {self.top:.2f} inter-ocular distances"
        if annotated:
            self.says += "; thin bars: annotated"
        pages = math.ceil(len(frames) / (PAGE * feature.fps))
        self.length = math.ceil(len(frames) / pages)  # of a page, frames
        self.number, self.drawn = -1, None

    def running(self, t: int) -> Iterator[tuple[str, Colour]]:
        """What runs in frame t: words and their colour."""
        for row in self.spotted:
            if row["onset"] <= t <= row["offset"]:
                regions = row["regions"].replace("+", ", ").replace("_", " ")
                yield f"{row['type']} {row['score']:.2f}  {regions}", COLOURS[row["type"]]

    def x(self, t: float, width: int) -> float:
        """Where frame t begins on its page, px."""
        first = self.number * self.length
        return GUTTER + (t - first) / self.length * (width - GUTTER - MARGIN)

    def draw(self, canvas: np.ndarray, t: int) -> None:
        """Draw frame t's on `canvas` (height, W, 3)."""
        width = canvas.shape[1]
        if t // self.length != self.number:
            self.number = t // self.length
            self.drawn = self._page(width)
        canvas[:] = self.drawn
        time = f"{self.feature.seconds(t):.2f} s   source frame {self.frames[t]}"
        paste(canvas, text(time, 16, INK, PAPER), 4, 2)
        tells = text(self._tells(t), 16, INK, PAPER)
        paste(canvas, tells, width - MARGIN - tells.shape[1], 2)
        x = round(self.x(t + 0.5, width))
        canvas[READOUT : self.height - TICKS, x : x + 2] = 0

    def _tells(self, t: int) -> str:
        """The curves' values at frame t."""
        farthest = self.feature.regions[self.motion[t].argmax()].replace("_", " ")
        return "   ".join(f"{name or farthest} {line[t]:.2f}" for name, line in self.lines.items())

    def _page(self, width: int) -> np.ndarray:
        """The page (height, width, 3) without what changes from frame to frame."""
        page = np.full((self.height, width, 3), 255, np.uint8)
        first = self.number * self.length
        last = min(first + self.length, len(self.frames))
        bottom = READOUT + CURVES
        for start, stop in runs(~self.feature.seen[first:last]):
            self._fill(page, first + start, first + stop, slice(READOUT, bottom), PALE)
        says = text(self.says, 12, GREY, PAPER)
        place = page[READOUT : READOUT + len(says), GUTTER:][:, : says.shape[1]]
        np.minimum(place, says[:, : place.shape[1]], out=place)
        for name, line in self.lines.items():
            values = np.clip(line[first:last] / self.top, 0, 1)
            at = self.x(np.arange(first, first + len(values)) + 0.5, width)
            points = fixed(np.column_stack([at, bottom - 2 - values * (CURVES - 18)]))
            cv2.polylines(page, [points], False, COLOURS.get(name, INK), 1, cv2.LINE_AA, SHIFT)
        for k, type_ in enumerate(TYPES):
            y = bottom + k * LANE
            page[y, GUTTER : width - MARGIN] = PALE
            paste(page, text(type_, 13, COLOURS[type_], PAPER), 4, y + 1)
            thick, thin = slice(y + 3, y + 11), slice(y + 13, y + 16)
            for table, rows in ((self.spotted, thick), (self.annotated, thin)):
                for row in table:
                    if row["type"] == type_ and row["onset"] < last and row["offset"] >= first:
                        self._fill(page, row["onset"], row["offset"] + 1, rows, COLOURS[type_])
        self._ticks(page)
        return page

    def _fill(self, page: np.ndarray, start: int, stop: int, rows: slice, colour: Colour) -> None:
        """Fill frames `start` to `stop`, as far as they are on the page; wide enough to be seen."""
        first, width = self.number * self.length, page.shape[1]
        left, right = (self.x(np.clip(t, first, first + self.length), width) for t in (start, stop))
        page[rows, round(left) : max(round(right), round(left) + 3)] = colour
        page[rows, round(left)] = PAPER  # so that neighbours are told apart

    def _ticks(self, page: np.ndarray) -> None:
        """Whole seconds, or parts of one where the page is short."""
        feature, first, width = self.feature, self.number * self.length, page.shape[1]
        begin, span = feature.seconds(first), self.length / feature.fps
        step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10) if span / step <= width / 60)
        y = self.height - TICKS
        page[y, GUTTER : width - MARGIN] = GREY
        for after in np.arange(-round(begin / step, 6) % 1 * step, span, step):
            x = round(self.x(first + after * feature.fps, width))
            page[y : y + 4, x] = GREY
            words = text(f"{begin + after:.{int(step < 1)}f}", 12, GREY, PAPER)
            paste(page, words, min(x - words.shape[1] // 2, width - words.shape[1]), y + 4)


@lru_cache(maxsize=256)
def text(words: str, size: int, colour: Colour, ground: Colour) -> np.ndarray:
    """Words as a picture (H, W, 3), letters of `size` px."""
    font = ImageFont.load_default(size)
    above, below = font.getmetrics()
    edge = size // 4
    image = Image.new("RGB", (math.ceil(font.getlength(words)) + 2 * edge, above + below), ground)
    ImageDraw.Draw(image).text((edge, 0), words, colour, font)
    return np.asarray(image)


def paste(onto: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    """Put a picture with its upper left corner at x, y; what lies beyond the edges is cut off."""
    place = onto[y : y + len(picture), max(x, 0) : max(x + picture.shape[1], 0)]
    place[:] = picture[: len(place), max(-x, 0) :][:, : place.shape[1]]


def fixed(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) px as OpenCV takes them with SHIFT."""
    return np.rint(held(points) * 2**SHIFT).astype(np.int32)


def held(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) px; those far outside of any picture are held there."""
    return np.nan_to_num(points).clip(-4 * LARGEST, 4 * LARGEST)
