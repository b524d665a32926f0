"""A network as a picture: SVG text that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archforge.analysis.network import Network
from archforge.export.drawing import printable, title_of
from archforge.export.layout.nested import nested_boxes
from archforge.export.layout.placing import LINE, STACK, PlacedBox, path_text, placed, planned, with_signs
from archforge.export.render import render
from archforge.export.target import DrawingOptions, Level

__all__ = ["Picture", "drawn", "picture_of"]

MARGIN = 12.0
# A part of a drawing is one of these.
_NONE: dict[str, list[Any]] = {"frames": [], "edges": [], "shapes": [], "boxes": []}


def picture_of(network: Network, options: DrawingOptions) -> PlacedBox:
    """The boxes of a network at their places: at level `block` those of blocks are closed."""
    is_block = options.level is Level.BLOCK
    plan = planned(nested_boxes(network, joined=is_block), counts=options.counts)
    return placed(plan, lambda box: not is_block or box.is_open)


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG and its size in CSS pixels."""

    text: str
    width: float
    height: float


def drawn(network: Network, options: DrawingOptions) -> Picture:
    """The chosen profile as an SVG."""
    picture = picture_of(network, options)
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    text = render(
        "network.svg.j2",
        title=printable(title_of(network)),
        width=_number(width),
        height=_number(height),
        left=_number(-MARGIN),
        parts=[*_parts(picture)],
    )
    return Picture(text, width, height)


def _parts(box: PlacedBox) -> Iterator[dict[str, Any]]:
    """The parts of a drawing, from behind to the front."""
    plan = box.planned
    if not box.is_open:
        yield _closed(box)
        return
    if plan.title:
        yield {**_NONE, "frames": [{
            "x": _number(box.x), "y": _number(box.y), "width": _number(box.width),
            "height": _number(box.height), "look": plan.box.look, "name": printable(plan.box.name),
            "title": printable(plan.title), "title_x": _number(box.title_x),
            "title_y": _number(box.y + LINE + 2),
        }]}  # fmt: skip
    for line in box.lines:
        edge = line.edge
        yield {**_NONE, "edges": [{
            "look": f" {edge.kind}".rstrip(), "d": path_text(line.points), "head": line.has_head,
            "says": printable(f"{edge.value}: {edge.shape}"),
        }]}  # fmt: skip
    for item in box.items:
        yield from _parts(item)
    for line in box.lines:
        if line.label:
            x, y = line.label
            shape = {"x": _number(x), "y": _number(y), "text": with_signs(line.edge.shape)}
            yield {**_NONE, "shapes": [shape]}


def _closed(box: PlacedBox) -> dict[str, Any]:
    face, middle = box.planned.face, box.x + box.width / 2
    stack = STACK if box.planned.box.repeats > 1 else 0.0
    top = box.y + (box.height - stack - LINE * len(face.lines)) / 2
    lines = [
        {"x": _number(middle), "y": _number(top + LINE * (n + 0.77)), "text": printable(text), "first": not n}
        for n, text in enumerate(face.lines)
    ]
    height = _number(box.height - stack)
    return {**_NONE, "boxes": [{
        "x": _number(box.x), "y": _number(box.y), "width": _number(box.width), "height": height,
        "stack": _number(stack) if stack else "", "look": box.planned.box.look,
        "radius": height if face.is_round else "4", "name": printable(box.planned.box.name), "lines": lines,
    }]}  # fmt: skip


def _number(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
