"""Places of the tokens of windows in a map, and differences between them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
else:
    Places = Any

__all__ = ["Places", "WindowPlaces", "differences", "log_coordinates", "relative_index", "window_places"]


class WindowPlaces(NamedTuple):
    """The windows of a map of P positions, counted in row-major order.

    tokens: int64[windows, T], the position of each token; P for one that lies in the padding. back:
    int64[P], the place of each position among all tokens. regions: int64[windows, T], or None where no map
    is shifted: tokens of different numbers come from different ends of the map.
    """

    tokens: Places
    back: Places
    regions: Places | None


def differences(window: tuple[int, ...]) -> tuple[int, ...]:
    """The number of differences between two positions of a window, along each axis."""
    return tuple(2 * w - 1 for w in window)


@cache
def relative_index(window: tuple[int, ...]) -> Places:
    """The row of a table for each pair of tokens of a window, int64[T, T] with T = prod(window).

    The table has a row for each of the `differences`, in row-major order from the most negative one.
    """
    places = np.indices(window).reshape(len(window), -1)
    shifted = places[:, :, None] - places[:, None] + np.array(window)[:, None, None] - 1
    rows: Places = np.ravel_multi_index(tuple(shifted), differences(window))
    return rows


@cache
def log_coordinates(window: tuple[int, ...]) -> Array:
    """The differences of positions in a window along each axis, on a logarithmic scale, float64[1,
    *differences, axes]: sign(d) log2(1 + 8 |d| / (w - 1)) / 3 for a difference of d positions.

    Source: arXiv:2111.09883, section 3.3.
    """
    axes = (np.arange(1 - w, w) * 8 / max(w - 1, 1) for w in window)
    far = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[None]
    found: Array = np.sign(far) * np.log2(1 + np.abs(far)) / 3
    return found


@cache
def window_places(
    size: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...], is_grid: bool
) -> WindowPlaces:
    """The windows of a map of that size, padded at its ends to whole windows and rolled back by `shift`.
    Those of a grid hold every (size / window)-th position instead of neighbours."""
    padded = tuple(-(-n // w) * w for n, w in zip(size, window, strict=True))
    extents, shifts = (np.array(n).reshape(-1, *(1,) * len(size)) for n in (padded, shift))
    here = np.indices(padded)
    source = (here + shifts) % extents
    inside = (source < np.array(size).reshape(extents.shape)).all(0)
    rows = np.where(inside, np.ravel_multi_index(tuple(source), size, mode="clip"), np.prod(size))
    tokens = _split(rows, window, is_grid)
    back = np.empty(np.prod(size), np.int64)
    back[tokens[tokens < len(back)]] = np.flatnonzero(tokens < len(back))
    if not any(shift):
        return WindowPlaces(tokens, back, None)
    # The last window along an axis that is shifted ends in what was at the beginning of the map.
    is_from_start = (here >= extents - shifts).astype(np.int64)
    regions = np.ravel_multi_index(tuple(is_from_start), (2,) * len(size))
    return WindowPlaces(tokens, back, _split(regions, window, is_grid))


def _split(places: Places, window: tuple[int, ...], is_grid: bool) -> Places:
    """The elements of each window, int64[windows, T], of a map of whole windows."""
    axes = range(len(window))
    counts = [n // w for n, w in zip(places.shape, window, strict=True)]
    pairs = zip(window, counts, strict=True) if is_grid else zip(counts, window, strict=True)
    split = places.reshape([n for pair in pairs for n in pair])
    order = [*(2 * a + is_grid for a in axes), *(2 * a + 1 - is_grid for a in axes)]
    return split.transpose(order).reshape(-1, int(np.prod(window)))
