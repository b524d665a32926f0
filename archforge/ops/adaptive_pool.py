"""Pooling to a given size, whatever the size of the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import ClassVar

from archforge.ir import ELEMENTWISE, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Extent,
    Gradients,
    Op,
    per_axis,
    require_rank,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import mean_along

__all__ = ["AdaptiveAvgPool", "AdaptiveMaxPool", "windows"]


class _AdaptivePool(Op):
    """The windows may overlap: number i of o over n elements runs from floor(i * n / o) to
    ceil((i + 1) * n / o), its end excluded. x: float[N, C, *spatial] with 1 to 3 spatial axes.

    Attributes:
        size: extent of the output along each spatial axis, in elements
    """

    is_idempotent = True

    size: Extent = 1

    examples: ClassVar[tuple[Example, ...]] = (
        Example({}, ((3, 4, 5),)),
        Example({"size": 3}, ((2, 7, 8),), "overlapping"),
        Example({"size": (2, 5)}, ((2, 6, 3),), "fewer elements than outputs"),
        Example({"size": 4}, ((2, 10),), "1-D"),
        Example({"size": (1, 2, 3)}, ((2, 3, 4, 5),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), f"`{self.kind}`")
        return TensorType((x.channels, *per_axis(self.size, len(x.spatial), "size")))

    def passes_through(self, *inputs: TensorType) -> bool:
        return self.infer(*inputs) == inputs[0]

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        sizes = zip(x.spatial, self.infer(x).spatial, strict=True)
        # The longest window is that of some i between 0 and o / gcd(n, o): lengths repeat from there on.
        windows = (
            Reach(max(-(-(i + 1) * n // o) - i * n // o for i in range(o // math.gcd(n, o))), n, o)
            for n, o in sizes
        )
        return (ELEMENTWISE, *windows)

    def reduced(self, x: Array, reduce: Callable[[Array], Array]) -> Array:
        """Axis by axis: what `reduce` makes of the elements of each window along axis 0, which stays."""
        for axis, count in enumerate(per_axis(self.size, x.ndim - 2, "size"), start=2):
            parts = np.moveaxis(x, axis, 0)
            made = [reduce(parts[window]) for window in windows(len(parts), count)]
            x = np.moveaxis(np.concatenate(made), 0, axis)
        return x


class AdaptiveAvgPool(_AdaptivePool):
    """Mean of each of `size` windows per axis. Source: torch.nn.AdaptiveAvgPool2d."""

    op = "adaptive_avg_pool"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        """The windows are boxes, so the mean of means is the mean."""
        return self.reduced(inputs[0], lambda part: mean_along(part, 0))

    def gradient(self, back: Backward) -> Gradients:
        dx, sizes = back.dy, back.inputs[0].shape
        for axis in reversed(range(2, dx.ndim)):
            means = np.moveaxis(dx, axis, 0)
            parts = np.zeros((sizes[axis], *means.shape[1:]), dx.dtype)
            for window, mean in zip(windows(len(parts), len(means)), means, strict=True):
                parts[window] += mean / (window.stop - window.start)
            dx = np.moveaxis(parts, 0, axis)
        return Gradients((dx,))


class AdaptiveMaxPool(_AdaptivePool):
    """Largest element of each of `size` windows per axis; on ties the first gets the gradient.
    Source: torch.nn.AdaptiveMaxPool2d."""

    op = "adaptive_max_pool"
    gradient_reads = INPUTS

    def boxes(self, x: TensorType) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Each place of the output with the elements of the map under it."""
        along = [windows(n, o) for n, o in zip(x.spatial, self.infer(x).spatial, strict=True)]
        for place in product(*(range(len(found)) for found in along)):
            yield place, tuple(found[i] for found, i in zip(along, place, strict=True))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return self.reduced(inputs[0], lambda part: part.max(0, keepdims=True))

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        dx = np.zeros_like(x)
        whole = (slice(None), slice(None))
        images, channels = np.ogrid[: x.shape[0], : x.shape[1]]
        for place, box in self.boxes(TensorType(x.shape[1:])):
            under = x[whole + box]
            first = under.reshape(*x.shape[:2], -1).argmax(2)
            inside = np.unravel_index(first, under.shape[2:])
            at = (i + window.start for i, window in zip(inside, box, strict=True))
            there: tuple[int | slice, ...] = (*whole, *place)
            dx[(images, channels, *at)] += dy[there]
        return Gradients((dx,))


def windows(size: int, count: int) -> list[slice]:
    """The `count` windows over an axis of `size` elements."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
