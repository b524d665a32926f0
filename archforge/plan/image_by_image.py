"""Sections of a plan that are computed image by image: where the values of a batch overflow the caches and
those of one image do not, the steps of a section are done for each image in turn, in the same memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from archforge.lifetimes import lifetimes, sizes_alive
from archforge.plan.contract import Plan, Step

__all__ = ["Section", "sections", "values_within"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Section:
    """Steps from `first` up to `end`, computed for all images at once or for one image after the other."""

    first: int
    end: int
    image_by_image: bool = False


def sections(plan: Plan, batch: int, cache_bytes: float) -> Iterator[Section]:
    """All steps in order, cut into sections. Steps between two during which the values of the batch overflow
    the cache are computed image by image, as long as their weights, which are then read once for each image,
    are not larger than the values of one image. A plan without `image_by_image` is one section."""
    steps, begin = plan.steps, 0
    if batch > 1 and "image_by_image" not in plan.without:
        values = _bytes_alive(plan)
        for light, run in groupby(range(len(steps)), lambda i: _is_light(steps[i], values[i])):
            heavy = [i for i in run if light and batch * values[i] > cache_bytes]
            if len(heavy) > 1:
                yield Section(begin, heavy[0])
                begin = heavy[-1] + 1
                yield Section(heavy[0], begin, image_by_image=True)
    yield Section(begin, len(steps))


def values_within(
    section: Section, plan: Plan, inside_concats: Mapping[str, tuple[str, int]]
) -> frozenset[str]:
    """The values that only the section makes and reads, so that memory for one image is enough. Excluded are
    concatenations that hold a branch from outside of it."""
    others = (*plan.steps[: section.first], *plan.steps[section.end :])
    read_outside = plan.wanted.union(*(step.inputs for step in others))
    made = {step.output for step in plan.steps[section.first : section.end]}
    within = made - read_outside
    return frozenset(within - {root for value, (root, _) in inside_concats.items() if value not in within})


def _bytes_alive(plan: Plan) -> list[int]:
    """Bytes of one image at each step: values that it makes or reads, or that wait for a later one."""
    lives = lifetimes((step.output, step.inputs) for step in plan.steps)
    sizes = {name: type_.size * FLOAT for name, type_ in plan.types.items()}
    return sizes_alive(lives, sizes, len(plan.steps))


def _is_light(step: Step, values: int) -> bool:
    weights = sum(math.prod(decl.shape) for decl in step.params.values()) * FLOAT
    return not step.is_fallback and weights <= values
