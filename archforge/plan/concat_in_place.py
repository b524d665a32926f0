"""Concatenation in place: branches are written where the concatenation will hold them, and never copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from archforge.ir import TensorType
from archforge.ops.base import resolve_axis
from archforge.ops.concat import Concat
from archforge.plan.contract import Plan, Step

__all__ = ["inside_concats"]


def inside_concats(plan: Plan, alignment: int) -> dict[str, tuple[str, int]]:
    """The place of each value that can live inside a concatenation: the concatenation, and the first of its
    channels that the value takes.

    Each branch must begin at a multiple of `alignment` channels and, but for the last, end at one, and
    be read by one concatenation alone. A concatenation inside another lies in the outer one. Nothing lies
    inside where the plan is without `concat_in_place`.
    """
    if "concat_in_place" in plan.without:
        return {}
    steps, types = plan.steps, plan.types
    concats = {step.output: step for step in steps if _concatenates_channels(step, types)}
    branches = Counter(v for s in concats.values() for v in s.inputs)
    made = {s.output for s in steps if not s.is_fallback}
    found: dict[str, tuple[str, int]] = {}
    for name, step in reversed(concats.items()):  # outer ones first
        root, channel = found.get(name, (name, 0))
        end = channel + types[name].channels
        for value in step.inputs:
            after = channel + types[value].channels
            fits = channel % alignment == 0 and (
                after % alignment == 0 or after == end == types[root].channels
            )
            if fits and value in made and branches[value] == 1:
                found[value] = (root, channel)
            channel = after
    return found


def _concatenates_channels(step: Step, types: Mapping[str, TensorType]) -> bool:
    """True for a concatenation along the channels that runs on a kernel of the backend."""
    op = step.node.op
    if not isinstance(op, Concat) or step.is_fallback:
        return False
    return resolve_axis(op.axis, types[step.inputs[0]]) == 0
