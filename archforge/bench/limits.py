"""The limits of this machine, where they can be measured."""

from __future__ import annotations

from dataclasses import asdict

from archforge import backends

__all__ = ["limits"]


def limits(threads: int) -> dict[str, float] | None:
    """FLOPs of one thread and of all, and bytes that all read, each in a second; None without numba, which
    makes the code that does it."""
    if "numba" not in backends.available():
        return None
    from archforge.backends.numba.limits import measure

    return asdict(measure(threads))
