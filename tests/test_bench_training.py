"""Training: losses fall, one that was killed goes on with the same losses, and what is left behind is whole."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csg405.benchmark import models
from csg405.benchmark.audio.features import extractor
from csg405.benchmark.models.base import GestureModel
from csg405.benchmark.release import FeatureFolder, ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.training.checkpoints import Checkpoints, History
from csg405.benchmark.training.examples import example, fit, in_other_voices, windows_of
from csg405.benchmark.training.learning import rate_at
from csg405.benchmark.training.loop import train
from csg405.benchmark.training.settings import TrainSettings
from csg405.benchmark.training.validation import Validation
from csg405.errors import UserError
from tests import bench_release

SETTINGS: dict[str, dict[str, Any]] = {
    "flow-dit": {"width": 32, "layers": 2, "heads": 2, "frames": 30, "context": 6, "lookahead": 2, "steps": 2},
    "mdm-ddpm": {"width": 32, "layers": 2, "heads": 2, "feed": 32, "frames": 30, "context": 6, "steps": 4},
}
TINY = TrainSettings(
    steps=12, batch=4, stride=20, rate=3e-3, warm_up=2, ema=0.5, say_every=1, save_every=4, validate_every=6,
    validation_clips=2, samples=1,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    return bench_release.write(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def features(reader: ReleaseReader) -> FeatureFolder:
    held = FeatureFolder(reader.folders.work / "features")
    prosody = extractor("prosody")
    for clip in reader.iterate(reader.clips()):
        held.write(clip.clip_id, prosody(clip.sound.wave))
    return held


def untaught(name: str) -> GestureModel:
    torch.manual_seed(1)
    return models.create(name, features_dim=extractor("prosody").dim, **SETTINGS[name])


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in History(folder / "history.jsonl").lines() if "loss" in line]


@pytest.mark.parametrize("name", models.NAMES)
def test_a_training_that_was_stopped_goes_on_with_the_same_losses(
    name: str, reader: ReleaseReader, features: FeatureFolder, tmp_path: Path
) -> None:
    train(untaught(name), reader, features, tmp_path / "whole", TINY, device="cpu")
    wanted = losses(tmp_path / "whole")
    assert [step for step, _ in wanted] == list(range(1, 13))

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(model: GestureModel, step: int) -> dict[str, float]:
        raise Stopped

    with pytest.raises(Stopped):
        train(untaught(name), reader, features, tmp_path / "broken", TINY, device="cpu", validate=stop)
    assert [step for step, _ in losses(tmp_path / "broken")] == list(range(1, 7))  # two of them after the checkpoint
    place = train(untaught(name), reader, features, tmp_path / "broken", TINY, device="cpu")
    assert losses(tmp_path / "broken") == wanted
    one, other = (models.load(folder).state_dict() for folder in (place, tmp_path / "whole" / "model"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.long
@pytest.mark.parametrize("name", models.NAMES)
def test_a_training_that_was_killed_goes_on_with_the_same_losses(
    name: str, reader: ReleaseReader, features: FeatureFolder, tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"steps": 40, "save_every": 3})
    train(untaught(name), reader, features, tmp_path / "whole", settings, device="cpu")
    rng = np.random.default_rng(3)
    history = History(tmp_path / "killed" / "history.jsonl")
    for _ in range(4):
        process = multiprocessing.get_context("spawn").Process(
            target=_train, args=(name, reader, features, tmp_path / "killed", settings)
        )
        process.start()
        before = len(history.lines())
        while process.is_alive() and len(history.lines()) < before + 3:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.2)))
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    train(untaught(name), reader, features, tmp_path / "killed", settings, device="cpu")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def _train(name: str, reader: ReleaseReader, features: FeatureFolder, folder: Path, settings: TrainSettings) -> None:
    with one_thread():
        train(untaught(name), reader, features, folder, settings, device="cpu")


@pytest.mark.parametrize("name", models.NAMES)
def test_the_loss_falls(name: str, reader: ReleaseReader, features: FeatureFolder, tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"steps": 120, "batch": 8, "save_every": 120, "validate_every": 120})
    train(untaught(name), reader, features, tmp_path, settings, device="cpu")
    found = [loss for _, loss in losses(tmp_path)]
    assert np.mean(found[-20:]) < 0.8 * np.mean(found[:20])


def test_a_window_in_another_voice_has_its_mean_and_keeps_its_own_course() -> None:
    torch.manual_seed(2)
    features, within = torch.randn(5, 12, 3) + torch.arange(5)[:, None, None], torch.ones(5, 12, dtype=torch.bool)
    within[2, 7:] = False
    features[2, 7:] = 0
    found = in_other_voices(features, within, part=1.0)
    assert torch.allclose(found[1].mean(dim=0), features[0].mean(dim=0), atol=1e-5)
    assert torch.allclose(found[3].mean(dim=0), features[2, :7].mean(dim=0), atol=1e-5)
    assert torch.allclose(found[1].diff(dim=0), features[1].diff(dim=0), atol=1e-5)
    assert not found[2, 7:].any(), "what is beyond a clip stays empty"
    assert torch.equal(in_other_voices(features, within, part=0.0), features)
    changed = [(in_other_voices(features, within, part=0.5) != features).flatten(1).any(dim=1) for _ in range(200)]
    assert 0.4 < torch.stack(changed).float().mean() < 0.6


def test_validation_never_sees_another_split(reader: ReleaseReader, features: FeatureFolder, tmp_path: Path) -> None:
    asked: list[str] = []

    def listening(clip_id: str) -> np.ndarray:
        asked.append(clip_id)
        return features(clip_id)

    kit = bench_release.train(reader, tmp_path / "kit")
    model = untaught("flow-dit").eval()
    found = Validation(reader, listening, kit, 2, 1, tmp_path / "samples")(model, 7)
    assert {"kgd", "kgd_hands", "ba_kappa", "kin", "s_per_s"} <= set(found)
    assert asked
    assert {reader.entry(clip_id).split for clip_id in asked} == {"validation"}
    assert [path.suffix for path in (tmp_path / "samples" / "step-000000007").iterdir()] == [".mp4"]


def test_a_folder_belongs_to_one_training(reader: ReleaseReader, features: FeatureFolder, tmp_path: Path) -> None:
    short = TINY.model_copy(update={"steps": 1})
    train(untaught("flow-dit"), reader, features, tmp_path, short, device="cpu")
    with pytest.raises(UserError, match="another training"):
        train(untaught("flow-dit"), reader, features, tmp_path, TINY, device="cpu")
    with pytest.raises(UserError, match="another model"):
        train(untaught("mdm-ddpm"), reader, features, tmp_path, short, device="cpu")


def test_a_loss_that_is_no_number_ends_it(reader: ReleaseReader, features: FeatureFolder, tmp_path: Path) -> None:
    model = untaught("mdm-ddpm")
    with torch.no_grad():
        next(model.parameters()).fill_(float("inf"))
    with pytest.raises(UserError, match="smaller rate"):
        train(model, reader, features, tmp_path, TINY, device="cpu")


def test_an_example_hides_what_the_release_does_not_show(reader: ReleaseReader, features: FeatureFolder) -> None:
    model = untaught("flow-dit")
    windows = windows_of(model, reader, features, TINY)
    fit(model, windows, seed=1)
    batch = next(iter(windows))
    batch.mask[:, 5:9] = False
    batch.keypoints_px[:, 5:9] = 1e9
    given = example(model, batch)
    assert not given.mask[:, 5:9].any()
    assert (given.numbers[:, 5:9] == 0).all()
    assert given.numbers.abs().max() < 100


def test_the_rate_rises_and_falls() -> None:
    settings = TrainSettings(steps=110, warm_up=10, rate=1.0)
    assert [rate_at(step, settings) for step in (0, 4, 9, 10, 60)] == pytest.approx([0.1, 0.5, 1, 1, 0.5])
    assert rate_at(109, settings) < 1e-3


def test_only_the_last_checkpoints_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 100):
        checkpoints.write(step, lambda folder: folder.mkdir(parents=True), leads=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010", "step-000000100"]
    assert checkpoints.last() == tmp_path / "step-000000100"


def test_a_line_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for step in (1, 2, 3):
        history.tell({"step": step})
    history.path.write_text(history.path.read_text() + '{"step": 4, "lo')
    history.go_on_from(2)
    assert [json.loads(line) for line in history.path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
