"""Resampling of one axis: which elements each output mixes, with which shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TAPS", "Corners", "Method", "Taps", "copies", "mixed", "spread", "taps"]

Method = Literal["nearest", "nearest_exact", "linear", "cubic"]
Corners = Literal["half_pixel", "align_corners", "asymmetric"]

# Elements that an output mixes, side by side.
TAPS: dict[Method, int] = {"nearest": 1, "nearest_exact": 1, "linear": 2, "cubic": 4}

# The third parameter of Keys' kernel, as in torch, ONNX and OpenCV. Source: doi:10.1109/TASSP.1981.1163711.
_KEYS = -0.75


class Taps(NamedTuple):
    """Elements of an axis and their shares, for each tap: int[taps, outputs] and float64[taps, outputs]."""

    indices: NDArray[np.intp]
    shares: Array


def taps(method: Method, corners: Corners, size: int, outputs: int) -> Taps:
    """The taps of `outputs` places over an axis of `size` elements. Outside of it lies its last element.

    Nearest elements are exact quotients, floor(i * n / o), or floor((i + 1/2) * n / o) for `nearest_exact`.
    """
    index = np.arange(outputs)
    if method == "nearest":
        return copies(index * size // outputs)
    if method == "nearest_exact":
        return copies((2 * index + 1) * size // (2 * outputs))
    position = _positions(corners, size, outputs)
    if method == "linear":
        position = np.clip(position, 0, size - 1)
        low = position.astype(np.intp)
        share = position - low
        return Taps(np.stack([low, np.minimum(low + 1, size - 1)]), np.stack([1 - share, share]))
    low = np.floor(position).astype(np.intp)
    offset = position - low
    near = np.clip(low + np.arange(-1, 3)[:, None], 0, size - 1)
    return Taps(near, np.stack([_cubic(abs(offset - place)) for place in range(-1, 3)]))


def copies(indices: NDArray[np.intp]) -> Taps:
    """The taps of outputs that are one element each."""
    return Taps(indices[None], np.ones((1, len(indices))))


def _positions(corners: Corners, size: int, outputs: int) -> Array:
    """The place of each output on the axis of the input."""
    index = np.arange(outputs)
    if corners == "align_corners":
        return index * ((size - 1) / max(outputs - 1, 1))
    if corners == "asymmetric":
        return index * size / outputs
    return (index + 0.5) * size / outputs - 0.5


def _cubic(distance: Array) -> Array:
    """Keys' kernel at a distance of up to 2."""
    inner = ((_KEYS + 2) * distance - (_KEYS + 3)) * distance**2 + 1
    outer = ((distance - 5) * distance + 8) * distance * _KEYS - 4 * _KEYS
    return np.where(distance <= 1, inner, outer)


def mixed(x: Array, axis: int, found: Taps) -> Array:
    """Sums of the elements of an axis, times their shares."""
    if len(found.indices) == 1:
        taken: Array = x.take(found.indices[0], axis)
        return taken
    shares = found.shares.astype(x.dtype).reshape(len(found.shares), -1, *(1,) * (x.ndim - axis - 1))
    first, *others = (x.take(i, axis) * share for i, share in zip(found.indices, shares, strict=True))
    total: Array = sum(others, start=first)
    return total


def spread(dy: Array, axis: int, found: Taps, size: int) -> Array:
    """The way back of `mixed`: what each of `size` elements of an axis was taken for."""
    outputs = np.moveaxis(dy, axis, 0)
    shares = found.shares.astype(dy.dtype).reshape(len(found.shares), -1, *(1,) * (dy.ndim - 1))
    sums = np.zeros((size, *outputs.shape[1:]), dy.dtype)
    for index, share in zip(found.indices, shares, strict=True):
        np.add.at(sums, index, outputs * share)
    return np.moveaxis(sums, 0, axis)
