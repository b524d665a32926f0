"""Statements of a function: its values get variables that a reader can follow.

The main line of a network is `x`. A value that outlives its neighbours is called by its place in
the spec if that has a name there; short side lines are `y`, `z`, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archforge.export.module.bodies import Line
from archforge.export.module.functions import Function
from archforge.export.module.kernels import kernel_file
from archforge.export.module.loops import Parts, split_name
from archforge.export.module.names import word_of

__all__ = ["Statement", "statements_of"]

LETTERS = "yzwvutsrqhgfedcba"
FAR = 4  # statements that a value outlives before it is called by an automatic name such as `slice1`
MAX_WRAPS = 2


@dataclass(frozen=True, slots=True)
class Statement:
    """`targets = wraps(callee(p, name, inputs, args))`; no targets: it is returned.

    `parts` is the name that parameters start with, `relative` whether the function's `name` stands
    before it. With a `flag` the statement runs only where that is true, else `otherwise` is the value.
    """

    targets: tuple[str, ...]
    callee: str
    has_name: bool
    relative: bool
    parts: Parts
    inputs: tuple[str, ...]
    args: tuple[tuple[str, Any], ...]
    wraps: tuple[str, ...] = ()
    flag: str = ""
    otherwise: str = ""
    comment: str = ""


@dataclass(slots=True, eq=False)
class _Step:
    """Lines that make one statement: `line`, then calls of one argument around it."""

    line: Line
    wraps: list[str]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    flag: str
    bypass: int | None
    shape: str


def statements_of(
    function: Function,
    inputs: Sequence[str],
    functions: Mapping[str, Function],
    *,
    outputs: Sequence[str] = (),
    shapes: bool = False,
) -> tuple[list[Statement], tuple[str, ...]]:
    """The statements of a function with these inputs, and the variables of what it gives; the latter
    are empty if the last statement returns it. `outputs` are names wished for these, the main one left
    out; `shapes` are noted behind statements that change them."""
    steps = _steps(function, functions)
    wishes = dict(zip(function.body.outputs[1:], outputs[1:], strict=False))
    variables = _Variables(function, steps, inputs, wishes).assign()
    comments = _new_shapes(steps) if shapes else [""] * len(steps)
    out = [
        replace(_statement(step, variables, functions), comment=comment)
        for step, comment in zip(steps, comments, strict=True)
    ]
    if steps and steps[-1].outputs == function.body.outputs:
        return [*out[:-1], replace(out[-1], targets=())], ()
    return out, tuple(variables[v] for v in function.body.outputs)


def _new_shapes(steps: list[_Step]) -> list[str]:
    """The shape that each step gives, where it is not that of its first input."""
    shapes: dict[int, str] = {}
    out = []
    for step in steps:
        out.append("" if step.inputs and shapes.get(step.inputs[0]) == step.shape else step.shape)
        shapes |= dict.fromkeys(step.outputs, step.shape)
    return out


def _steps(function: Function, functions: Mapping[str, Function]) -> list[_Step]:
    body = function.body
    uses: dict[int, int] = {}
    for line in body.lines:
        for value in line.inputs:
            uses[value] = uses.get(value, 0) + 1
    for value in body.outputs:
        uses[value] = uses.get(value, 0) + 1
    steps: list[_Step] = []
    value = body.inputs
    for index, line in enumerate(body.lines):
        outputs = tuple(range(value, value + line.outputs))
        value += line.outputs
        flag = function.flags.get(index, "")
        last = steps[-1] if steps else None
        if last and not flag and _wraps(line, last, functions) and uses[line.inputs[0]] == 1:
            last.wraps.append(line.callee)
            last.outputs, last.shape = outputs, line.shape
            continue
        bypass = function.bypasses.get(index)
        steps.append(_Step(line, [], line.inputs, outputs, flag, bypass, line.shape))
    return steps


def _wraps(line: Line, last: _Step, functions: Mapping[str, Function]) -> bool:
    """Whether a line is a bare call on the value of the step before, which is no block's; if it changes
    the shape, that must be a bare call too."""
    return (
        line.inputs == last.outputs
        and line.prefix is None
        and not last.flag
        and not _given(line, {})
        and (line.is_activation or line.callee in kernel_file().kernels)
        and last.line.callee not in functions
        and (line.shape == last.shape or not (last.line.prefix or _given(last.line, {})))
        and len(last.wraps) < MAX_WRAPS
    )


def _given(line: Line, functions: Mapping[str, Function]) -> tuple[tuple[str, Any], ...]:
    """The arguments that differ from their defaults."""
    called = functions.get(line.callee)
    kernel = kernel_file().kernels.get(line.callee)
    defaults = called.params if called else kernel.keywords if kernel else {}
    return tuple((name, value) for name, value in line.args.items() if defaults[name] != value)


def _statement(step: _Step, variables: Mapping[int, str], functions: Mapping[str, Function]) -> Statement:
    prefix = step.line.prefix
    return Statement(
        targets=tuple(variables[v] for v in step.outputs),
        callee=step.line.callee,
        has_name=prefix is not None,
        relative=prefix is not None and prefix.relative,
        parts=split_name(prefix.text) if prefix else (),
        inputs=tuple(variables[v] for v in step.inputs),
        args=_given(step.line, functions),
        wraps=tuple(step.wraps),
        flag=step.flag,
        otherwise="" if step.bypass is None else variables[step.bypass],
    )


class _Variables:
    """Gives each value a variable, taking one over from a value that is not needed any more."""

    def __init__(
        self, function: Function, steps: list[_Step], inputs: Sequence[str], wishes: Mapping[int, str]
    ) -> None:
        self.steps = steps
        self.wishes = wishes
        self.names: dict[int, str] = dict(enumerate(inputs))
        self.holds: dict[str, int] = {name: value for value, name in self.names.items()}
        self.last: dict[int, int] = {}
        self.users: dict[int, list[int]] = {}
        for index, step in enumerate(steps):
            for value in (*step.inputs, *(() if step.bypass is None else (step.bypass,))):
                self.last[value] = index
                self.users.setdefault(value, []).append(index)
        self.last |= dict.fromkeys(function.body.outputs, len(steps))
        self.taken = {*function.params, *function.callees}
        self.branches = self._branches()

    def assign(self) -> Mapping[int, str]:
        for index, step in enumerate(self.steps):
            for value in step.outputs:
                name = self._choose(value, index, step)
                self.names[value] = name
                self.holds[name] = value
        return self.names

    def _choose(self, value: int, index: int, step: _Step) -> str:
        dying = [self.names[v] for v in step.inputs if self.last[v] <= index]
        if step.bypass is not None and self.names[step.bypass] in dying:
            return self.names[step.bypass]
        wishes = [
            word_of(self.wishes.get(value, "")),
            self.branches.get(step.line.branch, ""),
            self._kept_name(value, index, step),
        ]
        letters = [name for name in dying if name in LETTERS]
        numbered = [f"y{n}" for n in range(2, 2 + len(self.holds))]  # one more than can be held
        choices: list[str] = [*wishes, "x", *letters, *LETTERS, *numbered]
        return next(name for name in choices if name and self._is_free(name, index))

    def _is_free(self, name: str, index: int) -> bool:
        held = self.holds.get(name)
        return name not in self.taken and (held is None or self.last.get(held, -1) <= index)

    def _kept_name(self, value: int, index: int, step: _Step) -> str:
        """The name of a value that is needed much later, or again after others were computed."""
        word = word_of(step.line.label)
        last, uses = self.last.get(value, index), len(self.users.get(value, ()))
        if last > index + FAR:
            return word
        waits = uses > 1 and last > index + uses
        return word if waits and not _is_automatic(word, step.line.kind) else ""

    def _branches(self) -> dict[str, str]:
        """A variable for each named branch that a merge reads from."""
        origin = {value: step.line for step in self.steps for value in step.outputs}
        out: dict[str, str] = {}
        for step in self.steps:
            sources = [origin[v] for v in dict.fromkeys(step.inputs) if v in origin]
            if len({*step.inputs}) > 1:
                joins = step.line.callee.isidentifier()  # `concat`, not an operator
                named = (s for s in sources if s.branch != step.line.branch and _is_branch(s, joins))
                out |= {line.branch: word_of(line.branch) for line in named}
        return out


def _is_branch(line: Line, joins: bool) -> bool:
    """Whether the first part of a label is a name that the spec gives to a branch: to more than one op,
    or to a single one that is joined to others."""
    is_call = line.callee not in kernel_file().kernels
    return not _is_automatic(line.branch, line.kind) and (joins or is_call or "." in line.label)


def _is_automatic(word: str, kind: str) -> bool:
    """Whether a name is made of the kind of what it names: `conv`, `conv3`."""
    return re.fullmatch(rf"{re.escape(kind)}\d*", word) is not None
