"""A pass that folds batch norms, which are a factor and a shift for each channel, into ops before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.conv import Conv
from archforge.ops.conv_transpose import ConvTranspose
from archforge.ops.lazy_numpy import np
from archforge.ops.linear import Linear
from archforge.passes.example_graphs import graph, node
from archforge.passes.graph_pass import Pass, Rewrite

__all__ = ["PASS", "FoldBatchNorm"]


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """W' = W * s and b' = (b - mean) * s + beta per output channel, s = gamma / sqrt(var + eps).

    Source: arXiv:1712.05877, section 3.2. Where a bias or beta is not among `reads` it is 0, a gamma 1.
    The weight's output channels are its axis 0; of a transposed convolution, axis 1 within each of
    `groups`, which is 0 for the others.
    """

    source: str
    norm: str
    into: str
    reads: tuple[str, ...]
    shape: tuple[int, ...]
    channels: int
    eps: float
    groups: int

    @property
    def makes(self) -> Mapping[str, tuple[int, ...]]:
        return {f"{self.into}.weight": self.shape, f"{self.into}.bias": (self.channels,)}

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """The new weight and bias, computed in float64: folding costs a float32 network no accuracy.

        Statistics that give no finite number, such as a negative variance, give none here either.
        """
        with np.errstate(all="ignore"):
            return self._folded(arrays, dtype)

    def _folded(self, arrays: Mapping[str, Array], dtype: str) -> dict[str, Array]:
        weight = f"{self.source}.weight"
        wide = {name: np.asarray(arrays[name], np.float64) for name in self.reads if name != weight}
        gamma, beta = wide.get(f"{self.norm}.weight", 1.0), wide.get(f"{self.norm}.bias", 0.0)
        factor = gamma / np.sqrt(wide[f"{self.norm}.running_var"] + self.eps)
        shift = wide.get(f"{self.source}.bias", 0.0) - wide[f"{self.norm}.running_mean"]
        scaled = np.empty(self.shape, dtype)
        split, spread = self._split()
        # Not by way of a float64 array as large as the weight.
        np.multiply(
            arrays[weight].reshape(split),
            factor.reshape(spread),
            out=scaled.reshape(split),
            dtype=np.float64,
            casting="same_kind",
        )
        return {f"{self.into}.weight": scaled, f"{self.into}.bias": (shift * factor + beta).astype(dtype)}

    def _split(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The weight's shape with its output channels on an axis of their own, and a factor's."""
        if not self.groups:
            return self.shape, (-1, *(1,) * (len(self.shape) - 1))
        inputs, outputs, *kernel = self.shape  # outputs per group
        split = (self.groups, inputs // self.groups, outputs, *kernel)
        return split, (self.groups, 1, outputs, *(1,) * len(kernel))


def fold_batch_norm(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Fold each batch norm into the op before it, if nothing else sees the value between them.

    The folded node is called like the norm, whose value it computes, and owns new parameters.
    """
    graph = typed.graph
    nodes = {n.name: n for n in graph.nodes}
    users = graph.users()
    seen = taps.union(graph.outputs.values())
    transforms: dict[str, FoldBatchNorm] = {}
    folded: dict[str, str] = {}
    for norm in graph.nodes:
        if not isinstance(norm.op, BatchNorm):
            continue
        source = nodes.get(norm.inputs[0])
        if source is None or not _can_absorb(source, typed) or source.name in seen:
            continue
        if users[source.name] != [norm]:
            continue
        transform = _transform(source, norm, norm.op.eps, typed)
        transforms[transform.into] = transform  # nodes that share all their parameters share these too
        op = source.op.model_copy(update={"bias": True})
        nodes[norm.name] = replace(source, name=norm.name, op=op, params_of=transform.into)
        folded[source.name] = norm.name
    graph = replace(graph, nodes=tuple(nodes.values())).replace_uses(folded)
    return Rewrite(graph, tuple(transforms.values()))


def _can_absorb(source: Node, typed: TypedGraph) -> bool:
    """True if a factor and a shift for each channel of the node's value can go into its parameters."""
    if isinstance(source.op, Linear):
        # Its outputs lie along the last axis, a norm's channels along the first.
        return len(typed.types[source.name].shape) == 1
    return isinstance(source.op, Conv | ConvTranspose)


def _transform(source: Node, norm: Node, eps: float, typed: TypedGraph) -> FoldBatchNorm:
    params = {node.name: node.op.params(*typed.input_types(node)) for node in (source, norm)}
    return FoldBatchNorm(
        source=source.params_of,
        norm=norm.params_of,
        into=f"{source.params_of}+{norm.params_of}",
        reads=tuple(node.param_name(name) for node in (source, norm) for name in params[node.name]),
        shape=params[source.name]["weight"].shape,
        channels=typed.types[source.name].channels,
        eps=eps,
        groups=source.op.groups if isinstance(source.op, ConvTranspose) else 0,
    )


def _examples() -> Iterator[TypedGraph]:
    window: dict[str, Any] = {
        "kernel": (2, 3),
        "stride": (1, 2),
        "padding": ((0, 2), (3, 1)),
        "dilation": (2, 1),
    }
    yield graph(
        node("conv", "conv", "input", out=6, **window, groups=2, bias=False),
        node("bn", "bn", "conv", eps=0.1, momentum=0.2),
        node("flatten", "flatten", "bn"),
        node("fc", "linear", "flatten", out=3, bias=False, axis=-1),
        node("end", "bn", "fc", eps=0.2, scale=False),
    )
    yield graph(
        node("up", "conv_transpose", "input", out=6, **window, output_padding=(0, 1), groups=2, bias=False),
        node("bn", "bn", "up", eps=0.1, affine=False),
    )
    # Two uses of the same parameters.
    yield graph(
        node("left", "conv", "a", out=4, kernel=2, params_of="twin"),
        node("left_bn", "bn", "left", params_of="bn"),
        node("right", "conv", "b", out=4, kernel=2, params_of="twin"),
        node("right_bn", "bn", "right", params_of="bn"),
        node("product", "multiply", "left_bn", "right_bn"),
        inputs={"a": (3, 4, 4), "b": (3, 4, 4)},
    )


# Second: after the identities between convolutions and norms are gone.
PASS = Pass("fold_batch_norm", 1, fold_batch_norm, _examples)
