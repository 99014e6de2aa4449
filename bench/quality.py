"""How good trained models are: a table through the evaluator, motions of a minute, and a film.

A release of true poses is made (an hour of speech by 40 talkers, 12 of them unseen), a kit is trained, and both models
are trained on it with budgets that take two cores under 40 minutes each. What is there already is not made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import time
import wave as wave_files
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.common import Figure
from csg405 import engine
from csg405 import keypoints as kp
from csg405.benchmark import models
from csg405.benchmark.audio import cache, features
from csg405.benchmark.audio.settings import AudioSettings
from csg405.benchmark.clip import Clip, Seen, Sound, truth_of
from csg405.benchmark.data import Features
from csg405.benchmark.kit import Kit
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.kit.train import train as train_kit
from csg405.benchmark.metric import Key
from csg405.benchmark.metrics import kgd
from csg405.benchmark.metrics._motion import changes
from csg405.benchmark.models import entry
from csg405.benchmark.models.base import GestureModel, Request
from csg405.benchmark.models.long import stream
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring.compare import Comparison, compare
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import Scored, control_book, control_values, score
from csg405.benchmark.training.loop import train
from csg405.benchmark.training.settings import TrainSettings
from csg405.benchmark.training.validation import Validation
from csg405.config import EngineSettings
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.run import Folders
from csg405.schema import FloatArray
from csg405.synth import film
from csg405.synth.truth import write_truth

SEEDS = 3
STEPS = (5, 20)
"""Of sampling, beside flow-dit's own 10."""
KIT = KitSettings(encoders=1, steps=1000, tower_steps=1000)
TRAINED: dict[str, dict[str, Any]] = {
    "flow-dit": {"settings": {}, "train": {"steps": 5000, "batch": 32, "rate": 1e-3}},
    "mdm-ddpm": {"settings": {"frames": 100}, "train": {"steps": 4200, "batch": 32, "rate": 5e-4}},
}
COMMON: dict[str, Any] = {"warm_up": 200, "ema": 0.999, "say_every": 100, "save_every": 500, "validate_every": 1000}
LONG_S = 60
EDGE_S = 10
_REACH = 3
"""Frames after a frame that its jerk is taken from: the order of the derivative."""
_BEATEN = ("random_clip", "audio_retrieval")
_SWAPPED = "itself under other speech"
SHOWN = ("kgd", "kgd_hands", "sga_auc", "ba_kappa", "kin", "lip_r")


def figures(root: Path) -> list[Figure]:
    """All of them; the table of systems is printed and written beside."""
    folders = Folders(root, "truth")
    write_truth(folders, minutes=60, talkers=40)
    place = Place(folders=folders, split="test", kit=_kit(root, folders))
    with _engine() as workers:
        scored = {name: _scored(root, name, place, workers) for name in TRAINED}
        scored |= {f"flow-dit-{steps}-steps": _scored(root, "flow-dit", place, workers, steps=steps) for steps in STEPS}
        swapped = _swapped(root, place, workers)
    against_mdm, against_swapped = (compare(scored["flow-dit"].folder, other.folder)
                                    for other in (scored["mdm-ddpm"], swapped))  # fmt: skip
    table = {name: _values(found) for name, found in scored.items()}
    controls = _controls(place)
    lines = _table({**controls, **table}) + _differences(scored["flow-dit"], against_mdm, against_swapped)
    (root / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    flow, mdm, mean, random = table["flow-dit"], table["mdm-ddpm"], controls["mean_pose"], controls["random_clip"]
    seams, drift = _long(root, place)
    return [
        *(_figure(f"{short}_{value}", held[value]) for short, held in (("flow", flow), ("mdm", mdm))
          for value in ("kgd", "kgd_hands", "sga_auc", "ba_kappa")),
        _figure("mean_pose_kgd", mean["kgd"]), _figure("random_clip_kgd", random["kgd"]),
        *_leads(scored["flow-dit"], against_swapped),
        *(Figure(name=f"flow_{value}_way_to_mean_pose", runs=[_way(flow, random, mean, value)], unit="part",
                 better="lower", bar=0.25, against="from a random real clip to the mean pose, 12 unseen talkers")
          for value in ("kgd", "kgd_hands")),
        Figure(name="seam_jerk_ratio", runs=[seams], unit="ratio", better="lower", bar=1.05,
               against="jerk at joins over that inside windows, 60 s of 12 talkers"),
        Figure(name="seam_kgd_ratio", runs=[drift], unit="ratio", better="lower", bar=1.2,
               against="KGD of the last 10 s of 60 over the first"),
        Figure(name="generate_10s_s", runs=[generate(root) for _ in range(2)], unit="s", better="lower", bar=60,
               against="csg405 generate, 10 s of speech, flow-dit tiny and warp on the processor"),
    ]  # fmt: skip


def _figure(name: str, value: float) -> Figure:
    higher = name.endswith(("auc", "kappa"))
    return Figure(name=name, runs=[value], unit="1", better="higher" if higher else "lower", bar=None,
                  against="12 unseen talkers of the synthetic world, 3 seeds")  # fmt: skip


def _way(own: dict[str, float], first: dict[str, float], last: dict[str, float], name: str) -> float:
    return (own[name] - first[name]) / (last[name] - first[name])


@contextlib.contextmanager
def _engine() -> Iterator[engine.Engine]:
    with contextlib.closing(engine.make(EngineSettings(workers=2), kind="local", device="cpu")) as workers:
        yield workers


def _kit(root: Path, folders: Folders) -> Kit:
    if not (root / "kit" / "kit.json").is_file():
        train_kit(ReleaseReader(folders), root / "kit", KIT)
    return Kit.open(root / "kit")


def _features(place: Place) -> Features:
    with _engine() as workers:
        return cache.compute(place.reader, features.maker(AudioSettings()), workers).features


def _model(root: Path, name: str, place: Place) -> Path:
    """The folder of a trained model; one that is whole takes no more steps, one of other settings is an error."""
    folder, told = root / "models" / name, TRAINED[name]
    held = _features(place)
    settings = TrainSettings(**{**COMMON, **told["train"]})
    made = models.create(name, size="tiny", features_dim=features.extractor("prosody").dim, **told["settings"])
    validate = Validation(place.reader, held, place.kit, clips=24, samples=1, folder=folder / "samples")
    started, whole = time.monotonic(), (folder / "model").is_dir()
    found = train(made, place.reader, held, folder, settings, device="cpu", validate=validate)
    if not whole:
        print(f"{name}: {made.parameters_m():.2f} M parameters, trained in {(time.monotonic() - started) / 60:.1f} min")
    return found


def _scored(root: Path, name: str, place: Place, workers: engine.Engine, *, steps: int | None = None) -> Scored:
    title = name if steps is None else f"{name}-{steps}-steps"
    model = _model(root, name, place)
    folder = root / "entries" / title
    entry.write(model, folder, place.folders, workers, split="test", seeds=SEEDS, name=title, steps=steps)
    return score(folder, place, workers)


def _swapped(root: Path, place: Place, workers: engine.Engine) -> Scored:
    """The model's motions for other talkers' speech, scored beside the clips' own."""
    held, entries = _features(place), place.entries
    others = {one.clip_id: _other(one, number, entries) for number, one in enumerate(entries)}
    model = _model(root, "flow-dit", place)
    folder = root / "entries" / "flow-dit-swapped"

    def of_other(clip_id: str) -> FloatArray:
        rows = held(others[clip_id].clip_id)
        return rows[np.arange(place.reader.entry(clip_id).n_frames) % len(rows)]

    entry.write(
        model, folder, place.folders, workers, split="test", seeds=SEEDS,
        name="flow-dit-swapped", listening=of_other,
    )  # fmt: skip
    return score(folder, place, workers)


def _other(own: Entry, number: int, entries: list[Entry]) -> Entry:
    """A clip of another talker."""
    shifted = entries[number + len(entries) // 2 :] + entries[: number + len(entries) // 2]
    return next(one for one in shifted if one.speaker != own.speaker)


def _values(found: Scored) -> dict[str, float]:
    return {name: told["value"] for name, told in found.results["metrics"].items() if told["value"] is not None}


def _controls(place: Place) -> dict[str, dict[str, float]]:
    with _engine() as workers:
        return control_values(control_book(place, workers, with_towers=True))  # type: ignore[return-value]


def _table(systems: dict[str, dict[str, float]]) -> list[str]:
    head = ["| system | " + " | ".join(SHOWN) + " |", "|---|" + "---|" * len(SHOWN)]
    rows = [
        f"| {name} | " + " | ".join("" if held.get(one) is None else f"{held[one]:.3f}" for one in SHOWN) + " |"
        for name, held in systems.items()
    ]
    return [*head, *rows, ""]


def _differences(flow: Scored, mdm: Comparison, swapped: Comparison) -> list[str]:
    """Who wins by what: flow-dit against controls, mdm-ddpm and itself under other speech."""
    lines = ["| flow-dit against | metric | difference | interval | p (Holm) |", "|---|---|---|---|---|"]
    lines += [
        _line(row["against"], row["metric"], row["difference"], row["interval"], row["p_holm"])
        for row in flow.results["comparisons"]
        if row["against"] in (*_BEATEN, "mean_pose", "truth") and row["metric"] in SHOWN
    ]
    for name, found in (("mdm-ddpm", mdm), (_SWAPPED, swapped)):
        lines += [
            f"| {name} | {row.metric} | {row.why_not} | | |" if row.interval is None
            else _line(name, row.metric, row.difference, row.interval, row.p_holm)
            for row in found.rows if row.metric in SHOWN
        ]  # fmt: skip
    return lines


def _line(other: str, name: str, difference: Any, interval: Any, p: Any) -> str:
    low, high = interval
    return f"| {other} | {name} | {difference:+.3f} | {low:+.3f} to {high:+.3f} | {p:.3g} |"


def _leads(flow: Scored, swapped: Comparison) -> list[Figure]:
    """By what flow-dit is better for certain, in alignment with the sound."""
    lows = {(row["against"], row["metric"]): row["interval"][0] for row in flow.results["comparisons"]}
    lows |= {(_SWAPPED, row.metric): row.interval[0] for row in swapped.rows if row.interval is not None}
    return [
        Figure(name=f"flow_{metric}_over_{other.replace(' ', '_')}", runs=[lows[other, metric]], unit="1",
               better="higher", bar=0,
               against="lower end of the 95 % interval of the paired difference, clustered by talker")
        for other in (*_BEATEN, _SWAPPED) for metric in ("sga_auc", "ba_kappa")
    ]  # fmt: skip


# ---- a minute


def _long(root: Path, place: Place) -> tuple[float, float]:
    """Jerk at joins over that inside windows, and KGD of the last 10 s over that of the first."""
    model = models.load(_model(root, "flow-dit", place))
    extractor = features.extractor("prosody")
    at_joins, inside = [], []
    edges: dict[str, dict[Key, Any]] = {"first": {}, "last": {}}
    for number, (clip, sound) in enumerate(_minutes(place)):
        for seed in range(SEEDS):
            motion, joins = _whole(model, clip, extractor(sound.wave), seed=seed)
            jerk = _jerk(motion / clip.shoulders_px)
            joined = np.zeros(len(jerk), np.bool_)
            for join in joins:
                joined[max(join - _REACH, 0) : join] = True
            at_joins.append(jerk[joined].mean())
            inside.append(jerk[~joined].mean())
            for name, part in (("first", slice(0, EDGE_S * FPS)), ("last", slice(-EDGE_S * FPS, None))):
                edges[name][Key(f"{number}", seed)] = kgd.measure(_as_seen(clip, motion[part], place.kit))
    truth = {
        Key(clip.clip_id, 0): kgd.measure(truth_of(clip, kit=place.kit)) for clip in place.reader.iterate(place.entries)
    }
    first, last = (kgd.compute(edges[name], truth)["kgd"] for name in ("first", "last"))
    print(f"60 s: jerk at joins {np.mean(at_joins):.1f}, inside {np.mean(inside):.1f}; KGD {first:.4f}, {last:.4f}")
    return float(np.mean(at_joins) / np.mean(inside)), float((last or 0) / (first or 1))


def _minutes(place: Place) -> Iterator[tuple[Clip, Sound]]:
    """A clip of each talker, and a minute of the talker's speech."""
    speakers: dict[str, list[Entry]] = {}
    for one in place.entries:
        speakers.setdefault(one.speaker, []).append(one)
    for held in speakers.values():
        clips = list(place.reader.iterate(held))
        samples = np.concatenate([clip.sound.samples for clip in clips])
        yield clips[0], Sound(np.resize(samples, LONG_S * AUDIO_RATE_HZ))


def _whole(model: GestureModel, clip: Clip, rows: FloatArray, *, seed: int) -> tuple[FloatArray, list[int]]:
    request = Request(
        features=rows, reference_px=clip.keypoints_px[0], reference_score=clip.score[0], seed=seed
    )  # fmt: skip
    pieces = [piece for (piece,) in stream(model, [request])]
    return np.concatenate(pieces), np.cumsum([len(piece) for piece in pieces])[:-1].tolist()


def _jerk(motion: FloatArray) -> FloatArray:
    """[n - 3] mean over the upper body's points of the jerk, shoulder widths/s^3."""
    points = motion[:, kp.UPPER_BODY]
    size, _ = changes(points, np.ones(points.shape[:2], np.bool_), order=_REACH)
    return np.asarray(size.mean(axis=1), np.float32)


def _as_seen(clip: Clip, motion: FloatArray, kit: Kit) -> Seen:
    made = dataclasses.replace(
        clip, clip_id=f"{clip.clip_id}.made", keypoints_px=motion, score=np.ones(motion.shape[:2], np.float32),
        sound=Sound(np.zeros(len(motion) * SAMPLES_PER_FRAME, np.int16)),
    )  # fmt: skip
    return Seen(made, motion, kit)


# ---- a film


def talking() -> film.Take:
    """A talker whom the release does not know."""
    return film.take(90_001, words=40, width=768, height=768)


def generate(root: Path) -> float:
    """Seconds for a film of 10 s of that talker, `film.mp4`, by the command."""
    picture, sound = root / "person.png", root / "speech.wav"
    take = talking()
    image, _ = next(iter(take.draw()))
    cv2.imwrite(str(picture), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    samples = np.rint(take.samples()[: 10 * AUDIO_RATE_HZ] * 32767).astype("<i2")
    with wave_files.open(str(sound), "wb") as file:
        file.setparams((1, 2, AUDIO_RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    started = time.monotonic()
    command = [
        sys.executable, "-m", "csg405.cli", "generate", "--image", str(picture), "--audio", str(sound),
        "--out", str(root / "film.mp4"), "--model", str(root / "models" / "flow-dit" / "model"), "--pose", "synthetic",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return time.monotonic() - started
