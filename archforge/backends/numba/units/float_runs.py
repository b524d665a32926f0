"""Floats that lie side by side: filling and copying them."""

from __future__ import annotations

from archforge.backends.numba.units.intrinsics import device, floats

__all__ = ["copy", "fill"]


@device
def fill(address, count, value):
    x = floats(address, count)
    for i in range(count):
        x[i] = value


@device
def copy(source, to, count):
    x, y = floats(source, count), floats(to, count)
    for i in range(count):
        y[i] = x[i]
