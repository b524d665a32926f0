"""Inputs that a network takes, where it refuses a given one for its size: the least, or those nearby."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["inputs_nearby", "least_input"]

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


COARSEST = 128  # elements of an input behind one of the coarsest map, at most


def inputs_nearby(shapes: Shapes, fits: Callable[[Shapes], bool]) -> list[Shapes]:
    """The next smaller and the next larger shapes of inputs that fit, where `shapes` do not: those whose
    spatial axes are multiples of the least power of two for which the larger fit. Empty if none do.

    A network that halves its maps k times and doubles them again fits multiples of 2**k.
    """
    step = 2
    while step <= COARSEST:
        above = _in_steps(shapes, step, up=True)
        if above != shapes and fits(above):
            below = _in_steps(shapes, step, up=False)
            return [
                shape for shape in (below, above) if shape == above or (min(_extents(shape)) and fits(shape))
            ]
        step *= 2
    return []


def _in_steps(shapes: Shapes, step: int, *, up: bool) -> Shapes:
    """The shapes, each spatial axis a multiple of `step`, the next above or below."""
    more = step - 1 if up else 0
    return {
        name: (*shape[:1], *((n + more) // step * step for n in shape[1:])) for name, shape in shapes.items()
    }


def _extents(shapes: Shapes) -> list[int]:
    return [n for shape in shapes.values() for n in shape[1:]]
