"""The command line: one sub-command a stage, a demo, and a few to look at what came of it."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from csg405 import __version__
from csg405.cli import benchmark, features, leaderboard, look, models, stages, submission, world
from csg405.cli._shared import USER_ERROR, show
from csg405.errors import UserError
from csg405.progress import console as terminal

app = typer.Typer(
    help="Builds co-speech-gesture video datasets: crawl, annotate, filter, postprocess, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": world.demo,
    "crawl": stages.crawl,
    "annotate": stages.annotate,
    "filter": stages.filter_,
    "postprocess": stages.postprocess,
    "report": stages.report,
    "generate": models.generate,
    "status": look.status,
    "show": look.show_clip,
    "doctor": look.doctor,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)
app.add_typer(world.synth, name="synth")
_OF_THE_BENCHMARK: dict[str, Callable[..., None]] = {
    "features": features.features,
    "train": models.train,
    "train-renderer": models.train_renderer,
    "sample": models.sample,
}
for name, command in _OF_THE_BENCHMARK.items():
    benchmark.benchmark.command(name)(command)
app.add_typer(benchmark.benchmark, name="benchmark")
app.add_typer(submission.submission, name="submission")
app.add_typer(leaderboard.leaderboard, name="leaderboard")

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def main() -> None:
    """Entry point: a `UserError` is a message and status 2, never a stack trace."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except UserError as error:
        show(terminal, f"csg405: {error}", style="bold red")
        sys.exit(USER_ERROR)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        show(terminal, f"csg405: {error}; make room or allow it, and run the same command again", style="bold red")
        sys.exit(USER_ERROR)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"csg405 {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
