"""Counts of a graph: layers, weights, biases, buffers and multiply-accumulates."""

from __future__ import annotations

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

    def by_cell(self) -> dict[str, int]:
        """Each count under the name of its cell in `expect`, which every output of ours uses."""
        return {
            "layers": self.layers,
            "weights": self.weights,
            "biases": self.biases,
            "params": self.params,
            "buffers": self.buffers,
            "macs": self.macs,
        }


def count(typed: TypedGraph) -> Counts:
    """Totals over the whole graph; arrays that several nodes share count once."""
    sizes = {"weight": 0, "bias": 0, "buffer": 0}
    layers = macs = 0
    counted: set[str] = set()
    needed = _needed_by_first_output(typed)
    for node in typed.nodes:
        types = typed.input_types(node)
        layers += node.op.counts_as_layer
        if node.name in needed:
            macs += node.op.macs(*types)
        if node.params_of not in counted:
            counted.add(node.params_of)
            for decl in node.op.params(*types).values():
                sizes[decl.role] += decl.size
    return Counts(layers, sizes["weight"], sizes["bias"], sizes["buffer"], macs)


def _needed_by_first_output(typed: TypedGraph) -> set[str]:
    needed = set(list(typed.graph.outputs.values())[:1])
    for node in reversed(typed.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return needed
