"""Pieces of a Markdown page: tables, and parts that are generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

__all__ = ["escaped", "table", "with_parts"]

_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of text cells, a line for each row."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Text whose asterisks are products, or parts of shapes, unless they enclose a word."""
    parts = re.split(r"(`[^`]*`|\*\w+\*)", text)
    return "".join(p if p[:1] in ("`", "*") else p.replace("*", "\\*") for p in parts)


def with_parts(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page whose parts, from `<!-- generated: NAME -->` to `<!-- end -->`, are made anew. Raises KeyError
    for a NAME that `parts` lacks."""
    return _PART.sub(lambda m: f"{m[1]}\n{parts[m[2]]()}\n\n{m[3]}", text)
