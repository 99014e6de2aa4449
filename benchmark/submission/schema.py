"""What submission.yaml says: a strict model, from which manifests/schema/submission.json is derived, and its reader.

The file is read by PyYAML's safe parser, and by less than that: no tags, no anchors and aliases (with which a
kilobyte describes a gigabyte), no key twice, no dates; see https://yaml.org/spec/1.2.2/ for what those are.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.limits import MOST_FINDINGS, MOST_YAML_DEPTH
from csg405.config import Settings

FILE = "submission.yaml"
SCHEMA_VERSION = 1
BENCHMARK_NAME = "csg405"
BENCHMARK_VERSION = "1"

Track = Literal["A", "B", "C"]
"""A: audio to skeleton; B: given skeleton to video; C: audio to video."""

SUFFIX: dict[str, str] = {"A": "npz", "B": "mp4", "C": "mp4"}
"""Of the predictions, by track."""

Name = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(max_length=2000)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=10**9)]


_MOST_BITS = 64
"""Of a whole number."""


class Benchmark(Settings):
    """What it was made for."""

    name: Name = Field(description=f"{BENCHMARK_NAME}")
    version: Name = Field(description=f"{BENCHMARK_VERSION}")


class System(Settings):
    """Who competes."""

    name: Name = Field(description="as it is to stand in tables")
    version: Name = Field(description="of the system")
    code_url: Text | None = Field(None, description="where its code is")
    weights_url: Text | None = Field(None, description="where its weights are")
    licence: Text | None = Field(None, description="of code and weights")


class Training(Settings):
    """What it learnt from."""

    datasets: tuple[Text, ...] = Field(description="names of all data sets; none for a system that was not trained")
    hours: Amount | None = Field(None, description="of all of them together, h")
    external_models: tuple[Text, ...] = Field((), description="pretrained networks that it contains or learnt from")
    speakers_seen: bool | None = Field(None, description="whether it saw speakers of this split; null: unknown")


class Inference(Settings):
    """How predictions were made."""

    seeds: int = Field(ge=1, le=1000, description="samples of every clip: files seed0 to seed<seeds - 1>")
    steps: Count | None = Field(None, description="of sampling")
    guidance: float | None = Field(None, description="scale of classifier-free guidance")
    window_frames: Count | None = Field(None, description="frames that are made at once, at 25 fps")
    lookahead_frames: Count | None = Field(None, description="frames of sound after a frame that it waits for")
    post_processing: Text | None = Field(None, description="smoothing and the like")
    reference_frame_policy: Text = Field(description="which picture or pose of the clip it was given, if any")


class Cost(Settings):
    """What predictions cost."""

    gpu: Text | None = Field(None, description="model of the accelerator")
    peak_memory_gb: Amount | None = Field(None, description="of the accelerator, GB")
    seconds_per_video_second: Amount | None = Field(None, description="s/s")
    parameters_m: Amount | None = Field(None, description="millions of parameters")


class Submission(Settings):
    """A submission to the benchmark: the file submission.yaml."""

    schema_version: Literal[1] = Field(description="of this format")
    benchmark: Benchmark
    split: Literal["train", "validation", "test"]
    track: Track = Field(description="A: audio to skeleton; B: given skeleton to video; C: audio to video")
    system: System
    training: Training
    inference: Inference
    cost: Cost = Cost()
    declared_use_of_test: bool = Field(description="whether test clips were used to train or to choose; must be false")
    frozen_declared: bool = Field(False, description="whether motion that stands still half of the time is meant")
    contact: Text = Field(min_length=3, description="an address that somebody reads")


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of submission.yaml."""
    made = Submission.model_json_schema()
    made["properties"]["declared_use_of_test"]["const"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def published() -> str:
    """The text of manifests/schema/submission.json."""
    return json.dumps(json_schema(), indent=1) + "\n"


def parse(content: bytes) -> tuple[Submission | None, list[Finding]]:
    """The submission that a submission.yaml describes, and everything that is wrong with it.

    Args:
        content: of the file, its size checked before.

    Returns:
        The model, None where it cannot be made; findings.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [found("not_utf8", FILE, seen=f"byte {content[error.start]:#04x} at {error.start}",
                            allowed="UTF-8")]  # fmt: skip
    findings, values = _plain_values(text)
    findings = findings or list(itertools.islice(_beyond_numbers(values), MOST_FINDINGS))
    if findings:
        return None, findings
    if not isinstance(values, dict):
        return None, [found("schema", FILE, seen=type(values).__name__, allowed="a mapping of the format's keys")]
    version = values.get("schema_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
        return None, [found("future_schema", FILE, seen=f"schema_version {version}",
                            allowed=f"schema_version {SCHEMA_VERSION}, which this program reads")]  # fmt: skip
    try:
        # By way of JSON: only there does a strict model take a list for a tuple.
        submission = Submission.model_validate_json(json.dumps(values, default=str, ensure_ascii=False).encode())
    except UnicodeEncodeError as error:
        return None, [_malformed(f"half of a surrogate pair, {error.object[error.start]!r}")]
    except ValidationError as error:
        details = error.errors(include_url=False)[:MOST_FINDINGS]
        return None, [_explained(detail) for detail in details]
    return submission, list(_against_rules(submission))


def _against_rules(submission: Submission) -> Iterator[Finding]:
    made_for = (submission.benchmark.name, submission.benchmark.version)
    if made_for != (BENCHMARK_NAME, BENCHMARK_VERSION):
        yield found("other_benchmark", FILE, seen=" ".join(made_for), allowed=f"{BENCHMARK_NAME} {BENCHMARK_VERSION}")
    if not submission.system.name.strip():
        yield found("system_unnamed", FILE, seen="system.name: blanks", allowed="a name")
    if submission.declared_use_of_test:
        yield found("declared_test_use", FILE, seen="declared_use_of_test: true", allowed="false")


def _explained(detail: Mapping[str, Any]) -> Finding:
    key = ".".join(str(part) for part in detail["loc"])
    if tuple(detail["loc"]) in {("system", "name"), ("system",)} and detail["type"] != "extra_forbidden":
        return found("system_unnamed", FILE, seen=_seen(key, detail), allowed="a name of 1 to 100 characters")
    if detail["type"] == "extra_forbidden":
        return found("schema", FILE, seen=f"{key}: no such key", allowed=f"keys: {', '.join(_keys_beside(detail))}")
    return found("schema", FILE, seen=_seen(key, detail), allowed=detail["msg"])


def _seen(key: str, detail: Mapping[str, Any]) -> str:
    return f"no {key}" if detail["type"] == "missing" else f"{key}: {str(detail['input'])[:200]!r}"


def _keys_beside(detail: Mapping[str, Any]) -> list[str]:
    model: type[BaseModel] = Submission
    for key in detail["loc"][:-1]:
        field = model.model_fields.get(str(key))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


class _Loader(yaml.SafeLoader):
    """The safe loader without dates and merge keys, which are texts here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("timestamp", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _plain_values(text: str) -> tuple[list[Finding], Any]:
    """The values that a YAML text describes; findings where it is more than plain values, once each."""
    try:
        findings = list(_beyond_plain(text))
        if findings:
            return findings, None
        node = yaml.compose(text, Loader=_Loader)
        findings = [] if node is None else list(itertools.islice(_doubled(node), MOST_FINDINGS))
        return findings, None if findings else yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        return [_malformed(f"{error.problem or error.context}{place}")], None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # numbers of thousands of digits, among others
        return [_malformed(str(error).partition("\n")[0])], None


def _beyond_numbers(values: Any) -> Iterator[Finding]:
    """Whole numbers that no key could mean: Python refuses to write those of more than 4300 digits."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _beyond_numbers(key)
            yield from _beyond_numbers(value)
    elif isinstance(values, (list, tuple, set)):
        for value in values:
            yield from _beyond_numbers(value)
    elif isinstance(values, int) and values.bit_length() > _MOST_BITS:
        yield _malformed(f"a whole number of {values.bit_length()} bits; no key wants more than {_MOST_BITS}")


def _malformed(seen: str) -> Finding:
    return found("yaml_malformed", FILE, seen=seen, allowed="one document of plain YAML")


def _beyond_plain(text: str) -> Iterator[Finding]:
    """Tags, anchors, aliases and too deep a nesting: told by the parser's events, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        place = "line ?" if event.start_mark is None else f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            yield found("yaml_alias", FILE, seen=f"*{event.anchor} in {place}", allowed="values written in full")
            return
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent):
            if event.anchor is not None:
                yield found("yaml_alias", FILE, seen=f"&{event.anchor} in {place}", allowed="values written in full")
                return
            if event.tag is not None:
                yield found("yaml_tag", FILE, seen=f"{event.tag} in {place}", allowed="no tags")
                return
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_YAML_DEPTH:
            yield found("yaml_depth", FILE, seen=f"{depth} levels in {place}", allowed=f"{MOST_YAML_DEPTH} levels")
            return


def _doubled(node: yaml.Node, path: str = "") -> Iterator[Finding]:
    """Keys that come twice in one mapping."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _doubled(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    held: set[str] = set()
    for key, value in node.value:
        name = f"{path}{key.value}" if isinstance(key, yaml.ScalarNode) else f"{path}?"
        if name in held:
            yield found("yaml_duplicate", FILE, seen=f"{name} again{_line(key)}", allowed="each key once")
        held.add(name)
        yield from _doubled(value, f"{name}.")


def _line(node: yaml.Node) -> str:
    return "" if node.start_mark is None else f" in line {node.start_mark.line + 1}"
