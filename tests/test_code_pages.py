"""Pages of codes: each code has one, its wrong example has that code first, and its right one has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archforge import driver
from archforge.analysis.lint import lint
from archforge.code_pages import code_page, code_pages
from archforge.codes import CODES
from archforge.errors import Diagnostic
from tests.conftest import Run
from tests.other_errors import example_file

PAGES = code_pages()
WITH_EXAMPLES = [code for code, page in PAGES.items() if page.wrong]


def found(text: str, folder: Path, code: str) -> tuple[Diagnostic, ...]:
    (report,) = driver.check([example_file(code, text, folder)])
    told = (*report.diagnostics, *report.failures, *report.warnings)
    return told if report.spec is None else (*told, *lint(report.spec, report.networks, [code]))


def test_every_code_has_a_page_in_order() -> None:
    assert [*PAGES] == [*CODES]


@pytest.mark.parametrize("code", WITH_EXAMPLES)
def test_the_wrong_example_has_the_code_and_the_right_one_nothing(code: str, tmp_path: Path) -> None:
    page = PAGES[code]
    assert [d.code for d in found(page.wrong, tmp_path, code)][:1] == [code]
    assert [d.render() for d in found(page.right, tmp_path, code)] == []


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_why_in_whole_sentences(code: str) -> None:
    assert PAGES[code].why.endswith(".")
    assert bool(PAGES[code].wrong) == bool(PAGES[code].right)
    assert CODES[code] in code_page(code)


def test_codes_of_specs_have_examples() -> None:
    by_spec = {
        c for c in CODES if c.startswith(("E01", "E02", "E03", "E04", "E05", "W01", "W02", "W03", "W04"))
    }
    assert by_spec - {*WITH_EXAMPLES} == {"E0106", "E0107", "E0506"}


def test_the_command_prints_a_page(run: Run) -> None:
    code, out, _ = run("explain", "e0402")
    assert code == 0
    assert out.startswith("E0402: groups must divide the channels\n\n")
    assert "Wrong:\n\n    input: [64, 32, 32]\n" in out
    code, out, _ = run("explain", "W0401", "--json")
    assert json.loads(out)["right"].startswith("input: [3, 224, 224]")


@pytest.mark.parametrize("arguments", [["E0499"], ["E0402", "conv1"], ["E0402", "-p", "timm"]])
def test_a_code_that_is_none_or_has_options_is_a_mistake(run: Run, arguments: list[str]) -> None:
    code, out, err = run("explain", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("E0001")
