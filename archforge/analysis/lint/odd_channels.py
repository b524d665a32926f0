"""W0505: channels that fill no vector of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule, nodes_of
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]

VECTOR = 8  # numbers of float32 in 256 bits


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network, node in nodes_of(networks):
        out = node.op.attributes().get("out")
        is_end = node.name in network.graph.outputs.values()
        if node.op.kind == "conv" and type(out) is int and out % VECTOR and not is_end:
            below, above = out // VECTOR * VECTOR, -(-out // VECTOR) * VECTOR
            message = f"{out} channels fill no whole number of vectors of {VECTOR}"
            near = f"{below} or {above}" if below else str(above)
            yield Diagnostic("W0505", message, node.span, help=f"nearest that do: {near}")


RULE = LintRule("W0505", _find, by_default=False)
