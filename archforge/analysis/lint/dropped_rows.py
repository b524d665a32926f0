"""W0504: a stride that leaves the last rows or columns of a map unread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule, along, nodes_of
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.ir import Node, TypedGraph
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network, node in nodes_of(networks):
        if left := _unread(network.graph, node):
            size = network.graph.types[node.inputs[0]]
            message = f"`{node.op.kind}` leaves the last {left} of the rows or columns of {size} unread"
            yield Diagnostic(
                "W0504", message, node.span, help="another padding, an input of another size, or `ceil`"
            )


def _unread(typed: TypedGraph, node: Node) -> int:
    """The most rows or columns at an end of the padded map that no window reaches."""
    attributes = node.op.attributes()
    stride = attributes.get("stride")
    if stride is None or attributes.get("ceil") or node.op.kind == "conv_transpose":
        return 0
    spatial = typed.types[node.inputs[0]].spatial
    found = 0
    for axis, size in enumerate(spatial):
        kernel, step, padding, dilation = (
            along(attributes.get(name, default), axis)
            for name, default in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
        )
        if all(type(number) is int for number in (kernel, step, padding, dilation)):
            rest = (size + 2 * padding - dilation * (kernel - 1) - 1) % step
            found = max(found, rest - padding)  # what is left of the padding is no loss
    return found


RULE = LintRule("W0504", _find, by_default=False)
