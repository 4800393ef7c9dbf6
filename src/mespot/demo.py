"""The demo datasets: a photograph of a face moved by known action units, so that truth is known.

One photograph (scikit-image's `astronaut`, NASA, public domain) is warped densely and smoothly.
First into subjects (proportions, skin tone, light), then, frame by frame, by action units that rise
from onset to apex and fall to offset, and by what makes spotting hard: blinks, gaze, head motion,
light drift and sensor noise. Displacements are in inter-ocular distances, (x, y), y down.

A frame I_t shows the subject's still picture I at  I_t(A_t p) = I(p - e_t(p)):  e_t is the sum of
the action units' fields, A_t the head's motion. A point of the skin therefore moves to A_t p with
p = m + e_t(p), which a few fixed-point steps give exactly (`move_points`).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from skimage import data

from mespot.datasets.endings import visible
from mespot.datasets.layouts import DEMO_CAS_ME_SQ, DEMO_PEOPLE
from mespot.errors import InputError
from mespot.faces.dlib import points_of_largest
from mespot.progress import progress
from mespot.settings import Demo
from mespot.store import replacing

# Where the head lies in the photograph: its centre (x, y) and the side of the square shown, px.
PHOTO_CENTRE, PHOTO_SIDE = (225, 128), 200

# Frames per second of each form.
FPS = {"cas_me_sq": 30, "samm_lv": 200}

# A field is made of bumps: a landmark, its displacement (dx, dy) at full intensity and the bump's
# radius, all in inter-ocular distances. The left side of the image comes first.
Bump = tuple[int, float, float, float]
ACTION_UNITS: dict[int, list[Bump]] = {
    1: [(20, 0, -0.06, 0.16), (21, 0, -0.09, 0.17), (22, 0, -0.09, 0.17), (23, 0, -0.06, 0.16)],
    2: [(18, 0, -0.09, 0.14), (19, 0, -0.05, 0.13), (24, 0, -0.05, 0.13), (25, 0, -0.09, 0.14)],
    4: [
        (19, 0.03, 0.05, 0.17),
        (20, 0.04, 0.06, 0.17),
        (21, 0.03, 0.05, 0.15),
        (22, -0.03, 0.05, 0.15),
        (23, -0.04, 0.06, 0.17),
        (24, -0.03, 0.05, 0.17),
    ],
    6: [(41, 0, -0.04, 0.2), (46, 0, -0.04, 0.2), (2, 0.02, -0.05, 0.3), (14, -0.02, -0.05, 0.3)],
    9: [(31, 0, -0.05, 0.16), (35, 0, -0.05, 0.16), (21, 0.02, 0.05, 0.2), (22, -0.02, 0.05, 0.2)],
    12: [(48, -0.09, -0.10, 0.24), (54, 0.09, -0.10, 0.24)],
    14: [(48, -0.09, 0.01, 0.2), (54, 0.09, 0.01, 0.2)],
    15: [(48, -0.01, 0.10, 0.22), (54, 0.01, 0.10, 0.22)],
    25: [(51, 0, -0.04, 0.15), (57, 0, 0.09, 0.2)],
    26: [(57, 0, 0.10, 0.28), (8, 0, 0.12, 0.35)],
}
DISTRACTORS: dict[str, list[Bump]] = {
    "blink": [(37, 0, 0.06, 0.09), (38, 0, 0.06, 0.09), (43, 0, 0.06, 0.09), (44, 0, 0.06, 0.09)],
    "gaze": [
        (37, 0.05, 0.01, 0.08),
        (40, 0.05, 0, 0.08),
        (43, 0.05, 0.01, 0.08),
        (46, 0.05, 0, 0.08),
    ],
}
# The photograph smiles; a neutral mouth has its corners lower and further in.
NEUTRAL: list[Bump] = [(48, 0.05, 0.05, 0.25), (54, -0.05, 0.05, 0.25)]

# The combinations seen in the benchmarks' annotations.
MACRO = [(12,), (6, 12), (12, 25), (4,), (1, 2), (1, 4), (4, 9), (15,), (25, 26), (14,), (2,)]
MICRO = [(4,), (1, 2), (12,), (14,), (15,), (1,), (2,)]


@dataclass(frozen=True)
class Expression:
    """One expression; times in frames at the video's own rate, 0-based, both ends inclusive."""

    type: str
    action_units: tuple[int, ...]
    onset: int
    apex: int
    offset: int
    intensity: float


@dataclass
class Script:
    """What happens in one video: curves (T,) in units of the bumps' full displacement."""

    fps: float
    n_frames: int
    expressions: list[Expression]
    action_units: dict[int, np.ndarray]
    distractors: dict[str, np.ndarray]
    head: np.ndarray  # (T, 3): dx, dy in inter-ocular distances, angle in radians
    light: np.ndarray  # (T,) gain
    seed: int = field(default=0)


@dataclass
class Subject:
    """One person: the still picture and its 68 landmarks in pixels of the frame."""

    picture: np.ndarray  # (H, W, 3) RGB or (H, W) grey, float32, 0-255
    landmarks: np.ndarray  # (68, 2)

    @property
    def inter_ocular(self) -> float:
        """Distance of the eyes' centres, px."""
        return float(np.linalg.norm(self.landmarks[36:42].mean(0) - self.landmarks[42:48].mean(0)))


def script(layout: str, subject: int, video: int, settings: Demo) -> Script:
    """Write what happens in a video: the same for the same seed, layout, subject and video."""
    rng = np.random.default_rng(_seed(settings.seed, layout, subject, video))
    fps = FPS[layout]
    n_frames = round(settings.seconds * fps)
    time = np.arange(n_frames) / fps
    expressions = list(_expressions(rng, settings.seconds, fps))
    curves = {unit: np.zeros(n_frames) for unit in ACTION_UNITS}
    for expression in expressions:
        for unit in expression.action_units:
            curves[unit] += expression.intensity * _rise_and_fall(expression, n_frames)
    on = set(settings.distractors)
    distractors = {
        "blink": _blinks(rng, time) if "blink" in on else np.zeros(n_frames),
        "gaze": _gaze(rng, time) if "gaze" in on else np.zeros(n_frames),
    }
    wander = np.stack([_wander(rng, time, size) for size in (0.06, 0.05, 0.03)], 1)
    head = wander if "head" in on else np.zeros((n_frames, 3))
    drift = _wander(rng, time, 0.05)
    light = 1 + drift if "light" in on else np.ones(n_frames)
    seed = int(rng.integers(2**31))
    return Script(fps, n_frames, expressions, curves, distractors, head, light, seed)


def make_subject(layout: str, subject: int, settings: Demo) -> Subject:
    """A person: the photograph with other proportions, another skin tone and another light."""
    rng = np.random.default_rng(_seed(settings.seed, layout, subject))
    width, height = settings.size
    scale = min(width, height) / PHOTO_SIDE
    to_frame = np.float64([[scale, 0, width / 2], [0, scale, height / 2]])
    to_frame[:, 2] -= to_frame[:, :2] @ PHOTO_CENTRE
    photo = cv2.warpAffine(
        data.astronaut(),
        to_frame,
        (width, height),
        flags=cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REFLECT,
    )
    if subject % 2:
        photo = np.ascontiguousarray(photo[:, ::-1])
    still = Subject(photo, points_of_largest(photo))
    proportions = [*NEUTRAL, *_proportions(rng)]
    shape = _field(proportions, still.landmarks, still.inter_ocular, (height, width))
    picture = _warp(photo, shape).astype(np.float32)
    picture = _tone(rng, picture, still.landmarks, still.inter_ocular)
    if layout == "samm_lv":
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return Subject(picture, move_points(still.landmarks, shape))


def render(
    subject: Subject, script: Script, settings: Demo
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames, uint8 in the picture's form, and the true landmarks (68, 2) px of each."""
    height, width = subject.picture.shape[:2]
    unit = subject.inter_ocular
    names: dict[int | str, list[Bump]] = {**ACTION_UNITS, **DISTRACTORS}
    fields = np.stack([_field(names[n], subject.landmarks, unit, (height, width)) for n in names])
    curves = {**script.action_units, **script.distractors}
    intensities = np.stack([curves[name] for name in names], 1).astype(np.float32)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32)
    centre = subject.landmarks[27:31].mean(0)
    # The head moves rigidly out to the hair; beyond, the motion fades into the still background.
    distance = np.linalg.norm((pixels - centre) / (1, 1.15), axis=2) / unit
    follows = np.clip((2.6 - distance) / 0.9, 0, 1)[..., None].astype(np.float32)
    rng = np.random.default_rng(script.seed)
    for t in range(script.n_frames):
        active = np.flatnonzero(intensities[t])
        expression = np.tensordot(intensities[t, active], fields[active], 1)
        motion = _rigid(script.head[t], centre, unit)
        back = cv2.invertAffineTransform(motion).astype(np.float32)
        head_pixels = pixels + follows * (pixels @ back[:, :2].T + back[:, 2] - pixels)
        moved = head_pixels - cv2.remap(expression, head_pixels, None, cv2.INTER_LINEAR)
        frame = cv2.remap(
            subject.picture, moved, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        noise = rng.standard_normal(frame.shape, np.float32) * settings.noise
        points = move_points(subject.landmarks, expression) @ motion[:, :2].T + motion[:, 2]
        yield np.clip(frame * script.light[t] + noise, 0, 255).round().astype(np.uint8), points


def make_video(
    layout: str, subject: int, video: int, settings: Demo, frames: Path, truth: Path
) -> None:
    """Render one video to a folder of JPG frames, named as in the benchmark, with its truth beside.

    The truth (.npz) holds `landmarks` (T, 68, 2) px, `fps`, `head` (T, 3), `inter_ocular` px and, by
    expression, `type`, `au`, `onset`, `apex`, `offset` (0-based, at the frames' rate), `intensity`.
    Older frames in that folder are taken away. Raises InputError if other files are in it.
    """
    if frames.is_dir() and any(not file.match("*.jpg") for file in visible(frames)):
        raise InputError(f"{frames}: holds other files than frames; name a new folder")
    person, happenings = (
        make_subject(layout, subject, settings),
        script(layout, subject, video, settings),
    )
    landmarks = []
    shown = progress(
        render(person, happenings, settings), f"demo {frames.name}", happenings.n_frames
    )
    with replacing(frames) as folder:
        folder.mkdir()
        for t, (frame, points) in enumerate(shown):
            if layout == "cas_me_sq":
                name, image = f"img{t + 1:03d}.jpg", frame[..., ::-1]
            else:
                name, image = f"{frames.name}_{t + 1:04d}.jpg", frame
            # Not imwrite, which says nothing of a full disk.
            _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            (folder / name).write_bytes(packed)
            landmarks.append(points)
    with replacing(truth) as temporary:
        np.savez_compressed(
            temporary,
            landmarks=np.float32(landmarks),
            fps=happenings.fps,
            head=happenings.head,
            inter_ocular=person.inter_ocular,
            au=["+".join(map(str, e.action_units)) for e in happenings.expressions],
            **{
                name: [getattr(e, name) for e in happenings.expressions]
                for name in ("type", "onset", "apex", "offset", "intensity")
            },
        )


def write_annotation(layout: str, settings: Demo, path: Path) -> None:
    """The dataset's spreadsheet in the benchmark's own form; frames are the files' numbers."""
    rows = [
        (subject, video, expression)
        for subject in range(settings.subjects)
        for video in range(settings.videos)
        for expression in script(layout, subject, video, settings).expressions
    ]
    sheets = (_cas_me_sq_sheets if layout == "cas_me_sq" else _samm_lv_sheets)(rows)
    written = BytesIO()
    with pd.ExcelWriter(written, engine="openpyxl") as book:
        for name, cells in sheets.items():
            pd.DataFrame(cells).to_excel(book, sheet_name=name, header=False, index=False)
    with replacing(path) as temporary:
        _copy_without_times(written, temporary)


def _copy_without_times(workbook: BytesIO, path: Path) -> None:
    """A workbook is a zip with the time in it in two forms; without them the same gives the same bytes."""
    with zipfile.ZipFile(workbook) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            part = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2000-01-01T00:00:00Z", old.read(name))
            new.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)


def move_points(points: np.ndarray, displacement: np.ndarray, steps: int = 8) -> np.ndarray:
    """Where points (N, 2) of the still picture come to under I_t(p) = I(p - e(p)): p = m + e(p)."""
    moved = points.copy()
    for _ in range(steps):
        at = moved.astype(np.float32)[None]
        moved = points + cv2.remap(displacement, at, None, cv2.INTER_LINEAR)[0]
    return moved


def _seed(*parts: object) -> int:
    return zlib.crc32(" ".join(map(str, parts)).encode())


def _expressions(rng: np.random.Generator, seconds: float, fps: float) -> Iterator[Expression]:
    """Macro- and micro-expressions in turn, with rests between them."""
    time = rng.uniform(0.5, 0.9)
    kinds = rng.permutation(["macro", "micro", "macro", "micro"] * int(np.ceil(seconds / 4)))
    for kind in kinds:
        length = rng.uniform(0.7, 1.8) if kind == "macro" else rng.uniform(0.3, 0.45)
        if time + length > seconds - 0.4:
            return
        rise = rng.uniform(0.35, 0.6)
        units = MACRO if kind == "macro" else MICRO
        onset, offset = round(time * fps), round((time + length) * fps)
        yield Expression(
            type=str(kind),
            action_units=units[rng.integers(len(units))],
            onset=onset,
            apex=round(onset + rise * (offset - onset)),
            offset=offset,
            intensity=rng.uniform(0.75, 1.2) if kind == "macro" else rng.uniform(0.3, 0.5),
        )
        time += length + rng.uniform(0.5, 1.1)


def _rise_and_fall(expression: Expression, n_frames: int) -> np.ndarray:
    """Half a cosine from 0 at the onset to 1 at the apex, another back to 0 at the offset."""
    frames = np.arange(n_frames)
    knots = [expression.onset, expression.apex, expression.offset]
    return 0.5 - 0.5 * np.cos(np.pi * np.interp(frames, knots, [0, 1, 0]))


def _blinks(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """A blink every two to four seconds, closing in a tenth of a second and opening in two."""
    curve = np.zeros_like(time)
    at = rng.uniform(0.3, 2.0)
    while at < time[-1]:
        curve = np.maximum(
            curve, np.interp(time, [at, at + 0.1, at + 0.15, at + 0.3], [0, 1, 1, 0])
        )
        at += rng.uniform(2, 4)
    return curve


def _gaze(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Fixations of about a second, joined by saccades of 40 ms."""
    jumps = np.cumsum(rng.uniform(0.6, 1.6, size=int(time[-1]) + 4))
    targets = rng.uniform(-1, 1, size=len(jumps) + 1)
    times = np.stack([jumps, jumps + 0.04], 1).ravel()
    return np.interp(time, times, np.repeat(targets, 2)[1:-1])


def _wander(rng: np.random.Generator, time: np.ndarray, size: float) -> np.ndarray:
    """A slow smooth motion, 0 at the start: a few sines of 0.1 to 0.7 Hz; `size` is its spread."""
    rates, phases = rng.uniform(0.1, 0.7, 4), rng.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * rates * time[:, None] + phases) - np.sin(phases)
    return size * waves.sum(1) / 2


def _proportions(rng: np.random.Generator) -> list[Bump]:
    """Jaw, brows, eyes, nose and mouth of another person, as bumps on this one's landmarks."""
    jaw, chin, brows, apart, nose, mouth = rng.uniform(-1, 1, 6) * (
        0.10,
        0.10,
        0.06,
        0.05,
        0.06,
        0.06,
    )
    return [
        (4, -jaw, 0, 0.5),
        (12, jaw, 0, 0.5),
        (8, 0, chin, 0.5),
        (19, 0, brows, 0.35),
        (24, 0, brows, 0.35),
        (36, -apart, 0, 0.3),
        (45, apart, 0, 0.3),
        (33, 0, nose, 0.3),
        (48, -mouth, 0, 0.25),
        (54, mouth, 0, 0.25),
    ]


def _tone(
    rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray, unit: float
) -> np.ndarray:
    """Skin and hair of another colour (a gamma for each channel) under light from another side."""
    height, width = picture.shape[:2]
    darker = rng.uniform(0.7, 2.2)
    gamma = darker * np.array([0.92, 1.0, 1.08]) ** rng.uniform(-1, 1)
    toned = 255 * (picture.clip(0, 255) / 255) ** gamma
    y, x = np.mgrid[:height, :width]
    across = ((x - landmarks[30, 0]) * rng.uniform(-1, 1) + (y - landmarks[30, 1]) * 0.3) / unit
    lit = toned * (1 + 0.08 * np.tanh(across))[..., None]
    return lit.clip(0, 255).astype(np.float32)


def _field(
    bumps: list[Bump], landmarks: np.ndarray, unit: float, shape: tuple[int, int]
) -> np.ndarray:
    """The displacement field (H, W, 2) px float32 of a list of bumps (Gaussians)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    total = np.zeros((*shape, 2), np.float32)
    for landmark, dx, dy, radius in bumps:
        x0, y0 = landmarks[landmark]
        bump = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * (radius * unit) ** 2))
        total += unit * bump[..., None] * np.float32([dx, dy])
    return total


def _warp(picture: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """The picture moved by a displacement field: new(p) = old(p - e(p))."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    source = np.stack([x, y], 2) - displacement
    return cv2.remap(picture, source, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _rigid(head: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    """The head's motion (2, 3): a rotation about its centre, then a translation."""
    dx, dy, angle = head
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = centre + unit * np.array([dx, dy]) - rotation @ centre
    return np.column_stack([rotation, shift])


def _cas_me_sq_sheets(rows: list[tuple[int, int, Expression]]) -> dict[str, list[tuple]]:
    """Three sheets without a header row."""
    first = DEMO_PEOPLE["cas_me_sq"]
    counts: dict[tuple[int, int], int] = {}
    codes = []
    for subject, video, e in rows:
        counts[subject, video] = counts.get((subject, video), 0) + 1
        _, name, _ = DEMO_CAS_ME_SQ[video]
        units = "+".join(map(str, e.action_units))
        cell = int(units) if units.isdigit() else units
        frames = (e.onset + 1, e.apex + 1, e.offset + 1)
        clip = f"{name}_{counts[subject, video]}"
        codes.append((subject + 1, clip, *frames, cell, "others", f"{e.type}-expression", "others"))
    return {
        "CASFEcode_final": codes,
        "naming rule1": [(first + s, f"s{first + s}", s + 1) for s, _, _ in rows],
        "naming rule2": [(code, name) for code, name, _ in DEMO_CAS_ME_SQ],
    }


def _samm_lv_sheets(rows: list[tuple[int, int, Expression]]) -> dict[str, list[tuple]]:
    """One sheet; nine preamble rows, then the header."""
    header = "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes"
    columns = header.split(",")
    preamble = ["SAMM Long Videos in form, rendered by mespot", *[""] * 8]
    table = [(line, *[""] * (len(columns) - 1)) for line in preamble]
    table.append(tuple(columns))
    counts: dict[tuple[int, int], int] = {}
    for subject, video, e in rows:
        counts[subject, video] = counts.get((subject, video), 0) + 1
        number = f"{DEMO_PEOPLE['samm_lv'] + subject:03d}"
        name = f"{number}_{video + 1}_{counts[subject, video]}"
        type_ = "Macro" if e.type == "macro" else "Micro - 1/2"
        units = "+".join(map(str, e.action_units))
        frames = (e.onset + 1, e.apex + 1, e.offset + 1, e.offset - e.onset + 1)
        table.append((number, name, video + 1, *frames, type_, units, ""))
    return {"FACS_Movement_Only": table}
