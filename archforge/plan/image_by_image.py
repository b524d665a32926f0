"""Image by image: where the values of a whole batch overflow the caches and those of one image do not, a
stretch of steps is done for each image in turn, in the same memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from archforge.ir import TensorType
from archforge.plan.contract import Step

__all__ = ["Stretch", "inside_of", "stretches"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps from `first` up to `end`, of all images at once or one image after the other."""

    first: int
    end: int
    by_image: bool = False


def stretches(
    steps: Sequence[Step], types: Mapping[str, TensorType], batch: int, cache_bytes: float
) -> Iterator[Stretch]:
    """All steps in order. By image are those between two during which the values of the batch overflow the
    cache, as long as the weights, which are then read for each image, are not more than the values of one."""
    begin = 0
    if batch > 1:
        values = _bytes_alive(steps, types)
        for light, run in groupby(range(len(steps)), lambda i: _is_light(steps[i], values[i])):
            heavy = [i for i in run if light and batch * values[i] > cache_bytes]
            if len(heavy) > 1:
                yield Stretch(begin, heavy[0])
                begin = heavy[-1] + 1
                yield Stretch(heavy[0], begin, by_image=True)
    yield Stretch(begin, len(steps))


def inside_of(
    stretch: Stretch,
    steps: Sequence[Step],
    wanted: frozenset[str],
    joins: Mapping[str, tuple[str, int]],
) -> frozenset[str]:
    """The values that only this stretch sees; one that lies inside another is where that is."""
    outside = wanted.union(*(s.inputs for s in (*steps[: stretch.first], *steps[stretch.end :])))
    made = {step.output for step in steps[stretch.first : stretch.end]}
    inside = made - outside
    return frozenset(inside - {root for value, (root, _) in joins.items() if value not in inside})


def _bytes_alive(steps: Sequence[Step], types: Mapping[str, TensorType]) -> list[int]:
    """During each step, of the values of one image that it reads or writes, or that wait for a later one."""
    last = {value: i for i, step in enumerate(steps) for value in step.inputs}
    found, alive = [], set[str]()
    for i, step in enumerate(steps):
        alive |= {*step.inputs, step.output}
        found.append(sum(types[value].size for value in alive) * FLOAT)
        alive = {value for value in alive if last.get(value, i) > i}
    return found


def _is_light(step: Step, values: int) -> bool:
    weights = sum(math.prod(decl.shape) for decl in step.params.values()) * FLOAT
    return not step.is_fallback and weights <= values
