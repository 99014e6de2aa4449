"""The file leaderboard.yaml: what a leaderboard is about, which scores it takes, and what it ranks by."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from csg405.benchmark.scoring.results import score_id
from csg405.benchmark.submission.schema import Benchmark, Track
from csg405.config import Settings
from csg405.errors import UserError

FILE = "leaderboard.yaml"
SCHEMA_VERSION = 1

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ScoreId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Digests(Settings):
    """What a score id is the digest of."""

    data: Digest = Field(description="of the split's clips")
    kit: Digest
    evaluator: Digest


class Leaderboard(Settings):
    """A leaderboard: the file leaderboard.yaml."""

    schema_version: Literal[1] = Field(description="of this format")
    title: Annotated[str, Field(min_length=1, max_length=200)]
    benchmark: Benchmark
    split: Literal["train", "validation", "test"]
    track: Track
    score_id: ScoreId | None = Field(
        None, description="that entries must have; it follows from digests, if these are given"
    )
    digests: Digests | None = None
    ranking: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="cards; entries are sorted by the first"
    )

    @property
    def wanted(self) -> str:
        """The score id that entries must have."""
        if self.digests is not None:
            return score_id(self.digests.model_dump())
        return self.score_id or ""


_INSIDE: dict[str, type[Settings]] = {"benchmark": Benchmark, "digests": Digests}


def read(folder: Path) -> Leaderboard:
    """The leaderboard of a folder.

    Raises:
        UserError: there is no such file, or something in it is wrong.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; write one, or have it written by `csg405 leaderboard init`")
    try:
        values = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: seen {type(values).__name__}, wanted keys: {', '.join(Leaderboard.model_fields)}")
    version = values.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {version}, and this program reads {SCHEMA_VERSION}; update csg405")
    return _checked(path, values)


def _checked(path: Path, values: dict[str, Any]) -> Leaderboard:
    try:
        # By way of JSON: only there does a strict model take a list for a tuple.
        found = Leaderboard.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise UserError(
            "\n".join(f"{path}: {_explained(detail)}" for detail in error.errors(include_url=False))
        ) from error
    if not found.wanted:
        raise UserError(f"{path}: which scores does it take? Give score_id, or digests with data, kit and evaluator")
    if found.score_id not in (None, found.wanted):
        raise UserError(
            f"{path}: score_id {found.score_id}, and its digests give {found.wanted}; leave one of them out"
        )
    twice = [name for number, name in enumerate(found.ranking) if name in found.ranking[:number]]
    if twice:
        raise UserError(f"{path}: ranking: {twice[0]} twice; name each card once")
    return found


def _explained(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        model: type[Settings] = _INSIDE.get(str(detail["loc"][0]), Leaderboard) if detail["loc"][1:] else Leaderboard
        keys = list(model.model_fields)
        near = difflib.get_close_matches(str(detail["loc"][-1]), keys, n=1)
        return f"{key}: no such key{f'; did you mean {near[0]}?' if near else ''} Keys: {', '.join(keys)}"
    if detail["type"] == "missing":
        return f"{key} is missing; wanted: {', '.join(Leaderboard.model_fields)}"
    return f"{key}: seen {str(detail['input'])[:80]!r}, {detail['msg']}"


def text_of(leaderboard: Leaderboard) -> str:
    """The text of a leaderboard.yaml."""
    values = leaderboard.model_dump(mode="json", exclude_none=True)
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
