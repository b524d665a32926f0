"""Maps of another size, from their nearest elements or by interpolation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import ELEMENTWISE, Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Extent, Gradients, Op, per_axis, require_rank
from archforge.ops.interpolation import TAPS, Corners, Method, Taps, mixed, spread, taps

__all__ = ["Resize"]


class Resize(Op):
    """Each spatial axis brought to `size` elements, in whatever ratio.

    x: float[N, C, *spatial] with 1 to 3 spatial axes. Output i of o over n elements is taken from the
    position (i + 1/2) * n / o - 1/2 for `half_pixel`, i * (n - 1) / (o - 1) for `align_corners`, i * n / o
    for `asymmetric`; outside lies the element at the edge. `nearest` takes element floor(i * n / o),
    `nearest_exact` element floor((i + 1/2) * n / o). To the size of another value: `resize:
    =other.shape[1:]`. Nothing is averaged where the map shrinks (no antialias). `upsample` is this op for
    sizes that are whole multiples. Source: torch.nn.functional.interpolate; Keys 1981,
    doi:10.1109/TASSP.1981.1163711, with a = -0.75, for `cubic`.

    Attributes:
        size: extent of the output along each spatial axis, in elements
        mode: the nearest element, or interpolation between the two (`linear`) or four (`cubic`) around the
            position along each axis
        corners: the positions of interpolation: the edges of both maps at one place, or the centres of their
            corners, or the first elements alone
    """

    op = "resize"
    is_idempotent = True

    size: Extent
    mode: Annotated[Method, Field(description="`nearest`, `nearest_exact`, `linear` or `cubic`")] = "nearest"
    corners: Annotated[Corners, Field(description="`half_pixel`, `align_corners` or `asymmetric`")] = (
        "half_pixel"
    )

    examples = (
        Example({"size": (5, 3)}, ((2, 3, 4),)),
        Example({"size": (5, 3), "mode": "nearest_exact"}, ((2, 3, 4),)),
        Example({"size": (5, 3), "mode": "linear"}, ((2, 3, 4),)),
        Example({"size": (7, 4), "mode": "linear", "corners": "align_corners"}, ((2, 3, 6),)),
        Example({"size": (4, 5), "mode": "linear", "corners": "asymmetric"}, ((2, 6, 3),)),
        Example({"size": (5, 4), "mode": "cubic"}, ((2, 3, 7),)),
        Example({"size": (1, 6), "mode": "cubic", "corners": "align_corners"}, ((2, 3, 4),), "one element"),
        Example({"size": (6, 2), "mode": "cubic", "corners": "asymmetric"}, ((2, 4, 5),)),
        Example({"size": (3, 4), "mode": "linear"}, ((2, 3, 4),), "of that size already"),
        Example({"size": 7, "mode": "linear"}, ((2, 5),), "1-D"),
        Example({"size": (4, 2, 3), "mode": "linear"}, ((2, 2, 3, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`resize`")
        if self.corners != "half_pixel" and TAPS[self.mode] == 1:
            raise ShapeError(
                f"`corners` has no meaning for `{self.mode}`, which does not interpolate",
                "corners",
                help="`mode: linear` or `mode: cubic`",
                code="E0404",
            )
        return TensorType((x.channels, *per_axis(self.size, len(x.spatial), "size")))

    def passes_through(self, *inputs: TensorType) -> bool:
        return self.infer(*inputs) == inputs[0]

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        sizes = zip(x.spatial, self.infer(x).spatial, strict=True)
        return (ELEMENTWISE, *(self._reach(n, o) for n, o in sizes))

    def _reach(self, size: int, outputs: int) -> Reach:
        if self.corners == "align_corners":
            size, outputs = max(size - 1, 1), max(outputs - 1, 1)
        shared = math.gcd(size, outputs)
        return Reach(TAPS[self.mode], size // shared, outputs // shared)

    def taps(self, size: int, outputs: int) -> Taps:
        """The elements of an axis of `size` that each of `outputs` mixes, and their shares."""
        return taps(self.mode, self.corners, size, outputs)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (y,) = inputs
        for axis, outputs in enumerate(per_axis(self.size, y.ndim - 2, "size"), start=2):
            y = mixed(y, axis, self.taps(y.shape[axis], outputs))
        return y

    def gradient(self, back: Backward) -> Gradients:
        dx, sizes = back.dy, back.inputs[0].shape
        for axis in reversed(range(2, dx.ndim)):
            dx = spread(dx, axis, self.taps(sizes[axis], dx.shape[axis]), sizes[axis])
        return Gradients((dx,))
