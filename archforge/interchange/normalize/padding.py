"""Zeros around a map just before a window are padding of the window: of a convolution, and of a maximum over
what is never negative.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node, Op
from archforge.ops.conv import Conv
from archforge.ops.pad import Pad
from archforge.ops.pool import MaxPool

__all__ = ["RULE"]

NEVER_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "softmax", "abs")

Padding = tuple[tuple[int, int], ...]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    pad = sight.maker(node.inputs[0], "pad") if node.inputs else None
    if pad is None or not isinstance(pad.op, Pad) or pad.op.value != 0 or sight.is_shared(node):
        return None
    around = pad.op.widths(*sight.types(pad))
    if min(min(sides) for sides in around) < 0:
        return None
    op = _padded(node.op, pad, around, sight)
    return None if op is None else Replacement(op, pad.inputs, params_of=node.params_of)


def _padded(op: Op, pad: Node, around: Padding, sight: Sight) -> Op | None:
    """The op with the padding around its input besides its own."""
    x = sight.type(pad.name)
    if isinstance(op, Conv):
        inner = op.window(x).padding
        padding = tuple((a + c, b + d) for (a, b), (c, d) in zip(around, inner, strict=True))
        return op.model_copy(update={"padding": padding})
    if not isinstance(op, MaxPool) or sight.maker(pad.inputs[0], *NEVER_NEGATIVE) is None or op.ceil:
        return None
    window = op.window(x)
    fits = all(max(sides) <= reach // 2 for sides, reach in zip(around, window.reach, strict=True))
    if any(map(any, window.padding)) or not fits:
        return None
    return op.model_copy(update={"padding": around})


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("zeros", "pad", "x", sides=1), step("conv", "conv", "zeros", out=2, kernel=3, stride=2))
    yield draft(
        step("zeros", "pad", "x", sides=(0, 1, 2, 3)),
        step("conv", "conv", "zeros", out=2, kernel=3, padding=((1, 0), (0, 1))),
        step("end", "add", "conv", "conv"),
    )
    yield draft(
        step("first", "relu", "x"),
        step("zeros", "pad", "first", sides=(0, 1, 1, 0)),
        step("pool", "max_pool", "zeros", kernel=3, stride=2),
    )


RULE = Rule("padding", 2, _apply, _examples)
