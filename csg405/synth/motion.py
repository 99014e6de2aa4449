"""What a talker does while speaking: lips by sounds and loudness, blinks, nods, and hands that beat on stressed words.

A gesture has the phases that students of gesture describe (Kendon; McNeill): the hand is prepared, strokes, holds,
and goes back to rest in a pause. The stroke ends on a stressed vowel, so speed is highest just before it. Every move
from one place to the next is one of least jerk, the bell-shaped speed of human reaching (Flash and Hogan, 1985).
How large, how often, with which hand and in which shapes is the talker's own style.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.schema import FloatArray
from csg405.synth.body import FINGERS, LEFT, RIGHT, SIDES, Array, Motion
from csg405.synth.speech import Sound, Speech, Word

_SETTLED_S = 0.03
"""The stroke comes to its end this long after the stressed vowel's onset, s."""

_STROKE_S = 0.18
"""Duration of a stroke, s; 0.1 to 0.3 is usual."""

_PREPARATION_S = 0.42
_RETRACTION_S = 0.75
_HOLD_S = 0.25
"""A hand holds so long after a stroke before it goes back to rest, s."""

_PHRASE_S = 1.6
"""Strokes that are farther apart belong to different phrases of gesture, s."""

_OPENING = {
    "a": 1.0, "A:": 1.0, "aI": 1.0, "aU": 0.95, "A": 0.95, "V": 0.8, "0": 0.8, "O:": 0.75, "O": 0.75, "E": 0.7,
    "e": 0.7, "eI": 0.65, "3:": 0.55, "3": 0.5, "@": 0.45, "oU": 0.55, "OI": 0.7, "I": 0.4, "i:": 0.35, "i": 0.35,
    "I2": 0.35, "U": 0.35, "u:": 0.3, "p": 0.0, "b": 0.0, "m": 0.0, "f": 0.08, "v": 0.08, "w": 0.15, "h": 0.4,
}  # fmt: skip
"""Lip opening by speech sound, as a part of the talker's widest; other consonants a quarter, silence none."""

_WIDTH = {
    "i:": 1.0, "i": 0.9, "I": 0.7, "eI": 0.7, "E": 0.5, "e": 0.5, "a": 0.3, "s": 0.5, "z": 0.5, "t": 0.3, "d": 0.3,
    "u:": -1.0, "U": -0.8, "w": -1.0, "oU": -0.8, "O:": -0.6, "O": -0.5, "OI": -0.3, "S": -0.5, "tS": -0.5, "r": -0.4,
}  # fmt: skip
"""Spread (positive) and rounded (negative) lips by speech sound."""

SHAPES = {
    "relaxed": (0.30, 0.28, 0.33, 0.36, 0.38),
    "open": (0.0, 0.02, 0.0, 0.02, 0.05),
    "point": (0.55, 0.0, 0.85, 0.9, 0.9),
    "pinch": (0.45, 0.45, 0.35, 0.30, 0.25),
    "cup": (0.25, 0.42, 0.45, 0.45, 0.45),
    "fist": (0.75, 0.9, 0.95, 0.95, 0.95),
    "two": (0.6, 0.0, 0.02, 0.9, 0.92),
}
"""Shapes of the hand: curl of thumb, forefinger, middle, ring and little finger."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """A talker's own way of gesturing."""

    amplitude: float = 1.0
    """Size of the gestures; 1 is a stroke of about 14 cm."""
    rate: float = 0.6
    """Part of the stressed words that a stroke lands on."""
    right: float = 0.7
    """Chance that a gesture of one hand is the right one's."""
    together: float = 0.5
    """Chance that both hands gesture together."""
    shapes: tuple[str, ...] = ("open", "pinch", "relaxed")
    """Favourite shapes."""
    palms: float = 0.2
    """Favourite turn of the palms."""
    reach_m: float = 0.28
    """How far in front of the hips the hands gesture."""
    height_m: float = 0.27
    """How high above the hips."""
    sway: float = 1.0
    """Size of the body's slow movements."""
    mouth_m: float = 0.020
    """Widest opening of the lips."""
    blinks_hz: float = 0.3


@dataclasses.dataclass(frozen=True)
class Key:
    """Where a hand is to be at a time; it gets there by a move of least jerk."""

    time_s: float
    place: tuple[float, float, float]
    """From the hips, m."""
    shape: str
    palm: float
    begin_s: float
    """When the move toward it begins; before, the hand holds."""


def perform(
    speech: Speech, style: Style, times_s: Array, rng: np.random.Generator, *, rest: Sequence[Array] | None = None
) -> Motion:
    """The motion of a talker who says this.

    Args:
        speech: what is said, starting at time 0.
        style: how the talker gestures.
        times_s: [n] when the motion is wanted.
        rng: drawn from in a fixed order, whatever the times.
        rest: places of the left and right hand at rest, from the hips, m.

    Returns:
        The motion at those times.
    """
    rest = rest or [np.array([sign * 0.11, 0.06, 0.24]) for sign in SIDES]
    seeds = rng.integers(0, 2**32, 6)
    strokes = choose_strokes(speech.words, style, np.random.default_rng(seeds[0]))
    keys = hand_keys(strokes, style, rest, np.random.default_rng(seeds[1]))
    count = len(times_s)
    wrists, fingers, palms = np.zeros((count, 2, 3)), np.zeros((count, 2, FINGERS)), np.zeros((count, 2))
    for side in (LEFT, RIGHT):
        wrists[:, side], fingers[:, side], palms[:, side] = follow(keys[side], times_s)
    drift = np.random.default_rng(seeds[2])
    wrists += 0.006 * style.sway * np.stack([wander(times_s, drift, 1.1) for _ in range(6)], 1).reshape(-1, 2, 3)
    torso = np.stack([wander(times_s, drift, 0.15) for _ in range(3)], 1) * np.array([0.05, 0.03, 0.03]) * style.sway
    root = np.stack([wander(times_s, drift, 0.12) for _ in range(3)], 1) * 0.008 * style.sway
    head = np.stack([wander(times_s, drift, 0.3) for _ in range(3)], 1) * np.array([0.12, 0.05, 0.05])
    head[:, 1] += nods(speech.words, times_s, np.random.default_rng(seeds[3]))
    opening, width = lips(speech, times_s)
    return Motion(
        root=root,
        torso=torso,
        head=head,
        wrists=wrists,
        fingers=fingers,
        palms=palms,
        spread=0.4 + 0.2 * np.stack([wander(times_s, drift, 0.2) for _ in range(2)], 1),
        mouth_open=style.mouth_m * opening,
        mouth_wide=width,
        brows=np.clip(0.25 + 0.5 * wander(times_s, drift, 0.25), 0, 1),
        blink=blinks(times_s, speech.seconds, style.blinks_hz, np.random.default_rng(seeds[4])),
    )


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A gesture's stroke."""

    time_s: float
    """When it ends."""
    hands: tuple[int, ...]


def choose_strokes(words: Sequence[Word], style: Style, rng: np.random.Generator) -> list[Stroke]:
    """Strokes on some of the stressed words, by one hand or both; never two within half a second."""
    strokes: list[Stroke] = []
    hands = _hands(style, rng)
    for word in words:
        wanted, fresh = rng.random() < style.rate, rng.random() < 0.25
        changed = _hands(style, rng)
        if word.stress_s is None or not wanted:
            continue
        time_s = word.stress_s + _SETTLED_S
        if strokes and time_s - strokes[-1].time_s < 0.5:
            continue
        if fresh or not strokes or time_s - strokes[-1].time_s > _PHRASE_S:
            hands = changed  # a phrase of gesture keeps to its hands
        strokes.append(Stroke(time_s, hands))
    return strokes


def _hands(style: Style, rng: np.random.Generator) -> tuple[int, ...]:
    together, right = rng.random() < style.together, rng.random() < style.right
    return (LEFT, RIGHT) if together else ((RIGHT,) if right else (LEFT,))


def hand_keys(
    strokes: Sequence[Stroke], style: Style, rest: Sequence[Array], rng: np.random.Generator
) -> tuple[list[Key], list[Key]]:
    """Where each hand is to be and when: prepared above, struck down and outward, held, and back to rest in a pause."""
    keys: tuple[list[Key], list[Key]] = ([], [])
    for side in (LEFT, RIGHT):
        keys[side].append(Key(-10.0, _tuple(rest[side]), "relaxed", 0.1, -11.0))
    for stroke in strokes:
        shape = str(rng.choice(style.shapes))
        palm = style.palms + 0.25 * float(rng.standard_normal())
        shift = rng.standard_normal(3) * np.array([0.05, 0.04, 0.03])
        throw = style.amplitude * (0.14 + 0.03 * rng.standard_normal(3)) * np.array([0.45, -1.0, 0.25])
        start_s = stroke.time_s - _STROKE_S
        for side in stroke.hands:
            outward = np.array([SIDES[side], 1, 1])
            centre = np.array([0.16, style.height_m, style.reach_m]) * outward + shift * outward
            _rest_before(keys[side], start_s - _PREPARATION_S, rest[side])
            begin_s = max(start_s - _PREPARATION_S, keys[side][-1].time_s)
            keys[side].append(Key(start_s, _tuple(centre - 0.6 * throw * outward), shape, palm, begin_s))
            keys[side].append(Key(stroke.time_s, _tuple(centre + 0.4 * throw * outward), shape, palm, start_s))
    for side in (LEFT, RIGHT):
        _rest_before(keys[side], np.inf, rest[side])
    return keys


def _rest_before(keys: list[Key], time_s: float, rest: Array) -> None:
    """Bring a hand that gestured back to rest, if there is time for it."""
    begin_s = keys[-1].time_s + _HOLD_S
    if len(keys) > 1 and begin_s + _RETRACTION_S <= time_s:
        keys.append(Key(begin_s + _RETRACTION_S, _tuple(rest), "relaxed", 0.1, begin_s))


def _tuple(place: Array) -> tuple[float, float, float]:
    return (float(place[0]), float(place[1]), float(place[2]))


def follow(keys: Sequence[Key], times_s: Array) -> tuple[Array, Array, Array]:
    """A hand's place [n, 3], curls [n, 5] and palm [n] on the way from key to key."""
    values = np.array([(*key.place, *SHAPES[key.shape], key.palm) for key in keys])
    result = np.repeat(values[:1], len(times_s), axis=0)
    for earlier, later, key in zip(values[:-1], values[1:], keys[1:], strict=True):
        begin_s = min(key.begin_s, key.time_s - 1e-3)
        part = least_jerk((times_s - begin_s) / (key.time_s - begin_s))
        after = times_s >= begin_s
        result[after] = (earlier + part[:, None] * (later - earlier))[after]
    return result[:, :3], result[:, 3:8], result[:, 8]


def least_jerk(part: Array) -> Array:
    """The way that is done after a part of the time, both 0 to 1."""
    part = np.clip(part, 0, 1)
    return np.asarray(part**3 * (10 - 15 * part + 6 * part**2))


def wander(times_s: Array, rng: np.random.Generator, hz: float) -> Array:
    """A slow wandering about 0 with a deviation of about 1: a few sines around a frequency."""
    frequencies = hz * rng.uniform(0.4, 1.6, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    return np.asarray(np.sin(2 * np.pi * times_s[:, None] * frequencies + phases).sum(axis=1) / np.sqrt(2))


def nods(words: Sequence[Word], times_s: Array, rng: np.random.Generator) -> Array:
    """Small nods on stressed words, radians."""
    result = np.zeros(len(times_s))
    for word in words:
        size = 0.05 * rng.random()
        if word.stress_s is not None:
            result += size * np.exp(-0.5 * ((times_s - word.stress_s - 0.05) / 0.09) ** 2)
    return result


def blinks(times_s: Array, seconds: float, rate_hz: float, rng: np.random.Generator) -> Array:
    """Closing of the lids, 0 to 1: a blink takes about a fifth of a second."""
    result = np.zeros(len(times_s))
    time_s = float(rng.exponential(1 / rate_hz))
    while time_s < seconds + 1:
        result = np.maximum(result, np.exp(-0.5 * ((times_s - time_s) / 0.05) ** 2))
        time_s += 0.4 + float(rng.exponential(1 / rate_hz))
    return result


def lips(speech: Speech, times_s: Array) -> tuple[Array, Array]:
    """Opening (0 to 1) and width (-1 to 1) of the lips: by the sounds, and wider the louder they are."""
    step_s = 0.005
    grid = np.arange(-0.2, speech.seconds + 0.4, step_s)
    opening, width = np.zeros(len(grid)), np.zeros(len(grid))
    for sound in speech.sounds:
        inside = (grid >= sound.start_s) & (grid < sound.end_s)
        opening[inside], width[inside] = _shape_of(sound)
    loud = loudness(speech.samples, grid)
    opening = opening * (0.45 + 0.55 * loud)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) * step_s / 0.022) ** 2)
    opening, width = (np.convolve(curve, kernel / kernel.sum(), mode="same") for curve in (opening, width))
    return np.interp(times_s, grid, opening), np.interp(times_s, grid, width)


def _shape_of(sound: Sound) -> tuple[float, float]:
    if sound.symbol.startswith("_"):
        return 0.0, 0.0
    return _OPENING.get(sound.symbol, 0.25), _WIDTH.get(sound.symbol, 0.0)


def loudness(samples: FloatArray, times_s: Array) -> Array:
    """Loudness of 16 kHz sound about each time, 0 to 1: root of the power over 40 ms, against its 95th percentile."""
    half = AUDIO_RATE_HZ // 50
    total = np.concatenate([[0.0], np.cumsum(np.square(samples.astype(np.float64)))])
    centre = np.round(times_s * AUDIO_RATE_HZ).astype(int)
    low, high = (np.clip(centre + shift, 0, len(samples)) for shift in (-half, half))
    level = np.sqrt((total[high] - total[low]) / (2 * half))
    top = float(np.percentile(level, 95))
    return np.asarray(np.clip(level / top, 0, 1) if top > 0 else level)
