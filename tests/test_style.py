"""House rules that ruff has no rule for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.sources import MODULES, ROOT, name_of

MOST_LINES_OF_A_FUNCTION = 80
MOST_LINES_OF_A_MODULE = 400

TESTS = sorted((ROOT / "tests").glob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls_of(path: Path, name: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def test_there_is_something_to_look_at():
    assert len(MODULES) > 30
    assert {name_of(path) for path in MODULES} >= {"csg405", "csg405.schema", "csg405.annotate", "csg405.crawl.config"}


def test_modules_fit_their_limit():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length >= MOST_LINES_OF_A_MODULE} == {}


def test_functions_fit_their_limit():
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in [*MODULES, *TESTS]
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_every_module_says_what_it_is():
    assert [path for path in [*MODULES, *TESTS] if not ast.get_docstring(tree_of(path))] == []


def test_only_the_command_line_prints():
    assert [path for path in MODULES if not name_of(path).startswith("csg405.cli") and calls_of(path, "print")] == []


def test_assert_checks_nothing_outside_the_tests():
    """`python -O` drops assertions; a user's mistake is a UserError, a programmer's a TypeError or ValueError."""
    assert [path for path in MODULES if any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(path)))] == []


def test_nothing_is_left_for_later():
    words = {path: path.read_text(encoding="utf-8") for path in MODULES}
    assert [path for path, text in words.items() if re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)] == []
