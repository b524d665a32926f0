"""Merges element by element: add, subtract, multiply, divide and maximum, a table of operators."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from itertools import accumulate
from typing import ClassVar

from archforge.ir import ShapeError, TensorType
from archforge.ops.base import INPUTS, Array, Backward, Example, Gradients, Op, mended_by, repeats_summed
from archforge.ops.lazy_numpy import np

__all__ = ["MERGES", "Add", "Divide", "Largest", "Multiply", "Subtract"]


class _MergeOp(Op):
    """A chain of one binary operator over branches that are aligned at the channels, from left to right. A
    branch is repeated along the axes that it lacks or where its extent is 1."""

    arity = None
    counts_as_layer = False
    operator: ClassVar[Callable[[Array, Array], Array]]
    examples: ClassVar[tuple[Example, ...]] = (
        Example({}, ((3, 4, 5), (3, 4, 5))),
        Example({}, ((6,), (6,), (6,)), "three branches"),
        Example({}, ((2, 3),), "a single branch"),
        Example({}, ((3, 4, 5), (3, 1, 1)), "one value for each channel"),
        Example({}, ((3, 4, 5), (3,)), "one value for each channel, without spatial axes"),
        Example({}, ((1, 4, 5), (3, 4, 5)), "one value for each position, first"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        axes = max(len(x.shape) for x in inputs)
        shapes = [_stretched(x.shape, axes) for x in inputs]
        joint = tuple(max(extents) for extents in zip(*shapes, strict=True))
        for shape in shapes:
            if any(n not in (1, m) for n, m in zip(shape, joint, strict=True)):
                found = " and ".join(map(str, inputs))
                raise ShapeError(
                    f"the branches of `{self.kind}` do not fit together, found {found}",
                    help="equal shapes, or a branch of fewer axes or with extents of 1",
                    code="E0405",
                    mended_by=mended_by(inputs),
                )
        return TensorType(joint)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        axes = max(x.ndim for x in inputs)
        return reduce(type(self).operator, (x.reshape(_stretched(x.shape, axes)) for x in inputs))

    def gradient(self, back: Backward) -> Gradients:
        """The gradients of the branches as they are merged, summed where one is repeated."""
        dy = back.dy
        branches = [x.reshape(_stretched(x.shape, dy.ndim)) for x in back.inputs]
        found = map(repeats_summed, self.of_branches(branches, dy), branches)
        return Gradients(tuple(d.reshape(x.shape) for d, x in zip(found, back.inputs, strict=True)))

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        """The gradient of each branch in the shape of `dy`; branches have as many axes as that."""
        raise NotImplementedError


class Add(_MergeOp):
    """x + y + ...; a branch of (C,) or (C, 1, 1) adds a number to each channel of a map."""

    op = "add"
    operator: ClassVar[Callable[[Array, Array], Array]] = operator.add

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        return [dy] * len(branches)


class Subtract(_MergeOp):
    """x - y - ...; a branch is repeated as in `add`."""

    op = "subtract"
    operator: ClassVar[Callable[[Array, Array], Array]] = operator.sub

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        return [dy, *(-dy for _ in branches[1:])]


class Multiply(_MergeOp):
    """x * y * ...; factors are aligned at the channels, and one is repeated along the axes that
    it lacks or where its extent is 1: that is how a gate of (C,) or (C, 1, 1) weighs a map."""

    op = "multiply"
    operator: ClassVar[Callable[[Array, Array], Array]] = operator.mul
    gradient_reads = INPUTS

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        """The product of the other factors."""
        return [
            reduce(operator.mul, (f for j, f in enumerate(branches) if j != i), dy)
            for i in range(len(branches))
        ]


class Divide(_MergeOp):
    """x / y / ...; a branch is repeated as in `add`. Over 0 it is infinite, and 0 over 0 no number."""

    op = "divide"
    operator: ClassVar[Callable[[Array, Array], Array]] = operator.truediv
    gradient_reads = INPUTS

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        """`dy` over the divisors, and less that times the quotient over each of them."""
        first, *divisors = branches
        share = reduce(operator.truediv, divisors, dy)
        return [share, *(-share * first / divisor for divisor in divisors)]


def _larger(x: Array, y: Array) -> Array:
    found: Array = np.maximum(x, y)
    return found


class Largest(_MergeOp):
    """The largest of x, y, ... at each place; branches are aligned at the channels, and one is repeated along
    the axes that it lacks or where its extent is 1. Source: torch.maximum, one after the other."""

    op = "maximum"
    operator: ClassVar[Callable[[Array, Array], Array]] = _larger
    gradient_reads = INPUTS

    def of_branches(self, branches: list[Array], dy: Array) -> list[Array]:
        """`dy` where a branch is the largest, shared equally where the largest so far is as large."""
        largest = [*accumulate(branches, _larger)]
        found: list[Array] = []
        for branch, before in zip(branches[:0:-1], largest[-2::-1], strict=True):
            share = (branch > before) + (branch == before) * dy.dtype.type(0.5)
            found.insert(0, dy * share)
            dy = dy * (1 - share)
        return [dy, *found]


def _stretched(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (*shape, *(1,) * (axes - len(shape)))


MERGES: tuple[type[Op], ...] = (Add, Subtract, Multiply, Divide, Largest)
