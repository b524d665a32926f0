"""Upsampling by a whole factor, by repetition or by linear interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from archforge.ir import ELEMENTWISE, Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Extent, Flag, Gradients, Op, per_axis, require_rank
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Upsample"]

Mode = Annotated[
    Literal["nearest", "linear", "bilinear", "trilinear"],
    Field(description="`nearest`, `linear` (1-D), `bilinear` (2-D) or `trilinear` (3-D)"),
]
_LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Upsample(Op):
    """Each spatial axis `factor` times as long.

    x: float[N, C, *spatial] with 1 to 3 spatial axes. Linear modes take output i from position
    (i + 1/2) / factor - 1/2 of the input, or, with `align_corners`, from i * (n - 1) / (o - 1);
    positions outside take the element at the edge. Source: torch.nn.Upsample.

    Attributes:
        factor: output elements for each input element, along each spatial axis
        mode: repetition, or linear interpolation along as many axes as there are
        align_corners: puts the first and the last output at the centres of the first and the last input;
            without it the edges are aligned
    """

    op = "upsample"

    factor: Extent = 2
    mode: Mode = "nearest"
    align_corners: Flag = False

    examples = (
        Example({}, ((2, 3, 4),)),
        Example({"factor": (1, 3)}, ((2, 3, 2),)),
        Example({"mode": "bilinear"}, ((2, 3, 4),)),
        Example({"factor": (3, 2), "mode": "bilinear", "align_corners": True}, ((2, 3, 4),)),
        Example({"mode": "bilinear", "align_corners": True}, ((2, 1, 3),), "one element on an axis"),
        Example({}, ((2, 5),), "1-D"),
        Example({"factor": 3, "mode": "linear"}, ((2, 5),), "1-D"),
        Example({}, ((2, 2, 3, 2),), "3-D"),
        Example({"mode": "trilinear"}, ((2, 2, 3, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`upsample`")
        axes = len(x.spatial)
        if self.mode not in ("nearest", _LINEAR_MODES[axes]):
            raise ShapeError(
                f"`{self.mode}` does not fit an input of {x}",
                "mode",
                help=f"`{_LINEAR_MODES[axes]}` or `nearest`",
                code="E0404",
            )
        if self.align_corners and self.mode == "nearest":
            raise ShapeError(
                "`align_corners` has no meaning for `nearest`",
                "align_corners",
                help=f"`mode: {_LINEAR_MODES[axes]}`",
                code="E0404",
            )
        factors = per_axis(self.factor, axes, "factor")
        return TensorType((x.channels, *(n * f for n, f in zip(x.spatial, factors, strict=True))))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        factors = per_axis(self.factor, len(x.spatial), "factor")
        if self.align_corners:
            ends = ((max(n - 1, 1), max(n * f - 1, 1)) for n, f in zip(x.spatial, factors, strict=True))
            return (ELEMENTWISE, *(Reach(2, *last) for last in ends))
        elements = 1 if self.mode == "nearest" else 2
        return (ELEMENTWISE, *(Reach(elements, 1, f) for f in factors))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (y,) = inputs
        for axis, factor in enumerate(per_axis(self.factor, y.ndim - 2, "factor"), start=2):
            y = y.repeat(factor, axis) if self.mode == "nearest" else self._interpolate(y, axis, factor)
        return y

    def gradient(self, back: Backward) -> Gradients:
        dx, sizes = back.dy, back.inputs[0].shape
        for axis, factor in enumerate(per_axis(self.factor, dx.ndim - 2, "factor"), start=2):
            dx = self._gathered(dx, axis, sizes[axis], factor)
        return Gradients((dx,))

    def _gathered(self, dy: Array, axis: int, size: int, factor: int) -> Array:
        """Sums over the outputs that each of `size` elements of an axis goes to."""
        if self.mode == "nearest":
            repeated: Array = dy.reshape(*dy.shape[:axis], size, factor, *dy.shape[axis + 1 :])
            sums: Array = repeated.sum(axis + 1)
            return sums
        low, high, share = self.sources(size, factor)
        outputs = np.moveaxis(dy, axis, 0)
        weights = share.astype(dy.dtype).reshape(-1, *(1,) * (dy.ndim - 1))
        sums = np.zeros((size, *outputs.shape[1:]), dy.dtype)
        np.add.at(sums, low, outputs * (1 - weights))
        np.add.at(sums, high, outputs * weights)
        return np.moveaxis(sums, 0, axis)

    def _interpolate(self, x: Array, axis: int, factor: int) -> Array:
        low, high, share = self.sources(x.shape[axis], factor)
        share = share.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        return x.take(low, axis) * (1 - share) + x.take(high, axis) * share

    def sources(self, size: int, factor: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """The two elements of an axis that each output of a linear mode mixes, and the share of the
        second: int[size * factor] twice and float64[size * factor]."""
        index = np.arange(size * factor)
        if self.align_corners:
            position = index * ((size - 1) / max(size * factor - 1, 1))
        else:
            position = np.clip((index + 0.5) / factor - 0.5, 0, size - 1)
        low = position.astype(np.intp)
        return low, np.minimum(low + 1, size - 1), position - low
