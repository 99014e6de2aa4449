"""Sound as models take it: mono, 16 kHz, whole frames; and a model together with what it listens through."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal

from csg405.benchmark import models
from csg405.benchmark.audio.features import Extractor, extractor
from csg405.benchmark.models.base import GestureModel, Request, Sampling
from csg405.benchmark.models.long import stream
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, SAMPLES_PER_FRAME
from csg405.schema import FloatArray

_LOWEST_HZ, _HIGHEST_HZ = 4_000, 384_000


def prepared(samples: npt.NDArray[np.generic], *, rate_hz: int) -> FloatArray:
    """Sound of any usual kind as mono at 16 kHz, with silence behind it up to a whole frame.

    Args:
        samples: [n], or [n, channels]; floats between -1 and 1, or integers, of which the type's range counts as 1.
        rate_hz: samples a second.

    Returns:
        float32 [640 frames], one frame at least.

    Raises:
        UserError: it is empty, of a strange shape or rate, or holds numbers that are not finite.
    """
    if samples.ndim not in (1, 2) or not samples.size or (samples.ndim == 2 and samples.shape[1] > samples.shape[0]):
        raise UserError(f"sound of shape {samples.shape}; wanted [samples] or [samples, channels], one sample or more")
    if not _LOWEST_HZ <= rate_hz <= _HIGHEST_HZ:
        raise UserError(f"sound with {rate_hz} samples a second; wanted {_LOWEST_HZ} to {_HIGHEST_HZ}")
    wave = samples.astype(np.float64)
    if np.issubdtype(samples.dtype, np.integer):
        wave /= float(np.iinfo(samples.dtype).max) + 1  # type: ignore[type-var]
    elif not np.isfinite(wave).all():
        raise UserError("the sound holds numbers that are not finite")
    mono = wave if wave.ndim == 1 else wave.mean(axis=1)
    if rate_hz != AUDIO_RATE_HZ:
        common = gcd(rate_hz, AUDIO_RATE_HZ)
        mono = signal.resample_poly(mono, AUDIO_RATE_HZ // common, rate_hz // common)
    frames = max(-(-len(mono) // SAMPLES_PER_FRAME), 1)
    whole = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    whole[: len(mono)] = mono[: len(whole)]
    return whole


@dataclasses.dataclass(frozen=True)
class Performer:
    """A model with the extractor that it was trained with: from sound to motion."""

    model: GestureModel
    extractor: Extractor

    @classmethod
    def open(cls, source: str | Path, *, weights: Path | None = None, device: str = "cpu") -> Performer:
        """The model in a folder or of the Hub, and its extractor.

        Args:
            source: see `csg405.benchmark.models.load`.
            weights: folder of the weights of an encoder that the model listens through; else they are fetched.
            device: where both run.

        Raises:
            UserError: one of them is not to be had, or they do not fit together.
        """
        model = models.load(source, device=device)
        settings = model.settings
        listening = extractor(settings.features, weights, layers=settings.features_layers, device=device)
        if listening.dim != model.settings.features_dim:
            raise UserError(
                f"{source} was trained on {model.settings.features_dim} numbers a frame of "
                f"{model.settings.features!r}, which now has {listening.dim}; take the model's own version"
            )
        return cls(model, listening)

    def perform(
        self,
        wave: FloatArray,
        *,
        reference_px: FloatArray,
        reference_score: FloatArray,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Iterator[FloatArray]:
        """A motion for a sound, as it is made: frames [m, 133, 2] in the reference's pixels.

        Args:
            wave: of `prepared`.
            reference_px: [133, 2] the person's pose.
            reference_score: [133]
            seed: another one gives another motion.
            sampling: how; the model's own way if nothing is said.

        Raises:
            UserError: the reference does not show the shoulders, or the sound cannot be heard.
        """
        request = Request(
            features=self.extractor(wave), reference_px=reference_px, reference_score=reference_score, seed=seed
        )
        for (piece,) in stream(self.model, [request], sampling=sampling):
            yield piece
