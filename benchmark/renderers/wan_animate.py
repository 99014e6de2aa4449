"""The renderer `wan-animate`: Wan2.2-Animate-14B by diffusers' `WanAnimatePipeline`, with the user's weights.

Wan-Animate (Wan team, 2025) follows a film of a drawn skeleton and a film of a face, from which it takes the
expression. A skeleton has no such film, so it is given the reference's own face, held: the face keeps the expression
of the reference, and **the lips do not follow the sound**. It was trained at 30 frames a second; frames are asked for
at this project's 25, so to the network everything is a fifth faster.

A film is made segment by segment, each going on from the last frames of the one before, as the pipeline does it; here
each segment is a call of its own, so a film of any length takes the memory of a segment. The skeleton is drawn the way
that network knows: body and hands in OpenPose's colours, without points of the face.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKLWan
from diffusers.pipelines.wan.pipeline_wan_animate import WanAnimatePipeline
from torch import Tensor

from csg405 import keypoints as kp
from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.pretrained import moving_to
from csg405.benchmark.renderers.base import Job, Renderer
from csg405.errors import UserError, first_line
from csg405.keypoints import drawing
from csg405.media.decode import Image, resize
from csg405.schema import FloatArray

log = logging.getLogger(__name__)

HUB = "Wan-AI/Wan2.2-Animate-14B-Diffusers"

PROMPT = "视频中的人在做动作"
"""What Wan's own program says: the person in the video makes movements."""

_MULTIPLE_PX = 16
"""Sides of the pictures are multiples of it: the autoencoder's 8 times the transformer's patch of 2."""

_EVERY = 4
"""The autoencoder takes the first frame, then four at a time."""

_DRAWN_AT_PX = 900.0
"""Limbs as wide as Wan's program draws them: half of it is the shorter side over 200."""

_FACE_WIDER = 1.3
"""Wan's face films show a square so much larger than the face's points."""

_LEAST_FACE = 0.5
"""Part of the face's points that the reference must show."""

Offload = Literal["none", "model", "sequential"]

_LEAST_SIDE_PX = 16
"""What sides in the network are multiples of."""


class WanAnimate(Renderer):
    """See the head of this file."""

    name = "wan-animate"
    needs = ("weights",)

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        device: str = "cuda",
        dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
        offload: Offload = "none",
        side_px: int | None = None,
        steps: int = 20,
        guidance: float = 1.0,
        seed: int = 0,
        prompt: str = PROMPT,
        segment: int = 77,
        overlap: int = 1,
    ) -> None:
        """Load the pipeline; about 80 GB of GPU memory in bfloat16 unless it is offloaded.

        Args:
            weights: folder as `save_pretrained` of the pipeline writes it, or its name on the Hub: see `HUB`.
            device: `cuda`, or `cpu` for tests.
            dtype: of the arithmetic; the autoencoder's is always float32.
            offload: whether networks wait in the main memory, each as a whole (`model`) or part by part.
            side_px: shorter side of the pictures in the network; the reference's own when missing. Frames come back
                in the reference's size.
            steps: of sampling.
            guidance: 1 is none, and as Wan does it; more takes twice the time.
            seed: another one gives other noise.
            prompt: what the film shows.
            segment: frames that are made at once, 4 n + 1.
            overlap: of them, frames of the segment before: 1 or 5.

        Raises:
            UserError: the weights are not there, or are another pipeline's; or a number is not allowed.
        """
        if weights is None:
            raise UserError(f"wan-animate: no weights; give a folder, or {HUB} of the Hub (about 70 GB)")
        if overlap not in (1, 5):
            raise UserError(f"wan-animate: overlap={overlap}: wanted 1 or 5, as the network knows it")
        if side_px is not None and side_px < _LEAST_SIDE_PX:
            raise UserError(f"wan-animate: side_px={side_px}: wanted {_LEAST_SIDE_PX} or more")
        least = _least_segment(overlap)
        if segment % _EVERY != 1 or segment < least:
            raise UserError(f"wan-animate: segment={segment}: wanted 4 n + 1, at least {least}")
        if steps < 1:
            raise UserError(f"wan-animate: steps={steps}: wanted 1 or more")
        self.device, self.side_px, self.seed, self.segment, self.overlap = device, side_px, seed, segment, overlap
        self.asked = {"num_inference_steps": steps, "guidance_scale": guidance, "prompt": prompt}
        self.pipeline = _load(weights, device=device, dtype=getattr(torch, dtype), offload=offload)

    def frames(self, job: Job) -> Iterator[Image]:
        """See `Renderer`."""
        width, height = self._size(job.size)
        image, face = _pil(resize(job.reference_image, width, height)), self._face(job)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = self._skeletons(job, width, height)
        before: Tensor | None = None
        held: list[PIL.Image.Image] = []
        for fresh in _chunks(len(job), first=self.segment, following=self.segment - self.overlap):
            poses = held + [next(drawn) for _ in range(fresh)]
            length = max(_rounded(len(poses)), _least_segment(self.overlap))
            made = self._segment(image, [*poses, *[poses[-1]] * (length - len(poses))], face, before, generator)
            for picture in _pictures(made[len(held) : len(poses)]):
                yield resize(picture, *job.size) if job.size != (width, height) else picture
            held, before = poses[-self.overlap :], made[len(poses) - self.overlap : len(poses)]

    def _segment(
        self,
        image: PIL.Image.Image,
        poses: list[PIL.Image.Image],
        face: PIL.Image.Image,
        before: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Frames [n, 3, height, width], 0 to 1, for n poses; the first ones are those before, if any."""
        self.pipeline.before = None if before is None else 2 * before - 1
        made: Tensor = self.pipeline(
            image=image, pose_video=poses, face_video=[face] * len(poses), width=image.width, height=image.height,
            segment_frame_length=len(poses), prev_segment_conditioning_frames=self.overlap, generator=generator,
            output_type="pt", **self.asked,
        ).frames[0]  # fmt: skip
        return made.float().cpu()

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in the network, px."""
        scale = 1.0 if self.side_px is None else self.side_px / min(size)
        width, height = (max(_MULTIPLE_PX, _MULTIPLE_PX * round(scale * side / _MULTIPLE_PX)) for side in size)
        return width, height

    def _skeletons(self, job: Job, width: int, height: int) -> Iterator[PIL.Image.Image]:
        scale = np.array([width, height], np.float32) / job.size
        points, score = (job.keypoints_px + 0.5) * scale - 0.5, job.score.copy()
        score[:, kp.FACE] = 0
        return map(_pil, drawing.frames(points, score, (height, width), drawn_at_px=_DRAWN_AT_PX))

    def _face(self, job: Job) -> PIL.Image.Image:
        side_px = int(self.pipeline.transformer.config.motion_encoder_size)
        if job.reference_seen[kp.FACE].mean() < _LEAST_FACE:
            log.warning("the reference shows no face: wan-animate makes up an expression")
            return _pil(np.zeros((side_px, side_px, 3), np.uint8))
        return _pil(face_of(job.reference_image, job.reference_px[kp.FACE][job.reference_seen[kp.FACE]], side_px))


class Continued(WanAnimatePipeline):
    """The pipeline; a call goes on from `before`, as the pipeline itself goes on from one segment to the next."""

    before: Tensor | None = None
    """[n, 3, height, width] between -1 and 1."""

    def prepare_prev_segment_cond_latents(  # type: ignore[override]  # the pipeline gives the others by name
        self, prev_segment_cond_video: Tensor | None = None, *, start_frame: int = 0, **others: Any
    ) -> Tensor:
        """See the pipeline: `start_frame` above 0 says that there are frames before."""
        if self.before is not None:
            prev_segment_cond_video = self.before.transpose(0, 1)[None].to(others["device"])
            start_frame = 1
        return super().prepare_prev_segment_cond_latents(prev_segment_cond_video, start_frame=start_frame, **others)


def face_of(image: Image, points_px: FloatArray, side_px: int) -> Image:
    """The face of a picture, as Wan's face films show it.

    Args:
        image: [height, width, 3].
        points_px: [m, 2] points of the face.
        side_px: of the result.

    Returns:
        [side_px, side_px, 3]; what lies outside of the picture goes on as its edge.
    """
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    reach = max(1.0, _FACE_WIDER * float((high - low).max()) / 2)
    left, top = np.floor((low + high) / 2 - reach + 0.5).astype(int)
    whole = math.ceil(2 * reach)
    columns = np.clip(np.arange(left, left + whole), 0, image.shape[1] - 1)
    rows = np.clip(np.arange(top, top + whole), 0, image.shape[0] - 1)
    return resize(np.ascontiguousarray(image[rows][:, columns]), side_px, side_px)


def _load(source: str | Path, *, device: str, dtype: torch.dtype, offload: Offload) -> Any:
    """The pipeline, where it is to run.

    Raises:
        UserError: it is not there, or is another one, or the device is not.
    """
    _check(Path(source))
    try:
        vae = AutoencoderKLWan.from_pretrained(str(source), subfolder="vae", dtype=torch.float32)  # type: ignore[no-untyped-call]
        pipeline: Any = Continued.from_pretrained(str(source), vae=vae, dtype=dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"wan-animate: {source}: cannot be read ({first_line(error)}); "
            f"download {HUB} (about 70 GB) and give its folder as `weights`"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    with moving_to(device):
        if offload == "model":
            pipeline.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=device)
        else:
            pipeline.to(device)
    return pipeline


def _check(folder: Path) -> None:
    """Raise unless a folder holds this pipeline; a name of the Hub is no folder."""
    if not folder.is_dir():
        return
    index = folder / "model_index.json"
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{index}: no pipeline of diffusers ({error!r}); give the folder of {HUB}") from error
    if found not in (WanAnimatePipeline.__name__, Continued.__name__):
        raise UserError(f"{index}: a {found}, wanted a {WanAnimatePipeline.__name__}; give the folder of {HUB}")


def _chunks(count: int, *, first: int, following: int) -> Iterator[int]:
    """How many frames are made in each segment."""
    size = first
    while count > 0:
        yield min(size, count)
        count, size = count - size, following


def _least_segment(overlap: int) -> int:
    """Below it the pipeline would make two segments of one."""
    return _rounded(2 * overlap + 1)


def _rounded(frames: int) -> int:
    """The next 4 n + 1."""
    return _EVERY * math.ceil((frames - 1) / _EVERY) + 1


def _pil(picture: Image) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.ascontiguousarray(picture))


def _pictures(frames: Tensor) -> Pictures:
    """[n, 3, height, width] between 0 and 1 as [n, height, width, 3] RGB.

    Raises:
        UserError: they hold numbers that are not finite.
    """
    if not frames.isfinite().all():
        raise UserError("wan-animate: the frames hold numbers that are not finite; take dtype=bfloat16 or float32")
    return (255 * frames).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
