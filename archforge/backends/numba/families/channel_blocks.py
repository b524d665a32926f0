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
    """A kernel that takes values as they are; others are given them in blocks of the first axis."""


def blocks_of(channels: int) -> int:
    return -(-channels // machine().lanes)


def lanes_of(values: Array) -> Array:
    """One float for each channel, to whole blocks, with zeros beyond the last."""
    made = aligned((blocks_of(len(values)) * machine().lanes,))
    made[: len(values)] = values
    return made
