"""The contract of video metrics: films, networks, what is missing, and that metrics are found."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from csg405 import keypoints as kp
from csg405.benchmark import video_networks
from csg405.benchmark.metric import Accumulator
from csg405.benchmark.video import SeenVideo, film_of_array, film_of_file, missing, modules, truth_of
from csg405.benchmark.video_networks import Given, Networks, VideoSettings
from csg405.errors import UserError
from csg405.media import write_film
from tests import bench_video_kit as kit
from tests import films
from tests.sources import ROOT

NAMES = {"fid", "fvd", "hands", "identity", "lpips", "pose_fidelity", "psnr", "ssim", "syncnet", "vjepa"}


def test_metrics_are_found_and_their_values_have_names_of_their_own():
    found = modules()
    assert found.keys() == NAMES
    cards = [card for module in found.values() for card in module.CARDS]
    assert len({card.name for card in cards}) == len(cards) == 27
    assert {card.track for card in cards} == {"video"}
    assert all(hasattr(module, "compute") != hasattr(module, "clip_values") for module in found.values())


def test_the_table_of_the_documentation_names_every_value_and_every_network():
    text = (ROOT / "docs" / "video_metrics.md").read_text(encoding="utf-8")
    cards = [card for module in modules().values() for card in module.CARDS]
    assert [card.name for card in cards if f"`{card.name}`" not in text] == []
    assert [need for card in cards for need in card.needs if f"`{need}`" not in text] == []
    assert [name for name in VideoSettings.model_fields if f"`{name}`" not in text] == []


# ---- films


def mp4(path: Path, n: int, *, size: int = 96) -> Path:
    pictures = (films.picture(number, width=size, height=size) for number in range(n))
    write_film(path, pictures, None, size=(size, size))
    return path


def test_a_films_frames_are_those_of_the_file_in_order_and_again(tmp_path: Path):
    film = film_of_file(mp4(tmp_path / "a.mp4", 37), n_frames=37, size_px=96)
    for _ in range(2):
        assert [films.number_of(image) for image in film.frames()] == list(range(37))
    assert [films.number_of(image) for image in film.sampled()] == list(range(0, 37, 5))
    windows = list(film.windows())
    assert [[films.number_of(image) for image in window] for window in windows] == [
        list(range(16)), list(range(16, 32))
    ]  # fmt: skip


@pytest.mark.parametrize(("n_frames", "size", "said"), [
    (11, 96, "10 frames, wanted the clip's 11"), (9, 96, "more frames than the clip's 9"),
    (10, 64, "frame 0 is 96x96, wanted 64x64"),
])  # fmt: skip
def test_a_film_with_other_frames_than_the_clip_is_refused(tmp_path: Path, n_frames: int, size: int, said: str):
    film = film_of_file(mp4(tmp_path / "system.mp4", 10), n_frames=n_frames, size_px=size)
    with pytest.raises(UserError, match=f"system.mp4: {said}"):
        list(film.frames())


def test_a_film_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(UserError, match=r"a\.mp4: cannot be decoded"):
        list(film_of_file(tmp_path / "a.mp4", n_frames=3, size_px=96).frames())


def test_a_video_of_another_length_or_size_than_its_clip_is_refused():
    true = kit.noise(6)
    with pytest.raises(UserError, match="system: 5 frames of 64 px for clip a, wanted 6 of 64 px"):
        kit.seen(kit.clip(6), true[:5], true)
    with pytest.raises(UserError, match="system: 6 frames of 32 px"):
        kit.seen(kit.clip(6), kit.noise(6, size=32), true)


def test_the_persons_part_holds_what_is_seen_of_them():
    clip = kit.clip(4)
    points = np.full_like(clip.keypoints_px, -500)
    points[:, :13] = 0
    points[:, kp.NOSE], points[:, kp.LEFT_WRIST] = [20, 10], [40.2, 50.4]
    score = np.zeros_like(clip.score)
    score[:, [kp.NOSE, kp.LEFT_WRIST]] = 1
    moved = dataclasses.replace(clip, keypoints_px=points, score=score)
    assert kit.seen(moved, kit.noise(4), kit.noise(4)).person == (slice(10, 51), slice(20, 41))
    hidden = dataclasses.replace(clip, score=np.zeros_like(clip.score))
    assert kit.seen(hidden, kit.noise(4), kit.noise(4)).person is None


# ---- what is missing


def video(given_pose: str, networks: Networks | None = None) -> SeenVideo:
    clip, true = kit.clip(6), kit.noise(6)
    driving = {"true": clip.keypoints_px, "other": clip.keypoints_px + 1, "none": None}[given_pose]
    return kit.seen(clip, kit.noise(6, seed=1), true, networks, driving_px=driving)


@pytest.mark.parametrize("given_pose", ["true", "other", "none"])
def test_what_was_given_to_the_system_is_told_apart(given_pose: str):
    assert video(given_pose).given_pose == given_pose


@pytest.mark.parametrize("name", sorted(NAMES - {"psnr", "ssim"}))
def test_without_weights_nothing_is_computed_and_the_reason_says_what_to_give(name: str):
    module, seen = modules()[name], video("true")
    assert module.measure(seen) == {}
    truth = truth_of(seen.clip, seen.true_film, seen.networks)
    found = kit.values(name, [seen], [truth])
    assert found == {card.name: None for card in module.CARDS}
    for card in module.CARDS:
        reason = missing(card, Networks())
        for need in set(card.needs) - {"true_pose", "any_pose"}:
            assert f"benchmark.video.{need}" in reason


@pytest.mark.parametrize(("name", "given_pose", "computed"), [
    ("psnr", "true", True), ("psnr", "other", False), ("psnr", "none", False), ("ssim", "other", False),
    ("pose_fidelity", "other", True), ("pose_fidelity", "none", False), ("hands", "none", True),
])  # fmt: skip
def test_pictures_are_compared_one_by_one_only_where_the_pose_is_the_truths(name: str, given_pose: str, computed: bool):
    networks = Networks(VideoSettings(pose="synthetic"))
    card = modules()[name].CARDS[0]
    reason = missing(card, networks, given_pose=given_pose)
    assert (reason is None) == computed
    assert computed or "track B" in reason
    assert video(given_pose, networks).can(card) == computed


# ---- networks


def scripted(folder: Path) -> Path:
    torch.jit.script(kit.Colours()).save(str(folder / "net.pt"))
    return folder / "net.pt"


def test_a_file_of_another_digest_is_not_opened(tmp_path: Path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"whatever runs when it is loaded")
    networks = Networks(VideoSettings(inception=Given(file=str(path), sha256="0" * 64)))
    with pytest.raises(UserError, match=r"inception: .*net\.pt has sha256 .* it is not opened"):
        networks.check()


def test_a_pickle_is_not_read_though_its_digest_is_right(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save(kit.Colours(), path)
    with pytest.raises(UserError, match=r"i3d: .* is no TorchScript archive"):
        _ = Networks(VideoSettings(i3d=kit.given(path))).i3d


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    networks = Networks(VideoSettings(face=Given(file=str(tmp_path / "face.onnx"), sha256="0" * 64)))
    with pytest.raises(UserError, match=r"face: no file .*face\.onnx"):
        networks.check()


def test_a_digest_is_64_hexadecimal_digits():
    with pytest.raises(ValueError, match="sha256"):
        Given(file="a.pt", sha256="abc")


@pytest.mark.parametrize("way", ["setting", "environment", "neither"])
def test_non_commercial_weights_are_opted_in_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str):
    monkeypatch.delenv(video_networks.OPT_IN, raising=False)
    if way == "environment":
        monkeypatch.setenv(video_networks.OPT_IN, "1")
    given = kit.given(scripted(tmp_path), licence="CC-BY-NC-4.0")
    networks = Networks(VideoSettings(face=given, non_commercial=way == "setting"))
    if way == "neither":
        with pytest.raises(UserError, match=r"non-commercial use only; set benchmark\.video\.non_commercial=true"):
            networks.check()
    else:
        networks.check()


@pytest.mark.parametrize("sha256", sorted(video_networks.NON_COMMERCIAL))
def test_weights_known_to_be_non_commercial_are_refused_before_they_are_looked_for(sha256: str):
    networks = Networks(VideoSettings(face=Given(file="nowhere.onnx", sha256=sha256, licence="MIT")))
    with pytest.raises(UserError, match="InsightFace"):
        networks.check()


def test_digests_are_those_of_all_networks(tmp_path: Path):
    given = kit.given(scripted(tmp_path))
    found = Networks(VideoSettings(i3d=given, pose="synthetic")).digests
    assert found.keys() == {"i3d", "pose.detector", "pose.estimator"}
    assert found["i3d"] == given.sha256


def test_networks_go_to_workers_and_are_opened_there(tmp_path: Path):
    networks = Networks(VideoSettings(inception=kit.given(scripted(tmp_path))))
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, 8, 8)).astype(np.float32)
    found = networks.inception.features(pictures)
    sent = pickle.loads(pickle.dumps(networks))
    np.testing.assert_array_equal(sent.inception.features(pictures), found)


def onnx_file(path: Path, inputs: dict[str, list], nodes: list[tuple]) -> Path:
    """A network of nodes (operation, inputs, output, attributes), whose last output is its own."""
    made = [helper.make_node(kind, list(taken), [given], **how) for kind, taken, given, how in nodes]
    shown = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    model = helper.make_model(
        helper.make_graph(made, "toy", given, [shown]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, str(path))
    return path


def test_onnx_networks_are_taken_by_the_same_contracts(tmp_path: Path):
    means = onnx_file(
        tmp_path / "face.onnx", {"x": ["N", 3, 112, 112]}, [("ReduceMean", "x", "y", {"axes": [2, 3], "keepdims": 0})]
    )
    apart = onnx_file(
        tmp_path / "lpips.onnx", {"a": ["N", 3, "H", "W"], "b": ["N", 3, "H", "W"]},
        [("Sub", "ab", "c", {}), ("Abs", "c", "d", {}), ("ReduceMean", "d", "e", {"axes": [1, 2, 3]})],
    )  # fmt: skip
    networks = Networks(VideoSettings(face=kit.given(means), lpips=kit.given(apart)))
    networks.check()
    faces = np.random.default_rng(0).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    np.testing.assert_allclose(networks.face.features(faces), faces.mean(axis=(2, 3)), atol=1e-6)
    with pytest.raises(UserError, match=r"face: .*face\.onnx does not take forward\(\[2, 3, 64, 64\]\)"):
        networks.face.features(np.zeros((2, 3, 64, 64), np.float32))
    clip, frames, true = kit.clip(6), kit.noise(6), kit.noise(6, seed=1)
    seen = kit.seen(clip, frames, true, networks)
    found = kit.values("lpips", [seen], [kit.truth(clip, true, networks)])
    wanted = np.abs(frames[[0, 5]].astype(float) - true[[0, 5]]).mean() / 127.5
    assert found["lpips"] == pytest.approx(wanted, rel=1e-5)


def test_a_network_with_another_output_is_refused(tmp_path: Path):
    networks = kit.networks(tmp_path, inception=kit.Apart())
    pictures = np.zeros((2, 3, 8, 8), np.float32)
    with pytest.raises(UserError, match=r"inception: .* does not take forward"):
        networks.inception.features(pictures)
    with pytest.raises(UserError, match=r"gives \[2, 3, 8, 8\] for 2 samples"):
        kit.networks(tmp_path, syncnet=kit.Lips()).syncnet.features(pictures)
    with pytest.raises(UserError, match="not finite"):
        kit.networks(tmp_path, face=kit.Colours()).face.features(pictures * np.nan)


def test_torch_keeps_its_threads():
    before = torch.get_num_threads()
    with video_networks.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


# ---- merging


def test_any_split_of_the_clips_gives_what_one_pass_gives(tmp_path: Path):
    networks = kit.networks(tmp_path, inception=kit.Level(), i3d=kit.Level(), lpips=kit.Apart())
    clips = [kit.clip(16, clip_id=name, seed=seed) for seed, name in enumerate("cabd")]
    true = [kit.noise(16, seed=seed) for seed in range(4)]
    videos = [(kit.seen(clip, kit.noise(16, seed=20 + 2 * number + seed), true[number], networks), seed)
              for number, clip in enumerate(clips) for seed in range(2)]  # fmt: skip
    for name in ("psnr", "ssim", "lpips", "fid", "fvd"):
        module = modules()[name]
        truth = Accumulator(module)
        for clip, frames in zip(clips, true, strict=True):
            truth.update(truth_of(clip, film_of_array(frames, name="truth"), networks))
        whole, first, second = Accumulator(module), Accumulator(module), Accumulator(module)
        for number, (seen, seed) in enumerate(videos):
            whole.update(seen, seed=seed)
            (second if number % 3 else first).update(seen, seed=seed)
        assert second.merge(first).compute(truth) == whole.compute(truth)
        assert all(value is not None for value in whole.compute(truth).values()), name
