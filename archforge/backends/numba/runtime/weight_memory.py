"""Memory for packed weights, side by side in large pieces.

Most arrays of weights are smaller than the 4 MiB from which NumPy asks the system for pages of 2 MiB. In
pages of 4 KiB, a core that reads weights in order waits at each page for the address of the next.
"""

from __future__ import annotations

import math
from threading import Lock
from weakref import ReferenceType, ref

import numpy as np

from archforge.backends.numba.runtime.tape import ALIGNMENT
from archforge.backends.numba.toolchain.machine import FLOAT
from archforge.ops.base import Array

__all__ = ["in_large_pages"]

PIECE = 32 << 20  # bytes, in memory only when they are written to


class _Pieces:
    """The piece of memory that is being filled. It lives as long as an array in it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._piece: ReferenceType[Array] | None = None
        self._taken = 0

    def take(self, size: int) -> Array:
        """uint8[size] of zeros, aligned."""
        with self._lock:
            piece = self._piece() if self._piece else None
            if piece is None or self._taken + size > len(piece):
                piece = np.zeros(max(size, PIECE) + ALIGNMENT, np.uint8)
                self._piece, self._taken = ref(piece), -piece.ctypes.data % ALIGNMENT
            begin = self._taken
            self._taken += -(-size // ALIGNMENT) * ALIGNMENT
            return piece[begin : begin + size]


_pieces = _Pieces()


def in_large_pages(shape: tuple[int, ...]) -> Array:
    """float32 zeros of a shape, side by side with other arrays of weights."""
    made: Array = _pieces.take(math.prod(shape) * FLOAT).view(np.float32).reshape(shape)
    return made
