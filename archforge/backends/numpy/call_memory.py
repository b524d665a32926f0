"""Memory of a call: an arena with a place for each value, and scratch memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archforge.hardware import require_memory
from archforge.lifetimes import Lifetime
from archforge.ops.base import Array
from archforge.plan import Plan
from archforge.plan.arena import Buffer, lay_out
from archforge.plan.concat_in_place import inside_concats

__all__ = ["ArenaLayout", "CallMemory", "Scratch"]

LINE = 16  # floats of a cache line
FLOAT = 4  # bytes


class Scratch:
    """Memory that a kernel may write until it asks again or returns."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def __call__(self, *shapes: tuple[int, ...]) -> list[Array]:
        """An array float32 for each shape, whose content is undefined."""
        sizes = [math.prod(shape) for shape in shapes]
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + -(-size // LINE) * LINE)
        if starts[-1] > self._memory.size:
            self._memory = np.empty(starts[-1], np.float32)
        return [
            self._memory[start : start + size].reshape(shape)
            for start, size, shape in zip(starts, sizes, shapes, strict=False)
        ]


@dataclass(frozen=True, slots=True)
class ArenaPlace:
    """The place of a value: an offset in floats, and its first channel within pixels of `channels`."""

    offset: int
    shape: tuple[int, ...]  # [*spatial, C]
    first: int
    channels: int


class ArenaLayout:
    """Places of a plan's values in an arena. Offsets are for one image; for a batch, times its size."""

    def __init__(self, plan: Plan) -> None:
        inside = inside_concats(plan, 1)
        root = {name: inside.get(name, (name, 0))[0] for name in plan.types}
        lives: dict[str, Lifetime] = {}
        for name, life in plan.lifetimes().items():
            lives[root[name]] = life.joined(lives.get(root[name], life))
        buffers = [Buffer(-(-plan.types[name].size // LINE) * LINE, life) for name, life in lives.items()]
        offsets, self.size = lay_out(buffers, share="share_memory" not in plan.without)
        starts = dict(zip(lives, offsets, strict=True))
        self.places = {
            name: ArenaPlace(
                starts[root[name]],
                (*plan.types[name].spatial, plan.types[name].channels),
                inside.get(name, (name, 0))[1],
                plan.types[root[name]].channels,
            )
            for name in plan.types
            if root[name] in lives
        }

    def views(self, batch: int, arena: Array) -> Mapping[str, Array]:
        """The values of a batch as arrays [N, *spatial, C]."""
        found = {}
        for name, place in self.places.items():
            *spatial, channels = place.shape
            size = batch * math.prod(spatial) * place.channels
            whole = arena[place.offset * batch :][:size].reshape(batch, *spatial, place.channels)
            found[name] = whole[..., place.first : place.first + channels]
        return found


class CallMemory:
    """The memory of one call at a time."""

    def __init__(self) -> None:
        self.scratch = Scratch()
        self._arena = np.empty(0, np.float32)
        self._views: tuple[int, Mapping[str, Array]] = (0, {})

    def values(self, layout: ArenaLayout, batch: int) -> Mapping[str, Array]:
        """An array for each value. The layout must be the same in each call."""
        if self._views[0] != batch:
            if self._arena.size < layout.size * batch:
                require_memory(layout.size * batch * FLOAT, f"the values of a batch of {batch}")
                self._arena = np.empty(layout.size * batch, np.float32)
            self._views = (batch, layout.views(batch, self._arena))
        return self._views[1]
