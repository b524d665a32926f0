"""Documents printed: the same tree, every comment about the same thing, and the second print is the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.errors import DiagnosticError, SourceFile
from archforge.resources import templates_folder, zoo_folder
from archforge.spec.limits import LEVELS
from archforge.spec.printing.document import append_section, print_document
from archforge.spec.printing.layout import Child, Collection, written
from archforge.spec.resolve.library import spec_files
from archforge.spec.yaml.comments import Surroundings, read_comments
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree, parse_yaml
from tests.pages.errors import CASES
from tests.pages.reference import LANGUAGE, examples

ZOO = spec_files(zoo_folder())


def read(text: str) -> Mapping:
    tree = parse_yaml(SourceFile("spec.yaml", text))
    assert isinstance(tree, Mapping)
    return tree


def printed(text: str) -> str:
    return print_document(read(text))


def values(tree: Tree) -> Any:
    """The content of a tree: keys in order, values with their types."""
    if isinstance(tree, Scalar):
        return type(tree.value), tree.value
    if isinstance(tree, Sequence):
        return [values(item) for item in tree.items]
    return [(entry.key, values(entry.value)) for entry in tree]


def remarks(text: str) -> list[tuple[str, str]]:
    """Each comment of a text, and where it stands: above, behind, or below the last thing in, a path."""
    tree = read(text)
    return list(_remarks(tree, tree, read_comments(tree), ""))


def _remarks(
    thing: Entry | Tree, tree: Tree, comments: dict[int, Surroundings], path: str
) -> Iterator[tuple[str, str]]:
    around = comments.get(id(thing), Surroundings())
    for where in ("above", "behind", "below"):
        yield from ((comment.text, f"{where} {path}".strip()) for comment in getattr(around, where))
    parts: list[tuple[str, Entry | Tree, Tree]] = []
    if isinstance(tree, Sequence):
        parts = [(f"{path}[{i}]", item, item) for i, item in enumerate(tree.items)]
    elif isinstance(tree, Mapping):
        parts = [(f"{path}.{entry.key}".strip("."), entry, entry.value) for entry in tree]
    for name, part, value in parts:
        yield from _remarks(part, value, comments, name)


def about(text: str) -> list[tuple[str, str]]:
    """Each comment with the path of what it is about."""
    return sorted((comment, place.partition(" ")[2]) for comment, place in remarks(text))


def check(text: str) -> str:
    """Print `text`, and hold the print against it."""
    out = printed(text)
    assert values(read(out)) == values(read(text))
    assert about(out) == about(text)
    assert printed(out) == out
    assert not re.search(r"[ \t]\r?$", out, re.MULTILINE)
    return out


# Laws


@pytest.mark.parametrize("path", ZOO, ids=[path.stem for path in ZOO])
def test_every_spec_of_the_zoo_is_printed_as_what_it_says(path: Path) -> None:
    check(path.read_text("utf-8"))


@pytest.mark.parametrize("example", list(examples(LANGUAGE)), ids=lambda example: f"line {example.line}")
def test_every_example_of_the_language_is_printed_as_what_it_says(example: Any) -> None:
    try:
        read(example.text)
    except DiagnosticError:
        assert example.error
    else:
        check(example.text)


def test_most_of_the_zoo_is_laid_out_already() -> None:
    texts = [path.read_text("utf-8") for path in ZOO]
    assert sum(printed(text) == text for text in texts) > 0.8 * len(texts)


def test_the_starting_spec_is_laid_out_already() -> None:
    text = (templates_folder() / "new_spec.yaml").read_text("utf-8")
    assert printed(text) == text


def broken_up(text: str, random: Random) -> str:
    """`text` with comments behind and between its lines, empty lines, and brackets over several lines."""
    lines = text.split("\n")
    for number in range(random.choice((1, 3, 9))):
        comment = random.choice((f"#{number}", f"# c{number}: [x", f"#{number} 'é"))
        at = random.randrange(len(lines))
        match random.randrange(4):
            case 0:
                lines.insert(at, " " * random.randrange(10) + comment)
            case 1:
                lines[at] += random.choice((" ", "  ", "\t", " " * 40)) + comment
            case 2:
                lines.insert(at, "")
            case 3:
                breaks = [i + 1 for i, char in enumerate(lines[at]) if char in ",{["]
                if breaks:
                    end = random.choice(breaks)
                    head, tail = lines[at][:end], lines[at][end:]
                    lines[at : at + 1] = [f"{head} {comment}", " " * random.randrange(4, 30) + tail.lstrip()]
    ends = random.choice(("\n", "\n", "\r\n"))
    return random.choice(("", "", "\ufeff")) + ends.join(lines)


@pytest.mark.parametrize("seed", range(300))
def test_comments_anywhere_stay_with_what_they_are_about(seed: int) -> None:
    random = Random(seed)
    path = random.choice([*ZOO, *CASES])
    try:
        text = path.read_bytes().decode()
        before = parse_yaml(SourceFile("before", text))
        text = broken_up(text, random)
        after = parse_yaml(SourceFile("after", text))
    except (DiagnosticError, UnicodeDecodeError):
        return
    if isinstance(after, Mapping) and values(before) == values(after):  # else inside of a text
        check(text)


TEXTS = st.text(
    st.sampled_from([*"ab=x1-_.~", *" #:,'\"\\[]{}&*!|>%@`?", *"\n\té→漢\x85\u2028\u200e\ufeff\U0001f600"]),
    max_size=12,
) | st.sampled_from(
    [
        "",
        "null",
        "True",
        "yes",
        "on",
        "1_000",
        "0x1",
        "1e-5",
        "int",
        "steps",
        "---",
        "...",
        "a " * 80,
        " a",
        "a\n\n",
    ]
)
PLAIN = st.recursive(
    TEXTS | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.dictionaries(TEXTS, PLAIN, min_size=1, max_size=4),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([20, 80, 1000]),
)
def test_whatever_yaml_holds_is_printed_or_refused(
    document: dict[str, Any], style: str | None, flow: bool | None, width: int
) -> None:
    text = yaml.safe_dump(
        document,
        default_style=style,
        default_flow_style=flow,
        width=width,
        allow_unicode=True,
        sort_keys=False,
    )
    try:
        tree = read(text)
        out = print_document(tree)
    except DiagnosticError:
        return
    assert values(read(out)) == values(tree)
    assert printed(out) == out


# Where comments belong


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("# a\n{x: 1}\n", "# a\nx: 1\n"),
        ("# a\n{x: 1}\n  # c\n\n# b\n", "# a\nx: 1\n# c\n\n# b\n"),
        ("# a\n{}\n# b\n", "# a\n{}\n# b\n"),
        ("{x: 1\n} # c\n", "x: 1\n# c\n"),
        ("{x\n} # c\n", "x:\n# c\n"),
        ("{ # a\nx: 1 # b\n# c\n} # d\n# e\n", "# a\nx: 1  # b\n# c\n# d\n# e\n"),
        ("?\n: 1\n", "'': 1\n"),
        ("?", "'':\n"),
    ],
)
def test_documents_in_brackets_and_without_a_key(text: str, out: str) -> None:
    assert check(text) == out


def test_comments_know_what_they_are_about() -> None:
    text = """\
# of the document's first key
archforge: 1   # behind a value
title: a text
  over two lines # behind its end
graph: # behind a key
  # above an item
  - conv: {out: 3,  # behind an entry in brackets
           kernel: 3} # behind the last one
  - add:   # behind the only key of an item, which is the item
      # above a branch
      - - conv: 1  # behind a step
        - relu
        # at the end of a branch
      - []
    # less indented than the branches
  # at the end of the graph
# above a key
expect: {a: 1, # behind an entry
  # above an entry in brackets
  b: 2
  # at the end of brackets
} # behind brackets
text: |  # behind the header of a text
  # no comment
  text
says:
  # between a key and its value
  words # behind a value below its key
list:
-
  # above the first key of an item
  conv: 1
  name: x # behind a later key
# at column 0 below a list at column 0

# at the end
"""
    assert dict(remarks(text)) == {
        "# of the document's first key": "above archforge",
        "# behind a value": "behind archforge",
        "# behind its end": "behind title",
        "# behind a key": "behind graph",
        "# above an item": "above graph[0]",
        "# behind an entry in brackets": "behind graph[0].conv.out",
        "# behind the last one": "behind graph[0].conv.kernel",
        "# behind the only key of an item, which is the item": "behind graph[1]",
        "# above a branch": "above graph[1].add[0]",
        "# behind a step": "behind graph[1].add[0][0]",
        "# at the end of a branch": "below graph[1].add[0]",
        "# less indented than the branches": "below graph[1]",
        "# at the end of the graph": "below graph",
        "# above a key": "above expect",
        "# behind an entry": "behind expect.a",
        "# above an entry in brackets": "above expect.b",
        "# at the end of brackets": "below expect",
        "# behind brackets": "behind expect",
        "# behind the header of a text": "behind text",
        "# between a key and its value": "above says",
        "# behind a value below its key": "behind says",
        "# above the first key of an item": "above list[0].conv",
        "# behind a later key": "behind list[0].name",
        "# at column 0 below a list at column 0": "below list",
        "# at the end": "below list",
    }
    check(text)


# The layout


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("a:    1", "a: 1\n"),
        ("{a: 1, b: [x,y]}", "a: 1\nb: [x, y]\n"),
        ("a:\n- b\n- c: 1\n  d: 2", "a:\n  - b\n  - c: 1\n    d: 2\n"),
        ("a:\n    - - b\n      - c", "a:\n  - - b\n    - c\n"),
        ("a: [x: 1, {y: }]", "a: [{x: 1}, {y: null}]\n"),
        ("? a\n: - b", "a:\n  - b\n"),
        ("--- # top\na: 1\n...\n", "# top\na: 1\n"),
        ("a:\nb: ~\nc: null", "a:\nb: ~\nc: null\n"),
        ("a:\n\n\n  b: 1\n\n\n\n  c: 2\n\nd: 3", "a:\n  b: 1\n\n  c: 2\n\nd: 3\n"),
        ("# top\n\n# next\n\na: 1", "# top\n\n# next\n\na: 1\n"),
        ("{}", "{}\n"),
        ("# top\n{}\n# end", "# top\n{}\n# end\n"),
    ],
)
def test_layout(text: str, out: str) -> None:
    assert check(text) == out


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("n: 25_557_032\ne: 1e-5\nf: 1.50", None),  # as they were written
        ('t: \'words\'\nf: "=max(8, width)"\nx: "it\'s"', "t: words\nf: =max(8, width)\nx: it's\n"),
        (
            "a: ['=[1, 2]', 'a, b', 'a: b', \"=a if b else c\"]",
            "a: ['=[1, 2]', 'a, b', 'a: b', =a if b else c]\n",
        ),
        (
            "a: 'yes'\nb: \"1:30\"\nc: '12'\nd: ''\ne: 'null'",
            None,
        ),  # which other readers take for something else
        ("args: {kind: 'int', act: 'relu'}", "args: {kind: 'int', act: relu}\n"),  # `int` would declare it
        ("'a b': 1\n'a: b': 2\n'{x}': 3", "a b: 1\n'a: b': 2\n'{x}': 3\n"),
        ('a: "tab\\there \\u2028"', None),
        ("'': 1", None),
    ],
)
def test_scalars_are_quoted_where_it_is_needed(text: str, out: str | None) -> None:
    assert check(text) == (out or text + "\n")


def test_brackets_that_do_not_fit_their_line_become_a_block() -> None:
    long = ", ".join(f"argument_{i}: =f({i})" for i in range(8))
    assert check(f"args: {{{long}}}") == "args:\n" + "".join(f"  argument_{i}: =f({i})\n" for i in range(8))
    step = f"{{unit: {{{long}}}, name: last}}"
    assert check(f"graph: [{step}]").startswith("graph:\n  - unit:\n      argument_0: =f(0)\n")
    quoted = "text of words, " * 6
    assert check(f"a: {{k: '{quoted}', l: '{quoted}'}}") == f"a:\n  k: '{quoted}'\n  l: '{quoted}'\n"


def test_brackets_with_comments_become_a_block() -> None:
    assert check("a: {b: 1, # one\n  c: 2}") == "a:\n  b: 1    # one\n  c: 2\n"
    assert (
        check("a: [[1, 2], # one\n  # two\n  [3]\n  # end\n]")
        == "a:\n  - [1, 2]  # one\n  # two\n  - [3]\n  # end\n"
    )
    assert check("a: [ # nothing\n]") == "a: []  # nothing\n"


def test_comments_behind_stay_in_their_column() -> None:
    text = "a: 1           # one\nb: [1,   2]    # two\nc: a long one  # three\nd: 1 # near\n"
    assert check(text) == "a: 1           # one\nb: [1, 2]      # two\nc: a long one  # three\nd: 1  # near\n"


def test_comments_of_an_item_with_several_lines_stand_above_it() -> None:
    assert check("g:\n  - # of it\n    a: 1\n    b: 2") == "g:\n  # of it\n  - a: 1\n    b: 2\n"
    assert check("g:\n  - # of it\n    a: 1") == "g:\n  - a: 1  # of it\n"


def test_texts_over_several_lines() -> None:
    words = "word " * 59 + "word"
    folded = check(f"a: >-\n  {words}\n").splitlines()
    assert folded[0] == "a: >-"
    assert all(len(line) <= 120 for line in folded)
    assert check("a: >-\n  few\n  words") == "a: few words\n"
    assert check(f"a: {words}") == f"a: {words}\n"  # a line stays one
    assert check("a: |\n  one\n    two\n\n  three\n") == "a: |\n  one\n    two\n\n  three\n"
    assert check("a: |+\n  one\n\nb: 1") == 'a: "one\\n\\n"\n\nb: 1\n'
    assert check("a: |-  # c\n  one\n  # two\nb: 1") == "a: |-  # c\n  one\n  # two\nb: 1\n"
    assert check('a: "two\n\n  lines"') == "a: |-\n  two\n  lines\n"


def test_line_ends_and_the_byte_order_mark_are_those_of_the_text() -> None:
    assert (
        printed("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n# end\r\n")
        == "\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n# end\r\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "%YAML 1.2\n---\na: 1",
        "a: ! x",
        "a: !  # c\n  x",
        "a: ! >-\n  x",
        f"? {'k' * 1001}\n: 1",
        f"a: [{'12345678, ' * 80_000}1]",
    ],
)
def test_what_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        printed(text)
    assert [d.code for d in caught.value.diagnostics] == ["E0705"]


def test_large_and_deep_documents_are_printed() -> None:
    check("a:\n" + "  - {conv: 1}  # c\n" * 0 + "".join(f"  - conv: {i}  # {i}\n" for i in range(5_000)))
    check("".join(f"# {i}\n" for i in range(20_000)) + "a: [" + "1, " * 20_000 + "1]")
    check(f"a: {'[' * (LEVELS.most - 1)}{']' * (LEVELS.most - 1)}  # c")
    check(
        "a:\n"
        + "".join(f"{'  ' * i}-\n" for i in range(1, LEVELS.most - 1))
        + "  " * LEVELS.most
        + "- x  # c"
    )


# Sections appended

SECTION = Collection(
    (Child(written("paper"), Collection((Child(written("macs"), written(1)),), is_list=False)),), False
)


def test_a_section_is_appended_and_the_rest_left_alone() -> None:
    text = "a:   {b:   1}   # c\n\n# end\n\n"
    assert append_section(SourceFile("s", text), "expect", SECTION) == (
        "a:   {b:   1}   # c\n\n# end\nexpect: {paper: {macs: 1}}\n"
    )
    assert (
        append_section(SourceFile("s", "a: 1\r\n"), "on", SECTION) == "a: 1\r\n'on': {paper: {macs: 1}}\r\n"
    )


@pytest.mark.parametrize("text", ["{a: 1}", "a: 1\n...", "expect: 1"])
def test_a_section_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(DiagnosticError, match="E0705: `expect` cannot be appended to s"):
        append_section(SourceFile("s", text), "expect", SECTION)
