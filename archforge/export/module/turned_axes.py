"""A graph with its permutations moved behind the ops that can work along any axis, where two of them meet and
are one or none."""

from __future__ import annotations

from dataclasses import replace

from archforge.ir import Graph, Node, Op, TypedGraph, infer
from archforge.ops import op_class
from archforge.ops.base import is_pointwise

__all__ = ["without_turns"]

Order = tuple[int, ...]  # axis i of a value is axis order[i] of another


def without_turns(typed: TypedGraph) -> TypedGraph:
    """A graph that computes the same outputs with no more permutations than must be."""
    turns = _Turns(typed)
    for node in typed.nodes:
        turns.take(node)
    outputs = {name: turns.as_it_was(value) for name, value in typed.outputs.items()}
    scopes = tuple(
        replace(s, inputs=tuple(turns.held[v][0] for v in s.inputs if v in turns.held), output="")
        for s in typed.scopes
    )
    return infer(Graph(typed.graph.name, typed.inputs, tuple(turns.nodes), outputs, scopes))


class _Turns:
    """The nodes so far; `held` tells for each value of the graph which one holds it, and its order there."""

    def __init__(self, typed: TypedGraph) -> None:
        self.typed = typed
        self.nodes: list[Node] = []
        self.held: dict[str, tuple[str, Order]] = {v: (v, ()) for v in typed.inputs}

    def take(self, node: Node) -> None:
        """Add a node, or what holds its value."""
        value, order = self.held[node.inputs[0]]
        if node.op.kind == "permute":
            turn: Order = node.op.attributes()["order"]
            whole = tuple(order[axis] for axis in turn) if order else turn
            self.held[node.name] = (value, () if whole == tuple(range(len(whole))) else whole)
        elif order and (op := self._turned(node, order)):
            self.nodes.append(replace(node, op=op, inputs=(value,)))
            self.held[node.name] = (node.name, order)
        else:
            inputs = tuple(map(self.as_it_was, node.inputs))
            self.nodes.append(replace(node, inputs=inputs))
            self.held[node.name] = (node.name, ())

    def as_it_was(self, value: str) -> str:
        """The name of a value in the order of the graph, for which a permutation is added if need be."""
        holder, order = self.held[value]
        if not order:
            return holder
        place = next((i for i, node in enumerate(self.nodes) if node.name == holder), -1)
        scope = self.nodes[place].scope if place >= 0 else 0
        name = f"{value}@turned"
        op = op_class("permute").model_validate({"order": order})
        # Beside its holder: who reads it may stand in a scope that has begun since.
        self.nodes.insert(place + 1, Node(name, op, (holder,), scope, None, name))
        self.held[value] = (name, ())
        return name

    def _turned(self, node: Node, order: Order) -> Op | None:
        """The op that does the same to a value before it is permuted; None if there is none."""
        attributes, types = node.op.attributes(), self.typed.input_types(node)
        if len(types) > 1:
            return None
        if "axis" in attributes:
            axis = -1 if attributes["axis"] is None else attributes["axis"]
            return node.op.model_copy(update={"axis": order[axis]}) if isinstance(axis, int) else None
        return node.op if is_pointwise(node.op, *types) else None
