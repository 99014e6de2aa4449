"""Training: losses fall, one that was killed goes on with the same losses, and what is left behind is whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from csg405.benchmark import models
from csg405.benchmark.audio.features import extractor
from csg405.benchmark.models.base import GestureModel
from csg405.benchmark.release import FeatureFolder, ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.training.checkpoints import Checkpoints, History
from csg405.benchmark.training.examples import example, fit, in_other_voices, windows_of
from csg405.benchmark.training.folder import TrainingFolder
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


@dataclasses.dataclass
class Alone:
    """What a checkpoint asks of a training: of one process, with a state of one file."""

    is_main_process: bool = True
    num_processes: int = 1
    error: Exception | None = None

    def wait_for_everyone(self) -> None:
        pass

    def save_state(self, output_dir: Path) -> None:
        output_dir.mkdir(parents=True)
        (output_dir / "state").touch()
        self._fail()

    def load_state(self, input_dir: Path) -> None:
        assert (input_dir / "state").is_file()
        self._fail()

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def held(
    folder: TrainingFolder, told: dict[str, Any], processes: Alone | None = None
) -> contextlib.AbstractContextManager[None]:
    return folder.claimed(told, processes or Alone(), command="benchmark train")


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


def test_a_validation_in_which_a_training_was_stopped_is_made_again(
    reader: ReleaseReader, features: FeatureFolder, tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"validate_every": 4})
    steps: list[int] = []

    def validate(_: GestureModel, step: int) -> dict[str, float]:
        steps.append(step)
        if steps in ([4], [4, 4, 8, 12]):
            raise KeyboardInterrupt
        return {"value": float(step)}

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(untaught("flow-dit"), reader, features, tmp_path, settings, device="cpu", validate=validate)
    train(untaught("flow-dit"), reader, features, tmp_path, settings, device="cpu", validate=validate)
    assert steps == [4, 4, 8, 12, 12]
    told = [
        line["validation_value"] for line in History(tmp_path / "history.jsonl").lines() if "validation_value" in line
    ]
    assert told == [4, 8, 12]


def test_trainings_of_two_precisions_follow_each_other(
    reader: ReleaseReader, features: FeatureFolder, tmp_path: Path
) -> None:
    for precision in ("bf16", "float32"):
        settings = TINY.model_copy(update={"precision": precision, "steps": 1})
        train(untaught("flow-dit"), reader, features, tmp_path / precision, settings, device="cpu")
    found = [models.load(tmp_path / precision / "model").state_dict() for precision in ("bf16", "float32")]
    assert any(not torch.equal(found[0][name], found[1][name]) for name in found[0]), "the second had its own"


@pytest.mark.long
def test_processes_train_one_model_together_and_go_on_when_killed(reader: ReleaseReader, tmp_path: Path) -> None:
    told = {**TINY.model_dump(), "steps": 20, "save_every": 2, "validation_clips": 0}
    words = [f"benchmark.train.{name}={value}" for name, value in told.items()]
    words += [f"benchmark.model.settings={json.dumps(SETTINGS['flow-dit'])}", "benchmark.model.size=null", "device=cpu"]
    command = [
        sys.executable, "-m", "csg405.cli", "benchmark", "train", "--run", reader.folders.name, "--out", str(tmp_path),
        "--workers", "1", *[word for text in words for word in ("--set", text)],
    ]  # fmt: skip
    history = History(tmp_path / "history.jsonl")

    def launch() -> list[subprocess.Popen[bytes]]:
        shared = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        told = [os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
        return [subprocess.Popen(command, cwd=reader.folders.root, env=each) for each in told]

    first = launch()
    while all(one.poll() is None for one in first) and not any(line["step"] >= 7 for line in history.lines()):
        time.sleep(0.01)
    for one in first:
        one.kill()
    assert [one.wait() for one in first] == [-signal.SIGKILL] * 2, "they were going on"
    assert [one.wait() for one in launch()] == [0, 0]
    assert [step for step, _ in losses(tmp_path)] == list(range(1, 21))
    assert models.load(tmp_path / "model").name == "flow-dit"
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000000018", "step-000000020"]
    assert len(list((tmp_path / "checkpoints" / "step-000000020").glob("random_states_*.pkl"))) == 2


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


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
    settings = TINY.model_copy(update={"steps": 300, "batch": 8, "save_every": 300, "validate_every": 300})
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
    with pytest.raises(UserError, match=r"another training\.steps, 1, not 12; take another folder"):
        train(untaught("flow-dit"), reader, features, tmp_path, TINY, device="cpu")
    with pytest.raises(UserError, match='another model, "flow-dit", not "mdm-ddpm"'):
        train(untaught("mdm-ddpm"), reader, features, tmp_path, short, device="cpu")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix in (".json", ".safetensors")}
    seldom = short.model_copy(update={"validate_every": 3, "save_every": 2, "say_every": 4})
    train(untaught("flow-dit"), reader, features, tmp_path, seldom, device="cpu")
    assert before == {path: path.stat().st_mtime_ns for path in before}, "what is done is left as it is"
    fewer = bench_release.write(tmp_path / "fewer", list(bench_release.clips())[1:])
    with pytest.raises(UserError, match="another train_clips"):
        train(untaught("flow-dit"), fewer, features, tmp_path, short, device="cpu")


def test_a_start_that_failed_leaves_the_folder_free(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "models" / "one")

    def begin(told: dict[str, int]) -> None:
        with pytest.raises(RuntimeError), held(folder, told):
            raise RuntimeError

    begin({"rate": 1})
    begin({"rate": 2})
    folder.checkpoints.write(1, Alone())
    with pytest.raises(UserError, match="another rate, 2, not 3"), held(folder, {"rate": 3}):
        pytest.fail("it is another's")


@pytest.mark.parametrize("record", [None, b"", b'{"model": "flow', b"[1]", b"\xff\xfe"])
def test_a_folder_that_does_not_say_whose_it_is_is_left_alone(tmp_path: Path, record: bytes | None) -> None:
    folder = TrainingFolder(tmp_path)
    folder.checkpoints.write(1, Alone())
    if record is not None:
        folder.record.write_bytes(record)
    with pytest.raises(UserError, match=r"training\.json does not say whose"), held(folder, {}):
        pytest.fail("nobody knows whose it is")
    assert folder.checkpoints.last() is not None


def test_one_program_trains_in_a_folder(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    holder = rf"is being written by csg405 benchmark train \(process {os.getpid()}, since "
    with held(folder, {}):
        with pytest.raises(UserError, match=holder), held(folder, {}):
            pytest.fail("two hold it")
        with held(folder, {}, Alone(is_main_process=False)):  # another process of the same training
            pass
    with held(folder, {}):
        pass


def test_a_file_is_no_folder_of_a_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "within"):
        with pytest.raises(UserError, match="no folder can be made"), held(TrainingFolder(path), {}):
            pytest.fail("there is a file")


def test_what_killed_programs_left_half_written_is_removed(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    halves = [tmp_path / ".history.jsonl.x.tmp.jsonl", folder.model / ".model.safetensors.y.tmp.safetensors"]
    mine = [
        tmp_path / ".draft.tmp.txt",
        tmp_path / ".vim.tmp" / "swap",
        folder.checkpoints.folder / "step-9-backup" / "x",
    ]
    halves.append(folder.checkpoints.folder / ".step-000000007" / "model.safetensors")
    wholes = [folder.record, folder.model / "config.json", *mine]
    for path in (*halves, *wholes):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    with held(folder, {}):
        assert not any(path.exists() for path in halves)
        assert all(path.exists() for path in wholes)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.bin", "custom_checkpoint_0.pkl"])
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_it_taken(
    file: str, reader: ReleaseReader, features: FeatureFolder, tmp_path: Path
) -> None:
    train(untaught("flow-dit"), reader, features, tmp_path / "whole", TINY, device="cpu")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    folder = TrainingFolder(tmp_path / "damaged")
    newest = folder.checkpoints.last()
    assert newest is not None
    assert newest.name == "step-000000012"
    (newest / file).write_bytes((newest / file).read_bytes()[:100])
    shutil.rmtree(folder.model)
    train(untaught("flow-dit"), reader, features, folder.path, TINY, device="cpu")
    assert losses(folder.path) == losses(tmp_path / "whole")
    assert sorted(path.name for path in folder.checkpoints.folder.iterdir()) == [
        "damaged-step-000000012", "step-000000008", "step-000000012",
    ]  # fmt: skip
    for path in folder.checkpoints.folder.glob("step-*"):
        (path / file).unlink()
    shutil.rmtree(folder.model)
    with pytest.raises(UserError, match=r"no checkpoint can be read .step-000000012: .*; step-000000008: "):
        train(untaught("flow-dit"), reader, features, folder.path, TINY, device="cpu")


@pytest.mark.parametrize("error", [RuntimeError("PytorchStreamWriter failed"), SafetensorError("No space left")])
def test_a_checkpoint_for_which_there_is_no_room_leaves_nothing_and_is_told(tmp_path: Path, error: Exception) -> None:
    folder = TrainingFolder(tmp_path)

    def write(step: int, processes: Alone) -> None:
        with held(folder, {}, processes):
            folder.checkpoints.write(step, processes)

    write(2, Alone())
    with pytest.raises(UserError, match=f"after 3 batches cannot be written .{error}.; make room"):
        write(3, Alone(error=error))
    assert [path.name for path in folder.checkpoints.folder.iterdir()] == ["step-000000002"]


def test_a_checkpoint_that_may_not_be_read_is_not_taken_for_damaged(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, Alone())
    checkpoints.write(2, Alone())
    with pytest.raises(PermissionError):
        checkpoints.load_last(Alone(error=PermissionError()))
    with pytest.raises(UserError, match=r"step-000000002: odd; step-000000001: odd.; move them away"):
        checkpoints.load_last(Alone(error=ValueError("odd\nand more")))
    assert len(list(tmp_path.iterdir())) == 2


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
        checkpoints.write(step, Alone())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010", "step-000000100"]
    assert checkpoints.last() == tmp_path / "step-000000100"


def test_a_line_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for step in (1, 2, 3):
        history.tell({"step": step})
    history.path.write_text(history.path.read_text() + '{"step": 4, "lo')
    for cut in (b"\xff\xfe\n", b"[1]\n", b'{"a": 1}\n', b""):
        history.path.write_bytes(history.path.read_bytes() + cut)
        assert [line["step"] for line in history.lines()] == [1, 2, 3]
    history.go_on_from(2)
    assert [json.loads(line) for line in history.path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
