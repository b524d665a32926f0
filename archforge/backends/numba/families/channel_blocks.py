"""Blocks of channels, as wide as a vector: how many there are, and numbers laid out in them."""

from __future__ import annotations

from dataclasses import dataclass

from archforge.backends.numba.runtime.tape import aligned
from archforge.backends.numba.toolchain.machine import machine
from archforge.ops.base import Array
from archforge.plan import Kernel

__all__ = ["AnyAxis", "blocks_of", "lanes_of"]


@dataclass(frozen=True, slots=True)
class AnyAxis(Kernel):
    """A kernel that takes values in blocks of any axis. Others are given values in blocks of axis 0."""


def blocks_of(channels: int) -> int:
    """The number of blocks for so many channels; the last one may not be full."""
    return -(-channels // machine().lanes)


def lanes_of(values: Array) -> Array:
    """float32[blocks * lanes], one number for each channel, and zeros beyond the last."""
    made = aligned((blocks_of(len(values)) * machine().lanes,))
    made[: len(values)] = values
    return made
