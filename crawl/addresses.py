"""Reading a list of addresses: a text file, or a CSV that has a column of them."""

from __future__ import annotations

import csv
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from csg405.errors import UserError


def read(path: Path) -> list[str]:
    """The addresses of a list, each once, in their order.

    Args:
        path: a text file with one address a line, where `#` begins a comment; or a `.csv` (`.tsv`) with a column
            `url`, capitals or not.

    Raises:
        UserError: no such file, not text, no such column, no address, or a line that is none.
    """
    if not path.is_file():
        raise UserError(f"crawl.urls={path}: no such file; give a text file or a CSV with a column url")
    try:
        found = [_checked(address, path, line) for line, address in _entries(path)]
    except UnicodeDecodeError as error:
        raise UserError(f"crawl.urls={path}: not UTF-8 text; save the list as UTF-8") from error
    if not found:
        raise UserError(f"crawl.urls={path}: the list holds no address")
    return list(dict.fromkeys(found))


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    """(Line number from 1, address)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() in {".csv", ".tsv"}:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            names = reader.fieldnames or []
            column = next((name for name in names if name.strip().lower() == "url"), None)
            if column is None:
                raise UserError(f"crawl.urls={path}: no column url; the columns are {', '.join(names) or 'none'}")
            for row in reader:
                if (row[column] or "").strip():
                    yield reader.line_num, row[column].strip()
            return
        for number, line in enumerate(file, start=1):
            # A `#` inside an address begins its fragment, so only one after a space begins a comment.
            address = re.split(r"(?:^|\s)#", line.strip(), maxsplit=1)[0].strip()
            if address:
                yield number, address


def _checked(address: str, path: Path, line: int) -> str:
    try:
        parts = urllib.parse.urlsplit(address)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", address)
    except ValueError:
        good = False
    if not good:
        raise UserError(f"crawl.urls={path}, line {line}: wanted an http or https address, saw {address!r}")
    return address
