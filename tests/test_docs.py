"""The pages are true: what is generated is current, links lead somewhere, and examples of specs build."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.spec.resolve.library import Library
from archforge.spec.schema.schema import general_schema, spec_schema
from archforge.spec.syntax.parse_document import SECTIONS
from archforge.spec.syntax.syntax_tree import KINDS, MODIFIERS, STRUCTURES, Header
from tests.pages import DOCS, PAGES, REGENERATE, ROOT
from tests.pages.api import API_PARTS
from tests.pages.reference import LANGUAGE, Example, examples
from tests.test_layers import LAYERS
from website.links import is_outside, targets
from website.repository import MARKDOWN

# Files that archforge writes.
WRITTEN = {"model.py"}
EXAMPLES = [pytest.param(example, id=f"line {example.line}") for example in examples(LANGUAGE)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_is_what_the_code_gives(path: Path) -> None:
    try:
        text = PAGES[path]()
    except DiagnosticError as error:
        if {d.code for d in error.diagnostics} <= {"E0701", "E0909"}:
            pytest.skip(f"the page is about a backend or an engine that is not here: {error}")
        raise
    assert path.read_text("utf-8") == text, REGENERATE


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    inside = [target for target in targets(page.read_text("utf-8")) if not is_outside(target)]
    assert [target for target in inside if not _exists(page, *target.partition("#")[::2])] == []


def _exists(page: Path, path: str, anchor: str) -> bool:
    """True if there is such a file, and in it a heading that GitHub gives the anchor, if one is named."""
    file = page.parent / path if path else page
    return file.exists() and (not anchor or anchor in _anchors(file.read_text("utf-8")))


def _anchors(text: str) -> set[str]:
    """The anchors of the headings of a Markdown page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_folders_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"`(\w[\w/.]*(?:\.py|/))`", page.read_text("utf-8"))) - WRITTEN
    there = [f"/{path.relative_to(ROOT).as_posix()}" for path in _files()]
    missing = {name for name in named if not any(f"/{name}" in path for path in there)}
    assert {name for name in missing if "NAME" not in name} == set()


def _files() -> Iterator[Path]:
    """Every file of the repository that is not made by a tool."""
    for folder in (
        "archforge",
        "benchmarks",
        "docs",
        "editors",
        "requirements",
        "templates",
        "tests",
        "website",
        "zoo_specs",
    ):
        yield from (ROOT / folder).rglob("*")


def test_the_map_for_contributors_has_every_layer_and_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    folders = {path.parent.name for path in (ROOT / "archforge").glob("*/__init__.py")}
    shown = (
        tuple(part for part in layer if part in {*folders, "driver", "errors", "ir"}) for layer in LAYERS
    )
    assert f"\n    {' > '.join(', '.join(layer) for layer in shown if layer)}\n" in text
    assert {folder for folder in folders if f"`archforge/{folder}/`" not in text} == set()


def test_every_public_name_has_its_place_on_the_page_of_the_api() -> None:
    text = (DOCS / "python_api.md").read_text("utf-8")
    assert [name for name in API_PARTS if f"<!-- generated: {name} -->" not in text] == []


def test_every_variable_of_the_environment_is_on_the_page_of_running() -> None:
    text = (DOCS / "runtime.md").read_text("utf-8").replace("`, `_L", "`, `ARCHFORGE_L")
    sources = "".join(p.read_text("utf-8") for p in (ROOT / "archforge").rglob("*.py"))
    assert {
        name for name in re.findall(r"ARCHFORGE_\w*[A-Z]{2}\w*", sources) if f"`{name}`" not in text
    } == set()


def test_every_word_of_the_language_is_explained() -> None:
    text = LANGUAGE.read_text(encoding="utf-8")
    words = {*SECTIONS, *(f.name for f in fields(Header)), *MODIFIERS, *STRUCTURES, *KINDS}
    assert {word for word in words if f"`{word}" not in text and f"{word}:" not in text} == set()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with the page's files: examples extend and import each other."""
    for example in examples(LANGUAGE):
        if example.file != "example.yaml":
            (tmp_path / example.file).write_text(example.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_as_the_page_says(example: Example, written: Path) -> None:
    path = written / example.file
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
    path = written / example.file
    path.write_text(example.text, encoding="utf-8")
    data: Any = Library().read(path).tree.plain()
    for schema in (general_schema(), spec_schema(driver.open_spec(path))):
        assert [e.message for e in Draft7Validator(schema).iter_errors(data)] == []
