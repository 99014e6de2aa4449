"""What a score says, as one dictionary: `results.json`.

Everything but the block `environment` follows from the data, the kit, the evaluator and the submission: the same on
any engine with any number of workers, byte by byte. Between machines sums may be rounded otherwise: values agree to
1e-4 relative, as far as the networks' arithmetic does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from csg405 import __version__
from csg405.benchmark import metric, statistics
from csg405.benchmark.controls import CONTROLS
from csg405.benchmark.metric import Card, MetricModule, Values
from csg405.benchmark.metrics import ba_kappa
from csg405.benchmark.scoring import breakdown
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.scoring.values import Book, per_cent, shortfall
from csg405.benchmark.statistics import Interval

SCHEMA_VERSION = 1

NOTHING = "the clips give nothing to compute it from"

DIGITS = 8
"""Significant digits that values are told with."""

FILM_CHANCE = ("copy_reference", "other_clip")
"""Those among the controls of films: see `csg405.benchmark.scoring.film_systems`."""

CHANCE = (*(control.name for control in CONTROLS if control.is_chance), *FILM_CHANCE)

_LIBRARIES = ("librosa", "numpy", "scipy", "torch")


def why_not(card: Card) -> str:
    """Why a value was not computed."""
    needs = [need for need in card.needs if need != "kit"]
    return f"needs {', '.join(needs)}" if needs else NOTHING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own:
    """What follows from the rows of a submission and those of the truth."""

    values: Values
    by_clip: dict[str, dict[str, float]]
    """By card, the values of single clips."""
    intervals: dict[str, Interval | None]
    spreads: dict[str, float | None]
    """Between seeds."""
    breakdowns: dict[str, Any]
    curves: dict[str, Any]


def own_of(book: Book, measured: Measured, groups: Mapping[str, Mapping[str, str]]) -> Own:
    """What follows from the rows of a submission.

    Args:
        book: rows of the controls.
        measured: rows of the submission.
        groups: what breakdowns go by: the group of every clip.
    """
    by_clip = book.by_clip(measured)
    return Own(
        values=book.values(measured), by_clip=by_clip, intervals=book.intervals(measured, by_clip),
        spreads=book.seed_spread(measured), breakdowns=_breakdowns(book, measured, groups),
        curves=_curves(book, measured),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """All that is computed from rows: here, or by many workers (`csg405.benchmark.scoring.parts`)."""

    own: Own
    controls: Mapping[str, Values]
    against: Sequence[dict[str, Any]]
    """The submission against every control: see `against`."""
    floors: Mapping[str, float | None]


def parts_of(book: Book, measured: Measured, groups: Mapping[str, Mapping[str, str]]) -> Parts:
    """All parts, one after the other; arguments are those of `own_of`."""
    own = own_of(book, measured, groups)
    return Parts(
        own=own,
        controls={name: book.values(book.rows(name)) for name in book.files},
        against=[row for name in book.files for row in against(book, measured, own.by_clip, name, book.rows(name))],
        floors=book.floors(),
    )


def assemble(
    parts: Parts,
    book: Book,
    *,
    digests: Mapping[str, str],
    facts: Mapping[str, Any],
    passed: Mapping[str, bool],
    why: Callable[[Card], str] = why_not,
) -> dict[str, Any]:
    """Results of one submission.

    Args:
        parts: what was computed.
        book: what it was computed from.
        digests: `data`, `kit`, `evaluator`.
        facts: of the submission: its name, track, split and the like.
        passed: by card, whether the metric passed its own card.
        why: says why a value was not computed.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "score_id": score_id(digests),
        "digests": dict(digests),
        "submission": dict(facts),
        "clips": len(book.cluster_of),
        "speakers": len(set(book.cluster_of.values())),
        "metrics": {card.name: _metric(card, parts, passed.get(card.name), why) for card in cards(book.modules)},
        "controls": {
            name: {card: rounded(value) for card, value in held.items()} for name, held in parts.controls.items()
        },
        "comparisons": adjusted(parts.against),
        **parts.own.breakdowns,
        "curves": parts.own.curves,
        "environment": environment(),
    }


def _curves(book: Book, measured: Measured) -> dict[str, Any]:
    """Over which lag beats and syllables agree, for the system and for the truth."""
    module = metric.modules()["ba_kappa"]
    if module not in book.modules:
        return {}
    name = metric.measure_name(module)
    lines = {"submission": ba_kappa.curve(measured[name]), "truth": ba_kappa.curve(book.truth[name])}
    told = {line: [rounded(y) for y in found["y"]] for line, found in lines.items() if found["y"]}
    x = [rounded(lag) for lag in lines["truth"]["x"]]
    return {"beat_lag": {"title": "Beats and syllables by lag", "unit": "s", "x": x, "lines": told}} if told else {}


def score_id(digests: Mapping[str, str]) -> str:
    """What scores must share to be compared: the data, the kit, and the evaluator."""
    return hashlib.sha256("".join(digests[name] for name in ("data", "kit", "evaluator")).encode()).hexdigest()[:16]


def _metric(card: Card, parts: Parts, passed: bool | None, why: Callable[[Card], str]) -> dict[str, Any]:
    truth, chance = parts.controls["truth"].get(card.name), best_chance(card, parts.controls)
    value, interval, floor = (
        parts.own.values[card.name],
        parts.own.intervals.get(card.name),
        parts.floors.get(card.name),
    )
    short = shortfall(card, value, truth)
    return {
        "title": card.title, "unit": card.unit, "direction": card.direction,
        "ranks": card.ranks and passed is not False,
        "passed_its_card": passed,
        "value": rounded(value), "why_not": None if value is not None else why(card),
        "interval": None if interval is None else [rounded(interval.low), rounded(interval.high)],
        "standard_error": None if interval is None else rounded(interval.se),
        "between_seeds": rounded(parts.own.spreads.get(card.name)),
        "clips": len(parts.own.by_clip.get(card.name, {})) or None,
        "truth": rounded(truth), "chance": rounded(chance), "floor": rounded(floor),
        "per_cent": rounded(per_cent(card, value, truth=truth, chance=chance)),
        "tied_with_truth": None if short is None or floor is None else short <= floor,
        "smallest_difference": rounded(_smallest(interval)),
    }  # fmt: skip


def cards(modules: Sequence[MetricModule]) -> list[Card]:
    """All cards: those that rank first."""
    return sorted((card for module in modules for card in module.CARDS), key=lambda card: (not card.ranks, card.name))


def best_chance(card: Card, controls: Mapping[str, Values]) -> float | None:
    """The value of the best control that knows nothing of the clip's speech."""
    truth = controls["truth"].get(card.name)
    held = [(short, value) for name in CHANCE if (value := controls.get(name, {}).get(card.name)) is not None
            and (short := shortfall(card, value, truth)) is not None]  # fmt: skip
    return min(held)[1] if held else None


def _smallest(interval: Interval | None) -> float | None:
    return None if interval is None else statistics.smallest_difference(interval.se, clusters=interval.clusters)


def comparisons(book: Book, measured: Measured, own_clips: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The submission against every control by the metrics that rank, their p-values adjusted together.

    Args:
        book: rows of the controls.
        measured: rows of the submission.
        own_clips: by card, the submission's values of clips.
    """
    return adjusted([row for name in book.files for row in against(book, measured, own_clips, name, book.rows(name))])


def against(
    book: Book, measured: Measured, own_clips: Mapping[str, Mapping[str, float]], name: str, control: Measured
) -> list[dict[str, Any]]:
    """The submission against one control by the metrics that rank.

    Args:
        book: rows of the controls.
        measured: rows of the submission.
        own_clips: by card, the submission's values of clips.
        name: of the control.
        control: its rows.
    """
    ranking = [(module, card) for module in book.modules for card in module.CARDS if card.ranks]
    paired = dataclasses.replace(book, modules=[module for module, _ in ranking if not hasattr(module, "pooled")])
    control_clips = paired.by_clip(control)
    found: list[dict[str, Any]] = []
    for module, card in ranking:
        measure = metric.measure_name(module)
        if hasattr(module, "pooled"):
            interval, p = statistics.set_comparison(
                module, measured[measure], control[measure], book.true_rows(module),
                cluster_of=book.cluster_of, name=card.name,
            )  # fmt: skip
        else:
            interval, p = _paired(own_clips.get(card.name, {}), control_clips.get(card.name, {}), book.cluster_of)
        if interval is not None and p is not None:
            found.append({"metric": card.name, "against": name, "difference": rounded(interval.value),
                          "interval": [rounded(interval.low), rounded(interval.high)],
                          "p": rounded(p)})  # fmt: skip
    return found


def adjusted(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Comparisons with their p-values adjusted together."""
    held = statistics.holm({number: row["p"] for number, row in enumerate(found)})
    return [row | {"p_holm": rounded(held[number])} for number, row in enumerate(found)]


def _paired(
    first: Mapping[str, float], second: Mapping[str, float], cluster_of: Mapping[str, str]
) -> tuple[Interval | None, float | None]:
    apart = {clip_id: first[clip_id] - second[clip_id] for clip_id in sorted(first.keys() & second.keys())}
    if not apart:
        return None, None
    p = statistics.sign_flip_test(first, second, cluster_of=cluster_of)
    return statistics.mean_interval(apart, cluster_of=cluster_of), p


def _breakdowns(book: Book, measured: Measured, groups: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    ranking = [module for module in book.modules if any(card.ranks for card in module.CARDS)]
    held = breakdown.by_group(ranking, measured, book.truth, groups)
    of_sets = [module for module in ranking if any(card.name == "kgd" for card in module.CARDS)]
    return {
        "groups": _all_rounded(held),
        "worst_groups": {
            card.name: _all_rounded(breakdown.worst(held, card=card.name, higher_is_better=card.direction == "higher"))
            for module in ranking for card in module.CARDS if card.ranks
        },
        "over_time": _all_rounded(
            [row for module in of_sets for row in breakdown.over_time(module, measured, book.truth)]
        ),
    }  # fmt: skip


def environment() -> dict[str, str]:
    """What it was computed with; not part of what scores must share."""
    held = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"csg405": __version__, "python": platform.python_version(), "machine": platform.machine(), **held}


def _all_rounded(value: Any) -> Any:
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, dict):
        return {key: _all_rounded(held) for key, held in value.items()}
    return [_all_rounded(held) for held in value] if isinstance(value, list) else value


def rounded(value: float | None) -> float | None:
    """To `DIGITS` significant digits, so that a file says what it knows."""
    return None if value is None else float(f"{value:.{DIGITS}g}")
