"""Every mistake of an author is told in so many words, at its place: bad specs beside their exact output, and
warned ones.

`make generated` writes what is printed now, and docs/errors.md from it: read the diff.
Each of these specs starts with the truth: `# E0301 on line 6: convolution is called conv`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from archforge import driver
from archforge.codes import CODES
from archforge.errors import (
    Diagnostic,
    DiagnosticError,
    Frame,
    InternalError,
    Note,
    SourceFile,
    Span,
    fail_all,
)
from tests.other_errors import OTHERS, raised
from tests.pages import REGENERATE
from tests.pages.errors import CASES, FOLDER, WARNED, found_in, printed

TRUTH = re.compile(rb"# ([EW]\d{4}) on line (\d+)(?: of (\S+))?: \S.*")

ALL = (*CASES, *WARNED)

all_specs = pytest.mark.parametrize("path", ALL, ids=[path.stem for path in ALL])
warned_specs = pytest.mark.parametrize("path", WARNED, ids=[path.stem for path in WARNED])


def expected(path: Path) -> str:
    file = path.with_suffix(".txt")
    assert file.is_file(), REGENERATE
    return file.read_text("utf-8")


# The specs


@all_specs
def test_a_spec_prints_exactly_this(path: Path) -> None:
    assert printed(path) == expected(path), REGENERATE


@all_specs
def test_the_first_diagnostic_names_the_true_cause(path: Path) -> None:
    truth = TRUTH.match(path.read_bytes())
    assert truth, "the first line says which code is true, and where"
    code, line, file = (part and part.decode() for part in truth.groups())
    first = found_in(path)[0]
    assert first.span
    assert (first.code, first.span.line + 1, first.span.source.name) == (code, int(line), file or path.name)


@all_specs
def test_each_mistake_is_told_once_and_in_order(path: Path) -> None:
    found = found_in(path)
    places = [(d.code, str(d.span)) for d in found]
    assert len(set(places)) == len(places)
    for source in {d.span.source for d in found if d.span}:
        spans = [(d.span.line, d.span.column) for d in found if d.span and d.span.source is source]
        stages = [d.code[:3] == "E05" for d in found if d.span and d.span.source is source]
        assert sorted(zip(stages, spans, strict=True)) == list(zip(stages, spans, strict=True))


@all_specs
def test_every_caret_stands_under_its_line(path: Path) -> None:
    for diagnostic in found_in(path):
        for span in spans_of(diagnostic):
            assert 0 <= span.line < len(span.source.lines)
            assert 0 <= span.column <= len(span.source.line(span.line))
            assert span.length >= 1


def spans_of(diagnostic: Diagnostic) -> list[Span]:
    related = (*(n.span for n in diagnostic.notes), *(f.span for f in diagnostic.trace))
    return [span for span in (diagnostic.span, *related) if span]


def test_no_output_lies_unused() -> None:
    for specs in (CASES, WARNED):
        assert {path.stem for path in specs[0].parent.glob("*.txt")} == {path.stem for path in specs}


def test_specs_of_mistakes_have_mistakes_and_warned_ones_have_none() -> None:
    assert all(any(not d.is_warning for d in found_in(path)) for path in CASES)
    assert all(d.is_warning for path in WARNED for d in found_in(path))


# Warnings


@warned_specs
def test_a_comment_on_its_line_says_that_a_warning_is_meant(path: Path, tmp_path: Path) -> None:
    """One at the end of each warned line silences it, and no comment is idle then."""
    shutil.copytree(path.parent, tmp_path, dirs_exist_ok=True)
    for found in found_in(path):
        assert found.span
        file = tmp_path / found.span.source.name
        lines = file.read_text("utf-8").split("\n")
        lines[found.span.line] += f"  # meant: {found.code} it is"
        file.write_text("\n".join(lines), "utf-8")
    assert found_in(tmp_path / path.name) == ()


def test_warnings_change_neither_counts_nor_what_is_right() -> None:
    """A network that is warned of has the figures of the same one whose warnings are silenced."""
    for path in WARNED:
        with contextlib.chdir(path.parent):
            (report,) = driver.check([path.name])
        assert report.ok
        assert report.warnings
        for network in report.networks:
            assert network.ok
            assert set(network.warnings) <= set(network.spec.warnings + network.own_warnings)


def test_the_mistakes_of_a_first_time_author_are_there() -> None:
    assert len([path for path in CASES if path.stem.startswith("first_time")]) >= 10


# Files of other editors


@pytest.mark.parametrize(("mark", "end"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n"), ("", "\r")])
def test_neither_a_byte_order_mark_nor_ends_of_lines_move_anything(
    mark: str, end: str, tmp_path: Path
) -> None:
    shutil.copytree(FOLDER / "parts", tmp_path / "parts")
    for path in CASES:
        if path.stem == "E0106_not_utf8":
            continue
        copy = tmp_path / path.name
        copy.write_bytes((mark + path.read_text("utf-8").replace("\n", end)).encode())
        assert printed(copy) == printed(path)


@pytest.mark.parametrize("text", ["\r\n", "\ufeff", "archforge: 1", "\xff\xfea\x00", "a\x00b", "\x1b[2J: 1"])
def test_odd_files_are_refused_with_a_place(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(text.encode("latin-1", "replace") if text.startswith("\xff") else text.encode())
    assert all(d.span for d in found_in(path))
    assert printed(path).isprintable() or "\x1b" not in printed(path)


# How a diagnostic is printed


def test_notes_calls_and_help_in_their_order() -> None:
    source = SourceFile("net.yaml", "graph:\n  - unit: 3\n")
    span = Span(source, 1, 4, 4)
    diagnostic = Diagnostic("E0402", "headline", span, "label", "way out", (Note("a fact", span),))
    assert diagnostic.within([Frame("outer", span), Frame("inner", span)]).render() == dedent(
        """\
        net.yaml:2:5: E0402: headline
            2 |   - unit: 3
              |     ^^^^ label
              note: a fact at net.yaml:2:5
              in: `inner`, called at net.yaml:2:5
              in: `outer`, called at net.yaml:2:5
              help: way out"""
    )
    assert diagnostic.to_json() == {
        "code": "E0402",
        "message": "headline",
        "span": {"file": "net.yaml", "line": 2, "column": 5, "length": 4},
        "label": "label",
        "help": "way out",
        "notes": [{"message": "a fact", "span": {"file": "net.yaml", "line": 2, "column": 5, "length": 4}}],
        "trace": [],
    }


def test_a_mistake_is_told_once_and_at_most_fifty_are() -> None:
    source = SourceFile("net.yaml", "\n" * 100)
    twice = [Diagnostic("E0301", "again", Span(source, line, 0)) for line in (*range(99, -1, -1), 7)]
    with pytest.raises(DiagnosticError) as caught:
        fail_all(twice)
    assert [d.span.line for d in caught.value.diagnostics if d.span] == list(range(50))
    fail_all([])


def test_a_code_that_is_not_registered_is_our_bug() -> None:
    with pytest.raises(InternalError):
        Diagnostic("E0000", "no such code")


# The codes


def test_every_code_has_a_bad_spec_or_an_example() -> None:
    shown = {match[1] for path in ALL for match in re.finditer(r"(?m)^\S+: ([EW]\d{4}): ", expected(path))}
    assert shown & OTHERS.keys() == set(), "one example is enough"
    assert shown | OTHERS.keys() == CODES.keys()


@pytest.mark.parametrize("code", sorted(OTHERS))
def test_other_codes_are_raised_too(code: str) -> None:
    assert raised(code).code == code


def test_codes_are_in_order_and_say_something() -> None:
    assert list(CODES) == sorted(CODES)
    assert len(set(CODES.values())) == len(CODES)
    assert all(re.fullmatch(r"[EW]0\d{3}", code) for code in CODES)
