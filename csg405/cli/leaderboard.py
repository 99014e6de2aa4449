"""Leaderboards: a folder of scores that is its own static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from csg405.cli._shared import benchmark_module, say

leaderboard = typer.Typer(help="Leaderboards: start one, add scores to it, and write its site.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the leaderboard.")]


@leaderboard.command()
def init(
    folder: Folder,
    score: Annotated[Path, typer.Option("--from", help="Folder of a score: work/<run>/benchmark/submissions/<name>.")],
    title: Annotated[str | None, typer.Option(help="What stands at its head.")] = None,
) -> None:
    """Write leaderboard.yaml for scores with the data, kit and evaluator of one that is there."""
    say(f"leaderboard: {benchmark_module('pages.leaderboard').init(folder, score_folder=score, title=title)}")


@leaderboard.command()
def add(
    folder: Folder,
    score: Annotated[Path, typer.Argument(help="Folder of a score: work/<run>/benchmark/submissions/<name>.")],
    name: Annotated[str | None, typer.Option(help="Of the entry; the score folder's when missing.")] = None,
) -> None:
    """Copy a score into the leaderboard; `build` shows it."""
    say(f"leaderboard: added {benchmark_module('pages.leaderboard').add(folder, score_folder=score, name=name)}")


@leaderboard.command()
def build(folder: Folder) -> None:
    """Write the site: index.html, a page for each entry, leaderboard.json."""
    say(f"leaderboard: open {benchmark_module('pages.leaderboard').build(folder)}")
