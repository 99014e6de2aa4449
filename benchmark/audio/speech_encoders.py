"""What self-supervised speech encoders make of a sound: wav2vec 2.0 and WavLM, run by transformers.

Frame j of their output sees the 400 samples from 320 j, so it belongs to the time (320 j + 199.5) / 16000 s. A row is
taken by time: between the two frames about the middle of the video's frame, (640 i + 319.5) / 16000 s, straight; the
first and the last hold beyond the ends. The reference model stretches the last layer to the number of its frames
instead, which puts its first frame 3.75 ms early and drifts from there.

Sources: Baevski et al., "wav2vec 2.0" (NeurIPS 2020); Chen et al., "WavLM" (IEEE JSTSP 16, 2022). Both networks look
at all of a sound, so a long one is taken in chunks that overlap: away from chunks' ends little is changed by what is
beyond them. What the feature extractor does to the level, it does to the whole sound.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from csg405 import weights
from csg405.benchmark.audio.features import ENCODERS, checked
from csg405.benchmark.audio.settings import Layers
from csg405.benchmark.pretrained import moving_to
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.schema import FloatArray

log = logging.getLogger(__name__)

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Tried in turn; transformers reads the second as numbers alone, never as a program."""

_CONFIGS = ("config.json", "preprocessor_config.json")

_UNUSED = ("masked_spec_embed",)
"""Weights that only training needs; published ones lack them."""

CHUNK = 20 * FPS
"""Frames of a long sound that are taken from a chunk."""

MARGIN = 5 * FPS
"""Frames on either side that the encoder is given with them; its positions are told from 2.56 s."""


class SpeechEncoder:
    """One encoder; its weights are read when it is first called. See the head of this file and `Extractor`."""

    def __init__(self, name: str, folder: Path | None = None, *, layers: Layers = "last", device: str = "cpu") -> None:
        """Find the files, in the folder or on the Hub, and read the configuration.

        Args:
            name: one of `ENCODERS`.
            folder: as `save_pretrained` of a model and of its feature extractor write it.
            layers: `last`, or the `mean` of all blocks.
            device: `cpu`, or `cuda` for half precision.

        Raises:
            UserError: files are missing and cannot be fetched, or are of another kind of network.
        """
        self.name = name
        self.layers = layers
        self.device = device
        self.folder, self._weights = _local(folder) if folder is not None else _from_hub(name)
        self._config = _config(self.folder)
        self.dim = int(self._config.hidden_size)

    @functools.cached_property
    def digest(self) -> str:
        """Of the files and of which layers are taken; where it is computed changes no more than the last digits."""
        files = [weights.digest(self.folder / name) for name in (*_CONFIGS, self._weights)]
        return hashlib.sha256(json.dumps([self.layers, files]).encode()).hexdigest()

    def __call__(self, wave: FloatArray) -> FloatArray:
        """Rows of a sound: float32 [samples // 640, dim]."""
        heard = checked(wave, name=self.name)
        n_frames = len(heard) // SAMPLES_PER_FRAME
        rows = np.empty((n_frames, self.dim), np.float32)
        if not n_frames:
            return rows
        given = self._prepared(heard)
        if n_frames <= CHUNK + 2 * MARGIN:
            rows[:] = self._placed(given, np.arange(n_frames))
            return rows
        for start in range(0, n_frames, CHUNK):
            end = min(start + CHUNK, n_frames)
            first, last = max(start - MARGIN, 0), min(end + MARGIN, n_frames)
            piece = given[first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME]
            rows[start:end] = self._placed(piece, np.arange(start - first, end - first))
        return rows

    def _prepared(self, wave: FloatArray) -> FloatArray:
        found = self._listen(wave, sampling_rate=AUDIO_RATE_HZ, return_tensors="np").input_values
        return np.asarray(found[0], np.float32)

    def _placed(self, given: FloatArray, frames: np.ndarray) -> FloatArray:
        """[frames, dim] what the encoder makes of a stretch, at the middles of some of its frames."""
        hop, window = _clock(self._config)
        encoded = self._encoded(given)
        middle = frames * SAMPLES_PER_FRAME + (SAMPLES_PER_FRAME - 1) / 2
        place = np.clip((middle - (window - 1) / 2) / hop, 0, len(encoded) - 1)
        before = np.minimum(place.astype(np.int64), max(len(encoded) - 2, 0))
        part = (place - before).astype(np.float32)[:, None]
        after = np.minimum(before + 1, len(encoded) - 1)
        return np.asarray((1 - part) * encoded[before] + part * encoded[after], np.float32)

    def _encoded(self, given: FloatArray) -> FloatArray:
        """[encoder frames, dim]."""
        with torch.inference_mode():
            samples = torch.from_numpy(given)[None].to(self.device, self._type)
            if self.layers == "last":
                found = self._network(samples).last_hidden_state[0]
            else:
                blocks = self._network(samples, output_hidden_states=True).hidden_states[1:]
                found = torch.stack([block[0].float() for block in blocks]).mean(dim=0)
            return np.asarray(found.float().cpu().numpy())

    @property
    def _type(self) -> torch.dtype:
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    @functools.cached_property
    def _listen(self) -> Any:
        from transformers import AutoFeatureExtractor

        load: Any = AutoFeatureExtractor.from_pretrained
        try:
            found = load(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.name}: {self.folder / _CONFIGS[1]} is no feature extractor's: {error}") from error
        if found.sampling_rate != AUDIO_RATE_HZ:
            raise UserError(f"{self.name}: {self.folder} is for {found.sampling_rate} Hz; wanted {AUDIO_RATE_HZ} Hz")
        return found

    @functools.cached_property
    def _network(self) -> Any:
        from safetensors import SafetensorError
        from transformers import AutoModel, logging

        quiet: Any = logging.disable_progress_bar  # the caller has a bar of its own
        quiet()
        load: Any = AutoModel.from_pretrained
        safe = self._weights == _WEIGHTS[0]
        try:
            model, info = load(self.folder, use_safetensors=safe, local_files_only=True, output_loading_info=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{self.name}: {self.folder} holds no network that transformers reads: {error}") from error
        made_up = sorted(key for key in info["missing_keys"] if key not in _UNUSED)
        if made_up:
            raise UserError(f"{self.name}: {self.folder} lacks {len(made_up)} weights, {made_up[0]} among them")
        with moving_to(self.device):
            return model.train(False).to(self.device, self._type)


def _clock(config: Any) -> tuple[int, int]:
    """Samples between two frames of the encoder, and samples that one sees."""
    hop, window = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    return hop, window


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / _CONFIGS[0]}: no configuration that transformers reads: {error}") from error
    if not hasattr(found, "conv_stride") or SAMPLES_PER_FRAME % math.prod(found.conv_stride):
        raise UserError(
            f"{folder}: a {found.model_type} is no encoder of sound whose steps divide {SAMPLES_PER_FRAME} samples; "
            f"give the folder of {' or '.join(ENCODERS)}"
        )
    return found


def _local(folder: Path) -> tuple[Path, str]:
    """A folder and the name of its file of weights."""
    held = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    missing = [name for name in _CONFIGS if not (folder / name).is_file()]
    if held is None or missing:
        lacks = ", ".join([*missing, *([] if held else [f"one of {' and '.join(_WEIGHTS)}"])])
        raise UserError(
            f"{folder}: {lacks} missing; give a folder that save_pretrained of the model and of its feature extractor "
            "wrote, or the files of its repository on the Hub"
        )
    return folder, held


def _from_hub(name: str) -> tuple[Path, str]:
    """The folder of an encoder in the Hub's cache, fetched if it is not there, and the name of its file of weights."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    fetch = functools.partial(hf_hub_download, ENCODERS[name])
    try:
        for config in _CONFIGS:
            fetch(config)
        try:
            held = fetch(_WEIGHTS[0])
        except EntryNotFoundError:
            held = fetch(_WEIGHTS[1])
    except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"features {name!r}: cannot fetch {ENCODERS[name]} ({cause}); connect to the internet, without "
            "HF_HUB_OFFLINE, or give its files in a local folder (--from FOLDER, benchmark.audio.folder=FOLDER); "
            "`prosody` needs no weights"
        ) from error
    return Path(held).parent, Path(held).name
