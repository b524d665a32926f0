"""Sections of a plan that are computed image by image: where the values of a batch overflow the caches and
those of one image do not, the steps of a section are done for each image in turn, in the same memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from archforge.ir import TensorType
from archforge.plan.contract import Step

__all__ = ["Section", "sections", "values_within"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Section:
    """Steps from `first` up to `end`, computed for all images at once or for one image after the other."""

    first: int
    end: int
    image_by_image: bool = False


def sections(
    steps: Sequence[Step], types: Mapping[str, TensorType], batch: int, cache_bytes: float
) -> Iterator[Section]:
    """All steps in order, cut into sections. Steps between two during which the values of the batch overflow
    the cache are computed image by image, as long as their weights, which are then read once for each image,
    are not larger than the values of one image."""
    begin = 0
    if batch > 1:
        values = _bytes_alive(steps, types)
        for light, run in groupby(range(len(steps)), lambda i: _is_light(steps[i], values[i])):
            heavy = [i for i in run if light and batch * values[i] > cache_bytes]
            if len(heavy) > 1:
                yield Section(begin, heavy[0])
                begin = heavy[-1] + 1
                yield Section(heavy[0], begin, image_by_image=True)
    yield Section(begin, len(steps))


def values_within(
    section: Section,
    steps: Sequence[Step],
    wanted: frozenset[str],
    inside_concats: Mapping[str, tuple[str, int]],
) -> frozenset[str]:
    """The values that only the section makes and reads, so that memory for one image is enough. Excluded are
    concatenations that hold a branch from outside of it."""
    read_outside = wanted.union(*(s.inputs for s in (*steps[: section.first], *steps[section.end :])))
    made = {step.output for step in steps[section.first : section.end]}
    within = made - read_outside
    return frozenset(within - {root for value, (root, _) in inside_concats.items() if value not in within})


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
