"""Linear (fully connected, dense) layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Axis,
    Backward,
    Example,
    Flag,
    Gradients,
    Op,
    Positive,
    resolve_axis,
    whole_along,
)
from archforge.ops.lazy_numpy import np

__all__ = ["Linear"]


class Linear(Op):
    """Matrix product with the features, which are the last axis of (features,) or (time, features).

    x: float[N, *, F]; weight: float[out, F]; bias: float[out]. On a feature map the axis must be
    said: without it, a forgotten `flatten` would silently mix the columns of the map.

    Attributes:
        out: number of output features
        bias: adds a trained number to each output feature
        axis: axis that holds the features
    """

    op = "linear"
    gradient_reads = INPUTS

    out: Positive
    bias: Flag = True
    axis: Annotated[Axis | None, Field(description="the number of an axis, or null for the features")] = None

    examples = (
        Example({"out": 5}, ((7,),)),
        Example({"out": 4, "bias": False}, ((6,),)),
        Example({"out": 3}, ((5, 4),), "every time step"),
        Example({"out": 6, "axis": -1}, ((2, 3, 4),), "channels last, as inside ConvNeXt"),
        Example({"out": 5, "axis": 0}, ((4, 2, 3),), "over the channels of a map"),
    )

    def feature_axis(self, x: TensorType) -> int:
        """The axis of the features, from 0, batch excluded. Raises `ShapeError` if it must be said."""
        if self.axis is not None:
            return resolve_axis(self.axis, x)
        if len(x.shape) > 2:
            raise ShapeError(
                f"`linear` takes (features,) or (time, features), found {x}",
                help="`flatten` first, or say which axis holds the features: `axis: -1`",
            )
        return len(x.shape) - 1

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        axis = self.feature_axis(x)
        return TensorType((*x.shape[:axis], self.out, *x.shape[axis + 1 :]))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        features = x.shape[self.feature_axis(x)]
        decls = {"weight": ParamDecl((self.out, features))}
        if self.bias:
            decls["bias"] = ParamDecl((self.out,), "bias", Init("uniform", 1.0, features))
        return decls

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        others = math.prod(n for axis, n in enumerate(x.shape) if axis != self.feature_axis(x))
        return self.params(x)["weight"].size * others

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along({self.feature_axis(x)}, x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        axis = self.feature_axis(TensorType(x.shape[1:])) + 1
        y = np.moveaxis(x, axis, -1) @ params["weight"].T
        if self.bias:
            y += params["bias"]
        return np.moveaxis(y, -1, axis)

    def gradient(self, back: Backward) -> Gradients:
        axis = self.feature_axis(TensorType(back.inputs[0].shape[1:])) + 1
        x, dy = (np.moveaxis(a, axis, -1) for a in (*back.inputs, back.dy))
        rows, params = dy.reshape(-1, self.out), {}
        if back.of_params:
            params["weight"] = rows.T @ x.reshape(-1, x.shape[-1])
            if self.bias:
                params["bias"] = rows.sum(0)
        inputs = (np.moveaxis(dy @ back.params["weight"], -1, axis),) if back.of_inputs else ()
        return Gradients(inputs, params)
