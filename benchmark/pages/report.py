"""The report of a score: one folder, opened from disk, that asks nobody for anything."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import jinja2

from csg405.benchmark.controls import BY_NAME
from csg405.benchmark.pages import charts, clips, says
from csg405.benchmark.pages.scores import REPORT, Comparison, Copy, Metric, Results, Score
from csg405.benchmark.scoring.results import CHANCE
from csg405.benchmark.statistics.comparisons import ALPHA
from csg405.benchmark.submission.findings import RULES
from csg405.report import gallery, words
from csg405.report.build import copy_static, environment, replace_folder
from csg405.run import Folders

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

SEEN = 0.3
"""Points that the release sees with a lower score are not drawn, as metrics leave them out."""

_MOST_TICKS = 12
"""Places that all have a mark on a curve's axis."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A control's value in the table of all metrics."""

    text: str
    tie: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A metric's row in that table."""

    name: str
    metric: Metric
    failed: bool
    cells: list[Cell]
    tied_with_truth: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """A comparison with a control, in words."""

    against: str
    row: Comparison
    outcome: str
    """`better`, `worse`, `tie` or `open`."""
    says: str


def build(score_folder: Path, *, predictions: Path | None, folders: Folders, most_clips: int = 12) -> Path:
    """Write the report of a score into `report/` below it, in place of an older one.

    Args:
        score_folder: with `results.json` and `per_clip.parquet`.
        predictions: the submission's folder, in which `predictions/` lies; without it clips are told of, not played.
        folders: the run's whose release was predicted.
        most_clips: the worst and the best clips, together at most.

    Returns:
        The page.

    Raises:
        UserError: the score is missing or damaged, or clips are missing in the release or in the predictions.
    """
    score = Score.read(score_folder)

    def fill(folder: Path) -> None:
        choice = clips.choose(score, most=most_clips)
        shown = [] if choice is None else clips.fill(folder, score, choice, predictions=predictions, folders=folders)
        page = _page(score) | {"choice": choice, "shown": shown, "with_motions": predictions is not None}
        html = templates().get_template("report.html.j2").render(page)
        (folder / "index.html").write_text(html, encoding="utf-8")
        copy_static(folder)
        (folder / "pages.css").write_bytes((HERE / "pages.css").read_bytes())

    folder = score_folder / REPORT.parent
    replace_folder(folder, fill)
    log.info("report of %s: %s", score.results.system, folder / "index.html")
    return folder / "index.html"


def templates() -> jinja2.Environment:
    """The templates of this package."""
    made = environment(HERE)
    made.filters.update(value=says.number, interval=says.interval, per_cent=says.per_cent, missing=says.missing,
                        against_truth=says.against_truth, metric_unit=says.unit, tally=tally)  # fmt: skip
    made.globals.update(directions=says.DIRECTIONS, tracks=says.TRACKS, drawing_width=charts.WIDTH)
    return made


def _page(score: Score) -> dict[str, object]:
    results = score.results
    return {
        "results": results,
        "ranking": [(name, results.metrics[name]) for name in results.ranking],
        "controls": [(name, words.label(name), control_title(name)) for name in results.controls],
        "table": table_groups(results),
        "drawings": [(results.metrics[name], against_controls(results, name)) for name in results.ranking],
        "curves": _curves(results),
        "groups": [(results.metrics[name], _by_group(results, name)) for name in results.ranking],
        "worst": _worst(results),
        "comparisons": [
            (results.metrics[name], held) for name in results.ranking if (held := verdicts(results, name))
        ],
        "findings": _findings(results),
        "alpha": ALPHA,
        "skeleton": gallery.skeleton(),
        "threshold": SEEN,
    }  # fmt: skip


def control_title(name: str) -> str:
    """What a control is, in words."""
    return str(BY_NAME[name].title) if name in BY_NAME else words.label(name)


def table_groups(results: Results) -> list[tuple[str, str, list[Line]]]:
    """All metrics in groups: heading, what is to be said of the group, rows."""
    held: dict[str, list[Line]] = {name: [] for name in ("rank", "diagnose", "legacy", "missing")}
    for name, metric in results.metrics.items():
        kind = "missing" if metric.value is None else "rank" if metric.ranks else "diagnose"
        if kind == "diagnose" and "legacy" in name:
            kind = "legacy"
        held[kind].append(_line(results, name))
    groups = [
        ("Metrics that rank", "", held["rank"]),
        ("Diagnostics", "say what is wrong, and never rank", held["diagnose"]),
        ("Legacy metrics", "to be compared with papers; never rank", held["legacy"]),
        ("Not computed", "", held["missing"]),
    ]
    return [group for group in groups if group[2]]


def _line(results: Results, name: str) -> Line:
    metric = results.metrics[name]
    cells = []
    for values in results.controls.values():
        value = values.get(name)
        cells.append(Cell(text=says.number(value), tie=is_tie(metric, value)))
    return Line(
        name=name, metric=metric, failed=metric.passed_its_card is False, cells=cells,
        tied_with_truth=bool(metric.tied_with_truth),
    )  # fmt: skip


def is_tie(metric: Metric, value: float | None) -> bool:
    """Whether the submission's value and another one lie no farther apart than halves of the truth do."""
    if metric.value is None or value is None or metric.floor is None or metric.direction == "none":
        return False
    return abs(metric.value - value) <= metric.floor


def against_controls(results: Results, name: str) -> charts.Rows | None:
    """The submission and all controls along the axis of a metric."""
    metric = results.metrics[name]
    if metric.value is None:
        return None
    rows = [charts.Value(name="this system", kind="own", value=metric.value, interval=metric.interval)]
    for control, values in results.controls.items():
        kind: charts.Kind = "truth" if control == "truth" else "chance" if control in CHANCE else "plain"
        rows.append(
            charts.Value(name=words.label(control), kind=kind, value=values.get(name), says=control_title(control))
        )
    return charts.draw_rows(rows, line=metric.truth, floor=metric.floor, chance=metric.chance)


def _curves(results: Results) -> list[tuple[str, str, charts.Curve]]:
    """Title, what the axis is, and the drawing, of what changes over a clip's time and of other curves."""
    found = []
    if results.over_time:
        x = [row.from_s for row in results.over_time]
        names = list(dict.fromkeys(name for row in results.over_time for name in row.values))
        lines = [(_title(results, name), [row.values.get(name) for row in results.over_time]) for name in names]
        found.append(("Over the time of a clip", "s from its start", charts.draw_curve(x, lines, unit="s")))
    for curve in results.curves.values():
        held = [(words.label(name), values) for name, values in curve.lines.items() if len(values) == len(curve.x)]
        drawing = charts.draw_curve(curve.x, held, unit=curve.unit, all_ticks=len(curve.x) <= _MOST_TICKS)
        found.append((curve.title, f"over {curve.unit}", drawing))
    return [(title, axis, drawing) for title, axis, drawing in found if drawing is not None]


def _title(results: Results, name: str) -> str:
    return results.metrics[name].title if name in results.metrics else words.label(name)


def _findings(results: Results) -> list[tuple[str, list[Copy]]]:
    """What the copy test found, by rule: what is wrong, and where."""
    held: dict[str, list[Copy]] = {}
    for row in results.trust.copies:
        held.setdefault(row.rule, []).append(row)
    return [(RULES[rule].says if rule in RULES else words.label(rule), rows) for rule, rows in held.items()]


def _by_group(results: Results, name: str) -> charts.Rows | None:
    worst = results.worst_groups.get(name, {})
    rows: list[charts.Value] = []
    for by in dict.fromkeys(group.by for group in results.groups):
        members = [group for group in results.groups if group.by == by]
        if len(members) < 2:
            continue
        rows.append(charts.Value(name=words.label(by), kind="head"))
        for group in members:
            is_worst = by in worst and worst[by].group == group.group and worst[by].groups > 1
            clips_of = f"{group.clips} clip{'' if group.clips == 1 else 's'}"
            rows.append(
                charts.Value(name=group.group, kind="worst" if is_worst else "plain",
                             value=group.values.get(name), says=f"{group.group}: {clips_of}")
            )  # fmt: skip
    return charts.draw_rows(rows, line=results.metrics[name].value, whole=True)


def _worst(results: Results) -> list[tuple[str, str, str, str, str]]:
    """By metric and division with several groups: title, division, group, its value, the value of all clips."""
    return [
        (results.metrics[name].title, words.label(by), worst.group, says.number(worst.value),
         says.number(results.metrics[name].value))
        for name, divisions in results.worst_groups.items() if name in results.metrics
        for by, worst in divisions.items() if worst.groups > 1
    ]  # fmt: skip


def verdicts(results: Results, name: str) -> list[Verdict]:
    """A metric's comparisons with the controls, in words."""
    return [_verdict(results, row) for row in results.comparisons if row.metric == name]


def _verdict(results: Results, row: Comparison) -> Verdict:
    metric = results.metrics[row.metric]
    own, other = metric.shortfall(metric.value), metric.shortfall(results.controls.get(row.against, {}).get(row.metric))
    outcome, text = "open", "no difference shown"
    if metric.floor is not None and abs(row.difference) <= metric.floor:
        outcome, text = "tie", "tie: under the floor"
    elif row.p_holm <= ALPHA and own is not None and other is not None:
        outcome = "better" if own < other else "worse" if own > other else "tie"
        text = "tie: neither is short of the truth" if outcome == "tie" else outcome
    return Verdict(against=words.label(row.against), row=row, outcome=outcome, says=text)


def tally(held: Sequence[Verdict]) -> str:
    """How often it is better, worse, and neither."""
    count = {kind: sum(each.outcome == kind for each in held) for kind in ("better", "worse")}
    rest = len(held) - sum(count.values())
    return f"better than {count['better']}, worse than {count['worse']}, not told from {rest} of {len(held)} controls"
