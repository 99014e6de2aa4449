"""What of this machine works: each check tries the thing itself, since what is merely listed may not run.

onnxruntime lists CUDA on machines without a GPU and falls back to the CPU without an error; several flavours
of OpenCV, and both builds of onnxruntime, write one folder and leave each other half-overwritten.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from csg405.errors import UserError

Level = Literal["ok", "warn", "bad"]

_LEAST_DISK_GB = 10
"""Free space below which a warning is due, GB: about ten hours of 1080p as sites serve it."""

_LEAST_MEMORY_GB = 1.5
"""Memory for each worker below which a warning is due, GB: 0.7 are measured for the imports alone."""

_CV2 = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_ORT = ("onnxruntime", "onnxruntime-gpu")


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    name: str
    level: Level
    seen: str
    advice: str = ""
    """What to do; empty when ok."""


def report(folder: Path | None = None) -> list[Check]:
    """Try everything that a run needs.

    Args:
        folder: where the runs will lie; the current folder when missing.

    Returns:
        The checks in the order in which to mend them.
    """
    checks: list[Callable[[], Check]] = [
        _python, _packages, _opencv, _onnxruntimes, _onnxruntime_session, _ffmpeg, _deno,
        lambda: _disk(folder or Path.cwd()), _memory, _ray,
    ]  # fmt: skip
    return [check() for check in checks]


def _python() -> Check:
    seen = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Check("Python", "ok", seen)
    return Check("Python", "bad", seen, "remove .venv and run `make setup PYTHON=python3.12`")


def _packages() -> Check:
    wanted = [
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        for requirement in importlib.metadata.requires("csg405") or []
        if "extra ==" not in requirement
    ]
    versions = {name: _version(name) for name in wanted}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("packages", "bad", f"missing: {', '.join(missing)}", "run `make setup`")
    seen = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Check("packages", "ok", seen)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(distributions: tuple[str, ...]) -> list[str]:
    return [f"{name} {version}" for name in distributions if (version := _version(name))]


def _opencv() -> Check:
    found = _installed(_CV2)
    if len(found) > 1:
        advice = "all write the folder cv2; remove .venv and run `make setup`, which installs one"
        return Check("OpenCV", "bad", ", ".join(found), advice)
    try:
        import cv2

        return Check("OpenCV", "ok", f"{', '.join(found)}; cv2 {cv2.__version__} loads")
    except (ImportError, AttributeError) as error:  # the attribute is gone where a flavour was uninstalled
        return Check("OpenCV", "bad", str(error), "remove .venv and run `make setup`")


def _onnxruntimes() -> Check:
    found = _installed(_ORT)
    if len(found) == 1:
        return Check("onnxruntime", "ok", found[0])
    if found:
        advice = "they overwrite each other; remove .venv and run `make setup`, with DEVICE=cuda for a GPU"
        return Check("onnxruntime", "bad", " and ".join(found), advice)
    return Check("onnxruntime", "bad", "not installed", "run `make setup`, with DEVICE=cuda for a GPU")


def _onnxruntime_session() -> Check:
    """Where networks really run, by opening the small one that faster-whisper ships."""
    name = "networks run on"
    try:
        from csg405.pose.session import open_session
    except (ImportError, AttributeError) as error:
        return Check(name, "bad", str(error), "remove .venv and run `make setup`")
    spec = importlib.util.find_spec("faster_whisper")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    models = [path for folder in folders for path in sorted((folder / "assets").glob("*.onnx"))]
    if not models:
        return Check(name, "bad", "faster-whisper's wheel holds no network", "run `make setup`")
    try:
        open_session(models[0], device="cpu", what="voice activity")
    except UserError as error:
        return Check(name, "bad", str(error), "remove .venv and run `make setup`")
    if not _installed(("onnxruntime-gpu",)):
        return Check(name, "ok", "cpu")
    try:
        open_session(models[0], device="cuda", what="voice activity")
    except UserError as error:
        advice = "install the NVIDIA driver, CUDA 13 and cuDNN 9, or run `make setup DEVICE=cpu`"
        return Check(name, "bad", f"only cpu: {error}", advice)
    return Check(name, "ok", "cuda, cpu")


def _ffmpeg() -> Check:
    import imageio_ffmpeg

    try:
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        words = _words(binary, "-version").splitlines()[0].partition(" Copyright")[0]
        encoders = _words(binary, "-hide_banner", "-encoders")
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Check("ffmpeg", "bad", str(error), "run `make setup`, or set IMAGEIO_FFMPEG_EXE")
    missing = [encoder for encoder in ("libx264", "aac") if not re.search(rf"\b{encoder}\b", encoders)]
    if missing:
        advice = "unset IMAGEIO_FFMPEG_EXE, or set it to an ffmpeg that has them"
        return Check("ffmpeg", "bad", f"{words} at {binary} cannot encode {', '.join(missing)}", advice)
    return Check("ffmpeg", "ok", words)


def _words(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def _deno() -> Check:
    from yt_dlp.utils._jsruntime import DenoJsRuntime

    info = DenoJsRuntime().info
    if info is None:
        return Check("deno", "warn", "yt-dlp finds none", "YouTube needs it: run `make setup`")
    if not info.supported:
        return Check("deno", "warn", f"{info.path} {info.version} is too old", "run `make setup`")
    return Check("deno", "ok", f"{info.version}, found by yt-dlp")


def _disk(folder: Path) -> Check:
    free_gb = shutil.disk_usage(folder).free / 1e9
    seen = f"{free_gb:.0f} GB free at {folder}"
    if free_gb < _LEAST_DISK_GB:
        return Check("disk", "warn", seen, "an hour of 1080p takes about 1 GB before it is cut; make room")
    return Check("disk", "ok", seen)


def _memory() -> Check:
    cores = len(os.sched_getaffinity(0))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    seen = f"{cores} cores, {memory_gb:.0f} GB"
    if memory_gb / cores < _LEAST_MEMORY_GB:
        workers = max(1, int(memory_gb / _LEAST_MEMORY_GB))
        return Check("cores and memory", "warn", seen, f"run with WORKERS={workers}")
    return Check("cores and memory", "ok", seen)


def _ray() -> Check:
    version = _version("ray")
    return Check("Ray", "ok", version or "not installed; ENGINE=ray installs it")
