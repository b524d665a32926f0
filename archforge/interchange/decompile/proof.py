"""The proof that a text says a graph: it is read, expanded and compared node by node."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.sources import open_spec

__all__ = ["DiffersError", "prove"]


class DiffersError(Exception):
    """The error of a text that says another graph."""


def prove(typed: TypedGraph, order: Sequence[int], text: str) -> dict[str, str]:
    """The names that the parameters of `typed` have in the spec of that text, each with the graph's own.

    order: the numbers of the nodes of `typed` in the order in which the text has them. Raises `DiffersError`
    unless both have the same inputs and outputs, and nodes of equal ops and attributes, wired alike, that
    share the same parameters.
    """
    try:
        made = expand(open_spec(text)).graph
    except DiagnosticError as error:
        raise DiffersError(str(error)) from error
    if list(typed.inputs.items()) != list(made.inputs.items()) or len(made.nodes) != len(typed.nodes):
        raise DiffersError("other inputs, or another number of nodes")
    if sorted(order) != list(range(len(typed.nodes))):
        raise DiffersError("some nodes are not there")
    values = {name: name for name in typed.inputs}
    names: dict[str, str] = {}
    for number, new in zip(order, made.nodes, strict=True):
        node = typed.nodes[number]
        if node.op != new.op or tuple(values.get(v) for v in node.inputs) != new.inputs:
            raise DiffersError(f"{node.name} is {new.op!r} of {new.inputs}")
        values[node.name] = new.name
        for name in node.op.params(*typed.input_types(node)):
            own = node.param_name(name)
            if names.setdefault(new.param_name(name), own) != own:
                raise DiffersError(f"{node.name} shares parameters with others")
    if len(set(names.values())) != len(names):
        raise DiffersError("parameters that were shared are not")
    if list(made.outputs.items()) != [(key, values[value]) for key, value in typed.outputs.items()]:
        raise DiffersError("other outputs")
    return names
