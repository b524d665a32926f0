"""W0508: a pool whose padding has more rows than its map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule, along, nodes_of
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network, node in nodes_of(networks):
        padding = node.op.attributes().get("padding")
        if padding is None or not node.op.kind.endswith("_pool"):
            continue
        map = network.graph.types[node.inputs[0]]
        for axis, size in enumerate(map.spatial):
            padded = along(padding, axis)
            if type(padded) is int and 2 * padded > size:
                message = f"`{node.op.kind}` pads {map} with {2 * padded} rows or columns, and sees {size}"
                help = "less padding, a larger input, or `global_avg_pool`"
                yield Diagnostic("W0508", message, node.span, help=help)
                break


RULE = LintRule("W0508", _find, by_default=False)
