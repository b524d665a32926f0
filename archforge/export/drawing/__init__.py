"""A network as a drawing: boxes in frames, and arrows between them with the shapes of what goes along.

The targets `dot` and `mermaid` write one down. At level `block` a call of a block is one box (`pieces`), at
level `layer` each layer is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from archforge.analysis.network import Network
from archforge.export.drawing.pieces import BoxedLayers, pieces_of
from archforge.export.target import DrawingOptions
from archforge.ir import Scope, shape_text
from archforge.scopes import in_scopes, name_within

__all__ = ["Arrow", "Box", "BoxFrame", "Drawing", "drawing_of", "printable", "title_of"]


Kind = Literal["value", "layer", "merge", "block"]


@dataclass(frozen=True, slots=True)
class Box:
    """An input or output of the network, a layer, one that merges several values, or calls of a block.

    id: a word of its own within the drawing. lines: what is written in it.
    """

    id: str
    kind: Kind
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoxFrame:
    """A frame with a title around boxes and other frames."""

    id: str
    title: str
    items: tuple[Box | BoxFrame, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow between two boxes, by their ids, and the shape of the value that goes along."""

    start: str
    end: str
    shape: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The boxes of a network in the order of execution, and all arrows."""

    title: str
    items: tuple[Box | BoxFrame, ...]
    arrows: tuple[Arrow, ...]


def drawing_of(network: Network, options: DrawingOptions) -> Drawing:
    """The drawing of a network."""
    graph = network.graph
    pieces = pieces_of(network, options.level)
    inputs = {value: f"input{i}" for i, value in enumerate(graph.inputs)}
    boxes = {row.name: f"box{i}" for i, piece in enumerate(pieces) for row in piece.rows}
    outputs = {name: f"output{i}" for i, name in enumerate(graph.outputs)}
    reads = [(value, boxes[row.name]) for p in pieces for row in p.rows for value, _ in row.inputs]
    reads += [(graph.outputs[name], id) for name, id in outputs.items()]
    starts = inputs | boxes
    arrows = (
        Arrow(starts[value], end, shape_text(graph.types[value].shape))
        for value, end in reads
        if starts[value] != end
    )
    items = _Frames(network, options.counts, pieces).items(0, "")
    return Drawing(
        title_of(network),
        (*(Box(id, "value", (n,)) for n, id in inputs.items()),
         *items,
         *(Box(id, "value", (n,)) for n, id in outputs.items())),
        tuple(dict.fromkeys(arrows)),
    )  # fmt: skip


def printable(text: str) -> str:
    """Text on one line: what cannot be printed is a space."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def title_of(network: Network) -> str:
    """The title of a network with its profile and settings."""
    settings = network.expansion.setting_texts
    return ", ".join((network.spec.header.title or network.name, f"profile {network.profile}", *settings))


class _Frames:
    """The frames of a network: scopes with more than one box or frame in them."""

    def __init__(self, network: Network, counts: bool, pieces: Sequence[BoxedLayers]) -> None:
        self.graph = network.graph
        self.counts = counts
        numbered = ((piece.scope, (number, piece)) for number, piece in enumerate(pieces))
        self.inside = in_scopes(self.graph.scopes, numbered)

    def items(self, index: int, inside: str) -> tuple[Box | BoxFrame, ...]:
        """The boxes and frames of scope `index`, in a frame whose scope is called `inside`."""
        out: list[Box | BoxFrame] = []
        for item in self.inside[index]:
            if not isinstance(item, Scope):
                out.append(self._box(*item, inside))
            elif len(self.inside[item.index]) == 1:
                out += self.items(item.index, inside)
            else:
                title = _frame_title(item, inside)
                out.append(BoxFrame(f"frame{item.index}", title, self.items(item.index, item.name)))
        return tuple(out)

    def _box(self, number: int, piece: BoxedLayers, inside: str) -> Box:
        is_merge = self.graph.nodes[piece.rows[0].index].op.arity is None
        kind: Kind = "block" if piece.block else "merge" if is_merge and not piece.rows[1:] else "layer"
        says = f"{piece.repeats} x {piece.says}" if piece.repeats > 1 else piece.says
        first, last = (name_within(inside, piece.names[at]) for at in (0, -1))
        name = first if first == last else f"{first} ... {last}"
        lines = [says] if name == says else [says, name]
        for count, unit in ((piece.params, "params"), (piece.macs, "MACs")):
            lines += [f"{count:,} {unit}"] if self.counts and count else []
        return Box(f"box{number}", kind, tuple(lines))


def _frame_title(scope: Scope, inside: str) -> str:
    """The name of a scope and its block: `layer1.0 (basic)`; one of them where the other says no more."""
    name = "" if scope.name == inside else name_within(inside, scope.name)
    if not scope.is_block or scope.kind == name:
        return name
    return f"{name} ({scope.kind})" if name else scope.kind
