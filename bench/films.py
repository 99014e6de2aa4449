"""What renderers make of a skeleton: does the person do what it says, are they still themselves, and how fast is it?

Talkers of the synthetic world whom nothing here has learnt from. Each one's first picture and true motion are given to
`warp`; beside it stand the picture, held, and the true film. The core's estimator looks at the frames, as in the metric
`csg405.benchmark.metrics_video.pose_fidelity`. Identity is told without a face network: a face is laid on the places
of `csg405.benchmark.metrics_video.identity` and compared, pixel by pixel, with the mean face of every talker in another
take.
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
from csg405.benchmark.metrics_video import pose_fidelity
from csg405.benchmark.metrics_video.identity import face
from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.renderers import Renderer, renderer
from csg405.benchmark.statistics import Interval, mean_interval
from csg405.benchmark.video import EVERY
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.benchmark.video_pose import estimate
from csg405.schema import FloatArray
from csg405.synth import film

TALKERS = tuple(range(90_101, 90_115))
FRAMES = 100
SIDE_PX = 512
ANOTHER_TAKE = 1_000
"""Added to a take's number: the same talker in another room, light and framing."""

Shown = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Footage:
    """A true film."""

    frames: Pictures
    points_px: FloatArray
    """[n, 133, 2]"""
    shown: Shown
    """[n, 133]"""

    def faces(self, frames: Pictures | None = None) -> FloatArray:
        """Faces of one frame in five, of its own or of others' that go the same way, [n, side, side, 3]."""
        given = self.frames if frames is None else frames
        chosen = range(0, len(given), EVERY)
        return np.stack([face(given[number], self.points_px[number]) for number in chosen]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was measured of a film."""

    pck: float
    akd: float
    hands_pck: float
    faces: FloatArray
    psnr: float
    """To the true film, dB."""


def main() -> None:
    """Measure, and write work/bench/films.json."""
    puppet, picture = renderer("warp"), renderer("copy-reference")
    films: dict[str, dict[int, Seen]] = {"warp": {}, "held": {}, "true": {}}
    gallery, rates = [], []
    for who in TALKERS:
        true = _footage(who, who)
        gallery.append(_footage(who, who + ANOTHER_TAKE).faces().mean(axis=0))
        began = time.process_time()
        made = _rendered(puppet, true)
        rates.append(FRAMES / (time.process_time() - began))
        for name, frames in (("warp", made), ("held", _rendered(picture, true)), ("true", true.frames)):
            films[name][who] = _seen(frames, true)
    identified = {name: _identified(seen, np.stack(gallery)) for name, seen in films.items()}
    for name, seen in films.items():
        values = ", ".join(f"{value} {_mean(seen, value):.3f}" for value in ("pck", "akd", "hands_pck", "psnr"))
        print(f"{name}: {values}, identified {identified[name]:.3f}")
    pck, akd = (_difference(films, value) for value in ("pck", "akd"))
    what = f"{len(TALKERS)} unseen talkers, {FRAMES} frames of {SIDE_PX} px"
    others = ", ".join(f"{name} {identified[name]:.2f}" for name in ("true", "held"))
    told = [
        Figure(name="warp_pck_gain", runs=[pck.value], unit="part", better="higher", bar=None,
               against=f"PCK over copy-reference, {what}"),
        Figure(name="warp_pck_gain_low", runs=[pck.low], unit="part", better="higher", bar=0,
               against="lower end of its 95 % interval, clustered by talker"),
        Figure(name="warp_akd_gain_high", runs=[akd.high], unit="shoulder widths", better="lower", bar=0,
               against="upper end of the interval of AKD over copy-reference"),
        Figure(name="warp_identified", runs=[identified["warp"]], unit="part", better="higher",
               bar=0.95 * identified["true"],
               against=f"faces nearest to their own talker's in another take, of {len(TALKERS)}; chance "
                       f"{1 / len(TALKERS):.2f}, {others}"),
        Figure(name="warp_psnr", runs=[_mean(films["warp"], "psnr")], unit="dB", better="higher", bar=None,
               against=f"to the true film; copy-reference {_mean(films['held'], 'psnr'):.1f}"),
        Figure(name="warp_frames_per_s", runs=rates, unit="frames/s of CPU", better="higher", bar=None,
               against=f"{what}, preparation included"),
    ]  # fmt: skip
    print(f"PCK over copy-reference {pck.value:+.3f} [{pck.low:+.3f}, {pck.high:+.3f}]")
    print(write("films", told, Path.cwd() / "work"))


def _footage(who: int, number: int) -> Footage:
    """A take of a talker: seated the same, filmed and lit as its number has it."""
    take = film.take(number, who=who, words=20, width=SIDE_PX, height=SIDE_PX)
    drawn = list(itertools.islice(take.draw(), FRAMES))
    points = take.keypoints()[: len(drawn)].astype(np.float32)
    return Footage(np.stack([frame for frame, _ in drawn]), points, np.stack([seen for _, seen in drawn]))


def _rendered(by: Renderer, true: Footage) -> Pictures:
    """A film of the true film's first picture and skeleton."""
    frames = by.render(
        true.frames[0], reference_px=true.points_px[0], reference_score=true.shown[0].astype(np.float32),
        keypoints_px=true.points_px,
    )  # fmt: skip
    return np.stack(list(frames))


def _seen(frames: Pictures, true: Footage) -> Seen:
    """But for the first frame, which is given."""
    points, shown = true.points_px[1:], true.shown[1:]
    found = estimate(frames[1:], _networks().pose, expected_px=points, expected=shown)
    shoulders = true.points_px[:, kp.LEFT_SHOULDER] - true.points_px[:, kp.RIGHT_SHOULDER]
    unit = float(np.median(np.linalg.norm(shoulders, axis=-1)))
    hands = shown.copy()
    hands[:, : kp.LEFT_HAND.start] = False
    counts, right, both, apart = pose_fidelity.point_sums(found, points, shown, unit_px=unit)
    of_hands = pose_fidelity.point_sums(found, points, hands, unit_px=unit)
    wrong = np.mean((frames[1:].astype(np.float32) - true.frames[1:]) ** 2)
    return Seen(
        pck=right / counts, akd=apart / both, hands_pck=of_hands[1] / of_hands[0], faces=true.faces(frames)[1:],
        psnr=float(10 * np.log10(255**2 / wrong)) if wrong else float("inf"),
    )  # fmt: skip


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


def _identified(seen: dict[int, Seen], gallery: FloatArray) -> float:
    """Part of the faces that are nearest to their own talker's mean face in another take."""
    right = [
        number == np.argmin([np.mean((own - other) ** 2) for other in gallery])
        for number, one in enumerate(seen.values())
        for own in one.faces
    ]
    return float(np.mean(right))


if __name__ == "__main__":
    main()
