"""SGA: whether a motion belongs to its speech, as a network tells that was trained on speech and gesture alone.

Definition. The kit's two towers give every frame of a motion (arms, hips and hands; no face, so no lips) and of a
sound a direction; a window of 4 s scores the mean over its frames of their inner products. For every window

    sga_auc      the part of `MISMATCHES` other sounds that score lower than its own (ties half): 0.5 is chance
    sga_r1       whether its own sound scores highest among `CANDIDATES`: 1/32 is chance
    sga_offset   whether, among offsets of -1 to 1 s of its own sound, the best lies within 5 frames of 0; where the
                 clip ends before, the mean is over the frames that have both: 11/51 is chance

and the metric is the mean over windows of a clip, and over clips. Other sounds are windows of other clips of the same
speaker where they have `LEAST_OTHERS` or more of them, else of anybody; `sga_same_speaker` says of how many windows
the former is true. The system's own sounds count, so a system that is given other audio is judged by that audio.

Source: InfoNCE (van den Oord et al., 2018) and the mismatch study of the GENEA challenges, done by a network; offsets
as SyncNet (Chung and Zisserman, 2016) takes them. Higher is better. Blind to: how natural the motion looks. It can
be trained against, so a leaderboard should hold back a kit of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Seen
from csg405.benchmark.metric import Card, Key, Row, Rows, Values
from csg405.schema import FloatArray

WINDOW = 100
"""Frames: 4 s."""

STRIDE = 50
MISMATCHES = 31
CANDIDATES = 32
LEAST_OTHERS = 2
"""Other clips of a speaker, from which mismatched sounds come."""

NEAR = 5
"""Frames: offsets that count as none, 0.2 s."""

_FARTHEST = 25
_SEED = 405_132

_NEEDS = ("two_tower",)

CARDS = (
    Card(name="sga_auc", title="SGA: own sound against others'", unit="AUC", direction="higher", ranks=True,
         answers=("other_audio", "time_shift", "freezing"), ignores=("lips",), needs=_NEEDS),
    Card(name="sga_r1", title="SGA: own sound first among 32", unit="part", direction="higher",
         answers=("other_audio", "time_shift"), ignores=("lips",), needs=_NEEDS),
    Card(name="sga_offset", title="SGA: best offset within 0.2 s", unit="part", direction="higher",
         answers=("other_audio",), ignores=("lips",), needs=_NEEDS),
    Card(name="sga_same_speaker", title="windows whose mismatches are the same speaker's", unit="part",
         direction="none", needs=_NEEDS),
)  # fmt: skip


def measure(seen: Seen) -> Row:
    """Of one clip: `motion` and `sound` [n, 32] directions in 16 bits, `speaker` [1]; nothing without two towers."""
    if seen.kit is None or not seen.kit.has_towers:
        return {}
    motion, sound = seen.kit.directions(seen)
    number = int.from_bytes(hashlib.sha256(seen.clip.speaker.encode()).digest()[:7], "big")
    return {
        "motion": motion.astype(np.float16), "sound": sound.astype(np.float16), "speaker": np.array([number]),
    }  # fmt: skip


def values_by_clip(rows: Rows, truth: Rows) -> dict[str, Values]:
    """Values of every clip, its windows against those of other clips; a clip without windows has none."""
    del truth
    seeds = sorted({key.seed for key in rows})
    held: dict[str, list[npt.NDArray[np.float64]]] = {}
    for seed in seeds:
        of_seed = {key: rows[key] for key in sorted(rows) if key.seed == seed and rows[key]}
        for clip_id, found in _of_seed(of_seed):
            held.setdefault(clip_id, []).append(found)
    names = [card.name for card in CARDS]
    return {clip_id: dict(zip(names, np.mean(found, axis=0).tolist(), strict=True)) for clip_id, found in held.items()}


def _of_seed(rows: Rows) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """The four values of every clip that has windows."""
    sounds = {key: _windows(row["sound"]) for key, row in rows.items()}
    pools: dict[int, list[Key]] = {}
    for key, row in rows.items():
        if len(sounds[key]):
            pools.setdefault(int(row["speaker"][0]), []).append(key)
    everybody = [key for pool in pools.values() for key in pool]
    for key, row in rows.items():
        motions = _windows(row["motion"])
        mine = [other for other in pools.get(int(row["speaker"][0]), []) if other != key]
        same = len(mine) >= LEAST_OTHERS
        others = mine if same else [other for other in everybody if other != key]
        if not len(motions) or not others:
            continue
        pool = [window for other in others for window in sounds[other]]
        rng = np.random.default_rng([_SEED, *hashlib.sha256(key.clip_id.encode()).digest()[:8]])
        found = []
        for number, motion in enumerate(motions):
            drawn = rng.choice(len(pool), size=MISMATCHES, replace=len(pool) < MISMATCHES)
            own = _score(motion, sounds[key][number])
            against = np.array([_score(motion, pool[place]) for place in drawn])
            lower = float(np.mean((against < own) + 0.5 * (against == own)))
            first = float(own > against[: CANDIDATES - 1].max())
            found.append([lower, first, _near(row, number * STRIDE), float(same)])
        yield key.clip_id, np.mean(found, axis=0)


def _near(row: Row, start: int) -> float:
    """Whether the best offset of a window's own sound is near 0; 0 where several are best."""
    motion = np.asarray(row["motion"][start : start + WINDOW], np.float32)
    sound = np.asarray(row["sound"], np.float32)
    offsets = range(-_FARTHEST, _FARTHEST + 1)
    scores = []
    for shift in offsets:
        first, last = max(0, start + shift), min(len(sound), start + shift + WINDOW)
        there = motion[first - start - shift : last - start - shift]
        scores.append(float((there * sound[first:last]).sum() / (last - first)))
    best = np.flatnonzero(np.array(scores) == max(scores))
    return float(len(best) == 1 and abs(offsets[int(best[0])]) <= NEAR)


def _score(motion: FloatArray, sound: FloatArray) -> float:
    """Summed in the same order for every sound, so that equal ones tie."""
    return float((motion * sound).sum() / WINDOW)


def _windows(directions: npt.NDArray[np.float16]) -> FloatArray:
    """Windows [w, 100, 32]."""
    starts = range(0, len(directions) - WINDOW + 1, STRIDE)
    if not starts:
        return np.zeros((0, WINDOW, directions.shape[1]), np.float32)
    return np.stack([directions[start : start + WINDOW] for start in starts]).astype(np.float32)
