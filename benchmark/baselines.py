"""Baselines: models that a configuration names, each trained, sampled and scored; what is fresh is not made again.

Below `work/<run>/benchmark/`, for a baseline of the title T:

    models/T/       the training, the model, and made_from.json, which says what it was begun from
    entries/T/      the submission; entries/T.json says which model made it
    submissions/T-1/    the score and its report

A training that was begun from another release, or with other settings, is not touched unless it is asked for: it may
have taken days. A submission that follows from another model is made anew.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from csg405.benchmark.config import BaselineChoice, Config
from csg405.benchmark.kit import Kit
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.training.settings import ModelChoice, TrainSettings
from csg405.engine import Engine
from csg405.errors import UserError
from csg405.run import Folders
from csg405.table import write_text
from csg405.weights import digest

log = logging.getLogger(__name__)

_MADE_FROM = "made_from.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """What all baselines of a run share."""

    folders: Folders
    config: Config
    kit: Path
    """Folder of the kit; where there is none, a training is not validated, and nothing is scored."""
    engine: Callable[[], AbstractContextManager[Engine]]
    """Opens one for a step: none is held, and no weights with it, while a model learns."""
    split: str = "test"
    device: str = "cpu"

    @functools.cached_property
    def place(self) -> Place:
        """Where scores lie.

        Raises:
            UserError: there is no kit.
        """
        return Place(folders=self.folders, split=self.split, kit=Kit.open(self.kit))

    @functools.cached_property
    def training_data(self) -> str:
        """Digest of the training split."""
        return self.place.reader.digest("train")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """A baseline that was scored."""

    title: str
    training: Path
    submission: Path
    score: Path


def run(bench: Bench, *, again: bool = False) -> tuple[list[Done], dict[str, str]]:
    """Train, sample and score all baselines of a configuration.

    Args:
        bench: the run.
        again: whether trainings that were begun from something else are deleted and begun anew.

    Returns:
        Those that were scored; and by title, why the others were not.

    Raises:
        UserError: two baselines have one title.
    """
    done: list[Done] = []
    failed: dict[str, str] = {}
    for choice in titled(bench.config.baselines):
        try:
            done.append(_through(bench, choice, again=again))
        except UserError as error:
            failed[choice.title] = str(error)
        except (RuntimeError, OSError) as error:  # torch's, for example of a GPU without memory, and a full disk
            log.exception("%s", choice.title)
            failed[choice.title] = f"{type(error).__name__}: {error}"
        if choice.title in failed:
            log.error("%s failed: %s", choice.title, failed[choice.title])
    return done, failed


def titled(choices: Sequence[BaselineChoice]) -> Sequence[BaselineChoice]:
    """The same baselines.

    Raises:
        UserError: two of them have one title.
    """
    titles = [choice.title for choice in choices]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise UserError(f"benchmark.baselines: {twice[0]} twice; give one of them a `label` of its own")
    return choices


def learn(choice: ModelChoice, folder: Path, bench: Bench, *, settings: TrainSettings | None = None) -> Path:
    """Train a model into a folder, its features first; go on where an earlier call was stopped.

    Args:
        choice: which model.
        folder: of the training.
        bench: the run; a kit that is there validates.
        settings: of the training; the configuration's if nothing is given.

    Returns:
        The folder of the model.

    Raises:
        UserError: see `csg405.benchmark.training.loop.train`.
    """
    import torch

    from csg405.benchmark import models
    from csg405.benchmark.audio import cache, features
    from csg405.benchmark.training import loop
    from csg405.benchmark.training.learning import main_process_first
    from csg405.benchmark.training.validation import Validation

    audio, settings = bench.config.audio, settings or bench.config.train
    wanted = models.features_of(choice.name, choice.size, choice.settings) or audio.features
    reader = ReleaseReader(bench.folders)
    make = features.maker(features.chosen(audio, wanted), device=bench.device)
    with main_process_first(bench.device), bench.engine() as engine:
        cached = cache.compute(reader, make, engine)
    own = {**choice.settings, "features": wanted, "features_dim": cached.dim, "features_layers": audio.layers}
    validate = None
    if (bench.kit / "kit.json").is_file():
        validate = Validation(
            reader, cached.features, Kit.open(bench.kit), settings.validation_clips, settings.samples,
            folder / "samples",
        )  # fmt: skip
    torch.manual_seed(settings.seed)
    return loop.train(
        models.create(choice.name, size=choice.size, **own), reader, cached.features, folder, settings,
        device=bench.device, validate=validate,
    )  # fmt: skip


def _through(bench: Bench, choice: BaselineChoice, *, again: bool) -> Done:
    training = bench.place.home / "models" / choice.title
    model = _trained(bench, choice, training, again=again)
    submission = bench.place.home / "entries" / choice.title
    _sampled(bench, choice, model, submission)
    return Done(title=choice.title, training=training, submission=submission, score=_scored(bench, choice, submission))


def _trained(bench: Bench, choice: BaselineChoice, folder: Path, *, again: bool) -> Path:
    """The model, trained where it is not there yet."""
    from csg405.benchmark.training.folder import differences

    settings = bench.config.train.model_copy(update=choice.train.model_dump(exclude_unset=True))
    wanted = {
        "release": bench.training_data, "model": choice.name, "size": choice.size,
        "settings": choice.settings, "features": bench.config.audio.model_dump(mode="json"),
        "training": settings.lasting(),
    }  # fmt: skip
    record, model = folder / _MADE_FROM, folder / "model"
    held = _read(record)
    others = differences(held, wanted) if held is not None else []
    if others and not again:
        raise UserError(
            f"{folder} holds a training that was begun with another {'; '.join(others)}; begin anew with --again, "
            "which deletes it, or give the baseline another `label`"
        )
    if others:
        shutil.rmtree(folder)
    if held is not None and not others and (model / "config.json").is_file():
        log.info("%s: trained already", choice.title)
        return model
    write_text(record, json.dumps(wanted, indent=1) + "\n")
    log.info("%s: training, %d batches", choice.title, settings.steps)
    return learn(choice, folder, bench, settings=settings)


def _sampled(bench: Bench, choice: BaselineChoice, model: Path, folder: Path) -> None:
    """Write the submission, where it is not there yet."""
    from csg405.benchmark.models import entry
    from csg405.benchmark.submission import layout

    seeds = bench.config.baseline_seeds
    wanted = {
        "model": [digest(model / "config.json"), digest(model / "model.safetensors")], "seeds": seeds,
        "split": bench.split, "release": bench.place.digests["data"], "name": choice.title,
    }  # fmt: skip
    record = folder.with_name(f"{folder.name}.json")
    held = _read(record)
    if folder.exists() and held is None:
        raise UserError(f"{folder} was not made by this command; move it away, or give the baseline another `label`")
    if held != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(record, json.dumps(wanted, indent=1) + "\n")
    elif (folder / layout.CHECKSUMS).is_file():
        log.info("%s: sampled already", choice.title)
        return
    log.info("%s: sampling %d clips, %d times each", choice.title, len(bench.place.entries), seeds)
    with bench.engine() as engine:
        entry.write(
            model, folder, bench.folders, engine, split=bench.split, seeds=seeds, weights=bench.config.audio.folder,
            name=choice.title, device=bench.device,
        )  # fmt: skip


def _scored(bench: Bench, choice: BaselineChoice, submission: Path) -> Path:
    """The folder of the score, taken where it is not there yet."""
    from csg405.benchmark.scoring import score

    folder = _fresh(bench.place, submission)
    if folder is not None:
        log.info("%s: scored already", choice.title)
        return folder
    log.info("%s: scoring", choice.title)
    with bench.engine() as engine:
        return score.score(submission, bench.place, engine, video=bench.config.video, device=bench.device).folder


def _fresh(place: Place, folder: Path) -> Path | None:
    """The score of a submission, if it is there and would be the same again."""
    from csg405.benchmark import cards
    from csg405.benchmark.pages.scores import REPORT, RESULTS
    from csg405.benchmark.scoring import facts
    from csg405.benchmark.scoring.systems import Submitted
    from csg405.benchmark.submission import schema

    submission, _ = schema.parse((folder / schema.FILE).read_bytes())
    if submission is None:
        return None
    score = place.of(facts.folder_name(submission))
    held = _read(score / RESULTS)
    if held is None or not (score / REPORT).is_file():
        return None
    passed = {name: told["passed_its_card"] for name, told in held["metrics"].items()}
    same = (
        held["digests"] == place.digests
        and held["submission"] == facts.of_submission(submission, Submitted(folder, submission.inference.seeds), place)
        and passed == {name: cards.passed(place).get(name) for name in passed}
    )
    return score if same else None


def _read(path: Path) -> dict[str, Any] | None:
    """What a file of JSON says; none where there is no file, or a broken one."""
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return held if isinstance(held, dict) else None
