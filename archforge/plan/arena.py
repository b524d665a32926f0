"""The layout of an arena: one block of memory, in which buffers share a place unless both are alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archforge.lifetimes import Lifetime

__all__ = ["Buffer", "lay_out"]


class Buffer(NamedTuple):
    """Memory of `size` units that is in use during a lifetime."""

    size: int
    life: Lifetime


def lay_out(buffers: Sequence[Buffer], *, share: bool = True) -> tuple[list[int], int]:
    """An offset for each buffer, and the size of the arena.

    The largest first, each into the lowest gap between those placed already that it meets. Source:
    "greedy by size" of arXiv:2001.03288, section 5.2. Without `share` each has a place of its own.
    """
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, i)):
        near = [j for j in placed if not share or buffers[i].life.meets(buffers[j].life)]
        offset = 0
        for j in sorted(near, key=lambda j: offsets[j]):
            if offset + buffers[i].size <= offsets[j]:
                break
            offset = max(offset, offsets[j] + buffers[j].size)
        offsets[i] = offset
        placed.append(i)
    return offsets, max((o + b.size for o, b in zip(offsets, buffers, strict=True)), default=0)
