"""Transposed convolution in 1-D, 2-D and 3-D: the adjoint of convolution, which upsamples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import WHOLE, Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Count,
    Example,
    Extent,
    Flag,
    Gradients,
    Op,
    Positive,
    other_axes,
    per_axis,
    require_groups,
    require_rank,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.window import Window

__all__ = ["ConvTranspose"]

Margins = Annotated[
    Count | tuple[Count | tuple[Count, Count], ...],
    Field(description="a whole number, or a list of one number or [before, after] pair per axis"),
]
Excess = Annotated[
    Count | tuple[Count, ...],
    Field(description="a whole number, 0 or more, or a list of one per axis"),
]


class ConvTranspose(Op):
    """Each input element adds its multiple of the kernel to the output, `stride` apart; `padding`
    is cut off the result and `output_padding` appended to it.

    x: float[N, C, *spatial] with 1 to 3 spatial axes; weight: float[C, out/groups, *kernel];
    bias: float[out]. Source: arXiv:1603.07285, chapter 4; torch.nn.ConvTranspose2d.

    Attributes:
        out: number of output channels
        kernel: extent of what each input element adds to, along each spatial axis, in elements of the output
        stride: elements of the output from the kernel of an input element to that of the next, along each
            spatial axis
        padding: elements cut off the result, at both ends of each spatial axis
        output_padding: elements added behind the result along each spatial axis, to choose between sizes that
            fit
        dilation: elements of the output from a tap of the kernel to the next, along each spatial axis
        groups: number of groups of channels; each group of inputs adds to its own group of outputs only
        bias: adds a trained number to each output channel
    """

    op = "conv_transpose"
    gradient_reads = INPUTS

    out: Positive
    kernel: Extent
    stride: Extent = 1
    padding: Margins = 0
    output_padding: Excess = 0
    dilation: Extent = 1
    groups: Positive = 1
    bias: Flag = True

    examples = (
        Example({"out": 3, "kernel": 2, "stride": 2}, ((4, 3, 5),), "doubling, as in U-Net"),
        Example({"out": 2, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1}, ((3, 4, 3),)),
        Example({"out": 4, "kernel": (3, 2), "groups": 2, "bias": False}, ((6, 3, 4),), "grouped"),
        Example({"out": 2, "kernel": 3, "dilation": 2, "padding": ((1, 2), (0, 1))}, ((2, 3, 4),), "uneven"),
        Example({"out": 2, "kernel": 2, "stride": 3}, ((2, 3, 2),), "gaps between the kernels"),
        Example({"out": 3, "kernel": 4, "stride": 2, "padding": 1}, ((2, 6),), "1-D"),
        Example({"out": 2, "kernel": (1, 2, 3), "stride": (1, 2, 1)}, ((3, 2, 2, 3),), "3-D"),
    )

    def window(self, x: TensorType) -> Window:
        """The window of the convolution that this is the adjoint of: over the output before it is
        cut, with one position per input element. `padding` is what the cut takes.

        Raises `ShapeError` if an attribute does not fit the axes of `x`.
        """
        axes = len(x.spatial)
        margins = self.padding if isinstance(self.padding, tuple) else (self.padding,) * axes
        if len(margins) != axes:
            raise ShapeError(
                f"`padding` has {len(margins)} values for an input with {axes} spatial axes",
                "padding",
                help=f"one whole number, or a list of {axes}",
                code="E0404",
            )
        return Window(
            kernel=per_axis(self.kernel, axes, "kernel"),
            stride=per_axis(self.stride, axes, "stride"),
            dilation=per_axis(self.dilation, axes, "dilation"),
            padding=tuple(m if isinstance(m, tuple) else (m, m) for m in margins),
            output=x.spatial,
        )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`conv_transpose`")
        require_groups(self.groups, in_channels=x.channels, out=self.out)
        window = self.window(x)
        excess = per_axis(self.output_padding, len(x.spatial), "output_padding")
        for e, s, d in zip(excess, window.stride, window.dilation, strict=True):
            if e and e >= max(s, d):
                raise ShapeError(
                    "output_padding must be smaller than stride or dilation",
                    "output_padding",
                    label=f"{e} >= {max(s, d)}",
                    code="E0404",
                )
        full = self._full(window)
        sizes = tuple(n - sum(p) for n, p in zip(full, window.padding, strict=True))
        if min(sizes) < 1:
            raise ShapeError(
                f"padding leaves nothing of the output of {'x'.join(map(str, full))}",
                "padding",
                help="less padding, a larger kernel or a larger input",
                mended_by="larger",
                code="E0403",
            )
        return TensorType((self.out, *sizes))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        kernel = per_axis(self.kernel, len(x.spatial), "kernel")
        shape = (x.channels, self.out // self.groups, *kernel)
        decls = {"weight": ParamDecl(shape)}
        if self.bias:
            decls["bias"] = ParamDecl((self.out,), "bias", Init("uniform", 1.0, math.prod(shape[1:])))
        return decls

    def macs(self, *inputs: TensorType) -> int:
        return self.params(*inputs)["weight"].size * math.prod(inputs[0].spatial)

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        window = self.window(*inputs)
        taps = zip(window.reach, window.stride, strict=True)
        return (WHOLE, *(Reach((r - 1) // s + 1, 1, s) for r, s in taps))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        """One matrix product per position inside the kernel, added where its products belong."""
        (x,) = inputs
        batch, channels = x.shape[:2]
        groups, window = self.groups, self.window(TensorType(x.shape[1:]))
        grouped = x.reshape(batch, groups, channels // groups, -1)
        weight = params["weight"].reshape(groups, channels // groups, self.out // groups, -1)
        full = self._full(window)
        y = np.zeros((batch, self.out, *full), x.dtype)
        for tap, (_, slices) in enumerate(window.taps()):
            products = weight[..., tap].swapaxes(1, 2) @ grouped
            y[(slice(None), slice(None), *slices)] += products.reshape(batch, self.out, *window.output)
        kept = (slice(a, n - b) for (a, b), n in zip(window.padding, full, strict=True))
        y = y[(slice(None), slice(None), *kept)]
        if self.bias:
            y = y + params["bias"].reshape(-1, *(1,) * len(full))
        return y

    def gradient(self, back: Backward) -> Gradients:
        """The convolution that this is the adjoint of takes `dy` to the gradient of the input."""
        (x,), dy = back.inputs, back.dy
        batch, channels, groups = *x.shape[:2], self.groups
        window = self.window(TensorType(x.shape[1:]))
        full = np.zeros((batch, self.out, *self._full(window)), dy.dtype)
        kept = (slice(a, n - b) for (a, b), n in zip(window.padding, full.shape[2:], strict=True))
        full[(slice(None), slice(None), *kept)] = dy
        grouped = x.reshape(batch, groups, channels // groups, -1)
        weight = back.params["weight"].reshape(groups, channels // groups, self.out // groups, -1)
        dweight, dx = np.zeros_like(weight), np.zeros_like(grouped)
        for tap, (_, slices) in enumerate(window.taps()):
            columns = full[(slice(None), slice(None), *slices)].reshape(batch, groups, self.out // groups, -1)
            if back.of_params:
                dweight[..., tap] = (grouped @ columns.swapaxes(-1, -2)).sum(0)
            if back.of_inputs:
                dx += weight[..., tap] @ columns
        params = {"weight": dweight.reshape(back.params["weight"].shape)} if back.of_params else {}
        if self.bias and back.of_params:
            params["bias"] = dy.sum(other_axes(dy, 1))
        return Gradients((dx.reshape(x.shape),) if back.of_inputs else (), params)

    def _full(self, window: Window) -> tuple[int, ...]:
        """Extents of the output before padding is cut off, `output_padding` included."""
        excess = per_axis(self.output_padding, len(window.output), "output_padding")
        return tuple(
            (n - 1) * s + r + e
            for n, s, r, e in zip(window.output, window.stride, window.reach, excess, strict=True)
        )
