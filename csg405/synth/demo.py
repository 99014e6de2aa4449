"""The demo's films on a server of this machine, and what became of them.

Films are addressed with a mark of what they were drawn from, so a film that is drawn anew is another address, and is
fetched again; one that is the same is not. Beside them stand addresses at which the server misbehaves as the web does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from csg405 import table
from csg405.run import Folders
from csg405.synth import record
from csg405.synth.account import Account, account
from csg405.synth.server import Fault, serving
from csg405.synth.world import make_films
from csg405.table import replace_atomically

_BREAKS_OFF = "breaks-off.mp4"

FAULTS = {
    "not-there.mp4": Fault(status=404),
    "forbidden.mp4": Fault(status=403),
    "too-many.mp4": Fault(status=429, retry_after_s=3600),
    _BREAKS_OFF: Fault(cut_at=0.5),
    "text.mp4": Fault(text="<html>Please enable JavaScript to see this film.</html>"),
}
"""Addresses that give no film, and what the server does there."""


def films_folder(folders: Folders, seed: int) -> Path:
    """Where a seed's films are kept."""
    return folders.work / "films" / str(seed)


@contextmanager
def served(folders: Folders, *, seed: int, port: int, workers: int = 0) -> Iterator[Path]:
    """Draw the films that are not there yet, serve them, and write the list of their addresses.

    Args:
        folders: of the run.
        seed: of the films.
        port: of the server on this machine; the same one each time, since addresses hold it.
        workers: processes that draw; 0 is one per core.

    Yields:
        The list, a text file.

    Raises:
        UserError: the port is taken, or films cannot be drawn.
    """
    folder = films_folder(folders, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with serving(folder, faults=FAULTS, port=port) as site:
        films = make_films(folder, seed=seed, workers=workers)
        replace_atomically(folder / _BREAKS_OFF, lambda temporary: shutil.copyfile(films[0], temporary))
        marked = [f"{site.url(film.name)}?drawn={_mark(film)}" for film in films]
        listed = folders.work / "addresses.txt"
        table.write_text(listed, "\n".join([*marked, *(site.url(name) for name in FAULTS)]) + "\n")
        yield listed


def _mark(film: Path) -> str:
    """A short name for what a film was drawn from."""
    return hashlib.sha256((record.fingerprint(film) or "").encode()).hexdigest()[:12]


def reckon(folders: Folders, *, seed: int, seconds: Mapping[str, float]) -> Account:
    """What became of the films' takes; also written to `work/<run>/demo.json`.

    Args:
        folders: of the run.
        seed: of the films.
        seconds: how long each stage took, s.
    """
    films = {film.name: record.load(film) for film in sorted(films_folder(folders, seed).glob("film-*.mp4"))}
    found = account(folders, films)
    facts = {
        "seed": seed,
        "seconds": dict(seconds),
        "recall": found.recall,
        "sound_lost": found.loss,
        "median_error_px": found.errors_px,
        "defects": [dataclasses.asdict(row) for row in found.rows()],
        "takes": [dataclasses.asdict(fate) for fate in found.fates],
    }
    table.write_text(folders.work / "demo.json", json.dumps(facts, indent=1) + "\n")
    return found
