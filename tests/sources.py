"""Where the project's source lies, for the tests that read it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]

STAGES = ("crawl", "annotate", "filter", "postprocess", "benchmark")


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, links followed, caches left out."""
    found = [Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    """The dotted name of a module of the package."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


MODULES = [path for path in files_below(ROOT / "csg405") if path.suffix == ".py"]
