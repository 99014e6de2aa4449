"""The networks that video metrics look through: files that the user names, with their digests.

No weights come with this package but the synthetic world's, and none are fetched but the core's pose networks and,
where a hub's name was given, V-JEPA. Everything else is a file that the user names *with its sha256*: a TorchScript
archive holds code that runs when it is loaded, so a file whose digest nobody vouched for is never opened, and a score
is worth something only if it says with which weights it was made. Pickles are not read at all.

Weights that are known to be for non-commercial use are refused unless that is asked for, by `non_commercial` or by
`CSG405_NON_COMMERCIAL=1`. What is missing is no error: its metrics are "not computed", and `Networks.missing` says
what to give.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from csg405 import weights
from csg405.config import Settings
from csg405.errors import UserError
from csg405.pose import Detector, Estimator
from csg405.pose.session import open_session
from csg405.schema import FloatArray

SECTION = "benchmark.video"
"""Where the settings lie in a configuration."""

OPT_IN = "CSG405_NON_COMMERCIAL"

NON_COMMERCIAL: dict[str, str] = {
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43": "w600k_r50.onnx of InsightFace's buffalo_l",
    "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf": "glintr100.onnx of InsightFace's antelopev2",
}
"""Weights by sha256 whose publisher allows non-commercial research only (deepinsight/insightface issue 2486)."""

_SAYS_NON_COMMERCIAL = re.compile(r"non-?\s?commercial|\bNC\b", re.IGNORECASE)

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

_SAFETENSORS = "model.safetensors"

Name = Literal["pose", "lpips", "inception", "i3d", "vjepa", "face", "syncnet"]
"""What a metric's card may need."""

_WHAT: dict[str, str] = {
    "pose": "the core's detector and pose network",
    "lpips": "an LPIPS network as TorchScript or ONNX",
    "inception": "an Inception network as TorchScript or ONNX",
    "i3d": "an I3D network as TorchScript or ONNX",
    "vjepa": "a folder or a hub's name of V-JEPA 2",
    "face": "a face embedding network as ONNX or TorchScript",
    "syncnet": "a SyncNet as TorchScript",
}


class Given(Settings):
    """Weights that the user names."""

    file: str = Field(description="path; for V-JEPA a folder, or owner/name on the hub")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description=f"digest of the file; of {_SAFETENSORS} where it is a folder"
    )
    licence: str = Field("unknown", description="what the publisher says; printed beside the score")
    revision: str | None = Field(None, description="commit of the hub's repository")


class VideoSettings(Settings):
    """Which networks there are."""

    pose: Literal["lightweight", "balanced", "performance", "synthetic"] | None = Field(
        None, description="pair of detector and pose network, by the core's names, fetched on first use"
    )
    lpips: Given | None = Field(None, description="takes two pictures, gives their distance")
    inception: Given | None = Field(None, description="features for FID and KID")
    i3d: Given | None = Field(None, description="features for FVD")
    vjepa: Given | None = Field(None, description="V-JEPA 2, in transformers' format")
    face: Given | None = Field(None, description="face embeddings")
    syncnet: Given | None = Field(None, description="lips and sound")
    non_commercial: bool = Field(False, description=f"weights for non-commercial use are welcome; or set {OPT_IN}=1")


class PosePair(NamedTuple):
    """The core's two networks."""

    detector: Detector
    estimator: Estimator


class Networks:
    """The networks that are there, each opened when it is first asked for. Picklable: workers open their own."""

    def __init__(self, settings: VideoSettings | None = None, *, device: str = "cpu") -> None:
        """Open nothing yet.

        Args:
            settings: which there are; none by default.
            device: `cpu` or `cuda`.
        """
        self.settings = settings or VideoSettings()
        self.device = device

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Networks, device=self.device), (self.settings,)

    def missing(self, name: str) -> str | None:
        """What to give so that a network is there; None if it is."""
        if getattr(self.settings, name) is not None:
            return None
        how = f"{SECTION}.{name}=MODE" if name == "pose" else f"{SECTION}.{name}.file=PATH and {SECTION}.{name}.sha256="
        return f"no weights {name!r}: give {_WHAT[name]} by {how}"

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """The sha256 of all that are there, by name: a part of what a score is made with."""
        given = {name: getattr(self.settings, name) for name in _WHAT if name != "pose"}
        found = {name: one.sha256 for name, one in given.items() if one is not None}
        if self.settings.pose is not None:
            parts = zip(("pose.detector", "pose.estimator"), weights.MODES[self.settings.pose], strict=True)
            found |= {name: weights.digest(weights.fetch(network)) for name, network in parts}
        return found

    def check(self) -> None:
        """Open all that are there once, so that a wrong file is one message and not one a clip.

        Raises:
            UserError: a file is missing, has another digest, is not what it should be, or is for non-commercial use.
        """
        for name in ("lpips", "inception", "i3d", "face", "syncnet"):
            if self.missing(name) is None:
                getattr(self, name)
        if self.settings.vjepa is not None:
            _ = self.vjepa
        if self.settings.pose is not None:
            _ = self.pose

    @functools.cached_property
    def pose(self) -> PosePair:
        """The core's detector and estimator."""
        if self.settings.pose is None:
            raise UserError(self.missing("pose") or "")
        person, pose = weights.MODES[self.settings.pose]
        return PosePair(
            Detector(weights.fetch(person), channels=person.channels, device=self.device),
            Estimator(
                weights.fetch(pose),
                channels=pose.channels,
                device=self.device,
                score_scale=weights.SCORE_SCALE.get(pose.name, 1.0),
            ),
        )

    @functools.cached_property
    def lpips(self) -> Function:
        """Two batches of pictures to their distances."""
        return self._function("lpips")

    @functools.cached_property
    def inception(self) -> Function:
        """Pictures to features."""
        return self._function("inception")

    @functools.cached_property
    def i3d(self) -> Function:
        """Windows to features."""
        return self._function("i3d")

    @functools.cached_property
    def face(self) -> Function:
        """Faces to embeddings."""
        return self._function("face")

    @functools.cached_property
    def syncnet(self) -> Function:
        """Lips to embeddings by its method `forward_lip`, sound by `forward_aud`."""
        return self._function("syncnet")

    @functools.cached_property
    def vjepa(self) -> Any:
        """V-JEPA 2: a `transformers.VJEPA2Model`.

        Raises:
            UserError: there is no such folder, it has another digest, or it holds no V-JEPA 2.
        """
        from safetensors import SafetensorError
        from transformers import VJEPA2Model

        given = self._given("vjepa")
        folder = Path(given.file) if Path(given.file).is_dir() else _from_hub(given)
        _vouched("vjepa", folder / _SAFETENSORS, given.sha256)
        load: Any = VJEPA2Model.from_pretrained
        try:
            model, info = load(folder, use_safetensors=True, local_files_only=True, output_loading_info=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(f"vjepa: {folder} holds no V-JEPA 2 that transformers reads: {error}") from error
        made_up = sorted(key for key in info["missing_keys"] if key.startswith("encoder."))
        if made_up:
            raise UserError(f"vjepa: {folder} lacks {len(made_up)} of the encoder's weights, {made_up[0]} among them")
        return model.train(False).to(self.device)

    def _function(self, name: str) -> Function:
        given = self._given(name)
        path = Path(given.file)
        _vouched(name, path, given.sha256)
        return Function(path, name=name, device=self.device)

    def _given(self, name: str) -> Given:
        given: Given | None = getattr(self.settings, name)
        if given is None:
            raise UserError(self.missing(name) or "")
        what = NON_COMMERCIAL.get(given.sha256)
        if what is None and _SAYS_NON_COMMERCIAL.search(given.licence):
            what = f"{given.file} ({given.licence})"
        if what is not None and not (self.settings.non_commercial or os.environ.get(OPT_IN) == "1"):
            raise UserError(
                f"{name}: {what} is for non-commercial use only; set {SECTION}.non_commercial=true or {OPT_IN}=1 "
                "if yours is such, or give other weights"
            )
        return given


class Function:
    """A network in a file, TorchScript or ONNX, from arrays to an array, with one thread on a CPU."""

    def __init__(self, path: Path, *, name: str, device: str = "cpu") -> None:
        """Load it; the caller has checked its digest, for a TorchScript archive runs code.

        Args:
            path: `.onnx` for ONNX; anything else is taken for TorchScript.
            name: for messages.
            device: `cpu` or `cuda`.

        Raises:
            UserError: it cannot be loaded.
        """
        self.name = name
        self.path = path
        self.device = device
        self._is_onnx = path.suffix == ".onnx"
        self._network = open_session(path, device=device, what=name) if self._is_onnx else _scripted(path, name, device)

    def __call__(self, *inputs: FloatArray, method: str = "forward", **flags: bool) -> FloatArray:
        """What the network makes of arrays.

        Args:
            inputs: float32, in the network's order.
            method: of a TorchScript network.
            flags: keyword arguments, handed to a TorchScript network where it has them.

        Raises:
            UserError: it does not take them.
        """
        shapes = ", ".join(str(list(one.shape)) for one in inputs)
        try:
            found = self._onnx(inputs) if self._is_onnx else self._torch(inputs, method, flags)
        except Exception as error:  # onnxruntime's errors share no base class
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"{self.name}: {self.path} does not take {method}({shapes}): {lines[-1]}") from error
        return np.asarray(found, np.float32)

    def features(self, *inputs: FloatArray, method: str = "forward", **flags: bool) -> FloatArray:
        """The same for a network that gives one row of numbers a sample.

        Returns:
            [n, d]

        Raises:
            UserError: it gives something else.
        """
        found = self(*inputs, method=method, **flags)
        count = len(inputs[0])
        if found.ndim < 2 or len(found) != count or found.size != count * found.shape[1]:
            raise UserError(
                f"{self.name}: {self.path} gives {list(found.shape)} for {count} samples; wanted [{count}, features]"
            )
        if not np.isfinite(found).all():
            raise UserError(f"{self.name}: {self.path} gives numbers that are not finite")
        return found.reshape(count, -1)

    def _onnx(self, inputs: tuple[FloatArray, ...]) -> npt.NDArray[Any]:
        names = [one.name for one in self._network.get_inputs()]
        return np.asarray(self._network.run(None, dict(zip(names, inputs, strict=True)))[0])

    def _torch(self, inputs: tuple[FloatArray, ...], method: str, flags: dict[str, bool]) -> npt.NDArray[Any]:
        import torch

        call = getattr(self._network, method)
        takes = {argument.name for argument in call.schema.arguments}
        with one_thread(), torch.inference_mode():
            given = [torch.from_numpy(one).to(self.device) for one in inputs]
            return np.asarray(call(*given, **{name: on for name, on in flags.items() if name in takes}).cpu().numpy())


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one CPU thread, so that sums come in one order whatever the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _scripted(path: Path, name: str, device: str) -> Any:
    import torch

    load: Any = torch.jit.load
    try:
        return load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise UserError(f"{name}: {path} is no TorchScript archive; give one, or a file that ends in .onnx") from error


def _vouched(name: str, path: Path, sha256: str) -> None:
    """Make sure that a file is the one that the user meant.

    Raises:
        UserError: it is not there, or has another digest.
    """
    if not path.is_file():
        raise UserError(f"{name}: no file {path}; see {SECTION}.{name}.file")
    seen = weights.digest(path)
    if seen != sha256:
        raise UserError(
            f"{name}: {path} has sha256 {seen}, but {SECTION}.{name}.sha256 is {sha256}; it is not opened. "
            "Give the digest of the file that you trust"
        )


def _from_hub(given: Given) -> Path:
    """The folder of a hub's repository in the cache, fetched if it is not there.

    Raises:
        UserError: it is no hub's name, or cannot be fetched.
    """
    if not _HUB_ID.fullmatch(given.file):
        raise UserError(f"vjepa: no folder {given.file}; give one with config.json and {_SAFETENSORS}, or owner/name")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = functools.partial(
        hf_hub_download, given.file, revision=given.revision, cache_dir=weights.cache_folder() / "hub"
    )
    try:
        for name in ("config.json", _SAFETENSORS):
            path = where(name)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        cause = str(error).strip().splitlines()[0]
        raise UserError(f"vjepa: cannot fetch {given.file}: {cause}; give a local folder") from error
    return Path(path).parent
