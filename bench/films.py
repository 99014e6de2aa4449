"""What renderers make of a skeleton: does the person do what it says, are they still themselves, and how fast is it?

Talkers of the synthetic world whom nothing here has learnt from. Each one's first picture and true motion are given to
`warp`; beside it stand the picture, held, and the true film. The core's estimator looks at the frames, as in the metric
`csg405.benchmark.metrics_video.pose_fidelity`. Identity is told without a face network: a face is laid on the places
of `csg405.benchmark.metrics_video.identity` and compared, pixel by pixel, with every talker's own mean face.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.common import Figure, write
from csg405 import keypoints as kp
from csg405.benchmark.metrics_video.identity import face
from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.renderers import Renderer, renderer
from csg405.benchmark.statistics import Interval, mean_interval
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.benchmark.video_pose import estimate
from csg405.schema import FloatArray
from csg405.synth import film

TALKERS = tuple(range(90_101, 90_115))
FRAMES = 100
SIDE_PX = 512
WITHIN = 0.1
"""Shoulder widths within which a point is right."""
EVERY = 5
"""Frames of which one face is taken."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was measured of a film."""

    pck: float
    akd: float
    faces: FloatArray
    """[n, side, side, 3]"""
    psnr: float
    """Of the face, to the true film's, dB."""


def main() -> None:
    """Measure, and write work/bench/films.json."""
    puppet, held = renderer("warp"), renderer("copy-reference")
    films: dict[str, dict[int, Seen]] = {"warp": {}, "held": {}, "true": {}}
    rates = []
    for who in TALKERS:
        true, points, shown = _footage(who)
        began = time.process_time()
        made = _rendered(puppet, true, points, shown)
        rates.append(FRAMES / (time.process_time() - began))
        for name, frames in (("warp", made), ("held", _rendered(held, true, points, shown)), ("true", true)):
            films[name][who] = _seen(frames, true, points, shown)
    gain = _difference(films, "pck")
    print(f"PCK over the picture, held: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]")
    print(f"identified: {', '.join(f'{name} {_identified(films, name):.3f}' for name in films)}")
    for name, seen in films.items():
        print(f"{name}: " + ", ".join(f"{value} {_mean(seen, value):.3f}" for value in ("pck", "akd", "psnr")))
    what = f"{len(TALKERS)} unseen talkers, {FRAMES} frames of {SIDE_PX} px"
    akd = _difference(films, "akd")
    told = [
        Figure(name="warp_pck_gain", runs=[gain.value], unit="part", better="higher", bar=None,
               against=f"PCK over copy-reference, {what}"),
        Figure(name="warp_pck_gain_low", runs=[gain.low], unit="part", better="higher", bar=0,
               against="lower end of its 95 % interval, clustered by talker"),
        Figure(name="warp_akd_gain_high", runs=[akd.high], unit="shoulder widths", better="lower", bar=0,
               against="upper end of the interval of AKD over copy-reference"),
        Figure(name="warp_identified", runs=[_identified(films, "warp")], unit="part", better="higher", bar=0.95,
               against=f"faces nearest to their own talker's of {len(TALKERS)}; chance {1 / len(TALKERS):.2f}, "
                       f"true film {_identified(films, 'true'):.2f}"),
        Figure(name="warp_face_psnr", runs=[_mean(films["warp"], "psnr")], unit="dB", better="higher", bar=None,
               against="laid face, to the true film's"),
        Figure(name="warp_frames_per_s", runs=rates, unit="frames/s of CPU", better="higher", bar=None,
               against=f"{what}, preparation included"),
    ]  # fmt: skip
    print(write("films", told, Path.cwd() / "work"))


def _footage(who: int) -> tuple[Pictures, FloatArray, npt.NDArray[np.bool_]]:
    """The true film, its keypoints, and which of them are seen."""
    take = film.take(who, words=20, width=SIDE_PX, height=SIDE_PX)
    drawn = list(itertools.islice(take.draw(), FRAMES))
    frames = np.stack([np.asarray(frame) for frame, _ in drawn])
    return frames, take.keypoints()[: len(frames)].astype(np.float32), np.stack([seen for _, seen in drawn])


def _rendered(by: Renderer, true: Pictures, points: FloatArray, shown: npt.NDArray[np.bool_]) -> Pictures:
    frames = by.render(
        true[0], reference_px=points[0], reference_score=shown[0].astype(np.float32), keypoints_px=points
    )
    return np.stack(list(frames))


def _seen(frames: Pictures, true: Pictures, points: FloatArray, shown: npt.NDArray[np.bool_]) -> Seen:
    found = estimate(frames, _networks().pose, expected_px=points, expected=shown)
    upper = kp.UPPER_BODY
    unit = np.linalg.norm(points[0, kp.LEFT_SHOULDER] - points[0, kp.RIGHT_SHOULDER])
    apart = np.linalg.norm(found.points_px[:, upper] - points[:, upper], axis=-1) / unit
    counts = shown[:, upper]
    both = counts & found.shown[:, upper]
    own, theirs = (np.stack([face(one[n], points[n]) for n in range(0, len(one), EVERY)]) for one in (frames, true))
    return Seen(
        pck=float((both & (apart <= WITHIN)).sum() / counts.sum()),
        akd=float(apart[both].mean()),
        faces=own.astype(np.float32),
        psnr=float(10 * np.log10(255**2 / np.mean((own[1:].astype(float) - theirs[1:]) ** 2))),
    )


@functools.cache
def _networks() -> Networks:
    return Networks(VideoSettings(pose="synthetic"))


def _mean(seen: dict[int, Seen], value: str) -> float:
    return statistics.fmean(getattr(one, value) for one in seen.values())


def _difference(films: dict[str, dict[int, Seen]], value: str) -> Interval:
    """Of `warp` to the picture, held, with its interval over talkers."""
    differences = {str(who): getattr(films["warp"][who], value) - getattr(films["held"][who], value) for who in TALKERS}
    found = mean_interval(differences, cluster_of={name: name for name in differences})
    if found is None:
        raise ValueError("no interval: too few talkers, or none differs")
    return found


def _identified(films: dict[str, dict[int, Seen]], name: str) -> float:
    """Part of the faces, but for the first picture's, that are nearest to their own talker's mean face."""
    gallery = np.stack([films["true"][who].faces.mean(axis=0) for who in TALKERS])
    right = [
        number == np.argmin([np.mean((own - other) ** 2) for other in gallery])
        for number, who in enumerate(TALKERS)
        for own in films[name][who].faces[1:]
    ]
    return float(np.mean(right))


if __name__ == "__main__":
    main()
