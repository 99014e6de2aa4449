"""The page of a run's benchmark: every control and baseline in one table, who wins by what, cost, curves and samples.

One folder, opened from disk, that asks nobody for anything; reports of the baselines lie in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from csg405 import report as core_report
from csg405.benchmark import statistics
from csg405.benchmark.baselines import Done
from csg405.benchmark.cards import passed
from csg405.benchmark.metric import Card
from csg405.benchmark.pages import charts, results_clips, results_curves, results_tests, says
from csg405.benchmark.pages.ranking import place as place_in_words
from csg405.benchmark.pages.report import HERE, SEEN, control_title, templates
from csg405.benchmark.pages.results_tests import Duel, listed, neighbour_titles, short, stands, tally
from csg405.benchmark.pages.scores import REPORT, RESULTS, Metric, Score
from csg405.benchmark.scoring.measure import used
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.results import CHANCE, best_chance, cards, score_id
from csg405.benchmark.scoring.table import Row, Shown
from csg405.benchmark.scoring.values import per_cent, shortfall
from csg405.benchmark.statistics import Rank
from csg405.media.clock import FPS
from csg405.report import gallery, words
from csg405.report.build import copy_static, replace_folder

log = logging.getLogger(__name__)

MOST_CLIPS = 4
"""Clips that are shown side by side."""

FIRST = ("kgd", "sga_auc", "ba_kappa")
"""Cards of the headline and of cost: likeness of the motion, association with the speech, and its beats."""

_LEAST_PER_CENT = -100.0
"""Where the axis of cost ends, whatever lies below."""

_NOTHING = 5e-4
"""Values below are printed as 0: all of these metrics go up to about 1."""

_MADE_FROM = "made_from.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A system's value in the table."""

    text: str
    key: str
    """What it is sorted by: how far it is from the best there is."""
    interval: str = ""
    per_cent: str = ""
    tied: bool = False
    """Whether the value is no farther from the truth than halves of the truth are from each other."""
    rank: Rank | None = None
    """Among the models."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """A row of the table."""

    name: str
    kind: str
    """`truth`, `model`, `chance` or `control`."""
    title: str
    cells: list[Cell]
    parameters_m: float | None
    cost: float | None
    report: str | None
    """Address of its own report."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """The best model by a card."""

    card: Card
    model: str
    metric: Metric


def build(
    place: Place, table: Shown, done: Sequence[Done], *, failed: Mapping[str, str], most_clips: int = MOST_CLIPS
) -> Path:
    """Write the page into `work/<run>/benchmark/results`, in place of an older one.

    Args:
        place: the run, the kit and the split.
        table: controls and models.
        done: the models, scored with that kit on that split.
        failed: by title, why other baselines have no score.
        most_clips: clips that play side by side at most.

    Returns:
        The page; one that was made from the same is left as it is.

    Raises:
        UserError: a score is damaged, or a submission lacks a clip.
    """
    folder = place.home / "results"
    made_from = _digest(place, table, done, failed)

    def fill(new: Path) -> None:
        (new / _MADE_FROM).write_text(made_from, encoding="ascii")
        page = _page(place, table, done) | {"failed": failed}
        page["samples"] = results_clips.fill(
            new, place, {each.title: each.submission for each in done}, most=most_clips
        )
        for each in done:
            _copy_report(each.score / REPORT.parent, new / "reports" / each.title)
        html = templates().get_template("results.html.j2").render(page)
        (new / "index.html").write_text(html, encoding="utf-8")
        copy_static(new)
        for name in ("pages.css", "sort.js"):
            shutil.copyfile(HERE / name, new / name)

    replace_folder(folder, fill, made_from=made_from)
    log.info("results of %s: %s", place.folders.name, folder / "index.html")
    return folder / "index.html"


def _digest(place: Place, table: Shown, done: Sequence[Done], failed: Mapping[str, str]) -> str:
    """Of all that the page depends on: scores, trainings, submissions, the controls, and the code of pages."""
    held = hashlib.sha256(f"{sorted(failed.items())} {place.digests}".encode())
    own = [path for where in (HERE, Path(core_report.__path__[0])) for path in sorted(where.iterdir())]
    for each in done:
        held.update(f"{each.title} {each.score.name}".encode())
        own += [each.score / RESULTS, each.training / "history.jsonl", each.submission / "checksums.sha256"]
    for path in (*own, table.path):
        if path.is_file():
            held.update(hashlib.sha256(path.read_bytes()).digest())
    return held.hexdigest()


def _copy_report(source: Path, target: Path) -> None:
    """A report without a second copy of its files, where the file system can do that."""

    def put(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)

    target.parent.mkdir(exist_ok=True)
    shutil.copytree(source, target, copy_function=put)


def _page(place: Place, table: Shown, done: Sequence[Done]) -> dict[str, object]:
    scores = {each.title: Score.read(each.score) for each in done}
    ranking = ranking_cards(place, table)
    duels = results_tests.duels(scores, home=place.home)
    names = [card.name for card in ranking]
    held = {title: stands(score.results, names) for title, score in scores.items()}
    return {
        "run": place.folders.name, "split": place.split, "clips": len(place.entries),
        "talkers": len(set(place.cluster_of.values())), "seconds": sum(e.n_frames for e in place.entries) / FPS,
        "training": _training_split(place), "kit": place.kit.digest, "score_id": score_id(place.digests),
        "digests": place.digests, "scores": scores, "ranking": ranking, "headlines": _headlines(ranking, scores),
        "systems": systems(table, ranking, scores, duels), "duels": duels, "stands": held,
        "tallies": {title: tally(rows) for title, rows in held.items()}, "neighbours": neighbour_titles(),
        "clouds": _clouds(ranking, table, scores), "learning": results_curves.learning(done),
        "validations": results_curves.validations(done), "skeleton": gallery.skeleton(), "threshold": SEEN,
        "listed": listed, "short": short, "place": place_in_words,
    }  # fmt: skip


def _training_split(place: Place) -> dict[str, object]:
    entries = place.reader.clips("train")
    return {
        "clips": len(entries), "talkers": len({entry.speaker for entry in entries}),
        "seconds": sum(entry.n_frames for entry in entries) / FPS,
    }  # fmt: skip


def ranking_cards(place: Place, table: Shown) -> list[Card]:
    """Cards that rank and did not fail their own test, with values of the controls; the headline's first."""
    examined = passed(place)
    found = [
        card
        for card in cards(used(with_towers=place.kit.has_towers))
        if card.ranks and examined.get(card.name) is not False and table.controls["truth"].get(card.name) is not None
    ]
    return sorted(found, key=lambda card: results_tests.place_in_table(card.name))


def systems(table: Shown, ranking: Sequence[Card], scores: Mapping[str, Score], duels: Sequence[Duel]) -> list[System]:
    """All rows: the truth, models and the other controls, by the first card's value."""
    ranks = {card.name: statistics.ranks(list(scores), beats=results_tests.beats(duels, card.name)) for card in ranking}
    floors = _floors(ranking, scores)
    found = []
    for row in table.rows:
        cells = [
            _cell(row, card, table, floors[card.name], score=scores.get(row.name) if row.kind == "model" else None,
                  ranks=ranks[card.name])
            for card in ranking
        ]  # fmt: skip
        kind = "model" if row.kind == "model" else "truth" if row.name == "truth" else "control"
        found.append(
            System(
                name=row.name if row.kind == "model" else words.label(row.name),
                kind="chance" if kind == "control" and row.name in CHANCE else kind,
                title="" if row.kind == "model" else control_title(row.name), cells=cells,
                parameters_m=row.parameters_m, cost=row.cost,
                report=f"reports/{row.name}/index.html" if row.kind == "model" else None,
            )
        )  # fmt: skip
    return sorted(found, key=lambda system: float(system.cells[0].key or "inf") if system.cells else 0.0)


def _floors(ranking: Sequence[Card], scores: Mapping[str, Score]) -> dict[str, float | None]:
    """By card, how far halves of the truth lie apart: scores say it, all of them the same."""
    metrics = [score.results.metrics for score in scores.values()]
    return {card.name: next((held[card.name].floor for held in metrics if card.name in held), None) for card in ranking}


def _cell(
    row: Row, card: Card, table: Shown, floor: float | None, *, score: Score | None, ranks: Mapping[str, Rank]
) -> Cell:
    value, truth = row.values.get(card.name), table.controls["truth"].get(card.name)
    if value is None:
        return Cell(text=says.number(None), key="")
    away = shortfall(card, value, truth)
    told = per_cent(card, value, truth=truth, chance=best_chance(card, table.controls))
    return Cell(
        text=says.number(0.0 if abs(value) < _NOTHING else value), key="" if away is None else f"{away:.9g}",
        per_cent=says.per_cent(told),
        interval="" if score is None else says.interval(score.results.metrics[card.name].interval),
        tied=row.name != "truth" and away is not None and floor is not None and away <= floor,
        rank=ranks.get(row.name) if score is not None and len(ranks) > 1 else None,
    )  # fmt: skip


def _headlines(ranking: Sequence[Card], scores: Mapping[str, Score]) -> list[Headline]:
    """Of the first cards, the model whose value is the best."""
    found = []
    for card in _first(ranking):
        held = [
            (away, title, metric)
            for title, score in scores.items()
            if (metric := score.results.metrics.get(card.name)) is not None
            and (away := metric.shortfall(metric.value)) is not None
        ]
        if held:
            _, title, metric = min(held, key=lambda each: each[:2])
            found.append(Headline(card=card, model=title, metric=metric))
    return found


def _first(ranking: Sequence[Card]) -> list[Card]:
    return [card for card in ranking if card.name in FIRST] or list(ranking[: len(FIRST)])


def _clouds(
    ranking: Sequence[Card], table: Shown, scores: Mapping[str, Score]
) -> list[tuple[Card, charts.Cloud, list[str]]]:
    """Quality over cost by card, and which models are left out, for their cost is not known."""
    costs = {row.name: row.cost for row in table.models}
    found = []
    for card in _first(ranking):
        points = [
            (title, costs.get(title), metric.per_cent,
             f"{title}: {says.per_cent(metric.per_cent)}, {says.number(costs.get(title))} s for 1 s")
            for title, score in scores.items()
            if (metric := score.results.metrics.get(card.name)) is not None
        ]  # fmt: skip
        drawn = charts.draw_cloud(points, lines=[(100.0, "truth"), (0.0, "chance")], low=_LEAST_PER_CENT)
        if drawn is not None:
            found.append((card, drawn, [name for name, cost, _, _ in points if not cost]))
    return found
