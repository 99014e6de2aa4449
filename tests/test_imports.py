"""Who may import whom, read from the source: the core imports no stage, no stage another, only benchmark torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.sources import MODULES, ROOT, STAGES, name_of

HEAVY = ("torch", "transformers", "diffusers")

TRAINING = "csg405.synth.train"
"""A program of its own, which nothing else imports."""


def imported(node: ast.AST, module: str, path: Path) -> Iterator[str]:
    """The dotted names that an import statement may bring in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            parent = package[: len(package) - node.level + 1]
            base = ".".join([*parent, base] if base else parent)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def all_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name for node in ast.walk(tree) for name in imported(node, name_of(path), path)}


def module_level_imports(path: Path) -> set[str]:
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        found.update(imported(node, name_of(path), path))
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def stage_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "csg405" and len(parts) > 1 and parts[1] in STAGES else None


def test_the_core_imports_no_stage_and_no_stage_another():
    wrong = {
        name_of(path): sorted(others)
        for path in MODULES
        if (others := {n for n in all_imports(path) if stage_of(n) not in (None, stage_of(name_of(path)))})
    }
    assert wrong == {}, "compose by importlib and a name from the configuration"


def test_only_the_benchmark_and_training_import_torch_when_they_are_imported():
    wrong = {
        name_of(path): sorted(heavy)
        for path in MODULES
        if stage_of(name_of(path)) != "benchmark"
        and not name_of(path).startswith(TRAINING)
        and (heavy := {name for name in module_level_imports(path) if name.split(".")[0] in HEAVY})
    }
    assert wrong == {}


def test_nothing_imports_the_training():
    outside = [path for path in MODULES if not name_of(path).startswith(TRAINING)]
    assert [path for path in outside if any(name.startswith(TRAINING) for name in all_imports(path))] == []


def test_stages_are_imported_below_csg405():
    """In an editable install `import annotate` works too, and makes a second copy of each module."""
    paths = [*MODULES, *sorted((ROOT / "tests").glob("*.py"))]
    assert [path for path in paths if {name.split(".")[0] for name in all_imports(path)} & set(STAGES)] == []


def test_the_rules_see_what_they_are_to_forbid(tmp_path: Path):
    source = "from csg405 import annotate\nif True:\n    import torch\ndef f():\n    import diffusers\nimport filter\n"
    path = ROOT / "csg405" / "pretended.py"
    nodes = list(ast.walk(ast.parse(source)))
    names = {name for node in nodes for name in imported(node, name_of(path), path)}
    assert {stage_of(name) for name in names} >= {"annotate"}
    assert "filter" in names
    (tmp_path / "module.py").write_text(source)
    relative = ast.parse("from .config import Config\nfrom . import common").body
    found = {name for node in relative for name in imported(node, "csg405.crawl.stage", Path("stage.py"))}
    assert found == {"csg405.crawl.config", "csg405.crawl.config.Config", "csg405.crawl", "csg405.crawl.common"}
