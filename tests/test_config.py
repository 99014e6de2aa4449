"""Configurations: what is wrong in one is said by key, with what was seen and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from csg405 import config
from csg405.config import Settings
from csg405.errors import UserError

BUILT_IN = sorted(path.stem for path in config.BUILT_IN.glob("*.yaml"))


class Inner(Settings):
    threshold: float = Field(default=0.5, ge=0, le=1)
    names: tuple[str, ...] = ()
    file: Path | None = None


class Outer(Settings):
    inner: Inner = Inner()
    count: int = 3


def settings(overrides: list[str], text: str = "", *, folder: Path) -> Outer:
    path = folder / "mine.yaml"
    path.write_text(text)
    return config.validate(Outer, config.load(str(path), overrides), where="configuration mine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_there_are_built_in_configurations():
    assert "folder" in BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_configuration_is_valid(name: str):
    assert isinstance(config.validate(config.full_model(), config.load(name), where=name), BaseModel)


def test_the_defaults_are_valid_and_frozen():
    model = config.full_model()
    made = config.validate(model, {}, where="nothing")
    assert made == model()
    with pytest.raises(ValueError, match="frozen"):
        made.device = "cuda"


def test_every_option_is_explained():
    def walk(model: type[BaseModel], where: str) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                walk(kind, f"{where}{name}.")
            else:
                assert field.description, f"{where}{name} has no description"

    for stage in (*config.STAGES, "report"):
        walk(config.full_model().model_fields[stage].annotation, f"{stage}.")


def test_a_file_and_overrides_are_laid_over_the_defaults(folder: Path):
    made = settings(["inner.names=[a, b]", "count=7"], "inner:\n  threshold: 0.25\n", folder=folder)
    assert made == Outer(inner=Inner(threshold=0.25, names=("a", "b")), count=7)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("inner.threshold=1", 1.0),
        ("inner.threshold=0.2", 0.2),
        ("inner.file=../shared/a=b.onnx", Path("../shared/a=b.onnx")),
        ("inner.file=null", None),
        ("inner.file=", None),
        ("inner.names=[]", ()),
    ],
)
def test_overrides_are_yaml(override: str, value: object, folder: Path):
    made = settings([override], folder=folder)
    assert getattr(made.inner, override.partition("=")[0].partition(".")[2]) == value


def test_the_last_override_holds(folder: Path):
    assert settings(["count=1", "count=2"], folder=folder).count == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("inner.treshold=1", r"inner\.treshold: no such key; did you mean threshold\?"),
        ("zebra=1", r"zebra: no such key; known here: count, inner"),
        ("inner.threshold=high", r"inner\.threshold: input should be a valid number.*saw 'high'"),
        ("inner.threshold=2", r"inner\.threshold: input should be less than or equal to 1, saw 2"),
        ("count=2.5", r"count: input should be a valid integer.*saw 2\.5"),
        ("count=true", r"count: input should be a valid integer.*saw True"),
        ("inner.names=a", r"inner\.names: input should be a valid array.*saw 'a'"),
        ("count.deep=1", r"SET 'count\.deep=1': count is a value, not a section"),
        ("count", r"SET 'count': wanted section\.key=value"),
        ("=3", r"SET '=3': wanted section\.key=value"),
        ("count=[1", r"SET 'count=\[1': the value is not YAML"),
    ],
)
def test_what_is_wrong_is_said(override: str, words: str, folder: Path):
    with pytest.raises(UserError, match=words):
        settings([override], "count: 3\n", folder=folder)


def test_all_that_is_wrong_is_said_at_once(folder: Path):
    with pytest.raises(UserError) as caught:
        settings(["inner.threshold=high", "zebra=1"], folder=folder)
    assert str(caught.value).startswith("configuration mine:\n")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inner: [", "not YAML"),
        ("- a\n- b\n", "wanted sections and keys, saw list"),
        ("words", "wanted sections and keys, saw str"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(text: str, words: str, folder: Path):
    with pytest.raises(UserError, match=words):
        settings([], text, folder=folder)


def test_a_file_of_bytes_is_refused(folder: Path):
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00film")
    with pytest.raises(UserError, match="not YAML"):
        config.load(str(folder / "bytes.yaml"))


def test_an_empty_section_is_the_defaults(folder: Path):
    assert settings(["inner.threshold=0.1"], "inner:\n", folder=folder).inner.threshold == 0.1
    assert settings([], "inner:\n", folder=folder) == Outer()


def test_a_name_that_is_nowhere_lists_the_built_in_ones():
    with pytest.raises(UserError, match=r"no configuration 'folders': give a YAML file or one of .*folder"):
        config.load("folders")


def test_an_unknown_key_of_an_operator_is_named_with_its_path():
    with pytest.raises(UserError, match=r"annotate\.pose\.chanels: no such key; did you mean channels\?"):
        config.validate(config.full_model(), config.load("folder", ["annotate.pose.chanels=bgr"]), where="folder")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("2E5", 2e5), ("-1.5e+2", -150.0), ("1e", "1e"), ("e3", "e3")]
)
def test_numbers_may_be_written_as_everybody_does(text: str, value: object, tmp_path: Path):
    (tmp_path / "own.yaml").write_text(f"filter: {{x: {text}}}\n")
    assert config.load(str(tmp_path / "own.yaml"), [f"filter.y={text}"]) == {"filter": {"x": value, "y": value}}
