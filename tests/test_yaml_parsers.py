"""A text is read and refused alike with libyaml, in any version, and without it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span
from archforge.resources import zoo_folder
from archforge.spec.resolve.library import spec_files
from archforge.spec.yaml import parsers
from archforge.spec.yaml.tree import Scalar, Sequence, Tree, parse_yaml
from tests.pages.errors import FOLDER

# What YAML is made of, and where its parsers are known to part.
PIECES = [
    *(
        "a",
        "b c",
        "=x",
        "1",
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        "?",
        ", ",
        ",",
        "[",
        "]",
        "{",
        "}",
        "#",
        " # c",
        "|",
        ">",
    ),
    *(
        "'",
        '"',
        "&a ",
        "*a ",
        "!t ",
        "!",
        "%",
        "@",
        "\\",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        " ",
        "\t",
        "\r\n",
        "\r",
    ),
    *("---\n", "...\n", "%YAML 1.3\n", "<<: ", "\x85", "\u2028", "\ufeff", "\x00", "\ud800", "é", "😀"),
]
libyaml = pytest.mark.skipif(parsers.LIBYAML is None, reason="this PyYAML has no libyaml")


def outcome(text: str) -> Any:
    """The tree with all of its places, or what is wrong with the text."""
    try:
        return shape(parse_yaml(SourceFile("spec.yaml", text)))
    except DiagnosticError as error:
        return [str(DiagnosticError((diagnostic,))) for diagnostic in error.diagnostics]


def shape(tree: Tree) -> Any:
    if isinstance(tree, Scalar):
        return type(tree.value), tree.value, place(tree.span), tree.quoted, tree.end
    if isinstance(tree, Sequence):
        return place(tree.span), [shape(item) for item in tree.items]
    return place(tree.span), [(e.key, place(e.key_span), e.quoted, shape(e.value)) for e in tree]


def place(span: Span) -> tuple[int, int, int]:
    return span.line, span.column, span.length


def refused(text: str) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        parse_yaml(SourceFile("spec.yaml", text))
    (found,) = caught.value.diagnostics
    return found


def read_alike(text: str) -> bool:
    with mock.patch.object(parsers, "LIBYAML", None):
        expected = outcome(text)
    return bool(outcome(text) == expected)


@libyaml
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example("{a: , b:\n  # c\n }")
@example("- a")
@example("- |#")
@example("a: [b?]")
@example("{a:{b: c}}")
@example("!")
def test_any_text_is_read_alike(text: str) -> None:
    assert read_alike(text)


@libyaml
def test_specs_are_read_alike_good_or_bad() -> None:
    for path in (*spec_files(zoo_folder()), *FOLDER.glob("*.yaml")):
        text = path.read_text("utf-8", "surrogateescape")
        assert read_alike(text), path
        assert read_alike(text[: len(text) // 2]), path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a:\t1", {"a": 1}),
        ("a\t: 1\t# one", {"a": 1}),
        ("a: b\tc", {"a": "b\tc"}),
        ("a: {\tb:\t1\t,\n\tc: 2}", {"a": {"b": 1, "c": 2}}),
        ("- 1\n\t\n- 2 \t\n\t# three\n- 3\t", [1, 2, 3]),
        ("a: |\n  b\tc\n", {"a": "b\tc\n"}),
    ],
)
def test_a_tab_may_stand_between_words_and_at_the_end_of_a_line(text: str, value: Any) -> None:
    assert parse_yaml(SourceFile("spec.yaml", text)).plain() == value


@pytest.mark.parametrize("text", ["a:\n\t- 1", "- a: 1\n\tb: 2", "a: b\n\tc"])
def test_a_tab_indents_nothing(text: str) -> None:
    assert refused(text).message == "a tab where YAML takes spaces"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("a: [b c?]", "E0101", "inside `{ }` or `[ ]` a text that holds `?` must be quoted"),
        ("a: [1, [2", "E0101", "`[` is never closed"),
        ("a: {b", "E0101", "`{` is never closed"),
        ("a: [1, ", "E0101", "a value is missing where the text ends"),
        ("a: [, 1]", "E0101", "a value is missing before this"),
        ("a: [- 1]", "E0101", "inside `{ }` and `[ ]` items have no `- `"),
        (": 2", "E0101", "a key is missing before this"),
        ("a: |b\n  c", "E0101", "behind `|` and `>` only `-`, `+` and a digit may stand"),
        ("%a", "E0101", "a spec is one YAML document"),
        ("a: 1\n%b: 2", "E0101", "a text cannot start with `%`"),
        ("a: 'b\n---\nc'", "E0101", "a quote that is never closed"),
        ("a: **", "E0103", "alias `**`"),
        ("a: [&, 1]", "E0103", "anchor `&`"),
        ("a: !x!y 1", "E0103", "tag `!x!y`"),
        ("a: b\ufeff", "E0106", "the character U+FEFF is not allowed in YAML"),
    ],
)
def test_what_the_parser_says_is_said_in_plain_words(text: str, code: str, message: str) -> None:
    found = refused(text)
    assert (found.code, found.message) == (code, message)
