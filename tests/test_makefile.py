"""The Makefile: what its targets would run, and what `clean` refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sources import ROOT

TARGETS = ["help", "setup", "demo", "crawl", "annotate", "filter", "postprocess", "report", "all", "benchmark",
           "bench", "bench-score", "bench-films", "bench-models", "test", "test-long", "lint", "doctor",
           "clean"]  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile alone, beside folders named like its targets and an environment that counts as ready."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("crawl", "annotate", "filter", "postprocess", "work/films", "manifests/films", "manifests/schema"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def make(folder: Path, *words: str, status: int = 0, **variables: str) -> str:
    # What a make that runs these tests hands on is not this one's.
    outer = {"RUN", "CONFIG", "SET", "MAKEFLAGS", "MAKELEVEL", "UV_FIND_LINKS", "CSG405_SET"}
    kept = {key: value for key, value in os.environ.items() if key not in outer}
    done = subprocess.run(
        ["make", *words], cwd=folder, env={**kept, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_help_is_the_default_and_lists_every_target(checkout: Path):
    words = make(checkout)
    assert words == make(checkout, "help")
    assert re.findall(r"^  make ([a-z-]+) +\S", words, re.MULTILINE) == TARGETS


def test_every_target_is_phony(checkout: Path):
    database = make(checkout, "-pn")
    phony = next(line for line in database.splitlines() if line.startswith(".PHONY:"))
    assert sorted(phony.split()[1:]) == sorted(TARGETS)


def test_variables_become_options(checkout: Path):
    words = make(checkout, "-n", "annotate", "CONFIG=mine/films.yaml", "ENGINE=ray", "WORKERS=3", "DEVICE=cuda")
    line = next(line for line in words.splitlines() if line.startswith(".venv/bin/csg405"))
    assert line.split() == [
        ".venv/bin/csg405", "annotate", "--run", "'films'", "--config", "'mine/films.yaml'", "--engine", "'ray'",
        "--workers", "'3'", "--set", "'device=cuda'",
    ]  # fmt: skip


def test_values_of_set_arrive_as_they_were_given(checkout: Path, tmp_path: Path):
    """Also those with spaces, quotes and dollars, which neither make nor the shell may touch."""
    command = tmp_path / "csg405"
    command.write_text("#!/bin/sh\nprintenv CSG405_SET\n")
    command.chmod(0o755)
    given = """crawl.folder='my films' a.b="it's" c.d=[1,2]"""
    said = make(checkout, "-s", "-o", ".venv/.installed-cpu", "crawl", f"BIN={tmp_path}", f"SET={given}")
    assert said.splitlines()[-1] == given


def test_all_runs_the_stages_in_order(checkout: Path):
    words = make(checkout, "-n", "-j4", "all", "RUN=films")
    assert re.findall(r"^\.venv/bin/csg405 (\w+)", words, re.MULTILINE) == TARGETS[3:8]


def test_a_stage_installs_no_development_tools_and_the_tests_do(checkout: Path):
    assert "-e '.[cpu]'" in make(checkout, "-n", "crawl")
    assert "-e '.[bench,cpu,dev,hub,ray]'" in make(checkout, "-n", "test")
    assert "-e '.[bench,cpu,dev,hub,ray]'" in make(checkout, "-n", "lint")


def test_the_demo_is_a_run_of_its_own_unless_it_is_named(checkout: Path):
    words = make(checkout, "-n", "demo")
    assert "-e '.[cpu,demo]'" in words
    assert ".venv/bin/csg405 demo --run 'demo' --seed '405' --port '40405'" in words
    named = make(checkout, "-n", "demo", "RUN=mine", "SEED=7", "VIDEOS=my films", "WORKERS=3")
    assert "demo --run 'mine' --seed '7' --port '40405' --videos 'my films'" in named
    assert "--workers '3'" in named
    assert "demo --run 'videos' --seed '405'" in make(checkout, "-n", "demo", "VIDEOS=films")  # not drawn ones, too


def test_torch_is_what_was_asked_for(checkout: Path):
    assert "--torch-backend 'cpu'" in make(checkout, "-n", "test", "TORCH_BACKEND=cpu")
    assert "torch-backend" not in make(checkout, "-n", "test")


def test_a_gpu_brings_its_own_onnxruntime_and_keeps_the_other_out(checkout: Path):
    words = make(checkout, "-n", "crawl", "DEVICE=cuda")
    assert "-e '.[gpu]'" in words
    assert "onnxruntime ; sys_platform == 'never'" in words
    assert "--set 'device=cuda'" in words
    assert "sys_platform" not in make(checkout, "-n", "crawl")


def test_find_links_of_pip_are_given_to_uv(checkout: Path):
    show = ("--eval", "show: ; @echo $$UV_FIND_LINKS", "show")
    assert make(checkout, *show, PIP_FIND_LINKS="wheels").strip() == "wheels"
    assert make(checkout, *show, PIP_FIND_LINKS="wheels", UV_FIND_LINKS="others").strip() == "others"


def test_clean_wants_a_run_and_removes_nothing_else(checkout: Path):
    assert "say which run" in make(checkout, "clean", status=2)
    for name in ("", ".", "..", "../films", "films/..", "schema", "*", "films x"):
        make(checkout, "clean", f"RUN={name}", status=2)
    assert (checkout / "work" / "films").is_dir()
    assert (checkout / "manifests" / "schema").is_dir()
    make(checkout, "clean", "RUN=films")
    assert not (checkout / "work" / "films").exists()
    assert not (checkout / "manifests" / "films").exists()
    assert (checkout / "manifests" / "schema").is_dir()
    assert (checkout / "crawl").is_dir()


def test_a_python_that_is_too_old_or_new_is_named(checkout: Path):
    stub = checkout / "python"
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    assert "is not Python 3.11 or 3.12" in make(checkout, "setup", f"PYTHON={stub}", status=2)
    assert not (checkout / ".venv").exists()
