"""The proof that a text says a graph: it is read, expanded and compared node by node."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.resolve import resolve

__all__ = ["difference", "graph_of"]


def graph_of(text: str, name: str) -> TypedGraph:
    """The graph of a spec's text. Raises `DiagnosticError`."""
    library = Library()
    return expand(resolve(library.read_text(text, "<printed>"), library, name)).graph


def difference(typed: TypedGraph, order: Sequence[int], text: str) -> str:
    """The first thing that the graph of `text` has otherwise than `typed`; empty if both have the same inputs
    and outputs, and nodes of equal op and attributes, wired alike, that share the same parameters.

    order: the numbers of the nodes of `typed` in the order in which the text has them.
    """
    try:
        made = graph_of(text, typed.graph.name)
    except DiagnosticError as error:
        return str(error)
    if dict(typed.inputs) != dict(made.inputs):
        return "other inputs"
    if sorted(order) != list(range(len(typed.nodes))) or len(made.nodes) != len(order):
        return f"{len(made.nodes)} nodes of {len(typed.nodes)}"
    names = {name: name for name in typed.inputs}
    owners: dict[str, str] = {}
    for number, new in zip(order, made.nodes, strict=True):
        node = typed.nodes[number]
        if node.op != new.op:
            return f"{node.name}: {node.op!r} is {new.op!r}"
        if tuple(names.get(v) for v in node.inputs) != new.inputs:
            return f"{node.name}: reads {new.inputs}"
        owns = node.op.params(*typed.input_types(node))
        if owns and owners.setdefault(node.params_of, new.params_of) != new.params_of:
            return f"{node.name}: other parameters"
        names[node.name] = new.name
    if len(set(owners.values())) != len(owners):
        return "parameters that are shared, and should not be"
    if dict(made.outputs) != {key: names[value] for key, value in typed.outputs.items()}:
        return "other outputs"
    return ""
