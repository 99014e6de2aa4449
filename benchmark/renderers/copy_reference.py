"""The baseline that every renderer has to beat: the reference picture, held."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from csg405.benchmark.renderers.base import Job, Renderer
from csg405.media.decode import Image


class CopyReference(Renderer):
    """See the head of this file."""

    name = "copy-reference"

    def frames(self, job: Job) -> Iterator[Image]:
        """See `Renderer`."""
        return itertools.repeat(job.reference_image, len(job))
