"""Geometry of sliding windows, shared by convolutions and pools."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from archforge.ir import Reach, ShapeError, TensorType
from archforge.ops.base import Array, per_axis
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike

__all__ = [
    "Window",
    "add_columns",
    "columns",
    "crop_spatial",
    "output_size",
    "pad_spatial",
    "padded_zeros",
    "resolve_window",
]

# Elements of the columns of a part: so many that a matrix product with them is a large one, and so few that
# they take little memory.
PART = 1 << 20

Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A window with one entry per spatial axis; `padding` is (before, after), `output` the number
    of positions."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    output: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Extent of the dilated kernel along each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def is_pointwise(self, sizes: tuple[int, ...]) -> bool:
        """True if each position of the output lies on that of an input of `sizes`, and on no other."""
        return {*self.kernel, *self.stride} == {1} and self.output == sizes

    def reaches(self) -> tuple[Reach, ...]:
        """The elements behind one position of the window, along each spatial axis."""
        return tuple(Reach(r, s) for r, s in zip(self.reach, self.stride, strict=True))

    def margins(self, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """(before, after) of each axis of `sizes`: the padding, and after it as much more as a last,
        partial window overhangs."""
        ends = [(o - 1) * s + r for o, s, r in zip(self.output, self.stride, self.reach, strict=True)]
        return tuple(
            (before, max(after, end - before - size))
            for (before, after), end, size in zip(self.padding, ends, sizes, strict=True)
        )

    def overhang(self, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """(0, elements) of each axis of `sizes`: those that a last, partial window has behind the padding."""
        margins = zip(self.margins(sizes), self.padding, strict=True)
        return tuple((0, far - after) for (_, far), (_, after) in margins)

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Each position inside the kernel with the strided slices of the padded input under it."""
        for index in product(*map(range, self.kernel)):
            starts = [i * d for i, d in zip(index, self.dilation, strict=True)]
            slices = tuple(
                slice(a, a + (o - 1) * s + 1, s)
                for a, o, s in zip(starts, self.output, self.stride, strict=True)
            )
            yield index, slices

    def parts(self, images: int, channels: int) -> Iterator[tuple[Window, Slices, Slices]]:
        """Parts of the batch, images or rows of one, whose columns have about `PART` elements: a window over
        the part, the slices of the padded input that it sees, and those of the output that it makes."""
        each = channels * math.prod(self.kernel) * math.prod(self.output)  # elements of an image's columns
        most = max(1, PART // each)
        rows = max(1, min(self.output[0], PART * self.output[0] // each))
        whole, stride = slice(None), self.stride[0]
        for image in range(0, images, most):
            of_images = (slice(image, image + most), whole)
            for row in range(0, self.output[0], rows):
                end = min(row + rows, self.output[0])
                seen = slice(row * stride, (end - 1) * stride + self.reach[0])
                part = replace(self, output=(end - row, *self.output[1:]))
                yield part, (*of_images, seen), (*of_images, slice(row, end))


def output_size(
    size: int, *, kernel: int, stride: int, padding: tuple[int, int], dilation: int = 1, ceil: bool = False
) -> int:
    """Positions of a window along one axis. Below 1 it does not fit.

    With `ceil` a last, partial window counts if it starts inside the input or its left padding
    (torch.nn.MaxPool2d, note on `ceil_mode`); it may be the only one.
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + padding[0]:
        steps -= 1
    return steps + 1


@lru_cache(maxsize=4096)  # repeated blocks, and the profiles of a network, ask for the same ones
def resolve_window(
    x: TensorType,
    *,
    kernel: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: object,
    dilation: int | tuple[int, ...] = 1,
    ceil: bool = False,
) -> Window:
    """The window over `x` of shape (C, *spatial), all per-axis values filled in.

    `same` pads d*(k-1) / 2 on both sides, `same_upper` as TensorFlow does: the output is ceil(size / stride)
    and an odd pixel goes after. Raises `ShapeError` if it does not fit, and for `same` where d*(k-1) is odd.
    """
    axes = len(x.spatial)
    kernels = per_axis(kernel, axes, "kernel")
    strides = per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    pads = _pads(padding, x.spatial, kernels, strides, dilations)
    output = tuple(
        output_size(n, kernel=k, stride=s, padding=p, dilation=d, ceil=ceil)
        for n, k, s, p, d in zip(x.spatial, kernels, strides, pads, dilations, strict=True)
    )
    if min(output, default=1) < 1:
        axis = next(i for i, size in enumerate(output) if size < 1)
        reach = dilations[axis] * (kernels[axis] - 1) + 1
        room = x.spatial[axis] + sum(pads[axis])
        raise ShapeError(
            f"the window does not fit its input of {x}",
            "kernel",
            label=f"reaches over {reach}, of {room} with padding",
            help="a smaller kernel, more padding or a larger input",
            mended_by="larger",
            code="E0403",
        )
    return Window(kernels, strides, dilations, pads, output)


def _pads(
    padding: object,
    sizes: tuple[int, ...],
    kernels: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    reach = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    if padding == "same":
        _refuse_uneven(kernels, dilations)
        return tuple((r // 2, r // 2) for r in reach)
    if padding == "same_upper":
        totals = [
            max((-(-n // s) - 1) * s + r + 1 - n, 0) for n, s, r in zip(sizes, strides, reach, strict=True)
        ]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, int):
        return ((padding, padding),) * len(sizes)
    assert isinstance(padding, tuple)  # the attribute's type leaves nothing else
    if len(padding) != len(sizes):
        raise ShapeError(
            f"`padding` has {len(padding)} values for an input with {len(sizes)} spatial axes",
            "padding",
            help=f"one whole number, or a list of {len(sizes)}",
            code="E0404",
        )
    return tuple(p if isinstance(p, tuple) else (p, p) for p in padding)


def _refuse_uneven(kernels: tuple[int, ...], dilations: tuple[int, ...]) -> None:
    """Raises `ShapeError` where padding that is alike on both sides cannot keep the size."""
    for k, d in zip(kernels, dilations, strict=True):
        if (k - 1) * d % 2:
            raise ShapeError(
                "`same` pads both sides alike, which cannot keep the size under an even kernel",
                "padding",
                label=f"{d} * ({k} - 1) = {d * (k - 1)} is odd" if d > 1 else f"{k} - 1 = {k - 1} is odd",
                help="`same_upper` puts the odd pixel after the map, or give a number",
                code="E0404",
            )


def pad_spatial(x: Array, window: Window, value: float = 0.0) -> Array:
    """`x` float[N, C, *spatial] with the window's padding around its spatial axes, and as much more
    at their ends as a last, partial window overhangs."""
    widths = window.margins(x.shape[2:])
    if not any(map(any, widths)):
        return x
    return np.pad(x, ((0, 0), (0, 0), *widths), constant_values=value)


def padded_zeros(shape: tuple[int, ...], window: Window, dtype: DTypeLike) -> Array:
    """Zeros of the shape that `pad_spatial` gives maps of `shape` (N, C, *spatial)."""
    margins = zip(shape[2:], window.margins(shape[2:]), strict=True)
    zeros: Array = np.zeros((*shape[:2], *(n + sum(margin) for n, margin in margins)), dtype)
    return zeros


def crop_spatial(padded: Array, window: Window, sizes: tuple[int, ...]) -> Array:
    """`padded` without what `pad_spatial` puts around a map of `sizes`."""
    kept = (slice(a, a + n) for (a, _), n in zip(window.margins(sizes), sizes, strict=True))
    return padded[(slice(None), slice(None), *kept)]


def columns(padded: Array, window: Window, groups: int = 1) -> Array:
    """The elements of `padded` float[N, C, *spatial] under each position of a window, float[groups, C /
    groups * taps, N * positions], so that a convolution is one matrix product (im2col).
    Source: Chellapilla, Puri and Simard, 2006, hal:inria-00112631."""
    axes = len(window.kernel)
    seen = np.lib.stride_tricks.sliding_window_view(padded, window.reach, tuple(range(2, 2 + axes)))
    places = (slice(None, (o - 1) * s + 1, s) for o, s in zip(window.output, window.stride, strict=True))
    taps = (slice(None, None, d) for d in window.dilation)
    seen = seen[(slice(None), slice(None), *places, *taps)]
    order = (1, *range(2 + axes, 2 + 2 * axes), 0, *range(2, 2 + axes))
    rows = padded.shape[1] // groups * math.prod(window.kernel)
    return seen.transpose(order).reshape(groups, rows, -1)


def add_columns(padded: Array, window: Window, columns: Array) -> None:
    """Add what `columns` takes from a padded array to it, each number where it comes from. Windows overlap
    where the stride is less than the kernel, so tap by tap."""
    images, channels = padded.shape[:2]
    by_tap = columns.reshape(channels, -1, images, *window.output).swapaxes(0, 1)
    for numbers, (_, slices) in zip(by_tap, window.taps(), strict=True):
        padded[(slice(None), slice(None), *slices)] += numbers.swapaxes(0, 1)
