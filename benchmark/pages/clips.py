"""The clips that a report plays: the worst and the best by one card, each beside the truth, with its sound."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from csg405 import table
from csg405.benchmark.clip import Clip
from csg405.benchmark.pages import says
from csg405.benchmark.pages.scores import Metric, Score
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.systems import Submitted
from csg405.errors import UserError
from csg405.media.encode import write_sound
from csg405.report import gallery, words
from csg405.run import Folders
from csg405.schema import Release

FIRST = ("sga_auc", "coverage", "lip_r")
"""Cards that clips are chosen by: the first that has values of clips, or else any that does."""

_MOST_VALUES = 12
"""Other values that are told of a clip."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """One clip as the page shows it."""

    clip_id: str
    kind: str
    """`worst` or `best`."""
    speaker: str
    length: str
    value: str
    others: list[tuple[str, str]]
    """Title and value of other cards."""
    size_px: int
    n_frames: int
    medium: str | None
    """Address of the film or the sound; missing where motions are not at hand."""
    is_film: bool
    truth: str | None
    """Address of the truth's motion."""
    own: str | None
    """Address of the system's."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Clips by a card."""

    card: str
    worst: list[str]
    best: list[str]


def choose(score: Score, *, most: int) -> Choice | None:
    """The clips with the worst and the best values, half of them each; none is both.

    Args:
        score: with values of clips.
        most: clips at most.

    Returns:
        The choice; None where no card that knows better from worse has values of two clips.
    """
    for name in _cards(score):
        metric, values = score.results.metrics[name], score.clip_values.get(name, {})
        if len(values) < 2 or metric.direction == "none":
            continue
        order = sorted(values, key=lambda clip_id: (_badness(metric, values[clip_id]), _hash(clip_id)))
        half = min(most, len(order)) // 2
        return Choice(name, worst=order[::-1][:half], best=order[:half])
    return None


def _cards(score: Score) -> list[str]:
    metrics = score.results.metrics
    first = [name for name in (*FIRST, *score.results.ranking) if name in metrics]
    return list(dict.fromkeys([*first, *sorted(metrics)]))


def _hash(clip_id: str) -> bytes:
    """Orders equal values always the same way, and speakers mixed."""
    return hashlib.sha256(clip_id.encode()).digest()


def _badness(metric: Metric, value: float) -> float:
    """Larger is worse; of a clip, more than the truth's mean is better still."""
    if metric.direction == "higher":
        return -value
    if metric.direction == "lower":
        return value
    return metric.shortfall(value) or 0.0


def fill(folder: Path, score: Score, choice: Choice, *, predictions: Path | None, folders: Folders) -> list[Shown]:
    """Put motions and sounds of the chosen clips into the page's folder, and say what the cards say.

    Args:
        folder: the page's; gets `data/` and `media/`.
        score: that the clips are of.
        choice: the clips.
        predictions: the submission's folder, in which `predictions/` lies; None shows values without motions.
        folders: the run's whose release holds the truth.

    Raises:
        UserError: the release or the predictions lack a clip.
    """
    kinds = {**dict.fromkeys(choice.worst, "worst"), **dict.fromkeys(choice.best, "best")}
    reader = ReleaseReader(folders)
    films = films_of(folders, list(kinds))
    shown = {}
    entries = sorted((reader.entry(clip_id) for clip_id in kinds), key=lambda entry: (entry.shard, entry.clip_id))
    for clip in reader.iterate(entries):
        media = {} if predictions is None else _media(folder, clip, predictions, films.get(clip.clip_id))
        shown[clip.clip_id] = Shown(
            clip_id=clip.clip_id, kind=kinds[clip.clip_id], speaker=clip.speaker,
            length=" ".join(words.length(len(clip) / 25)),
            value=says.number(score.clip_values[choice.card][clip.clip_id]), others=_others(score, choice, clip),
            size_px=clip.size_px, n_frames=len(clip),
            medium=media.get("medium"), is_film=media.get("medium", "").endswith(".mp4"),
            truth=media.get("truth"), own=media.get("own"),
        )  # fmt: skip
    return [shown[clip_id] for clip_id in kinds]


def _others(score: Score, choice: Choice, clip: Clip) -> list[tuple[str, str]]:
    held = [(name, values[clip.clip_id]) for name, values in score.clip_values.items()
            if name != choice.card and clip.clip_id in values and name in score.results.metrics]  # fmt: skip
    metrics = score.results.metrics
    held.sort(key=lambda each: (not metrics[each[0]].ranks, each[0]))
    return [(metrics[name].title, says.number(value)) for name, value in held[:_MOST_VALUES]]


def films_of(folders: Folders, clip_ids: Sequence[str]) -> dict[str, Path]:
    """The released films of clips, where there are any."""
    found: dict[str, Path] = {}
    for part in table.parts(folders.table(Release)):
        columns = table.read_columns(part, ["clip_id", "path"])
        for clip_id, path in zip(columns["clip_id"], columns["path"], strict=True):
            film = None if path is None else folders.work / "release" / path
            if clip_id in clip_ids and film is not None and film.is_file():
                found[clip_id] = film
    return found


def _media(folder: Path, clip: Clip, predictions: Path, film: Path | None) -> Mapping[str, str]:
    """Addresses of what plays: the film or the sound, the truth's motion, the system's first sample."""
    if not (predictions / "predictions" / clip.clip_id).is_dir():
        raise UserError(
            f"{predictions}: no predictions/{clip.clip_id}; give the folder of the submission that was scored"
        )
    own = next(Submitted(predictions, 1).motions(clip)).keypoints_px
    name, medium = clip.clip_id, medium_of(folder, clip, film)
    # What the release does not see is no system's fault: neither skeleton shows it.
    write = {"truth": clip.keypoints_px, "own": own}
    tracks = {
        kind: gallery.write_motion(
            folder / "data" / f"{name}.{kind}.js", motion, clip.score, name=f"{name} {kind}", size_px=clip.size_px
        )
        for kind, motion in write.items()
    }
    return {"medium": medium, **tracks}


def medium_of(folder: Path, clip: Clip, film: Path | None) -> str:
    """Put a clip's film, or its sound where there is none, into `media/` of the page's folder; return its address."""
    if film is not None:
        return gallery.link(film, folder / "media" / f"{clip.clip_id}.mp4")
    sound = folder / "media" / f"{clip.clip_id}.wav"
    write_sound(sound, clip.sound.samples)
    return quote(f"media/{sound.name}")
