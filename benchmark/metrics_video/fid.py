r"""Fréchet and kernel Inception distance: how far a system's pictures are from true ones, as distributions.

.. math:: \mathrm{FID} = |m_x - m_y|^2 + \mathrm{tr}(S_x + S_y - 2 (S_x S_y)^{1/2}), \qquad
   \mathrm{KID} = \overline{k(x, x')} - 2\,\overline{k(x, y)} + \overline{k(y, y')}, \; k(a, b) = (a \cdot b/d + 1)^3

on features of one frame in five. The network is a file, TorchScript or ONNX, that takes [n, 3, 299, 299] RGB float32,
values 0 to 255, and gives [n, d]; a TorchScript whose `forward` has an argument `return_features` is called with it
True. Pictures are scaled to 299 px with a low-pass filter (bilinear). KID is taken over all pairs of pictures of
different clips, not over random subsets, so it is the same at every call; published KID leaves no clips out.

FID is biased by the number of pictures and is not computed with no more of them than d; frames of a clip are alike, so
what counts is the number of clips. KID is not biased. Unit: squared units of the features; none. Better: lower.
Blind to: motion, sound, hands (they are few pixels), and whatever ImageNet has no name for.
Sources: Heusel et al., GANs trained by a two time-scale update rule (NIPS 2017); Binkowski et al., Demystifying MMD
GANs (ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled
from csg405.benchmark.metrics_video._sets import frechet_of, mmd_of, mmd_pooled
from csg405.benchmark.preprocess import planes, resize
from csg405.benchmark.video import SeenVideo, batches

OF_SETS = True
"""Whether other clips may stand on the other side: then the floor is one half of the truth against the other."""

CARDS = (
    Card(
        name="fid", title="Fréchet Inception distance", unit="1", direction="lower", track="video",
        needs=("inception",),
    ),
    Card(
        name="kid", title="Kernel Inception distance", unit="1", direction="lower", ranks=True, track="video",
        needs=("inception",),
    ),
)  # fmt: skip

SIDE_PX = 299
"""Of Inception-v3's input, px."""

_BATCH = 8
"""Pictures a call."""

_NAME = "inception"


def measure(seen: SeenVideo) -> Row:
    """[n / 5, d] features of the frames that are looked at.

    Raises:
        UserError: the network is not what it should be.
    """
    if not seen.can(CARDS[0]):
        return {}
    network = seen.networks.inception
    found = [
        network.features(planes(resize(images, SIDE_PX)), return_features=True)
        for images in batches(seen.film.sampled(), _BATCH)
    ]
    return {_NAME: np.concatenate(found)}


def compute(rows: Rows, truth: Rows) -> Values:
    """Both distances."""
    return {"fid": frechet_of(rows, truth, name=_NAME), "kid": mmd_of(rows, truth, name=_NAME)}


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """The kernel's distance for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`."""
    del only
    return mmd_pooled(systems, truth, card="kid", name=_NAME, cluster_of=cluster_of)
