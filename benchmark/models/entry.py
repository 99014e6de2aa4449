"""A model as a submission: predictions, what it is, what it was trained on, and the seal."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from csg405.benchmark import models
from csg405.benchmark.audio import cache, features
from csg405.benchmark.audio.settings import AudioSettings
from csg405.benchmark.data import Features
from csg405.benchmark.models.base import GestureModel, Sampling
from csg405.benchmark.models.predict import is_given_frames, write_predictions
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.submission import init, layout, lists, schema
from csg405.benchmark.submission.clips import of_run, video_hash
from csg405.engine import Engine
from csg405.errors import UserError
from csg405.lock import locked
from csg405.media.clock import FPS
from csg405.run import Folders
from csg405.table import remove_leftovers, write_text

_CONTACT = "nobody@example.org"

_MARK = re.compile(r"^<!-- made by csg405 benchmark sample: (.*) -->$", re.MULTILINE)


def write(
    source: str | Path,
    folder: Path,
    folders: Folders,
    engine: Engine,
    *,
    split: str,
    seeds: int,
    steps: int | None = None,
    guidance: float | None = None,
    weights: Path | None = None,
    name: str | None = None,
    device: str = "cpu",
    listening: Features | None = None,
) -> int:
    """Write a sealed submission of track A; predictions that are there already stay.

    Args:
        source: of the model: see `csg405.benchmark.models.load`.
        folder: of the submission; one that this function wrote before goes on.
        folders: of the run.
        engine: computes the sound's features.
        split: to predict.
        seeds: samples of each clip.
        steps: of sampling; the model's own if nothing is said.
        guidance: the same.
        weights: folder of an encoder that the model listens through; others need none.
        name: of the system; the model's own if nothing is said.
        device: where the model runs.
        listening: features of every clip, in place of those of its own sound.

    Returns:
        Predictions that were made.

    Raises:
        UserError: the model is not to be had or does not say what it has learnt from; the folder is being written, or
            holds something else, also predictions of another model or sampling; or the release lacks the split.
    """
    model = models.load(source, device=device)
    if model.trained_on is None:
        raise UserError(
            f"{source} does not say which videos it has learnt from; put its {layout.TRAINING_IDS} beside its weights"
        )
    sampling = model.sampling(steps=steps, guidance=guidance)
    reader = ReleaseReader(folders)
    made_by = {
        "model": _digest(model), "sampling": dataclasses.asdict(sampling), "seeds": seeds, "split": split,
        "release": reader.digest(split), "own_speech": listening is None,
    }  # fmt: skip
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(_beside(folder, "lock"), what=str(folder), command="benchmark sample"):
        _begin(folder, folders, made_by, split=split)
        for name_of_file in (schema.FILE, layout.REPORT, layout.TRAINING_IDS, layout.CHECKSUMS):
            remove_leftovers(folder / name_of_file)
        if listening is None:
            own = AudioSettings(folder=weights, layers=model.settings.features_layers)
            make = features.maker(features.chosen(own, model.settings.features), device=device)
            listening = cache.compute(reader, make, engine, split=split).features
        started = time.monotonic()
        written = write_predictions(model, reader, listening, folder, split=split, seeds=seeds, sampling=sampling)
        in_one_go = written == len(reader.clips(split)) * seeds
        seconds = sum(entry.n_frames for entry in reader.clips(split)) / FPS * seeds
        cost = (time.monotonic() - started) / seconds if in_one_go else None
        known = _speakers_known(model.trained_on, reader, split)
        _describe(folder, model, sampling, made_by, name=name, cost=cost, known=known)
        lists.write_training_hashes(folder, model.trained_on)
        init.seal(folder, video_ids=None)
    return written


def _beside(folder: Path, name: str) -> Path:
    """A file of ours beside a submission, which itself holds what is submitted and nothing else."""
    return folder.with_name(f".{folder.name}.{name}")


def _speakers_known(trained_on: frozenset[str], reader: ReleaseReader, split: str) -> bool | None:
    """Whether a model has learnt from speakers of a split; None where that cannot be told."""
    learnt = [entry for entry in reader.clips("train") if video_hash(entry.video_id) in trained_on]
    if trained_on != {video_hash(entry.video_id) for entry in learnt}:
        return None  # it has learnt from others, too
    return not {entry.speaker for entry in learnt}.isdisjoint(entry.speaker for entry in reader.clips(split))


def _begin(folder: Path, folders: Folders, made_by: Mapping[str, Any], *, split: str) -> None:
    """An empty submission, or one that was begun in the same way, which its REPORT.md says.

    Raises:
        UserError: the folder was begun in another way, or holds something else. Nothing is deleted then.
    """
    if folder.is_dir() and any(folder.iterdir()):
        held = _made_by(folder / layout.REPORT)
        if held is None:
            raise UserError(f"{folder} holds what this command did not make; take another folder")
        if wrong := [name for name in made_by if held.get(name) != made_by[name]]:
            raise UserError(
                f"{folder} holds a submission with another {', '.join(wrong)}; take another folder, or delete this one"
            )
        return
    begun = _beside(folder, "begun")
    shutil.rmtree(begun, ignore_errors=True)  # of one that was killed
    init.write_template(begun, of_run(folders.root, folders.name), split=split, track="A")
    write_text(begun / layout.REPORT, _marked("", made_by))
    try:
        begun.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: no folder can be made there ({error.strerror})") from error


def _marked(text: str, made_by: Mapping[str, Any]) -> str:
    """A text with what a submission is made by, in a comment at its end."""
    return f"{text}\n<!-- made by csg405 benchmark sample: {json.dumps(made_by, sort_keys=True)} -->\n"


def _made_by(report: Path) -> dict[str, Any] | None:
    """What a REPORT.md says of that; None where it says nothing."""
    try:
        found = _MARK.search(report.read_text(encoding="utf-8"))
        held = json.loads(found[1]) if found else None
    except (OSError, ValueError):
        return None
    return held if isinstance(held, dict) else None


def _digest(model: GestureModel) -> str:
    """SHA-256 of settings and weights."""
    found = hashlib.sha256(json.dumps(model.described(), sort_keys=True).encode())
    for name, values in sorted(model.state_dict().items()):
        found.update(name.encode() + values.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _describe(
    folder: Path,
    model: GestureModel,
    sampling: Sampling,
    made_by: Mapping[str, Any],
    *,
    name: str | None,
    cost: float | None,
    known: bool | None,
) -> None:
    """Fill in submission.yaml and REPORT.md."""
    path = folder / schema.FILE
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["system"] |= {"name": name or model.name}
    told["training"] |= {"speakers_seen": known}
    told["inference"] |= {
        "seeds": made_by["seeds"], "steps": sampling.steps, "guidance": sampling.guidance,
        "window_frames": model.settings.frames,
        "lookahead_frames": model.settings.lookahead, "reference_frame_policy": _policy(model),
    }  # fmt: skip
    told["cost"] |= {"parameters_m": round(model.parameters_m(), 3), "gpu": None if model.device.type == "cpu" else "1"}
    if cost is not None:
        told["cost"]["seconds_per_video_second"] = round(cost, 4)
    told["contact"] = told["contact"] or _CONTACT
    write_text(path, yaml.safe_dump(told, sort_keys=False))
    settings = json.dumps(model.described(), indent=1, sort_keys=True)
    text = f"# {told['system']['name']}\n\n{_lines(model)}\n\n```json\n{settings}\n```\n"
    write_text(folder / layout.REPORT, _marked(text, made_by))


def _policy(model: GestureModel) -> str:
    if is_given_frames(model):
        return f"first {model.lead} frames of the clip, which are part of the prediction"
    return "first frame that shows both shoulders"


def _lines(model: GestureModel) -> str:
    """The first paragraph of what the model's module says of it."""
    import sys

    text = sys.modules[type(model).__module__].__doc__ or ""
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).strip()
