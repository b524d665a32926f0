"""Specs of the zoo, mutated: whatever an author or an attacker writes is built or refused in words.

No crash, no place outside of the text, bounded work.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archforge.analysis.checks import check_cells
from archforge.analysis.counts import count
from archforge.errors import Diagnostic, DiagnosticError, Span
from archforge.ops import all_ops
from archforge.resources import zoo_folder
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.resolve import resolve
from archforge.spec.syntax.syntax_tree import MERGES, MODIFIERS, STRUCTURES
from archforge.spec.yaml import parsers
from tests.pages.errors import FOLDER

# The largest graph that the limits allow takes some 0.7 s on a quiet machine, the largest text without
# libyaml 25 s.
SECONDS = 5.0 if parsers.LIBYAML else 40.0

WORDS = [
    *(*all_ops(), *MODIFIERS, *MERGES, *STRUCTURES, "branch", "x", "input", "i", "key", "row"),
    *("args", "with", "defaults", "profiles", "blocks", "graph", "outputs", "rules", "expect", "extends"),
    *("imports", "kind", "template", "naming", "position", "none", "int", "float", "list", "steps", "tensor"),
    *("true", "null", "0", "1", "-1", "3", "1.5", "1_000_000_000", "1e18", "[]", "{}", "[1, 2]"),
    *("=x", "=input", "=i", "=row", "=x.channels", '="relu"', "=1/0", "=range(10000)", "=[", "={", "={i}"),
    *(
        ": ",
        ", ",
        "- ",
        "\n",
        "\n  ",
        "\t",
        "#",
        "'",
        '"',
        "|",
        ">",
        "&a",
        "*a",
        "!t",
        "%",
        "@",
        "{i}",
        "x{i}",
    ),
    *("é", "漢", "😀", "\u202e", "\x00", "\x85", "\ufeff", "\u2028"),
]


@cache
def texts() -> list[str]:
    """Every fourth spec of the zoo, and the bad ones."""
    paths = spec_files(zoo_folder())[::4] + sorted(FOLDER.glob("[E]03*.yaml"))
    return [path.read_text("utf-8") for path in paths if path.stat().st_size < 8_000]


def tokens(text: str, random: Random) -> str:
    """Some tokens are replaced, doubled, swapped or left out."""
    found = re.findall(r"\w+|\s+|[^\w\s]", text) or [""]
    for _ in range(random.randint(1, 3)):
        index, other = random.randrange(len(found)), random.randrange(len(found))
        change = random.randrange(4)
        if change == 0:
            found[index] = random.choice(WORDS)
        elif change == 1:
            found.insert(index, random.choice(WORDS))
        elif change == 2:
            found[index], found[other] = found[other], found[index]
        else:
            found[index] = ""
    return "".join(found)


def lines(text: str, random: Random) -> str:
    """A line is moved, doubled, left out or indented differently; or lines of another spec come in."""
    found = text.split("\n")
    index = random.randrange(len(found))
    change = random.randrange(4)
    if change == 0:
        found.insert(random.randrange(len(found)), found[index])
    elif change == 1:
        del found[index]
    elif change == 2:
        found[index] = " " * random.randrange(6) + found[index].lstrip()
    else:
        other = random.choice(texts()).split("\n")
        start = random.randrange(len(other))
        found[index:index] = other[start : start + random.randint(1, 8)]
    return "\n".join(found)


def values(text: str, random: Random) -> str:
    """A value of the tree is replaced by another one, wrapped, or left out: YAML stays YAML."""
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    places = list(_places(tree))
    if not places:
        return text
    for _ in range(random.randint(1, 3)):
        parent, key = random.choice(places)
        other, name = random.choice(places)
        replacement = random.choice([random.choice(WORDS), _copy(other, name), [_copy(parent, key)], None])
        if key in parent if isinstance(parent, dict) else key < len(parent):
            parent[key] = replacement
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _copy(parent: Any, key: Any) -> Any:
    try:
        return yaml.safe_load(yaml.safe_dump(parent[key]))
    except (LookupError, yaml.YAMLError):
        return None


def built(text: str) -> tuple[Diagnostic, ...]:
    """The mistakes of a spec, at every stage up to its cells."""
    library = Library()
    try:
        spec = resolve(library.read_text(text), library, "fuzz")
        for profile in spec.profile_names[:2]:
            expansion = expand(spec, profile)
            check_cells(expansion, count(expansion.graph))
    except DiagnosticError as error:
        return error.diagnostics
    return ()


def check(text: str) -> None:
    start = time.process_time()
    found = built(text)
    assert len(found) <= 50
    for diagnostic in found:
        assert diagnostic.span
        assert len(diagnostic.render()) < 10_000
        related = (*(n.span for n in diagnostic.notes), *(f.span for f in diagnostic.trace))
        assert all(map(is_inside, (diagnostic.span, *(span for span in related if span))))
    assert time.process_time() - start < SECONDS


def is_inside(span: Span) -> bool:
    source = span.source
    return span.line < len(source.lines) and span.column <= len(source.line(span.line)) and span.length > 0


@pytest.mark.parametrize("mutate", [tokens, lines, values])
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False))
def test_a_mutated_spec_is_built_or_refused(mutate: Callable[[str, Random], str], random: Random) -> None:
    check(mutate(random.choice(texts()), random))


@pytest.mark.parametrize("text", texts()[:3])
def test_every_beginning_of_a_spec_is_built_or_refused(text: str) -> None:
    for end in range(0, len(text), 7):
        check(text[:end])


START = "archforge: 1\ninput: [3, 8, 8]\n"
LARGE = {
    "braces": "{" * 100_000,
    "dashes": "- " * 50_000,
    "keys in keys": "a: " * 50_000,
    "question marks": "? " * 50_000,
    "items": "[" + "a," * 300_000 + "]",
    "one key": START + "k: 1\n" * 100_000,
    "unknown keys": START + "".join(f"k{i}: 1\n" for i in range(50_000)),
    "unknown ops": START + "graph:\n" + "  - unknown\n" * 50_000,
    "unknown names": START + "graph:\n" + "".join(f"  - {{conv: =n{i}}}\n" for i in range(30_000)),
    "unknown blocks": START + "graph:\n" + "".join(f"  - {{u{i}: {{v{i}: 1}}}}\n" for i in range(30_000)),
    "a long op": START + f"graph: [{'relu' * 100_000}]",
    "a long block": START + f"blocks: {{{'b' * 100_000}: {{body: tanhh}}}}\ngraph: [{'b' * 100_000}]",
    "a long title": f"archforge: 1\ntitle: '{'x' * 900_000}'\n: y",
    "an open quote": "a: '" + "\n" * 500_000,
    "names in braces": "a: " + "{i}" * 100_000,
    "tabs": "\t" * 500_000,
    "a long formula": "a: |\n" + "  =1\n" * 100_000,
    "arguments in a row": START
    + "args:\n"
    + "".join(f"  a{i}: =a{i + 1}\n" for i in range(3_000))
    + "graph: [relu]",
    "arguments that need each other": START
    + "args:\n"
    + "".join(f"  a{i}: =a{(i + 1) % 3_000}\n" for i in range(3_000))
    + "graph: [relu]",
    "a loop": START + "graph:\n  - for: {a: '=range(10000)'}\n    do: {name: 'a{a}', seq: [relu, bn]}",
    "repeats": START + "graph: [{seq: [{conv: 3}, {add: [[], relu]}], repeat: 1_000_000}]",
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_texts_do_not_take_long(text: str) -> None:
    check(text)
