"""Features of speech by name: the contract of an extractor, and which there are.

An extractor turns a sound into one row of numbers for each frame of the clock, 25 a second. Row i is for the 40 ms of
frame i, samples [640 i, 640 (i+1)) at 16 kHz, and is placed there by time: nothing is stretched to a length. `prosody`
needs no weights and is the default; the encoders are those of transformers, from the Hub or a local folder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from csg405.benchmark.audio.settings import AudioSettings, Layers
from csg405.errors import UserError
from csg405.schema import FloatArray

PROSODY = "prosody"

ENCODERS: dict[str, str] = {
    "wav2vec2-base-960h": "facebook/wav2vec2-base-960h",
    "wavlm-base-plus": "microsoft/wavlm-base-plus",
}
"""Names of the encoders, and of their repositories on the Hub."""

NAMES = (PROSODY, *ENCODERS)

_LOUDEST = 4.0
"""Samples beyond this are of another scale; resampling may take them a little past 1."""


class Extractor(Protocol):
    """Turns a sound into rows of numbers."""

    @property
    def name(self) -> str:
        """By which it is asked for."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        ...

    @property
    def digest(self) -> str:
        """The sha256 of all that its rows follow from, the sound apart."""
        ...

    def __call__(self, wave: FloatArray) -> FloatArray:
        """Rows of a sound.

        Args:
            wave: float32 [samples] between -1 and 1, mono, at 16 kHz.

        Returns:
            float32 [samples // 640, dim]

        Raises:
            UserError: the sound is no such array, or holds numbers that are not finite.
        """
        ...


Maker = Callable[[], Extractor]
"""Makes an extractor where it is needed; picklable."""


def extractor(name: str, folder: Path | None = None, *, layers: Layers = "last", device: str = "cpu") -> Extractor:
    """An extractor by its name.

    Args:
        name: one of `NAMES`.
        folder: weights of an encoder, as `save_pretrained` writes them; without it they are fetched from the Hub.
        layers: of an encoder: `last`, or the `mean` of all its blocks.
        device: where an encoder runs: `cpu` or `cuda`, there in half precision.

    Raises:
        UserError: there is none of this name, or its weights are not to be had.
    """
    if name == PROSODY:
        if folder is not None:
            raise UserError(f"features {name!r}: they need no weights, so no folder ({folder}) can be given")
        from csg405.benchmark.audio.prosody import Prosody

        return Prosody()
    if name in ENCODERS:
        from csg405.benchmark.audio.speech_encoders import SpeechEncoder

        return SpeechEncoder(name, folder, layers=layers, device=device)
    raise UserError(f"features {name!r}: there are none of this name; there are {', '.join(NAMES)}")


def maker(settings: AudioSettings, *, device: str = "cpu") -> Maker:
    """What makes the extractor of a configuration, in this process or in others."""
    return functools.partial(extractor, settings.features, settings.folder, layers=settings.layers, device=device)


def chosen(settings: AudioSettings, name: str) -> AudioSettings:
    """The same settings for features of a name; a folder of weights goes only with those that have some."""
    folder = settings.folder if name in ENCODERS else None
    return settings.model_copy(update={"features": name, "folder": folder})


def checked(wave: FloatArray, *, name: str) -> FloatArray:
    """A sound that an extractor can take, as float32.

    Args:
        wave: what was given.
        name: of the extractor, for the message.

    Raises:
        UserError: it is not mono, not between -1 and 1, or not finite throughout.
    """
    if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
        raise UserError(
            f"{name}: the sound is {wave.dtype} {list(wave.shape)}; wanted floats [samples] between -1 and 1, "
            "mono, at 16 kHz: average the channels, and divide 16-bit samples by 32768"
        )
    finite = np.isfinite(wave)
    if not finite.all():
        first = int(np.argmin(finite))
        raise UserError(f"{name}: sample {first} of the sound is {wave[first]}, no finite number; mend the sound")
    loudest = float(np.abs(wave).max(initial=0))
    if loudest > _LOUDEST:
        raise UserError(
            f"{name}: the sound goes up to {loudest:g}; wanted samples between -1 and 1: divide 16-bit ones by 32768"
        )
    return np.ascontiguousarray(wave, np.float32)
