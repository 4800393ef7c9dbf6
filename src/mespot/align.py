"""align: one fixed crop of the face; later frames registered to the first that shows a face.

Landmarks jitter by more than a micro-expression moves, so they only give the rough start: the
picture itself is registered (`faces.register`), on the part of the face that moves with the skull.
Whether the face is free in them is `faces.covered`'s to say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mespot import faces, store, video
from mespot.errors import InputError
from mespot.faces.covered import COVERED, LOST, MOST_SLIGHT, agreement, consistent_points, judge
from mespot.faces.dlib import grey
from mespot.faces.points import inter_ocular, moved_box
from mespot.faces.register import Template, compose, fit_similarity, invert
from mespot.progress import progress
from mespot.settings import Align
from mespot.source import sample
from mespot.stretches import interpolated, runs

STAGE = "align"
# While there is no face the detector is asked this often, s: it costs as much as several frames.
PROBE = 0.2
# How often the landmarks are found again from shifted boxes, s: half of align's time at 30 frames/s
# if each frame were asked.
LOOK = 1 / 15
# A picture that correlates less than this with its template becomes the next template.
STALE = 0.9
# The registered landmarks may lie this far from the first frame's, in inter-ocular distances,
# before the face is placed anew by its landmarks.
DRIFT = 0.3
# Frames in which persons are counted.
LOOKED_AT = 8
# How far the forehead reaches above the brows, in inter-ocular distances.
FOREHEAD = 0.6
# Points that expressions move little: bridge of the nose, nostrils, corners of the eyes.
STABLE = [27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45]


class Reference(NamedTuple):
    """The frame that fixes the crop."""

    frame: int
    box: np.ndarray  # (4,) x0, y0, x1, y1, decoded px
    points: np.ndarray  # (68, 2) decoded px
    transform: np.ndarray  # (2, 3) from decoded px to crop px


class Found(NamedTuple):
    """What is known of one frame."""

    transform: np.ndarray  # (2, 3) from decoded px to crop px
    resemblance: float  # 0 to 1
    apart: np.ndarray  # (4,) how far jaw, nose, eyes and mouth disagree, inter-ocular distances
    placed: bool = True  # whether the transform is this frame's own, not held since another


def align(decoded: Path, out_video: Path, out_h5: Path, settings: Align) -> None:
    """Write the aligned crop (grey, S x S, FFV1) and how it was come by.

    The HDF5 file holds `transform` (T, 2, 3) from decoded px to crop px, `valid` (T,), `repeat`
    (T,), `resemblance` (T,) 0 to 1, `box` (4,) decoded px with attribute `reference_frame`, and
    `source_frame` (T,), the number in the source of the frame that is shown; attributes
    `source_fps` (frames/s on average), `start_s` (when frame 0 is shown, s from the source's first) and
    `decoded_scale` (decoded px for a source px, in x and y). Where no face is to be trusted the
    transform is interpolated and `valid` is False. Raises InputError where no frame shows a face.
    """
    detector = faces.face_detector(settings)
    info = video.info(decoded)
    origin = info.origin or video.Origin(0.0, info.fps, (1.0, 1.0), list(range(info.n_frames)))
    reference = find_reference(decoded, info, detector, settings)
    found, repeat = follow_face(decoded, info, reference, detector, settings)
    resemblance, valid = judge(
        np.array([one.resemblance for one in found]),
        np.array([one.apart for one in found]),
        info.fps,
        settings.min_resemblance,
    )
    _say_what_is_marked(decoded, valid)
    valid[list(origin.unknown)] = False  # `decode` has said so
    placed = valid & [one.placed for one in found]
    transform = bridge_transforms(np.array([one.transform for one in found]), placed, settings.size)
    crops = draw(decoded, transform, reference, settings)
    video.write(out_video, crops, info.fps, info.source)
    with store.create(
        out_h5,
        stage=STAGE,
        settings=settings.plain(),
        units="px",
        fps=info.fps,
        source=info.source,
        source_fps=origin.fps,
        start_s=origin.start_s,
        decoded_scale=origin.scale,
        **faces.provenance(settings.detector),
    ) as file:
        file["transform"] = transform
        file["valid"] = valid
        file["repeat"] = repeat
        file["resemblance"] = resemblance
        file["source_frame"] = np.array(origin.frames, np.int32)
        file["box"] = reference.box
        store.tell(file["box"], reference_frame=reference.frame)


def find_reference(
    decoded: Path, info: video.Info, detector: faces.FaceDetector, settings: Align
) -> Reference:
    """The first frame in which the face that `settings.face` means is free, its box and the crop around it.

    Frames are probed every PROBE seconds; once the face is there, those just before are looked at.
    Raises InputError where there is none; warns on stderr where there are several faces.
    """
    every = max(1, round(PROBE * info.fps))
    unseen: list[tuple[int, np.ndarray]] = []
    covered, most = None, 0
    for t, frame in enumerate(video.read(decoded)):
        unseen.append((t, frame))
        if t % every and t < info.n_frames - 1:
            continue
        boxes = detector(frame)
        box = faces.person(boxes, settings.face)
        if _free_points(frame, box, settings) is not None:
            return _first_of(unseen, decoded, detector, settings)
        most = max(most, len(boxes))
        if box is not None and covered is None:
            covered = t
        unseen = []
    if most and covered is None:
        raise InputError(
            f"{decoded.stem}: at most {most} faces found together in a frame; align.face is {settings.face}, "
            f"counted from the left: set it to {most} or less"
        )
    seen = "" if covered is None else f" but a covered one (frame {covered})"
    raise InputError(
        f"{decoded.stem}: no face found in any of its {info.n_frames} frames{seen}; a face of at least "
        "80 px, upright and turned to the camera, was expected: is the video rotated or too small?"
    )


def _first_of(
    unseen: list[tuple[int, np.ndarray]],
    decoded: Path,
    detector: faces.FaceDetector,
    settings: Align,
) -> Reference:
    """The reference among frames of which the last has a free face."""
    for t, frame in unseen:  # noqa: B007
        boxes = detector(frame)
        box = faces.person(boxes, settings.face)
        points = _free_points(frame, box, settings)
        if points is not None:
            break
    if len(boxes) > 1:
        _warn_of_several(decoded, t, boxes, settings)
    return Reference(t, box, points, crop_transform(box, settings))


def _warn_of_several(decoded: Path, frame: int, boxes: np.ndarray, settings: Align) -> None:
    from_left = boxes[np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")]
    listed = ", ".join(
        f"x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}" for x0, y0, x1, y1 in from_left
    )
    print(
        f"warning: {decoded.stem}: {len(boxes)} faces in frame {frame}, from the left: {listed}; "
        f"followed: {settings.face} (align.face; of one's own video own.face)",
        file=sys.stderr,
    )


def faces_in(source: Path, settings: Align) -> int:
    """How many persons a video file or folder of frames shows together.

    The largest number of faces that at least two of LOOKED_AT frames spread over it show. Raises
    InputError where it cannot be read.
    """
    detector = faces.face_detector(settings)
    numbers = sorted(len(detector(frame)) for frame in sample(source, LOOKED_AT))
    return numbers[-2] if len(numbers) > 1 else sum(numbers)


def _free_points(frame: np.ndarray, box: np.ndarray | None, settings: Align) -> np.ndarray | None:
    """The points (68, 2) px of the face in a box (4,); None if there is none or it is covered."""
    if box is None:
        return None
    points, apart = consistent_points(grey(frame), box)
    return points if agreement(apart, COVERED) >= settings.min_resemblance else None


def crop_transform(box: np.ndarray, settings: Align) -> np.ndarray:
    """From px of the frame to px of a square crop: the box with `margin` of its side around it."""
    x0, y0, x1, y1 = box
    scale = settings.size / (max(x1 - x0, y1 - y0) * (1 + 2 * settings.margin))
    shift = (settings.size - 1) / 2 - scale * np.array([x0 + x1, y0 + y1]) / 2
    return np.column_stack([scale * np.eye(2), shift])


def follow_face(
    decoded: Path,
    info: video.Info,
    reference: Reference,
    detector: faces.FaceDetector,
    settings: Align,
) -> tuple[list[Found], np.ndarray]:
    """What is found in each frame, and which frames are identical to the one before."""
    follower = FOLLOWERS[settings.mode](reference, detector, settings, info.fps)
    found: list[Found] = []
    repeat = np.zeros(info.n_frames, bool)
    previous = None
    frames = progress(video.read(decoded), f"align {decoded.stem}", info.n_frames)
    for t, frame in enumerate(frames):
        pixels = grey(frame)
        repeat[t] = previous is not None and np.array_equal(pixels, previous)
        if t < reference.frame:
            found.append(Found(reference.transform, 0.0, np.zeros(4)))
        else:
            again = repeat[t] and t > reference.frame
            found.append(found[-1] if again else follower.find(frame))
        previous = pixels
    return found, repeat


class Box:
    """Mode `box`: the box of the first frame, or of every n-th; only whether a face is there is judged.

    Between the n-th frames the crop goes on in equal steps (`Found.placed`): where it jumped, the
    flow would show the jump.
    """

    def __init__(
        self, reference: Reference, detector: faces.FaceDetector, settings: Align, fps: float
    ):
        self.detector = detector
        self.settings = settings
        self.transform = reference.transform
        self.scale_of = reference.transform
        self.first_points = self.points = moved(reference.transform, reference.points)
        self.first_box = moved(reference.transform, reference.box.reshape(2, 2)).ravel()
        self.probe_every = max(1, round(PROBE * fps))
        self.look_every = max(1, round(LOOK * fps))
        self.lost_for = 0
        self.apart = np.zeros(4)
        self.n_seen = 0

    def find(self, frame: np.ndarray) -> Found:
        """Follow the face into the next frame (H, W) or (H, W, 3) uint8; look for it where it is lost.

        The detector also looks in every n-th frame that is not the first.
        """
        picture = Picture(grey(frame), self.scale_of)
        self.looks = self.n_seen % self.look_every == 0
        every = self.settings.every
        self.placed = not every or self.n_seen == 0
        if every and self.n_seen and self.n_seen % every == 0:
            box, points = self._detect(frame)
            if box is not None:
                self._renew(box, points)
        self.n_seen += 1
        found = self._track(picture)
        if found.resemblance < self.settings.min_resemblance:
            if self.lost_for % self.probe_every == 0:
                found = self._search(frame, picture) or found
            self.lost_for += 1
        if found.resemblance >= self.settings.min_resemblance:
            self.lost_for = 0
        return found

    def _renew(self, box: np.ndarray, points: np.ndarray) -> None:
        """Take up the box (4,) that the detector has found in this frame, and the points in it."""
        self.transform, self.placed = crop_transform(box, self.settings), True
        self.points = moved(self.transform, points)

    def _track(self, picture: Picture) -> Found:
        crop = picture.crop(self.transform, self.settings.size)
        return Found(self.transform, self._look(crop), self.apart, self.placed)

    def _search(self, frame: np.ndarray, picture: Picture) -> Found | None:
        _, points = self._detect(frame)
        if points is None:
            return None
        self.points, self.looks = moved(self.transform, points), True
        return self._track(picture)

    def _look(self, crop: np.ndarray) -> float:
        """How well a face is resembled where the last one was; its points become the last.

        Between two looks what the last one told holds.
        """
        if self.looks:
            box = moved_box(self.first_box, self.first_points, self.points)
            points, self.apart = consistent_points(crop, box)
            if agreement(self.apart, LOST) >= self.settings.min_resemblance:
                self.points = points
        return float(agreement(self.apart, LOST))

    def _detect(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Box (4,) and points (68, 2), decoded px, of the face nearest to the last one, if it is free."""
        last = moved(invert(self.transform), self.points).mean(0)
        box = faces.nearest(self.detector(frame), last)
        points = _free_points(frame, box, self.settings)
        return (None, None) if points is None else (box, points)


class Similarity(Box):
    """Mode `similarity`: each frame registered to the first, through templates where it must be.

    A face that turns comes to look like the first frame less and less. The last good frame then
    becomes the template, at the place where it was registered: no jump, and little drift, since it
    happens seldom. Only after the face was lost, or when it has drifted, do landmarks place it. What
    the detector finds in every n-th frame shows whether it has.
    """

    template: Template | None = None

    def _renew(self, box: np.ndarray, points: np.ndarray) -> None:
        self.points = moved(self.transform, points)

    def _track(self, picture: Picture) -> Found:
        transform, correlation = self._register(picture, self.transform)
        return self._settle(picture, transform, correlation)

    def _search(self, frame: np.ndarray, picture: Picture) -> Found | None:
        _, points = self._detect(frame)
        if points is None:
            return None
        start = fit_similarity(points[STABLE], self.first_points[STABLE])
        transform, correlation = self._register(picture, start)
        if correlation < STALE:  # another pose than the template's
            self.template, transform, correlation = None, start, 1.0
        self.points, self.looks = moved(transform, points), True
        return self._settle(picture, transform, correlation)

    def _register(self, picture: Picture, start: np.ndarray) -> tuple[np.ndarray, float]:
        if self.template is None:
            return start, 1.0
        back = compose(start, invert(picture.to_own))
        registered, correlation = self.template.register(picture.pixels, back)
        return compose(registered, picture.to_own), correlation

    def _settle(self, picture: Picture, transform: np.ndarray, correlation: float) -> Found:
        """Judge a registration; where it is good, go on from it."""
        crop = picture.crop(transform, self.settings.size)
        resemblance = min(self._look(crop), correlation)
        found = Found(transform, resemblance, self.apart)
        if found.resemblance < self.settings.min_resemblance:
            return found
        self.transform = transform
        # A hand in the template would hold the face where the hand is.
        if self.template is None or (correlation < STALE and self.apart.mean() < MOST_SLIGHT):
            self.template = Template(crop, skull_region(self.points, self.settings.size))
        if self._drift() > DRIFT:
            placed = fit_similarity(self.points[STABLE], self.first_points[STABLE])
            self.transform, self.template = compose(placed, transform), None
            self.points = moved(placed, self.points)
            return Found(transform, 0.0, self.apart)
        return found

    def _drift(self) -> float:
        apart = np.linalg.norm(self.points[STABLE] - self.first_points[STABLE], axis=1).mean()
        return float(apart / inter_ocular(self.first_points))


FOLLOWERS = {"box": Box, "similarity": Similarity}


def skull_region(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels (S, S) bool of the face that move with the skull, more or less.

    Nose, cheeks and forehead, without eyes, brows, mouth and chin. The larger it is, the less an
    expression in a part of it pulls: brows to nostrils alone give four times the false motion.
    """
    unit = float(inter_ocular(points))
    up = (points[27] - points[8]) / np.linalg.norm(points[27] - points[8])
    region = _filled([*points, *(points[17:27] + FOREHEAD * unit * up)], size)
    for part, around in (
        (points[36:42], 0.12),
        (points[42:48], 0.12),
        (points[17:22], 0.11),
        (points[22:27], 0.11),
        (points[48:68], 0.15),
        (points[[4, 5, 6, 7, 8, 9, 10, 11, 12, 48, 54]], 0.03),
    ):
        width = 2 * max(1, round(around * unit)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
        region &= cv2.dilate(_filled(part, size), disc) == 0
    return region > 0


def _filled(points: np.ndarray, size: int) -> np.ndarray:
    """The convex hull of points (N, 2) as a mask (S, S) of 0 and 1."""
    mask = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(np.array(points, np.float32))
    return cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)


class Picture:
    """A frame as float32 without detail finer than the crop's pixels, in px of its own.

    Detail that the crop cannot hold would flicker as the face moves.
    """

    def __init__(self, frame: np.ndarray, transform: np.ndarray):
        """`frame` (H, W) uint8; `transform` (2, 3) tells how large its face is in the crop."""
        finer = 1 / np.sqrt(np.linalg.det(transform[:, :2]))  # frame px in a crop px
        shrink = max(1, int(finer))
        height, width = (edge // shrink for edge in frame.shape)
        pixels = frame[: height * shrink, : width * shrink]
        if shrink > 1:
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        self.pixels = pixels.astype(np.float32)
        rest = finer / shrink
        if rest > 1.05:
            self.pixels = cv2.GaussianBlur(self.pixels, (0, 0), 0.5 * np.sqrt(rest**2 - 1))
        offset = (1 / shrink - 1) / 2  # px count from their centres
        self.to_own = np.array([[1 / shrink, 0, offset], [0, 1 / shrink, offset]])

    def crop(self, transform: np.ndarray, size: int) -> np.ndarray:
        """The crop (S, S) uint8 under a transform (2, 3) from the frame's px."""
        crop = cv2.warpAffine(
            self.pixels,
            compose(transform, invert(self.to_own)),
            (size, size),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.clip(np.rint(crop), 0, 255).astype(np.uint8)


def draw(
    decoded: Path, transforms: np.ndarray, reference: Reference, settings: Align
) -> Iterator[np.ndarray]:
    """The crops (S, S) uint8."""
    for frame, transform in zip(video.read(decoded), transforms, strict=True):
        yield Picture(grey(frame), reference.transform).crop(transform, settings.size)


def bridge_transforms(transforms: np.ndarray, valid: np.ndarray, size: int) -> np.ndarray:
    """Transforms (T, 2, 3), those not `valid` interpolated between those that are.

    What is interpolated is where the crop's centre lies in the frame, and the crop's two axes.
    """
    back = np.array([invert(transform) for transform in transforms])
    centre = np.full(2, (size - 1) / 2)
    placed = np.concatenate(
        [back[:, :, :2].reshape(-1, 4), back[:, :, :2] @ centre + back[:, :, 2]], 1
    )
    placed = interpolated(placed, valid)
    linear = placed[:, :4].reshape(-1, 2, 2)
    back = np.concatenate([linear, (placed[:, 4:] - linear @ centre)[:, :, None]], 2)
    bridged = np.array([invert(one) for one in back])
    return np.where(valid[:, None, None], transforms, bridged)


def _say_what_is_marked(decoded: Path, valid: np.ndarray) -> None:
    if not valid.all():
        marked = ", ".join(f"{start}-{end - 1}" for start, end in runs(~valid))
        print(
            f"warning: {decoded.stem}: {(~valid).sum()} of {len(valid)} frames show no face, a covered one or one "
            f"turned away, and are marked: {marked}",
            file=sys.stderr,
        )


def moved(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:, :2].T + transform[:, 2]
