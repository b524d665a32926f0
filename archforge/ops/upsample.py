"""Upsampling by a whole factor, by repetition or by linear interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from archforge.ir import Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Extent, Flag, Gradients, Op, per_axis, require_rank
from archforge.ops.resize import Resize

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
    positions outside take the element at the edge. It is `resize` to whole multiples of the input's size.
    Source: torch.nn.Upsample.

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

    @property
    def is_idle(self) -> bool:
        return self.factor == 1

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

    def resize(self, x: TensorType) -> Resize:
        """An op that says the size of the output, and computes what this one does."""
        factors = per_axis(self.factor, len(x.spatial), "factor")
        return Resize(
            size=tuple(n * f for n, f in zip(x.spatial, factors, strict=True)),
            mode="nearest" if self.mode == "nearest" else "linear",
            corners="align_corners" if self.align_corners else "half_pixel",
        )

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return self.resize(inputs[0]).reach(*inputs)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return self.resize(TensorType(x.shape[1:])).reference(params, x)

    def gradient(self, back: Backward) -> Gradients:
        (x,), dx = back.inputs, back.dy
        if self.mode != "nearest":
            return self.resize(TensorType(x.shape[1:])).gradient(back)
        for axis, factor in enumerate(per_axis(self.factor, dx.ndim - 2, "factor"), start=2):
            repeated = dx.reshape(*dx.shape[:axis], x.shape[axis], factor, *dx.shape[axis + 1 :])
            dx = repeated.sum(axis + 1)
        return Gradients((dx,))
