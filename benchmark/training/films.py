"""Motions as films of skeletons, side by side, with the clip's sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from csg405.benchmark.clip import Clip
from csg405.benchmark.renderers.film import write_film
from csg405.keypoints.drawing import draw
from csg405.media.decode import Image
from csg405.schema import FloatArray

_SIDE_PX = 256


def write_skeletons(path: Path, motions: Sequence[FloatArray], clip: Clip) -> None:
    """Write a film of motions [n, 133, 2] for a clip, the first at the left; the clip's scores say what is drawn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_film(_pictures(motions, clip), clip.sound.wave, path)


def _pictures(motions: Sequence[FloatArray], clip: Clip) -> Iterator[Image]:
    scale = _SIDE_PX / clip.size_px
    for number, score in enumerate(clip.score):
        drawn = [draw((motion[number] + 0.5) * scale - 0.5, score, _SIDE_PX) for motion in motions]
        yield np.concatenate(drawn, axis=1)
