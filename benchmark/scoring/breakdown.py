"""Where a system is good and where it is not: by groups of clips, and over the time of long ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from csg405.benchmark import metric
from csg405.benchmark.metric import MetricModule, Rows
from csg405.benchmark.scoring.rows import Measured

LEAST_CLIPS = 4
"""Groups of fewer clips are counted and not scored."""

BIN_WINDOWS = 10
"""Windows of features in a bin of time: 10 s, since one begins every second."""

_MOST_BINS = 6


def by_group(
    modules: Sequence[MetricModule], measured: Measured, truth: Measured, groups: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Values of every group of clips.

    Args:
        modules: the metrics that rank.
        measured: rows of the system.
        truth: rows of the truth.
        groups: by what is divided, the group of every clip.

    Returns:
        One entry a group: `by`, `group`, `clips`, `values` by card, empty where there are too few clips.
    """
    found = []
    for by, group_of in sorted(groups.items()):
        clips: dict[str, set[str]] = defaultdict(set)
        for clip_id, group in group_of.items():
            clips[group].add(clip_id)
        for group, ids in sorted(clips.items()):
            values: dict[str, float | None] = {}
            for module in modules if len(ids) >= LEAST_CLIPS else ():
                name = metric.measure_name(module)
                values |= metric.compute(module, _only(measured[name], ids), _only(truth[name], ids))
            found.append({"by": by, "group": group, "clips": len(ids), "values": values})
    return found


def _only(rows: Rows, clip_ids: set[str]) -> Rows:
    return {key: row for key, row in rows.items() if key.clip_id in clip_ids}


def over_time(module: MetricModule, measured: Measured, truth: Measured) -> list[dict[str, Any]]:
    """A distribution metric on the windows of each 10 s of clips, where some are longer than 10 s.

    Returns:
        One entry a bin: `from_s`, `clips`, `values`; nothing where all clips are short.
    """
    name = metric.measure_name(module)
    longest = max((len(array) for row in truth[name].values() for array in row.values()), default=0)
    if longest <= BIN_WINDOWS:
        return []
    found = []
    for number in range(min(_MOST_BINS, -(-longest // BIN_WINDOWS))):
        own, true = (_binned(held[name], number) for held in (measured, truth))
        clips = len({key.clip_id for key in own})
        if clips >= LEAST_CLIPS:
            found.append({"from_s": number * BIN_WINDOWS, "clips": clips, "values": metric.compute(module, own, true)})
    return found


def _binned(rows: Rows, number: int) -> Rows:
    """The windows of one bin; clips that have none are left out."""
    first, last = number * BIN_WINDOWS, (number + 1) * BIN_WINDOWS
    cut = {key: {part: array[first:last] for part, array in row.items()} for key, row in rows.items()}
    return {key: row for key, row in cut.items() if any(len(array) for array in row.values())}


def worst(groups: Iterable[Mapping[str, Any]], *, card: str, higher_is_better: bool) -> dict[str, dict[str, Any]]:
    """The worst group of each division by a card."""
    held: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for group in groups:
        if group["values"].get(card) is not None:
            held[group["by"]].append(group)
    pick = min if higher_is_better else max
    return {
        by: {"group": found["group"], "value": found["values"][card], "groups": len(members)}
        for by, members in held.items()
        for found in [pick(members, key=lambda group: (group["values"][card], group["group"]))]
    }
