"""The layout: stages are links below csg405/, and every way of shipping the package keeps them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.sources import ROOT, STAGES, files_below

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command: object, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(*words: str) -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return run("git", *words).splitlines()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_folder_at_the_top_and_a_link_below_the_package(stage: str):
    link = ROOT / "csg405" / stage
    assert link.is_symlink()
    assert link.readlink() == Path("..", stage)
    assert (ROOT / stage).is_dir()
    assert not (ROOT / stage).is_symlink()
    assert (ROOT / stage / "__init__.py").is_file(), "git keeps no empty folder, and the link would lead nowhere"


def test_links_are_links_in_git():
    modes = {line.split("\t")[1]: line.split()[0] for line in git("ls-files", "-s", "csg405")}
    assert {modes.get(f"csg405/{stage}") for stage in STAGES} == {"120000"}


def test_git_ignores_nothing_that_belongs_to_the_package():
    """An unanchored line in .gitignore, such as `data/`, would drop a package's data from the wheel silently."""
    ignored = git("ls-files", "--others", "--ignored", "--exclude-standard", "--", "csg405", *STAGES)
    assert [path for path in ignored if "__pycache__" not in path] == []


def test_tools_are_told_of_the_links():
    tool = PROJECT["tool"]
    assert tool["hatch"]["build"]["targets"]["wheel"]["packages"] == ["csg405"]
    assert "csg405" in tool["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert not set(STAGES) & set(tool["hatch"]["build"]["targets"]["sdist"]["only-include"])
    assert tool["mypy"]["packages"] == ["csg405"]
    assert tool["pytest"]["ini_options"]["testpaths"] == ["tests"]
    assert set(tool["coverage"]["run"]["source"]) == {"csg405", *STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_ruff_forbids_a_second_copy_of_a_stage(stage: str):
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "TID251", "--stdin-filename", "x.py", "-"]
    for source, status in ((f"import {stage}\n", 1), (f"import csg405.{stage}\n", 0)):
        done = subprocess.run(command, input=source, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, done.stdout + done.stderr


def test_ruff_and_mypy_visit_each_file_of_a_stage_once():
    seen = run(sys.executable, "-m", "ruff", "check", "--show-files").splitlines()
    stages = [Path(line).relative_to(ROOT) for line in seen if set(Path(line).relative_to(ROOT).parts) & set(STAGES)]
    assert {path.parts[0] for path in stages} == set(STAGES)


def test_pins_hold_no_place_and_cover_what_is_installed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if "://" in pin or "@" in pin or "==" not in pin] == []
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    project = PROJECT["project"]
    extras = [names for extra, names in project["optional-dependencies"].items() if extra != "gpu"]
    wanted = [*project["dependencies"], *(name for names in extras for name in names)]
    names = {name.partition(">")[0].partition("=")[0].partition("[")[0].strip().lower() for name in wanted}
    assert names - pinned == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the sdist of a copy of what git knows, as a clone would hold it."""
    folder = tmp_path_factory.mktemp("build")
    for name in git("ls-files", "--cached", "--others", "--exclude-standard"):
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder / "dist", folder / "checkout")
    (made,) = (folder / "dist").glob("*.whl")
    assert len(list((folder / "dist").glob("*.tar.gz"))) == 1
    return made


@pytest.mark.long
def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path):
    wanted = {path.relative_to(ROOT).as_posix() for path in files_below(ROOT / "csg405")}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if not name.split("/")[0].endswith(".dist-info")} == wanted
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"csg405"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


IMPORT_ALL = """
import importlib, pkgutil, sys
import csg405
names = ["csg405"] + [info.name for info in pkgutil.walk_packages(csg405.__path__, "csg405.")]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(sys.prefix), module.__file__
print(*names)
"""


@pytest.mark.long
def test_the_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed (extra `ray`), and csg405.engine_ray imports it")
    run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # The dependencies are those of this environment. Only its .pth files name the checkout, and they are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    names = run(python, "-I", "-c", IMPORT_ALL, cwd=tmp_path).splitlines()[-1].split()
    modules = {path for path in files_below(ROOT / "csg405") if path.suffix == ".py"}
    assert len(names) == len(modules)
    assert "csg405 0." in run(tmp_path / "venv" / "bin" / "csg405", "--version", cwd=tmp_path)
    assert "crawl" in run(tmp_path / "venv" / "bin" / "csg405", "--help", cwd=tmp_path)
