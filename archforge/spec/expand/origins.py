"""Origins of values: which call, default or formula gives an attribute, and what the names in it are, down to
what is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archforge.errors import Span
from archforge.spec.binding.environment import ArgFrame, Env, Evaluated, Given
from archforge.spec.binding.tensors import Tensor
from archforge.spec.expand.trace import Around, NodeTrace, TracedExpansion, blocks_around, body_id
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.syntax_tree import Argument, Call, For, Value, formulas_in

__all__ = ["ValueOrigin", "attribute_origin", "origin_lines"]


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """A value, who says it, where, and the values of the names in its formula. text: as it is written, empty
    for what is written nowhere."""

    name: str
    value: str
    said_by: str
    span: Span | None = None
    text: str = ""
    parts: tuple[ValueOrigin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; `at` is `FILE:LINE:COLUMN`."""
        return {
            "name": self.name,
            "value": self.value,
            "said_by": self.said_by,
            "at": None if self.span is None else str(self.span),
            "text": self.text,
            "parts": [part.to_json() for part in self.parts],
        }


def attribute_origin(found: TracedExpansion, trace: NodeTrace, name: str) -> ValueOrigin:
    """The origin of an attribute of a node."""
    op, call = trace.draft.op, trace.call
    value = getattr(op, name)
    argument = call.written.arguments.get(name) if call else None
    if call is None or (argument is None and not isinstance(call.formula, Argument)):
        return ValueOrigin(name, describe(value), f"default of `{op.kind}`")
    search = _Search(found)
    if argument is None:  # a row of the bare formula has it, or nothing
        return _of_row(search, trace, call.formula, name, value)
    own = name in call.written.given
    env = trace.env if own else Env(trace.env.budget, spec=trace.env.spec)
    said_by = search.defaults_owner(op.op, name, argument)
    if own:
        is_first = call.is_first and name in call.call.modifiers.first
        said_by = f"`first` of the call of `{op.kind}`" if is_first else f"the call of `{op.kind}`"
    return search.of_given(name, value, argument, env, trace.around, said_by)


def _of_row(
    search: _Search, trace: NodeTrace, formula: Argument | None, name: str, value: Any
) -> ValueOrigin:
    op = trace.draft.op
    if formula is None or getattr(op, name) == type(op).model_fields[name].default:
        return ValueOrigin(name, describe(value), f"default of `{op.kind}`")
    return search.of_given(
        name, value, formula, trace.env, trace.around, f"the row of the call of `{op.kind}`"
    )


class _Search:
    """The search for who gives the names of formulas their values."""

    def __init__(self, found: TracedExpansion) -> None:
        self.found = found
        self.spec = found.expansion.spec
        self.profile = self.spec.profile(found.expansion.profile)

    def defaults_owner(self, target: str, name: str, argument: Given) -> str:
        """The words for whose defaults give an argument or attribute of `target`."""
        settings = self.found.expansion.settings
        if any(argument is given for given in settings.values()):
            return "--set"
        if argument is self.profile.defaults.get(target, {}).get(name):
            return f"defaults of profile `{self.profile.name}`"
        return "defaults of the spec"

    def of_given(
        self, name: str, value: Any, argument: Given, env: Env, around: Sequence[Around], said_by: str
    ) -> ValueOrigin:
        """The origin of what an argument gives, in the scope where that is written."""
        if isinstance(argument, Evaluated):
            return ValueOrigin(name, describe(value), said_by, argument.span)
        if argument.looks_like_steps:
            return ValueOrigin(name, "steps", said_by, argument.span)
        return self._of_value(name, value, argument.value, env, around, said_by)

    def _of_value(
        self, name: str, value: Any, written: Value, env: Env, around: Sequence[Around], said_by: str
    ) -> ValueOrigin:
        formulas = [*formulas_in(written)]
        names = dict.fromkeys(n for formula in formulas for n, _ in formula.names)
        parts = tuple(part for n in names if (part := self.of_name(n, env, around)) is not None)
        text = str(written.content) if formulas and written.is_formula else ""
        return ValueOrigin(name, describe(value), said_by, written.span, text, parts)

    def of_name(self, name: str, env: Env, around: Sequence[Around]) -> ValueOrigin | None:
        """The origin of a name in a formula; None for one that is nobody's, as that of a function."""
        try:
            value = env.lookup(name)
        except KeyError:
            return None
        if name in env.loop:
            return self._of_loop(name, value, around)
        if isinstance(value, Tensor):
            return _of_tensor(name, value)
        if name in env.body:
            return self._of_body(name, value, env, around)
        frame = env.args if name in env.args else env.spec
        place = next((place for place, outer in enumerate(around) if outer.frame is frame), None)
        if place is not None:
            return self._of_argument(name, value, frame, around, place)
        return self._of_spec(name, value, env)

    def _of_loop(self, name: str, value: Any, around: Sequence[Around]) -> ValueOrigin:
        inner = around[blocks_around(around) + 1 :]
        for place in range(len(inner) - 1, -1, -1):
            step = inner[place].step
            if isinstance(step, For) and (name in step.values or any(n == name for n, _ in step.columns)):
                outer = around[: len(around) - len(inner) + place]
                column = step.values.get(name, step.rows)
                if column is None:
                    break
                parts = self._of_value(name, value, column, inner[place].env, outer, "").parts
                text = str(column.content) if column.is_formula else ""
                return ValueOrigin(name, describe(value), "this pass of the loop", column.span, text, parts)
        loop = next((a.step for a in reversed(inner) if isinstance(a.step, For)), None)
        said_by = "this pass of the loop or repeat, from 0" if name == "i" else "this pass of the loop"
        return ValueOrigin(name, describe(value), said_by, loop.span if loop else None)

    def _of_body(self, name: str, value: Any, env: Env, around: Sequence[Around]) -> ValueOrigin:
        argument = self.found.lets.get((body_id(env), name))
        if argument is None:
            kept = value if isinstance(value, list) else ()
            taps = tuple(
                _of_tensor(f"{name}[{n}]", item) for n, item in enumerate(kept) if isinstance(item, Tensor)
            )
            place = taps[0].span if taps else None
            return ValueOrigin(name, describe(value), "a tap", place, parts=taps)
        return self.of_given(name, value, argument, env, around, "`let`")

    def _of_argument(
        self, name: str, value: Any, frame: ArgFrame, around: Sequence[Around], place: int
    ) -> ValueOrigin:
        """The origin of an argument of the block that is called at a place: its call, the defaults, or its
        declaration."""
        call = around[place]
        assert call.block is not None  # only a call of one has a frame
        assert call.inside is not None
        block, budget = call.block, call.env.budget
        if argument := frame.given.get(name):
            is_first = call.is_first and name in call.step.modifiers.first
            said_by = f"`first` of the call of `{block.name}`" if is_first else f"the call of `{block.name}`"
            bare = call.step.arguments.bare if isinstance(call.step, Call) else None
            written = bare if bare and isinstance(argument, Evaluated) else argument
            return self.of_given(name, value, written, call.env, around[:place], said_by)
        within = around[: place + 1]
        if default := call.defaults.get(name):
            env = Env(budget, call.env.x, call.env.x, args=frame, spec=call.env.spec)
            return self.of_given(
                name, value, default, env, within, self.defaults_owner(block.name, name, default)
            )
        inside = call.inside
        env = Env(budget, inside.x, inside.input, args=inside.args, spec=inside.spec)
        return self._of_declared(name, value, frame, env, within, f"default of `{block.name}`")

    def _of_spec(self, name: str, value: Any, env: Env) -> ValueOrigin:
        """The origin of the spec's argument: `--set`, the profile, `with`, or its declaration."""
        frame, inside = env.spec, Env(env.budget, spec=env.spec)
        argument = frame.given.get(name)
        if argument is None:
            return self._of_declared(name, value, frame, inside, (), "default of the spec")
        said_by = "`with`"
        if argument is self.found.expansion.settings.get(name):
            said_by = "--set"
        elif argument is self.profile.values.get(name):
            said_by = f"profile `{self.profile.name}`"
        return self.of_given(name, value, argument, inside, (), said_by)

    def _of_declared(
        self, name: str, value: Any, frame: ArgFrame, env: Env, around: Sequence[Around], said_by: str
    ) -> ValueOrigin:
        decl = frame.decls[name]
        if decl.default is None:
            return ValueOrigin(name, describe(value), said_by, decl.span)
        return self.of_given(name, value, decl.default, env, around, said_by)


def _of_tensor(name: str, value: Tensor) -> ValueOrigin:
    draft = value.draft
    said_by = f"the value of {draft.name}" if draft else f"the input `{value.input_name}`"
    return ValueOrigin(name, str(value.type), said_by, draft.span if draft else None)


def origin_lines(origin: ValueOrigin, depth: int = 0) -> Iterator[str]:
    """An origin in lines: those of the names in its formula below it, further in."""
    where = f", {origin.span}" if origin.span else ""
    text = f": `{origin.text}`" if origin.text else ""
    yield f"{'  ' * depth}{origin.name} is {origin.value}, {origin.said_by}{where}{text}"
    for part in origin.parts:
        yield from origin_lines(part, depth + 1)
