"""Scoring films, tracks B and C: the video metrics, and the skeleton's metrics on keypoints estimated from the films.

The results are as those of track A (`csg405.benchmark.scoring.results`), with the video metrics in `metrics` and four
controls: the clip's own film, its first frame held, another clip's film, and its own film blurred. Beside them stands
`end_to_end`: the metrics of track A on keypoints that the core's networks find in the submitted films. No film can be
expected to be better there than the real one is, estimated in the same way; so that, and not the release's own
keypoints, is the truth that values are told against.

The digests are folded into the three that every score has: `data` also says which films, and `evaluator` which
networks, with which code, on which track. So scores with one id saw the same through the same eyes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from csg405.benchmark import video
from csg405.benchmark.metric import Card, MetricModule, Values
from csg405.benchmark.scoring import facts, results, rows
from csg405.benchmark.scoring.film_measure import RELEASED, SKELETON, FilmGroup, film_code_digest, measure_films
from csg405.benchmark.scoring.film_systems import CONTROLS, ReleasedFilms, SubmittedFilms, controls
from csg405.benchmark.scoring.measure import used
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.results import best_chance, rounded
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.scoring.values import Book, shortfall
from csg405.benchmark.submission.schema import Submission
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.engine import Engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """How films are looked at."""

    place: Place
    engine: Engine
    settings: VideoSettings
    device: str = "cpu"
    with_towers: bool = True

    @functools.cached_property
    def networks(self) -> Networks:
        """That are there."""
        return Networks(self.settings, device=self.device)

    @property
    def has_pose(self) -> bool:
        """Whether keypoints can be estimated."""
        return self.networks.missing("pose") is None

    def measure(self, group: FilmGroup, folder: Path) -> list[Path]:
        """The files of the rows of systems."""
        return measure_films(
            self.place.measured, group, folder, self.engine, settings=self.settings, device=self.device,
            with_towers=self.with_towers,
        )  # fmt: skip

    def digests(self, track: str) -> dict[str, Any]:
        """What scores of a track must share."""
        films = ReleasedFilms(self.place.folders)
        own = sorted((entry.clip_id, films.digest(entry.clip_id)) for entry in self.place.entries)
        of_films = hashlib.sha256(json.dumps(own).encode()).hexdigest()
        common = self.place.digests
        eyes = [common["evaluator"], film_code_digest(), sorted(self.networks.digests.items()), track]
        return {
            "data": hashlib.sha256(f"{common['data']} {of_films}".encode()).hexdigest(),
            "kit": common["kit"],
            "evaluator": hashlib.sha256(json.dumps(eyes).encode()).hexdigest(),
            "films": of_films,
            "networks": self.networks.digests,
        }


class EndToEnd(Book):
    """The rows of the skeleton's metrics among those of films; its truth is the release's own keypoints."""

    def rows(self, system: str) -> Measured:
        """All rows of a system."""
        return skeleton_rows(rows.read(self.files[system], system))


def skeleton_rows(measured: Measured) -> Measured:
    """Those of the skeleton's metrics, under the measures' own names."""
    return {name.removeprefix(SKELETON): held for name, held in measured.items() if name.startswith(SKELETON)}


def video_modules() -> list[MetricModule]:
    """The video metrics; what is computed from rows does not know what they were measured on."""
    return [cast(MetricModule, module) for module in video.modules().values()]


def controls_name(networks: Mapping[str, str]) -> str:
    """Of the folder of the controls' rows, which serve all submissions that are looked at through the same networks.

    Args:
        networks: their digests by name.
    """
    return f"films-{hashlib.sha256(json.dumps(sorted(networks.items())).encode()).hexdigest()[:12]}"


def folder_of(place: Place, submission: Submission) -> Path:
    """Of a submission's score: a system may compete on several tracks."""
    return place.of(f"{facts.folder_name(submission)}-track-{submission.track}")


def score_films(
    folder: Path, submission: Submission, look: Look, digests: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Measure and compute a submission of track B or C.

    Args:
        folder: of the submission, which was validated.
        submission: what it says of itself.
        look: how films are looked at.
        digests: of `Look.digests`.

    Returns:
        The results, and values of single clips by card.

    Raises:
        UserError: the release has no films, a network is not what it should be, or a chunk failed.
    """
    place = look.place
    look.networks.check()
    group = FilmGroup(name="controls", systems=tuple(controls()), given_pose=True, with_released=look.has_pose)
    files = look.measure(group, place.rows(controls_name(look.networks.digests), with_towers=look.with_towers))
    system = SubmittedFilms(folder, submission.inference.seeds)
    given_pose = submission.track == "B"
    own = FilmGroup(name=system.name, systems=(system,), given_pose=given_pose)
    own_files = look.measure(own, folder_of(place, submission) / "rows")
    measured = rows.read(own_files, system.name)
    book = Book.open(dict.fromkeys(CONTROLS, files), video_modules(), place.cluster_of)
    computed = results.parts_of(book, measured, facts.groups_of(place.reader, place.entries))
    found = results.assemble(
        computed, book, digests=digests, facts=facts.of_submission(submission, system, place), passed={},
        why=_Why(look.networks, given_pose="true" if given_pose else "none"),
    )  # fmt: skip
    for told in found["metrics"].values():
        told["per_cent"] = _beyond_the_floor(told)
    found["trust"] = {"copies": [], "why_not": "the copy test looks at skeletons"}
    found["end_to_end"], of_clips = _end_to_end(look, files, skeleton_rows(measured))
    return found, computed.own.by_clip | {f"end_to_end.{name}": values for name, values in of_clips.items()}


def _beyond_the_floor(told: Mapping[str, Any]) -> float | None:
    """A value's place between chance and the truth; None where these are no farther apart than the floor."""
    chance, truth, floor = told["chance"], told["truth"], told["floor"]
    if told["per_cent"] is None or (floor is not None and abs(chance - truth) <= floor):
        return None
    return float(told["per_cent"])


@dataclasses.dataclass(frozen=True)
class _Why:
    """Says why a value of films was not computed."""

    networks: Networks
    given_pose: video.GivenPose

    def __call__(self, card: Card) -> str:
        return video.missing(card, self.networks, given_pose=self.given_pose) or results.NOTHING


def _end_to_end(
    look: Look, files: Sequence[Path], measured: Measured
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    if not look.has_pose:
        return {"why_not": look.networks.missing("pose"), "metrics": None, "controls": None, "comparisons": []}, {}
    book = EndToEnd(
        files=dict.fromkeys(CONTROLS, files), modules=used(with_towers=look.with_towers),
        cluster_of=look.place.cluster_of, truth=skeleton_rows(rows.read(files, RELEASED)),
    )  # fmt: skip
    held = {name: book.values(book.rows(name)) for name in CONTROLS}
    values, by_clip = book.values(measured), book.by_clip(measured)
    intervals, spreads, released = (
        book.intervals(measured, by_clip),
        book.seed_spread(measured),
        book.values(book.truth),
    )
    found = {}
    for card in results.cards(book.modules):
        interval = intervals.get(card.name)
        found[card.name] = {
            "title": card.title, "unit": card.unit, "direction": card.direction, "ranks": card.ranks,
            "interval": None if interval is None else [rounded(interval.low), rounded(interval.high)],
            "between_seeds": rounded(spreads.get(card.name)),
            **_told(card, values[card.name], held, released[card.name]),
        }  # fmt: skip
    told = {name: {card: rounded(value) for card, value in of.items()} for name, of in held.items()}
    return {
        "why_not": None, "metrics": found, "controls": told, "comparisons": results.comparisons(book, measured, by_clip)
    }, by_clip  # fmt: skip


def _told(card: Card, value: float | None, controls: Mapping[str, Values], released: float | None) -> dict[str, Any]:
    """A value against the real film's, estimated in the same way; and how far that is from the release's keypoints."""
    real, chance = controls["truth"].get(card.name), best_chance(card, controls)
    floor, short = shortfall(card, real, released), shortfall(card, value, released)
    return {
        "value": rounded(value), "why_not": None if value is not None else results.why_not(card),
        "real_film": rounded(real), "released": rounded(released), "chance": rounded(chance), "floor": rounded(floor),
        "per_cent": rounded(_per_cent(short, floor, shortfall(card, chance, released))),
        "tied_with_real_film": None if short is None or floor is None else short <= floor,
    }  # fmt: skip


def _per_cent(own: float | None, floor: float | None, worst: float | None) -> float | None:
    """Where a shortfall lies between chance's, 0, and the real film's, 100."""
    if own is None or floor is None or worst is None or worst <= floor:
        return None
    return 100 * (worst - own) / (worst - floor)
