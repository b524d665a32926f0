"""Least input of a network that refuses a given one for being too small."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["least_input"]

LARGEST = 1 << 14  # elements along an axis
Shapes = Mapping[str, tuple[int, ...]]


def least_input(shapes: Shapes, fits: Callable[[Shapes], bool]) -> Shapes | None:
    """The least shapes of inputs that fit, none of their spatial axes shorter than in `shapes`, which do not.

    The extents that are too short grow together: they are doubled until they fit, then halved in between.
    None if nothing fits. Every window that fits an input fits a larger one, so what is found is the least.
    """
    low = min((n for shape in shapes.values() for n in shape[1:]), default=LARGEST)
    high = 2 * low
    while high <= LARGEST and not fits(_grown(shapes, high)):
        low, high = high, 2 * high
    if high > LARGEST:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(_grown(shapes, middle)) else (middle, high)
    return _grown(shapes, high)


def _grown(shapes: Shapes, least: int) -> Shapes:
    """The shapes, each spatial axis of at least `least` elements."""
    return {name: (*shape[:1], *(max(n, least) for n in shape[1:])) for name, shape in shapes.items()}
