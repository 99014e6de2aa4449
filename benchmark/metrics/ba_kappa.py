"""BA-kappa: how much better than chance the hands' beats fall on the syllables of the speech.

Definition. A *beat* is a sudden stop of a wrist: a peak of the deceleration -d|v|/dt after a low-pass of `SMOOTH_HZ`
(zero phase), |v| being the wrist's speed in shoulder widths. It must be above a threshold: the kit's, which gives the
training split `BEATS_PER_S`, or `HIT`. A *syllable* is a rise of the loudness in the
band of the vowels (see `csg405.benchmark.syllables`). For beats b of a clip and its syllables a,

    S = mean over b of exp(-min over a of (a - b)^2 / (2 sigma^2)),  sigma = 0.1 s

and S_chance is the mean of S over `SHIFTS` circular shifts of the syllables within their span, which reaches half a
mean gap beyond the first and the last; beats outside that span do not count. Over all clips and beats together

    kappa = sum (S - S_chance) / (max(beats, beats of the truth) * (1 - mean S_chance))

so that a beat which the truth has and the system has not counts as chance: few lucky beats win nothing. 1 is beats
that all fall on syllables, 0 is chance. Higher is better; more than the truth has is no better than the truth.

Source: chance-corrected agreement as Cohen's kappa (1960), over the beat consistency of Li et al., "AI Choreographer"
(ICCV 2021), in the direction motion to audio. What is ours: stops in place of the minima of speed, since a stroke ends
on the stressed vowel with a stop, while minima of speed also lie where a stroke begins; the shifts within the speech,
since hands also rest when the voice does, which is no synchrony of beats. `docs/metrics.md` has the measurements.

Blind to: which gesture it is, its shape and size, and hands that are not seen. `beats` is the rate of the beats over
that of the truth, and `beat_lag` where the agreement is highest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.clip import Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled, common_seeds, one_pool
from csg405.benchmark.metrics._motion import pooled_sums, quotient
from csg405.benchmark.syllables import syllables_s

Times = npt.NDArray[np.float64]

HIT = 10.0
"""Least deceleration of a beat where there is no kit, shoulder widths/s^2: about 4 m/s^2."""

LEAST_HIT = 4.0
"""A kit's is never lower: below it lies what estimators add to hands at rest."""

BEATS_PER_S = 1.0
"""A kit's is so high that the truth it was trained on has so many beats a second."""

SMOOTH_HZ = 6.0
"""Low-pass of the wrists: below it lies what arms do, above it what estimators add."""

SIGMA_S = 0.1

SHIFTS = 17
"""Circular shifts that chance is the mean of."""

LEAST_SHIFT_S = 0.5
"""Shifts come from here to the span less this."""

LAGS_S = np.arange(-12, 13) * 0.04
"""Of the lag curve."""

_EDGE = 9
"""Frames by which paths are continued at both ends before they are filtered, as SciPy does."""

_APART = 4
"""Frames between two beats of a hand, at least."""

_LEAST_FRAMES = 12
"""Shorter clips have no beats: the filter would be longer than they are."""

_LEAST_SPAN_S = 2 * LEAST_SHIFT_S + 0.5

CARDS = (
    Card(
        name="ba_kappa",
        title="BA-kappa: beats on syllables above chance",
        unit="kappa",
        direction="higher",
        ranks=True,
        answers=("time_shift", "freezing", "other_audio", "damping"),
        ignores=("lips",),
    ),
    Card(name="beats", title="beats over the truth's", unit="ratio", direction="one", answers=("freezing", "damping"),
         ignores=("other_audio", "lips")),
    Card(name="beat_lag", title="lag at which beats and syllables agree most", unit="s", direction="none"),
)  # fmt: skip


def measure(seen: Seen) -> Row:
    """Of one clip: `agreed` [1] and `chance` [1], sums over its beats; `beats` [1]; `curve` [lags], sums of S."""
    beats, syllables = beats_s(seen), syllables_s(seen.clip.sound)
    nothing = {"agreed": np.zeros(1), "chance": np.zeros(1), "beats": np.zeros(1), "curve": np.zeros(len(LAGS_S))}
    if not len(syllables) or syllables[-1] - syllables[0] < _LEAST_SPAN_S:
        return nothing
    gap_s = (syllables[-1] - syllables[0]) / (len(syllables) - 1)
    start_s, span_s = syllables[0] - gap_s / 2, gap_s * len(syllables)
    beats = beats[(beats >= start_s) & (beats < start_s + span_s)]
    if not len(beats):
        return nothing
    shifts = np.linspace(LEAST_SHIFT_S, span_s - LEAST_SHIFT_S, SHIFTS)
    shifted = start_s + (syllables - start_s + shifts[:, None]) % span_s
    return {
        "agreed": _agreement(beats, syllables).sum(keepdims=True),
        "chance": _agreement(beats, shifted).sum(axis=1).mean(keepdims=True),
        "beats": np.array([float(len(beats))]),
        "curve": _agreement(beats - LAGS_S[:, None], syllables).sum(axis=1),
    }


def compute(rows: Rows, truth: Rows) -> Values:
    """See the head of this file; `ba_kappa` is 0 for no beats, all are None where the truth has none."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """The values for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`."""
    del only
    from_sums = functools.partial(_from_sums, seeds=len(common_seeds(systems)))
    return pooled_sums(from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row, *, seeds: int) -> dict[str, Times]:
    agreed, chance, beats = (system[name][:, 0] for name in ("agreed", "chance", "beats"))
    wanted = seeds * true["beats"][:, 0]
    above_chance = 1 - quotient(chance, beats)
    weight = np.where((beats > 0) & (above_chance > 0), np.maximum(beats, wanted) * above_chance, np.inf)
    found = {
        "ba_kappa": np.where(np.isinf(weight), 0.0, (agreed - chance) / weight),
        "beats": quotient(beats, wanted),
        "beat_lag": np.where(beats > 0, LAGS_S[np.argmax(system["curve"], axis=1)], np.nan),
    }
    return {name: np.where(wanted > 0, values, np.nan) for name, values in found.items()}


def curve(rows: Rows) -> dict[str, list[float]]:
    """How well beats and syllables agree when the motion comes earlier or later, -0.48 to 0.48 s: S by lag.

    Returns:
        `x` in s, and `y`, empty without beats.
    """
    beats = sum(float(row["beats"][0]) for row in rows.values())
    total = np.sum([row["curve"] for row in rows.values()], axis=0) if beats else np.zeros(0)
    return {"x": LAGS_S.tolist(), "y": (total / max(beats, 1.0)).tolist()}


def beats_s(seen: Seen) -> Times:
    """Times of the beats of both hands, sorted, s."""
    found, hit = [], HIT if seen.kit is None else seen.kit.hit
    for slowing, shown in stops(seen):
        peaks = signal.find_peaks(slowing, height=hit, distance=_APART)[0]
        found.append(peaks[shown[peaks]] / seen.fps)
    return np.sort(np.concatenate(found)) if found else np.zeros(0)


def threshold(truth: Iterable[Seen]) -> float:
    """The deceleration above which motions have `BEATS_PER_S`, shoulder widths/s^2."""
    heights, seconds = [np.zeros(0)], 0.0
    for seen in truth:
        seconds += len(seen) / seen.fps
        for slowing, shown in stops(seen):
            peaks, facts = signal.find_peaks(slowing, height=LEAST_HIT, distance=_APART)
            heights.append(facts["peak_heights"][shown[peaks]])
    found = np.sort(np.concatenate(heights))[::-1]
    wanted = int(BEATS_PER_S * seconds)
    return float(found[wanted]) if wanted < len(found) else LEAST_HIT


def stops(seen: Seen) -> Iterator[tuple[Times, npt.NDArray[np.bool_]]]:
    """Of each wrist that is seen, how fast it slows down, shoulder widths/s^2, and in which frames it is shown."""
    wrists = [wrist for wrist in (kp.LEFT_WRIST, kp.RIGHT_WRIST) if seen.shown[:, wrist].sum() >= _LEAST_FRAMES]
    if not wrists:
        return
    paths = np.stack([_filled(seen.points[:, wrist].T.astype(np.float64), seen.shown[:, wrist]) for wrist in wrists])
    velocity = np.gradient(_smoothed(paths, seen.fps), axis=-1) * seen.fps
    slowing = -np.gradient(np.hypot(velocity[:, 0], velocity[:, 1]), axis=-1) * seen.fps
    for number, wrist in enumerate(wrists):
        yield slowing[number], seen.shown[:, wrist]


def _smoothed(paths: Times, fps: int) -> Times:
    """Paths [hands, 2, n] through the low-pass, forth and back: `scipy.signal.sosfiltfilt` without its preparations."""
    low_pass, at_rest = _low_pass(fps)
    before = 2 * paths[..., :1] - paths[..., _EDGE:0:-1]
    after = 2 * paths[..., -1:] - paths[..., -2 : -_EDGE - 2 : -1]
    found = np.concatenate([before, paths, after], axis=-1)
    for _ in range(2):
        found = signal.sosfilt(low_pass, found, zi=at_rest * found[..., :1])[0][..., ::-1]
    return np.asarray(found[..., _EDGE:-_EDGE])


@functools.cache
def _low_pass(fps: int) -> tuple[Times, Times]:
    """The filter, and its state on a path that stands at 1."""
    low_pass = signal.butter(2, SMOOTH_HZ / (fps / 2), output="sos")
    return low_pass, signal.sosfilt_zi(low_pass)[:, None, None]


def _filled(path: Times, shown: npt.NDArray[np.bool_]) -> Times:
    """A path [2, n] with what is not shown drawn straight between its neighbours."""
    frames = np.arange(len(shown))
    return path if shown.all() else np.stack([np.interp(frames, frames[shown], of_axis[shown]) for of_axis in path])


def _agreement(beats: Times, syllables: Times) -> Times:
    """How near each of the beats [..., b] is to one of the syllables [..., s]: 1 on it, 0 far from all."""
    apart = np.abs(beats[..., :, None] - syllables[..., None, :]).min(axis=-1)
    return np.asarray(np.exp(-(apart**2) / (2 * SIGMA_S**2)))
