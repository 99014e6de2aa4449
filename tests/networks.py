"""Tiny ONNX networks with the contracts of YOLOX and RTMPose, whose right answers can be worked out by hand.

They look at colours, not at shapes: the detector boxes a red patch, the pose network points at the brightest place
of a colour. Each is a few kB, has no weights, and takes the same input as the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KEYPOINTS = 133
SIDE = 128
"""Side of the detector's input, px."""

PERSON_SCORE = 0.8
"""Score of a red patch."""

OTHER_SCORE = 0.95
"""Score of a green patch: no person in the raw network, a person of score 0.2 after suppression."""

FAINT_SCORE = 0.2

_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)
_OPSET = 13
_IR_VERSION = 8


class _Graph:
    """Nodes and constants of a network that is being put together."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Sequence[float] | np.ndarray, kind: type = np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: object) -> str:
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def save(self, path: Path, inputs: dict[str, list[int | str]], outputs: dict[str, tuple[str, list]]) -> Path:
        """Write the network; `outputs` maps a name to the value that it shows and its shape."""
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="tests"
        )
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def detector(path: Path, *, raw: bool, side: int = SIDE) -> Path:
    """A person detector of YOLOX's contract that wants BGR and finds one red and one green patch.

    Args:
        path: the file to write.
        raw: the output is [1, anchors, 85], where red is a person that is seen twice and green is a car of a higher
            score; otherwise it is [1, 2, 5], where green is a person too faint for rtmlib.
        side: side of the input, px.
    """
    graph = _Graph()
    blue, green, red = (graph.add("Gather", "images", graph.constant(c, np.int64), axis=1) for c in range(3))
    person = _patch(graph, red, graph.add("Max", blue, green))
    other = _patch(graph, green, graph.add("Max", blue, red))
    output, shape = (_raw_rows if raw else _final_rows)(graph, person, other, side)
    return graph.save(path, {"images": [1, 3, side, side]}, {"dets": (output, shape)})


def _patch(graph: _Graph, colour: str, rest: str) -> tuple[list[str], str]:
    """Edges x1, y1, x2, y2 [1, 1] of the patch where a colour stands out by 100, and 1 where there is one."""
    mask = graph.add("Cast", graph.add("Greater", graph.add("Sub", colour, rest), graph.constant(100)), to=1)
    edges = {}
    for axis, along in (("x", 1), ("y", 2)):
        profile = graph.add("ReduceMax", mask, axes=[along], keepdims=0)
        first = graph.add("ArgMax", profile, axis=1, keepdims=1)
        last = graph.add("ArgMax", profile, axis=1, keepdims=1, select_last_index=1)
        edges[axis, 1] = graph.add("Cast", first, to=1)
        edges[axis, 2] = graph.add("Add", graph.add("Cast", last, to=1), graph.constant(1))
    there = graph.add("Reshape", graph.add("ReduceMax", mask, keepdims=0), graph.constant([1, 1], np.int64))
    return [edges["x", 1], edges["y", 1], edges["x", 2], edges["y", 2]], there


def _final_rows(graph: _Graph, person: tuple, other: tuple, side: int) -> tuple[str, list[int]]:
    del side
    rows = []
    for (edges, there), score in ((person, PERSON_SCORE), (other, FAINT_SCORE)):
        row = graph.add("Concat", *edges, graph.add("Mul", there, graph.constant(score)), axis=1)
        rows.append(graph.add("Unsqueeze", row, graph.constant([1], np.int64)))
    return graph.add("Concat", *rows, axis=1), [1, 2, 5]


def _raw_rows(graph: _Graph, person: tuple, other: tuple, side: int) -> tuple[str, list[int]]:
    """The first three anchors of stride 8 carry boxes; all others are empty."""
    rows = [
        _anchor(graph, person, 0, class_=0, score=PERSON_SCORE),
        _anchor(graph, other, 1, class_=2, score=OTHER_SCORE),
        _anchor(graph, person, 2, class_=0, score=PERSON_SCORE - 0.1),
    ]
    count = sum((side // stride) ** 2 for stride in (8, 16, 32))
    rest = graph.constant(np.zeros((1, count - len(rows), 85)))
    return graph.add("Concat", *rows, rest, axis=1), [1, count, 85]


def _anchor(graph: _Graph, patch: tuple[list[str], str], column: int, *, class_: int, score: float) -> str:
    """[1, 1, 85] as YOLOX's head gives it: centre less the anchor, logarithms of the sides, over the stride."""
    (x1, y1, x2, y2), there = patch
    half, eighth = graph.constant(1 / 16), graph.constant(1 / 8)
    centre_x = graph.add("Sub", graph.add("Mul", graph.add("Add", x1, x2), half), graph.constant(column))
    centre_y = graph.add("Mul", graph.add("Add", y1, y2), half)
    width, height = (
        graph.add("Log", graph.add("Mul", graph.add("Sub", end, start), eighth)) for start, end in ((x1, x2), (y1, y2))
    )
    score_ = graph.add("Mul", there, graph.constant(score))
    classes = graph.constant(np.eye(80, dtype=np.float32)[class_ : class_ + 1])
    row = graph.add("Concat", centre_x, centre_y, width, height, score_, classes, axis=1)
    return graph.add("Unsqueeze", row, graph.constant([1], np.int64))


def pose(path: Path, *, batch: int | str = 1, size: tuple[int, int] = (192, 256), gain: float = 1.0) -> Path:
    """A whole-body pose network of RTMPose's contract: point k lies at the brightest place of channel k % 3.

    Args:
        path: the file to write.
        batch: pictures a call; a name for a free number.
        size: width and height of the input, px.
        gain: raw score of full brightness; a channel that is black has 0.
    """
    graph = _Graph()
    width, height = size
    scale, shift = (graph.constant(np.reshape(values, (1, 3, 1, 1))) for values in (_STD, _MEAN))
    light = graph.add("Add", graph.add("Mul", "input", scale), shift)
    bright = graph.add("Mul", light, graph.constant(gain / 255))
    # What is black comes back as a few 1e-6 from the normalisation; SimCC's rule for "not there" is 0 or less.
    bright = graph.add("Sub", bright, graph.constant(1e-4))
    channels = graph.constant([point % 3 for point in range(KEYPOINTS)], np.int64)
    shown = {}
    for name, length, along in (("simcc_x", width, 2), ("simcc_y", height, 3)):
        profile = graph.add("ReduceMax", bright, axes=[along], keepdims=0)
        between = graph.add("Sub", profile, graph.constant(1))
        two = [graph.add("Unsqueeze", part, graph.constant([3], np.int64)) for part in (profile, between)]
        bins = graph.add("Reshape", graph.add("Concat", *two, axis=3), graph.constant([0, 3, 2 * length], np.int64))
        shown[name] = (graph.add("Gather", bins, channels, axis=1), [batch, KEYPOINTS, 2 * length])
    return graph.save(path, {"input": [batch, 3, height, width]}, shown)


def strange(path: Path) -> Path:
    """A sound ONNX file that is neither: [1, 4] -> [1, 4]."""
    graph = _Graph()
    return graph.save(path, {"numbers": [1, 4]}, {"same": (graph.add("Identity", "numbers"), [1, 4])})
