"""YAML as specs read it: values of YAML 1.2, and where each character of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span
from archforge.resources import zoo_folder
from archforge.spec.limits import CHARACTERS, LEVELS
from archforge.spec.resolve.library import spec_files
from archforge.spec.yaml import parsers
from archforge.spec.yaml.tree import Mapping, Scalar, Sequence, Tree, parse_yaml


@pytest.fixture(scope="module", autouse=True, params=["libyaml", "own parser"])
def parser(request: pytest.FixtureRequest) -> Iterator[None]:
    """All of this page holds with libyaml, and with a PyYAML that was built without it."""
    if request.param == "libyaml" and parsers.LIBYAML is None:
        pytest.skip("this PyYAML has no libyaml")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "own parser":
            patch.setattr(parsers, "LIBYAML", None)
        yield


def read(text: str) -> Tree:
    return parse_yaml(SourceFile("spec.yaml", text))


def refused(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as caught:
        read(text)
    return caught.value.diagnostics


def scalars(tree: Tree) -> Iterator[Scalar]:
    if isinstance(tree, Scalar):
        yield tree
    for item in tree.items if isinstance(tree, Sequence) else ():
        yield from scalars(item)
    for entry in tree if isinstance(tree, Mapping) else ():
        yield Scalar(entry.key, entry.key_span, entry.quoted)
        yield from scalars(entry.value)


def under(span: Span) -> str:
    """The text under the carets of a span."""
    return span.source.line(span.line)[span.column : span.column + span.length]


def misplaced(span: Span, text: str) -> list[tuple[str, str]]:
    """The characters of `text` that do not stand where `span` says. White space may be folded, and an
    escape stands for what it means."""
    pairs = [(char, under(span.part(i, 1))) for i, char in enumerate(text)]
    return [(char, found) for char, found in pairs if not char.isspace() and found not in (char, "\\")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("0", 0),
        ("25_557_032", 25_557_032),
        ("1e-5", 1e-5),
        ("5.", 5.0),
        (".5", 0.5),
        ("+2.5E3", 2500.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("TRUE", "TRUE"),
        ("3x224x224", "3x224x224"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!", "!"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    tree = read(f"a: {text}" if text != "!" else "a: '!'")
    assert isinstance(tree, Mapping)
    found = tree.plain()["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["010", "0x1F", "0o17", "0b1", "1_00", "1_000_0", ".inf", "-.INF", ".nan"])
def test_numbers_that_are_none_everywhere_are_refused(text: str) -> None:
    (found,) = refused(f"a: [3, {text}]")
    assert found.span
    assert (found.code, under(found.span)) == ("E0105", text)


@pytest.mark.parametrize("text", ["9" * 19, "-" + "9" * 30, "1e19", "1e999", "1" * 41])
def test_numbers_are_bounded(text: str) -> None:
    (found,) = refused(f"a: {text}")
    assert found.code == "E0105"
    assert "out of range" in found.message


def test_all_that_can_be_read_on_from_comes_at_once() -> None:
    found = refused("a: 010\na: &x 1\nb: *x\nc: {<<: 1}\nd: 0x1\n")
    assert [d.code for d in found] == ["E0105", "E0102", "E0103", "E0103", "E0103", "E0105"]


def test_what_was_found_before_a_syntax_error_is_not_lost() -> None:
    assert [d.code for d in refused("a: 010\nb: [1, 2\n")] == ["E0105", "E0101"]


def test_bombs_are_refused_before_they_go_off() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in pairwise("abcdefghi"))
    assert {d.code for d in refused(bomb)} == {"E0103"}
    assert refused("[" * 10_000)[0].code == "E0107"
    assert refused("a: " + "x" * CHARACTERS.most)[0].code == "E0107"
    assert len(refused("a: 1\n" * 10_000)) == 50


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_nesting_is_allowed_up_to_its_limit(opening: str, closing: str) -> None:
    read(opening * LEVELS.most + "1" + closing * LEVELS.most)
    for depth in (LEVELS.most + 1, 15_000):  # versions of libyaml have limits of their own
        (found,) = refused(opening * depth + "1" + closing * depth)
        assert found.span
        assert (found.code, found.span.column) == ("E0107", len(opening) * LEVELS.most)


# Places

TEXTS = [
    ("a: =width + 1", "=width + 1"),
    ("a: '=width + 1'", "=width + 1"),
    ('a: "=width + 1"', "=width + 1"),
    ("a: '=act == ''relu'' or b'", "=act == 'relu' or b"),
    ('a: "=act == \\"relu\\" or b"', '=act == "relu" or b'),
    ('a: "\\u003dw\\x69dth"', "=width"),
    ('a: "=width \\/ 2"', "=width / 2"),
    ("a: =width +\n     depth", "=width + depth"),
    ("a: '=width +\n\n     depth'", "=width +\ndepth"),
    ("a: >\n  =width +\n  depth\n", "=width + depth\n"),
    ("a: |\n  =(width +\n    depth)\n", "=(width +\n  depth)\n"),
    ("a: |-  # note = not this\n  =width\n", "=width"),
    ("a: >+\n\n  =width\n\n", "\n=width\n\n"),
    ("{a: '=漢字 + 1', b: 2}", "=漢字 + 1"),
    ("a: '=é + e\u0301 + 😀'", "=é + e\u0301 + 😀"),
    ("- {=a: '=w''d'}", "=w'd"),
]


@pytest.mark.parametrize("before", ["", "\ufeff"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85"], ids=["lf", "crlf", "cr", "nel"])
@pytest.mark.parametrize(("text", "value"), TEXTS)
def test_each_character_of_a_text_is_found_in_the_source(
    text: str, value: str, end: str, before: str
) -> None:
    tree = read(before + "# 1\n# 2\n".replace("\n", end) + text.replace("\n", end))
    scalar = next(s for s in scalars(tree) if s.value == value)
    assert misplaced(scalar.text_span, value) == []
    assert scalar.text_span.line >= 2


def test_a_part_of_a_folded_text_does_not_leave_its_line() -> None:
    tree = read("a: =width +\n     depth")
    (scalar,) = [s for s in scalars(tree) if s.value == "=width + depth"]
    assert under(scalar.text_span.part(1, 13)) == "width +"
    assert under(scalar.text_span.part(9, 5)) == "depth"
    assert scalar.text_span.part(9, 5).line == 1
    assert under(scalar.text_span.part(9, 5).part(2, 2)) == "pt"


def test_an_escape_is_pointed_at_as_a_whole_text_if_it_cannot_be_told_apart() -> None:
    tree = read('a: "=a\\\n  b"')
    (scalar,) = [s for s in scalars(tree) if s.value == "=ab"]
    assert scalar.text_span.part(1, 1).line == 0


def test_every_scalar_of_the_zoo_stands_under_its_span() -> None:
    for path in spec_files(zoo_folder()):
        for scalar in scalars(parse_yaml(SourceFile(path.name, path.read_text("utf-8")))):
            raw = under(scalar.span)
            if isinstance(scalar.value, str) and scalar.value and scalar.end is None:
                assert raw == scalar.value or raw[1:-1].replace("''", "'") == scalar.value, path
                assert under(scalar.text_span) in (scalar.value, raw[1:-1]), path
            elif isinstance(scalar.value, int) and not isinstance(scalar.value, bool):
                assert int(raw.replace("_", "")) == scalar.value


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_read_or_refused_at_a_place_inside_it(text: str) -> None:
    source = SourceFile("spec.yaml", text)
    try:
        spans = [s.span for s in scalars(parse_yaml(source))]
    except DiagnosticError as error:
        spans = [d.span or Span(source, -1, -1) for d in error.diagnostics]
        str(error)
    for span in spans:
        assert 0 <= span.line < len(source.lines)
        assert 0 <= span.column <= len(source.line(span.line))
