"""Buffers of one arena: those that are never alive together share their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Lifetime", "lay_out"]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `size` units, alive from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        return self.first <= other.last and other.first <= self.last


def lay_out(buffers: Sequence[Lifetime], *, share: bool = True) -> tuple[list[int], int]:
    """An offset for each buffer, and the size of the arena.

    The largest first, each into the lowest gap between those placed already that it meets. Source:
    "greedy by size" of arXiv:2001.03288, section 5.2. Without `share` each has a place of its own.
    """
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, i)):
        near = [j for j in placed if not share or buffers[i].meets(buffers[j])]
        offset = 0
        for j in sorted(near, key=lambda j: offsets[j]):
            if offset + buffers[i].size <= offsets[j]:
                break
            offset = max(offset, offsets[j] + buffers[j].size)
        offsets[i] = offset
        placed.append(i)
    return offsets, max((o + b.size for o, b in zip(offsets, buffers, strict=True)), default=0)
