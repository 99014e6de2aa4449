"""Identity: is the face that of the person in the reference picture, and is there a face at all?

The cosine between the embedding of the face on one frame in five and that on the reference picture: a clip's mean, and
its 5th percentile, which shows faces that melt for a moment. The detection rate is the part of those frames on which
the core's estimator sees eyes, nose and mouth; frames without a face are left out of the cosines, so read both.

The network is a file, ONNX or TorchScript, that takes [n, 3, 112, 112] RGB float32, values -1 to 1, and gives [n, d].
Faces are laid on it by the similarity that brings eyes, nose tip and corners of the mouth to where ArcFace's training
put them. Weights for non-commercial use only, such as InsightFace's, are refused unless that is asked for.

Unit: cosine, part of frames. Better: higher, with the true video as the ceiling. Blind to: everything but the face; a
frozen copy of the reference gets 1. Source: Deng et al., ArcFace (CVPR 2019), for embedding and places.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.preprocess import aligned, planes, signed, similarity
from csg405.benchmark.video import EVERY, SeenVideo, batches, not_computed
from csg405.benchmark.video_pose import estimate
from csg405.media.decode import Image
from csg405.schema import FloatArray

_NEEDS = ("pose", "face")

CARDS = (
    Card(name="csim", title="Cosine of the face to the reference", unit="1", direction="higher", track="video",
         needs=_NEEDS),
    Card(name="csim_p5", title="The same, 5th percentile over frames", unit="1", direction="higher", track="video",
         needs=_NEEDS),
    Card(name="face_found", title="Frames with a face", unit="0-1", direction="higher", track="video", needs=_NEEDS),
)  # fmt: skip

SIDE_PX = 112
"""Of the face's picture, px."""

PLACES = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""[5, 2] px where ArcFace's training put the person's right eye, left eye, nose tip, right and left corner of the mouth
(InsightFace's alignment)."""

_RIGHT_CORNER, _LEFT_CORNER = kp.OUTER_LIPS.start, kp.OUTER_LIPS.start + 6

_ANCHORS = np.r_[kp.RIGHT_EYE, kp.LEFT_EYE, kp.NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER]
"""Keypoints that must be seen."""

_LOW_PERCENT = 5

_BATCH = 16
"""Faces a call."""


def measure(seen: SeenVideo) -> Row:
    """`cosine`: one for each face that was found; `looked`: [2] frames looked at, and faces found.

    The empty row where the reference shows no face.
    """
    if not seen.can(CARDS[0]):
        return {}
    reference = _reference(seen)
    if reference is None:
        return {}
    points, shown = seen.estimated.points_px[::EVERY], seen.estimated.shown[::EVERY]
    there = has_face(shown)
    faces = (face(image, found) for image, found, is_there in zip(seen.film.sampled(), points, there, strict=True)
             if is_there)  # fmt: skip
    cosines = [_embedded(seen, stack) @ reference for stack in batches(faces, _BATCH)]
    return {
        "cosine": np.concatenate([np.zeros(0), *cosines]),
        "looked": np.array([len(there), there.sum()], np.int64),
    }


def _reference(seen: SeenVideo) -> npt.NDArray[np.float64] | None:
    """[d] of the reference picture's face; None if it shows none."""
    picture = seen.reference_picture
    given = seen.reference is not None
    expected = np.zeros((1, kp.COUNT), np.bool_) if given else seen.clip.shown[:1]
    found = estimate([picture], seen.networks.pose, expected_px=seen.clip.keypoints_px[:1], expected=expected)
    if not has_face(found.shown)[0]:
        return None
    embedded: npt.NDArray[np.float64] = _embedded(seen, face(picture, found.points_px[0])[None])[0]
    return embedded


def has_face(shown: Bools) -> Bools:
    """[n] frames on which eyes, nose and mouth are seen, from [n, 133]."""
    return np.asarray(shown[:, _ANCHORS].all(axis=1))


def face(picture: Image, points_px: FloatArray) -> Image:
    """The face, laid where the network wants it: [112, 112, 3].

    Args:
        picture: [height, width, 3].
        points_px: [133, 2]
    """
    corners = points_px[[kp.NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER]]
    eyes = [points_px[eye].mean(axis=0) for eye in (kp.RIGHT_EYE, kp.LEFT_EYE)]
    return aligned(picture, similarity(np.stack([*eyes, *corners]).astype(np.float64), PLACES), SIDE_PX)


def _embedded(seen: SeenVideo, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """[n, d] embeddings of length 1."""
    found = seen.networks.face.features(planes(signed(faces))).astype(np.float64)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(length, np.finfo(np.float64).tiny), np.float64)


def clip_values(row: Row, true_row: Row) -> Values:
    """The values of a clip; None for what cannot be told."""
    del true_row
    values = not_computed(CARDS)
    if row:
        values["face_found"] = float(row["looked"][1] / row["looked"][0])
    if row and len(row["cosine"]):
        values["csim"] = float(row["cosine"].mean())
        values["csim_p5"] = float(np.percentile(row["cosine"], _LOW_PERCENT))
    return values
