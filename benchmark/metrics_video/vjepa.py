r"""Kernel video distance on V-JEPA 2: how far a system's videos are from true ones, as distributions.

.. math:: \overline{k(x, x')} - 2\,\overline{k(x, y)} + \overline{k(y, y')}, \qquad k(a, b) = (a \cdot b / d + 1)^3

between features of windows of 16 frames, each bar the mean over pairs of windows of different clips. A window's feature
is the mean over all of the encoder's tokens. Windows follow each other through the whole clip. Pictures are scaled as
a whole to the network's own size (`crop_size`) with a low-pass filter, and normalised by ImageNet's mean and deviation;
the published preprocessing cuts the border off, where the hands of these clips are.

The idea is JEDi's; its network and its kernel's scale are others, so values cannot be compared with published ones.
Unit: none. Better: lower; chance is near 0 and may be below it. It is not biased by the number of windows.
Blind to: sound. Sources: Luo et al., Beyond FVD: enhanced evaluation metrics for video generation quality (ICLR 2025);
Assran et al., V-JEPA 2 (arXiv 2506.09985).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled
from csg405.benchmark.metrics_video._sets import mmd_of, mmd_pooled
from csg405.benchmark.preprocess import Pictures, normalise, resize
from csg405.benchmark.video import WINDOW, SeenVideo
from csg405.benchmark.video_networks import one_thread
from csg405.errors import UserError
from csg405.schema import FloatArray

OF_SETS = True
"""Whether other clips may stand on the other side: then the floor is one half of the truth against the other."""

CARDS = (
    Card(
        name="vjepa_mmd", title="Kernel video distance (V-JEPA 2)", unit="1", direction="lower", ranks=True,
        track="video", needs=("vjepa",),
    ),
)  # fmt: skip

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's colours, with which V-JEPA 2 was trained."""

_NAME = "vjepa"


def measure(seen: SeenVideo) -> Row:
    """[n // 16, d] features of windows; the empty row for a clip that has none.

    Raises:
        UserError: the network does not take windows of 16 frames.
    """
    if not seen.can(CARDS[0]):
        return {}
    found = [feature(seen.networks.vjepa, window) for window in seen.film.windows()]
    return {_NAME: np.stack(found)} if found else {}


def feature(model: Any, window: Pictures) -> FloatArray:
    """The mean of the encoder's tokens: [d].

    Args:
        model: a `transformers.VJEPA2Model`.
        window: [16, height, width, 3].
    """
    import torch

    if WINDOW % model.config.tubelet_size:
        raise UserError(f"vjepa: tubelets of {model.config.tubelet_size} frames do not fill a window of {WINDOW}")
    pictures = normalise(resize(window, model.config.crop_size), mean=MEAN, std=STD)
    with one_thread(), torch.inference_mode():
        given = torch.from_numpy(np.moveaxis(pictures, -1, 1).copy())[None].to(model.device)
        tokens = model(pixel_values_videos=given, skip_predictor=True).last_hidden_state
        return np.asarray(tokens[0].mean(dim=0).float().cpu().numpy(), np.float32)


def compute(rows: Rows, truth: Rows) -> Values:
    """The distance."""
    return {"vjepa_mmd": mmd_of(rows, truth, name=_NAME)}


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """The kernel's distance for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`."""
    del only
    return mmd_pooled(systems, truth, card="vjepa_mmd", name=_NAME, cluster_of=cluster_of)
