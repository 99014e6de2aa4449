"""How good a model is while it learns: its motions for clips of the validation split, and never of the test."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path

from csg405.benchmark import metric
from csg405.benchmark.clip import Clip, Seen, truth_of
from csg405.benchmark.data import Features
from csg405.benchmark.kit import Kit
from csg405.benchmark.metric import Key, MetricModule
from csg405.benchmark.models.base import GestureModel
from csg405.benchmark.models.predict import motions
from csg405.benchmark.release import ReleaseReader
from csg405.media.clock import FPS

METRICS = ("kgd", "sga", "ba_kappa", "kinematics")
"""Modules of metrics; those whose networks the kit lacks are left out."""

_SHOWN = ("kgd", "kgd_hands", "sga_auc", "ba_kappa", "kin")


@dataclasses.dataclass(frozen=True)
class Validation:
    """Judges a model on some clips of the validation split, always the same."""

    reader: ReleaseReader
    features: Features
    kit: Kit
    clips: int
    samples: int = 0
    folder: Path | None = None
    """Where samples are drawn as films."""

    @functools.cached_property
    def chosen(self) -> list[Clip]:
        """The clips, read once for all validations."""
        entries = self.reader.clips("validation")
        some = entries[:: max(len(entries) // max(self.clips, 1), 1)][: self.clips]
        return list(self.reader.iterate(sorted(some, key=lambda entry: (entry.shard, entry.clip_id))))

    def __call__(self, model: GestureModel, step: int) -> dict[str, float]:
        """Values by name, and how long a second of motion took."""
        if not self.chosen:
            return {}
        started = time.monotonic()
        wanted = ((clip, 0) for clip in self.chosen)
        made = [Seen(motion.clip, motion.keypoints_px, self.kit) for motion in motions(model, wanted, self.features)]
        taken = time.monotonic() - started
        found = {name: value for name, value in judged(self.kit, self.chosen, made).items() if value is not None}
        self._draw(made[: self.samples], step)
        return found | {"s_per_s": taken * FPS / sum(map(len, self.chosen))}

    def _draw(self, seens: Sequence[Seen], step: int) -> None:
        if self.folder is None:
            return
        from csg405.benchmark.training.films import write_skeletons

        for seen in seens:
            path = self.folder / f"step-{step:09d}" / f"{seen.clip.clip_id}.mp4"
            write_skeletons(path, [seen.clip.keypoints_px, seen.keypoints_px], seen.clip)


def judged(kit: Kit, clips: Sequence[Clip], seens: Sequence[Seen]) -> dict[str, float | None]:
    """Values of motions against the truth of their clips."""
    values: dict[str, float | None] = {}
    for module in _modules(kit):
        truth = {Key(clip.clip_id, 0): module.measure(truth_of(clip, kit=kit)) for clip in clips}
        rows = {Key(seen.clip.clip_id, 0): module.measure(seen) for seen in seens}
        values |= metric.compute(module, rows, truth)
    return {name: values[name] for name in _SHOWN if name in values}


def _modules(kit: Kit) -> list[MetricModule]:
    held = [metric.modules()[name] for name in METRICS]
    return [module for module in held if kit.has_towers or not any("two_tower" in card.needs for card in module.CARDS)]
