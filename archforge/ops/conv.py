"""Convolution in 1-D, 2-D and 3-D (cross-correlation, as in every current library)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from archforge.ir import WHOLE, Init, ParamDecl, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Extent,
    Flag,
    Gradients,
    Op,
    Padding,
    Positive,
    other_axes,
    per_axis,
    require_groups,
    require_rank,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.window import (
    Window,
    add_columns,
    columns,
    crop_spatial,
    pad_spatial,
    padded_zeros,
    resolve_window,
)

__all__ = ["Conv", "Convolution"]


class Convolution(Op):
    """A convolution, whatever its weights are made of. x: float[N, C, *spatial] with 1 to 3 spatial axes;
    weight: float[out, C/groups, *kernel]; bias: float[out]. Depthwise is `groups` equal to C.

    Attributes:
        out: number of output channels, one kernel each
        kernel: extent of the window along each spatial axis, in elements
        stride: elements of the input from a window to the next, along each spatial axis
        padding: zeros put around the input, at both ends of each spatial axis; `same` and `same_upper` follow
            from the kernel
        dilation: elements of the input from a tap of the window to the next, along each spatial axis
        groups: number of groups of channels; each group of outputs sees its own group of inputs only
        bias: adds a trained number to each output channel
    """

    gradient_reads = INPUTS

    out: Positive
    kernel: Extent = 1
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1
    groups: Positive = 1
    bias: Flag = True

    def window(self, x: TensorType) -> Window:
        """The window over `x`. Raises `ShapeError` if it does not fit."""
        return resolve_window(
            x, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), f"`{self.kind}`")
        require_groups(self.groups, in_channels=x.channels, out=self.out)
        return TensorType((self.out, *self.window(x).output))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        kernel = per_axis(self.kernel, len(x.spatial), "kernel")
        shape = (self.out, x.channels // self.groups, *kernel)
        decls = {"weight": ParamDecl(shape)}
        if self.bias:
            decls["bias"] = ParamDecl((self.out,), "bias", Init("uniform", 1.0, math.prod(shape[1:])))
        return decls

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        window = self.window(x)
        products = x.channels // self.groups * math.prod(window.kernel)
        return self.out * math.prod(window.output) * products

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE, *self.window(*inputs).reaches())

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        """A matrix product with the elements under the window, for a part of the batch at a time. Source: the
        definition, arXiv:1603.07285, chapter 2."""
        (x,) = inputs
        window = self.window(TensorType(x.shape[1:]))
        padded, weight = pad_spatial(x, window), self._matrix(params["weight"])
        y = np.empty((len(x), self.out, *window.output), x.dtype)
        for part, source, output in window.parts(*x.shape[:2]):
            products = weight @ columns(padded[source], part, self.groups)
            y[output] = products.reshape(self.out, -1, *part.output).swapaxes(0, 1)
        if self.bias:
            y += params["bias"].reshape(-1, *(1,) * len(window.output))
        return y

    def _matrix(self, weight: Array) -> Array:
        """The weights as float[groups, out / groups, C / groups * taps]."""
        return weight.reshape(self.groups, self.out // self.groups, -1)

    def gradient(self, back: Backward) -> Gradients:
        """Matrix products of `dy` with the elements under the window, and with the weights."""
        (x,), dy = back.inputs, back.dy
        window = self.window(TensorType(x.shape[1:]))
        padded, weight = pad_spatial(x, window), self._matrix(back.params["weight"])
        dpadded = padded_zeros(x.shape, window, x.dtype) if back.of_inputs else x
        by_column = np.zeros_like(weight).swapaxes(1, 2)  # BLAS is faster with the many rows first
        for part, source, output in window.parts(*x.shape[:2]):
            rows = dy[output].swapaxes(0, 1).reshape(self.groups, self.out // self.groups, -1)
            if back.of_params:
                by_column += columns(padded[source], part, self.groups) @ rows.swapaxes(1, 2)
            if back.of_inputs:
                add_columns(dpadded[source], part, weight.swapaxes(1, 2) @ rows)
        inputs = (crop_spatial(dpadded, window, x.shape[2:]),) if back.of_inputs else ()
        dweight = by_column.swapaxes(1, 2).reshape(back.params["weight"].shape)
        params = {"weight": dweight} if back.of_params else {}
        if self.bias and back.of_params:
            params["bias"] = dy.sum(other_axes(dy, 1))
        return Gradients(inputs, params)


class Conv(Convolution):
    """Each output channel is a weighted sum over a window of the input channels of its group."""

    op = "conv"

    examples = (
        Example({"out": 5}, ((3, 6, 7),), "pointwise"),
        Example({"out": 4, "kernel": 3, "padding": 1, "stride": 2}, ((3, 7, 8),)),
        Example({"out": 4, "kernel": 3, "padding": "same", "bias": False}, ((2, 5, 6),)),
        Example({"out": 4, "kernel": (1, 4), "padding": "same_upper", "stride": 2}, ((2, 7, 8),), "uneven"),
        Example({"out": 3, "kernel": 2, "padding": ((0, 1), (2, 0))}, ((2, 5, 4),), "asymmetric"),
        Example({"out": 2, "kernel": 3, "dilation": 2, "padding": 2}, ((2, 6, 6),), "dilated"),
        Example({"out": 6, "kernel": 3, "groups": 2}, ((4, 5, 5),), "grouped"),
        Example({"out": 8, "kernel": 3, "groups": 4, "padding": 1}, ((4, 5, 5),), "depthwise, two each"),
        Example({"out": 3, "kernel": 5, "stride": 3, "padding": "valid"}, ((2, 17),), "1-D"),
        Example({"out": 3, "kernel": (2, 3, 1), "padding": (1, 0, 0)}, ((2, 4, 5, 3),), "3-D"),
    )
