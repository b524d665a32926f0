"""The elements under a sliding window, each window a column."""

from __future__ import annotations

import math
from collections.abc import Mapping

from archforge.ir import WHOLE, Reach, TensorType
from archforge.ops.base import Array, Backward, Example, Extent, Gradients, Op, Padding, require_rank
from archforge.ops.window import (
    Window,
    add_columns,
    columns,
    crop_spatial,
    pad_spatial,
    padded_zeros,
    resolve_window,
)

__all__ = ["Unfold"]


class Unfold(Op):
    """All elements under each position of a window, one position after the other (im2col).

    x: float[N, C, *spatial] with 1 to 3 spatial axes gives float[N, C * taps, positions]: row c * taps + t is
    tap t of channel c, taps and positions with the last axis running fastest. Source: torch.nn.Unfold.

    Attributes:
        kernel: extent of the window along each spatial axis, in elements
        stride: elements of the input from a window to the next, along each spatial axis
        padding: zeros put around the input, at both ends of each spatial axis; `same` and `same_upper` follow
            from the kernel
        dilation: elements of the input from a tap of the window to the next, along each spatial axis
    """

    op = "unfold"

    kernel: Extent
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1

    examples = (
        Example({"kernel": 2}, ((3, 3, 4),)),
        Example({"kernel": (3, 2), "padding": 1, "stride": (1, 2)}, ((2, 4, 5),)),
        Example({"kernel": 3, "padding": "same", "dilation": 2}, ((2, 4, 3),), "dilated"),
        Example({"kernel": 2, "padding": ((0, 1), (1, 0))}, ((2, 3, 2),), "asymmetric"),
        Example({"kernel": 3, "stride": 2}, ((2, 7),), "1-D"),
        Example({"kernel": (2, 1, 2)}, ((2, 3, 2, 3),), "3-D"),
    )

    def window(self, x: TensorType) -> Window:
        """The window over `x`. Raises `ShapeError` if it does not fit."""
        return resolve_window(
            x, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`unfold`")
        window = self.window(x)
        return TensorType((x.channels * math.prod(window.kernel), math.prod(window.output)))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE, WHOLE)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        window = self.window(TensorType(x.shape[1:]))
        found = columns(pad_spatial(x, window), window)
        return found.reshape(found.shape[1], len(x), -1).swapaxes(0, 1)

    def gradient(self, back: Backward) -> Gradients:
        """Each element of the map gets what the windows over it have."""
        (x,), dy = back.inputs, back.dy
        window = self.window(TensorType(x.shape[1:]))
        padded = padded_zeros(x.shape, window, dy.dtype)
        add_columns(padded, window, dy.swapaxes(0, 1))
        return Gradients((crop_spatial(padded, window, x.shape[2:]),))
