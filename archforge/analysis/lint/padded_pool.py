"""W0508: a pool whose padding has more rows than its map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule, nodes_of
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.ops.pool import AvgPool, LpPool, MaxPool
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network, node in nodes_of(networks):
        if not isinstance(node.op, AvgPool | LpPool | MaxPool):
            continue
        map, pooled = network.graph.types[node.inputs[0]], network.graph.types[node.name]
        # Pyramids of pools look around each position; their padding is never the largest value.
        is_pyramid = isinstance(node.op, MaxPool) and map.spatial == pooled.spatial
        for size, pads in zip(map.spatial, node.op.window(map).padding, strict=True):
            if sum(pads) > size and not (is_pyramid and size > 1):
                message = f"`{node.op.kind}` pads {map} with {sum(pads)} rows or columns, and sees {size}"
                help = "less padding, a larger input, or `global_avg_pool`"
                yield Diagnostic("W0508", message, node.span, help=help)
                break


RULE = LintRule("W0508", _find, by_default=True)
