"""Counts of a graph: layers, weights, biases, buffers and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from archforge.ir import Op, TensorType, TypedGraph

__all__ = ["Counts", "count", "figures"]


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
        """Weights and biases together."""
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


def figures(typed: TypedGraph, counts: Counts) -> dict[str, int | str]:
    """Every figure of a graph that `expect` may hold without a rule, under the name of its cell: its counts,
    and the shapes of its inputs and outputs, `3x224x224`."""
    inputs, outputs = typed.inputs.values(), (typed.types[value] for value in typed.outputs.values())
    return {**counts.by_cell(), "input": _shapes(inputs), "output": _shapes(outputs)}


def _shapes(types: Iterable[TensorType]) -> str:
    return ", ".join(map(str, types))


def count(typed: TypedGraph) -> Counts:
    """Totals over the whole graph; arrays that several nodes share count once."""
    layers = macs = weights = biases = buffers = 0
    counted: set[str] = set()
    needed = typed.needed_by(list(typed.outputs.values())[:1])
    tallies: dict[tuple[int, tuple[TensorType, ...]], _Tally] = {}  # nodes of one op are often many
    for node in typed.nodes:
        types = typed.input_types(node)
        key = (id(node.op), types)
        tally = tallies.get(key) or tallies.setdefault(key, _tally(node.op, types))
        layers += tally.layers
        if node.name in needed:
            macs += tally.macs
        if node.params_of not in counted:
            counted.add(node.params_of)
            weights += tally.weights
            biases += tally.biases
            buffers += tally.buffers
    return Counts(layers, weights, biases, buffers, macs)


class _Tally(NamedTuple):
    """The counts that one node adds."""

    layers: int
    macs: int
    weights: int
    biases: int
    buffers: int


def _tally(op: Op, types: tuple[TensorType, ...]) -> _Tally:
    sizes = {"weight": 0, "bias": 0, "buffer": 0}
    for decl in op.params(*types).values():
        sizes[decl.role] += decl.size
    return _Tally(op.counts_as_layer, op.macs(*types), sizes["weight"], sizes["bias"], sizes["buffer"])
