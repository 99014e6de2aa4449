"""Fréchet video distance, the legacy one: of features of an I3D network on windows of 16 frames.

The network is a file, TorchScript or ONNX, that takes [n, 3, 16, 224, 224] RGB float32, values -1 to 1, and gives
[n, d]. A TorchScript whose `forward` has the arguments `rescale`, `resize` and `return_features`, as the widely used
port of the TensorFlow network has, is called with False, False and True: what they would do is done here. Pictures are
scaled to 224 px bilinearly without a low-pass filter, as that port does. Windows follow each other through the whole
clip; published values take one window of each video, or the first, and differ by hundreds for one system.

It is printed for comparison and never ranked: at the size of a co-speech test set its bias by the number of windows
is most of its value, and it sees content more than motion. It is not computed with no more windows than d (400 for
I3D's logits), nor for clips below 16 frames. Unit: squared units of the features. Better: lower.
Sources: Unterthiner et al., FVD: a new metric for video generation (ICLR workshop 2019); Ge et al., On the content bias
in Fréchet video distance (CVPR 2024).
"""

from __future__ import annotations

import numpy as np

from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics_video._sets import frechet_of
from csg405.benchmark.preprocess import resize, signed
from csg405.benchmark.video import SeenVideo

OF_SETS = True
"""Whether other clips may stand on the other side: then the floor is one half of the truth against the other."""

CARDS = (
    Card(
        name="fvd", title="Fréchet video distance (I3D, legacy)", unit="1", direction="lower", track="video",
        needs=("i3d",),
    ),
)  # fmt: skip

SIDE_PX = 224
"""Of I3D's input, px."""

_NAME = "i3d"


def measure(seen: SeenVideo) -> Row:
    """[n // 16, d] features of windows; the empty row for a clip that has none.

    Raises:
        UserError: the network is not what it should be.
    """
    if not seen.can(CARDS[0]):
        return {}
    network, found = seen.networks.i3d, []
    for window in seen.film.windows():
        pictures = signed(resize(window, SIDE_PX, antialias=False))
        volume = np.ascontiguousarray(np.moveaxis(pictures, -1, 0)[None])
        found.append(network.features(volume, rescale=False, resize=False, return_features=True))
    return {_NAME: np.concatenate(found)} if found else {}


def compute(rows: Rows, truth: Rows) -> Values:
    """The distance."""
    return {"fvd": frechet_of(rows, truth, name=_NAME)}
