"""Whether a system listens: its motions for counterfactual sounds against those for the clips' own.

- `silent`: energy of its motion (mean squared speed of arms and hands) over that of its normal prediction, both summed
  over clips. A system that listens rests: the truth where nobody has spoken for half a second is given beside it.
- `slowed`, `sped_up`: beats a second over those of its normal prediction, over the speed of the sound: 1 for a system
  whose beats go with the speech, 1 over the speed for one that does not hear it. Slow motion also stops more softly,
  and beats have a threshold, so a system that stretches its motion comes out below 1 for `slowed`. And our ear
  finds more syllables in slow speech: on 32 synthetic clips a system that beats on every second one that it finds
  gets 1.10 for `slowed` and 0.91 for `sped_up`, where one that does not hear gets 1.29 and 0.76.
- `swapped`: BA-kappa and SGA of its motion against the sound that it was given, and against the clip's own sound. A
  system that listens follows the former; one that remembers the speaker, or has seen the clip, the latter.

Beats and BA-kappa are those of `csg405.benchmark.metrics.ba_kappa`. Normal predictions are the first seed's. Intervals
are by speaker. Source: ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csg405.benchmark.clip import Bools, Clip, Seen, Sound
from csg405.benchmark.counterfactual import partners, sounds
from csg405.benchmark.kit import Kit
from csg405.benchmark.metric import Key, Row
from csg405.benchmark.metrics import ba_kappa, sga
from csg405.benchmark.metrics._motion import GESTURE, changes, shown_points
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.results import rounded
from csg405.benchmark.scoring.systems import Submitted
from csg405.benchmark.statistics import Interval, mean_interval, set_interval
from csg405.benchmark.submission.arrays import most_bytes, read
from csg405.benchmark.submission.clips import Wanted
from csg405.benchmark.submission.counterfactual import SPEED, frames_of, path_of
from csg405.benchmark.submission.layout import COUNTERFACTUAL, counterfactual_motion
from csg405.benchmark.submission.layout import COUNTERFACTUAL_KINDS as KINDS
from csg405.benchmark.syllables import syllables_s
from csg405.errors import UserError
from csg405.media.clock import FPS
from csg405.schema import FloatArray

REST_S = 0.5
"""From so long after a syllable to so long before the next one nobody speaks."""

_CHANGED = ("slowed", "sped_up")

_JUDGED_BY = ("swapped_sound", "own_sound", "normal")
"""What BA-kappa and SGA are taken of: the motion for the swapped sound beside that sound, and beside the clip's own;
and, for scale, the normal prediction beside its own."""


def not_judged(why: str) -> dict[str, Any]:
    """What results say where there is nothing to judge."""
    return {"why_not": why, "values": None}


def judge(folder: Path, place: Place) -> dict[str, Any]:
    """The counterfactual part of a submission of track A, which was validated.

    Args:
        folder: of the submission.
        place: the release, the kit and the split.

    Returns:
        `why_not` and `values`, one of which is None.

    Raises:
        UserError: a file is no longer what was validated.
    """
    if not (folder / COUNTERFACTUAL).is_dir():
        return not_judged("not submitted; `csg405 submission counterfactual` writes the sounds")
    system = Submitted(folder, 1)
    held = []
    for clip_id, partner in partners(place.entries).items():
        clip = place.reader.read(clip_id)
        own = next(system.motions(clip)).keypoints_px
        motions = {kind: _motion(folder, clip, kind) for kind in KINDS}
        held.append(measured(clip, sounds(clip, place.reader.read(partner)), own, motions, kit=place.kit))
    return {"why_not": None, "values": values(held)}


def _motion(folder: Path, clip: Clip, kind: str) -> FloatArray:
    file = counterfactual_motion(path_of(clip.clip_id, kind))
    if file is None:
        raise UserError(f"{clip.clip_id}: an id that names no folder")
    wanted = Wanted(
        clip_id=clip.clip_id, video_id=clip.video_id, split=clip.split,  # type: ignore[arg-type]
        n_frames=frames_of(kind, len(clip)), size_px=clip.size_px,
    )  # fmt: skip
    path = folder / file[0].path
    fits = path.is_file() and not path.is_symlink() and path.stat().st_size <= most_bytes(wanted)
    motion, findings = read(path.read_bytes() if fits else b"", file[0], wanted, may_freeze=True)
    if motion is None:
        raise UserError(f"{file[0].path}: {findings[0].rule}: seen {findings[0].seen}; validate it again")
    return motion.keypoints_px


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """What is kept of one clip."""

    clip_id: str
    speaker: str
    energy: dict[str, float]
    """Mean squared speed, (shoulder widths/s)^2: `normal`, `silent`, `truth`."""
    rest: tuple[float, int]
    """Sum of the truth's energy over frames in which nobody speaks, and their number."""
    beats_per_s: dict[str, float]
    """By kind, and `normal`."""
    ba: dict[str, Row]
    """BA-kappa's rows of `_JUDGED_BY`, and of the truth."""
    sga: dict[str, Row]
    """SGA's."""


def measured(clip: Clip, given: dict[str, Sound], own: FloatArray, motions: dict[str, FloatArray], *, kit: Kit | None
             ) -> Judged:  # fmt: skip
    """What is kept of one clip.

    Args:
        clip: the clip.
        given: its counterfactual sounds by kind.
        own: [n, 133, 2] px, the normal prediction.
        motions: by kind, [frames of the kind, 133, 2] px.
        kit: gives the threshold of beats, and the two towers.
    """
    seen = {kind: Seen(_with(clip, given[kind], speed=SPEED[kind]), motions[kind], kit) for kind in KINDS}
    normal, truth = Seen(clip, own, kit), Seen(clip, clip.keypoints_px, kit)
    of_swapped = {
        "swapped_sound": seen["swapped"], "own_sound": Seen(clip, motions["swapped"], kit), "normal": normal,
        "truth": truth,
    }  # fmt: skip
    true_energy = _energies(truth)
    resting = true_energy[_at_rest(clip)[1:]]
    resting = resting[np.isfinite(resting)]
    return Judged(
        clip_id=clip.clip_id, speaker=clip.speaker,
        energy={name: _mean(_energies(one)) for name, one in (("normal", normal), ("silent", seen["silent"]),
                                                              ("truth", truth))},
        rest=(float(resting.sum()), len(resting)),
        beats_per_s={name: len(ba_kappa.beats_s(one)) / (len(one) / FPS) for name, one in (
            ("normal", normal), *((kind, seen[kind]) for kind in _CHANGED))},
        ba={name: ba_kappa.measure(one) for name, one in of_swapped.items()},
        sga={name: sga.measure(one) for name, one in of_swapped.items()},
    )  # fmt: skip


def _with(clip: Clip, sound: Sound, *, speed: float) -> Clip:
    """The clip as if it had gone at another speed, beside another sound."""
    n = round(len(clip) / speed) if speed != 1 else len(clip)
    frames = np.minimum(np.round(np.arange(n) * speed).astype(np.int64), len(clip) - 1)
    return dataclasses.replace(clip, keypoints_px=clip.keypoints_px[frames], score=clip.score[frames], sound=sound)


def _energies(seen: Seen) -> FloatArray:
    """[n - 1] mean squared speed of arms and hands, (shoulder widths/s)^2; NaN where none is shown."""
    speed, known = changes(*shown_points(seen, GESTURE), order=1)
    count = known.sum(axis=1)
    sums = np.where(known, speed**2, 0).sum(axis=1)
    return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan), np.float32)


def _mean(energies: FloatArray) -> float:
    held = energies[np.isfinite(energies)]
    return float(held.mean(dtype=np.float64)) if len(held) else 0.0


def _at_rest(clip: Clip) -> Bools:
    """[n] frames in which nobody speaks."""
    times, syllables = np.arange(len(clip)) / FPS, syllables_s(clip.sound)
    if not len(syllables):
        return np.ones(len(clip), np.bool_)
    return np.asarray(np.abs(times[:, None] - syllables).min(axis=1) > REST_S)


# ---- values


def values(held: Sequence[Judged]) -> dict[str, Any]:
    """What a submission's clips say together: see the head of this file."""
    return {
        "clips": len(held), "speakers": len({one.speaker for one in held}),
        "silent": _told(held, _energy_ratio) | {"truth_at_rest": rounded(_rest_ratio(held))},
        **{kind: _told(held, _rate_ratio(kind)) | {"if_unheard": rounded(1 / SPEED[kind])} for kind in _CHANGED},
        "swapped": {"ba_kappa": _of_beats(held), "sga_auc": _of_association(held)},
    }  # fmt: skip


Value = Callable[[Sequence[Judged]], float | None]


def _told(held: Sequence[Judged], value: Value) -> dict[str, Any]:
    """A value of all clips with its interval."""

    def of(speakers: Sequence[str]) -> float | None:
        return value([one for one in held if one.speaker in set(speakers)])

    return {"value": rounded(value(held)), "interval": _span(set_interval(of, [one.speaker for one in held]))}


def _span(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [rounded(interval.low), rounded(interval.high)]


def _energy_ratio(held: Sequence[Judged]) -> float | None:
    normal = sum(one.energy["normal"] for one in held)
    return sum(one.energy["silent"] for one in held) / normal if normal > 0 else None


def _rest_ratio(held: Sequence[Judged]) -> float | None:
    """The truth's energy where nobody speaks over that of the whole; None where somebody always does."""
    frames, whole = sum(one.rest[1] for one in held), sum(one.energy["truth"] for one in held)
    if not frames or whole <= 0:
        return None
    return (sum(one.rest[0] for one in held) / frames) / (whole / len(held))


def _rate_ratio(kind: str) -> Value:
    def of(held: Sequence[Judged]) -> float | None:
        normal = sum(one.beats_per_s["normal"] for one in held)
        changed = sum(one.beats_per_s[kind] for one in held)
        return changed / normal / SPEED[kind] if normal > 0 else None

    return of


def _of_beats(held: Sequence[Judged]) -> dict[str, Any]:
    """BA-kappa of each of `_JUDGED_BY`, and how much more the motion follows the sound that it was given."""

    def follows(some: Sequence[Judged]) -> float | None:
        given, own = _kappa(some, "swapped_sound"), _kappa(some, "own_sound")
        return None if given is None or own is None else given - own

    return {name: rounded(_kappa(held, name)) for name in _JUDGED_BY} | {"follows": _told(held, follows)}


def _kappa(held: Sequence[Judged], name: str) -> float | None:
    rows = {Key(one.clip_id, 0): one.ba[name] for one in held}
    truth = {Key(one.clip_id, 0): one.ba["truth"] for one in held}
    return ba_kappa.compute(rows, truth)["ba_kappa"]


def _of_association(held: Sequence[Judged]) -> dict[str, Any]:
    """The same of SGA's AUC, whose values are those of single clips."""
    found = {name: _aucs(held, name) for name in _JUDGED_BY}
    given, own = found["swapped_sound"], found["own_sound"]
    apart = {clip_id: given[clip_id] - own[clip_id] for clip_id in sorted(given.keys() & own.keys())}
    interval = mean_interval(apart, cluster_of={one.clip_id: one.speaker for one in held}) if apart else None
    follows = {"value": rounded(_mean_of(apart)), "interval": _span(interval)}
    return {name: rounded(_mean_of(of)) for name, of in found.items()} | {"follows": follows}


def _aucs(held: Sequence[Judged], name: str) -> dict[str, float]:
    rows = {Key(one.clip_id, 0): one.sga[name] for one in held}
    by_clip = sga.values_by_clip(rows, rows)
    return {clip_id: auc for clip_id, of in by_clip.items() if (auc := of["sga_auc"]) is not None}


def _mean_of(values: dict[str, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None
