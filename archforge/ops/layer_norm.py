"""Layer normalisation, over the last axis or over any others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Epsilon,
    Example,
    Flag,
    Gradients,
    Op,
    other_axes,
    resolve_axis,
    whole_along,
)
from archforge.ops.sums import before_standardised, standardised

__all__ = ["LayerNorm"]

Axes = Annotated[
    int | Annotated[tuple[int, ...], Field(min_length=1)],
    Field(description="the number of an axis, or a list of them: 0 is the channels, -1 the last one"),
]


class LayerNorm(Op):
    """The elements along `axis` minus their mean, over their standard deviation, times weight, plus
    bias, at every position of the other axes.

    weight, bias: float[extents of the normalised axes]. The default is torch.nn.LayerNorm over the
    last axis; `axis: 0` normalises the channels of a map, as ConvNeXt does; a list normalises
    several together. The variance is the biased one. Source: arXiv:1607.06450.

    Attributes:
        axis: axes that are normalised, several of them together
        eps: added to the variance before its square root is taken, so that nothing is divided by 0
        affine: adds a trained factor and a trained bias for each position along the normalised axes
    """

    op = "layer_norm"
    gradient_reads = INPUTS

    axis: Axes = -1
    eps: Epsilon = 1e-5
    affine: Flag = True

    examples = (
        Example({}, ((6,),)),
        Example({}, ((3, 5),), "every time step"),
        Example({"axis": 0, "eps": 1e-6}, ((5, 2, 3),), "channels of a map, as in ConvNeXt"),
        Example({"axis": (-2, -1)}, ((2, 3, 4),), "the last two axes together"),
        Example({"axis": (2, 0)}, ((2, 3, 4),), "in any order"),
        Example({"axis": (0, 1, 2), "affine": False}, ((2, 3, 4),), "everything"),
    )

    def axes(self, x: TensorType) -> tuple[int, ...]:
        """The normalised axes in rising order, from 0, batch excluded. Raises `ShapeError`."""
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        axes = sorted(resolve_axis(a, x) for a in given)
        if len({*axes}) < len(axes):
            raise ShapeError(f"an axis of {x} is named twice", "axis", code="E0404")
        return tuple(axes)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        self.axes(x)
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        if not self.affine:
            return {}
        shape = tuple(x.shape[a] for a in self.axes(x))
        return {
            "weight": ParamDecl(shape, "weight", Init("constant", 1.0)),
            "bias": ParamDecl(shape, "weight", Init("constant", 0.0)),
        }

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along(self.axes(x), x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        axes, y, _ = self._normal(x)
        if self.affine:
            along = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))
            y = y * params["weight"].reshape(along) + params["bias"].reshape(along)
        return y

    def _normal(self, x: Array) -> tuple[tuple[int, ...], Array, Array]:
        """The axes, `x` normalised along them, and its deviation along them."""
        axes = tuple(a + 1 for a in self.axes(TensorType(x.shape[1:])))
        return axes, *standardised(x, axes, self.eps)

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        axes, normal, deviation = self._normal(x)
        params = {}
        if self.affine:
            others = other_axes(x, *axes)
            params = {"weight": (dy * normal).sum(others), "bias": dy.sum(others)}
            along = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))
            dy = dy * back.params["weight"].reshape(along)
        return Gradients((before_standardised(dy, normal, deviation, axes),), params)
