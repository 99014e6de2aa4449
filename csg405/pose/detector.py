"""Persons in a picture, by YOLOX through rtmlib's own pre- and post-processing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rtmlib import YOLOX

from csg405.errors import UserError
from csg405.media.decode import Image
from csg405.pose.session import in_order, open_session, shape_of
from csg405.schema import FloatArray
from csg405.weights import Channels

_PERSON = 0
"""COCO's class of persons."""

_BOX = 5
"""Numbers of a box after suppression: its edges and its score."""

_STRIDES = (8, 16, 32)
"""Pixels from one anchor to the next, on YOLOX's three levels."""


class _Yolox(YOLOX):  # type: ignore[misc]
    """rtmlib's YOLOX around a session of ours; its own would take every core."""

    def __init__(self, session: Any, *, input_size: tuple[int, int], det_mode: str, score_threshold: float) -> None:
        self.session = session
        self.backend = "onnxruntime"
        self.model_input_size = input_size
        self.det_mode = det_mode
        self.score_thr = score_threshold
        self.nms_thr = 0.45
        self.mean = self.std = None


class Detector:
    """Finds persons.

    Two kinds of network are known: raw YOLOX output [1, anchors, 5 + classes], of which class 0 is taken, and
    boxes after suppression [1, n, 5], where rtmlib's own threshold of 0.3 holds.
    """

    def __init__(
        self,
        path: Path,
        *,
        channels: Channels = "bgr",
        device: str = "cpu",
        score_threshold: float = 0.5,
        free_size: tuple[int, int] = (640, 640),
    ) -> None:
        """Load a network.

        Args:
            path: the ONNX file.
            channels: the order of colours that it wants.
            device: `cpu` or `cuda`.
            score_threshold: lowest score of a person, for raw output.
            free_size: width and height given to a network whose input is of free size, px; YOLOX's own default.

        Raises:
            UserError: no such file, not ONNX, or another contract.
        """
        session = open_session(path, device=device, what="person detector")
        if not _is_yolox(session, free_size):
            raise UserError(
                f"person detector: {path} has {', '.join(map(shape_of, session.get_inputs()))} -> "
                f"{', '.join(map(shape_of, session.get_outputs()))}; wanted YOLOX's [1, 3, H, W] -> [1, n, 5] or "
                "[1, anchors, 5 + classes]"
            )
        height, width = _input_size(session, free_size)
        self.channels = channels
        last = session.get_outputs()[0].shape[-1]
        self._has_classes = isinstance(last, int) and last > _BOX
        self._yolox = _Yolox(
            session,
            input_size=(height, width),
            det_mode="multiclass" if self._has_classes else "human",
            score_threshold=score_threshold,
        )

    def __call__(self, image: Image) -> FloatArray:
        """Persons' boxes in a picture.

        Args:
            image: [height, width, 3] RGB.

        Returns:
            [n, 4] x1, y1, x2, y2 in pixels, clipped to the picture, largest first.
        """
        found = self._yolox(in_order(image, self.channels))
        if self._has_classes:
            boxes, classes = found
            found = boxes[classes == _PERSON] if len(boxes) else boxes
        height, width = image.shape[:2]
        boxes = np.asarray(found, np.float32).reshape(-1, 4)
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return boxes[np.argsort(-areas, kind="stable")][: int((areas > 0).sum())]


def _is_yolox(session: Any, free_size: tuple[int, int]) -> bool:
    """Whether inputs and outputs are YOLOX's, so that a pose network is not taken for a detector."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 3:
        return False
    count, last = outputs[0].shape[1:]
    if not isinstance(last, int):
        return len(outputs) == 2 and len(outputs[1].shape) == 2  # boxes and their classes, with no size declared
    if last <= _BOX or not isinstance(count, int):
        return last >= _BOX
    height, width = _input_size(session, free_size)
    return bool(count == sum((height // stride) * (width // stride) for stride in _STRIDES))


def _input_size(session: Any, free_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the pictures that a network takes, px."""
    height, width = session.get_inputs()[0].shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else (free_size[1], free_size[0])
