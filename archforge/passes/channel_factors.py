"""Factors for each channel that go into the weights of the op before, for the passes that find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array, Op
from archforge.ops.conv import Conv
from archforge.ops.conv_transpose import ConvTranspose
from archforge.ops.lazy_numpy import np
from archforge.ops.linear import Linear
from archforge.passes.graph_pass import ParamTransform, Rewrite

__all__ = ["Folds", "OutputWeight", "fold_into_weights"]


@dataclass(frozen=True, slots=True)
class OutputWeight:
    """A weight by its full name, whose output channels are axis 0; of a transposed convolution they are axis
    1 within each of `groups`, which is 0 for the others."""

    name: str
    shape: tuple[int, ...]
    groups: int

    @classmethod
    def of(cls, node: Node, typed: TypedGraph) -> OutputWeight:
        shape = node.op.params(*typed.input_types(node))["weight"].shape
        groups = node.op.groups if isinstance(node.op, ConvTranspose) else 0
        return cls(node.param_name("weight"), shape, groups)

    def times(self, factor: Array, arrays: Mapping[str, Array], dtype: str) -> Array:
        """The weight with each output channel times its factor, computed in float64."""
        scaled = np.empty(self.shape, dtype)
        split, spread = self._split()
        # Not by way of a float64 array as large as the weight.
        np.multiply(
            arrays[self.name].reshape(split),
            factor.reshape(spread),
            out=scaled.reshape(split),
            dtype=np.float64,
            casting="same_kind",
        )
        return scaled

    def _split(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The weight's shape with its output channels on an axis of their own, and a factor's."""
        if not self.groups:
            return self.shape, (-1, *(1,) * (len(self.shape) - 1))
        inputs, outputs, *kernel = self.shape  # outputs per group
        split = (self.groups, inputs // self.groups, outputs, *kernel)
        return split, (self.groups, 1, outputs, *(1,) * len(kernel))


# folds(source, node, into, typed): what makes the parameters `into` of the two nodes joined, and their op;
# None for a node that is not folded.
Folds = Callable[[Node, Node, str, TypedGraph], "tuple[ParamTransform, Op] | None"]


def fold_into_weights(typed: TypedGraph, taps: frozenset[str], folds: Folds) -> Rewrite:
    """Fold each node that `folds` takes into the op before it, if nothing else sees the value between them.

    The folded node is called like the second, whose value it computes, and owns new parameters.
    """
    graph = typed.graph
    nodes = {n.name: n for n in graph.nodes}
    users = graph.users()
    seen = taps.union(graph.outputs.values())
    transforms: dict[str, ParamTransform] = {}
    gone: dict[str, str] = {}
    for node in graph.nodes:
        source = nodes.get(node.inputs[0])
        if source is None or source.name in seen or users[source.name] != [node]:
            continue
        if not _can_absorb(source, typed):
            continue
        into = f"{source.params_of}+{node.params_of}"
        if found := folds(source, node, into, typed):
            transforms[into], op = found  # nodes that share all their parameters share these too
            nodes[node.name] = replace(source, name=node.name, op=op, params_of=into)
            gone[source.name] = node.name
    if not gone:
        return Rewrite(graph)
    graph = replace(graph, nodes=tuple(nodes.values())).replace_uses(gone)
    return Rewrite(graph, tuple(transforms.values()))


def _can_absorb(source: Node, typed: TypedGraph) -> bool:
    """True if a factor and a shift for each channel of the node's value can go into its parameters."""
    if isinstance(source.op, Linear):
        return source.op.feature_axis(*typed.input_types(source)) == 0
    return isinstance(source.op, Conv | ConvTranspose)
