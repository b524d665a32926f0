"""Lifetimes of values: from the step that makes a value to the last step that reads it.

Steps are anything that makes one value and reads others: nodes of a graph, or steps of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

__all__ = ["Lifetime", "lifetimes", "sizes_alive"]


class Lifetime(NamedTuple):
    """Places in an order of steps, from `first` to `last`, both included."""

    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """True if there is a place at which both are alive."""
        return self.first <= other.last and other.first <= self.last

    def joined(self, other: Lifetime) -> Lifetime:
        """The shortest lifetime that covers both."""
        return Lifetime(min(self.first, other.first), max(self.last, other.last))


def lifetimes(
    steps: Iterable[tuple[str, Iterable[str]]],
    inputs: Iterable[str] = (),
    wanted: Iterable[str] = (),
) -> dict[str, Lifetime]:
    """The lifetime of each value, in order of first use. A step is the value that it makes and those that it
    reads. `inputs` are alive before the first step, at -1; `wanted` values until all steps are done."""
    found = {name: Lifetime(-1, -1) for name in inputs}
    end = 0
    for place, (made, read) in enumerate(steps):
        end = place + 1
        for name in (*read, made):
            found[name] = found[name]._replace(last=place) if name in found else Lifetime(place, place)
    for name in wanted:
        found[name] = found[name]._replace(last=end)
    return found


def sizes_alive(lives: Mapping[str, Lifetime], sizes: Mapping[str, int], steps: int) -> list[int]:
    """The sum of the sizes of all values that are alive at each step."""
    changes = [0] * (steps + 1)
    for name, life in lives.items():
        if life.last >= 0:
            changes[max(life.first, 0)] += sizes[name]
            if life.last < steps:
                changes[life.last + 1] -= sizes[name]
    return list(accumulate(changes))[:steps]
