"""Scoring from end to end on the synthetic world's truth, and what BA-kappa and SGA must tell apart there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from csg405 import engine
from csg405.benchmark import metric
from csg405.benchmark.clip import Seen
from csg405.benchmark.controls import BY_NAME, CONTROLS, Context, made
from csg405.benchmark.kit import Kit
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.metric import Accumulator
from csg405.benchmark.metrics import ba_kappa, beat_legacy_emage, beat_legacy_ha2g, sga
from csg405.benchmark.perturb import damped, jittered, smoothed
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.plan import CHUNK_CLIPS, Sounds, partners
from csg405.benchmark.scoring.score import Scored, score
from csg405.benchmark.submission.clips import of_run
from csg405.benchmark.submission.init import seal, write_template
from csg405.config import EngineSettings
from csg405.errors import UserError
from csg405.run import Folders
from csg405.synth.truth import write_truth
from tests import bench_release as small
from tests import submission_kit

pytestmark = pytest.mark.long

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")

RUN = "truth"
SEEDS = 2
SETTINGS = {"encoders": 1, "steps": 4, "width": 8, "tower_steps": 4, "tower_width": 8, "tower_batch": 8}


@dataclasses.dataclass(frozen=True)
class World:
    """A root that holds a release, a kit, and a submission."""

    root: Path

    @property
    def folders(self) -> Folders:
        return Folders(self.root, RUN)

    @property
    def kit(self) -> Kit:
        return Kit.open(self.folders.work / "benchmark" / "kit")

    @property
    def submission(self) -> Path:
        return self.root / "wavers"

    @property
    def place(self) -> Place:
        return Place(folders=self.folders, split="test", kit=self.kit)

    def copy(self, root: Path) -> World:
        """Another root with the same release, kit and submission, and no scores."""
        (root / "manifests").mkdir(parents=True)
        (root / "manifests" / RUN).symlink_to(self.folders.manifests)
        other = World(root)
        (other.folders.work / "benchmark").mkdir(parents=True)
        (other.folders.work / "release").symlink_to(self.folders.work / "release")
        shutil.copytree(self.kit.folder, other.folders.work / "benchmark" / "kit")
        shutil.copytree(self.submission, other.submission)
        return other

    def parts(self) -> dict[str, tuple[str, int]]:
        """The files of all rows: digest, and when they were written."""
        return {
            path.relative_to(self.folders.work).as_posix(): (
                hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns,
            )
            for path in sorted((self.folders.work / "benchmark").rglob("part-*.parquet"))
        }  # fmt: skip

    def digests(self) -> dict[str, str]:
        """Of all rows."""
        return {name: digest for name, (digest, _) in self.parts().items()}


@contextlib.contextmanager
def working(kind: str = "local", *, workers: int = 2) -> Iterator[engine.Engine]:
    with contextlib.closing(engine.make(EngineSettings(workers=workers), kind=kind, device="cpu")) as made_:
        yield made_


def scored(world: World, *, kind: str = "local", workers: int = 2, path: Path | None = None, **options: Any) -> Scored:
    with working(kind, workers=workers) as on:
        return score(path or world.submission, world.place, on, **options)


def submit(world: World) -> None:
    """Truth that is smoothed, damped and noisy, as a submission."""
    write_template(world.submission, of_run(world.root, RUN), split="test", track="A")

    def fill(held: dict[str, Any]) -> None:
        held["system"]["name"], held["contact"] = "Wavers", "somebody@example.org"
        held["inference"]["seeds"] = SEEDS

    submission_kit.change(world.submission, fill)
    reader = ReleaseReader(world.folders)
    for clip in reader.iterate(reader.clips("test")):
        for seed in range(SEEDS):
            rng = np.random.default_rng([seed, *clip.clip_id.encode()])
            motion = smoothed(clip, 5, rng)
            for change, size in ((damped, 0.85), (jittered, 1.0)):
                motion = change(dataclasses.replace(clip, keypoints_px=motion), size, rng)
            place = submission_kit.place(world.submission, clip.clip_id, seed=seed)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(submission_kit.npz(keypoints=motion))
    seal(world.submission, video_ids=["nobody"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Not scored; tests score copies of it."""
    made_ = World(tmp_path_factory.mktemp("world"))
    write_truth(made_.folders, minutes=2, talkers=8, seed=11, workers=2, clip_s=(4.0, 5.0), test=0.6)
    small.train(ReleaseReader(made_.folders), made_.folders.work / "benchmark" / "kit", KitSettings(**SETTINGS))
    submit(made_)
    assert len(made_.place.entries) > CHUNK_CLIPS  # or there is one chunk, and nothing to divide
    return made_


@pytest.fixture(scope="module")
def alone(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Scored by one worker."""
    copy = world.copy(tmp_path_factory.mktemp("alone") / "root")
    scored(copy, workers=1)
    return copy


def outputs(world: World) -> dict[str, bytes]:
    folder = world.place.of("Wavers-1")
    return {name: (folder / name).read_bytes() for name in ("results.json", "per_clip.parquet")}


def told(world: World) -> dict[str, Any]:
    return dict(json.loads(outputs(world)["results.json"]))


def assert_same_scores(one: World, other: World) -> None:
    """Byte by byte; the block `environment` is the same on one machine."""
    assert told(one)["environment"] == told(other)["environment"]
    assert outputs(one) == outputs(other)
    assert one.digests() == other.digests()


# ---- the same bytes


def test_two_workers_give_the_same_bytes_as_one(world: World, alone: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    scored(copy, workers=2)
    assert_same_scores(copy, alone)
    assert len(copy.parts()) == 2 * 2  # of controls and of the submission


def test_ray_gives_the_same_bytes(world: World, alone: World, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
    copy = world.copy(tmp_path / "root")
    scored(copy, kind="ray")
    assert_same_scores(copy, alone)


def test_an_archive_gives_the_same_score_as_its_folder(world: World, alone: World, tmp_path: Path) -> None:
    before = outputs(alone)
    copy = tmp_path / "copy"
    shutil.copytree(alone.submission, copy)
    packed = shutil.make_archive(str(tmp_path / "wavers"), "zip", copy)
    scored(alone, path=Path(packed))
    assert outputs(alone) == before


# ---- what is measured again


def test_a_second_run_measures_nothing(alone: World) -> None:
    before, files = alone.parts(), outputs(alone)
    scored(alone)
    assert alone.parts() == before
    assert outputs(alone) == files


def test_a_changed_prediction_costs_its_chunk_and_no_more(alone: World, tmp_path: Path) -> None:
    copy = World(shutil.copytree(alone.root, tmp_path / "root", symlinks=True))
    scored(copy)  # the copy's files are new, and what they hold is not
    before, result = copy.parts(), told(copy)
    clip_id = copy.place.entries[0].clip_id
    path = submission_kit.place(copy.submission, clip_id, seed=1)
    with np.load(path) as held:
        motion = held["keypoints"]
    path.write_bytes(submission_kit.npz(keypoints=motion + np.float32(0.25)))
    seal(copy.submission, video_ids=None)
    scored(copy)
    after = copy.parts()
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1
    assert changed[0].startswith("benchmark/submissions/")
    assert told(copy)["submission"]["predictions"] != result["submission"]["predictions"]
    assert told(copy)["score_id"] == result["score_id"]


def test_a_run_that_was_killed_goes_on_where_it_was(world: World, alone: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    command = [sys.executable, "-m", "csg405.cli", "submission", "score", str(copy.submission), "--run", RUN,
               "--workers", "1"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=copy.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not copy.parts() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = copy.parts()
    assert 0 < len(there) < 4
    scored(copy, workers=1)
    assert {name: copy.parts()[name] for name in there} == there
    assert_same_scores(copy, alone)


# ---- what is refused


def test_another_score_id_is_refused_before_anything_is_measured(world: World, alone: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    found = told(alone)["score_id"]
    with pytest.raises(UserError, match=f"this data, kit and evaluator give score id {found}, and the .* is 0123"):
        scored(copy, wanted_score="0123")
    assert copy.parts() == {}
    before = outputs(alone)
    scored(alone, wanted_score=found)
    assert outputs(alone) == before


def test_a_submission_that_is_wrong_says_the_first_reason(world: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    clip_id = copy.place.entries[0].clip_id
    path = submission_kit.place(copy.submission, clip_id)
    with np.load(path) as held:
        path.write_bytes(submission_kit.npz(keypoints=held["keypoints"][:-1]))
    with pytest.raises(UserError, match=r"wavers is refused for \d+ reasons; the first: \w+ in .*submission validate"):
        scored(copy)
    seal(copy.submission, video_ids=None)
    with pytest.raises(UserError, match=rf"is refused for 1 reasons; the first: \w+ in .*{clip_id}/seed0.npz.*, seen"):
        scored(copy)
    assert copy.parts() == {}


def test_another_split_and_another_track_are_refused(world: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    validation = dataclasses.replace(copy.place, split="validation")
    with working() as on, pytest.raises(UserError, match="for split test, and validation is to be scored"):
        score(copy.submission, validation, on)
    submission_kit.change(copy.submission, lambda held: held.update(track="B"))
    seal(copy.submission, video_ids=None)
    with pytest.raises(UserError, match="is refused for"):  # skeletons are no films
        scored(copy)
    assert copy.parts() == {}


# ---- what a score says


def test_a_score_says_all_that_it_should(alone: World) -> None:
    found = told(alone)
    names = [control.name for control in CONTROLS]
    assert list(found["controls"]) == names
    assert found["digests"] == alone.place.digests
    assert found["submission"]["system"]["name"] == "Wavers"
    assert found["clips"] == len(alone.place.entries)
    assert found["speakers"] == 5
    skeleton = {card.name for module in metric.modules().values() for card in module.CARDS}
    assert set(found["metrics"]) == skeleton
    for name, row in found["metrics"].items():
        assert (row["value"] is None) == (row["why_not"] is not None), name
        assert row["truth"] == found["controls"]["truth"][name]
        if row["interval"] is not None:
            assert row["interval"][0] <= row["value"] <= row["interval"][1], name
    told_values = [found["metrics"][name]["value"] for name in ("kin", "kgd", "coverage", "lip_r", "sga_auc")]
    assert all(value is not None for value in told_values)
    assert found["metrics"]["kin"]["between_seeds"] > 0
    against = {(row["metric"], row["against"]) for row in found["comparisons"]}
    assert {("kin", name) for name in names} <= against
    frozen = next(row for row in found["comparisons"] if (row["metric"], row["against"]) == ("kin", "frozen_reference"))
    assert frozen["difference"] < 0  # less of what is better low
    table = pd.read_parquet(alone.place.of("Wavers-1") / "per_clip.parquet")
    assert table.clip_id.tolist() == sorted(entry.clip_id for entry in alone.place.entries)
    assert table.coverage.mean() == pytest.approx(found["metrics"]["coverage"]["value"], rel=1e-6)


def test_the_truth_of_a_score_is_better_than_chance(alone: World) -> None:
    found = told(alone)
    for name in ("kin", "coverage", "lip_r", "ba_kappa"):
        row = found["metrics"][name]
        better = row["truth"] > row["chance"] if row["direction"] == "higher" else row["truth"] < row["chance"]
        assert better, name


# ---- the command line


def csg405(root: Path, *words: str, overrides: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "csg405.cli", *words],
        cwd=root,
        env=os.environ | {"CSG405_SET": overrides},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_commands_train_score_and_print(world: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    shutil.rmtree(copy.kit.folder)
    few = " ".join(f"benchmark.kit.{name}={value}" for name, value in SETTINGS.items())
    done = csg405(copy.root, "submission", "score", str(copy.submission), "--run", RUN)
    assert done.returncode == 2
    assert "holds no kit" in done.stderr
    assert "csg405 benchmark kit train" in done.stderr
    done = csg405(copy.root, "benchmark", "kit", "train", "--run", RUN, overrides=few)
    assert done.returncode == 0, done.stderr
    digest = copy.kit.digest
    assert digest[:16] in done.stdout
    assert copy.kit.facts["steps"] == SETTINGS["steps"]
    done = csg405(copy.root, "benchmark", "kit", "train", "--run", RUN, overrides=few)
    assert done.returncode == 0
    assert "is there already" in done.stdout
    assert copy.kit.digest == digest
    done = csg405(copy.root, "benchmark", "run", "--run", RUN, "--workers", "2")
    assert done.returncode == 0, done.stderr
    for control in CONTROLS:
        assert control.name in done.stdout  # whole, however many columns there are
    assert "…" not in done.stdout
    held = json.loads((copy.folders.work / "benchmark" / "controls-test.json").read_text())
    assert held["digests"] == copy.place.digests
    parts = copy.parts()
    done = csg405(copy.root, "submission", "score", str(copy.submission), "--run", RUN, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert told(copy)["score_id"] in done.stdout
    assert {name: copy.parts()[name] for name in parts} == parts  # controls are measured once for all
    done = csg405(copy.root, "submission", "score", str(copy.submission), "--run", RUN, "--score-id", "0123")
    assert done.returncode == 2
    assert "the leaderboard's is 0123" in done.stderr
    done = csg405(copy.root, "benchmark", "run", "--run", RUN, "--split", "train2")
    assert done.returncode == 2
    assert "train2" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_benchmark_run_trains_a_kit_where_there_is_none(world: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "root")
    shutil.rmtree(copy.kit.folder)
    few = " ".join(f"benchmark.kit.{name}={value}" for name, value in {**SETTINGS, "towers": "false"}.items())
    done = csg405(copy.root, "benchmark", "run", "--run", RUN, "--split", "validation", overrides=few)
    assert done.returncode == 0, done.stderr
    assert not copy.kit.has_towers
    assert "sga_auc" not in done.stdout
    values = json.loads((copy.folders.work / "benchmark" / "controls-validation.json").read_text())["values"]
    assert "kgd" in values["truth"]
    assert "sga_auc" not in values["truth"]


# ---- acceptance


LEGACY = (beat_legacy_emage, beat_legacy_ha2g)
JUDGED = (
    "truth", "other_audio", "random_clip", "white_noise", "smooth", "smooth_jittered", "noise_4px", "time_shift",
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float | None]]:
    """Values of controls for talkers that the kit has never seen."""
    root = tmp_path_factory.mktemp("unseen")
    folders = Folders(root, RUN)
    write_truth(folders, minutes=30, talkers=24, seed=17, workers=2)
    reader = ReleaseReader(folders)
    settings = KitSettings(
        encoders=1, steps=1, width=8, batch=8, tower_steps=300, tower_width=64, tower_batch=32, rate=4e-3
    )
    kit = small.train(reader, root / "kit", settings)
    entries = reader.clips("test")
    assert not {entry.speaker for entry in entries} & {entry.speaker for entry in reader.clips("train")}
    sounds = Sounds(reader, partners(entries))
    modules = (ba_kappa, sga, *LEGACY)
    held = {name: [Accumulator(module) for module in modules] for name in JUDGED}  # type: ignore[arg-type]
    clips = {clip.clip_id: clip for clip in reader.iterate(entries)}
    with one_thread():
        for clip in clips.values():
            context = Context(kit, sounds.other(clip, clips))
            for name in JUDGED:
                heard, points = made(BY_NAME[name], clip, context)
                for accumulator in held[name]:
                    accumulator.update(Seen(heard, points, kit))
    return {
        name: {card: value for own, true in zip(of_name, held["truth"], strict=True)
               for card, value in own.compute(true).items()}
        for name, of_name in held.items()
    }  # fmt: skip


def test_ba_kappa_tells_aligned_motion_from_all_that_is_not(judged: dict[str, dict[str, float]]) -> None:
    assert judged["truth"]["ba_kappa"] >= 0.5
    for name in ("other_audio", "random_clip", "white_noise", "smooth", "smooth_jittered"):
        assert abs(judged[name]["ba_kappa"]) <= 0.05, name
    for name in ("other_audio", "random_clip"):  # which beat as often as the truth, and not when it does
        assert judged[name]["beats"] > 0.8, name
    assert judged["truth"]["beat_lag"] == 0
    assert judged["time_shift"]["ba_kappa"] < 0
    assert judged["time_shift"]["beat_lag"] == pytest.approx(0.48)


def test_sga_tells_a_motions_own_speech_from_anothers(judged: dict[str, dict[str, float]]) -> None:
    assert judged["truth"]["sga_auc"] >= 0.8
    assert judged["other_audio"]["sga_auc"] <= 0.55
    for name in ("random_clip", "white_noise", "smooth", "smooth_jittered"):
        assert judged[name]["sga_auc"] <= 0.6, name
    assert judged["truth"]["sga_r1"] >= 0.5
    assert judged["other_audio"]["sga_r1"] <= 0.1
    assert judged["truth"]["sga_offset"] >= 0.7
    assert judged["time_shift"]["sga_offset"] <= 0.2
    assert judged["truth"]["sga_same_speaker"] == 1


def test_the_published_beat_scores_do_not(judged: dict[str, dict[str, float]]) -> None:
    for name in ("beat_legacy_emage", "beat_legacy_ha2g"):
        noise = max(judged[control][name] for control in ("white_noise", "smooth_jittered", "noise_4px"))
        assert noise >= judged["truth"][name], name
