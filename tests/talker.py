"""A drawn talker and two networks of a few kB that see it: the real line, end to end, without weights or films.

The talker's head, mouth, shoulders, elbows and hands are discs of eight pure colours. The pose network finds the
centre of each colour and puts the 133 points around them; the detector boxes whatever is colourful. Both keep the
contracts of RTMPose and YOLOX, so they run behind rtmlib's own pre- and post-processing.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from csg405 import keypoints as kp

RATE_HZ = 16_000

COLOURS = {
    "head": (255, 0, 0),
    "mouth": (255, 255, 0),
    "left_shoulder": (0, 255, 0),
    "right_shoulder": (0, 0, 255),
    "left_elbow": (0, 255, 255),
    "right_elbow": (255, 0, 255),
    "left_hand": (255, 128, 0),
    "right_hand": (128, 0, 255),
}
ANCHORS = list(COLOURS)
TORSO = (0, 110, 60)

WIDTH, HEIGHT, FPS = 640, 480, 25


# ---- speech


@functools.cache
def _espeak() -> tuple[ctypes.CDLL, int]:
    """The library, started once: a second start in one process garbles what it says; and its sampling rate, Hz."""
    loader = pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed")
    library = ctypes.CDLL(str(loader.get_library_path()))
    synchronous = 2
    rate_hz = library.espeak_Initialize(synchronous, 0, str(loader.get_data_path()).encode(), 0)
    assert rate_hz > 0
    assert library.espeak_SetVoiceByName(b"en") == 0
    return library, rate_hz


@functools.cache
def speech(text: str) -> np.ndarray:
    """Text spoken by espeak-ng: float mono at 16 kHz. Skips the test where the library is missing."""
    library, rate_hz = _espeak()
    blocks: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, _events):
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, count * 2))
        return 0

    utf8 = 1
    data = text.encode()
    library.espeak_SetSynthCallback(receive)
    assert library.espeak_Synth(data, len(data) + 1, 0, 0, 0, utf8, None, None) == 0
    pcm = np.frombuffer(b"".join(blocks), np.int16).astype(np.float32) / 32768
    wanted = np.arange(0, len(pcm), rate_hz / RATE_HZ)
    return np.interp(wanted, np.arange(len(pcm)), pcm).astype(np.float32)


def monologue(*sentences: str, pause_s: float = 0.6, repeat: int = 1) -> np.ndarray:
    """Sentences with pauses between them."""
    pause = np.zeros(int(pause_s * RATE_HZ), np.float32)
    return np.concatenate([part for _ in range(repeat) for sentence in sentences for part in (speech(sentence), pause)])


# ---- the film


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is drawn."""

    person: bool = True
    hands: bool = True
    moving: bool = True


def anchors(time_s: float, opening: float, scene: Scene) -> dict[str, tuple[float, float]]:
    """Where the discs are, in pixels of the film."""
    sway = 6 * np.sin(time_s * 1.3) if scene.moving else 0.0
    swing = 40 * np.sin(time_s * 5.0) if scene.moving else 0.0
    lift = 35 * np.sin(time_s * 3.1) if scene.moving else 0.0
    x, y = WIDTH / 2 + sway, 120.0
    return {
        "head": (x, y),
        "mouth": (x, y + 26 + 14 * opening),
        "left_shoulder": (x + 80, y + 100),
        "right_shoulder": (x - 80, y + 100),
        "left_elbow": (x + 110, y + 190),
        "right_elbow": (x - 110, y + 190),
        "left_hand": (x + 70 + swing, y + 210 - lift),
        "right_hand": (x - 70 + swing, y + 210 + lift),
    }


_RADIUS = {"head": 56, "mouth": 10, "left_hand": 22, "right_hand": 22}


def draw(time_s: float, opening: float, scene: Scene) -> np.ndarray:
    """One picture [HEIGHT, WIDTH, 3] RGB."""
    rng = np.random.default_rng(7)
    picture = np.repeat(rng.integers(90, 150, (HEIGHT // 8, WIDTH // 8, 1), dtype=np.uint8), 3, axis=2)
    picture = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    if not scene.person:
        return picture
    where = anchors(time_s, opening, scene)
    cv2.rectangle(picture, (WIDTH // 2 - 70, 190), (WIDTH // 2 + 70, HEIGHT - 20), TORSO, -1)
    for name in ANCHORS:
        if scene.hands or not name.endswith("hand"):
            centre = tuple(round(value * 16) for value in where[name])
            cv2.circle(picture, centre, _RADIUS.get(name, 16) * 16, COLOURS[name], -1, cv2.LINE_AA, 4)
    return picture


def write_film(path: Path, sound: np.ndarray | None, *, seconds: float, scene: Scene | None = None) -> Path:
    """A film of the talker saying `sound` (float mono at 16 kHz); without an audio stream where it is None."""
    scene = scene or Scene()
    count = round(seconds * FPS)
    samples = np.zeros(count * RATE_HZ // FPS, np.float32)
    if sound is not None:
        samples[: len(sound)] = sound[: len(samples)]
    loudness = np.sqrt(np.square(samples).reshape(count, -1).mean(axis=1))
    opening = loudness / max(float(loudness.max()), 1e-6)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "12"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ) if sound is not None else None
        for number in range(count):
            picture = draw(number / FPS, float(opening[number]), scene)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        if audio is not None:
            for first in range(0, len(samples), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], "fltp", "mono")
                block.rate, block.pts = RATE_HZ, first
                container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Float mono at 16 kHz as a wav."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


# ---- the networks


def layout() -> tuple[np.ndarray, np.ndarray]:
    """Which anchor each of the 133 points hangs on [133], and how far off it, in shoulder widths [133, 2]."""
    owner = np.zeros(kp.COUNT, int)
    offset = np.zeros((kp.COUNT, 2))
    rng = np.random.default_rng(405)
    names = {name: number for number, name in enumerate(ANCHORS)}
    on_body = {
        kp.LEFT_SHOULDER: "left_shoulder", kp.RIGHT_SHOULDER: "right_shoulder", kp.LEFT_ELBOW: "left_elbow",
        kp.RIGHT_ELBOW: "right_elbow", kp.LEFT_WRIST: "left_hand", kp.RIGHT_WRIST: "right_hand",
    }  # fmt: skip
    for point, name in on_body.items():
        owner[point] = names[name]
    for point in range(1, 5):
        offset[point] = [(-1) ** (point + 1) * 0.08 * (1 + (point > 2)), -0.05]
    for side, hip in ((1, kp.LEFT_HIP), (-1, kp.RIGHT_HIP)):
        owner[hip], offset[hip] = names["left_shoulder" if side > 0 else "right_shoulder"], [-0.1 * side, 1.0]
    for hand, name in ((kp.LEFT_HAND, "left_hand"), (kp.RIGHT_HAND, "right_hand")):
        owner[hand] = names[name]
        offset[hand] = rng.uniform(-0.1, 0.1, (21, 2))
    angles = np.linspace(np.pi, 0, 17)  # jaw, from the person's right ear to the left one
    offset[kp.JAW] = np.stack([0.28 * np.cos(angles), 0.3 * np.sin(angles)], axis=1)
    offset[kp.FACE.start + 17 : kp.FACE.start + 27, 0] = np.linspace(-0.2, 0.2, 10)
    offset[kp.FACE.start + 17 : kp.FACE.start + 27, 1] = -0.18
    for eye, x in ((kp.RIGHT_EYE, -0.12), (kp.LEFT_EYE, 0.12)):
        offset[eye] = [x, -0.1]
    for lip in kp.LOWER_LIP:
        owner[lip] = names["mouth"]
    offset[list(kp.UPPER_LIP)] = [[-0.02, 0.14], [0, 0.14], [0.02, 0.14]]
    return owner, offset


class _Graph:
    """A little builder: `g.op("Add", a, b)` returns the name of the result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def total(self, value: str, axes: list[int]) -> str:
        return self.op("ReduceSum", value, self.const(axes, np.int64), keepdims=0)

    def save(self, path: Path, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> Path:
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def _info(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def write_pose(path: Path, *, size: tuple[int, int] = (192, 256)) -> Path:
    """A pose network with RTMPose's contract, of free batch; it wants RGB."""
    width, height = size
    g = _Graph()
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    rgb = g.op("Add", g.op("Mul", "input", g.const(std[:, None, None])), g.const(mean[:, None, None]))
    colours = g.const(np.array([COLOURS[name] for name in ANCHORS])[None, :, :, None, None])
    apart = g.op("Abs", g.op("Sub", g.op("Unsqueeze", rgb, g.const([1], np.int64)), colours))
    mask = g.op("Relu", g.op("Sub", g.const(1.0), g.op("Div", g.total(apart, [2]), g.const(100.0))))
    mass = g.total(mask, [2, 3])
    safe = g.op("Max", mass, g.const(1e-3))
    x = g.op("Div", g.total(g.op("Mul", mask, g.const(np.arange(width)[None, None, None])), [2, 3]), safe)
    y = g.op("Div", g.total(g.op("Mul", mask, g.const(np.arange(height)[None, None, :, None])), [2, 3]), safe)
    owner, offset = layout()
    select = np.eye(len(ANCHORS))[:, owner]  # [anchors, 133]
    shoulders = np.zeros((len(ANCHORS), 1))
    shoulders[ANCHORS.index("left_shoulder")], shoulders[ANCHORS.index("right_shoulder")] = 1, -1
    breadth = g.op("MatMul", x, g.const(shoulders))
    present = g.op("Min", g.op("Div", mass, g.const(12.0)), g.const(1.0))
    score = g.op("Unsqueeze", g.op("MatMul", present, g.const(select)), g.const([2], np.int64))
    for name, centre, axis, bins in (("simcc_x", x, 0, 2 * width), ("simcc_y", y, 1, 2 * height)):
        hung = g.op("Mul", breadth, g.const(offset[None, :, axis]))
        place = g.op("Mul", g.op("Add", g.op("MatMul", centre, g.const(select)), hung), g.const(2.0))
        column = g.op("Unsqueeze", place, g.const([2], np.int64))
        distance = g.op("Div", g.op("Sub", g.const(np.arange(bins)[None, None]), column), g.const(6.0))
        peak = g.op("Exp", g.op("Neg", g.op("Mul", distance, distance)))
        g.op("Mul", peak, score, output=name)
    return g.save(
        path,
        [_info("input", "batch", 3, height, width)],
        [_info("simcc_x", "batch", kp.COUNT, 2 * width), _info("simcc_y", "batch", kp.COUNT, 2 * height)],
    )


def write_detector(path: Path, *, size: int = 416) -> Path:
    """A detector with YOLOX's contract after suppression, [1, 1, 5]: one box round all that is colourful."""
    g = _Graph()
    reduce = {"axes": [1], "keepdims": 0}
    spread = g.op("Sub", g.op("ReduceMax", "images", **reduce), g.op("ReduceMin", "images", **reduce))
    mask = g.op("Cast", g.op("Greater", spread, g.const(70.0)), to=TensorProto.FLOAT)
    edges = {}
    for name, axis in (("x", 1), ("y", 2)):
        line = g.op("ReduceMax", mask, axes=[axis], keepdims=0)  # [1, size]
        ramp = g.const(np.arange(1, size + 1)[None])
        last = g.op("ReduceMax", g.op("Mul", line, ramp), axes=[1], keepdims=1)
        fall = g.const(np.arange(size, 0, -1)[None])
        first = g.op("Sub", g.const(float(size)), g.op("ReduceMax", g.op("Mul", line, fall), axes=[1], keepdims=1))
        edges[name] = (first, last)
    there = g.op("ReduceMax", mask, axes=[1, 2], keepdims=0)
    score = g.op("Unsqueeze", there, g.const([1], np.int64))
    row = g.op("Concat", edges["x"][0], edges["y"][0], edges["x"][1], edges["y"][1], score, axis=1)
    g.op("Unsqueeze", row, g.const([1], np.int64), output="dets")
    return g.save(path, [_info("images", 1, 3, size, size)], [_info("dets", 1, 1, 5)])
