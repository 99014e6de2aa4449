"""The kit: what its encoders see, how it is trained, kept and opened, and what may not change it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from csg405 import keypoints as kp
from csg405.benchmark.clip import Seen, Sound, truth_of
from csg405.benchmark.kit import FILES, Kit, shown_mean_pose
from csg405.benchmark.kit import train as training
from csg405.benchmark.kit.bank import Bank, frames_loudness, stretched
from csg405.benchmark.kit.hearing import NUMBERS, _filters, heard
from csg405.benchmark.kit.networks import Autoencoder, Tower, TwoTower
from csg405.benchmark.kit.parts import GESTURE, POINTS, Normaliser, channels, numbers_of, rooted, windows
from csg405.benchmark.metrics import ba_kappa
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.errors import UserError
from csg405.table import replace_atomically, write_text
from tests import bench_motion as motion
from tests import bench_release as small

pytestmark = pytest.mark.usefixtures("single_thread")

PARTS = ("all", "body", "hands", "face")


@pytest.fixture(scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    return small.write(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def kit(reader: ReleaseReader, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return small.train(reader, tmp_path_factory.mktemp("kit"))


def contents(kit: Kit) -> dict[str, bytes]:
    return {name: (kit.folder / name).read_bytes() for name in FILES}


# ---- what encoders see


def test_hands_lie_about_their_wrists_and_the_face_about_the_nose() -> None:
    seen = truth_of(motion.clip(motion.lively(3)))
    found, plain = rooted(seen), seen.points
    for frame, point in itertools.product(range(3), range(kp.COUNT)):
        root = np.zeros(2)
        if kp.LEFT_HAND.start <= point < kp.LEFT_HAND.stop:
            root = plain[frame, kp.LEFT_HAND.start]
        elif kp.RIGHT_HAND.start <= point < kp.RIGHT_HAND.stop:
            root = plain[frame, kp.RIGHT_HAND.start]
        elif kp.FACE.start <= point < kp.FACE.stop:
            root = plain[frame, kp.NOSE_TIP]
        np.testing.assert_allclose(found[frame, point], plain[frame, point] - root, atol=1e-6)


def test_parts_are_disjoint_and_legs_are_in_none() -> None:
    assert tuple(POINTS) == PARTS
    held = [set(POINTS[part].tolist()) for part in ("body", "hands", "face")]
    assert set.union(*held) == set(POINTS["all"].tolist())
    assert sum(map(len, held)) == len(POINTS["all"]) == 13 + 42 + 68
    assert not set(GESTURE.tolist()) & (held[2] | {0, 1, 2, 3, 4})


@pytest.mark.parametrize("frames", [20, 50, 130])
def test_windows_for_convolutions_are_the_same_with_time_last(frames: int) -> None:
    numbers = np.random.default_rng(3).normal(0, 1, (frames, kp.COUNT, 2)).astype(np.float32)
    planes = np.array(numbers.T, order="C").T  # as motions lie in memory
    for points in POINTS.values():
        wanted = windows(numbers_of(numbers, points)).transpose(0, 2, 1)
        assert np.array_equal(channels(numbers, points), wanted)
        assert np.array_equal(channels(planes, points), wanted)


def test_windows_are_two_seconds_every_second() -> None:
    numbers = np.arange(130, dtype=np.float32)[:, None] + np.zeros((1, 3), np.float32)
    cut = windows(numbers)
    assert cut.shape == (4, 50, 3)
    assert cut[:, 0, 0].tolist() == [0, 25, 50, 75]
    assert cut[:, -1, 2].tolist() == [49, 74, 99, 124]
    assert windows(numbers[:49]).shape == (0, 50, 3)
    assert numbers_of(np.zeros((7, kp.COUNT, 2), np.float32), GESTURE).shape == (7, 2 * len(GESTURE))


def test_mel_bands_are_those_of_an_independent_implementation() -> None:
    wanted = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=60, fmax=7600, htk=True, norm=None)
    np.testing.assert_allclose(_filters(), wanted, atol=1e-5)


def test_what_is_heard_of_a_frame_is_of_its_own_40_ms() -> None:
    assert heard(Sound(np.zeros(640, np.int16))).shape == (1, NUMBERS)
    assert heard(Sound(np.zeros(640 * 7, np.int16))).shape == (7, NUMBERS)
    wave = np.zeros(640 * 20)
    wave[640 * 12 + 160 : 640 * 12 + 320] = 0.5 * np.random.default_rng(0).standard_normal(160)  # second of four
    loud = heard(Sound((32767 * wave).clip(-32768, 32767).astype(np.int16))).reshape(20, 4, 40).mean(axis=-1)
    assert np.unravel_index(np.argmax(loud), loud.shape) == (12, 1)
    loud[12] = loud[11, 3] = -np.inf  # windows of 25 ms reach 7.5 ms into their neighbours
    assert loud.max() < 0.1


def test_a_tone_is_heard_in_its_band_at_any_level() -> None:
    clock_s = np.arange(640 * 25) / 16_000
    numbers = []
    for amplitude in (0.5, 0.05):
        wave = amplitude * np.sin(2 * np.pi * 1000 * clock_s)
        numbers.append(heard(Sound((32767 * wave).astype(np.int16))))
    bands = numbers[0].reshape(25, 4, 40)[5:20].mean(axis=(0, 1))
    assert abs(int(np.argmax(bands)) - int(np.argmax(_filters()[:, 32]))) <= 1  # bin 32 of 257 is 1000 Hz
    loudest = np.argsort(bands)[-8:]
    apart = numbers[0].reshape(25, 4, 40)[5:20][..., loudest] - numbers[1].reshape(25, 4, 40)[5:20][..., loudest]
    assert np.abs(apart).max() < 0.5


# ---- networks


def test_networks_have_the_shapes_that_they_say() -> None:
    torch.manual_seed(0)
    network = Autoencoder(26, width=8)
    assert network.encode(torch.zeros(3, 50, 26)).shape == (3, 32)
    assert network(torch.zeros(3, 50, 26)).shape == (3, 50, 26)
    tower = Tower(10, width=8).eval()
    for n in (1, 5, 120):
        found = tower(torch.randn(2, n, 10))
        assert found.shape == (2, n, 32)
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, n))


def test_scores_of_two_towers_are_means_over_frames() -> None:
    torch.manual_seed(0)
    network = TwoTower(6, 9, width=8).eval()
    motions, sounds = torch.randn(3, 20, 6), torch.randn(4, 20, 9)
    with torch.inference_mode():
        found = network(motions, sounds)
        one, other = network.motion(motions), network.sound(sounds)
        for i, j in itertools.product(range(3), range(4)):
            wanted = (one[i] * other[j]).sum(dim=-1).mean() * network.sharpness.exp()
            torch.testing.assert_close(found[i, j], wanted)


# ---- features


def test_features_are_32_numbers_of_every_window(kit: Kit, reader: ReleaseReader) -> None:
    for n, count in ((120, 3), (50, 1), (49, 0), (1, 0)):
        found = kit.features(truth_of(motion.clip(motion.lively(n))))
        assert {part: array.shape for part, array in found.items()} == dict.fromkeys(PARTS, (count, 32))
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in found.values())
    seen = truth_of(reader.read("eva.0"), kit=kit)
    assert np.array_equal(seen.features["hands"], kit.features(seen)["hands"])
    assert truth_of(reader.read("eva.0")).features == {}


def test_features_have_unit_deviation_over_the_training_split(kit: Kit, reader: ReleaseReader) -> None:
    for number in (0, 1):
        opened = Kit.open(kit.folder, encoder=number)
        found = [opened.features(truth_of(clip)) for clip in reader.iterate(reader.clips("train"))]
        for part in PARTS:
            features = np.concatenate([held[part] for held in found]).astype(np.float64)
            np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-3)
            np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)


def test_each_encoder_sees_in_its_own_way(kit: Kit, reader: ReleaseReader) -> None:
    seen = truth_of(reader.read("eva.0"))
    first, second = (Kit.open(kit.folder, encoder=number) for number in (0, 1))
    assert np.abs(first.features(seen)["all"] - second.features(seen)["all"]).max() > 0.1
    assert np.abs(first.directions(seen)[0] - second.directions(seen)[0]).max() > 0.01
    assert first.digest != second.digest  # or scores of one would pass for scores of the other


def test_a_part_is_blind_to_the_others(kit: Kit, reader: ReleaseReader) -> None:
    clip = reader.read("eva.0")
    before = kit.features(truth_of(clip))
    rng = np.random.default_rng(0)
    moves = {
        "face": [*range(kp.FACE.start, kp.FACE.stop)],
        "hands": [*range(kp.LEFT_HAND.start, kp.RIGHT_HAND.stop)],
        "legs": [13, 14, 15, 16, *range(kp.FEET.start, kp.FEET.stop)],
    }
    for moved, points in moves.items():
        other = clip.keypoints_px.copy()
        other[:, points] += 20 * rng.standard_normal((len(clip), len(points), 2)).astype(np.float32)
        after = kit.features(motion.seen(clip, other))
        for part in PARTS:
            same = np.array_equal(before[part], after[part])
            assert same == (moved == "legs" or part not in (moved, "all")), (moved, part)


def test_directions_are_of_length_one_and_know_no_face(kit: Kit, reader: ReleaseReader) -> None:
    clip = reader.read("eva.0")
    found, sound = kit.directions(truth_of(clip))
    assert found.shape == sound.shape == (len(clip), 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(sound, axis=1), 1, rtol=1e-5)
    assert np.array_equal(sound, kit.directions_of_sound(clip.sound))
    head = clip.keypoints_px.copy()
    head[:, [0, 1, 2, 3, 4, *range(kp.FACE.start, kp.FACE.stop)]] += 30
    assert np.array_equal(found, kit.directions(motion.seen(clip, head))[0])
    hands = clip.keypoints_px.copy()
    hands[40:, kp.RIGHT_WRIST] += 30
    assert not np.array_equal(found, kit.directions(motion.seen(clip, hands))[0])


@pytest.mark.parametrize(
    "points",
    [[kp.RIGHT_WRIST], [kp.LEFT_HAND.start], [kp.NOSE_TIP], [*range(kp.RIGHT_HAND.start + 4, kp.RIGHT_HAND.stop)]],
    ids=["wrist", "root of a hand", "tip of the nose", "fingers"],
)
def test_where_hidden_points_are_said_to_be_changes_nothing(kit: Kit, reader: ReleaseReader, points: list[int]) -> None:
    clip = motion.hidden(reader.read("eva.0"), slice(10, 90), points)
    elsewhere = clip.keypoints_px.copy()
    elsewhere[10:90, points] += 100 * np.random.default_rng(0).standard_normal((80, len(points), 2))
    true, moved = truth_of(clip), Seen(clip, elsewhere)
    before, after = kit.features(true), kit.features(moved)
    assert all(np.array_equal(before[part], after[part]) for part in PARTS)
    assert np.array_equal(kit.directions(true)[0], kit.directions(moved)[0])
    shown = dataclasses.replace(clip, score=np.ones_like(clip.score))
    assert not np.array_equal(kit.features(truth_of(shown))["all"], kit.features(Seen(shown, elsewhere))["all"])


# ---- what is kept


def test_the_normaliser_is_of_what_is_shown_in_the_training_split(tmp_path: Path) -> None:
    held = small.clips({"ann": "train", "bea": "train", "eva": "test"}, count=2)
    held[0] = motion.hidden(held[0], slice(0, 70), [kp.LEFT_ELBOW, kp.LEFT_HAND.start, 40])
    held[1] = motion.hidden(held[1], slice(None), [kp.RIGHT_HIP])
    kit = small.train(
        small.write(tmp_path / "root", held), tmp_path / "kit", small.TINY.model_copy(update={"steps": 1})
    )
    for point, root in ((kp.LEFT_ELBOW, None), (95, kp.LEFT_HAND.start), (40, kp.NOSE_TIP), (kp.RIGHT_HIP, None)):
        values, poses = [], []
        for clip in held:
            if clip.split != "train":
                continue
            for frame in range(len(clip)):
                here = clip.points[frame]
                if clip.score[frame, point] >= 0.3:
                    poses.append(here[point])
                    if root is None or clip.score[frame, root] >= 0.3:
                        values.append(here[point] - (0 if root is None else here[root]))
        np.testing.assert_allclose(kit.normaliser.mean[point], np.mean(values, axis=0), atol=1e-5)
        deviation = np.maximum(np.std(values, axis=0), Normaliser.LEAST)
        np.testing.assert_allclose(kit.normaliser.deviation[point], deviation, rtol=1e-3)
        np.testing.assert_allclose(kit.mean_pose[point], np.mean(poses, axis=0), atol=1e-5)
    assert kit.normaliser.deviation.min() >= np.float32(Normaliser.LEAST)


def test_the_mean_pose_is_worn_by_the_clips_own_person(kit: Kit) -> None:
    clip = motion.clip(2 * motion.lively(5) + 30)  # twice as large, elsewhere
    found = shown_mean_pose(clip, kit)
    assert found.shape == (5, kp.COUNT, 2)
    assert np.ptp(found, axis=0).max() == 0
    np.testing.assert_allclose(clip.placed(found)[2], kit.mean_pose, atol=1e-4)


def test_the_kit_says_what_it_was_made_from(kit: Kit, reader: ReleaseReader) -> None:
    facts = kit.facts
    assert facts["trained_on"] == reader.digest("train")
    assert facts["clips"] == 9
    assert facts["used_minutes"] == pytest.approx(9 * 120 / 25 / 60, abs=0.01)
    assert facts["encoders"] == 2
    assert facts["towers"] is True
    assert kit.has_towers
    assert set(facts["losses"]) == {f"{part}.{n}" for part in (*PARTS, "towers") for n in (0, 1)}
    assert np.isfinite(list(facts["losses"].values())).all()
    wanted = ba_kappa.threshold(truth_of(clip) for clip in reader.iterate(reader.clips("train")))
    assert kit.hit == pytest.approx(wanted, abs=1e-4)


# ---- training


def test_one_seed_gives_one_kit(kit: Kit, reader: ReleaseReader, tmp_path: Path) -> None:
    again = small.train(reader, tmp_path / "again")
    assert contents(again) == contents(kit)
    assert again.digest == kit.digest
    other = small.train(reader, tmp_path / "other", small.TINY.model_copy(update={"seed": 8}))
    assert contents(other)["weights.safetensors"] != contents(kit)["weights.safetensors"]


def test_only_the_training_split_is_read(kit: Kit, tmp_path: Path) -> None:
    reader = small.write(tmp_path / "root")
    for entry in (*reader.clips("test"), *reader.clips("validation")):
        (reader.folders.work / "release" / entry.shard).unlink(missing_ok=True)
    assert contents(small.train(reader, tmp_path / "kit")) == contents(kit)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 20, 21])
def test_any_number_of_steps_will_do(steps: int) -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)
    wanted = torch.randn(16, 1)

    def loss() -> torch.Tensor:
        return ((network(wanted) - 2 * wanted) ** 2).mean()

    before = float(loss().detach())
    assert training._fit("line", network, loss, steps=steps, rate=0.1) <= before
    assert float(loss().detach()) < before


def test_training_learns(kit: Kit, reader: ReleaseReader, tmp_path: Path) -> None:
    longer = small.TINY.model_copy(update={"encoders": 1, "steps": 60, "tower_steps": 60, "width": 16})
    learnt = small.train(reader, tmp_path / "kit", longer)
    for part in PARTS:
        assert learnt.facts["losses"][f"{part}.0"] < 0.9 * kit.facts["losses"][f"{part}.0"]
    assert learnt.facts["losses"]["towers.0"] < kit.facts["losses"]["towers.0"]


def test_so_many_minutes_are_used_and_no_more(reader: ReleaseReader, tmp_path: Path) -> None:
    settings = small.TINY.model_copy(update={"minutes": 0.2, "encoders": 1, "towers": False})
    few = small.train(reader, tmp_path / "kit", settings)
    assert few.facts["clips"] == 3  # of 4.8 s: the one in which the 12 s end is the last
    assert not few.has_towers
    assert len(few.bank.ends) == 3


def test_too_little_to_train_on_is_said(tmp_path: Path) -> None:
    one = small.write(tmp_path / "one", small.clips({"ann": "train", "eva": "test"}, count=1))
    with pytest.raises(UserError, match=r"training split has 1 clips of 2 s or more; wanted 2 at least"):
        small.train(one, tmp_path / "kit")
    short = small.write(tmp_path / "short", small.clips({"ann": "train"}, length=lambda number: (60, 60, 120)[number]))
    settings = small.TINY.model_copy(update={"tower_frames": 100})
    with pytest.raises(UserError, match=r"two towers: 1 clips of 4 s in the training split; wanted 2 at least"):
        small.train(short, tmp_path / "kit", settings)
    assert not (tmp_path / "kit" / "kit.json").exists()


def test_a_training_that_was_stopped_leaves_no_kit(
    kit: Kit, reader: ReleaseReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kit"
    shutil.copytree(kit.folder, place)

    def stopped(path: Path, write: Any) -> None:
        if path.name == "weights.safetensors":
            raise KeyboardInterrupt
        replace_atomically(path, write)

    monkeypatch.setattr(training, "replace_atomically", stopped)
    with pytest.raises(KeyboardInterrupt):
        small.train(reader, place, small.TINY.model_copy(update={"seed": 9}))
    with pytest.raises(UserError, match=r"holds no kit: kit.json missing"):
        Kit.open(place)


# ---- opening


@pytest.mark.parametrize("name", FILES)
def test_the_digest_changes_with_every_file(kit: Kit, tmp_path: Path, name: str) -> None:
    other = shutil.copytree(kit.folder, tmp_path / "kit")
    assert Kit.open(other).digest == kit.digest
    content = bytearray((other / name).read_bytes())
    content[-1] ^= 1
    (other / name).write_bytes(content)
    assert Kit(other).digest != kit.digest


def test_what_is_no_kit_is_refused(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nothing holds no kit: kit.json, normaliser.npz, .*`csg405 benchmark kit train`"
    ):
        Kit.open(tmp_path / "nothing")
    other = shutil.copytree(kit.folder, tmp_path / "kit")
    (other / "bank.npz").unlink()
    with pytest.raises(UserError, match=r"kit holds no kit: bank.npz missing"):
        Kit.open(other)
    shutil.copy(kit.folder / "bank.npz", other)
    for text, words in (
        (json.dumps(kit.facts | {"format": 99}), r"kit.json: format 99, and this csg405 reads 1"),
        ("{}", r"format None, and this csg405 reads 1"),
        ("[]", r"kit.json: wanted an object"),
        ("{", r"kit.json: Expecting property name"),
    ):
        write_text(other / "kit.json", text)
        with pytest.raises(UserError, match=words):
            Kit.open(other)
    for encoder in (2, -1):
        with pytest.raises(UserError, match=f"encoder {encoder}: the kit has 2"):
            Kit.open(kit.folder, encoder=encoder)


def test_a_kit_travels_as_the_name_of_its_folder(kit: Kit, reader: ReleaseReader) -> None:
    opened = Kit.open(kit.folder, encoder=1)
    seen = truth_of(reader.read("eva.0"))
    before, directions = opened.features(seen), opened.directions(seen)
    packed = pickle.dumps(opened)
    assert len(packed) < 1000
    back = pickle.loads(packed)
    assert (back.folder, back.encoder, back.digest) == (kit.folder, 1, opened.digest)
    assert all(np.array_equal(before[part], back.features(seen)[part]) for part in PARTS)
    assert np.array_equal(directions[0], back.directions(seen)[0])


def test_opening_a_kit_takes_no_torch(kit: Kit) -> None:
    script = (
        "import sys; from pathlib import Path; from csg405.benchmark.kit import Kit\n"
        "kit = Kit.open(Path(sys.argv[1]))\n"
        "kit.digest; kit.normaliser; kit.mean_pose; kit.hit; kit.bank; kit.has_towers\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(kit.folder)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"


# ---- the bank


@pytest.fixture(scope="module")
def bank(reader: ReleaseReader) -> Bank:
    return Bank.of(list(reader.iterate(reader.clips("train"))))


def test_a_motion_that_is_too_short_goes_back_and_forth() -> None:
    points = np.arange(4, dtype=np.float32)[:, None, None]
    assert stretched(points, 9).ravel().tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert stretched(points, 2).ravel().tolist() == [0, 1]
    assert stretched(points[:2], 5).ravel().tolist() == [0, 1, 0, 1, 0]
    assert stretched(points[:1], 3).ravel().tolist() == [0, 0, 0]


def test_a_random_motion_is_a_piece_of_a_training_clip(bank: Bank, reader: ReleaseReader) -> None:
    clips = [truth_of(clip).points.astype(np.float16) for clip in reader.iterate(reader.clips("train"))]
    starts = set()
    for seed in range(20):
        found = bank.random(60, np.random.default_rng(seed))
        assert np.array_equal(found, bank.random(60, np.random.default_rng(seed)))
        where = [
            (number, start) for number, held in enumerate(clips) for start in range(len(held) - 59)
            if np.array_equal(found[0], held[start]) and np.array_equal(found, held[start : start + 60])
        ]  # fmt: skip
        assert len(where) == 1
        starts |= set(where)
    assert len(starts) > 10
    assert bank.random(500, np.random.default_rng(0)).shape == (500, kp.COUNT, 2)


def test_a_sound_finds_the_motion_that_it_was_heard_with(bank: Bank, reader: ReleaseReader) -> None:
    for clip in reader.iterate(reader.clips("train")):
        whole = bank.retrieved(clip.sound)
        np.testing.assert_allclose(whole, truth_of(clip).points, atol=2e-3)
        piece = Sound(clip.sound.samples[640 * 30 : 640 * 100])
        np.testing.assert_allclose(bank.retrieved(piece), truth_of(clip).points[30:100], atol=2e-3)


def test_any_sound_finds_some_motion(bank: Bank) -> None:
    for n in (1, 5, 500):
        silence = Sound(np.zeros(640 * n, np.int16))
        assert frames_loudness(silence).shape == (n,)
        found = bank.retrieved(silence)
        assert found.shape == (n, kp.COUNT, 2)
        assert np.isfinite(found).all()


def test_the_kits_bank_is_what_was_stored(kit: Kit, bank: Bank) -> None:
    for name, array in kit.bank.arrays().items():
        assert np.array_equal(array, bank.arrays()[name])
        assert array.dtype == bank.arrays()[name].dtype
