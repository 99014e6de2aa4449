"""Fixtures that many tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before numpy is there: its small products are slower on two threads than on one, four times where others work beside.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest

from tests import chromium, films

# How long an example takes says something about the machine, and nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 25 fps, 160x96, B-frames, a key frame every 12: pictures that carry their number, with sound.

    Clicks are at 0.5, 1.25, 2.0 and 3.3 s; see `tests.films` for reading the numbers and placing the clicks.
    """
    path = tmp_path_factory.mktemp("films") / "numbered.mp4"
    ticks = films.steady(25, 100)
    return films.write(path, ticks, b_frames=2, click_s=[0.5, 1.25, 2.0, 3.3], audio_s=4.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; see `tests.chromium`."""
    yield from chromium.launched()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch and BLAS on one thread: sums are taken in one order, here and in every process that is held to it, too."""
    from csg405.benchmark.scoring import measure

    with measure.one_thread():
        yield
