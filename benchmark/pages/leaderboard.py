"""A leaderboard: a folder that is its own static site.

    leaderboard.yaml          what it is about: see `settings`
    entries/<name>/           of each entry: results.json, per_clip.parquet, report/ if there is one
    index.html, leaderboard.json, entries/<name>/index.html, static/     written by `build`

Only entries with the leaderboard's score id are compared. When data, kit or evaluator change, entries that were scored
before are listed apart until they are scored again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csg405 import report as core_report
from csg405.benchmark.pages import ranking, settings
from csg405.benchmark.pages.ranking import Order
from csg405.benchmark.pages.report import HERE, control_title, table_groups, templates
from csg405.benchmark.pages.scores import PER_CLIP, REPORT, RESULTS, Results, Score
from csg405.benchmark.pages.settings import Leaderboard
from csg405.benchmark.scoring.results import score_id
from csg405.errors import UserError
from csg405.report import words
from csg405.table import write_text

log = logging.getLogger(__name__)

JSON_VERSION = 1
"""Of leaderboard.json."""

_STATIC = (*(Path(core_report.__path__[0]) / name for name in ("style.css",)), HERE / "pages.css", HERE / "sort.js")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard with its entries."""

    leaderboard: Leaderboard
    entries: dict[str, Score]
    """Those that are compared, in their order on the page."""
    apart: dict[str, tuple[Score, str]]
    """Those of another score id, and what differs."""
    orders: list[Order]
    unranked: list[str]
    """Cards that were to rank and that failed their own card."""


def build(folder: Path) -> Path:
    """Write the site of a leaderboard.

    Args:
        folder: with leaderboard.yaml and entries/.

    Returns:
        Its page index.html.

    Raises:
        UserError: leaderboard.yaml or an entry is missing, damaged or does not belong here.
    """
    board = read(folder)
    for path in _STATIC:
        write_text(folder / "static" / path.name, path.read_text(encoding="utf-8"))
    reports = {name for name in (*board.entries, *board.apart) if (folder / "entries" / name / REPORT).is_file()}
    pages = templates()
    for name, (score, why) in {**{name: (score, "") for name, score in board.entries.items()}, **board.apart}.items():
        page = _entry_page(board, name, score) | {"why_apart": why, "has_report": name in reports}
        write_text(folder / "entries" / name / "index.html", pages.get_template("entry.html.j2").render(page))
    write_text(folder / "leaderboard.json", json.dumps(as_json(board), indent=1, allow_nan=False) + "\n")
    html = pages.get_template("leaderboard.html.j2").render(
        board=board, leaderboard=board.leaderboard, place=ranking.place, reports=reports
    )
    write_text(folder / "index.html", html)
    log.info("leaderboard of %d entries, %d to be scored again", len(board.entries), len(board.apart))
    return folder / "index.html"


def read(folder: Path) -> Board:
    """A leaderboard with its entries, their tests done.

    Raises:
        UserError: as for `build`.
    """
    leaderboard = settings.read(folder)
    home = folder / "entries"
    names = (
        sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
        if home.is_dir()
        else []
    )
    held: dict[str, Score] = {}
    apart: dict[str, tuple[Score, str]] = {}
    for name in names:
        score = Score.read(home / name)
        _expect(home / name, score.results, leaderboard)
        why = _what_differs(score.results, leaderboard)
        if why:
            apart[name] = (score, why)
        else:
            held[name] = score
    orders, unranked = _orders(folder, leaderboard, held)
    entries = {name: held[name] for name in ranking.sorted_names(orders, list(held))}
    return Board(leaderboard=leaderboard, entries=entries, apart=apart, orders=orders, unranked=unranked)


def _expect(where: Path, results: Results, leaderboard: Leaderboard) -> None:
    """Make sure that an entry belongs to this leaderboard, whatever it was scored with."""
    facts, wanted = results.submission, leaderboard.benchmark
    for what, seen, allowed in (
        ("benchmark", f"{facts.benchmark.name} {facts.benchmark.version}", f"{wanted.name} {wanted.version}"),
        ("track", facts.track, leaderboard.track),
        ("split", facts.split, leaderboard.split),
        ("score id", results.score_id, score_id(results.digests.model_dump())),
    ):
        if seen != allowed:
            source = "its digests give" if what == "score id" else "the leaderboard is of"
            raise UserError(f"{where / RESULTS}: {what} {seen}, and {source} {allowed}; take this entry out")


def _what_differs(results: Results, leaderboard: Leaderboard) -> str:
    """What an entry was scored with that the leaderboard is not of; empty where it is comparable."""
    if results.score_id == leaderboard.wanted:
        return ""
    if leaderboard.digests is None:
        return "other data, another kit or another evaluator"
    own, wanted = results.digests.model_dump(), leaderboard.digests.model_dump()
    names = {"data": "other data", "kit": "another kit", "evaluator": "another evaluator"}
    return ", ".join(text for name, text in names.items() if own[name] != wanted[name])


def _orders(folder: Path, leaderboard: Leaderboard, scores: Mapping[str, Score]) -> tuple[list[Order], list[str]]:
    orders: list[Order] = []
    unranked: list[str] = []
    for card in leaderboard.ranking if scores else ():
        found = [score.results.metrics[card] for score in scores.values() if card in score.results.metrics]
        if any(metric.passed_its_card is False for metric in found):
            unranked.append(card)
        elif found and all(metric.ranks for metric in found):
            orders.append(ranking.order(card, scores))
        else:
            seen = "it never ranks" if found else "no entry has it"
            allowed = sorted({name for score in scores.values() for name in score.results.ranking})
            raise UserError(f"{folder / settings.FILE}: ranking: {card}: {seen}; cards that rank: {', '.join(allowed)}")
    return orders, unranked


def _entry_page(board: Board, name: str, score: Score) -> dict[str, Any]:
    results = score.results
    places = {order.card: order for order in board.orders if name in order.ranks}
    against = {
        card: [pair for pair in order.pairs if name in (pair.first, pair.second)] for card, order in places.items()
    }
    return {
        "board": board, "leaderboard": board.leaderboard, "name": name, "results": results, "place": ranking.place,
        "places": places, "against": against, "table": table_groups(results),
        "ranking": [(card, results.metrics[card]) for card in board.leaderboard.ranking if card in results.metrics],
        "controls": [(control, words.label(control), control_title(control)) for control in results.controls],
    }  # fmt: skip


def as_json(board: Board) -> dict[str, Any]:
    """All that the site says, for machines."""
    return {
        "schema_version": JSON_VERSION,
        **board.leaderboard.model_dump(mode="json", exclude={"schema_version", "score_id"}),
        "score_id": board.leaderboard.wanted,
        "entries": [_entry_json(board, name, score) for name, score in board.entries.items()],
        "to_be_scored_again": [
            {"entry": name, "system": score.results.submission.system.name,
             "version": score.results.submission.system.version, "score_id": score.results.score_id, "why": why}
            for name, (score, why) in board.apart.items()
        ],
        "pairs": {order.card: [dataclasses.asdict(pair) for pair in order.pairs] for order in board.orders},
        "failed_their_cards": board.unranked,
    }  # fmt: skip


def _entry_json(board: Board, name: str, score: Score) -> dict[str, Any]:
    system = score.results.submission.system
    places = {
        order.card: {"best": order.ranks[name].best, "worst": order.ranks[name].worst, "tied_with": order.tied(name)}
        for order in board.orders
        if name in order.ranks
    }
    keys = ("value", "interval", "per_cent", "between_seeds", "tied_with_truth", "why_not")
    values = {
        card: score.results.metrics[card].model_dump(mode="json", include=set(keys))
        for card in board.leaderboard.ranking
        if card in score.results.metrics
    }
    return {"entry": name, "system": system.name, "version": system.version, "places": places, "values": values}


def init(folder: Path, *, score_folder: Path, title: str | None = None) -> Path:
    """Write the leaderboard.yaml of a new leaderboard, for scores like one that is there.

    Args:
        folder: of the leaderboard.
        score_folder: that says benchmark, split, track, digests and the cards that rank.
        title: of the leaderboard.

    Returns:
        The file.

    Raises:
        UserError: the folder has one already, or there is no such score.
    """
    path = folder / settings.FILE
    if path.exists():
        raise UserError(f"{path} is there already; edit it, or choose another folder")
    results = Score.read(score_folder).results
    facts = results.submission
    name = f"{facts.benchmark.name} {facts.benchmark.version}"
    values = {
        "schema_version": settings.SCHEMA_VERSION,
        "title": title or f"{name}, track {facts.track}, {facts.split}",
        "benchmark": {"name": facts.benchmark.name, "version": facts.benchmark.version},
        "split": facts.split,
        "track": facts.track,
        "digests": results.digests.model_dump(),
        "ranking": results.ranking,
    }
    write_text(path, settings.text_of(Leaderboard.model_validate_json(json.dumps(values))))
    return path


def add(folder: Path, *, score_folder: Path, name: str | None = None) -> Path:
    """Copy a score into a leaderboard, in place of an older one of its name; the site is not built.

    Args:
        folder: of the leaderboard.
        score_folder: with results.json, per_clip.parquet and report/, if there is one.
        name: of the entry; the score folder's when missing.

    Returns:
        The entry's folder.

    Raises:
        UserError: the score is none, or not one of this leaderboard.
    """
    leaderboard, score = settings.read(folder), Score.read(score_folder)
    _expect(score_folder, score.results, leaderboard)
    why = _what_differs(score.results, leaderboard)
    if why:
        raise UserError(
            f"{score_folder}: score id {score.results.score_id}, and the leaderboard's is {leaderboard.wanted}: {why}; "
            "score the submission with the leaderboard's data, kit and evaluator"
        )
    name = name or score_folder.resolve().name
    if "/" in name or name.startswith("."):
        raise UserError(f"entry {name!r}: a name without / that does not begin with a dot is wanted; give --name")
    _put(folder, name, score_folder)
    return folder / "entries" / name


def _put(folder: Path, name: str, source: Path) -> None:
    """Copy beside, then rename: whoever builds meanwhile sees the old entry or the whole new one."""
    target, staging = folder / "entries" / name, folder / f".adding-{name}"
    if (staging / "old").exists() and not target.exists():
        (staging / "old").rename(target)
    shutil.rmtree(staging, ignore_errors=True)
    new = staging / "new"
    new.mkdir(parents=True)
    for file in (RESULTS, PER_CLIP):
        if (source / file).is_file():
            shutil.copyfile(source / file, new / file)
    if (source / REPORT).is_file():
        shutil.copytree(source / REPORT.parent, new / REPORT.parent)
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target.rename(staging / "old")
    new.rename(target)
    shutil.rmtree(staging)
