"""The look at an input's range: beside a number much larger than the others, kernels that compute tiles
round away what the others say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from archforge.errors import AccuracyWarning, Diagnostic
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["warn_of_range"]

MOST_LOST = 1e-4  # deviations of an output, which is what `archforge verify` allows
SAMPLED = 1024  # numbers by which the typical one is known


def warn_of_range(inputs: Mapping[str, Array], tile_error: float) -> None:
    """Give an `AccuracyWarning` for each input by whose range kernels of this `tile_error` lose more than
    1e-4 of the deviation of outputs: not of those of its largest number, but of those beside them."""
    for name, array in inputs.items():
        numbers = array.ravel("K")
        largest = max(float(numbers.max()), -float(numbers.min()))
        lost = tile_error * largest / _typical(numbers)
        if not lost <= MOST_LOST:
            warnings.warn(AccuracyWarning(_diagnostic(name, largest, lost)), stacklevel=4)


def _typical(numbers: Array) -> float:
    """A size that a quarter of the distinct numbers are below, of some that lie evenly; infinite for zeros.

    Distinct ones, since a background or a value for missing data may be most of an input.
    """
    sizes = np.unique(np.abs(numbers[:: numbers.size // SAMPLED | 1]))
    sizes = sizes[np.searchsorted(sizes, 0, "right") :]
    return float(sizes[(len(sizes) - 1) // 4]) if len(sizes) else np.inf


def _diagnostic(name: str, largest: float, lost: float) -> Diagnostic:
    if np.isfinite(lost):
        message = (
            f"the input `{name}` reaches {largest:g}: outputs that stand beside those of that number lose "
            f"{lost:.0e} of their standard deviation"
        )
    else:
        message = f"the input `{name}` has numbers that are not finite, which reach outputs beside theirs"
    help = 'compile with `accuracy="strict"` (`--accuracy strict`), or replace what stands for missing data'
    return Diagnostic("W0607", message, help=help)
