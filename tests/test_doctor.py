"""The doctor finds what is there, and what is not."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from csg405 import doctor


def test_a_machine_that_runs_the_tests_is_well(tmp_path: Path):
    checks = {check.name: check for check in doctor.report(tmp_path)}
    assert len(checks) == 10
    assert [check for check in checks.values() if check.level == "bad"] == []
    assert all(check.seen for check in checks.values())
    assert "cpu" in checks["networks run on"].seen
    assert checks["ffmpeg"].seen.startswith("ffmpeg version")
    assert f"numpy {importlib.metadata.version('numpy')}" in checks["packages"].seen


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_what_is_not_well_comes_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Distributions that write one folder are found by their metadata, so metadata is all that has to be there."""
    for name in ("opencv-python", "opencv-contrib-python", "onnxruntime-gpu"):
        folder = tmp_path / f"{name.replace('-', '_')}-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    checks = {check.name: check for check in doctor.report(tmp_path)}
    for name in ("OpenCV", "onnxruntime"):
        assert checks[name].level == "bad"
        assert checks[name].advice
    assert "opencv-python 9.9" in checks["OpenCV"].seen
    assert "opencv-python-headless" in checks["OpenCV"].seen
    assert "onnxruntime-gpu 9.9" in checks["onnxruntime"].seen


def test_an_ffmpeg_that_does_not_run_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(broken))
    (check,) = [check for check in doctor.report(tmp_path) if check.name == "ffmpeg"]
    assert check.level == "bad"
    assert "status 7" in check.seen
    assert "IMAGEIO_FFMPEG_EXE" in check.advice


def test_an_ffmpeg_that_cannot_encode_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho 'ffmpeg version 1.0 Copyright nobody'\necho ' A..... aac  AAC'\n")
    poor.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(poor))
    (check,) = [check for check in doctor.report(tmp_path) if check.name == "ffmpeg"]
    assert (check.level, "cannot encode libx264" in check.seen) == ("bad", True)
