"""Convolution in 1-D, 2-D and 3-D (cross-correlation, as in every current library)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

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
from archforge.ops.window import Window, crop_spatial, pad_spatial, padded_zeros, resolve_window

__all__ = ["Conv"]


class Conv(Op):
    """Each output channel is a weighted sum over a window of the input channels of its group.

    x: float[N, C, *spatial] with 1 to 3 spatial axes; weight: float[out, C/groups, *kernel];
    bias: float[out]. Depthwise is `groups` equal to C.

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

    op: ClassVar[str] = "conv"
    gradient_reads: ClassVar = INPUTS

    out: Positive
    kernel: Extent = 1
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1
    groups: Positive = 1
    bias: Flag = True

    examples: ClassVar = (
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

    def window(self, x: TensorType) -> Window:
        """The window over `x`. Raises `ShapeError` if it does not fit."""
        return resolve_window(
            x, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`conv`")
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
        """One matrix product per position inside the kernel, summed: no copy of the input is made
        beyond its padding. Source: the definition, arXiv:1603.07285, chapter 2."""
        (x,) = inputs
        batch, channels = x.shape[:2]
        window = self.window(TensorType(x.shape[1:]))
        padded = pad_spatial(x, window)
        groups = self.groups
        weight = params["weight"].reshape(groups, self.out // groups, channels // groups, -1)
        # NumPy 2.1 hands only contiguous matrices to BLAS: ResNet-50 takes six times as long without.
        weights = np.ascontiguousarray(np.moveaxis(weight, -1, 0))
        y = np.zeros((batch, groups, self.out // groups, math.prod(window.output)), x.dtype)
        for matrix, (_, slices) in zip(weights, window.taps(), strict=True):
            tap = padded[(slice(None), slice(None), *slices)]
            y += matrix @ tap.reshape(batch, groups, channels // groups, -1)
        y = y.reshape(batch, self.out, *window.output)
        if self.bias:
            y += params["bias"].reshape(-1, *(1,) * len(window.output))
        return y

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        window = self.window(TensorType(x.shape[1:]))
        inputs = (self._input_gradient(back, window),) if back.of_inputs else ()
        params = {"weight": self._weight_gradient(back, window)} if back.of_params else {}
        if self.bias and back.of_params:
            params["bias"] = dy.sum(other_axes(dy, 1))
        return Gradients(inputs, params)

    def _weight_gradient(self, back: Backward, window: Window) -> Array:
        """One matrix product per position inside the kernel, of `dy` with the inputs under it."""
        (x,), weight, groups = back.inputs, back.params["weight"], self.groups
        batch, channels = x.shape[:2]
        padded = pad_spatial(x, window)
        products = back.dy.reshape(batch, groups, self.out // groups, -1)
        dweight = np.empty(
            (groups, self.out // groups, channels // groups, math.prod(window.kernel)), x.dtype
        )
        for tap, (_, slices) in enumerate(window.taps()):
            columns = padded[(slice(None), slice(None), *slices)]
            grouped = columns.reshape(batch, groups, channels // groups, -1)
            dweight[..., tap] = (products @ grouped.swapaxes(-1, -2)).sum(0)
        return dweight.reshape(weight.shape)

    def _input_gradient(self, back: Backward, window: Window) -> Array:
        """One matrix product per position inside the kernel, of its weight with `dy`."""
        (x,), groups = back.inputs, self.groups
        batch, channels = x.shape[:2]
        weight = back.params["weight"].reshape(groups, self.out // groups, channels // groups, -1)
        weights = np.ascontiguousarray(weight.transpose(3, 0, 2, 1))  # as BLAS takes them
        products = back.dy.reshape(batch, groups, self.out // groups, -1)
        dpadded = padded_zeros(x.shape, window, x.dtype)
        for matrix, (_, slices) in zip(weights, window.taps(), strict=True):
            under = dpadded[(slice(None), slice(None), *slices)]
            under += (matrix @ products).reshape(under.shape)
        return crop_spatial(dpadded, window, x.shape[2:])
