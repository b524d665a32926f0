"""Counts of a graph: layers, weights, biases, buffers and multiply-accumulates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from archforge.ir import TypedGraph

__all__ = ["Counts", "count"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of one network. `params` is weights plus biases; buffers are not among them.

    `weights` are kernels, matrices and the gamma and beta of norms, `biases` those of convolutions,
    linear and recurrent layers. `macs` are of convolutions and matrix products for one image, as far
    as the first output needs them; FLOPs are twice as many. `layers` are op nodes, merges left out.
    """

    layers: int
    weights: int
    biases: int
    buffers: int
    macs: int

    @property
    def params(self) -> int:
        return self.weights + self.biases


def count(typed: TypedGraph) -> Counts:
    """Totals over the whole graph; arrays that several nodes share count once."""
    sizes: Counter[str] = Counter()
    for decl in typed.params().values():
        sizes[decl.role] += decl.size
    needed = _needed_by_first_output(typed)
    return Counts(
        layers=sum(n.op.counts_as_layer for n in typed.nodes),
        weights=sizes["weight"],
        biases=sizes["bias"],
        buffers=sizes["buffer"],
        macs=sum(n.op.macs(*typed.input_types(n)) for n in typed.nodes if n.name in needed),
    )


def _needed_by_first_output(typed: TypedGraph) -> set[str]:
    needed = set(list(typed.graph.outputs.values())[:1])
    for node in reversed(typed.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return needed
