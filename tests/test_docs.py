"""The language reference is true: its examples build, and its tables are those of the code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.spec.resolve.library import Library
from archforge.spec.schema.schema import general_schema, spec_schema
from archforge.spec.syntax.document import KINDS, MODIFIERS, STRUCTURES, Header
from archforge.spec.syntax.parse_document import SECTIONS
from tests.pages import LANGUAGE, OPS, ZOO, Example, examples, language_page, ops_page, zoo_text

EXAMPLES = [pytest.param(example, id=f"line {example.line}") for example in examples(LANGUAGE)]
REGENERATE = "python -m tests.pages"


def test_generated_parts_of_the_language_reference_are_current() -> None:
    assert LANGUAGE.read_text(encoding="utf-8") == language_page(), REGENERATE


def test_table_of_ops_is_current() -> None:
    assert OPS.read_text(encoding="utf-8") == ops_page(), REGENERATE


def test_page_of_the_zoo_is_current() -> None:
    assert ZOO.read_text(encoding="utf-8") == zoo_text(), REGENERATE


def test_every_word_of_the_language_is_explained() -> None:
    text = LANGUAGE.read_text(encoding="utf-8")
    words = {*SECTIONS, *(f.name for f in fields(Header)), *MODIFIERS, *STRUCTURES, *KINDS}
    assert {word for word in words if f"`{word}" not in text and f"{word}:" not in text} == set()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with the page's files: examples extend and import each other."""
    for example in examples(LANGUAGE):
        if example.file != "example":
            (tmp_path / f"{example.file}.yaml").write_text(example.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_as_the_page_says(example: Example, written: Path) -> None:
    path = written / f"{example.file}.yaml"
    path.write_text(example.text, encoding="utf-8")
    if example.error:
        with pytest.raises(DiagnosticError) as refusal:
            driver.open_spec(path)
        assert str(refusal.value) == example.error
        return
    spec = driver.open_spec(path)
    (report,) = driver.check([path])
    assert report.ok, report.failures
    if spec.header.kind != "network":
        return
    for profile in spec.profile_names:
        network = driver.analyse(spec, profile)
        assert network.ok, network.problems
        assert example.nodes in ((), tuple(node.name for node in network.graph.nodes))


@pytest.mark.parametrize("example", [p for p in EXAMPLES if not p.values[0].error])  # type: ignore[union-attr]
def test_example_fits_the_schemas(example: Example, written: Path) -> None:
    path = written / f"{example.file}.yaml"
    path.write_text(example.text, encoding="utf-8")
    data: Any = Library().read(path).tree.plain()
    for schema in (general_schema(), spec_schema(driver.open_spec(path))):
        assert [e.message for e in Draft7Validator(schema).iter_errors(data)] == []
