"""Padding and cropping of spatial axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from archforge.ir import ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Gradients, Op, Real, require_rank
from archforge.ops.interpolation import copies, spread
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pad"]


class Pad(Op):
    """`value` put around a map, or, where a number is negative, elements cut off it.

    `sides` is one number for all sides, or two for each spatial axis in their order: before and
    after, so [top, bottom, left, right] for an image (torch.nn.functional.pad starts at the last
    axis instead). x: float[N, C, *spatial] with 1 to 3 spatial axes. With `mode: reflect` the map goes on
    as in a mirror at its outermost elements, which are not repeated; with `replicate` they are.

    Attributes:
        sides: elements added at each side; a negative number cuts off as many
        value: number that the added elements hold, if they are constant
        mode: what is added: the constant `value`, or elements of the map
    """

    op = "pad"

    sides: Annotated[
        int | tuple[int, ...],
        Field(description="a whole number, or a list of two (before, after) for each spatial axis"),
    ]
    value: Real = 0.0
    mode: Annotated[
        Literal["constant", "reflect", "replicate"],
        Field(description="`constant`, `reflect` or `replicate`"),
    ] = "constant"

    examples = (
        Example({"sides": 1}, ((2, 3, 4),)),
        Example({"sides": (-1, 1, -1, 1)}, ((2, 4, 5),), "shifted by a pixel, as in PNASNet"),
        Example({"sides": (0, 1, 2, 3), "value": -1.5}, ((2, 2, 3),)),
        Example({"sides": -1}, ((2, 4, 3),), "cropped"),
        Example({"sides": (2, -1)}, ((3, 5),), "1-D"),
        Example({"sides": (0, 1, -1, 0, 1, 1)}, ((2, 3, 2, 2),), "3-D"),
        Example({"sides": (1, 2, 3, 0), "mode": "reflect"}, ((2, 3, 4),)),
        Example({"sides": (-1, 2, 1, -2), "mode": "reflect"}, ((2, 3, 4),), "cropped too"),
        Example({"sides": (1, 4, 0, 2), "mode": "replicate"}, ((2, 3, 2),)),
        Example({"sides": (2, -1), "mode": "replicate"}, ((2, 4),), "1-D"),
        Example({"sides": 1, "mode": "reflect"}, ((2, 2, 3, 2),), "3-D"),
    )

    @property
    def is_idle(self) -> bool:
        return not any(self.sides) if isinstance(self.sides, tuple) else not self.sides

    def widths(self, x: TensorType) -> tuple[tuple[int, int], ...]:
        """(before, after) of each spatial axis. Raises `ShapeError` for a list of another length."""
        axes = len(x.spatial)
        sides = self.sides if isinstance(self.sides, tuple) else (self.sides,) * (2 * axes)
        if len(sides) != 2 * axes:
            raise ShapeError(
                f"`sides` has {len(sides)} values for an input with {axes} spatial axes",
                "sides",
                help=f"one whole number, or a list of {2 * axes}",
                code="E0404",
            )
        return tuple(zip(sides[::2], sides[1::2], strict=True))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`pad`")
        sizes = tuple(n + sum(sides) for n, sides in zip(x.spatial, self.widths(x), strict=True))
        if min(sizes) < 1:
            axis = next(i for i, n in enumerate(sizes) if n < 1)
            before, after = self.widths(x)[axis]
            raise ShapeError(
                f"cropping leaves nothing of an input of {x}",
                "sides",
                label=f"{x.spatial[axis]} {before:+d} {after:+d} = {sizes[axis]}",
                help="less cropping, or a larger input",
                mended_by="larger",
                code="E0404",
            )
        self._check_mode(x)
        return TensorType((x.channels, *sizes))

    def _check_mode(self, x: TensorType) -> None:
        if self.mode != "constant" and self.value != 0:
            raise ShapeError(
                f"`value` has no meaning for `{self.mode}`, which adds elements of the map",
                "value",
                help="`mode: constant`",
                code="E0404",
            )
        for n, sides in zip(x.spatial, self.widths(x), strict=True):
            if self.mode == "reflect" and max(sides) >= n:
                raise ShapeError(
                    f"a mirror adds less than the extent of the map, found {x}",
                    "sides",
                    label=f"{max(sides)} of {n}",
                    help=f"at most {n - 1}, or `mode: replicate`",
                    mended_by="larger",
                    code="E0404",
                )

    def sources(self, x: TensorType) -> tuple[NDArray[np.intp], ...]:
        """The element that each output along each spatial axis is, where the map itself goes on."""
        mode: Literal["reflect", "edge"] = "reflect" if self.mode == "reflect" else "edge"
        found = []
        for n, (before, after) in zip(x.spatial, self.widths(x), strict=True):
            wide = np.pad(np.arange(n), (max(before, 0), max(after, 0)), mode=mode)
            found.append(wide[max(-before, 0) : len(wide) - max(-after, 0)])
        return tuple(found)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        if self.mode != "constant":
            for axis, source in enumerate(self.sources(TensorType(x.shape[1:])), start=2):
                x = x.take(source, axis)
            return x
        widths = self.widths(TensorType(x.shape[1:]))
        added = [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in widths)]
        padded = np.pad(x, added, constant_values=self.value)
        kept = [slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, padded.shape[2:], strict=True)]
        return padded[(slice(None), slice(None), *kept)]

    def gradient(self, back: Backward) -> Gradients:
        """A constant with the signs of its widths turned: what was added is cut off, what was cut off gets 0.
        Else each element of the map gets what its copies have."""
        x, dx = TensorType(back.inputs[0].shape[1:]), back.dy
        if self.mode == "constant":
            turned = tuple(-n for sides in self.widths(x) for n in sides)
            return Gradients((Pad(sides=turned).reference({}, dx),))
        for axis, (source, n) in enumerate(zip(self.sources(x), x.spatial, strict=True), start=2):
            dx = spread(dx, axis, copies(source), n)
        return Gradients((dx,))
