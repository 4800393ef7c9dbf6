"""Video files as people have them: which picture is shown when, upright and with square pixels.

Whatever ffmpeg reads. What a file says wrongly or not at all is mended where players do the same, and
said on stderr; what would be a guess is an InputError.
"""

from __future__ import annotations

import mmap
import re
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition

from mespot.errors import InputError
from mespot.faces.dlib import grey as to_grey
from mespot.frames import is_frames
from mespot.frames import sample as sample_frames

# How much earlier than announced a picture may end, s: containers round and pad.
EARLY = 0.5
# A frame that comes so much later than its neighbours tell is behind a gap, in their distances and in s.
# A gap of more than LONGEST is no camera's: the timestamps are wrong, or something was cut out.
LATE, SHORTEST, LONGEST = 2.5, 0.15, 30.0
# Timestamps that go back by more begin another recording, s; what follows such a cut is not known for a
# time that `mdmo` does not bridge.
JITTER, AFTER_CUT = 0.5, 0.25
LATEST = 0.1  # s after the file's start at which its picture begins without a word
# Neighbours that tell how long a frame lasts, and the rate of a stream that has no timestamps.
NEIGHBOURS, MADE_UP_RATE = 15, 25.0
# How a file is decoded until a frame comes: several at once is faster, but then one error at the start
# spoils all that follow; and some streams have no key frame, or do not say which are.
ATTEMPTS = (("AUTO", True), ("NONE", True), ("NONE", False))
# Heights of interlaced video; frames looked at for combing that nothing tells of, and which share of
# them must have one parity.
INTERLACED, LOOKED_AT, ONE_PARITY = {480, 486, 512, 576, 1080, 1088}, 60, 0.8
FASTEST = 20_000  # frames/s of cameras; headers of .dv and others hold their clock's ticks
# Bytes with which a file begins, by which a second one in it is known.
SIGNATURE = 12
# Of formats (as ffmpeg names them) of which it reads the first recording alone.
ENDS_WITH_THE_FIRST = ("mp4", "flv", "asf", "nut")
# Of those that may begin anywhere, so that a broken beginning is a cut and no damage.
STREAMS = ("mpegts", "mpeg", "h264", "hevc", "m4v", "obu")
TORN = 3  # packets from one that is called corrupt to where something is missing, at most
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


class Still(NamedTuple):
    """An image of a folder of frames, (H, W) or (H, W, 3) RGB uint8."""

    image: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1::-1]

    coded = size

    def pixels(self, grey: bool = False, size: tuple[int, int] | None = None) -> np.ndarray:
        """As `Picture.pixels`."""
        image = to_grey(self.image) if grey else self.image
        if size in (None, self.size):
            return image
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class Timed(NamedTuple):
    """What is shown from an instant on."""

    time: float  # s
    number: int  # in the source, from 0
    picture: Picture | Still
    known: bool = True  # False in a gap, where the last picture stands still, and after a cut


class Coded(NamedTuple):
    """Where a picture stands in its file."""

    index: int  # in the order of decoding
    recording: int  # of those that are joined in it
    key: bool


class Decoded(NamedTuple):
    """A picture that could be decoded, or the end of the file."""

    number: int  # from 0
    lost: int  # how many before it could not be decoded
    time: float | None  # s, as the file says
    order: float | None  # s, the time of decoding, which goes forward where `time` is made up
    recording: int
    frame: av.VideoFrame | None  # None: the end
    aspect: float
    length: float  # s, of a frame as the header says


# What is said of a file: its path and the message.
Say = Callable[[Path, str], None]


def warn(path: Path, message: str) -> None:
    print(f"warning: {path.name}: {message}", file=sys.stderr)


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
    for decoded in _deinterlaced(_decoded(path, leave_out, say), parity):
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


def _decoded(path: Path, leave_out: bool, say: Say) -> Iterator[Decoded]:
    """The pictures of a file that can be decoded, and its end. Raises InputError."""
    for threads, wait in ATTEMPTS[leave_out:]:
        number = skipped = 0
        with _opened(path, threads, wait) as file:
            for frame, coded in file.frames():
                if frame is None and threads == "AUTO" and not number:
                    break
                if frame is None and not leave_out and (number or not file.a_stream):
                    raise InputError(
                        f"{path}: cannot be decoded at frame {number}; copy or export the video again, or set "
                        "decode.damaged to leave_out"
                    )
                if frame is None:
                    skipped += not number
                    continue
                if not number and (skipped := skipped + file.waited):
                    say(
                        path,
                        f"{skipped} frames before the first that can be decoded are skipped: is it damaged, or cut "
                        "between key frames without re-encoding?",
                    )
                yield file.decoded(number, frame, coded)
                number += 1
            if number:
                file.check_whole(number)
                yield file.the_end(number)
                return
    raise InputError(f"{path}: no frame in it can be decoded; copy or export the video again")


@contextmanager
def _opened(path: Path, threads: str, wait: bool) -> Iterator[_File]:
    """Raises InputError for what ffmpeg cannot read."""
    file = None
    try:
        # Not as it is given: `concat:a.mp4` would be a protocol of ffmpeg's.
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            file = _File(path, container, threads, wait)
            yield file
    except av.FFmpegError as error:
        at = f" after {file.packets} frames" if file else ""
        raise InputError(
            f"{path}: cannot be decoded{at} ({error.strerror}); copy or export the video again"
        ) from None


class _File:
    """An open video file: its picture, and how far what is in it reaches."""

    def __init__(
        self, path: Path, container: av.container.InputContainer, threads: str, wait: bool
    ) -> None:
        self.path, self.container = path, container
        self.fast, self.wait = threads == "AUTO", wait
        self.a_stream = any(name in container.format.name for name in STREAMS)
        self.stream = picture_of(container, path)
        self.stream.thread_type = threads
        self.stream.codec_context.options = {"err_detect": "explode"}
        # Some containers tell only in which order to decode, which is another where pictures rest on later ones.
        reordered = self.stream.codec_context.has_b_frames
        self.only_order = bool(reordered) and container.format.name in ("avi", "asf")
        self.length = 1 / rate_of(self.stream)
        self.start = (container.start_time or 0) / av.time_base
        self.read = 0  # bytes
        self.end = self.reach = 0.0  # s, to which the picture reaches, and the farthest of all
        self.packets = self.waited = 0  # of the picture; those before the first key frame
        self.coded = Coded(-1, 0, False)  # the last packet of the picture
        self.order: int | None = None  # its time of decoding
        self.unseen: dict[int, Coded] = {}  # packets whose pictures are not shown yet, by their pts
        self.keys: list[tuple[int, int | None]] = []  # index and pts of key frames
        self.breaks: list[int] = []  # indices from which on all is wrong until the next key frame
        self.begun = self.damaged = False
        self.torn: int | None = None  # index of a packet of which a part is missing
        self.bad = 0  # pictures that were wrong since the last right one

    def frames(self) -> Iterator[tuple[av.VideoFrame | None, Coded]]:
        """Pictures in the order in which they are shown; None for one that is damaged or rests on damage."""
        held: list[tuple[av.VideoFrame, Coded | None]] = []
        for packet in self.container.demux():
            self._follow(packet)
            if packet.stream is not self.stream:
                continue
            if self.wait and packet.size and not self.keys:
                self.waited += 1
                continue
            coded = self.coded
            try:
                frames = packet.decode()
            except av.FFmpegError:
                # Behind the first key frame of a cut the decoder misses what it does not need.
                if self.fast or self.begun or coded.key:
                    self._break(coded.index)
                    yield None, coded
                continue
            held += [(frame, self.unseen.pop(frame.pts, None)) for frame in frames]
            if (
                self.torn is not None and packet.size
            ):  # whether they are right the next packets tell
                continue
            for frame, own in held:
                if frame.is_corrupt:
                    self._break(own.index if own else coded.index)
                whole = self._whole(frame, own)
                self.begun |= whole
                self.bad += not whole
                yield frame if whole else None, own or coded
            held = []

    def decoded(self, number: int, frame: av.VideoFrame, coded: Coded) -> Decoded:
        """A picture and what the file says of it. To be asked in the order of showing."""
        before = [
            pts
            for pts, other in self.unseen.items()
            if frame.pts is not None and (other.recording, pts) < (coded.recording, frame.pts)
        ]
        for pts in before:
            del self.unseen[pts]
        lost = len(before) + self.bad if number and self.damaged else 0
        self.bad = 0
        order = self.seconds(frame.dts)
        time = order if self.only_order else self.seconds(frame.pts)
        return Decoded(number, lost, time, order, coded.recording, frame, self.aspect, self.length)

    def the_end(self, number: int) -> Decoded:
        lost = len(self.unseen) + self.bad if self.damaged else 0
        time = (
            self.end if lost and self.keys[-1][1] is not None else None
        )  # else a frame's length after the last
        recording = self.coded.recording
        return Decoded(number, lost, time, None, recording, None, self.aspect, self.length)

    @property
    def aspect(self) -> float:
        """Width of a pixel for its height: the container's word, or else the codec's."""
        for said in (
            self.stream.sample_aspect_ratio,
            self.stream.codec_context.sample_aspect_ratio,
        ):
            if said and said != 1 and 1 / 4 <= said <= 4:
                return float(said)
        return 1.0

    def check_whole(self, number: int) -> None:
        """Raise InputError if the file is cut off, or another follows in it.

        Sound and subtitles may be longer than the picture: where nothing tells how long that is, the file
        is whole if anything in it reaches the length that the file announces.
        """
        announced, end = announced_seconds(self.stream), self.end
        if announced is None:
            announced, end = (self.container.duration or 0) / av.time_base, self.reach
        kind = self.container.format.name
        # Packets, not frames: an edit list may rightly hide some of them.
        if end < announced - EARLY or ("mp4" in kind and self.packets < self.stream.frames):
            raise InputError(
                f"{self.path}: ends after {end:.1f} s (frame {number}), its header announces {announced:.1f} s: "
                "it is cut off; copy it again"
            )
        if not any(name in kind for name in ENDS_WITH_THE_FIRST):
            return
        with (
            open(self.path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            another = content.find(content[:SIGNATURE], self.read)
        if another > 0:
            raise InputError(
                f"{self.path}: another recording begins at byte {another}, as in files joined byte by byte, and "
                "only the first can be read: join them with ffmpeg, or give each as a file"
            )

    def seconds(self, time: int | None) -> float | None:
        """On the file's clock, which begins with whatever in it begins first."""
        return None if time is None else float(time * self.stream.time_base) - self.start

    def _follow(self, packet: av.Packet) -> None:
        """Take down where a packet stands, and how far it reaches."""
        if not packet.size:
            return
        if packet.pos is not None:
            self.read = max(self.read, packet.pos + packet.size)
        times = [time for time in (packet.pts, packet.dts) if time is not None]
        if times:
            end = float((max(times) + (packet.duration or 0)) * packet.time_base) - self.start
            self.reach = max(self.reach, end)
        if packet.stream is not self.stream:
            return
        self.packets += 1
        index, recording, _ = self.coded
        if packet.dts is not None:
            # Another recording goes back in the time of decoding; what is out of order does not.
            back = self.order is not None and (self.order - packet.dts) * packet.time_base > JITTER
            recording, self.order = recording + back, packet.dts
        # A transport stream calls corrupt what lies just before a hole, and before another recording.
        if recording != self.coded.recording:
            self.torn = None
        elif self.torn is not None and index + 1 - self.torn == TORN:
            self._break(self.torn)
            self.torn = None
        self.coded = Coded(index + 1, recording, packet.is_keyframe)
        if packet.is_corrupt:
            self.torn = index + 1
        if times:
            self.end = max(self.end, end)
        if packet.pts is not None and not packet.is_discard:
            self.unseen[packet.pts] = self.coded
        if packet.is_keyframe:
            self.keys.append((index + 1, packet.pts))

    def _break(self, index: int) -> None:
        self.breaks.append(index)
        self.damaged = True

    def _whole(self, frame: av.VideoFrame, coded: Coded | None) -> bool:
        """Whether a picture is right. After damage all are wrong that are decoded before the next key
        frame, and those decoded after it that are shown before it."""
        if not self.breaks:
            return True
        if coded is None:
            self.breaks = [] if frame.key_frame and not frame.is_corrupt else self.breaks
            return not self.breaks
        whole, lasting = True, []
        for index in self.breaks:
            k = bisect_right(self.keys, index, key=lambda key: key[0])
            following = self.keys[k] if k < len(self.keys) else None
            healed = following and coded.index >= following[0] and frame.pts >= following[1]
            whole &= coded.index < index or bool(healed)
            if not healed:
                lasting.append(index)
        self.breaks = lasting
        return whole


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
    with _opened(path, "AUTO", True) as file:
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
        kind: float(metadata[f"lavfi.idet.multiple.{kind}"])
        for kind in ("tff", "bff", "progressive")
    }
    parity = max(counts, key=counts.get)
    if parity == "progressive" or counts[parity] < max(
        ONE_PARITY * sum(counts.values()), LOOKED_AT / 2
    ):
        return None
    say(path, "its frames are of two half-pictures each, which the file does not say: deinterlaced")
    return parity


def picture_of(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The video stream that players show: ffmpeg's best, but for covers, thumbnails and what ends early.

    Raises InputError.
    """
    apart = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [stream for stream in container.streams.video if not stream.disposition & apart]
    # One whose codec ffmpeg does not know has none.
    streams = [stream for stream in moving if stream.codec_context]
    if not streams:
        but = "codec that can be decoded" if moving else "video stream"
        raise InputError(f"{path}: no {but} in it; a video was expected: export it again, as H.264")
    lengths = [announced_seconds(stream) or 0.0 for stream in streams]
    lasting = [
        stream
        for stream, length in zip(streams, lengths, strict=True)
        if 2 * length >= max(lengths)
    ]
    best = container.streams.best("video")
    return best if best in lasting else lasting[0]


def rate_of(stream: av.VideoStream) -> float:
    """Frames/s by the header: the average, where that is a rate which cameras have."""
    for said in (stream.average_rate, stream.guessed_rate):
        if said and 0.1 <= said <= FASTEST:
            return float(said)
    return MADE_UP_RATE


def announced_seconds(stream: av.VideoStream) -> float | None:
    """How long the picture is by the header, on the stream's own clock; None where it does not say."""
    if stream.container.format.name == "avi" and stream.frames:  # the index counts what is there
        return stream.frames / rate_of(stream)
    if stream.duration:
        start = (stream.container.start_time or 0) / av.time_base
        begins = float((stream.start_time or 0) * stream.time_base) - start
        return begins + float(stream.duration * stream.time_base)
    said = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if not said:
        return None
    hours, minutes, rest = map(float, said.groups())
    start, length = stream.container.start_time or 0, stream.container.duration
    # A tag of Matroska's, which a program that cut the file may have left as it was.
    announced = 3600 * hours + 60 * minutes + rest - start / av.time_base
    return min(announced, length / av.time_base) if length else announced


def seconds(path: Path, rate: float | None = None) -> float | None:
    """How long the picture of a video file is by its header, where that says it. Raises InputError.

    `rate` (frames/s), if given, counts instead of the file's own.
    """
    with _opened(path, "AUTO", True) as file:
        length = announced_seconds(file.stream) or (file.container.duration or 0) / av.time_base
        return (length * rate_of(file.stream) / rate if rate else length) or None


def average_rate(path: Path) -> float:
    """Frames/s of a video file by its header. Raises InputError."""
    with _opened(path, "AUTO", True) as file:
        return rate_of(file.stream)


def sample(path: Path, number: int) -> Iterator[np.ndarray]:
    """Up to `number` frames, spread over a video file or a folder of frames. Raises InputError.

    Of a video file they are key frames where those differ, which are quickly reached.
    """
    if is_frames(path):
        yield from sample_frames(path, number)
        return
    length = seconds(path) or 0.0
    with _opened(path, "AUTO", True) as file:
        seen = -1.0
        for k in range(number):
            target = length * k / number
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
