"""A pass that folds batch norms, which are a factor and a shift for each channel, into ops before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array, Op
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.lazy_numpy import np
from archforge.passes.channel_factors import OutputWeight, fold_into_weights
from archforge.passes.example_graphs import UNEVEN_TRANSPOSED, UNEVEN_WINDOW, graph, node
from archforge.passes.graph_pass import ParamTransform, Pass, Rewrite

__all__ = ["PASS", "FoldBatchNorm"]


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """W' = W * s and b' = (b - mean) * s + beta per output channel, s = gamma / sqrt(var + eps).

    Source: arXiv:1712.05877, section 3.2. Where a bias or beta is not among `reads` it is 0, a gamma 1.
    """

    source: str
    norm: str
    into: str
    reads: tuple[str, ...]
    weight: OutputWeight
    channels: int
    eps: float

    @property
    def makes(self) -> Mapping[str, tuple[int, ...]]:
        return {f"{self.into}.weight": self.weight.shape, f"{self.into}.bias": (self.channels,)}

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """The new weight and bias, computed in float64: folding costs a float32 network no accuracy.

        Statistics that give no finite number, such as a negative variance, give none here either.
        """
        with np.errstate(all="ignore"):
            return self._folded(arrays, dtype)

    def _folded(self, arrays: Mapping[str, Array], dtype: str) -> dict[str, Array]:
        wide = {name: np.asarray(arrays[name], np.float64) for name in self.reads if name != self.weight.name}
        gamma, beta = wide.get(f"{self.norm}.weight", 1.0), wide.get(f"{self.norm}.bias", 0.0)
        factor = gamma / np.sqrt(wide[f"{self.norm}.running_var"] + self.eps)
        shift = wide.get(f"{self.source}.bias", 0.0) - wide[f"{self.norm}.running_mean"]
        return {
            f"{self.into}.weight": self.weight.times(factor, arrays, dtype),
            f"{self.into}.bias": (shift * factor + beta).astype(dtype),
        }


def fold_batch_norm(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Fold each batch norm into the op before it, if nothing else sees the value between them."""
    return fold_into_weights(typed, taps, _folds)


def _folds(source: Node, norm: Node, into: str, typed: TypedGraph) -> tuple[ParamTransform, Op] | None:
    if not isinstance(norm.op, BatchNorm):
        return None
    transform = FoldBatchNorm(
        source=source.params_of,
        norm=norm.params_of,
        into=into,
        reads=tuple(n.param_name(p) for n in (source, norm) for p in n.op.params(*typed.input_types(n))),
        weight=OutputWeight.of(source, typed),
        channels=typed.types[norm.name].channels,
        eps=norm.op.eps,
    )
    return transform, source.op.model_copy(update={"bias": True})


def _examples() -> Iterator[TypedGraph]:
    yield graph(
        node("conv", "conv", "input", out=6, **UNEVEN_WINDOW, groups=2, bias=False),
        node("bn", "bn", "conv", eps=0.1, momentum=0.2),
        node("flatten", "flatten", "bn"),
        node("fc", "linear", "flatten", out=3, bias=False, axis=-1),
        node("end", "bn", "fc", eps=0.2, scale=False),
    )
    yield graph(
        node("up", "conv_transpose", "input", **UNEVEN_TRANSPOSED),
        node("bn", "bn", "up", eps=0.1, affine=False),
        node("conv", "conv", "bn", out=3),
        node("factor", "bn", "conv", center=False),
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
