"""Video files, opened: their pictures in the order of showing, which of them are right, whether all is there.

Whatever ffmpeg reads. A picture is wrong that is damaged, or that rests on damage or on what was cut off.
"""

from __future__ import annotations

import mmap
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
from av.stream import Disposition

from mespot.errors import InputError

# How much earlier than announced a picture may end, s: containers round and pad.
EARLY = 0.5
# How a file is decoded until a frame comes: several at once is faster, but then one error at the start
# spoils all that follow; and some streams have no key frame, or do not say which are.
ATTEMPTS = (("AUTO", True), ("NONE", True), ("NONE", False))
JITTER = 0.5  # s; timestamps that go back by more begin another recording
MADE_UP_RATE = 25.0  # frames/s of a stream whose header tells none
FASTEST = 20_000  # frames/s of cameras; headers of .dv and others hold their clock's ticks
SIGNATURE = 12  # bytes with which a file begins, by which a second one in it is known
# Formats (as ffmpeg names them) of which it reads the first recording alone.
ENDS_WITH_THE_FIRST = ("mp4", "flv", "asf", "nut")
# Those that may begin anywhere, so that a broken beginning is a cut and no damage.
STREAMS = ("mpegts", "mpeg", "h264", "hevc", "m4v", "obu")
TORN = 3  # packets from one that is called corrupt to where something is missing, at most


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


def decoded_frames(path: Path, leave_out: bool, say: Say) -> Iterator[Decoded]:
    """The pictures of a file that can be decoded, and its end. Raises InputError."""
    for threads, wait in ATTEMPTS[leave_out:]:
        number = skipped = 0
        with opened(path, threads, wait) as file:
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
def opened(path: Path, threads: str = "AUTO", wait: bool = True) -> Iterator[VideoFile]:
    """Raises InputError for what ffmpeg cannot read."""
    file = None
    try:
        # Not as it is given: `concat:a.mp4` would be a protocol of ffmpeg's.
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            file = VideoFile(path, container, threads, wait)
            yield file
    except av.FFmpegError as error:
        at = f" after {file.packets} frames" if file else ""
        raise InputError(
            f"{path}: cannot be decoded{at} ({error.strerror}); copy or export the video again"
        ) from None


class VideoFile:
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
            if self.torn is not None and packet.size:
                continue  # whether these are right the next packets tell
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
        # Where nothing is lost it comes a frame's length after the last picture.
        time = self.end if lost and self.keys[-1][1] is not None else None
        recording = self.coded.recording
        return Decoded(number, lost, time, None, recording, None, self.aspect, self.length)

    @property
    def announced(self) -> float:
        """Length of the picture by the header, s, or of all that is in the file; 0 where it says neither."""
        return announced_seconds(self.stream) or (self.container.duration or 0) / av.time_base

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
