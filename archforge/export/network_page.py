"""Networks as one page of HTML that needs nothing beside it: a picture to work with, bars, figures, a table.

The page holds its data as JSON, from which its scripts make all that shows: `picture.js` one picture,
`network_page.js` what is around it, `difference.js` two pictures beside each other. What is the same in many
rows, such as attributes and shapes, is there once.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from archforge.analysis.activation_memory import BYTES_PER_ELEMENT, activations_alive
from archforge.analysis.checks import MARKS, Cell
from archforge.analysis.difference.networks import NetworkDifference
from archforge.analysis.ledger import LedgerRow
from archforge.analysis.network import Network
from archforge.errors import DiagnosticError
from archforge.export.difference_data import difference_data
from archforge.export.drawing import printable, title_of
from archforge.export.layout import placing
from archforge.export.layout.grid import Edge
from archforge.export.layout.nested import nested_boxes
from archforge.export.layout.placing import Planned, planned, with_signs
from archforge.export.render import render
from archforge.ir import Node, by_x
from archforge.resources import templates_folder
from archforge.spec.printing.scalars import value_text

__all__ = ["difference_page", "network_page", "page_data"]

SCRIPTS = ("picture", "network_page", "difference")

# What the script reads of the sizes of `placing`, by the names that it has for them.
SIZES = {
    "edge": placing.EDGE_SPACE,
    "laneGap": placing.LANE_GAP,
    "track": placing.TRACK,
    "gap": placing.GAP,
    "label": placing.LABEL,
    "frame": placing.FRAME,
    "header": placing.HEADER,
    "corner": placing.CORNER,
    "line": placing.LINE,
    "stack": placing.STACK,
}


def network_page(
    networks: Sequence[Network], *, title: str = "", live: Mapping[str, Any] | None = None
) -> str:
    """The page of these networks, of which the first shows.

    title: of a page that shows none yet. live: the version and the mistakes of a page that asks the server
    that it came from for changes.
    """
    extra = {} if live is None else {"live": live}
    return _page(title_of(networks[0]) if networks else title, page_data(networks) | extra, live is not None)


def difference_page(found: NetworkDifference, networks: Sequence[Network] = ()) -> str:
    """The page of a difference: totals and changes, and where both sides are specs the two networks beside
    each other and layer by layer.

    networks: others that the page can show besides, each alone.
    """
    others = [network for network in networks if network not in (found.networks or ())]
    data = page_data([*(found.networks or ()), *others]) | {"difference": difference_data(found)}
    return _page(" \u2192 ".join(found.titles), data)


def page_data(networks: Sequence[Network]) -> dict[str, Any]:
    """The data that the scripts of the page read."""
    return {"sizes": SIZES, "views": [_View(network).data() for network in networks]}


def _page(title: str, data: Mapping[str, Any], is_live: bool = False) -> str:
    scripts = [(templates_folder() / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    return render(
        "network_page.html.j2",
        title=printable(title),
        data=_in_html(data),
        script="\n".join(scripts),
        is_live=is_live,
    )


def _in_html(data: Mapping[str, Any]) -> str:
    """JSON that HTML takes for one text: nothing in it ends or begins a tag."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Interned:
    """Values in order of first use, each once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def place(self, key: Hashable, value: Any = None) -> int:
        """The number of a value, which stands for its key; the key itself unless given."""
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(key if value is None else value)
        return self._places[key]


class _View:
    """One network of a page."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.typed = network.graph
        self.number = {node.name: i for i, node in enumerate(self.typed.nodes)}
        self.texts = _Interned()
        self.attributes = _Interned()

    def data(self) -> dict[str, Any]:
        network, typed = self.network, self.typed
        alive = activations_alive(typed)
        rows = [*self._rows(alive)]
        plan = planned(nested_boxes(network))
        shapes = [(name, type_.shape) for name, type_ in typed.inputs.items()]
        return {
            "name": printable(network.spec.header.title or network.name),
            "choice": ", ".join((network.profile, *network.expansion.setting_texts)),
            "title": printable(title_of(network)),
            "counts": network.counts.by_cell(),
            "peak": BYTES_PER_ELEMENT * max(alive, default=sum(t.size for t in typed.inputs.values())),
            "input": ", ".join(by_x(shape) for _, shape in shapes),
            "output": ", ".join(by_x(typed.types[value].shape) for value in typed.outputs.values()),
            "notes": [*self._notes()],
            "cells": [_cell(cell) for cell in network.cells],
            "rows": rows,
            "whole": self._box(plan),
            "texts": self.texts.values,
            "attributes": self.attributes.values,
        }  # fmt: skip

    def _notes(self) -> Iterator[str]:
        header = self.network.spec.header
        if header.paper:
            yield f"Paper: {printable(header.paper)}"
        if header.departs:
            yield f"Departs: {printable(header.departs)}"
        if self.network.expansion.is_changed:
            yield "Changed by hand, so the documented figures do not apply."

    # Layers

    def _rows(self, alive: Sequence[int]) -> Iterator[list[Any]]:
        """The fields of each layer, as `expanded` in the script reads them."""
        fields = self._fields()
        for node, row, elements in zip(self.typed.nodes, self.network.ledger.rows, alive, strict=True):
            field, stride = fields.get(node.name, ("", ""))
            blocks = [f"{name} ({kind})" if kind != "seq" else name for kind, name in row.blocks]
            yield [
                row.name,
                self.texts.place(row.op),
                self._attributes(node, row),
                [self.number.get(value, value) for value, _ in row.inputs],
                self.texts.place(by_x(row.output)),
                row.weights, row.biases, row.buffers, row.macs,
                BYTES_PER_ELEMENT * self.typed.types[row.name].size,
                BYTES_PER_ELEMENT * elements,
                self.texts.place(field),
                self.texts.place(stride),
                self.texts.place(printable(" \u203a ".join(blocks))),
                self.texts.place(printable(row.line)),
            ]  # fmt: skip

    def _attributes(self, node: Node, row: LedgerRow) -> int:
        """The place of the attributes of a layer: the name and text of each, and 1 where it is not the
        default."""
        texts = {name: value_text(value) for name, value in row.attributes.items()}
        fields = type(node.op).model_fields
        given = {name: int(fields[name].default != value) for name, value in row.attributes.items()}
        key = (row.op, *texts.items())
        return self.attributes.place(key, [[name, text, given[name]] for name, text in texts.items()])

    def _fields(self) -> dict[str, tuple[str, str]]:
        """The receptive field and the stride of each value as texts; none where nobody can read them."""
        from archforge.analysis.receptive_field import receptive_fields

        try:
            fields = receptive_fields(self.typed)
        except DiagnosticError:
            return {}
        out = {}
        for name, axes in fields.items():
            extents = ["all" if axis.extent is None else str(axis.elements) for axis in axes]
            strides = ["" if axis.stride is None else str(axis.stride) for axis in axes]
            field = "the whole input" if {*extents} == {"all"} else "x".join(extents)
            out[name] = (field if axes else "", "x".join(strides) if all(strides) else "")
        return out

    # Boxes

    def _box(self, plan: Planned) -> dict[str, Any]:
        """A box with all in it."""
        box, face = plan.box, plan.face
        made: dict[str, Any] = {
            "label": printable(box.label), "name": printable(box.name), "look": box.look,
            "says": printable(box.says), "lines": [printable(line) for line in face.lines],
            "width": face.width, "height": face.height, "repeats": box.repeats,
            "first": self.number[box.rows[0].name] if box.rows else 0, "count": len(box.rows),
        }  # fmt: skip
        if face.is_round:
            made["round"] = 1
        if box.look == "value":
            value = (box.gives or box.reads)[0]
            made["output"] = by_x(self.typed.types[value].shape)
        if plan.grid is None:
            return made
        grid = plan.grid
        return made | {
            "names": printable(" \u2026 ".join(dict.fromkeys(box.names[:1] + box.names[-1:]))),
            "where": printable(box.line),
            "open": int(box.is_open),
            "title": printable(plan.title),
            "titleWidth": plan.title_width,
            "items": [self._box(item) for item in plan.items],
            "places": [list(place) for place in grid.places],
            "tracks": grid.tracks,
            "labels": grid.labels,
            "edges": [self._edge(edge, plan) for edge in grid.edges],
        }  # fmt: skip

    def _edge(self, edge: Edge, plan: Planned) -> dict[str, Any]:
        made: dict[str, Any] = {
            "value": printable(edge.value),
            "shape": edge.shape,
            "start": edge.start,
            "end": edge.end,
            "line": edge.line,
            "off": edge.start_off,
            "kind": edge.kind,
            "turns": [list(turn) for turn in edge.turns],
        }
        if edge.line:
            made |= {"text": with_signs(edge.shape), "width": plan.shapes[edge.value]}
        return made


def _cell(cell: Cell) -> dict[str, Any]:
    def figure(value: int | str) -> str:
        return f"{value:,}" if isinstance(value, int) else printable(value)

    problem = [cell.problem.message] if cell.problem else []
    return {
        "cell": cell.cell,
        "status": cell.status,
        "mark": MARKS[cell.status],
        "documented": figure(cell.documented),
        "computed": figure(cell.computed),
        "why": printable("; ".join([*cell.notes, *problem])),
        "source": printable(cell.source),
    }
