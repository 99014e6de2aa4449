"""Networks as ONNX files with the contracts of RTMPose and YOLOX, of free batch, their weights in 16 bits.

The weights are stored as float16 and widened when the file is loaded, which halves the file and moves no point by
more than its own bin; all arithmetic is in 32 bits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from csg405.synth.train import networks
from csg405.table import replace_atomically

_OPSET = 17

_LEAST_NUMBERS = 32
"""Smaller constants stay as they are: sizes, axes and means."""


def write_pose(network: networks.PoseNetwork, path: Path) -> None:
    """Write the pose network: input [n, 3, 384, 288] to simcc_x [n, 133, 576] and simcc_y [n, 133, 768]."""
    example = torch.zeros(2, 3, networks.HEIGHT, networks.WIDTH)
    _write(network, path, example, inputs=["input"], outputs=["simcc_x", "simcc_y"])


def write_detector(network: networks.Detector, path: Path) -> None:
    """Write the detector: images [n, 3, 256, 256] to output [n, 1344, 6]."""
    example = torch.zeros(2, 3, networks.DETECTOR_SIDE, networks.DETECTOR_SIDE)
    _write(network, path, example, inputs=["images"], outputs=["output"])


def _write(network: nn.Module, path: Path, example: torch.Tensor, *, inputs: list[str], outputs: list[str]) -> None:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        torch.onnx.export(
            network.eval(), (example,), str(whole), input_names=inputs, output_names=outputs, opset_version=_OPSET,
            dynamic_axes={name: {0: "n"} for name in (*inputs, *outputs)}, dynamo=False,
        )  # fmt: skip
        model = onnx.load(str(whole))
    _declare(model, network, example)
    _halve(model)
    onnx.checker.check_model(model, full_check=True)
    replace_atomically(path, lambda temporary: onnx.save(model, str(temporary)))


@torch.no_grad()
def _declare(model: Any, network: nn.Module, example: torch.Tensor) -> None:
    """Say the outputs' sizes, all but the free one: readers tell networks apart by them."""
    made = network(example)
    for declared, tensor in zip(model.graph.output, made if isinstance(made, tuple) else (made,), strict=True):
        for dimension, size in zip(declared.type.tensor_type.shape.dim[1:], tensor.shape[1:], strict=True):
            dimension.Clear()
            dimension.dim_value = size


def _halve(model: Any) -> None:
    """Store the weights as float16, each followed by a cast to float32, which is done once at loading."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for held in model.graph.initializer:
        values = numpy_helper.to_array(held)
        if values.dtype != np.float32 or values.size < _LEAST_NUMBERS:
            continue
        name = held.name
        held.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for number, cast in enumerate(casts):
        model.graph.node.insert(number, cast)
