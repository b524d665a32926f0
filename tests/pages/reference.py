"""The reference pages and the schema: what of them is generated, and the examples in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from archforge import driver
from archforge.export.zoo_page import zoo_page
from archforge.meanings import attribute_meanings, text_of
from archforge.ops import all_ops
from archforge.ops.base import Op
from archforge.resources import zoo_folder
from archforge.spec import limits
from archforge.spec.formulas import functions
from archforge.spec.schema.schema import general_schema
from archforge.spec.schema.values import plain_text
from archforge.spec.syntax.syntax_tree import CELLS
from tests.pages.markdown import escaped, table
from tests.pages.sessions import fences

__all__ = [
    "LANGUAGE",
    "LANGUAGE_PARTS",
    "OPS",
    "SCHEMA",
    "ZOO",
    "Example",
    "examples",
    "ops_page",
    "schema_text",
    "zoo_text",
]

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGE = DOCS / "language.md"
OPS = DOCS / "ops.md"
ZOO = DOCS / "zoo.md"
SCHEMA = zoo_folder() / "archforge.schema.json"


# docs/language.md


def _functions() -> str:
    rows = ((f"`{name}`", function.says) for name, function in functions.FUNCTIONS.items())
    return table(("function", "gives"), rows)


def _cells() -> str:
    return table(("cell", "counts"), ((f"`{name}`", says) for name, says in CELLS.items()))


def _limits() -> str:
    found = (limit for limit in vars(limits).values() if isinstance(limit, limits.Limit))
    rows = (
        (limit.of, f"{limit.most:,}", f"[{limit.code}](errors.md#{limit.code.lower()})") for limit in found
    )
    return table(("of", "at most", "else"), rows)


LANGUAGE_PARTS: Mapping[str, Callable[[], str]] = {
    "functions": _functions,
    "cells": _cells,
    "limits": _limits,
}


# docs/ops.md

_OPS_PAGE = """# Ops

Every op with its attributes, as [the language](language.md) writes them. The first attribute is what a bare
value sets: `conv: 64` is `conv: {{out: 64}}`. A spec leaves the batch out; below, `N` is the batch, `C` the
channels. This page is generated from the ops.

{sections}

## Without attributes

{plain}

## Merges

They join [branches](language.md#branches), which stand where others have attributes.

{merges}
"""


def ops_page() -> str:
    """The text of `docs/ops.md`."""
    ops = {word: cls for word, cls in all_ops().items() if word == cls.op}
    plain = {word: cls for word, cls in ops.items() if cls.arity == 1 and not cls.model_fields}
    merges = {word: cls for word, cls in ops.items() if cls.arity != 1}
    rest = {word: cls for word, cls in ops.items() if word not in plain and word not in merges}
    return _OPS_PAGE.format(
        sections="\n\n".join(_section(word, cls) for word, cls in rest.items()),
        plain=table(("op", "is"), ((_words(cls), _meaning(cls)) for cls in plain.values())),
        merges=table(("op", "is"), ((_words(cls), _meaning(cls)) for cls in merges.values())),
    )


def _section(word: str, cls: type[Op]) -> str:
    rows = []
    meanings = attribute_meanings(cls)
    for name, fragment in cls.model_json_schema()["properties"].items():
        default = f"`{plain_text(fragment['default'])}`" if "default" in fragment else "required"
        rows.append((f"`{name}`", escaped(meanings[name]), fragment["description"], default))
    attributes = table(("attribute", "meaning", "is", "default"), rows)
    return f"## {word}\n\n{_meaning(cls)}\n\n{attributes}"


def _words(cls: type[Op]) -> str:
    return ", ".join(f"`{word}`" for word in (cls.op, *cls.aliases))


def _meaning(cls: type[Op]) -> str:
    """The text of an op's docstring."""
    return escaped(text_of(cls))


# Examples


@dataclass(frozen=True)
class Example:
    """A spec on a page. `nodes` are the names that it must give, `error` the text of its refusal."""

    line: int
    text: str
    file: str
    nodes: tuple[str, ...] = ()
    error: str = ""


_SMALL = "archforge: 1\n"
_INPUT = "input: [3, 32, 32]\n"


def examples(page: Path) -> Iterator[Example]:
    """The `yaml` blocks of a page as whole specs, each with the `text nodes` or `text error` behind it."""
    text = page.read_text(encoding="utf-8")
    found = list(fences(text))
    for fence, after in zip(found, [*found[1:], None], strict=True):
        if fence.language != "yaml":
            continue
        follows = after and text[fence.end : after.start].count("\n") == 2
        said, kind = (after.text.strip(), after.word) if after and follows else ("", "")
        yield Example(
            line=text.count("\n", 0, fence.start),
            text=_whole(fence.text),
            file=fence.file or "example.yaml",
            nodes=tuple(said.split()) if kind == "nodes" else (),
            error=said if kind == "error" else "",
        )


def _whole(text: str) -> str:
    """A fragment with the lines that it leaves out."""
    if text.startswith("archforge:"):
        return text
    return _SMALL + _INPUT + ("graph:\n" if text.startswith("- ") else "") + text


# The schema


def zoo_text() -> str:
    """docs/zoo.md: every network that is shipped."""
    return zoo_page(driver.check([zoo_folder()]))


def schema_text() -> str:
    """The text of `zoo_specs/archforge.schema.json`, as `archforge schema` prints it."""
    return json.dumps(general_schema(), indent=2, ensure_ascii=False) + "\n"
