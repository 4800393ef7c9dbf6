"""Video files as people have them: which picture is shown when, upright and with square pixels.

Whatever ffmpeg reads. What a file says wrongly or not at all is mended where players do the same, and
said on stderr; what would be a guess is an InputError.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData

from mespot.errors import InputError
from mespot.frames import is_frames
from mespot.frames import sample as sample_frames
from mespot.video_file import Decoded, Say, decoded_frames, opened, warn

# A frame that comes so much later than its neighbours tell is behind a gap, in their distances and in s.
# A gap of more than LONGEST is no camera's: the timestamps are wrong, or something was cut out.
LATE, SHORTEST, LONGEST = 2.5, 0.15, 30.0
# What follows a cut between two recordings is not known for a time that `mdmo` does not bridge, s.
AFTER_CUT = 0.25
LATEST = 0.1  # s after the file's start at which its picture begins without a word
NEIGHBOURS = 15  # that tell how long a frame lasts
# Heights of interlaced video; frames looked at for combing that nothing tells of; how many of them must
# tell by themselves what they are, and which share of those must have one parity. (idet's counts over
# several frames carry a first mistake on.)
INTERLACED, LOOKED_AT, TELLING, ONE_PARITY = {480, 486, 512, 576, 1080, 1088}, 60, 10, 0.8
STANDING = 10  # pictures of one instant, in which no timestamps are


class Picture(NamedTuple):
    """A coded frame, of which no pixels are made yet."""

    frame: av.VideoFrame
    aspect: float = 1.0  # width of a pixel for its height

    @property
    def coded(self) -> tuple[int, int]:
        """Width and height upright, in the source's own px."""
        size = (self.frame.width, self.frame.height)
        return size[::-1] if self._turned()[0] else size

    @property
    def size(self) -> tuple[int, int]:
        """Width and height upright, in square px: no side is shortened."""
        width, height = self.frame.width, self.frame.height
        size = (round(width * max(self.aspect, 1)), round(height / min(self.aspect, 1)))
        return size[::-1] if self._turned()[0] else size

    def pixels(self, grey: bool = False, size: tuple[int, int] | None = None) -> np.ndarray:
        """Upright, (H, W) grey if the frame or the wish is, else (H, W, 3) RGB uint8.

        `size` is another width and height. Of a smaller one pixels are means of areas, made from the coded
        planes at once: a sixth of the time that it takes afterwards.
        """
        transposed, mirrored, flipped = self._turned()
        width, height = (size or self.size)[:: -1 if transposed else 1]
        layout = "gray" if grey or self.frame.format.name.startswith("gray") else "rgb24"
        coded = self.frame.reformat(width, height, format=layout, interpolation="AREA").to_ndarray()
        upright = coded.swapaxes(0, 1) if transposed else coded
        return np.ascontiguousarray(upright[:: -1 if flipped else 1, :: -1 if mirrored else 1])

    def _turned(self) -> tuple[bool, bool, bool]:
        """By the display matrix: whether the sides are exchanged; then left and right; then up and down.

        Selfies may be mirrored: left and right would change places, and with them the sides of AUs.
        """
        try:
            matrix = self.frame.side_data.get(SideData.DISPLAYMATRIX)
        except ValueError:  # beside data that PyAV does not know, EXIF say
            turns = round(self.frame.rotation / 90) % 4  # counter-clockwise
            return turns % 2 == 1, turns in (2, 3), turns in (1, 2)
        if matrix is None:
            return False, False, False
        # Rows (a, b, u), (c, d, v), (x, y, w) of 16.16 fixed point: x' = a x + c y, y' = b x + d y.
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)


class Timed(NamedTuple):
    """What is shown from an instant on."""

    time: float  # s
    number: int  # in the source, from 0
    picture: Picture  # or what has its `size`, `coded` and `pixels`
    known: bool = True  # False in a gap, where the last picture stands still, and after a cut


def silent(path: Path, message: str) -> None:
    """For who looks through a file before it is read."""


def timed_frames(
    path: Path,
    rate: float | None = None,
    leave_out: bool = False,
    say: Say = warn,
) -> Iterator[Timed]:
    """What a video file shows, and from when on, in seconds from its first picture.

    `rate` (frames/s), if given, counts instead of the timestamps: a high-speed camera's file may say 30.
    With `leave_out`, what cannot be decoded is not known; else it is an InputError that names the frame.
    So are timestamps that jump far ahead, and a file that is cut off. The last item is the end, with the
    last picture again and the number of frames.
    """
    clock = _Clock(path, rate, say)
    last, gaps = None, []
    parity = None if say is silent else _combing(path, say)  # a look through needs no whole lines
    for decoded in _deinterlaced(decoded_frames(path, leave_out, say), parity):
        time = clock.time(decoded)
        if clock.missing:
            gaps.append((clock.step - clock.usual, clock.number))
            yield last._replace(time=min(last.time + clock.usual, time), known=False)
        if decoded.frame is not None:
            picture = Picture(decoded.frame, decoded.aspect)
            last = Timed(time, clock.number, picture, clock.known)
            yield last
    yield last._replace(time=time, number=clock.number)
    if gaps:
        say(
            path,
            f"nothing is known of {sum(length for length, _ in gaps):.2f} s, in {len(gaps)} gaps, the "
            f"first before frame {gaps[0][1]}: left out of spotting where they are longer than mdmo.max_gap",
        )


class _Clock:
    """Makes of a file's timestamps a clock that goes forward."""

    def __init__(self, path: Path, rate: float | None, say: Say) -> None:
        self.path, self.rate, self.say = path, rate, say
        self.steps: deque[float] = deque(maxlen=NEIGHBOURS)
        self.usual = self.step = self.shift = 0.0  # s; how long a frame lasts, since the last one
        self.now: float | None = None
        self.number = self.lost = self.standing = self.recording = 0
        self.order: float | None = None  # of the first frame
        self.by_order = False
        self.missing = False  # whether something is missing before the frame
        self.cut = -AFTER_CUT

    def time(self, decoded: Decoded) -> float:
        """When a frame is shown. Raises InputError for a jump that no camera makes."""
        self.usual = median(self.steps) if self.steps else decoded.length
        self.lost += decoded.lost
        number, self.number = self.number, decoded.number + self.lost
        before, self.now = self.now, self._now(decoded)
        if before is None:
            self.order = decoded.order
            return self.now
        self.step = self.now - before
        self.standing = self.standing + 1 if not self.step else 0
        if self.standing == STANDING:
            raise InputError(
                f"{self.path}: its timestamps stand still at frame {self.number}; export the video again, or "
                "give frames_fps"
            )
        late = max(LATE * self.usual, SHORTEST)
        self.missing = bool(decoded.lost) or (
            self.step > late and bool(self.steps) and not self.rate
        )
        if self.step > LONGEST and self.missing and not decoded.lost:
            raise InputError(
                f"{self.path}: between frames {number} and {self.number} {self.step:.1f} s pass by its "
                f"timestamps; at most {LONGEST:g} s were expected: cut the video there, or give frames_fps if the "
                "timestamps are wrong"
            )
        if self.step > 0 and not decoded.lost:
            self.steps.append(self.step)
        return self.now

    @property
    def known(self) -> bool:
        return self.now >= self.cut + AFTER_CUT - 1e-6

    def _now(self, decoded: Decoded) -> float:
        if self.rate:
            return self.number / self.rate
        after = 0.0 if self.now is None else self.now + self.usual
        if decoded.time is None:
            if self.now is None:
                self.say(
                    self.path,
                    f"it has no timestamps; {1 / decoded.length:g} frames/s were taken: give frames_fps if it "
                    "was filmed at another rate",
                )
            return after + decoded.lost * self.usual
        if self.now is None:
            self.shift = -decoded.time
            if decoded.time > LATEST:
                self.say(
                    self.path,
                    f"its picture begins {decoded.time:.2f} s after the file does, as players show it: times count "
                    "from the first picture",
                )
            return 0.0
        said = decoded.order if self.by_order else decoded.time
        if said is None:  # at the end nothing is decoded any more
            return after
        now = said + self.shift
        if decoded.recording != self.recording:
            self.recording, self.cut = decoded.recording, after
            self.say(
                self.path,
                f"its timestamps start again at frame {self.number}, as in two recordings joined: the "
                f"clock goes on, and {AFTER_CUT:g} s are left out of spotting",
            )
            self.shift += after - now
            return after
        if now < self.now and not self.by_order and None not in (decoded.order, self.order):
            # So it told only the order of decoding.
            self.by_order, self.shift = True, -self.order
            now = decoded.order + self.shift
        return max(now, self.now)


def _deinterlaced(frames: Iterable[Decoded], parity: str | None) -> Iterator[Decoded]:
    """Frames of two half-pictures as whole ones: those that say so, or all if `parity` is known."""
    kind = f"mode=send_frame:deint={'all' if parity else 'interlaced'}:parity={parity or 'auto'}"
    waiting: deque[Decoded] = deque()
    graph = form = None
    for decoded in frames:
        frame = decoded.frame
        if graph and (frame is None or _form(frame) != form):
            yield from _drawn(graph, None, waiting)
            graph = None
        if frame is None or not (graph or parity or frame.interlaced_frame):
            yield decoded
            continue
        if graph is None:
            graph, form = _graph(frame, "bwdif", kind), _form(frame)
        waiting.append(decoded)
        yield from _drawn(graph, frame, waiting)


def _form(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _graph(frame: av.VideoFrame, *filter_: str) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add(*filter_), graph.add("buffersink")).configure()
    return graph


def _drawn(graph: Graph, frame: av.VideoFrame | None, waiting: deque[Decoded]) -> Iterator[Decoded]:
    """What a filter gives for one more frame, or for the end; it is some frames late."""
    graph.vpush(frame)
    while waiting:
        try:
            yield waiting[0]._replace(frame=graph.vpull())
        except (av.BlockingIOError, av.EOFError):
            return
        waiting.popleft()


def _combing(path: Path, say: Say) -> str | None:
    """tff or bff where the first frames are of two half-pictures each though the file does not say so."""
    graph = metadata = None
    with opened(path) as file:
        if file.stream.height not in INTERLACED:
            return None
        whole = (frame for frame, _ in file.frames() if frame is not None)
        for frame in islice(whole, LOOKED_AT):
            if frame.interlaced_frame:
                return None
            graph = graph or _graph(frame, "idet")
            graph.vpush(frame)
            with suppress(av.BlockingIOError):
                metadata = graph.vpull().metadata
    if metadata is None:
        return None
    counts = {
        kind: float(metadata[f"lavfi.idet.single.{kind}"]) for kind in ("tff", "bff", "progressive")
    }
    parity = max(counts, key=counts.get)
    least = max(TELLING, ONE_PARITY * sum(counts.values()))
    if parity == "progressive" or counts[parity] < least:
        return None
    say(path, "its frames are of two half-pictures each, which the file does not say: deinterlaced")
    return parity


def seconds(path: Path, rate: float | None = None) -> float | None:
    """How long the picture of a video file is by its header, where that says it. Raises InputError.

    `rate` (frames/s), if given, counts instead of the file's own.
    """
    with opened(path) as file:
        length = file.announced
        return (length / file.length / rate if rate else length) or None


def average_rate(path: Path) -> float:
    """Frames/s of a video file by its header. Raises InputError."""
    with opened(path) as file:
        return 1 / file.length


def sample(path: Path, number: int) -> Iterator[np.ndarray]:
    """Up to `number` frames, spread over a video file or a folder of frames. Raises InputError.

    Of a video file they are key frames where those differ, which are quickly reached.
    """
    if is_frames(path):
        yield from sample_frames(path, number)
        return
    with opened(path) as file:
        seen = -1.0
        for k in range(number):
            target = file.announced * k / number
            file.container.seek(round((file.start + target) * av.time_base))
            for frame in file.container.decode(file.stream):
                time = file.seconds(frame.pts) or 0.0
                if time > seen or time >= target:
                    break
            else:
                return
            if time > seen:
                seen = time
                yield Picture(frame, file.aspect).pixels()
