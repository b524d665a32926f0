"""A pass that folds layer scales, which are a factor for each channel, into ops before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array, Op
from archforge.ops.lazy_numpy import np
from archforge.ops.scale import LayerScale
from archforge.passes.channel_factors import OutputWeight, fold_into_weights
from archforge.passes.example_graphs import UNEVEN_TRANSPOSED, UNEVEN_WINDOW, graph, node
from archforge.passes.graph_pass import ParamTransform, Pass, Rewrite

__all__ = ["PASS"]


@dataclass(frozen=True, slots=True)
class _FoldLayerScale:
    """W' = W * s, and b' = b * s where there is a bias, per output channel; s are the trained factors."""

    factors: str
    bias: str  # its name, empty if there is none
    into: str
    weight: OutputWeight
    channels: int

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.factors, self.weight.name, *([self.bias] if self.bias else []))

    @property
    def makes(self) -> Mapping[str, tuple[int, ...]]:
        bias = {f"{self.into}.bias": (self.channels,)} if self.bias else {}
        return {f"{self.into}.weight": self.weight.shape, **bias}

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """The new weight and bias, computed in float64: folding costs a float32 network no accuracy."""
        with np.errstate(all="ignore"):
            factor = np.asarray(arrays[self.factors], np.float64).reshape(-1)
            made = {f"{self.into}.weight": self.weight.times(factor, arrays, dtype)}
            if self.bias:
                made[f"{self.into}.bias"] = (arrays[self.bias] * factor).astype(dtype)
            return made


def fold_layer_scale(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Fold each layer scale into the op before it, if nothing else sees the value between them."""
    return fold_into_weights(typed, taps, _folds)


def _folds(source: Node, scale: Node, into: str, typed: TypedGraph) -> tuple[ParamTransform, Op] | None:
    if not isinstance(scale.op, LayerScale):
        return None
    has_bias = "bias" in source.op.params(*typed.input_types(source))
    transform = _FoldLayerScale(
        factors=scale.param_name(""),
        bias=source.param_name("bias") if has_bias else "",
        into=into,
        weight=OutputWeight.of(source, typed),
        channels=typed.types[scale.name].channels,
    )
    return transform, source.op


def _examples() -> Iterator[TypedGraph]:
    yield graph(
        node("conv", "conv", "input", out=6, **UNEVEN_WINDOW, groups=2, bias=False),
        node("first", "layer_scale", "conv", init=0.1),
        node("wide", "linear", "first", out=4, axis=0),
        node("second", "layer_scale", "wide", keep=False),
        node("narrow", "linear", "second", out=3, axis=0, bias=False),
        node("third", "layer_scale", "narrow"),
        node("features", "linear", "third", out=2, axis=-1),
        node("fourth", "layer_scale", "features"),  # of channels, which are not the features
    )
    yield graph(
        node("up", "conv_transpose", "input", **UNEVEN_TRANSPOSED),
        node("scaled", "layer_scale", "up"),
    )


# After batch norms, with which a layer scale may follow one convolution.
PASS = Pass("fold_layer_scale", 2, fold_layer_scale, _examples)
