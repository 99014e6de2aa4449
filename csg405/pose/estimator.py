"""133 keypoints of a person, by RTMPose's SimCC through rtmlib's own pre- and post-processing, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rtmlib import RTMPose

from csg405 import keypoints
from csg405.errors import UserError
from csg405.media.decode import Image
from csg405.pose.session import in_order, open_session, shape_of
from csg405.schema import FloatArray
from csg405.weights import Channels

_SPLIT = 2
"""SimCC bins a pixel."""


class _Rtmpose(RTMPose):  # type: ignore[misc]
    """rtmlib's RTMPose around a session of ours; its own would take every core."""

    def __init__(self, session: Any, *, input_size: tuple[int, int]) -> None:
        self.session = session
        self.backend = "onnxruntime"
        self.model_input_size = input_size
        self.to_openpose = False
        self.mean = (123.675, 116.28, 103.53)
        self.std = (58.395, 57.12, 57.375)


class Estimator:
    """Estimates the keypoints of persons whose boxes are known."""

    def __init__(
        self,
        path: Path,
        *,
        channels: Channels = "rgb",
        device: str = "cpu",
        batch: int = 8,
        score_scale: float = 1.0,
        free_size: tuple[int, int] | None = None,
    ) -> None:
        """Load a network.

        Args:
            path: the ONNX file.
            channels: the order of colours that it wants.
            device: `cpu` or `cuda`.
            batch: pictures a call, where the network's batch is free.
            score_scale: raw score that counts as certain.
            free_size: width and height given to a network whose input is of free size, px.

        Raises:
            UserError: no such file, not ONNX, or another contract.
        """
        session = open_session(path, device=device, what="pose network")
        shape = session.get_inputs()[0].shape
        sizes = shape[2:] if len(shape) == 4 else []
        if free_size is not None and any(not isinstance(size, int) for size in sizes):
            sizes = [free_size[1], free_size[0]]
        fixed = len(sizes) == 2 and all(isinstance(size, int) for size in sizes)
        one_or_free = bool(shape) and (shape[0] == 1 or not isinstance(shape[0], int))
        if not fixed or not one_or_free or not _is_simcc(session, sizes):
            raise UserError(
                f"pose network: {path} has {', '.join(map(shape_of, session.get_inputs()))} -> "
                f"{', '.join(map(shape_of, session.get_outputs()))}; wanted RTMPose's whole-body SimCC: "
                "[N, 3, H, W] -> [N, 133, 2 W], [N, 133, 2 H], N 1 or free"
            )
        self.channels = channels
        self.score_scale = score_scale
        self.batch = 1 if shape[0] == 1 else batch
        self._outputs = [output.name for output in session.get_outputs()]
        self._input = session.get_inputs()[0].name
        self._rtmpose = _Rtmpose(session, input_size=(sizes[1], sizes[0]))

    def __call__(self, images: Sequence[Image], boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Keypoints of one person in each picture.

        Args:
            images: n pictures [height, width, 3] RGB.
            boxes: [n, 4] the person's box in each, x1, y1, x2, y2 in pixels.

        Returns:
            [n, 133, 2] x, y in pixels of the picture, and [n, 133] raw scores: the mean of the two SimCC peaks.

        Raises:
            ValueError: a picture without a box. rtmlib would take the whole picture and make a person up.
        """
        if len(images) != len(boxes):
            raise ValueError(f"{len(images)} pictures with {len(boxes)} boxes: a pose needs a person in each")
        points, scores = [], []
        for first in range(0, len(images), self.batch):
            part = slice(first, first + self.batch)
            found, score = self._batch(images[part], boxes[part])
            points.append(found)
            scores.append(score)
        if not points:
            return np.zeros((0, keypoints.COUNT, 2), np.float32), np.zeros((0, keypoints.COUNT), np.float32)
        return np.concatenate(points), np.concatenate(scores)

    def calibrated(self, score_raw: FloatArray) -> FloatArray:
        """Raw scores as scores in [0, 1]: see `csg405.weights.SCORE_SCALE`."""
        score: FloatArray = np.clip(score_raw / self.score_scale, 0, 1).astype(np.float32)
        return score

    def _batch(self, images: Sequence[Image], boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        prepared = [
            self._rtmpose.preprocess(in_order(image, self.channels), box)
            for image, box in zip(images, boxes, strict=True)
        ]
        pixels = np.stack([image.transpose(2, 0, 1) for image, _, _ in prepared]).astype(np.float32)
        centres = np.stack([centre for _, centre, _ in prepared])[:, None]
        scales = np.stack([scale for _, _, scale in prepared])[:, None]
        outputs = self._rtmpose.session.run(self._outputs, {self._input: pixels})
        points, scores = self._rtmpose.postprocess(outputs, centres, scales)
        return points.astype(np.float32), scores.astype(np.float32)


def _is_simcc(session: Any, sizes: Sequence[int]) -> bool:
    outputs = [output.shape for output in session.get_outputs()]
    wanted = [(keypoints.COUNT, _SPLIT * sizes[1]), (keypoints.COUNT, _SPLIT * sizes[0])]
    return len(outputs) == len(wanted) and all(
        len(shape) == 3 and _fits(shape[1], points) and _fits(shape[2], bins)
        for shape, (points, bins) in zip(outputs, wanted, strict=True)
    )


def _fits(seen: object, wanted: int) -> bool:
    return not isinstance(seen, int) or seen == wanted
