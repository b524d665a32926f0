"""`graph.mmd`: the network as a drawing for Mermaid, which Markdown on GitHub shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from archforge.errors import fail
from archforge.export.drawing import Box, BoxFrame, Drawing, drawing_of, printable
from archforge.export.render import render
from archforge.export.target import Level, Subject, Target

__all__ = ["TARGETS", "mermaid_text"]

INDENT = "    "
# Mermaid's settings maxEdges and maxTextSize, which a diagram cannot change.
MAX_ARROWS = 500
MAX_CHARACTERS = 50_000


def mermaid_text(subject: Subject) -> str:
    """The chosen profile as a flowchart. Raises E0705 for more than Mermaid draws."""
    drawing = drawing_of(subject.network, subject.drawing)
    text = render(
        "graph.mmd.j2",
        title=_yaml(drawing.title),
        items=[*_lines(drawing.items, 1)],
        arrows=[{"start": a.start, "end": a.end, "shape": _quoted(a.shape)} for a in drawing.arrows],
    )
    _refuse_too_large(drawing, text, subject.drawing.level)
    return text


def _refuse_too_large(drawing: Drawing, text: str, level: Level) -> None:
    found = (
        (len(drawing.arrows), MAX_ARROWS, "arrows"),
        (len(text), MAX_CHARACTERS, "characters"),
    )
    for number, most, unit in found:
        if number > most:
            coarser = "--level block has fewer, and " if level is Level.LAYER else ""
            message = f"graph.mmd would have {number:,} {unit}, and Mermaid draws {most:,} at most"
            fail("E0705", message, help=f"{coarser}--to dot has no such limit")


def _lines(items: tuple[Box | BoxFrame, ...], depth: int) -> Iterator[str]:
    indent = INDENT * depth
    for item in items:
        if isinstance(item, Box):
            opening, closing = BRACKETS[item.kind]
            yield f"{indent}{item.id}{opening}{_quoted(*item.lines)}{closing}"
        else:
            yield f"{indent}subgraph {item.id} [{_quoted(item.title)}]"
            yield from _lines(item.items, depth + 1)
            yield f"{indent}end"


def _quoted(*lines: str) -> str:
    return '"' + "<br>".join(map(_escaped, lines)) + '"'


def _yaml(text: str) -> str:
    """Text as a string of YAML, without the backticks that could end a block of Markdown."""
    return json.dumps(printable(text), ensure_ascii=False).replace("`", "\\u0060")


def _escaped(text: str) -> str:
    """Text in which Mermaid, Markdown and HTML see nothing but letters: what may mean more to one of them is
    written as an entity."""
    return _MEANING.sub(lambda found: f"#{ord(found[0])};", printable(text))


_MEANING = re.compile(r"[^\w .,:/=()+-]|(?<=^[0-9])\. ")  # 1. begins a list
BRACKETS = {
    "value": ("([", "])"),
    "layer": ("[", "]"),
    "merge": ("((", "))"),
    "block": ("[[", "]]"),
}

TARGETS = (
    Target("mermaid", "graph.mmd", "a drawing for Markdown: docs/export.md", mermaid_text, draws=True),
)
