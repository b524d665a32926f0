"""The skeleton of steps: their kinds and how they are wired, whatever their attributes are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from archforge.interchange.decompile.steps import FOR, TreeBranch, TreeStep
from archforge.interchange.decompile.values import Expression, Mark
from archforge.ops import op_class
from archforge.spec.printing.graph_steps import is_default

__all__ = ["cost", "is_depthwise", "is_said", "key_of"]


def cost(step: TreeStep) -> int:
    """The number of words to read in a step."""
    if step.kind == FOR:
        return 1 + sum(1 + len(v) // 2 for v in step.args.values()) + sum(map(cost, step.branches[0].steps))
    given = sum(is_said(step, n, v) for n, v in step.args.items())
    if isinstance(step.kind, str):
        inner = sum(1 + sum(map(cost, branch.steps)) for branch in step.branches)
        return 1 + given + inner
    given += len(step.reads) - 1
    return 1 + given + (0 if step.times is None else 1 + len(step.first))


def is_said(step: TreeStep, name: str, value: Any) -> bool:
    """True for the value of an arg that the step has not by itself."""
    if isinstance(value, Mark) or name in step.by_default or name == "when":
        return False
    if isinstance(value, Expression):  # which would mean something else inside of the block
        return True
    if not isinstance(step.kind, str):
        parameter = step.kind.parameters.get(name)
        return parameter is None or repr(parameter.default) != repr(value)
    return not is_default(op_class(step.kind), name, value)


def is_depthwise(step: TreeStep) -> bool:
    """True for a convolution of each channel by itself."""
    groups = step.args.get("groups", 1)
    return step.kind == "conv" and type(groups) is int and groups > 1 and step.args["out"] == groups


def key_of(steps: Sequence[TreeStep], *, tell_depthwise: bool = False) -> tuple[Any, tuple[int, ...]]:
    """The skeleton of steps, and the values that they read from outside. tell_depthwise: depthwise
    convolutions are a kind of their own."""
    keys = _Keys(tell_depthwise=tell_depthwise)
    key = tuple([keys.step(s) for s in steps])
    return key, tuple(keys.outside)


class _Keys:
    """The skeleton of steps: kinds and wiring. Values from outside and shared parameters get numbers in the
    order of their use."""

    def __init__(self, *, tell_depthwise: bool = False) -> None:
        self.numbers = count()
        self.inside: dict[int, int] = {}
        self.outside: dict[int, int] = {}
        self.owners: dict[int, int] = {}
        self.tell_depthwise = tell_depthwise

    def ref(self, value: int) -> int:
        """Numbers from 0 for values made inside, from -1 down for others."""
        if value in self.inside:
            return self.inside[value]
        return self.outside.setdefault(value, -1 - len(self.outside))

    def step(self, step: TreeStep) -> Any:
        refs = tuple([self.ref(v) for v in step.reads])
        branches = tuple([self.branch(b) for b in step.branches])
        kind: str | int = step.kind if isinstance(step.kind, str) else step.kind.number
        if self.tell_depthwise and is_depthwise(step):
            kind = "depthwise"
        self.inside[step.value] = next(self.numbers)
        shares = tuple([self.owners.setdefault(n, len(self.owners)) for n in step.shares])
        return kind, refs, branches, step.form, step.optional, shares

    def branch(self, branch: TreeBranch) -> Any:
        if not branch.steps:
            return self.ref(branch.source)
        return tuple([self.step(s) for s in branch.steps])
