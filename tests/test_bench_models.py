"""What every model must keep to: shapes, seeds, batches, folders, windows, sounds of all kinds, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize

from csg405 import keypoints as kp
from csg405.benchmark import models
from csg405.benchmark.audio.features import extractor
from csg405.benchmark.models.base import GestureModel, Request
from csg405.benchmark.models.codec import Codec, References, globalised, localised, references_of
from csg405.benchmark.models.long import joined, sample, stream
from csg405.benchmark.models.mdm_ddpm import schedule
from csg405.benchmark.models.speech import Performer, prepared
from csg405.errors import UserError
from csg405.keypoints import representations
from tests import bench_motion as motion

DIM = extractor("prosody").dim
POSE = motion.pose().astype(np.float32)
SEEN = np.ones(kp.COUNT, np.float32)

SETTINGS = {
    "flow-dit": {"width": 32, "layers": 2, "heads": 2, "frames": 40, "context": 8, "lookahead": 3, "steps": 3},
    "mdm-ddpm": {"width": 32, "layers": 2, "heads": 2, "feed": 32, "frames": 40, "context": 8, "steps": 6},
}


@pytest.fixture(params=models.NAMES)
def model(request: pytest.FixtureRequest) -> GestureModel:
    return untaught(request.param)


def untaught(name: str, **settings: object) -> GestureModel:
    """A model whose layers all do something, and whose normaliser is no identity."""
    torch.manual_seed(5)
    made = models.create(name, **{"features_dim": DIM, **SETTINGS[name], **settings})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        made.codec.mean.normal_(0, 0.1)
        made.codec.deviation.uniform_(0.1, 0.3)
        made.codec.pose.copy_(localised(torch.from_numpy(POSE)) / motion.UNIT_PX)
    return made.eval()


def asked(frames: int, *, seed: int = 1, dim: int = DIM) -> Request:
    rng = np.random.default_rng([frames, seed])
    return Request(
        features=rng.standard_normal((frames, dim), np.float32), reference_px=POSE, reference_score=SEEN, seed=seed
    )


def test_a_motion_has_a_frame_for_each_row_and_is_finite(model: GestureModel) -> None:
    lengths = [1, 5, 40, 41, 97]
    made = sample(model, [asked(n) for n in lengths])
    assert [motion.shape for motion in made] == [(n, 133, 2) for n in lengths]
    assert all(np.isfinite(motion).all() for motion in made)


def test_a_seed_gives_one_motion_and_another_another(model: GestureModel) -> None:
    first, again, other = (sample(model, [dataclasses.replace(asked(60), seed=seed)])[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1


def test_a_motion_does_not_depend_on_those_beside_it(model: GestureModel) -> None:
    requests = [asked(n, seed=n) for n in (7, 97, 55)]
    together = sample(model, requests)
    for request, made in zip(requests, together, strict=True):
        assert np.abs(sample(model, [request])[0] - made).max() < 0.01  # px: sums of another order


def test_frames_come_as_they_are_made(model: GestureModel) -> None:
    pieces = [piece for (piece,) in stream(model, [asked(97)])]
    assert len(pieces) > 2
    assert np.array_equal(np.concatenate(pieces), sample(model, [asked(97)])[0])


def test_the_beginning_does_not_wait_for_what_is_said_later(model: GestureModel) -> None:
    long, short = asked(97), asked(97)
    short = dataclasses.replace(short, features=long.features.copy())
    short.features[60:] += 3
    assert np.array_equal(sample(model, [long])[0][:30], sample(model, [short])[0][:30])


def test_what_is_said_changes_the_motion(model: GestureModel) -> None:
    one = asked(40)
    other = dataclasses.replace(one, features=one.features[::-1].copy())
    assert np.abs(sample(model, [one])[0] - sample(model, [other])[0]).max() > 0.1


def test_a_saved_model_makes_the_same_motion(model: GestureModel, tmp_path: Path) -> None:
    models.save(model, tmp_path / "model")
    again = models.load(tmp_path / "model")
    assert type(again) is type(model)
    assert type(type(model).from_pretrained(tmp_path / "model")) is type(model)
    other = next(name for name in models.NAMES if name != model.name)
    with pytest.raises(UserError, match=f"holds {model.name}, not {other}"):
        type(untaught(other)).from_pretrained(tmp_path / "model")
    assert again.settings == model.settings
    assert np.array_equal(sample(again, [asked(60)])[0], sample(model, [asked(60)])[0])
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".md"}


def test_half_precision_gives_nearly_the_same(model: GestureModel) -> None:
    whole = sample(model, [asked(40)])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = sample(model, [asked(40)])[0]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - whole).mean() < 10


def test_a_larger_person_elsewhere_moves_alike(model: GestureModel) -> None:
    there = dataclasses.replace(asked(60), reference_px=2 * POSE + 100)
    assert np.abs(sample(model, [there])[0] - (2 * sample(model, [asked(60)])[0] + 100)).max() < 0.5


def test_a_reference_without_hands_will_do(model: GestureModel) -> None:
    score = SEEN.copy()
    score[kp.LEFT_HAND.start :] = 0
    unseen = POSE.copy()
    unseen[kp.LEFT_HAND.start :] = np.nan
    made = sample(model, [dataclasses.replace(asked(60), reference_px=unseen, reference_score=score)])[0]
    assert np.isfinite(made).all()
    hands = made[:, kp.LEFT_HAND] - made[:, kp.LEFT_WRIST, None]
    assert np.linalg.norm(hands, axis=-1).mean() < 3 * motion.UNIT_PX


@pytest.mark.parametrize(
    ("samples", "rate_hz"),
    [
        (np.zeros(3200, np.float32), 16_000),
        (np.zeros((8000, 2), np.int16), 8_000),
        (np.random.default_rng(0).standard_normal((44_100, 2)).clip(-1, 1), 44_100),
        (np.ones(1, np.float32), 16_000),
    ],
    ids=["silence, 0.2 s", "stereo, 8 kHz", "noise, 44.1 kHz", "one sample"],
)
def test_sounds_of_all_kinds(model: GestureModel, samples: np.ndarray, rate_hz: int) -> None:
    wave = prepared(samples, rate_hz=rate_hz)
    assert len(wave) == 640 * max(-(-len(samples) * 25 // rate_hz), 1)
    made = np.concatenate(
        list(Performer(model, extractor("prosody")).perform(wave, reference_px=POSE, reference_score=SEEN))
    )
    assert made.shape == (len(wave) // 640, 133, 2)
    assert np.isfinite(made).all()


@pytest.mark.long
def test_ten_minutes(model: GestureModel) -> None:
    made = sample(model, [asked(15_000)], sampling=model.sampling(steps=1, guidance=1.0))[0]
    assert made.shape == (15_000, 133, 2)
    assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"features": np.zeros((0, DIM), np.float32)}, "1 or more frames"),
        ({"features": np.zeros((9, DIM + 1), np.float32)}, f"\\[frames, {DIM}\\]"),
        ({"features": np.full((9, DIM), np.nan, np.float32)}, "not finite"),
        ({"reference_px": POSE[:17]}, "\\(17, 2\\)"),
        ({"reference_px": np.full_like(POSE, np.inf)}, "not finite"),
        ({"reference_score": np.zeros(kp.COUNT, np.float32)}, "shoulders"),
    ],
)
def test_what_cannot_be_met_is_refused(model: GestureModel, change: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(UserError, match=says):
        sample(model, [dataclasses.replace(asked(9), **change)])


@pytest.mark.parametrize(
    ("samples", "rate_hz", "says"),
    [
        (np.zeros(0, np.float32), 16_000, "one sample or more"),
        (np.zeros((2, 9), np.float32), 16_000, "channels"),
        (np.full(9, np.nan), 16_000, "not finite"),
        (np.zeros(9, np.float32), 100, "100 samples a second"),
    ],
)
def test_sounds_that_are_none(samples: np.ndarray, rate_hz: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepared(samples, rate_hz=rate_hz)


def test_names_sizes_and_settings_that_are_none() -> None:
    with pytest.raises(UserError, match="flow-dit"):
        models.create("flow")
    with pytest.raises(UserError, match="tiny"):
        models.create("flow-dit", size="XXL")
    with pytest.raises(UserError, match="width"):
        models.create("flow-dit", width="wide")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("flow-dit", {"frames": 100, "lookahead": 80}, "make nothing"), ("flow-dit", {"context": 100}, "make nothing"),
        ("flow-dit", {"width": 100}, "width 100"), ("mdm-ddpm", {"heads": 3}, "3 heads"),
        ("mdm-ddpm", {"frames": 50, "lookahead": 50}, "for ever"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_each_other_are_refused(name: str, settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        models.create(name, size="tiny", features_dim=4, **settings)


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        models.load(tmp_path)
    models.save(untaught("flow-dit"), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="not the weights"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("[1, 2]", "has to say `model` and `settings`"),
        ("[" * 100_000, "has to say `model` and `settings`"),
        ('{"model": 3, "settings": {}}', "`model` has to be a text"),
        ('{"model": "flow-dit", "settings": null}', "`settings` values by name"),
        ('{"model": "flow-dit", "settings": ["width"]}', "`settings` values by name"),
        ('{"model": "flow-dit", "settings": {"name": "x"}}', "flow-dit: name"),
        ('{"model": "flow-dit", "settings": {"size": "tiny"}}', "flow-dit: size"),
        ('{"model": "os.path", "settings": {}}', "there are flow-dit, mdm-ddpm"),
    ],
)
def test_configurations_that_say_something_else_are_told(tmp_path: Path, told: str, message: str) -> None:
    models.save(untaught("flow-dit"), tmp_path)
    (tmp_path / "config.json").write_text(told)
    with pytest.raises(UserError, match=message):
        models.load(tmp_path)


def test_settings_that_ask_for_more_than_the_weights_take_no_room(model: GestureModel, tmp_path: Path) -> None:
    models.save(model, tmp_path)
    path = tmp_path / "config.json"
    told = json.loads(path.read_text())
    told["settings"] |= {"width": 65_536, "layers": 40, "heads": 4}  # terabytes
    path.write_text(json.dumps(told))
    with pytest.raises(UserError, match=rf"not the weights of this {model.name}: .* is \(.*\), wanted \(.*\)"):
        models.load(tmp_path)


def test_weights_that_are_no_numbers_are_told(model: GestureModel, tmp_path: Path) -> None:
    with torch.no_grad():
        model.codec.mean[3] = float("nan")
    models.save(model, tmp_path)
    with pytest.raises(UserError, match=r"codec\.mean holds numbers that are not finite"):
        models.load(tmp_path)


def test_sampling_beyond_all_sense_is_refused(model: GestureModel) -> None:
    for guidance in (-1.0, 1e30, float("inf"), float("nan")):
        with pytest.raises(UserError, match="wanted 0 to 100"):
            model.sampling(guidance=guidance)
    with pytest.raises(UserError, match="wanted 1 or more"):
        model.sampling(steps=0)


def test_a_motion_that_is_none_is_told(model: GestureModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "make", lambda window, _: torch.full((1, window.within.shape[1], 2), float("nan")))
    monkeypatch.setattr(model.codec, "decode", lambda numbers, _: numbers)
    with pytest.raises(UserError, match="made numbers that are not finite"):
        sample(model, [asked(9)])


def test_a_device_that_is_not_there_is_told(model: GestureModel, tmp_path: Path) -> None:
    models.save(model, tmp_path)
    with pytest.raises(UserError, match=r"device tpu: .*take cpu"):
        models.load(tmp_path, device="tpu")


# ---- sizes and formulas


def test_the_sizes_are_those_that_are_told() -> None:
    sizes = {size: models.create("flow-dit", size=size, features_dim=DIM).parameters_m() for size in ("tiny", "S", "B")}
    assert sizes == pytest.approx({"tiny": 1.5, "S": 23, "B": 59}, rel=0.05)
    released = models.create("mdm-ddpm", size="released", features_dim=768)
    assert released.parameters_m() == pytest.approx(217.52, abs=0.01)  # 217,520,374 by the reference's own sizes


@pytest.mark.parametrize("fresh", [1, 2, 5, 8, 20])
def test_a_window_goes_on_smoothly_and_is_itself_again_soon(fresh: int) -> None:
    straight = torch.arange(5.0 + fresh)[:, None] * torch.tensor([1.0, -2.0])
    assert torch.allclose(joined(straight, known=5), straight, atol=1e-5), "what is smooth is not moved"
    apart, jump = straight.clone(), torch.tensor([3.0, 1.0])
    apart[5:] += jump
    whole = joined(apart, known=5)
    assert torch.equal(whole[:5], apart[:5])
    assert torch.equal(whole[13:], apart[13:])
    moved = (whole - apart)[5:13].abs()
    assert (moved.diff(dim=0) < 0).all(), "it dies away"
    assert (whole[5] - straight[5]).norm() < 0.4 * jump.norm(), "it begins near where the window before was going"


def test_the_move_over_a_join_is_the_smoothest_there_is() -> None:
    rng = np.random.default_rng(4)
    before, made = rng.normal(size=5), rng.normal(size=20)

    def bent(move: np.ndarray) -> float:
        """Squares of accelerations over the join, and of the move's own after it."""
        over = np.concatenate([before[-2:], made[:2] + move[:2]])
        alone = np.concatenate([move, [0, 0]])
        return float((np.diff(over, n=2) ** 2).sum() + (np.diff(alone, n=2) ** 2).sum())

    wanted = optimize.minimize(bent, np.zeros(8), method="BFGS").x
    found = joined(torch.from_numpy(np.concatenate([before, made]))[:, None], known=5)[5:, 0].numpy()
    assert found[:8] - made[:8] == pytest.approx(wanted, abs=1e-5)
    assert found[8:].tolist() == made[8:].tolist()
    alone = torch.from_numpy(before[:1])[:, None]
    assert torch.equal(joined(torch.cat([alone, alone + 3]), known=1), torch.cat([alone, alone + 3]))


@pytest.mark.parametrize(("shift", "middle"), [(1.0, 0.5), (6.0, 1 / 7)])
def test_the_flow_ends_where_its_last_look_says_and_takes_short_steps_first(
    monkeypatch: pytest.MonkeyPatch, shift: float, middle: float
) -> None:
    flow = untaught("flow-dit", shift=shift, steps=4)
    times: list[float] = []

    def guided(moving: torch.Tensor, time: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        times.append(float(time[0]))
        return torch.full_like(moving, float(len(times)))

    monkeypatch.setattr(flow, "_guided", guided)
    made = sample(flow, [asked(9)])[0]
    assert times == pytest.approx([0, 0.25 / (0.25 + 0.75 * shift), middle, 0.75 / (0.75 + 0.25 * shift)])
    references = references_of([POSE], [SEEN])
    wanted = flow.codec.decode(torch.full((1, 8, flow.codec.numbers), 4.0), references)[0]
    assert np.allclose(made[1:], wanted.detach().numpy(), atol=1e-2)


def test_the_schedule_is_the_fourth_power_of_a_cosine() -> None:
    kept = schedule(100).numpy()
    assert kept[:-1] == pytest.approx(np.cos(np.pi / 2 * np.arange(1, 100) / 100) ** 4, rel=1e-5)
    assert 0 < kept[-1] < 1e-6


def test_the_paper_has_both_faults_and_its_person_is_pinned() -> None:
    settings = models.create("mdm-ddpm", size="paper", features_dim=4, width=32, layers=1, heads=2, feed=32).settings
    assert (settings.drop_root, settings.seed_from_target) == (True, True)
    pinned, free = (untaught("mdm-ddpm", drop_root=dropped) for dropped in (True, False))
    made = [sample(model, [asked(60)])[0] for model in (pinned, free)]
    necks = [points[:, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=1) for points in made]
    assert np.ptp(necks[0], axis=0).max() < 0.01
    assert np.ptp(necks[1], axis=0).max() > 1


def test_a_model_that_is_given_the_first_frames_goes_on_from_them() -> None:
    model = untaught("mdm-ddpm", seed_from_target=True)
    first = motion.lively(8).astype(np.float32)
    made = sample(model, [dataclasses.replace(asked(60), first_px=first)])[0]
    assert made.shape == (60, 133, 2)
    told = [point for point in kp.UPPER_BODY if point not in (5, 6)]
    assert np.abs(made[:8, told] - first[:, told]).max() < 0.05
    with pytest.raises(UserError, match="is given 8"):
        sample(model, [dataclasses.replace(asked(60), first_px=first[:3])])
    with pytest.raises(UserError, match="is given 0"):
        sample(untaught("flow-dit"), [dataclasses.replace(asked(60), first_px=first)])


# ---- the codec


def test_local_points_are_the_cores() -> None:
    points = motion.lively(6).astype(np.float64)
    local = localised(torch.from_numpy(points))
    known = representations.to_local(points)
    assert np.allclose(local.numpy(), known.points)
    back = globalised(local, torch.from_numpy(known.root))
    assert np.allclose(back.numpy(), points)


@pytest.mark.parametrize("anchored", [True, False])
def test_numbers_lead_back_to_the_points(anchored: bool) -> None:
    codec = Codec(anchored=anchored)
    codec.mean.normal_()
    codec.deviation.uniform_(0.1, 2)
    points = torch.from_numpy(motion.lively(6).astype(np.float32))[None]
    references = references_of([POSE], [SEEN])
    back = codec.decode(codec.encode(points, references), references)
    assert torch.allclose(back, points, atol=1e-2)


def test_the_mean_and_the_deviation_are_those_of_what_is_shown() -> None:
    codec = Codec()
    points = torch.from_numpy(np.stack([motion.lively(50, seed=seed) for seed in (1, 2)]).astype(np.float32))
    shown = torch.ones(2, 50, 133, dtype=torch.bool)
    hidden = points.clone()
    shown[:, 10:20, kp.LEFT_HAND] = False
    hidden[:, 10:20, kp.LEFT_HAND] = 1e6
    references = references_of([POSE, POSE], [SEEN, SEEN])
    codec.fit([(hidden, shown, references)])
    numbers, mask = codec.encode(points, references), codec.mask(shown)
    held = torch.where(mask, numbers, torch.nan)
    assert torch.nanmean(held, dim=(0, 1)).abs().max() < 1e-3
    spread = torch.nanmean(held**2, dim=(0, 1)).sqrt()
    moving = codec.deviation > 0.0101
    assert torch.allclose(spread[moving], torch.ones(int(moving.sum())), atol=1e-2)


def test_a_reference_that_shows_no_shoulders_leans_on_the_clip() -> None:
    shown = torch.zeros(1, 133, dtype=torch.bool)
    points = torch.from_numpy(POSE)[None]
    with pytest.raises(UserError, match="shoulders"):
        References.of(points, shown)
    leaning = References.of(points, shown, neck_px=torch.tensor([[7.0, 8.0]]), unit_px=torch.tensor([50.0]))
    assert leaning.neck_px.tolist() == [[7.0, 8.0]]
    assert leaning.unit_px.tolist() == [50.0]
