"""The renderer `wan-animate`: diffusers' real pipeline, of tiny random networks."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from csg405 import keypoints as kp
from csg405.benchmark.renderers import renderer
from csg405.benchmark.renderers.base import Job
from csg405.benchmark.renderers.wan_animate import PROMPT, WanAnimate, face_of
from csg405.errors import UserError
from tests import bench_motion as motion

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, HEIGHT = 48, 32
SEGMENT = 5
FRAMES = 9
TOGETHER = {"device": "cpu", "dtype": "float32", "steps": 2, "segment": SEGMENT}


def parts() -> dict[str, object]:
    """Networks as Wan-Animate has them, with few channels; after diffusers' own test of the pipeline."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanAnimateTransformer3DModel
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        T5Tokenizer,
        UMT5Config,
        UMT5EncoderModel,
    )

    torch.manual_seed(405)
    return {
        "vae": AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ),
        "transformer": WanAnimateTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=36, latent_channels=16,
            out_channels=16, text_dim=32, freq_dim=256, ffn_dim=32, num_layers=2, image_dim=4, rope_max_seq_len=32,
            motion_encoder_channel_sizes={"4": 16, "8": 16, "16": 16}, motion_encoder_size=16, motion_style_dim=8,
            motion_dim=4, motion_encoder_dim=16, face_encoder_hidden_dim=16, face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
        ),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, num_train_timesteps=1000
        ),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(vocab_size=256, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
        "tokenizer": T5Tokenizer(),
        "image_encoder": CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=4, projection_dim=4, num_hidden_layers=2, num_attention_heads=2, image_size=4,
                intermediate_size=16, patch_size=1,
            )
        ),
        "image_processor": CLIPImageProcessor(crop_size=4, size=4),
    }  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import WanAnimatePipeline

    folder = tmp_path_factory.mktemp("wan")
    WanAnimatePipeline(**parts()).save_pretrained(folder)
    return folder


def given(count: int) -> dict[str, np.ndarray]:
    points = (motion.lively(count, seed=1) * (WIDTH / motion.SIZE_PX) - [0, 8]).astype(np.float32)
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    score = np.ones((count, kp.COUNT), np.float32)
    return {
        "reference_image": image, "reference_px": points[0], "reference_score": score[0], "keypoints_px": points,
        "score": score,
    }  # fmt: skip


def rendered(weights: Path, count: int, **settings: object) -> np.ndarray:
    return np.stack([*renderer("wan-animate", weights=weights, **(TOGETHER | settings)).render(**given(count))])


@pytest.fixture(scope="module")
def opened(weights: Path) -> WanAnimate:
    return WanAnimate(weights=weights, **TOGETHER)


@pytest.fixture(scope="module")
def film(weights: Path) -> np.ndarray:
    return rendered(weights, FRAMES)


@pytest.mark.parametrize(("segment", "overlap", "count"), [(5, 1, 9), (13, 5, 21)])
def test_segments_are_those_of_the_pipeline_itself(
    weights: Path, opened: WanAnimate, segment: int, overlap: int, count: int
):
    """diffusers' class as it is, in one call with all frames: two segments, with frames in common."""
    from diffusers import WanAnimatePipeline

    made = rendered(weights, count, segment=segment, overlap=overlap)
    job = Job(**given(count))
    pipeline = WanAnimatePipeline.from_pretrained(weights)
    pipeline.set_progress_bar_config(disable=True)
    poses, face = [*opened._skeletons(job, WIDTH, HEIGHT)], opened._face(job)
    whole = pipeline(
        image=PIL.Image.fromarray(job.reference_image), pose_video=poses, face_video=[face] * count, prompt=PROMPT,
        width=WIDTH, height=HEIGHT, segment_frame_length=segment, prev_segment_conditioning_frames=overlap,
        num_inference_steps=2, guidance_scale=1.0, generator=torch.Generator().manual_seed(0), output_type="np",
    ).frames[0]  # fmt: skip
    assert made.shape == whole.shape == (count, HEIGHT, WIDTH, 3)
    assert np.abs(made - 255.0 * whole).max() <= 1
    assert made[segment:].std(axis=0).mean() > 0.1, "the second segment holds something that changes"


@pytest.mark.parametrize("count", [1, 5, 6])
def test_as_many_frames_as_poses(weights: Path, count: int, film: np.ndarray):
    made = rendered(weights, count)
    assert made.shape == (count, HEIGHT, WIDTH, 3)
    assert made.dtype == np.uint8
    if count >= SEGMENT:
        assert np.array_equal(made[:SEGMENT], film[:SEGMENT]), "what comes later changes nothing"


def test_the_seed_decides(weights: Path, film: np.ndarray):
    assert np.array_equal(rendered(weights, 2), rendered(weights, 2))
    assert not np.array_equal(rendered(weights, SEGMENT, seed=1), film[:SEGMENT])


def test_the_skeleton_decides(opened: WanAnimate, film: np.ndarray):
    moved = given(SEGMENT) | {"keypoints_px": given(SEGMENT)["keypoints_px"] + np.float32(5)}
    assert not np.array_equal(np.stack([*opened.render(**moved)]), film[:SEGMENT])


def test_another_size_in_the_network(weights: Path):
    ours = WanAnimate(weights=weights, side_px=18, **TOGETHER)
    assert ours._size((WIDTH, HEIGHT)) == (32, 16)
    assert ours._size((512, 512)) == (16, 16)
    assert ours._size((32, 512)) == (16, 288)
    assert np.stack([*ours.render(**given(3))]).shape == (3, HEIGHT, WIDTH, 3)


def only(count: int, points: slice | list[int]) -> dict[str, np.ndarray]:
    """A motion of which only some points are to be relied on."""
    there = given(count)
    there["score"][:] = 0
    there["score"][:, points] = 1
    return there | {"reference_score": np.ones(kp.COUNT, np.float32)}


def test_skeletons_lie_where_the_points_are(opened: WanAnimate):
    """A wrist that is moved 20 px to the right is drawn 10 px to the right in a picture of half the width."""
    arm = [kp.LEFT_WRIST, kp.LEFT_ELBOW]
    there = only(2, arm)
    there["keypoints_px"][:, arm] = [[10, 20], [10, 30]]
    there["keypoints_px"][1, :, 0] += 20
    one, other = (np.asarray(picture) for picture in opened._skeletons(Job(**there), WIDTH // 2, HEIGHT))
    assert one.any()
    assert np.array_equal(np.roll(one, 10, axis=1), other)


def test_points_of_the_face_are_not_drawn(opened: WanAnimate):
    assert not np.asarray(next(opened._skeletons(Job(**only(1, kp.FACE)), WIDTH, HEIGHT))).any()


def test_the_face_is_cut_out_and_goes_on_beyond_the_edge():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:40] = 200
    points = np.array([[30, 10], [39, 19]], np.float32)
    cut = face_of(image, points, 13)
    assert cut.shape == (13, 13, 3)
    assert 81 <= (cut[..., 0] > 100).sum() <= 121, "a square of 10 px, with a margin around it"
    assert cut[6, 6, 0] == 200
    assert cut[0, 0, 0] == 0
    at_edge = face_of(np.full((40, 60, 3), 7, np.uint8), points - [30, 10], 13)
    assert (at_edge == 7).all()


def test_a_reference_without_a_face_is_said(opened: WanAnimate, caplog: pytest.LogCaptureFixture):
    there = given(1)
    there["reference_score"] = there["reference_score"].copy()
    there["reference_score"][kp.FACE] = 0
    with caplog.at_level(logging.WARNING):
        assert len([*opened.render(**there)]) == 1
    assert "no face" in caplog.text


def test_what_is_missing_is_said(tmp_path: Path, weights: Path):
    with pytest.raises(UserError, match="needs weights"):
        renderer("wan-animate")
    with pytest.raises(UserError, match=r"model_index\.json"):
        WanAnimate(weights=tmp_path, **TOGETHER)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    with pytest.raises(UserError, match="a WanPipeline, wanted a WanAnimatePipeline"):
        WanAnimate(weights=tmp_path, **TOGETHER)
    (tmp_path / "model_index.json").write_text((weights / "model_index.json").read_text())
    with pytest.raises(UserError, match="cannot be read"):
        WanAnimate(weights=tmp_path, **TOGETHER)


@pytest.mark.parametrize("wrong", [{"segment": 8}, {"segment": 1}, {"segment": 9, "overlap": 5}, {"steps": 0}])
def test_numbers_that_are_not_allowed(weights: Path, wrong: dict[str, int]):
    with pytest.raises(UserError, match="wanted"):
        WanAnimate(weights=weights, **(TOGETHER | wrong))
