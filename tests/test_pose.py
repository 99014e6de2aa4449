"""The detector and the pose network around toy networks whose right answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import rtmlib

from csg405.errors import UserError
from csg405.pose import Detector, Estimator
from tests import networks

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    return {
        "raw": networks.detector(folder / "raw.onnx", raw=True),
        "final": networks.detector(folder / "final.onnx", raw=False),
        "one": networks.pose(folder / "one.onnx", batch=1),
        "free": networks.pose(folder / "free.onnx", batch="N"),
        "large": networks.pose(folder / "large.onnx", batch="N", size=(288, 384)),
        "strange": networks.strange(folder / "strange.onnx"),
    }


def canvas(*patches: tuple[tuple[int, int, int, int], tuple[int, int, int]], size: int = networks.SIDE) -> np.ndarray:
    image = np.zeros((size, size, 3), np.uint8)
    for (x1, y1, x2, y2), colour in patches:
        image[y1:y2, x1:x2] = colour
    return image


@pytest.mark.parametrize("kind", ["raw", "final"])
def test_a_red_patch_is_boxed_to_the_pixel_and_a_green_one_is_no_person(nets: dict[str, Path], kind: str) -> None:
    # Raw: green is a car of a higher score. After suppression: green is a person below rtmlib's own 0.3.
    image = canvas(((10, 20, 50, 100), RED), ((70, 10, 120, 120), GREEN))
    assert Detector(nets[kind])(image) == pytest.approx(np.array([[10, 20, 50, 100]]), abs=1e-3)


@pytest.mark.parametrize("kind", ["raw", "final"])
def test_nobody_gives_no_box(nets: dict[str, Path], kind: str) -> None:
    assert Detector(nets[kind])(canvas()).shape == (0, 4)
    assert Detector(nets[kind])(canvas(((0, 0, 60, 60), GREEN))).shape == (0, 4)


@pytest.mark.parametrize("kind", ["raw", "final"])
def test_a_detector_gets_the_channel_order_that_it_wants(nets: dict[str, Path], kind: str) -> None:
    red, blue = canvas(((10, 20, 50, 100), RED)), canvas(((10, 20, 50, 100), BLUE))
    assert [len(Detector(nets[kind], channels="bgr")(image)) for image in (red, blue)] == [1, 0]
    assert [len(Detector(nets[kind], channels="rgb")(image)) for image in (red, blue)] == [0, 1]


def test_the_threshold_on_a_raw_detectors_score_is_honoured(nets: dict[str, Path]) -> None:
    image = canvas(((10, 20, 50, 100), RED))
    below, above = networks.PERSON_SCORE - 0.05, networks.PERSON_SCORE + 0.05
    assert len(Detector(nets["raw"], score_threshold=below)(image)) == 1
    assert len(Detector(nets["raw"], score_threshold=above)(image)) == 0


def test_a_larger_picture_is_scaled_and_the_box_scaled_back(nets: dict[str, Path]) -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    image[100:300, 200:400] = RED
    # 640 becomes 128: five pixels are one of the network's, and the picture's lower part is padding.
    assert Detector(nets["final"])(image) == pytest.approx(np.array([[200, 100, 400, 300]]), abs=0.01)


@pytest.mark.parametrize("kind", ["raw", "final"])
def test_boxes_equal_those_of_rtmlibs_own_class(nets: dict[str, Path], kind: str) -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 60, (300, 420, 3), np.uint8)
    image[40:250, 130:333] = (250, 20, 30)
    mode = "multiclass" if kind == "raw" else "human"
    theirs = rtmlib.YOLOX(str(nets[kind]), (networks.SIDE,) * 2, det_mode=mode, score_thr=0.5)(image[..., ::-1].copy())
    boxes = theirs[0] if kind == "raw" else theirs
    assert len(boxes) == 1
    np.testing.assert_allclose(Detector(nets[kind])(image), boxes, rtol=0, atol=1e-4)


def test_points_lie_where_the_colours_do_within_the_networks_bins(nets: dict[str, Path]) -> None:
    # A box of 160 x 160 becomes 200 x 200 with rtmlib's padding and 200 x 266.7 at the input's aspect: a pixel of
    # the input is 1.04 of the picture.
    image = np.zeros((400, 400, 3), np.uint8)
    places = {0: (150, 170), 1: (220, 210), 2: (180, 250)}
    for channel, (x, y) in places.items():
        image[y - 1 : y + 2, x - 1 : x + 2, channel] = 255
    points, scores = Estimator(nets["one"], channels="rgb")([image], np.array([[120, 120, 280, 280]], np.float32))
    assert points.shape == (1, 133, 2)
    assert scores.shape == (1, 133)
    for channel, place in places.items():
        np.testing.assert_allclose(points[0, channel::3], np.tile(place, (len(range(channel, 133, 3)), 1)), atol=1.6)
    np.testing.assert_allclose(scores, 1, atol=0.05)


def test_a_pose_network_gets_the_channel_order_that_it_wants(nets: dict[str, Path]) -> None:
    image = canvas(((30, 40, 33, 43), RED), ((80, 90, 83, 93), BLUE))
    box = np.array([[0, 0, 128, 128]], np.float32)
    as_rgb, _ = Estimator(nets["one"], channels="rgb")([image], box)
    as_bgr, _ = Estimator(nets["one"], channels="bgr")([image], box)
    np.testing.assert_allclose(as_rgb[0, 0], (31, 41), atol=1.6)
    np.testing.assert_allclose(as_rgb[0, 2], (81, 91), atol=1.6)
    np.testing.assert_allclose(as_bgr[0, 0], as_rgb[0, 2])
    np.testing.assert_allclose(as_bgr[0, 2], as_rgb[0, 0])


@pytest.fixture(scope="module")
def four() -> tuple[list[np.ndarray], np.ndarray]:
    """Four smooth random pictures of different sizes with a box in each."""
    rng = np.random.default_rng(7)
    images, boxes = [], []
    for height, width in ((240, 320), (180, 200), (400, 300), (128, 128)):
        image = rng.integers(0, 120, (height, width, 3), np.uint8)
        for channel in range(3):
            x, y = rng.integers(width // 4, width * 3 // 4), rng.integers(height // 4, height * 3 // 4)
            image[y : y + 3, x : x + 3, channel] = 255
        images.append(image)
        boxes.append([width * 0.2, height * 0.2, width * 0.8, height * 0.85])
    return images, np.array(boxes, np.float32)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8])
def test_a_batch_equals_single_calls(nets: dict[str, Path], four: tuple[list, np.ndarray], batch: int) -> None:
    images, boxes = four
    points, scores = Estimator(nets["free"], batch=batch)(images, boxes)
    single = Estimator(nets["one"])
    for number, image in enumerate(images):
        one_points, one_scores = single([image], boxes[number : number + 1])
        np.testing.assert_array_equal(points[number], one_points[0])
        np.testing.assert_allclose(scores[number], one_scores[0], atol=1e-6)


def test_a_network_of_a_fixed_batch_of_one_is_called_one_by_one(
    nets: dict[str, Path], four: tuple[list, np.ndarray]
) -> None:
    estimate = Estimator(nets["one"], batch=8)
    assert estimate.batch == 1
    assert estimate(*four)[0].shape == (4, 133, 2)


@pytest.mark.parametrize(("kind", "size"), [("one", (192, 256)), ("free", (192, 256)), ("large", (288, 384))])
def test_poses_equal_those_of_rtmlibs_own_class(
    nets: dict[str, Path], four: tuple[list, np.ndarray], kind: str, size: tuple[int, int]
) -> None:
    images, boxes = four
    theirs = rtmlib.RTMPose(str(nets[kind]), size)
    points, scores = Estimator(nets[kind], channels="rgb")(images, boxes)
    for number, image in enumerate(images):
        wanted_points, wanted_scores = theirs(image, boxes[number : number + 1])
        np.testing.assert_allclose(points[number], wanted_points[0], atol=1e-3)
        np.testing.assert_allclose(scores[number], wanted_scores[0], atol=1e-6)


def test_a_picture_without_a_box_is_an_error_and_no_made_up_person(nets: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="1 pictures with 0 boxes"):
        Estimator(nets["one"])([canvas()], np.zeros((0, 4), np.float32))


def test_no_pictures_give_no_poses(nets: dict[str, Path]) -> None:
    points, scores = Estimator(nets["one"])([], np.zeros((0, 4), np.float32))
    assert points.shape == (0, 133, 2)
    assert scores.shape == (0, 133)


def test_calibrated_scores_lie_between_0_and_1(tmp_path: Path) -> None:
    path = networks.pose(tmp_path / "loud.onnx", gain=1.2)
    image = canvas(((40, 40, 90, 90), (255, 128, 0)))
    _, raw = Estimator(path)([image], np.array([[0, 0, 128, 128]], np.float32))
    np.testing.assert_allclose(raw[0, :3], [1.2, 1.2 * 128 / 255, 0], atol=1e-3)
    half = Estimator(path, score_scale=1.6).calibrated(raw)
    np.testing.assert_allclose(half[0, :3], [0.75, 0.75 * 128 / 255, 0], atol=1e-3)
    assert Estimator(path).calibrated(np.array([[1.2, -0.1, 0.5]], np.float32)).tolist() == [[1, 0, 0.5]]


def test_a_pose_network_in_the_detectors_place_is_named_with_its_shapes(nets: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"person detector: .*one\.onnx has input \[1, 3, 256, 192\].*wanted YOLOX's"):
        Detector(nets["one"])


def test_a_detector_in_the_pose_networks_place_is_named_with_its_shapes(nets: dict[str, Path]) -> None:
    wanted = r"pose network: .*raw\.onnx has images \[1, 3, 128, 128\] -> dets \[1, 336, 85\]; wanted RTMPose's"
    with pytest.raises(UserError, match=wanted):
        Estimator(nets["raw"])


@pytest.mark.parametrize("kind", [Detector, Estimator])
def test_a_network_of_another_kind_is_named_with_its_shapes(nets: dict[str, Path], kind: type) -> None:
    with pytest.raises(UserError, match=r"strange\.onnx has numbers \[1, 4\] -> same \[1, 4\]; wanted"):
        kind(nets["strange"])


@pytest.mark.parametrize("kind", [Detector, Estimator])
@pytest.mark.parametrize("content", [b"", b"this is text, not a network\n", b"\x08\x07\x12\x04cut!"])
def test_a_file_that_is_no_network_is_named(tmp_path: Path, kind: type, content: bytes) -> None:
    path = tmp_path / "notes.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"notes\.onnx is no ONNX network that can be loaded"):
        kind(path)


@pytest.mark.parametrize("kind", [Detector, Estimator])
def test_a_network_that_was_cut_short_is_named(nets: dict[str, Path], tmp_path: Path, kind: type) -> None:
    path = tmp_path / "half.onnx"
    whole = nets["raw"].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.onnx"):
        kind(path)


@pytest.mark.parametrize("kind", [Detector, Estimator])
def test_a_missing_file_is_named(tmp_path: Path, kind: type) -> None:
    with pytest.raises(UserError, match=r"no file .*nowhere\.onnx"):
        kind(tmp_path / "nowhere.onnx")


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
@pytest.mark.parametrize(("kind", "net"), [(Detector, "raw"), (Estimator, "one")])
def test_cuda_without_a_gpu_is_an_error_and_no_silent_cpu(nets: dict[str, Path], kind: type, net: str) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime is built for GPUs here, so one may be at hand")
    with pytest.raises(UserError, match=r"device=cuda, but onnxruntime runs on CPUExecutionProvider.*device=cpu"):
        kind(nets[net], device="cuda")


def test_a_session_has_one_thread(nets: dict[str, Path]) -> None:
    options = Detector(nets["raw"])._yolox.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
