"""Learned perceptual image patch similarity: how far apart two pictures look, by a network that was fitted to people.

The network is a file, TorchScript or ONNX, that takes two batches of pictures [n, 3, height, width] RGB, values -1 to
1, and gives n distances ([n], or [n, 1, 1, 1]). One frame in five is looked at, in the size of the release; a clip's
value is the mean. Published values differ by the network within (AlexNet or VGG): its digest is a part of the score.

Only for systems that were given the clip's own skeleton, and only with the network. Unit: none, 0 for equal pictures.
Better: lower. Blind to: motion.
Source: Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric (CVPR 2018).
"""

from __future__ import annotations

import numpy as np

from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.preprocess import planes, signed
from csg405.benchmark.video import SeenVideo, batches, not_computed
from csg405.errors import UserError

CARDS = (
    Card(
        name="lpips", title="Learned perceptual distance", unit="1", direction="lower", track="video",
        needs=("true_pose", "lpips"),
    ),
)  # fmt: skip

_BATCH = 4
"""Pairs of pictures a call."""


def measure(seen: SeenVideo) -> Row:
    """[n / 5] distances of the frames that are looked at.

    Raises:
        UserError: the network is not what it should be.
    """
    if not seen.can(CARDS[0]):
        return {}
    network, found = seen.networks.lpips, []
    pairs = zip(batches(seen.film.sampled(), _BATCH), batches(seen.true_film.sampled(), _BATCH), strict=True)
    for images, true in pairs:
        distances = network(planes(signed(images)), planes(signed(true)))
        if distances.size != len(images):
            shape = list(distances.shape)
            raise UserError(f"lpips: {network.path} gives {shape} for {len(images)} pairs; wanted one number each")
        found.append(distances.ravel())
    return {"lpips": np.concatenate(found)}


def clip_values(row: Row, true_row: Row) -> Values:
    """The mean over frames."""
    del true_row
    return {"lpips": float(row["lpips"].astype(np.float64).mean())} if row else not_computed(CARDS)
