"""Sounds that nobody made, to see whether a system listens: other speakers', silence, slower and faster speech.

There is no truth for them, so there is none to have been trained on. What a listening system does is known all the
same: it follows the sound that it is given and not the speaker it has seen, rests when nobody speaks, and beats as much
faster as the speech goes. `csg405.benchmark.scoring.counterfactual` judges it.

Speech is slowed and sped up by overlap-add of windows that lie where they resemble what came before (WSOLA): the voice
keeps its pitch, so that a system is not led astray by a voice that no person has, and syllables keep their order and
lie within 10 ms of where they should.

Source: Verhelst and Roelands, An overlap-add technique based on waveform similarity (ICASSP 1993). The set is ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csg405 import table
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.submission.counterfactual import SPEED, chosen, frames_of
from csg405.benchmark.submission.layout import COUNTERFACTUAL_KINDS as KINDS
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, SAMPLES_PER_FRAME
from csg405.media.encode import write_sound
from csg405.schema import IntArray

LIST = "counterfactual.json"
SCHEMA_VERSION = 1

_WINDOW = AUDIO_RATE_HZ // 25
"""Samples of a window: 40 ms, a few periods of any voice."""
_HOP = _WINDOW // 2
_REACH = AUDIO_RATE_HZ // 100
"""How far a window may be moved to fit: 10 ms, a period of a low voice."""


def partners(entries: Sequence[Entry]) -> dict[str, str]:
    """Of every clip that is chosen, whose sound it is given: another speaker's, one as long as it where there is one.

    A split of one speaker gives another clip of theirs; a clip that is alone gets its own.
    """
    by_id = {entry.clip_id: entry for entry in entries}
    found = {}
    for clip_id in chosen(by_id):
        own = by_id[clip_id]
        others = [entry for entry in entries if entry.speaker != own.speaker]
        others = others or [entry for entry in entries if entry.clip_id != clip_id] or [own]
        found[clip_id] = min(others, key=lambda entry: (entry.n_frames < own.n_frames, _draw(clip_id, entry))).clip_id
    return found


def _draw(clip_id: str, entry: Entry) -> bytes:
    return hashlib.sha256(f"{clip_id} {entry.clip_id}".encode()).digest()


def sounds(clip: Clip, partner: Clip) -> dict[str, Sound]:
    """The counterfactual sounds of a clip by kind: [640 frames of the kind] samples each.

    Args:
        clip: the clip.
        partner: whose sound takes the place of its own; from its start again where it is too short.
    """
    samples = clip.sound.samples
    length = {kind: SAMPLES_PER_FRAME * frames_of(kind, len(clip)) for kind in KINDS}
    made = {
        "swapped": np.resize(partner.sound.samples, length["swapped"]),
        "silent": np.zeros(length["silent"], np.int16),
        **{kind: stretched(samples, speed=SPEED[kind], length=length[kind]) for kind in ("slowed", "sped_up")},
    }
    return {kind: Sound(made[kind]) for kind in KINDS}


def stretched(samples: IntArray, *, speed: float, length: int) -> IntArray:
    """Speech that goes faster or slower at the same pitch.

    Args:
        samples: [n]
        speed: over 1 is faster.
        length: samples wanted, about n / speed.

    Returns:
        [length]; silence where the speech has ended.
    """
    room = _WINDOW + _REACH
    steps = -(-length // _HOP) + 1
    end = round(steps * _HOP * speed) + 2 * room
    padded = np.pad(samples.astype(np.float64), (room, max(end - len(samples), room)))
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    made = np.zeros((steps + 1) * _HOP)
    start = room - _HOP
    for step in range(steps):
        wanted = round((step - 1) * _HOP * speed) + room
        if step:
            start = _best(padded, wanted, like=padded[start + _HOP : start + _HOP + _WINDOW])
        made[step * _HOP : step * _HOP + _WINDOW] += fade * padded[start : start + _WINDOW]
    return np.clip(np.round(made[_HOP : _HOP + length]), -32768, 32767).astype(np.int16)


def _best(samples: npt.NDArray[np.float64], wanted: int, *, like: npt.NDArray[np.float64]) -> int:
    """Where within reach of a place a window resembles another most; there itself where nothing is heard."""
    first = max(wanted - _REACH, 0)
    near = samples[first : wanted + _REACH + _WINDOW]
    products = np.correlate(near, like, "valid")
    squares = np.concatenate([[0.0], np.cumsum(near**2)])
    energies = squares[_WINDOW:] - squares[:-_WINDOW]
    scores = products / np.sqrt(np.maximum(energies, 1.0))
    return first + int(np.argmax(scores)) if scores.max() > 0 else wanted


def write(folder: Path, reader: ReleaseReader, *, split: str) -> int:
    """Write the counterfactual sounds of a split: `<clip_id>/<kind>.wav`, and a list of them; returns their number.

    Args:
        folder: one that does not exist, or is empty.
        reader: of the release.
        split: to predict.

    Raises:
        UserError: the folder holds something, or the split has no clips.
    """
    entries = reader.clips(split)
    if not entries:
        raise UserError(f"the release of run {reader.folders.name} has no clips in split {split!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: holds something already; give a folder that does not exist, or an empty one")
    listed: list[Mapping[str, object]] = []
    for clip_id, partner in partners(entries).items():
        clip = reader.read(clip_id)
        for kind, sound in sounds(clip, reader.read(partner)).items():
            path = f"{clip_id}/{kind}.wav"
            write_sound(folder / path, sound.samples)
            listed.append({
                "clip_id": clip_id, "kind": kind, "n_frames": frames_of(kind, len(clip)), "speed": SPEED[kind],
                "partner": partner if kind == "swapped" else None, "sound": path,
            })  # fmt: skip
    facts = {"schema_version": SCHEMA_VERSION, "split": split, "sounds": listed}
    table.write_text(folder / LIST, json.dumps(facts, indent=1) + "\n")
    return len(listed)
