"""Optical flow: error and recovered motion of each method, and what it does to MDMO.

    python benchmarks/flow_accuracy.py [--seeds 2] [--subjects 2]

Faces (a photograph of scikit-image, and those of ../shared/media where that is) at 256 px move by known
smooth motions; noise of standard deviation sigma is added to both frames, which are rounded to 8 bits.
First table: mean end-point error in px, and in brackets the recovered gain, the projection of the found
on the true motion where that is above 0.4 of its largest. Second table: MDMO of the demo's
micro-expressions, mean error per ROI, px/frame.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import yaml
from mdmo_truth import kinds, true_motion
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage import data

from mespot import config, store, video
from mespot.align import align
from mespot.decode import decode
from mespot.demo import make_video
from mespot.faces.dlib import detect_faces
from mespot.flow import SOLVERS
from mespot.landmarks import landmarks
from mespot.mdmo import mdmo
from mespot.progress import progress
from mespot.roi import roi
from mespot.settings import Flow

ROOT = Path(__file__).parents[1]
MEDIA = ROOT.parent / "shared" / "media"
SIZE, MOTIONS, SIGMAS = 256, (0.05, 0.1, 0.2, 0.5, 1, 3), (0, 1, 2)
# denseflow stores the flow from -BOUND to BOUND px in 8 bits, as JPEG.
BOUND, QUALITY = 10, 95
Method = Callable[[np.ndarray], np.ndarray]  # frames (B + 1, H, W) uint8 -> (B, 2, H, W) px


def ours(set_: str) -> Method:
    return SOLVERS["cpu"](Flow(set=set_), 1)


def dis(frames: np.ndarray) -> np.ndarray:
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return each(lambda a, b: solver.calc(a, b, None), frames)


def farneback(frames: np.ndarray) -> np.ndarray:
    return each(
        lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 5, 15, 3, 7, 1.5, 0), frames
    )


def each(solve: Callable[[np.ndarray, np.ndarray], np.ndarray], frames: np.ndarray) -> np.ndarray:
    return np.stack([solve(a, b).transpose(2, 0, 1) for a, b in itertools.pairwise(frames)])


def eight_bits(frames: np.ndarray) -> np.ndarray:
    """Ours as denseflow would store it: 8 bits and JPEG."""
    found = ours("published")(frames)
    grey = np.clip(np.rint(255 * (found + BOUND) / (2 * BOUND)), 0, 255).astype(np.uint8)
    for plane in grey.reshape(-1, *grey.shape[2:]):
        coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        plane[:] = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    return (grey.astype(np.float32) * (2 * BOUND) / 255) - BOUND


METHODS: dict[str, Method] = {
    "no flow at all": lambda frames: np.zeros((len(frames) - 1, 2, *frames.shape[1:])),
    "ours": ours("published"),
    "ours, set micro": ours("micro"),
    "ours, 8 bits as denseflow": eight_bits,
    "OpenCV TV-L1, CPU": SOLVERS["opencv"](Flow(), 1),
    "OpenCV DIS": dis,
    "OpenCV Farneback": farneback,
}


def faces() -> dict[str, np.ndarray]:
    """Grey faces (SIZE, SIZE), float."""
    pictures = {"astronaut": data.astronaut()}
    if MEDIA.is_dir():
        with av.open(str(MEDIA / "expressions.mp4")) as container:
            pictures["expressions.mp4"] = next(container.decode(video=0)).to_ndarray(format="rgb24")
        pictures["multi_face.jpg"] = np.asarray(Image.open(MEDIA / "multi_face.jpg").convert("RGB"))
    else:
        print(f"only one face: {MEDIA} is not there", file=sys.stderr)
    found = {}
    for name, picture in pictures.items():
        x0, y0, x1, y1 = detect_faces(picture)[0]
        side = 1.3 * (x1 - x0)
        left, top = (max(0, int((a + b - side) / 2)) for a, b in ((x0, x1), (y0, y1)))
        crop = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[
            top : top + int(side), left : left + int(side)
        ]
        found[name] = cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).astype(float)
    return found


def moving(face: np.ndarray, peak: float, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two frames (2, SIZE, SIZE) uint8 and their motion (2, SIZE, SIZE) of at most `peak` px."""
    rng = np.random.default_rng(seed)
    u = gaussian_filter(rng.standard_normal((2, SIZE, SIZE)), (0, SIZE / 8, SIZE / 8))
    u *= peak / np.hypot(*u).max()
    first = map_coordinates(face, np.mgrid[:SIZE, :SIZE] + u[::-1], order=5, mode="nearest")
    frames = np.stack([first, face]) + sigma * rng.standard_normal((2, SIZE, SIZE))
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8), u


def error_table(seeds: int) -> None:
    pictures = faces()
    cases = [
        (
            sigma,
            peak,
            [
                moving(face, peak, sigma, seed)
                for face in pictures.values()
                for seed in range(seeds)
            ],
        )
        for sigma in SIGMAS
        for peak in MOTIONS
    ]
    cells: dict[tuple[str, float], list[str]] = {}
    for name, method in METHODS.items():
        for sigma, peak, pairs in progress(cases, name, len(cases)):
            errors, gains = [], []
            for frames, u in pairs:
                found = method(frames)[0]
                inner = (slice(None), slice(8, -8), slice(8, -8))
                found, true = found[inner], u[inner]
                large = np.hypot(*true) > 0.4 * peak
                errors.append(np.hypot(*(found - true)).mean())
                gains.append((found * true).sum(0)[large].sum() / (true**2).sum(0)[large].sum())
            cell = f"{np.mean(errors):.3f} ({np.mean(gains):.2f})"
            cells.setdefault((name, sigma), []).append(cell)
    print(f"\nfaces: {', '.join(pictures)}; {seeds} motions each; error, px (gain)\n")
    print(f"| method | sigma | {' | '.join(f'{peak} px' for peak in MOTIONS)} |")
    print("|---|---|" + "---|" * len(MOTIONS))
    for sigma in SIGMAS:
        for name in METHODS:
            print(f"| {name} | {sigma} | {' | '.join(cells[name, sigma])} |")


def micro_table(subjects: int) -> None:
    """MDMO's error in the demo's micro-expressions, by method and ROI."""
    settings = config.load(yaml.safe_load((ROOT / "config.yaml").read_text()))
    name = "demo_color"
    regions = settings.stage("roi", name).sets["auw_gcn"]
    errors: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    for subject in range(subjects):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            made = settings.stage("demo", name)
            make_video("cas_me_sq", subject, 0, made, folder / "f", folder / "truth.npz")
            decode(folder / "f", folder / "d.mkv", settings.stage("decode", name))
            crop, aligned = folder / "a.mkv", folder / "a.h5"
            align(folder / "d.mkv", crop, aligned, settings.stage("align", name))
            landmarks(crop, aligned, folder / "l.h5", settings.stage("landmarks", name))
            true = true_motion(folder / "truth.npz", aligned, regions.values())
            micro = kinds(folder / "truth.npz") == "micro"
            frames = np.stack(list(video.read(crop)))
            for method, solve in METHODS.items():
                with store.create(
                    folder / "flow.h5",
                    stage="flow",
                    settings={},
                    units="px/frame / 256",
                    fps=30,
                    source="",
                ) as file:
                    shape = (len(frames) - 1, 2, *frames.shape[1:])
                    rows = store.frames_dataset(file, "flow", shape, np.int16)
                    parts = (solve(frames[k : k + 17]) for k in range(0, len(frames) - 1, 16))
                    store.write_flow(rows, (row for part in parts for row in part))
                roi(
                    folder / "flow.h5",
                    folder / "l.h5",
                    folder / "r.h5",
                    settings.stage("roi", name),
                )
                mdmo(folder / "r.h5", aligned, folder / "m.h5", settings.stage("mdmo", name))
                with store.read(folder / "m.h5") as file:
                    error = np.linalg.norm(file["mdmo"][:] - true, axis=2)
                errors[method].append(error[micro])
    print(f"\nMDMO in the demo's micro-expressions, {subjects} subjects, error px/frame\n")
    print(f"| method | {' | '.join(regions)} | mean |")
    print("|---|" + "---|" * (len(regions) + 1))
    for method, parts in errors.items():
        mean = np.concatenate(parts).mean(0)
        print(f"| {method} | {' | '.join(f'{x:.3f}' for x in [*mean, mean.mean()])} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2, help="motions of each face; 0: no table")
    parser.add_argument("--subjects", type=int, default=2, help="of the demo; 0: no table")
    given = parser.parse_args()
    if given.seeds:
        error_table(given.seeds)
    if given.subjects:
        micro_table(given.subjects)


if __name__ == "__main__":
    main()
