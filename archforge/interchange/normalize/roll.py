"""The last entries along an axis, and then those before them, are a `roll`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.plain_attributes import nearest_shift
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.concat import Concat
from archforge.ops.roll import Roll
from archforge.ops.slice import Slice

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, Concat) or len(node.inputs) != 2:
        return None
    last, first = (sight.maker(value, "slice") for value in node.inputs)
    if last is None or first is None or last.inputs != first.inputs:
        return None
    assert isinstance(last.op, Slice)
    assert isinstance(first.op, Slice)
    (x,) = sight.types(last)
    axis = node.op.axis % len(x.shape)
    (of_first, before), (of_last, behind) = first.op.stretch(x), last.op.stretch(x)
    middle, extent = before.stop, x.shape[axis]
    is_split = (before.start, behind.start, behind.stop) == (0, middle, extent)
    if not is_split or {of_first, of_last} != {axis}:
        return None
    return Replacement(Roll(shift=nearest_shift(-middle, extent), axis=axis), last.inputs)


def _examples() -> Iterator[ForeignGraph]:
    for axis, middle in ((0, 3), (1, 2), (2, 1)):
        yield draft(
            step("last", "slice", "x", axis=axis, start=middle),
            step("first", "slice", "x", axis=axis, end=middle),
            step("end", "concat", "last", "first", axis=axis),
        )


RULE = Rule("roll", 1, _apply, _examples)
