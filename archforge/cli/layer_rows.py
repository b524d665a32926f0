"""The table of `archforge show`: rows for layers, for layers joined by their names, or for steps of a plan,
and the columns that can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archforge.analysis.activation_memory import BYTES_PER_ELEMENT, activation_peak
from archforge.analysis.counts import Counts, count
from archforge.cli.output import table
from archforge.errors import listed
from archforge.ir import Node, TypedGraph

if TYPE_CHECKING:
    from archforge.analysis.receptive_field import Field
    from archforge.plan import Plan

__all__ = ["EXTRA_COLUMNS", "LayerRow", "LayerTable", "joined_rows", "node_rows", "step_rows"]


INPUTS = 400  # characters of the inputs of a row; those of the zoo fit


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A node, or several neighbours under one name. A step of a plan has the nodes that its kernel computes
    besides in `fused`. `inputs` are values."""

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    fused: tuple[Node, ...] = ()
    on_reference: bool = False

    @property
    def value(self) -> str:
        """The value that the row leaves."""
        return (*self.nodes, *self.fused)[-1].name

    @property
    def op(self) -> str:
        if len(self.nodes) == 1:
            return "+".join(node.op.kind for node in (*self.nodes, *self.fused))
        return f"{sum(node.op.counts_as_layer for node in self.nodes)} layers"


def node_rows(nodes: Iterable[Node]) -> list[LayerRow]:
    """A row for each node."""
    return [LayerRow(node.name, (node,), node.inputs) for node in nodes]


def joined_rows(nodes: Iterable[Node], depth: int) -> list[LayerRow]:
    """A row for neighbours whose names agree in their first `depth` parts."""
    groups: list[tuple[str, list[Node]]] = []
    for node in nodes:
        key = ".".join(node.name.split(".")[:depth])
        if groups and groups[-1][0] == key:
            groups[-1][1].append(node)
        else:
            groups.append((key, [node]))
    return [_joined(key, group) for key, group in groups]


def _joined(name: str, group: list[Node]) -> LayerRow:
    if len(group) == 1:
        return LayerRow(name, (group[0],), group[0].inputs)
    inside = {node.name for node in group}
    inputs = dict.fromkeys(v for node in group for v in node.inputs if v not in inside)
    return LayerRow(name, tuple(group), tuple(inputs))


def step_rows(plan: Plan) -> list[LayerRow]:
    """A row for each step."""
    return [
        LayerRow(step.node.name, (step.node,), step.inputs, step.then, step.is_fallback)
        for step in plan.steps
    ]


class LayerTable:
    """Rows of one graph as text or JSON, with the columns of `extra` from `EXTRA_COLUMNS`.

    The text has a column of inputs unless each row reads the row above, alone.
    """

    def __init__(self, typed: TypedGraph, rows: Sequence[LayerRow], extra: Sequence[str] = ()) -> None:
        self.typed = typed
        self.rows = rows
        self.extra = tuple(EXTRA_COLUMNS[name] for name in extra)
        self._inputs = [*self._named_inputs()]
        first, *others = self._inputs or [""]
        self._forks = any(others) or first not in ("", *[*typed.inputs][:1])
        self._first = {node.params_of: node for node in reversed(typed.nodes)}

    @cached_property
    def counts(self) -> Counts:
        """The totals of the graph."""
        return count(self.typed)

    @cached_property
    def fields(self) -> Mapping[str, tuple[Field, ...]]:
        """The receptive fields of all values. Raises E0317 where they cannot be printed."""
        from archforge.analysis.receptive_field import receptive_fields

        return receptive_fields(self.typed)

    def text(self, *, with_total: bool) -> str:
        """The table, with a last line for the whole graph if that is asked for."""
        names = ("name", "op", "attributes", *(["inputs"] if self._forks else []), "output")
        numbers = ("params", "MACs", *(column.head for column in self.extra))
        lines = [*self._lines(), *([self._total(len(names))] if with_total else [])]
        return table((*names, *numbers), lines, right=range(len(names), len(names) + len(numbers)))

    def _lines(self) -> Iterator[tuple[str, ...]]:
        for row, inputs in zip(self.rows, self._inputs, strict=True):
            yield (
                row.name,
                row.op + (" (reference)" if row.on_reference else ""),
                self._attributes(row),
                *([inputs] if self._forks else []),
                str(self.typed.types[row.value]),
                _figure(self.params(row)),
                _figure(self.macs(row)),
                *(column.text(column.value(self, row)) for column in self.extra),
            )

    def _total(self, names: int) -> tuple[str, ...]:
        figures = (
            f"{self.counts.params:,}",
            f"{self.counts.macs:,}",
            *(column.total(self) for column in self.extra),
        )
        return ("total", *[""] * (names - 1), *figures)

    def _named_inputs(self) -> Iterator[str]:
        """The inputs of each row; none where they are the row above, alone."""
        owner = {node.name: row.name for row in self.rows for node in (*row.nodes, *row.fused)}
        above = ""
        for row in self.rows:
            inputs = [owner.get(value, value) for value in row.inputs]
            if len(row.nodes) > 1:
                inputs = [*dict.fromkeys(inputs)]
            yield "" if inputs == [above] else listed(_from_scope_of(row.name, inputs), INPUTS)
            above = row.name

    def json_rows(self) -> list[dict[str, Any]]:
        """An object for each row; a row of several nodes has no attributes."""
        return [
            {
                "name": row.name,
                "op": row.nodes[0].op.kind,
                "attributes": row.nodes[0].op.attributes(),
                "inputs": list(row.inputs),
                "output": list(self.typed.types[row.value].shape),
                "params": self.params(row),
                "macs": self.macs(row),
                **({"fused": [node.name for node in row.fused]} if row.fused else {}),
                **({"on_reference": True} if row.on_reference else {}),
                **{column.key: column.value(self, row) for column in self.extra},
            }
            for row in self.rows
        ]

    def params(self, row: LayerRow) -> int:
        """Parameters that the nodes of a row own: shared ones count where they are used first."""
        return sum(
            decl.size
            for node in row.nodes
            if not self._shares(node)
            for decl in node.op.params(*self.typed.input_types(node)).values()
            if decl.role != "buffer"
        )

    def macs(self, row: LayerRow) -> int:
        return sum(node.op.macs(*self.typed.input_types(node)) for node in (*row.nodes, *row.fused))

    def _attributes(self, row: LayerRow) -> str:
        """The attributes of a single node that differ from their defaults, and whose parameters it uses."""
        if len(row.nodes) > 1:
            return ""
        (node,) = row.nodes
        defaults = {n: f.default for n, f in type(node.op).model_fields.items()}
        given = {n: v for n, v in node.op.attributes().items() if v != defaults[n]}
        shared = [f"share={node.params_of}"] if self._shares(node) else []
        return " ".join([*(f"{n}={_short(v)}" for n, v in given.items()), *shared])

    def _shares(self, node: Node) -> bool:
        """True if an earlier node owns the parameters of this one."""
        first = self._first.get(node.params_of, node)
        return first is not node and bool(node.op.params(*self.typed.input_types(node)))


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that is shown on request: its head, its key in JSON, and its cells."""

    head: str
    key: str
    says: str
    value: Callable[[LayerTable, LayerRow], Any]
    text: Callable[[Any], str]
    total: Callable[[LayerTable], str]


def _memory(table: LayerTable, row: LayerRow) -> int:
    """Bytes of the values that a row leaves: those that its kernel computes on the way are not stored."""
    values = [row.value] if row.fused else [node.name for node in row.nodes]
    return sum(table.typed.types[value].size for value in values) * BYTES_PER_ELEMENT


def _from_scope_of(name: str, inputs: Iterable[str]) -> Iterator[str]:
    """The names of inputs; of those in the scope of `name` what follows the scope, from its dot on."""
    scope, dot, _ = name.rpartition(".")
    for value in inputs:
        yield value.removeprefix(scope) if dot and value.startswith(f"{scope}.") else value


def _extents(table: LayerTable, row: LayerRow) -> list[int | None]:
    return [field.elements for field in table.fields[row.value]]


def _strides(table: LayerTable, row: LayerRow) -> list[str | None]:
    return [None if field.stride is None else str(field.stride) for field in table.fields[row.value]]


def _by_axis(values: Sequence[int | str | None]) -> str:
    """Values of the axes of a map; `all` where an axis has none."""
    if all(value is None for value in values):
        return "all"
    return "x".join("all" if value is None else str(value) for value in values)


def _figure(number: int) -> str:
    return f"{number:,}" if number else ""


EXTRA_COLUMNS: Mapping[str, _Column] = {
    "flops": _Column(
        "FLOPs",
        "flops",
        "two for each multiply-accumulate of convolutions and matrix products, nothing else",
        lambda table, row: 2 * table.macs(row),
        _figure,
        lambda table: f"{2 * table.counts.macs:,}",
    ),
    "receptive_field": _Column(
        "receptive field",
        "receptive_field",
        "elements of the input along each spatial axis that one element of the output depends on",
        _extents,
        _by_axis,
        lambda table: "",
    ),
    "stride": _Column(
        "stride",
        "stride",
        "elements of the input from one element of the output to the next, along each spatial axis",
        _strides,
        lambda strides: "" if None in strides else _by_axis(strides),
        lambda table: "",
    ),
    "memory": _Column(
        "bytes",
        "bytes",
        "bytes of the output in float32, for one image, and in the total the most that is alive at once",
        _memory,
        _figure,
        lambda table: f"peak {activation_peak(table.typed) * BYTES_PER_ELEMENT:,}",
    ),
}


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_short, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
