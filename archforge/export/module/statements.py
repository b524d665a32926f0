"""The statements of a function in a generated module, with variables that a reader can follow.

The main line of a network is `x`. A value that outlives its neighbours is called by its place in
the spec if that has a name there; short side lines are `y`, `z`, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archforge.export.module.bodies import BodyLine
from archforge.export.module.dialect import Dialect
from archforge.export.module.functions import BlockFunction
from archforge.export.module.loops import Parts, split_name
from archforge.export.module.names import word_of

__all__ = ["Statement", "statements_of"]

LETTERS = "yzwvutsrqhgfedcba"
FAR = 4  # statements that a value outlives before it is called by an automatic name such as `slice1`
MAX_WRAPS = 2


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, `targets = wraps(callee(holder, name, inputs, args))`; without targets it returns
    the value.

    `parts` is the name that parameters start with, `relative` whether the function's `name` stands
    before it; `holder` is the argument before the name, if there is one; `use` is what `BodyLine` has. With a
    `flag` the statement runs only where that is true, else `otherwise` is the value.
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
    holder: str = ""
    use: str = ""


@dataclass(slots=True, eq=False)
class _StatementDraft:
    """Lines of a body that become one statement: `line`, and calls of one argument around it."""

    line: BodyLine
    wraps: list[str]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    flag: str
    bypass: int | None
    shape: str


def statements_of(
    function: BlockFunction,
    inputs: Sequence[str],
    functions: Mapping[str, BlockFunction],
    dialect: Dialect,
    *,
    outputs: Sequence[str] = (),
    shapes: bool = False,
    holder: str = "p",
    returns: bool = True,
) -> tuple[list[Statement], tuple[str, ...]]:
    """The statements of a function with these inputs, and the variables of what it gives; the latter
    are empty if the last statement returns it, where it `returns`. `outputs` are names wished for these, the
    main one left out; `shapes` are noted behind statements that change them; `holder` stands before names."""
    drafts = _drafts(function, functions, dialect)
    wishes = dict(zip(function.body.outputs[1:], outputs[1:], strict=False))
    variables = _VariableNames(function, drafts, inputs, wishes, dialect).assign()
    comments = _new_shapes(drafts) if shapes else [""] * len(drafts)
    out = [
        replace(_statement(draft, variables, functions, dialect), comment=comment, holder=holder)
        for draft, comment in zip(drafts, comments, strict=True)
    ]
    if returns and drafts and drafts[-1].outputs == function.body.outputs:
        return [*out[:-1], replace(out[-1], targets=())], ()
    return out, tuple(variables[v] for v in function.body.outputs)


def _new_shapes(drafts: list[_StatementDraft]) -> list[str]:
    """The shape that each statement gives, where it is not that of its first input; else empty text."""
    shapes: dict[int, str] = {}
    out = []
    for draft in drafts:
        out.append("" if draft.inputs and shapes.get(draft.inputs[0]) == draft.shape else draft.shape)
        shapes |= dict.fromkeys(draft.outputs, draft.shape)
    return out


def _drafts(
    function: BlockFunction, functions: Mapping[str, BlockFunction], dialect: Dialect
) -> list[_StatementDraft]:
    body = function.body
    uses: dict[int, int] = {}
    for line in body.lines:
        for value in line.inputs:
            uses[value] = uses.get(value, 0) + 1
    for value in body.outputs:
        uses[value] = uses.get(value, 0) + 1
    drafts: list[_StatementDraft] = []
    value = body.inputs
    for index, line in enumerate(body.lines):
        outputs = tuple(range(value, value + line.outputs))
        value += line.outputs
        flag = function.flags.get(index, "")
        last = drafts[-1] if drafts else None
        if last and not flag and _wraps(line, last, functions, dialect) and uses[line.inputs[0]] == 1:
            last.wraps.append(line.callee)
            last.outputs, last.shape = outputs, line.shape
            continue
        bypass = function.bypasses.get(index)
        drafts.append(_StatementDraft(line, [], line.inputs, outputs, flag, bypass, line.shape))
    return drafts


def _wraps(
    line: BodyLine, last: _StatementDraft, functions: Mapping[str, BlockFunction], dialect: Dialect
) -> bool:
    """True if a line can be written around the statement before it, as `relu(bn(...))`.

    It must be a bare call on that statement's value, which must not come from a block; where it changes the
    shape, the statement must be a bare call too.
    """
    return (
        line.inputs == last.outputs
        and line.prefix is None
        and not last.flag
        and not _given(line, {}, dialect)
        and (line.is_activation or dialect.defaults(line.callee) is not None)
        and last.line.callee not in functions
        and (line.shape == last.shape or not (last.line.prefix or _given(last.line, {}, dialect)))
        and len(last.wraps) < MAX_WRAPS
    )


def _given(
    line: BodyLine, functions: Mapping[str, BlockFunction], dialect: Dialect
) -> tuple[tuple[str, Any], ...]:
    """The arguments of a line that differ from the defaults of what it calls."""
    called = functions.get(line.callee)
    defaults = called.params if called else dialect.defaults(line.callee) or {}
    return tuple((name, value) for name, value in line.args.items() if defaults[name] != value)


def _statement(
    draft: _StatementDraft,
    variables: Mapping[int, str],
    functions: Mapping[str, BlockFunction],
    dialect: Dialect,
) -> Statement:
    prefix = draft.line.prefix
    return Statement(
        targets=tuple(variables[v] for v in draft.outputs),
        callee=draft.line.callee,
        has_name=prefix is not None,
        relative=prefix is not None and prefix.relative,
        parts=split_name(prefix.text) if prefix else (),
        inputs=tuple(variables[v] for v in draft.inputs),
        args=_given(draft.line, functions, dialect),
        wraps=tuple(draft.wraps),
        flag=draft.flag,
        otherwise="" if draft.bypass is None else variables[draft.bypass],
        use=draft.line.use,
    )


class _VariableNames:
    """A variable for each value of a function; a value that is needed no more hands its variable on."""

    def __init__(
        self,
        function: BlockFunction,
        drafts: list[_StatementDraft],
        inputs: Sequence[str],
        wishes: Mapping[int, str],
        dialect: Dialect,
    ) -> None:
        self.dialect = dialect
        self.drafts = drafts
        self.wishes = wishes
        self.names: dict[int, str] = dict(enumerate(inputs))
        self.holds: dict[str, int] = {name: value for value, name in self.names.items()}
        self.last: dict[int, int] = {}
        self.users: dict[int, list[int]] = {}
        for index, draft in enumerate(drafts):
            for value in (*draft.inputs, *(() if draft.bypass is None else (draft.bypass,))):
                self.last[value] = index
                self.users.setdefault(value, []).append(index)
        self.last |= dict.fromkeys(function.body.outputs, len(drafts))
        self.taken = {*function.params, *re.findall(r"[A-Za-z_]\w*", " ".join(function.callees))}
        self.branches = self._branches()

    def assign(self) -> Mapping[int, str]:
        for index, draft in enumerate(self.drafts):
            for value in draft.outputs:
                name = self._choose(value, index, draft)
                self.names[value] = name
                self.holds[name] = value
        return self.names

    def _choose(self, value: int, index: int, draft: _StatementDraft) -> str:
        dying = [self.names[v] for v in draft.inputs if self.last[v] <= index]
        if draft.bypass is not None and self.names[draft.bypass] in dying:
            return self.names[draft.bypass]
        wishes = [
            word_of(self.wishes.get(value, "")),
            self.branches.get(draft.line.branch, ""),
            self._kept_name(value, index, draft),
        ]
        letters = [name for name in dying if name in LETTERS]
        numbered = [f"y{n}" for n in range(2, 2 + len(self.holds))]  # one more than can be held
        choices: list[str] = [*wishes, "x", *letters, *LETTERS, *numbered]
        return next(name for name in choices if name and self._is_free(name, index))

    def _is_free(self, name: str, index: int) -> bool:
        held = self.holds.get(name)
        return name not in self.taken and (held is None or self.last.get(held, -1) <= index)

    def _kept_name(self, value: int, index: int, draft: _StatementDraft) -> str:
        """A name for a value that is needed much later, or again after others were computed; else empty."""
        word = word_of(draft.line.label)
        last, uses = self.last.get(value, index), len(self.users.get(value, ()))
        if last > index + FAR:
            return word
        waits = uses > 1 and last > index + uses
        return word if waits and not _is_automatic(word, draft.line.kind) else ""

    def _is_branch(self, line: BodyLine, is_concat: bool) -> bool:
        """True if the first part of a label is a name that the spec gives to a branch: to more than one op,
        or to one op whose value is concatenated with others.

        is_concat: the value is read by a concatenation.
        """
        is_call = self.dialect.defaults(line.callee) is None
        return not _is_automatic(line.branch, line.kind) and (is_concat or is_call or "." in line.label)

    def _branches(self) -> dict[str, str]:
        """A variable for each named branch that a merge reads from."""
        origin = {value: draft.line for draft in self.drafts for value in draft.outputs}
        out: dict[str, str] = {}
        for draft in self.drafts:
            sources = [origin[v] for v in dict.fromkeys(draft.inputs) if v in origin]
            if len({*draft.inputs}) > 1:
                is_concat = self.dialect.defaults(draft.line.callee) is not None  # no operator
                named = (
                    s for s in sources if s.branch != draft.line.branch and self._is_branch(s, is_concat)
                )
                out |= {line.branch: word_of(line.branch) for line in named}
        return out


def _is_automatic(word: str, kind: str) -> bool:
    """True if a name is made of the kind of what it names: `conv`, `conv3`."""
    return re.fullmatch(rf"{re.escape(kind)}\d*", word) is not None
