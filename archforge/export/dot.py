"""`graph.dot`: the network as a drawing for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.export.drawing import Box, BoxFrame, drawing_of, printable
from archforge.export.render import render
from archforge.export.target import Subject, Target

__all__ = ["TARGETS", "dot_text"]

INDENT = "  "


def dot_text(subject: Subject) -> str:
    """The chosen profile in the DOT language."""
    drawing = drawing_of(subject.network, subject.drawing)
    return render(
        "graph.dot.j2",
        title=_quoted(drawing.title),
        items=[*_lines(drawing.items, 1)],
        arrows=[{"start": a.start, "end": a.end, "shape": _quoted(f" {a.shape} ")} for a in drawing.arrows],
    )


def _lines(items: tuple[Box | BoxFrame, ...], depth: int) -> Iterator[str]:
    indent = INDENT * depth
    for item in items:
        if isinstance(item, Box):
            yield f"{indent}{item.id} [label={_quoted(*item.lines)}{STYLES[item.kind]}]"
        else:
            # Only what is called cluster is drawn as a frame.
            yield f"{indent}subgraph cluster_{item.id} {{"
            yield f"{indent}{INDENT}graph [label={_quoted(item.title)}, labeljust=l, fontsize=11]"
            yield from _lines(item.items, depth + 1)
            yield f"{indent}}}"


def _quoted(*lines: str) -> str:
    """Lines as a string of DOT, in which backslashes are escapes and ampersands begin entities."""
    plain = map(printable, lines)
    escaped = (p.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for p in plain)
    return '"' + "\\n".join(escaped) + '"'


STYLES = {
    "value": ", shape=plain",
    "layer": "",
    "merge": ", shape=ellipse",
    "block": ', fillcolor="#dfeaf7"',
}

TARGETS = (Target("dot", "graph.dot", "a drawing for Graphviz: docs/export.md", dot_text, draws=True),)
