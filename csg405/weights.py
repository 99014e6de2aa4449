"""Networks by name: where they come from, under which licence, and what must be known to use them rightly.

A file is downloaded on first use into the user's cache, whole or not at all. OpenMMLab publishes no sha256 of its
archives, so the digest of the first download is recorded beside the file and checked at every later use; where this
table knows a digest, it is checked at once. The digest is part of every fingerprint.

Channel order and score range are properties of a network: RTMPose and RTMW were trained on RGB, YOLOX on BGR, and
rtmlib swaps nothing (Tau-J/rtmlib issue 48); SimCC peaks are logits, not probabilities, and pass 1 on good points
(open-mmlab/mmpose issues 2755, 3122).
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import logging
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Literal

import platformdirs

from csg405.errors import UserError
from csg405.table import replace_atomically, write_text

log = logging.getLogger(__name__)

Channels = Literal["rgb", "bgr"]

_OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/"
_MIRROR = "https://huggingface.co/Tau-J/RTMPose/resolve/main/"
_TIMEOUT_S = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A published network."""

    name: str
    urls: tuple[str, ...]
    """Archives that hold one ONNX file; tried in turn."""
    licence: str
    channels: Channels
    input_size: tuple[int, int]
    """Width and height of the input, px."""
    sha256: str | None = None
    """Digest of the ONNX file, where it is known beforehand."""
    shipped: Path | None = None
    """The file, for a network that comes with the package and is not fetched."""


def _published(path: str, *, channels: Channels, input_size: tuple[int, int]) -> Network:
    name = path.rpartition("/")[2].removesuffix(".zip")
    return Network(
        name=name, urls=(_OPENMMLAB + path, _MIRROR + path), licence="Apache-2.0 (OpenMMLab)", channels=channels,
        input_size=input_size,
    )  # fmt: skip


_YOLOX_TINY = _published(
    "rtmposev1/onnx_sdk/yolox_tiny_8xb8-300e_humanart-6f3252f9.zip", channels="bgr", input_size=(416, 416)
)
_YOLOX_M = _published(
    "rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip", channels="bgr", input_size=(640, 640)
)
_RTMW_M = _published(
    "rtmw/onnx_sdk/rtmw-dw-l-m_simcc-cocktail14_270e-256x192_20231122.zip", channels="rgb", input_size=(192, 256)
)
_RTMW_L_256 = _published(
    "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122.zip", channels="rgb", input_size=(192, 256)
)
_RTMW_L_384 = _published(
    "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip", channels="rgb", input_size=(288, 384)
)

_SYNTHETIC = Path(__file__).parent / "synth" / "networks"


def _shipped(name: str, *, channels: Channels, input_size: tuple[int, int]) -> Network:
    return Network(
        name=f"synthetic-{name}", urls=(), licence="Apache-2.0 (csg405)", channels=channels, input_size=input_size,
        shipped=_SYNTHETIC / f"{name}.onnx",
    )  # fmt: skip


MODES: dict[str, tuple[Network, Network]] = {
    "lightweight": (_YOLOX_TINY, _RTMW_M),
    "balanced": (_YOLOX_M, _RTMW_L_256),
    "performance": (_YOLOX_M, _RTMW_L_384),
    "synthetic": (
        _shipped("person", channels="bgr", input_size=(256, 256)),
        _shipped("pose", channels="rgb", input_size=(288, 384)),
    ),
}
"""Person detector and whole-body estimator: by rtmlib's names for the pairs, and the pair of the synthetic world,
which knows that world alone."""

SCORE_SCALE: dict[str, float] = {network.name: 1.0 for network in (_RTMW_M, _RTMW_L_256, _RTMW_L_384)}
"""Raw score that counts as certain, by network: `score = clip(raw / scale, 0, 1)`.

Well-placed points of RTMPose score about 0.85 to 1.1 (mmpose issue 3122). A network that is not listed has a scale
of 1, which leaves probabilities as they are."""


def cache_folder() -> Path:
    """Where downloaded networks lie: `CSG405_WEIGHTS`, or the user's cache."""
    given = os.environ.get("CSG405_WEIGHTS")
    return Path(given) if given else platformdirs.user_cache_path("csg405") / "weights"


def fetch(network: Network) -> Path:
    """The network's ONNX file, downloaded on first use where it does not come with the package.

    Raises:
        UserError: no connection, no ONNX file in the archive, or another digest than the recorded one.
    """
    if network.shipped is not None:
        return network.shipped
    path = cache_folder() / f"{network.name}.onnx"
    if not path.exists():
        content = _download(network)
        _check(network, hashlib.sha256(content).hexdigest(), network.sha256)
        replace_atomically(path, lambda temporary: temporary.write_bytes(content))
        log.info("fetched %s, licence %s", network.name, network.licence)
    record = path.with_suffix(".sha256")
    seen = digest(path)
    if not record.exists():
        write_text(record, f"{network.sha256 or seen}\n")
    _check(network, seen, record.read_text(encoding="utf-8").strip())
    return path


def _check(network: Network, seen: str, wanted: str | None) -> None:
    if wanted is not None and seen != wanted:
        raise UserError(
            f"{network.name}: sha256 {seen[:16]}..., recorded {wanted[:16]}...; the file changed: delete it from "
            f"{cache_folder()} and try again, or give files with annotate.pose.detector= and annotate.pose.pose="
        )


def _download(network: Network) -> bytes:
    causes = []
    for url in network.urls:
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - addresses of this table
                return _onnx_of(network, answer.read())
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            causes.append(str(getattr(error, "reason", error)) or type(error).__name__)
    raise UserError(
        f"cannot fetch {network.name} ({'; '.join(causes)}): connect to the internet, or give local ONNX files with "
        "annotate.pose.detector=PATH annotate.pose.pose=PATH annotate.pose.channels=rgb|bgr"
    )


def _onnx_of(network: Network, archive: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            name = next(name for name in file.namelist() if name.endswith(".onnx"))
            return file.read(name)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise UserError(f"{network.name}: the download is no archive with an ONNX file in it; try again") from error


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
