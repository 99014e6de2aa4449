"""Opening an ONNX file: with one thread, on the device that was asked for, or with a clear message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from csg405.errors import UserError, first_line
from csg405.media.decode import Image
from csg405.weights import Channels


def open_session(path: Path, *, device: str, what: str) -> Any:
    """An onnxruntime session with one CPU thread, so that results depend on no neighbour.

    Args:
        path: the ONNX file.
        device: `cpu` or `cuda`.
        what: what the file is, for messages.

    Raises:
        UserError: no such file, not ONNX, or CUDA was asked for and is not to be had.
    """
    if not path.is_file():
        raise UserError(f"{what}: no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no base class
        raise UserError(f"{what}: {path} is no ONNX network that can be loaded: {first_line(error)}") from error
    if provider not in session.get_providers():
        raise UserError(
            f"{what}: device=cuda, but onnxruntime runs on {', '.join(session.get_providers())}; "
            "run `make setup BACKEND=gpu` and `make doctor`, or set device=cpu"
        )
    return session


def in_order(image: Image, channels: Channels) -> Image:
    """An RGB picture in the channel order that a network wants."""
    return image if channels == "rgb" else np.ascontiguousarray(image[..., ::-1])


def shape_of(value: Any) -> str:
    """A network's input or output as text, such as `simcc_x [N, 133, 384]`."""
    return f"{value.name} [{', '.join(str(size) for size in value.shape)}]"
