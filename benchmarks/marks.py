"""Which frames align marks as covered or lost, on real faces labelled by eye. Prints markdown tables.

    python benchmarks/marks.py ../shared/real [--fps 30] [--crop 128]

The first table: of each video in videos.csv, how many of its frames that show a covered face or none
(events.csv: cover, noface) are marked, and how many of the others. The second: hands cut out of one of
these videos, laid over the mouth or half of the others' faces for two seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mespot import store, video
from mespot.align import align, moved
from mespot.decode import decode
from mespot.faces.points import inter_ocular
from mespot.faces.register import invert
from mespot.landmarks import landmarks
from mespot.settings import Align, Decode, Landmarks
from mespot.source import timed_frames

# A hand in `expressions`: time in s, its outline in px of the frame, and of the face behind it the
# mouth's centre and the distance of the eyes, px.
OF = "expressions"
HANDS = {
    "fist before the mouth": (3.267, [[315, 360], [315, 371], [329, 331], [376, 280], [392, 268], [439, 274], [484, 292], [452, 309], [457, 334], [474, 385], [471, 360]], [418, 307], 100),
    "open hand over half the face": (4.933, [[326, 360], [336, 340], [372, 277], [427, 202], [441, 179], [452, 192], [462, 211], [445, 280], [449, 295], [483, 258], [491, 268], [452, 332], [443, 371], [443, 360]], [444, 319], 97),
    "fingers on half the mouth": (7.733, [[301, 360], [317, 272], [341, 208], [356, 219], [380, 183], [395, 197], [407, 201], [415, 223], [410, 286], [417, 317], [464, 271], [470, 281], [419, 360]], [425, 249], 100),
    "fingers on the mouth": (7.733, [[301, 360], [317, 272], [341, 208], [356, 219], [380, 183], [395, 197], [407, 201], [415, 223], [410, 286], [417, 317], [464, 271], [470, 281], [419, 360]], [385, 249], 100),
}  # fmt: skip
FREE, COVERED = 1.0, 2.0  # s before a hand comes and while it is there; then FREE again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--crop", type=int, default=128)
    args = parser.parse_args()
    about = pd.read_csv(args.real / "videos.csv").set_index("video")
    events = pd.read_csv(args.real / "events.csv")
    events = events[events.event.isin(["cover", "noface"])]
    settings = Align(size=args.crop)
    with tempfile.TemporaryDirectory() as folder:
        prepared = {
            name: Prepared(args.real / row.file, Path(folder) / name, args.fps, settings)
            for name, row in about.iterrows()
        }
        print("| video | frames covered or without a face | marked | free frames | marked |")
        print("|---|---|---|---|---|")
        for name, one in prepared.items():
            covered = np.zeros(len(one.valid), bool)
            for event in events[events.video == name].itertuples():
                covered |= (one.times >= event.from_s) & (one.times < event.to_s)
            share = f"{(~one.valid[covered]).mean():.1%}" if covered.any() else ""
            print(
                f"| {name} | {covered.sum()} | {share} | {(~covered).sum()} | {(~one.valid[~covered]).sum()} |"
            )
        hands = {name: Hand(prepared[OF].source, *hand) for name, hand in HANDS.items()}
        print(
            "\n| hand laid over | covered frames marked: " + " | ".join(HANDS) + " | free: marked |"
        )
        print("|---" * (len(HANDS) + 2) + "|")
        for name, one in prepared.items():
            if name != OF:
                found = [with_hand(one, hand, args.fps, settings) for hand in hands.values()]
                cells = [f"{caught:.0%}" for caught, _ in found]
                print(f"| {name} | " + " | ".join(cells) + f" | {sum(w for _, w in found)} |")


class Prepared:
    """A video taken through decode, align and landmarks."""

    def __init__(self, source: Path, stem: Path, fps: float, settings: Align):
        self.source = source
        self.decoded, crop, h5, points = (
            stem.with_suffix(ending) for ending in (".mkv", ".crop.mkv", ".h5", ".points.h5")
        )
        decode(source, self.decoded, Decode(fps=fps, align=settings))
        self.valid, self.transform = aligned(self.decoded, crop, h5, settings)
        landmarks(crop, h5, points, Landmarks())
        with store.read(points) as file:
            self.points = file["points"][:].astype(float)
        self.times = np.arange(len(self.valid)) / fps + 1e-6


def aligned(decoded: Path, crop: Path, h5: Path, settings: Align) -> tuple[np.ndarray, np.ndarray]:
    with contextlib.redirect_stderr(io.StringIO()):
        align(decoded, crop, h5, settings)
    with store.read(h5) as file:
        return file["valid"][:], file["transform"][:]


class Hand:
    """A hand cut out of a video."""

    def __init__(
        self, source: Path, time: float, outline: list[list[int]], mouth: list[int], eyes: float
    ):
        shown = (shown for shown in timed_frames(source) if shown.time >= time - 0.02)
        self.picture = next(shown).picture.pixels(grey=True)
        mask = np.zeros_like(self.picture)
        self.mask = cv2.fillPoly(mask, [np.array(outline, np.int32)], 255)
        self.mouth, self.eyes = np.array(mouth), eyes
        self.level = np.median(self.picture[self.mask > 0])

    def laid_over(self, frame: np.ndarray, points: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """The frame (H, W) with the hand before its face's mouth, `shift` eye distances away."""
        unit = float(inter_ocular(points))
        scale = unit / self.eyes
        to = points[48:68].mean(0) + shift * unit - scale * self.mouth
        place = np.column_stack([scale * np.eye(2), to])
        hand, mask = (
            cv2.warpAffine(image, place, frame.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            for image in (self.picture, self.mask)
        )
        x0, y0 = np.rint(points[27:36].min(0)).astype(int)
        x1, y1 = np.rint(points[27:36].max(0)).astype(int)
        skin = np.median(frame[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]) / self.level
        opaque = cv2.GaussianBlur(mask, (0, 0), max(0.02 * unit, 0.5)) / 255
        return np.uint8(np.clip(frame * (1 - opaque) + skin * hand * opaque, 0, 255))


def with_hand(one: Prepared, hand: Hand, fps: float, settings: Align) -> tuple[float, int]:
    """Share of the frames behind the hand that are marked, and how many of the free ones are.

    Around the free frames in the middle of the video; frames are played again where it is too short.
    """
    free, covered = round(FREE * fps), round(COVERED * fps)
    shown = np.flatnonzero(one.valid)
    frames = [
        frame for _, frame in zip(range(shown[-1] + 1), video.read(one.decoded), strict=False)
    ]
    there_and_back = np.concatenate([shown, shown[-2:0:-1]])
    numbers = np.resize(there_and_back, 2 * free + covered)
    behind = np.zeros(len(numbers), bool)
    behind[free : free + covered] = True
    pictures = []
    for k, t in enumerate(numbers):
        points = moved(invert(one.transform[t]), one.points[t])
        shift = 0.05 * np.array([np.sin(k / 9), np.cos(k / 7)])
        pictures.append(hand.laid_over(frames[t], points, shift) if behind[k] else frames[t])
    laid = one.decoded.with_suffix(".laid.mkv")
    video.write(laid, pictures, fps, "")
    valid, _ = aligned(laid, laid.with_suffix(".crop.mkv"), laid.with_suffix(".h5"), settings)
    return (~valid[behind]).mean(), int((~valid[~behind]).sum())


if __name__ == "__main__":
    main()
