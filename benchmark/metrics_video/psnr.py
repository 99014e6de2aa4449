r"""Peak signal-to-noise ratio, of the whole picture and of the person's part of it.

.. math:: \mathrm{PSNR} = 10 \log_{10} \frac{255^2}{\mathrm{MSE}}

of every frame, over all pixels and the three colours of RGB with values 0 to 255; a clip's value is the mean over its
frames, in dB. A picture of 8 bits stands for light that was rounded to it, which is an error of 1/12: no frame counts
as nearer than that (58.92 dB). The person's part is the box of what is seen of them above the knees in the whole clip:
elsewhere a frozen background does the work.

Only for systems that were given the clip's own skeleton. Unit: dB. Better: higher. Blind to: what a picture looks
like; blur wins over sharp pictures that are a pixel off.
Source: Huynh-Thu and Ghanbari, Scope of validity of PSNR (Electronics Letters 2008).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.preprocess import WHITE
from csg405.benchmark.video import SeenVideo, not_computed
from csg405.media.decode import Image

CARDS = (
    Card(
        name="psnr", title="Peak signal-to-noise ratio", unit="dB", direction="higher", track="video",
        needs=("true_pose",),
    ),
    Card(
        name="psnr_person", title="Peak signal-to-noise ratio of the person's part", unit="dB", direction="higher",
        track="video", needs=("true_pose",),
    ),
)  # fmt: skip

ROUNDING = 1 / 12
"""Mean squared error of rounding to whole numbers, steps of 8 bits."""


def measure(seen: SeenVideo) -> Row:
    """[n] dB of the frames: `psnr`, and `psnr_person` where a person is seen."""
    if not seen.can(CARDS[0]):
        return {}
    found = list(_frames(seen))
    row: Row = {"psnr": np.array([whole for whole, _ in found])}
    if seen.person is not None:
        row["psnr_person"] = np.array([part for _, part in found])
    return row


def _frames(seen: SeenVideo) -> Iterator[tuple[float, float]]:
    for image, true in zip(seen.film.frames(), seen.true_film.frames(), strict=True):
        part = psnr_db(image[seen.person], true[seen.person]) if seen.person is not None else 0.0
        yield psnr_db(image, true), part


def psnr_db(image: Image, true: Image) -> float:
    """Of one picture [height, width, 3], dB."""
    error = float(np.square(image.astype(np.float64) - true).mean())
    return float(10 * np.log10(WHITE**2 / max(error, ROUNDING)))


def clip_values(row: Row, true_row: Row) -> Values:
    """Means over frames; None for what was not measured."""
    del true_row
    return not_computed(CARDS) | {name: float(values.mean()) for name, values in row.items()}
