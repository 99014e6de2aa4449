"""The renderer `pose-diffusion`: its contract, its folder, what it learns from, and that it goes on where it was."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from csg405 import keypoints as kp
from csg405 import media, table
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.renderers import renderer
from csg405.benchmark.renderers.pose_diffusion import folder
from csg405.benchmark.renderers.pose_diffusion.latents import Patches, latents_of
from csg405.benchmark.renderers.pose_diffusion.network import PoseDiffusionNetwork, Seen, parts_of
from csg405.benchmark.renderers.pose_diffusion.painting import CHANNELS, Paint, guides
from csg405.benchmark.renderers.pose_diffusion.pools import Pools
from csg405.benchmark.renderers.pose_diffusion.renderer import PoseDiffusion, Square
from csg405.benchmark.renderers.pose_diffusion.sampling import Sampler
from csg405.benchmark.renderers.pose_diffusion.settings import FilmTrainSettings
from csg405.benchmark.renderers.pose_diffusion.train import Learner, train
from csg405.benchmark.scoring.film_systems import ReleasedFilms
from csg405.cli import app
from csg405.errors import UserError
from csg405.keypoints.drawing import draw
from csg405.media.decode import resize
from csg405.schema import Release
from csg405.synth import film as synth_film
from csg405.weights import digest
from tests import bench_film_release, bench_release
from tests import bench_motion as motion

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "size_px": 32, "frames": 4, "overlap": 1, "widths": (8, 16), "plain": 1, "head": 8, "factor": 4, "channels": 48,
    "steps": 2,
}  # fmt: skip
LEARNS = FilmTrainSettings(
    seed=7, steps=6, batch=2, rate=1e-3, warm_up=2, ema=0.5, pool_clips=2, pool_frames=20, pool_steps=2, say_every=1,
    save_every=2, validate_every=3, validation_clips=1,
)  # fmt: skip
TALKER_PX = 64
BLACK = np.zeros((32, 32, CHANNELS), np.uint8)


def woken(**settings: object) -> PoseDiffusionNetwork:
    """A network whose silent layers say something, as after training."""
    torch.manual_seed(405)
    network = folder.create(**(SMALL | settings)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "woken"
    folder.save(woken(), path)
    return path


def given(count: int, *, width: int = 48, height: int = 48) -> dict[str, np.ndarray]:
    points = (motion.lively(count, seed=1) * (48 / motion.SIZE_PX)).astype(np.float32)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    score = np.ones((count, kp.COUNT), np.float32)
    return {"reference_image": image, "reference_px": points[0], "reference_score": score[0], "keypoints_px": points}


def rendered(model: Path, count: int, **settings: object) -> np.ndarray:
    return np.stack([*renderer("pose-diffusion", model=model, **settings).render(**given(count))])


# ---- the contract


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_as_many_frames_as_poses_and_the_first_do_not_depend_on_the_last(kept: Path, count: int):
    made = rendered(kept, count)
    assert made.shape == (count, 48, 48, 3)
    assert made.dtype == np.uint8
    longer = rendered(kept, 12)
    whole = count // 4 * 4 if count < 5 else 4 + (count - 4) // 3 * 3
    assert np.array_equal(made[:whole], longer[:whole])


def test_the_seed_the_skeleton_and_the_picture_decide(kept: Path):
    once = rendered(kept, 6)
    assert np.array_equal(once, rendered(kept, 6))
    assert not np.array_equal(once, rendered(kept, 6, seed=1))
    ours = PoseDiffusion(model=kept)
    for name, change in (("keypoints_px", 6), ("reference_px", 6), ("reference_image", 90)):
        other = given(6) | {name: given(6)[name] + np.asarray(change, given(6)[name].dtype)}
        assert not np.array_equal(once, np.stack([*ours.render(**other)])), name


def test_a_network_that_has_learnt_nothing_holds_the_reference(tmp_path: Path):
    folder.save(folder.create(**SMALL), tmp_path)
    there = given(6)
    there["reference_image"] = there["reference_image"][:32, :32]
    made = np.stack([*PoseDiffusion(model=tmp_path).render(**there)])
    assert np.abs(made - there["reference_image"].astype(int)).max() <= 1


def test_poses_are_read_a_tile_ahead_and_no_further():
    """So memory does not grow with the film, and a film can be watched while it is made."""
    read: list[int] = []

    def poses() -> Iterator[np.ndarray]:
        for number in range(100):
            read.append(number)
            yield BLACK

    sampler = Sampler(network=woken(), latents=Patches(4), steps=1)
    frames = sampler.frames(BLACK[..., :3], BLACK, poses())
    seen = [(next(frames) is not None, len(read))[1] for _ in range(9)]
    assert seen == [4] * 4 + [7] * 3 + [10] * 2


class Witness(nn.Module):
    """A network that notes what it is asked, and says that all frames are grey."""

    def __init__(self, network: PoseDiffusionNetwork) -> None:
        super().__init__()
        self.network, self.settings, self.look = network, network.settings, network.look
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, noisy: torch.Tensor, levels: torch.Tensor, seen: Seen) -> torch.Tensor:
        self.asked.append((noisy.clone(), levels.clone()))
        return torch.full_like(noisy, 0.25)


def test_a_tile_goes_on_from_the_frames_before_it():
    network = Witness(woken(frames=4, overlap=2))
    made = np.stack([*Sampler(network=network, latents=Patches(4), steps=2).frames(BLACK[..., :3], BLACK, [BLACK] * 6)])
    assert (made == round(1.25 * 127.5)).all()
    (_, first), (_, second), (given_frames, third), (_, fourth) = network.asked
    assert torch.equal(first, torch.ones(1, 4))
    assert (second < 1).all()
    assert torch.equal(third, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    assert torch.equal(fourth[:, :2], torch.zeros(1, 2))
    assert torch.allclose(given_frames[:, :2], torch.tensor(0.25), atol=1e-6)
    assert given_frames[:, 2:].std() > 0.9, "the others are noise"


def test_a_picture_of_any_shape_comes_back_and_points_stay_on_it():
    image = np.zeros((40, 80, 3), np.uint8)
    image[8:12, 60:64] = 255
    square = Square((80, 40), 40)
    small = square.shrink(image)
    assert small.shape == (40, 40, 3)
    rows, columns = np.nonzero(small[..., 0] > 127)
    middle = square.points(np.array([[61.5, 9.5]], np.float32))[0]
    assert middle == pytest.approx([columns.mean(), rows.mean()])
    assert square.grow(small).shape == image.shape
    assert np.abs(square.grow(small)[8:12, 60:64].astype(int) - 255).max() < 110
    same = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(Square((40, 40), 40).grow(Square((40, 40), 40).shrink(same)), same)


def test_half_precision_is_nearly_the_same(kept: Path):
    whole, half = rendered(kept, 6), rendered(kept, 6, precision="bf16")
    assert 0 < np.abs(whole.astype(float) - half).mean() < 3


# ---- the network


@pytest.mark.parametrize("level", [0.2, 0.7])
def test_the_guess_is_the_best_linear_one(level: float):
    """Compared with least squares on drawn frames, and its error with what is told of it."""
    rng = np.random.default_rng(0)
    reference, deviation = rng.standard_normal(100_000), 0.3 * rng.standard_normal(100_000)
    noisy = (1 - level) * (reference + deviation) + level * rng.standard_normal(100_000)
    found = np.linalg.lstsq(np.stack([noisy, reference], axis=1), reference + deviation, rcond=None)
    keep, hold, add, scale = (float(part) for part in parts_of(torch.tensor([[level]]), 0.3))
    assert [keep, hold] == pytest.approx(found[0], abs=0.01)
    assert add == pytest.approx(np.sqrt(found[1][0] / 100_000), rel=0.01)
    assert scale == pytest.approx(1 / (noisy - (1 - level) * reference).std(), rel=0.01)


def test_without_noise_a_frame_stays_and_with_nothing_else_the_reference_does():
    keep, hold, add, _ = (part.flatten().tolist() for part in parts_of(torch.tensor([[0.0, 1.0]]), 0.25))
    assert (keep, hold, add) == ([1, 0], [0, 1], [0, 0.25])


def test_every_part_is_heard():
    """Each thing that it is told changes what it says, in the frame that it is told for."""
    network = woken()
    torch.manual_seed(1)
    noisy, levels = torch.randn(1, 4, 48, 8, 8), torch.full((1, 4), 0.5)
    reference, own, poses = torch.randn(1, 48, 8, 8), torch.rand(1, 6, 32, 32), torch.rand(1, 4, 6, 32, 32)

    def said(**other: torch.Tensor) -> torch.Tensor:
        told = {"reference": reference, "own": own, "poses": poses, "noisy": noisy, "levels": levels} | other
        return network(told["noisy"], told["levels"], network.look(told["reference"], told["own"], told["poses"]))

    with torch.no_grad():
        before = said()
        for name, changed in (("reference", reference + 1), ("own", 1 - own), ("levels", levels / 2)):
            assert not torch.allclose(said(**{name: changed}), before), name
        one_pose = poses.clone()
        one_pose[:, 2] = 1 - one_pose[:, 2]
        change = (said(poses=one_pose) - before).abs().mean(dim=(0, 2, 3, 4))
        assert change.argmax() == 2
        assert (change > 0).all(), "the others hear of it along time"


def test_windows_in_a_batch_do_not_touch_each_other():
    network = woken()
    torch.manual_seed(1)
    noisy, levels = torch.randn(3, 4, 48, 8, 8), torch.rand(3, 4)
    reference, own, poses = torch.randn(3, 48, 8, 8), torch.rand(3, 6, 32, 32), torch.rand(3, 4, 6, 32, 32)
    with torch.no_grad():
        together = network(noisy, levels, network.look(reference, own, poses))
        alone = network(noisy[1:2], levels[1:2], network.look(reference[1:2], own[1:2], poses[1:2]))
    assert torch.allclose(together[1:2], alone, atol=1e-4)


def test_frames_that_are_given_count_for_nothing_in_the_loss(held: ReleaseReader):
    network = woken(frames=4, overlap=3)
    pools = Pools(held, "train", network.settings, LEARNS)
    batch = pools.batch(0)
    pools.close()
    found = []
    for add in (0, 100):
        frames = batch.frames.clone()
        frames[:, :3] = (frames[:, :3].int() + add).clamp(0, 255).to(torch.uint8)
        seen: list[torch.Tensor] = []
        hook = network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.extend(inputs[:2]))
        torch.manual_seed(3)
        loss = Learner(network, continued=1.0)(Patches(4), dataclasses.replace(batch, frames=frames))
        hook.remove()
        noisy, levels = seen
        assert (levels[:, :3] == 0).all()
        assert (levels[:, 3] > 0).all()
        clean = Patches(4).encode((frames.float() / 127.5 - 1).flatten(0, 1)).unflatten(0, (2, 4))
        assert torch.equal(noisy[:, :3], clean[:, :3]), "given without noise"
        found.append(float(loss.detach()))
    assert found[0] != found[1], "they are heard all the same"


def test_less_memory_gives_the_same_gradients(held: ReleaseReader):
    pools = Pools(held, "train", woken().settings, LEARNS)
    batch = pools.batch(0)
    pools.close()
    found = []
    for saving in (False, True):
        network = woken().train()
        network.checkpointing = saving
        torch.manual_seed(3)
        Learner(network, continued=0.5)(Patches(4), batch).backward()
        found.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*found, strict=True))


def test_sizes_can_be_made():
    tiny = folder.create()
    assert tiny.parameters_m() < 1
    with torch.device("meta"):
        base = folder.create("base")
    assert 100 < base.parameters_m() < 400


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": "huge"}, "there are tiny, base"),
        ({"factor": 3}, "power of 2"),
        ({"size_px": 36}, "multiple of"),
        ({"channels": 4}, "patches of 2 px have 12"),
        ({"widths": (8, 8, 12)}, "multiples of 16"),
        ({"overlap": 4}, "anew"),
        ({"depth": 3}, "depth"),
    ],
)
def test_shapes_that_cannot_be(wrong: dict[str, object], words: str):
    with pytest.raises(UserError, match=words):
        folder.create(**wrong)


# ---- its folder


def test_a_folder_gives_the_same_network(kept: Path):
    before, after = woken().state_dict(), folder.load(kept).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {path.name for path in kept.iterdir()} >= {"config.json", "model.safetensors"}


def test_folders_that_are_none_of_ours(tmp_path: Path, kept: Path):
    with pytest.raises(UserError, match="needs model"):
        renderer("pose-diffusion")
    with pytest.raises(UserError, match=r"config\.json"):
        folder.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"renderer": "other", "settings": {}}))
    with pytest.raises(UserError, match="a other, wanted a pose-diffusion"):
        folder.load(tmp_path)
    told = json.loads((kept / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        folder.load(tmp_path)
    told["settings"]["widths"] = [16, 16]
    (tmp_path / "config.json").write_text(json.dumps(told))
    (tmp_path / "model.safetensors").write_bytes((kept / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="not the weights"):
        folder.load(tmp_path)


def test_an_autoencoder_from_a_folder(tmp_path: Path, held: ReleaseReader):
    """diffusers' own, with few channels: films are learnt from and made through it."""
    from diffusers import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    torch.manual_seed(0)
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, sample_size=32, **blocks).save_pretrained(
        tmp_path / "vae"
    )
    through = {"vae": str(tmp_path / "vae"), "factor": 2, "channels": 4}
    network = folder.create(**(SMALL | through))
    latents = latents_of(network.settings, device=torch.device("cpu"))
    pictures = torch.rand(6, 3, 32, 32) * 2 - 1
    assert latents.encode(pictures).shape == (6, 4, 16, 16)
    assert latents.decode(latents.encode(pictures)).shape == pictures.shape
    made = train(network, held, tmp_path / "training", LEARNS.model_copy(update={"steps": 1}), device="cpu")
    assert rendered(made, 3).shape == (3, 48, 48, 3)
    with pytest.raises(UserError, match=r"vae .*nowhere"):
        PoseDiffusion(model=made, vae=tmp_path / "nowhere")
    with pytest.raises(UserError, match="made for 4 channels, 4 times"):
        latents_of(folder.create(**(SMALL | through | {"factor": 4})).settings, device=torch.device("cpu"))


# ---- what it learns from


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    """Two clips for training with films of 80 frames, and none for validation."""
    return bench_film_release.write(tmp_path_factory.mktemp("release"))


def test_batches_follow_from_their_number(held: ReleaseReader):
    network = folder.create(**SMALL).settings

    def drawn(*numbers: int) -> list[torch.Tensor]:
        pools = Pools(held, "train", network, LEARNS)
        found = [pools.batch(number).frames for number in numbers]
        pools.close()
        return found

    first, fifth = drawn(0, 5)
    assert first.shape == (2, 4, 3, 32, 32)
    assert torch.equal(drawn(5)[0], fifth)
    assert not torch.equal(first, fifth)


def test_a_stretch_holds_frames_and_their_own_points(held: ReleaseReader):
    pools = Pools(held, "train", folder.create(**SMALL).settings, LEARNS)
    entry = held.clips("train")[0]
    stretch = pools.stretch(entry, 10, 20)
    pools.close()
    clip, frames = held.read(entry), [*ReleasedFilms(held.folders).film(entry.clip_id).frames()]
    assert len(stretch.pictures) == len(stretch.points) == len(stretch.score) == 20
    assert np.array_equal(stretch.pictures[3], resize(frames[13], 32, 32))
    assert stretch.points[3] == pytest.approx((clip.keypoints_px[13] + 0.5) / 2 - 0.5, abs=1e-5)


def test_windows_carry_the_poses_of_their_own_frames(held: ReleaseReader):
    """Each frame of a batch is found again in the films, and its guide is that of this frame's points."""
    network = folder.create(**SMALL).settings
    pools = Pools(held, "train", network, LEARNS)
    batch, stretches = pools.batch(0), pools.read(0)
    pools.close()
    for row in range(len(batch.frames)):
        frame, guide = (numbers[row, 2].permute(1, 2, 0).numpy() for numbers in (batch.frames, batch.guides))
        reference = batch.reference[row].permute(1, 2, 0).numpy()
        stretch = next(one for one in stretches if (one.pictures == frame).all(axis=(1, 2, 3)).any())
        at, own = (int((stretch.pictures == one).all(axis=(1, 2, 3)).argmax()) for one in (frame, reference))
        assert np.array_equal(stretch.pictures[own], reference), "the reference is of the same stretch"
        assert np.array_equal(guide[..., :3], draw(stretch.points[at], stretch.score[at], 32, drawn_at_px=360))
        paint = Paint.of(reference, stretch.points[own], stretch.score[own])
        assert np.array_equal(guide[..., 3:], paint.on(stretch.points[at], stretch.score[at], 32))


def test_limbs_are_painted_in_their_own_colours():
    """A forearm that is red at the wrist and green at the elbow, and turned by a right angle."""
    arm, score = [kp.LEFT_ELBOW, kp.LEFT_WRIST], np.zeros(kp.COUNT, np.float32)
    points = np.zeros((kp.COUNT, 2), np.float32)
    points[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] = [[30, 10], [10, 10]]
    points[arm] = [[10, 40], [30, 40]]
    score[arm] = 1
    reference = np.zeros((64, 64, 3), np.uint8)
    reference[36:45, 8:20], reference[36:45, 20:33] = [0, 200, 0], [200, 0, 0]
    turned = points.copy()
    turned[arm] = [[50, 20], [50, 40]]
    (guide,) = guides(Paint.of(reference, points, score), turned[None], score[None], size_px=64, drawn_at_px=360)
    painted = guide[..., 3:]
    assert painted[22, 50].tolist() == [0, 200, 0]
    assert painted[38, 50].tolist() == [200, 0, 0]
    rows, columns = np.nonzero(painted.any(axis=2))
    assert (rows.min(), rows.max()) == pytest.approx((20, 40), abs=4)
    assert columns.max() - columns.min() == pytest.approx(0.22 * 20, abs=2)
    hidden = Paint.of(reference, points, np.zeros(kp.COUNT, np.float32))
    assert not hidden.on(turned, score, 64).any(), "what the reference does not show has no colour"


def test_a_release_without_films_is_refused(tmp_path: Path):
    reader = bench_release.write(tmp_path)
    with pytest.raises(UserError, match="none has a film"):
        train(folder.create(**SMALL), reader, tmp_path / "t", LEARNS, device="cpu")


# ---- training


def trained(reader: ReleaseReader, place: Path, settings: FilmTrainSettings = LEARNS) -> tuple[list[dict], Path]:
    torch.manual_seed(0)
    made = train(folder.create(**SMALL), reader, place, settings, device="cpu")
    return [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()], made


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, held: ReleaseReader, monkeypatch: pytest.MonkeyPatch
):
    history, straight = trained(held, tmp_path / "straight")
    assert [line["step"] for line in history if "loss" in line] == [1, 2, 3, 4, 5, 6]
    batch = Pools.batch

    def killed(self: Pools, step: int) -> object:
        if step == 5:
            raise KeyboardInterrupt
        return batch(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Pools, "batch", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(held, tmp_path / "stopped")
    again, stopped = trained(held, tmp_path / "stopped")
    assert again == history, "line by line, to the last bit"
    one, other = folder.load(straight).state_dict(), folder.load(stopped).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match=r"another training\.rate, 0\.\d+, not 0\.01"):
        trained(held, tmp_path / "stopped", LEARNS.model_copy(update={"rate": 1e-2}))


def test_the_command_trains_one(tmp_path: Path, held: ReleaseReader, monkeypatch: pytest.MonkeyPatch):
    folders = held.folders
    monkeypatch.chdir(folders.root)
    few = LEARNS.model_copy(update={"steps": 2, "validation_clips": 0})
    told = [f"benchmark.film_train.{name}={value}" for name, value in few.model_dump().items()]
    words = [word for text in ["device=cpu", *told] for word in ("--set", text)]
    command = ["benchmark", "train-renderer", "--run", bench_film_release.RUN, "--size", "tiny", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, *words])
    assert done.exit_code == 0, done.output
    assert f"--renderer-set model={tmp_path / 'model'}" in done.output.replace("\n", "")
    found = renderer("pose-diffusion", model=tmp_path / "model")
    assert isinstance(found, PoseDiffusion)
    assert json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])["step"] == 2


def test_what_the_command_cannot_train_is_said(tmp_path: Path, held: ReleaseReader, monkeypatch: pytest.MonkeyPatch):
    def command(run: str, size: str) -> None:
        words = ["benchmark", "train-renderer", "--run", run, "--set", "device=cpu", "--size", size]
        CliRunner().invoke(app, words, catch_exceptions=False)

    monkeypatch.chdir(held.folders.root)
    with pytest.raises(UserError, match="size 'huge': there are tiny, base"):
        command(bench_film_release.RUN, "huge")
    filmless = bench_release.write(tmp_path, run="poses")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="none has a film of more than 4 frames"):
        command("poses", "tiny")
    assert not (filmless.folders.work / "benchmark" / "models" / "pose-diffusion-tiny" / "model").exists()


def test_what_is_saved_says_what_it_is(tmp_path: Path):
    """`push_to_hub` saves, and uploads what was saved."""
    woken().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["renderer"] == "pose-diffusion"
    for found in (folder.load(tmp_path), PoseDiffusionNetwork.from_pretrained(tmp_path)):
        assert torch.equal(found.begin.weight, woken().begin.weight)


@pytest.fixture
def accelerate_anew() -> Iterator[None]:
    """accelerate keeps one precision for as long as a process lives."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("accelerate_anew")
def test_half_precision_learns(tmp_path: Path, held: ReleaseReader):
    history, _ = trained(held, tmp_path, LEARNS.model_copy(update={"precision": "bf16", "steps": 2}))
    assert all(np.isfinite(line["loss"]) for line in history)


def test_a_loss_that_is_no_number_is_told(tmp_path: Path, held: ReleaseReader):
    with pytest.raises(UserError, match="smaller rate"):
        trained(held, tmp_path, LEARNS.model_copy(update={"rate": 1e30, "clip": 1e30, "warm_up": 0}))


# ---- what it can learn: the synthetic world's talkers in pictures of 64 px


def talkers(root: Path, who: dict[int, str], *, count: int) -> ReleaseReader:
    """A release with a film of each talker."""
    shown = {number: talking(number, split, count) for number, split in who.items()}
    reader = bench_release.write(root, [clip for clip, _ in shown.values()], run="talkers")
    by_id = {clip.clip_id: pictures for clip, pictures in shown.values()}
    for part in table.parts(reader.folders.table(Release)):
        rows = [_filmed(reader, row, by_id[row.clip_id]) for row in table.read_part(part, Release)]
        table.write_part(part, Release, rows)
    return ReleaseReader(reader.folders)


def talking(who: int, split: str, count: int) -> tuple[Clip, np.ndarray]:
    """A talker's clip and its pictures, drawn twice as large."""
    take = synth_film.take(1000 + who, who=who, words=40, width=2 * TALKER_PX, height=2 * TALKER_PX)
    drawn = [next_frame for next_frame, _ in zip(take.draw(), range(count), strict=False)]
    points = ((take.keypoints()[:count] + 0.5) / 2 - 0.5).astype(np.float32)
    clip = Clip(
        clip_id=f"talker{who}", video_id=f"video{who}", speaker=f"talker{who}", split=split, keypoints_px=points,
        score=np.stack([seen for _, seen in drawn]).astype(np.float32), sound=Sound(np.zeros(640 * count, np.int16)),
        size_px=TALKER_PX,
    )  # fmt: skip
    return clip, np.stack([resize(picture, TALKER_PX, TALKER_PX) for picture, _ in drawn])


def _filmed(reader: ReleaseReader, row: Release, pictures: np.ndarray) -> Release:
    path = reader.folders.work / "release" / "clips" / f"{row.clip_id}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_film(path, pictures, None, size=(TALKER_PX, TALKER_PX), crf=6)
    return dataclasses.replace(row, path=f"clips/{row.clip_id}.mp4", sha256=digest(path))


def psnr(made: np.ndarray, true: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((made.astype(np.float64) - true) ** 2)))


def against_truth(reader: ReleaseReader, clip_id: str, model: Path) -> tuple[float, float]:
    """PSNR of a film made from a clip's first frame and its skeletons, and of that frame held."""
    clip = reader.read(clip_id)
    true = np.stack([*ReleasedFilms(reader.folders).film(clip_id).frames()])
    made = PoseDiffusion(model=model).render(
        true[0], reference_px=clip.keypoints_px[0], reference_score=clip.score[0], keypoints_px=clip.keypoints_px,
        score=clip.score,
    )  # fmt: skip
    return psnr(np.stack([*made]), true), psnr(np.broadcast_to(true[:1], true.shape), true)


QUICKLY = FilmTrainSettings(
    seed=405, steps=500, batch=4, rate=4e-3, warm_up=20, ema=0.98, pool_clips=16, pool_steps=10_000, say_every=50,
    save_every=10_000, validate_every=10_000, validation_clips=8,
)  # fmt: skip


@pytest.mark.long
def test_one_talker_can_be_learnt_by_heart(tmp_path: Path):
    reader = talkers(tmp_path / "release", {0: "train"}, count=100)
    torch.manual_seed(0)
    model = train(folder.create("tiny"), reader, tmp_path / "training", QUICKLY, device="cpu")
    made, held = against_truth(reader, "talker0", model)
    logging.getLogger(__name__).info("PSNR %.2f dB, of the reference held %.2f dB", made, held)
    assert made > 25
    assert made > held + 5


@pytest.mark.long
def test_what_is_learnt_holds_for_people_who_were_not_seen(tmp_path: Path):
    who = dict.fromkeys(range(32), "train") | dict.fromkeys(range(32, 40), "validation")
    reader = talkers(tmp_path / "release", who, count=80)
    settings = QUICKLY.model_copy(update={"steps": 500, "pool_clips": 32, "validate_every": 100})
    torch.manual_seed(0)
    model = train(folder.create("tiny"), reader, tmp_path / "training", settings, device="cpu")
    history = [json.loads(line) for line in (tmp_path / "training" / "history.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in history if "validation_loss" in line]
    logging.getLogger(__name__).info("loss on unseen talkers from %.5f to %.5f", losses[0], losses[-1])
    against = np.array([against_truth(reader, f"talker{number}", model) for number in range(32, 36)])
    logging.getLogger(__name__).info("PSNR of unseen talkers, and of the reference held: %s", against.round(2).tolist())
    assert losses[-1] < 0.8 * losses[0]
