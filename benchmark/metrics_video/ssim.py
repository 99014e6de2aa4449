r"""Structural similarity, of the whole picture and of the person's part of it.

.. math:: \mathrm{SSIM} = \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}
   {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}, \qquad c_1 = (0.01 L)^2, \; c_2 = (0.03 L)^2

at every place of every frame, with means, variances and the covariance under a Gaussian of deviation 1.5 px cut off
at 11 px, L = 255, by colour of RGB. A frame's value is the mean over colours and places; a clip's the mean over one
frame in `EVERY`: neighbours differ by little, and a frame of 512 px takes 80 ms. The person's part is the mean over
the places in the box of what is seen of them above the knees.

Beyond its border a picture is its mirror image, as in torchmetrics; Wang et al. leave the outer five pixels out.
Numbers are taken in float64: in float32 the variances of flat regions are lost in rounding. They are torchmetrics' own
to 1e-6, some fifty times as fast.

Only for systems that were given the clip's own skeleton. Unit: none, at most 1. Better: higher. Blind to: who is
seen; blur costs little.
Source: Wang et al., Image quality assessment: from error visibility to structural similarity (TIP 2004).
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.preprocess import WHITE
from csg405.benchmark.video import SeenVideo, not_computed
from csg405.errors import UserError
from csg405.media.decode import Image

Floats = npt.NDArray[np.float64]

CARDS = (
    Card(
        name="ssim", title="Structural similarity", unit="1", direction="higher", track="video",
        needs=("true_pose",),
    ),
    Card(
        name="ssim_person", title="Structural similarity of the person's part", unit="1", direction="higher",
        track="video", needs=("true_pose",),
    ),
)  # fmt: skip

EVERY = 5
"""Frames from one that is looked at to the next: 0.2 s."""

_WINDOW_PX = 11
_SIGMA_PX = 1.5
_C1 = (0.01 * WHITE) ** 2
_C2 = (0.03 * WHITE) ** 2
"""Wang et al. (2004)."""


def measure(seen: SeenVideo) -> Row:
    """[n] of the frames that are looked at: `ssim`, and `ssim_person` where a person is seen.

    Raises:
        UserError: pictures smaller than the window.
    """
    if not seen.can(CARDS[0]):
        return {}
    if seen.film.size_px < _WINDOW_PX:
        raise UserError(f"{seen.film.name}: pictures of {seen.film.size_px} px, SSIM needs {_WINDOW_PX} px at least")
    whole, person = [], []
    for image, true in itertools.islice(zip(seen.film.frames(), seen.true_film.frames(), strict=True), 0, None, EVERY):
        found = ssim_map(image, true)
        whole.append(found.mean())
        if seen.person is not None:
            person.append(found[seen.person].mean())
    row: Row = {"ssim": np.array(whole)}
    return row | {"ssim_person": np.array(person)} if person else row


def ssim_map(image: Image, true: Image) -> Floats:
    """Similarity at every place and colour.

    Args:
        image: [height, width, 3].
        true: the same of the other.

    Returns:
        [height, width, 3].
    """
    x, y = image.astype(np.float64), true.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    shared = _blurred(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + _C1) * (2 * shared + _C2)
    return np.asarray(above / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)), np.float64)


def _blurred(picture: Floats) -> Floats:
    kernel = cv2.getGaussianKernel(_WINDOW_PX, _SIGMA_PX, cv2.CV_64F)
    return np.asarray(cv2.sepFilter2D(picture, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101), np.float64)


def clip_values(row: Row, true_row: Row) -> Values:
    """Means over frames; None for what was not measured."""
    del true_row
    return not_computed(CARDS) | {name: float(values.mean()) for name, values in row.items()}
