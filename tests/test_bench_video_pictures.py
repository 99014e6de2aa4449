"""Video metrics of pictures and windows: PSNR, SSIM, LPIPS, FID, KID, FVD and V-JEPA, against independent numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg, ndimage
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from csg405.benchmark.metric import Key
from csg405.benchmark.metrics_video import fid, fvd, ssim, vjepa
from csg405.benchmark.metrics_video._sets import frechet_of, mmd_of
from csg405.benchmark.metrics_video.psnr import psnr_db
from csg405.benchmark.metrics_video.ssim import ssim_map
from csg405.benchmark.preprocess import planes
from csg405.benchmark.video_networks import Given, Networks, VideoSettings
from csg405.errors import UserError
from csg405.weights import digest
from tests import bench_video_kit as kit

TRUE = kit.noise(7)
OTHER = np.clip(TRUE.astype(int) + np.random.default_rng(8).integers(-25, 26, TRUE.shape), 0, 255).astype(np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(picture, -1, 0)[None].astype(np.float64))


# ---- PSNR


def test_psnr_is_torchmetrics():
    for image, true in zip(OTHER, TRUE, strict=True):
        wanted = float(peak_signal_noise_ratio(tensor(image), tensor(true), data_range=255.0))
        assert psnr_db(image, true) == pytest.approx(wanted, rel=1e-6)


def test_psnr_by_hand():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr_db(black + 255, black) == 0
    assert psnr_db(black + 1, black) == pytest.approx(48.1308036086791)  # 10 lg 255^2
    assert psnr_db(black, black) == pytest.approx(48.1308036086791 + 10 * np.log10(12))


def test_psnr_of_a_clip_is_the_mean_over_frames_and_of_the_person_that_of_their_part():
    seen = kit.seen(kit.clip(7), OTHER, TRUE)
    found = kit.values("psnr", [seen], [kit.truth(seen.clip, TRUE)])
    assert found["psnr"] == pytest.approx(np.mean([psnr_db(a, b) for a, b in zip(OTHER, TRUE, strict=True)]))
    only_outside = OTHER.copy()
    only_outside[:, *seen.person] = TRUE[:, *seen.person]
    outside = kit.values("psnr", [kit.seen(seen.clip, only_outside, TRUE)], [kit.truth(seen.clip, TRUE)])
    assert outside["psnr_person"] == pytest.approx(48.1308036086791 + 10 * np.log10(12))
    assert found["psnr"] < outside["psnr"] < outside["psnr_person"]


# ---- SSIM


def by_definition(image: np.ndarray, true: np.ndarray) -> float:
    """SSIM of one picture, window by window, with weighted numpy statistics."""
    along = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(along, along) / along.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for colour in range(3):
        for row in range(image.shape[0] - 10):
            for column in range(image.shape[1] - 10):
                x, y = (p[row : row + 11, column : column + 11, colour].astype(float) for p in (image, true))
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                shared = (weights * (x - mx) * (y - my)).sum()
                values.append((2 * mx * my + c1) * (2 * shared + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2))
    return float(np.mean(values))


def test_ssim_is_torchmetrics():
    for image, true in zip(OTHER, TRUE, strict=True):
        wanted = float(structural_similarity_index_measure(tensor(image), tensor(true), data_range=255.0))
        assert ssim_map(image, true).mean() == pytest.approx(wanted, rel=1e-6)


def test_ssim_is_that_of_its_definition():
    image, true = OTHER[0, :20, :17], TRUE[0, :20, :17]
    inner = ssim_map(image, true)[5:-5, 5:-5]
    assert inner.mean() == pytest.approx(by_definition(image, true), rel=1e-9)


def test_ssim_of_equal_pictures_is_1_and_blur_costs_it_less_than_noise():
    assert ssim_map(TRUE[0], TRUE[0]).mean() == pytest.approx(1)
    blurred = ndimage.gaussian_filter(TRUE[0], (1, 1, 0))
    assert ssim_map(blurred, TRUE[0]).mean() > ssim_map(OTHER[0], TRUE[0]).mean()


def test_ssim_of_the_persons_part_looks_nowhere_else():
    seen = kit.seen(kit.clip(7), OTHER, TRUE)
    rows, columns = seen.person
    elsewhere = OTHER.copy()
    around = slice(rows.start - 5, rows.stop + 5), slice(columns.start - 5, columns.stop + 5)
    elsewhere[:, *around] = TRUE[:, *around]
    found = kit.values("ssim", [kit.seen(seen.clip, elsewhere, TRUE)], [kit.truth(seen.clip, TRUE)])
    assert found["ssim_person"] == pytest.approx(1)
    assert found["ssim"] < 0.999
    small = kit.clip(2, size=10, shoulders_px=4)
    with pytest.raises(UserError, match="pictures of 10 px, SSIM needs 11 px at least"):
        ssim.measure(kit.truth(small, kit.noise(2, size=10)))


# ---- LPIPS


def test_lpips_is_the_mean_of_the_network_over_one_frame_in_five(tmp_path: Path):
    networks = kit.networks(tmp_path, lpips=kit.Apart())
    seen = kit.seen(kit.clip(7), OTHER, TRUE, networks)
    found = kit.values("lpips", [seen], [kit.truth(seen.clip, TRUE, networks)])
    wanted = np.abs(OTHER[[0, 5]].astype(float) - TRUE[[0, 5]]).mean() / 127.5
    assert found["lpips"] == pytest.approx(wanted, rel=1e-6)


def test_lpips_of_a_network_that_takes_one_picture_is_refused(tmp_path: Path):
    networks = kit.networks(tmp_path, lpips=kit.Colours())
    with pytest.raises(UserError, match=r"lpips: .* does not take forward\(\[2, 3, 64, 64\], \[2, 3, 64, 64\]\)"):
        kit.values("lpips", [kit.seen(kit.clip(7), OTHER, TRUE, networks)], [])


# ---- Fréchet and kernel distances


def rows_of(sets: list[np.ndarray], name: str, seed: int = 0) -> dict:
    return {Key(f"clip{number}", seed): {name: one} for number, one in enumerate(sets)}


def frechet_by_roots(x: np.ndarray, y: np.ndarray) -> float:
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(sx @ sy).real
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(sx + sy - 2 * root))


def kernel_by_pairs(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    def mean(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        return float(np.mean([(a @ b / len(a) + 1) ** 3 for i, one in enumerate(first) for a in one
                              for j, other in enumerate(second) for b in other if i != j]))  # fmt: skip

    return mean(x, x) - 2 * mean(x, y) + mean(y, y)


@pytest.mark.parametrize("width", [3, 8, 70])
def test_distances_of_given_features_are_those_of_independent_formulas(width: int):
    rng = np.random.default_rng(width)
    mixing = rng.normal(size=(width, width)) / np.sqrt(width)
    x = [rng.normal(0.3, 1.2, (17, width)) for _ in range(6)]
    y = [rng.normal(size=(15, width)) @ mixing for _ in range(6)]
    rows, truth = rows_of(x, "inception"), rows_of(y, "inception")
    wanted = frechet_by_roots(np.concatenate(x), np.concatenate(y))
    assert frechet_of(rows, truth, name="inception") == pytest.approx(wanted, rel=1e-6)
    assert mmd_of(rows, truth, name="inception") == pytest.approx(kernel_by_pairs(x, y), rel=1e-6)
    assert fid.compute(rows, truth) == {
        "fid": frechet_of(rows, truth, name="inception"), "kid": mmd_of(rows, truth, name="inception")
    }  # fmt: skip


def test_the_value_of_several_seeds_is_the_mean_of_theirs():
    rng = np.random.default_rng(2)
    sets = [[rng.normal(seed, 1, (9, 3)) for _ in range(4)] for seed in range(3)]
    truth = rows_of(sets[0], "i3d")
    both = {**rows_of(sets[1], "i3d"), **rows_of(sets[2], "i3d", seed=1)}
    single = [fvd.compute(rows_of(one, "i3d"), truth)["fvd"] for one in sets[1:]]
    assert fvd.compute(both, truth)["fvd"] == pytest.approx(np.mean(single))
    assert fvd.compute(rows_of(sets[0], "i3d"), truth)["fvd"] == pytest.approx(0, abs=1e-9)


def test_what_too_few_samples_do_not_fix_is_not_computed():
    rng = np.random.default_rng(1)
    few, many = rows_of([rng.normal(size=(4, 8))] * 2, "inception"), rows_of([rng.normal(size=(9, 8))] * 2, "inception")
    assert fid.compute(few, many)["fid"] is None
    assert fid.compute(many, few)["fid"] is None
    assert fid.compute(few, many)["kid"] is not None
    one = rows_of([rng.normal(size=(9, 8))], "inception")
    assert fid.compute(one, one)["kid"] is None  # no pair of different clips
    assert fid.compute({}, {}) == {"fid": None, "kid": None}


def test_fid_goes_through_one_frame_in_five_at_299_px(tmp_path: Path):
    networks = kit.networks(tmp_path, inception=kit.Colours())
    seen = kit.seen(kit.clip(7), OTHER, TRUE, networks)
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(planes(OTHER[[0, 5]])).double(), (299, 299), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(fid.measure(seen)["inception"], kit.Colours()(scaled).numpy(), rtol=1e-5)


# ---- windows


@pytest.mark.parametrize(("n", "windows"), [(1, 0), (15, 0), (16, 1), (31, 1), (33, 2)])
def test_windows_of_16_frames_follow_each_other(tmp_path: Path, n: int, windows: int):
    networks = kit.networks(tmp_path, i3d=kit.Colours())
    frames = kit.noise(n)
    row = fvd.measure(kit.seen(kit.clip(n), frames, frames, networks))
    assert row.keys() == ({"i3d"} if windows else set())
    for number in range(windows):
        window = planes(frames[16 * number : 16 * number + 16])
        scaled = torch.nn.functional.interpolate(torch.from_numpy(window).double(), (224, 224), mode="bilinear")
        wanted = kit.Colours()((scaled / 127.5 - 1).movedim(0, 1)[None])[0]
        np.testing.assert_allclose(row["i3d"][number], wanted, rtol=1e-4, atol=1e-6)


def test_clips_without_a_window_have_no_fvd(tmp_path: Path):
    networks = kit.networks(tmp_path, i3d=kit.Colours())
    clips = [kit.clip(15, clip_id=name) for name in "ab"]
    truth = [kit.truth(clip, kit.noise(15), networks) for clip in clips]
    assert kit.values("fvd", truth, truth) == {"fvd": None}


def test_the_published_i3d_is_told_to_scale_nothing_and_to_give_features(tmp_path: Path):
    networks = kit.networks(tmp_path, i3d=kit.Published())
    frames = kit.noise(16)
    row = fvd.measure(kit.seen(kit.clip(16), frames, frames, networks))
    assert row["i3d"].shape == (1, 4)
    assert row["i3d"][0, 3] == 1


# ---- V-JEPA


@pytest.fixture(scope="module")
def jepa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import VJEPA2Config, VJEPA2Model

    torch.manual_seed(405)
    config = VJEPA2Config(
        patch_size=16, crop_size=32, frames_per_clip=16, tubelet_size=2, hidden_size=32, num_attention_heads=2,
        num_hidden_layers=2, pred_hidden_size=16, pred_num_attention_heads=2, pred_num_hidden_layers=1,
        pred_num_mask_tokens=2, num_pooler_layers=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("jepa")
    VJEPA2Model(config).save_pretrained(folder)
    return folder


def jepa(file: Path | str, folder: Path) -> Networks:
    return Networks(VideoSettings(vjepa=Given(file=str(file), sha256=digest(folder / "model.safetensors"))))


def test_vjepa_is_the_mean_of_the_encoders_tokens(jepa_folder: Path):
    networks, frames = jepa(jepa_folder, jepa_folder), kit.noise(34)
    row = vjepa.measure(kit.seen(kit.clip(34), frames, frames, networks))
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(planes(frames[16:32])), (32, 32), mode="bilinear", antialias=True
    )
    mean, std = (torch.tensor(one)[:, None, None] for one in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        tokens = networks.vjepa.get_vision_features(((scaled / 255 - mean) / std)[None])
    assert row["vjepa"].shape == (2, 32)
    np.testing.assert_allclose(row["vjepa"][1], tokens[0].mean(0).numpy(), rtol=1e-3, atol=1e-4)
    again = vjepa.measure(kit.seen(kit.clip(34), frames, frames, jepa(jepa_folder, jepa_folder)))
    np.testing.assert_array_equal(row["vjepa"], again["vjepa"])
    short = kit.noise(15)
    assert vjepa.measure(kit.seen(kit.clip(15), short, short, networks)) == {}


def test_vjepa_tells_dark_films_from_true_ones(jepa_folder: Path):
    networks = jepa(jepa_folder, jepa_folder)
    clips = [kit.clip(32, clip_id=name) for name in "abcd"]
    true = [kit.truth(clip, kit.noise(32, seed=seed), networks) for seed, clip in enumerate(clips)]
    dark = [kit.seen(clip, kit.noise(32, seed=seed) // 4, kit.noise(32), networks)
            for seed, clip in enumerate(clips)]  # fmt: skip
    assert kit.values("vjepa", true, true)["vjepa_mmd"] == pytest.approx(0, abs=1e-9)
    wanted = mmd_of(
        rows_of([vjepa.measure(one)["vjepa"] for one in dark], "vjepa"),
        rows_of([vjepa.measure(one)["vjepa"] for one in true], "vjepa"), name="vjepa",
    )  # fmt: skip
    found = kit.values("vjepa", dark, true)["vjepa_mmd"]
    assert found == pytest.approx(wanted)
    assert found > 0


def test_vjepa_comes_from_the_hubs_cache_by_name(jepa_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CSG405_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="vjepa: cannot fetch someone/tiny"):
        _ = jepa("someone/tiny", jepa_folder).vjepa
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(jepa_folder)
    assert jepa("someone/tiny", jepa_folder).vjepa.config.crop_size == 32
    wrong = Networks(VideoSettings(vjepa=Given(file="someone/tiny", sha256="0" * 64)))
    with pytest.raises(UserError, match=r"model\.safetensors has sha256"):
        wrong.check()


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../up"])
def test_what_is_neither_folder_nor_hub_name_is_refused(jepa_folder: Path, name: str):
    with pytest.raises(UserError, match="vjepa: no folder"):
        _ = jepa(name, jepa_folder).vjepa


def test_another_model_is_no_vjepa(tmp_path: Path, jepa_folder: Path):
    (tmp_path / "config.json").write_text('{"model_type": "vjepa2"}')
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no V-JEPA 2"):
        _ = jepa(tmp_path, tmp_path).vjepa


def test_a_vjepa_without_weights_is_not_made_up(tmp_path: Path, jepa_folder: Path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((jepa_folder / "config.json").read_bytes())
    kept = {name: one for name, one in load_file(jepa_folder / "model.safetensors").items() if "layer.1." not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks \d+ of the encoder's weights, encoder\.layer\.1\."):
        _ = jepa(tmp_path, tmp_path).vjepa
