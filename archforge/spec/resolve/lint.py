"""Mistakes that show without running a spec: names, arguments and constants, in blocks that nothing
calls and in branches that are not taken, too. Nothing is evaluated but constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import ValidationError

from archforge.errors import Diagnostic, DiagnosticError, Span
from archforge.ops import OP_WORDS, op_class
from archforge.spec import limits
from archforge.spec.binding.calls import (
    as_attribute,
    attribute_mistakes,
    is_meant,
    missing_argument,
    refuse_bare,
    unknown_argument,
    unknown_output,
    unknown_target,
)
from archforge.spec.binding.environment import NOTHING, check_kind
from archforge.spec.binding.modifier_checks import check_count, check_tensor, check_truth
from archforge.spec.binding.tensors import TENSOR_ATTRIBUTES
from archforge.spec.formulas.formula import Formula, Template, no_attribute, unknown_name
from archforge.spec.resolve.defaults import merge_defaults
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.form_checks import Mistakes
from archforge.spec.syntax.inner_steps import columns_in, names_set, steps_of
from archforge.spec.syntax.syntax_tree import (
    CELLS,
    ArgDecl,
    Argument,
    BlockDecl,
    Body,
    Call,
    Defaults,
    For,
    Group,
    Let,
    Merge,
    OutputDecl,
    ProfileDecl,
    Step,
    Tap,
    Value,
    formulas_in,
)
from archforge.spec.yaml.tree import Scalar, is_null

__all__ = ["lint"]

T = TypeVar("T")
Check = Callable[[Any, Span, Callable[[], Iterable[str]]], object]
# What formulas in `rules` see besides their constants and the spec's arguments.
COUNTS = (*(cell for cell in CELLS if cell != "leaf_layers"), "ops", "uses")
_LOOP = ("i", "key", "row")


@dataclass(frozen=True, slots=True)
class _VisibleNames:
    """The names that formulas of a place may use, in the `layers` of what is around it. `made` are taps whose
    names formulas make, `hidden` the spec's arguments where an imported block cannot see them."""

    layers: tuple[frozenset[str], ...]
    made: tuple[Template, ...] = ()
    hidden: frozenset[str] = frozenset()
    is_block: bool = False
    is_repeated: bool = False  # the name of a repeated step

    def knows(self, name: str) -> bool:
        return any(name in layer for layer in self.layers)

    def plus(self, names: Iterable[str]) -> _VisibleNames:
        return replace(self, layers=(*self.layers, frozenset(names)))

    def names(self) -> frozenset[str]:
        return frozenset().union(*self.layers)


def lint(spec: Spec) -> list[Diagnostic]:
    """All mistakes that show in the merged spec by itself, in every profile."""
    linter = _Linter(spec)
    linter.run()
    return linter.mistakes.found


class _Linter:
    """One pass over a merged spec, which collects its mistakes."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.mistakes = Mistakes()
        self.blocks: dict[str, list[BlockDecl]] = {}  # a profile may have its own block of a name
        self.defaults: dict[str, set[str]] = {}  # what the defaults of some profile give
        self.known_names: dict[str, list[str]] = {}  # arguments or attributes, by block or op
        self.compared = 0
        self.owners: tuple[Spec | ProfileDecl, ...] = (spec, *spec.profiles.values())
        for owner in self.owners:
            for name, block in owner.blocks.items():
                self.blocks.setdefault(name, []).append(block)
            for target, values in merge_defaults({}, owner.defaults).items():
                self.defaults.setdefault(target, set()).update(values)

    def attempt(self, check: Callable[[], T]) -> T | None:
        return self.mistakes.attempt(check, None)

    # The sections of a document

    def run(self) -> None:
        spec = self.spec
        args = _VisibleNames((frozenset(spec.args),))
        given = self._given()
        steps = self._with_names(args.plus(("x",)), (a for d, a in given if d and self._is_steps(a, (d,))))
        for decl, argument in given:
            if not argument.is_range:  # whose parts are constants, held against the kind as they are drawn
                self._argument(argument, (decl,) if decl else (), args, steps, f"`{spec.name}`")
        for formula in (*spec.constraints, *(c for p in spec.profiles.values() for c in p.constraints)):
            self._formula(formula, args)
        inputs = spec.input if isinstance(spec.input, dict) else {"input": spec.input}
        for value in inputs.values():
            if value is not None:
                self._value(value, args)
        for owner in self.owners:
            self._defaults(owner.defaults, args)
            for block in owner.blocks.values():
                self._block(block, args)
        self._graph(args.plus(("x", *inputs)))
        for rule in spec.rules.values():
            self._formula(rule.count, args.plus((*COUNTS, *rule.constants)))

    def _given(self) -> list[tuple[ArgDecl | None, Argument]]:
        """The values of the spec's arguments, wherever they are given, with their declarations."""
        spec = self.spec
        given: list[tuple[ArgDecl | None, Argument]] = []
        given += [(decl, decl.default) for decl in spec.args.values() if decl.default]
        for owner in self.owners:
            given += [(spec.args.get(key), argument) for key, argument in owner.values.items()]
        return given

    def _defaults(self, defaults: Defaults, args: _VisibleNames) -> None:
        for target, values in defaults.items():
            blocks = self.blocks.get(target, [])
            if not blocks and target not in OP_WORDS:  # the resolver knows where it stands
                continue
            scope = args.plus(("x",))
            if blocks:
                scope = scope.plus(("input", *(name for block in blocks for name in block.args)))
            self._arguments(target, values, None, scope)

    def _block(self, block: BlockDecl, args: _VisibleNames) -> None:
        if block.network is not None:  # whose spec was checked by itself
            return
        own = frozenset((*block.args, "x", "input"))
        scope = _VisibleNames((own,), hidden=args.names()) if block.imported else args.plus(own)
        scope = replace(scope, is_block=True)
        defaults = [(d, d.default) for d in block.args.values() if d.default]
        scope = self._with_names(scope, (a for d, a in defaults if self._is_steps(a, (d,))), block.body)
        for decl, argument in defaults:
            self._argument(argument, (decl,), scope, scope, f"`{block.name}`")
        self._body(block.body, scope)
        self._outputs(block.outputs, scope)

    def _graph(self, scope: _VisibleNames) -> None:
        if self.spec.graph is not None:
            scope = self._with_names(scope, (), self.spec.graph)
            self._body(self.spec.graph, scope)
        self._outputs(self.spec.outputs, scope)

    def _outputs(self, outputs: Mapping[str, OutputDecl], scope: _VisibleNames) -> None:
        for output in outputs.values():
            self._value(output.value, scope)
            if output.when:
                self._value(output.when, scope, check_truth)

    # Bodies

    def _with_names(
        self, scope: _VisibleNames, arguments: Iterable[Argument], *bodies: Body
    ) -> _VisibleNames:
        """`scope` with the taps and lets of bodies, and of arguments that are steps."""
        found: list[str] = []
        made: list[Template] = []
        written = [self.attempt(lambda a=argument: steps_of(a)) for argument in arguments]  # type: ignore[misc]
        for body in (*bodies, *(b for b in written if b)):
            for name in self._set_in(body):
                text = name.text if isinstance(name, Template) else name
                if text is not None:
                    found.append(text)
                elif isinstance(name, Template):
                    made.append(name)
        return replace(scope.plus(found), made=(*scope.made, *made))

    def _set_in(self, body: Body) -> Iterator[Template | str]:
        for step in body.steps:
            try:
                yield from names_set(step)
            except DiagnosticError:  # steps in an argument that do not parse: reported where they stand
                continue

    def _body(self, body: Body, scope: _VisibleNames) -> None:
        for step in body.steps:
            self._step(step, scope)

    def _step(self, step: Step, scope: _VisibleNames) -> None:
        modifiers = step.modifiers
        if modifiers.when:
            self._value(modifiers.when, scope, check_truth)
        if modifiers.source:
            self._value(modifiers.source, scope, lambda v, s, n: check_tensor(v, s, "`from`", n))
        if modifiers.repeat:
            self._value(modifiers.repeat, scope, check_count)
        if isinstance(step, For):
            self._for(step, scope)
            return
        for template in modifiers.templates():
            self._template(template, replace(scope, is_repeated=True) if modifiers.repeat else scope)
        inner = scope.plus(("i",)) if modifiers.repeat else scope
        match step:
            case Tap():
                self._formula(step.formula, inner)
            case Group():
                self._body(step.body, inner)
            case Merge():
                self._merge(step, inner)
            case Let():
                for argument in step.values.values():
                    self._value(argument.value, inner)
            case Call():
                self._call(step, inner)
                if modifiers.kept and isinstance(step.target, str):
                    self._kept(step.target, modifiers.kept)

    def _kept(self, target: str, kept: Mapping[str, Scalar]) -> None:
        """Check the outputs that a call keeps: some block of that name must have them."""
        blocks = self.blocks.get(target)
        known = {name for block in blocks or () for name in block.output_names}
        for output in kept.values() if blocks or target in OP_WORDS else ():
            if output.value not in known:
                self.mistakes.add(unknown_output(target, output, known, blocks[0] if blocks else None))

    def _for(self, step: For, scope: _VisibleNames) -> None:
        for value in (*step.values.values(), *((step.rows,) if step.rows else ())):
            self._value(value, scope)
        inner = scope.plus((*_LOOP, *(name for name, _ in step.columns)))
        if step.modifiers.name:
            self._template(step.modifiers.name, inner)
        self._body(step.body, inner)

    def _merge(self, step: Merge, scope: _VisibleNames) -> None:
        if step.call.arguments.entries:
            self._call(step.call, scope)
        if isinstance(step.branches, Formula):
            self._formula(step.branches, scope)
            return
        for branch in step.branches:
            if branch.name:
                self._template(branch.name, scope)
            if branch.when:
                self._value(branch.when, scope, check_truth)
            self._body(branch.body, scope)

    # Calls

    def _call(self, call: Call, scope: _VisibleNames) -> None:
        given = call.arguments.entries | call.modifiers.first
        bare = call.arguments.bare
        if isinstance(call.target, Formula):
            self._formula(call.target, scope)
            for argument in (*given.values(), *((bare,) if bare else ())):
                self._argument(argument, (), scope, scope, "")
        elif call.target not in self.blocks and call.target not in OP_WORDS:
            self.mistakes.add(unknown_target(call.target, call.span, self.blocks, scope.names(), given))
        elif bare is not None and self._is_formula(bare):  # perhaps a row: what it gives is not known
            self._value_of(bare, scope)
            self._arguments(call.target, given, None, scope)
        else:
            names = self._names(call.target)
            if bare is not None and not names:
                self.attempt(lambda: refuse_bare(str(call.target), bare.span))
            elif bare is not None:
                given = {names[0]: bare, **given}
            self._arguments(call.target, given, call.span, scope)

    def _names(self, target: str) -> list[str]:
        """Names of the arguments that some block of that name has, or of the op's attributes."""
        names = self.known_names.get(target)
        if names is None:
            blocks = self.blocks.get(target)
            found = (name for block in blocks or () for name in block.args)
            names = list(op_class(target).model_fields) if blocks is None else list(dict.fromkeys(found))
            self.known_names[target] = names
        return names

    def _arguments(
        self, target: str, given: Mapping[str, Argument], call: Span | None, scope: _VisibleNames
    ) -> None:
        """Check the arguments behind an op or block. Without the span of a call nothing can be missing."""
        names, blocks = self._names(target), self.blocks.get(target, [])
        for key, argument in given.items():
            if key not in names:
                block = blocks[0] if blocks else None
                self.mistakes.add(unknown_argument(key, argument.key_span, target, names, block))
        if not blocks:
            self._attributes(target, given, call, scope)
            return
        for key, argument in given.items():
            decls = tuple(b.args[key] for b in blocks if key in b.args)
            self._argument(argument, decls, scope, scope, f"`{target}`")
        if call is None:
            return
        for name, decl in blocks[0].args.items():
            if not decl.required or name in given or name in self.defaults.get(target, ()):
                continue
            is_required = all(name in b.args and b.args[name].required for b in blocks)
            if is_required and not is_meant(name, given, names):
                self.mistakes.add(missing_argument(name, target, call, blocks[0]))

    def _attributes(
        self, target: str, given: Mapping[str, Argument], call: Span | None, scope: _VisibleNames
    ) -> None:
        """Check the constant attributes of an op."""
        cls = op_class(target)
        values: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        for key, argument in given.items():
            value = self._value_of(argument, scope)
            if key in cls.model_fields and value and value.is_constant:
                values[key] = as_attribute(value.evaluate(NOTHING))
                spans[key] = argument.tree.span
        try:
            cls(**values)
        except ValidationError as error:
            written = (*given, *self.defaults.get(cls.op, ())) if call else tuple(cls.model_fields)
            place = call or self.spec.document.tree.span
            self.mistakes.add(
                *attribute_mistakes(cls, error, values, spans, place, given=written, names=scope.names)
            )

    # Values

    def _is_formula(self, argument: Argument) -> bool:
        return isinstance(argument.tree, Scalar) and argument.tree.formula_span is not None

    def _is_steps(self, argument: Argument, decls: tuple[ArgDecl, ...]) -> bool:
        if argument.looks_like_steps:
            return True
        return any(d.takes_steps for d in decls) and not self._is_formula(argument)

    def _argument(
        self,
        argument: Argument,
        decls: tuple[ArgDecl, ...],
        scope: _VisibleNames,
        steps: _VisibleNames,
        owner: str,
    ) -> None:
        """Check an argument: a value that sees `scope`, or steps that see `steps`."""
        if self._is_steps(argument, decls):
            body = self.attempt(lambda: steps_of(argument)) if not is_null(argument.tree) else None
            if body:
                self._body(body, steps)
            return
        value = self._value_of(argument, scope)
        if len(decls) == 1 and value and value.is_constant:
            content = value.evaluate(NOTHING)
            self.attempt(lambda: check_kind(decls[0], content, value.span, owner, scope.names))

    def _value_of(self, argument: Argument, scope: _VisibleNames) -> Value | None:
        """The value of an argument, its formulas checked; None if they do not parse."""
        value = self.attempt(lambda: argument.value)
        if value:
            self._value(value, scope)
        return value

    def _value(self, value: Value, scope: _VisibleNames, check: Check | None = None) -> None:
        """Check the formulas in a value; a constant must pass `check`."""
        constant = True
        for formula in formulas_in(value):
            self._formula(formula, scope)
            constant = False
        if check and constant:
            self.attempt(lambda: check(value.evaluate(NOTHING), value.span, scope.names))

    def _template(self, template: Template, scope: _VisibleNames) -> None:
        for part in template.parts:
            if isinstance(part, Formula):
                self._formula(part, scope)

    def _formula(self, formula: Formula, scope: _VisibleNames) -> None:
        for name, span in formula.names:
            if not scope.knows(name) and not self._can_be_made(name, span, scope):
                self.mistakes.add(self._unknown(name, span, scope))
        for name, attribute, span in formula.attributes:
            if name in ("x", "input") and attribute not in TENSOR_ATTRIBUTES:
                self.attempt(lambda a=attribute, s=span: no_attribute(a, s, TENSOR_ATTRIBUTES))  # type: ignore[misc]

    def _can_be_made(self, name: str, span: Span, scope: _VisibleNames) -> bool:
        """True if a formula can give a tap of that name."""
        self.compared += sum(len(template.parts) for template in scope.made)
        limits.COMPARED.check(self.compared, span)
        return any(_can_give(template, name) for template in scope.made)

    def _unknown(self, name: str, span: Span, scope: _VisibleNames) -> Diagnostic:
        message, hint = unknown_name(name, sorted(scope.names()))
        if name in scope.hidden:
            hint = f"an imported block sees its own arguments only: add `{name}` to its `args`"
        elif name in _LOOP:
            where = "`for` and `repeat`" if name == "i" else "`for`"
            hint = f"`{name}` has a value inside {where}"
            if name == "i" and scope.is_repeated:
                hint = "`i` counts inside the repeated step, whose name stands around it: `name: conv` makes "
                hint += "conv.0, conv.1, ...; or {for: {n: =range(2)}, do: ..., name: conv{i}}"
            elif scope.is_block:
                hint += f"; a block takes it as an argument: args: {{n: int}}, called with {{n: ={name}}}"
        elif name == "input":
            hint = "with several inputs each has its own name"
            if not isinstance(self.spec.input, dict):
                hint = "steps of an argument see `x`, the value where they are used"
        elif not hint.startswith("did") and name in self.everywhere:
            kind = "tensor" if name in self.taps else "int"
            hint = (
                "columns, taps and lets belong to the body they are written in: take it as an argument, "
                f"args: {{{name}: {kind}}}, called with {{{name}: ={name}}}"
            )
        return Diagnostic("E0302", message, span, help=hint)

    @property
    def bodies(self) -> list[Body]:
        """The bodies of all blocks, and the graph."""
        bodies = [block.body for blocks in self.blocks.values() for block in blocks]
        return [*bodies, self.spec.graph] if self.spec.graph else bodies

    @cached_property
    def everywhere(self) -> frozenset[str]:
        """The taps, lets and columns of all bodies."""
        names = (name for body in self.bodies for name in self._set_in(body))
        columns = (name for body in self.bodies for name in columns_in(body))
        return frozenset((*(n if isinstance(n, str) else n.text or "" for n in names), *columns))

    @cached_property
    def taps(self) -> frozenset[str]:
        """The taps of all bodies."""
        names = (name for body in self.bodies for name in self._set_in(body))
        return frozenset(n.text or "" for n in names if isinstance(n, Template))


def _can_give(template: Template, name: str) -> bool:
    """True if a template can give `name`, were its formulas to give fitting texts."""
    parts = [part if isinstance(part, str) else "" for part in template.parts]
    first, *middle, last = parts if len(parts) > 1 else [*parts, ""]
    if not (name.startswith(first) and name[len(first) :].endswith(last)):
        return False
    start, end = len(first), len(name) - len(last)
    for part in middle:
        start = name.find(part, start, end) + len(part)
        if start < len(part):
            return False
    return True
