"""From a spec to a typed graph: steps run in order, each op is inferred as it is placed.

Formulas read shapes (`=input.channels`), so expansion and inference walk together. A mistake is
noted, the value behind it is poison, and the walk goes on: all mistakes of a graph come at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError, Frame, Note, Span, did_you_mean, fail
from archforge.ir import Graph, Node, Scope, ShapeError, TensorType, TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Op
from archforge.spec.calls import bind_block, bind_op
from archforge.spec.formula import Formula, Template, describe
from archforge.spec.naming import Draft, NameScope, assign_names
from archforge.spec.resolve import Spec
from archforge.spec.scopes import POISON, ArgFrame, Budget, Env, Poisoned, Steps, Tensor, evaluate_argument
from archforge.spec.syntax import (
    ArgDecl,
    Argument,
    Arguments,
    BlockDecl,
    Body,
    Branch,
    Call,
    Defaults,
    For,
    Group,
    Let,
    Merge,
    Modifiers,
    ProfileDecl,
    Step,
    Tap,
    Value,
)

__all__ = ["Expansion", "expand"]

MAX_DEPTH = 40
MAX_NODES = 100_000
MAX_DIMENSION = 1_000_000
MAX_REPORTED = 50


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """A typed graph with what `expect` formulas may ask for: argument values and calls of each block."""

    spec: Spec
    profile: str
    graph: TypedGraph
    args: Mapping[str, Any]
    uses: Mapping[str, int]  # calls of a block that left at least one op
    blocks: frozenset[str]


class _Abort(DiagnosticError):
    """A limit is exceeded: there is no point in going on."""


@dataclass(slots=True, eq=False)
class _Place:
    """A scope of the graph under construction: a block call, a named sequence, the graph."""

    kind: str
    is_block: bool
    parent: int | None
    span: Span | None
    names: NameScope
    x: Tensor | None
    output: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _At:
    """Where steps are being placed: the level of names and the scope of the graph."""

    names: NameScope
    place: int


def expand(
    spec: Spec,
    profile: str | None = None,
    overrides: Mapping[str, Argument] | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Expansion:
    """The graph of one profile. `overrides` (`--set`) win over every other value of an argument.

    Raises all mistakes that can be found, in the order of their places.
    """
    if spec.graph is None or spec.header.kind != "network":
        kind = spec.header.kind if spec.header.kind != "network" else "spec without `graph`"
        fail(
            "E0319",
            f"{spec.name} is a {kind}: it cannot be built by itself",
            spec.document.span_of("kind"),
            help="name a network that extends it" if kind == "template" else "add `graph:`",
        )
    return _Expander(spec, spec.profile(profile), overrides or {}).run(input_shape)


class _Expander:
    def __init__(self, spec: Spec, profile: ProfileDecl, overrides: Mapping[str, Argument]) -> None:
        self.spec = spec
        self.profile = profile
        self.blocks = spec.blocks | profile.blocks
        self.ops = all_ops()
        self.defaults: Defaults = dict(spec.defaults)
        for op, values in profile.defaults.items():
            self.defaults[op] = self.defaults.get(op, {}) | values
        self.budget = Budget()
        self.drafts: list[Draft] = []
        self.places: list[_Place] = []
        self.uses: Counter[str] = Counter()
        self.calls: list[Frame] = []
        self.found: dict[tuple[str, Span | None, str], Diagnostic] = {}
        self.args = self._arguments(overrides)

    def _arguments(self, overrides: Mapping[str, Argument]) -> ArgFrame:
        values: dict[str, Any] = {}
        pending: dict[str, Callable[[], Any]] = {}
        frame = ArgFrame(values, pending)
        env = Env(self.budget, spec=frame)
        for name in overrides:
            if name not in self.spec.args:
                hint = did_you_mean(name, self.spec.args, what="it has")
                fail("E0306", f"{self.spec.name} has no argument `{name}`", help=hint)
        given = self.spec.values | self.profile.values | dict(overrides)
        for name, decl in self.spec.args.items():
            argument = given.get(name) or decl.default
            if argument is not None:
                pending[name] = self._later(decl, argument, env)
            elif decl.required:
                message = f"argument `{name}` has no value"
                hint = f"with: {{{name}: ...}}"
                self._note(
                    Diagnostic(
                        "E0307",
                        message,
                        self.spec.document.span_of("with"),
                        help=hint,
                        notes=(Note("it is declared", decl.span),),
                    )
                )
                values[name] = POISON
            else:
                values[name] = None
        for name in tuple(pending):
            try:
                frame[name]
            except DiagnosticError as error:
                self._note(*error.diagnostics)
                values[name] = POISON
            except ValueError as error:
                self._note(Diagnostic("E0305", str(error), self.spec.args[name].span))
                values[name] = POISON
            except Poisoned:
                values[name] = POISON
        return frame

    def _later(self, decl: ArgDecl, argument: Argument, env: Env) -> Callable[[], Any]:
        return lambda: evaluate_argument(decl, argument, env, f"`{self.spec.name}`")

    def _note(self, *diagnostics: Diagnostic) -> None:
        """Keep each mistake once, with the calls that led to it the first time."""
        for diagnostic in diagnostics:
            key = (diagnostic.code, diagnostic.span, diagnostic.message if diagnostic.span is None else "")
            self.found.setdefault(key, diagnostic.within(self.calls))

    def run(self, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None) -> Expansion:
        assert self.spec.graph is not None  # `expand` has refused it
        root = NameScope("graph", None, None)
        inputs = self._inputs(input_shape)
        single = next(iter(inputs.values())) if not isinstance(self.spec.input, dict) and inputs else None
        self.places.append(_Place("graph", True, None, None, root, single))
        taps = {} if single else dict(inputs)
        env = Env(self.budget, single, single, {}, taps, spec=self.args)
        outputs: dict[str, Tensor] = {}
        try:
            x = self.sequence(self.spec.graph, single, env, _At(root, 0))
            self.places[0].output = x
            outputs = self._outputs(x, env)
            assign_names(root)
        except DiagnosticError as error:
            self._note(*error.diagnostics)
        except RecursionError:
            self._note(Diagnostic("E0317", "nested too deeply", self.spec.graph.span))
        if self.found:
            raise DiagnosticError(tuple(self.found.values())[:MAX_REPORTED])
        graph = self._finish(inputs, outputs)
        return Expansion(
            self.spec,
            self.profile.name,
            graph,
            MappingProxyType(dict(self.args.values)),
            self.uses,
            frozenset(self.blocks),
        )

    # Inputs, outputs and the finished graph

    def _inputs(self, given: Sequence[int] | Mapping[str, Sequence[int]] | None) -> dict[str, Tensor]:
        declared = self.spec.input
        span = self.spec.document.span_of("input")
        if declared is None and given is None:
            hint = "input: [3, 224, 224], or --input 3x224x224"
            self._note(Diagnostic("E0202", f"{self.spec.name} has no `input`", span, help=hint))
            return {"input": POISON}
        declared = declared or Value((), span)
        named = declared if isinstance(declared, dict) else {"input": declared}
        env = Env(self.budget, spec=self.args)
        out: dict[str, Tensor] = {}
        for name, value in named.items():
            override = given.get(name) if isinstance(given, Mapping) else given
            try:
                shape = list(override) if override is not None else value.evaluate(env)
                out[name] = Tensor(_input_type(shape, value.span), None, name)
            except DiagnosticError as error:
                self._note(*error.diagnostics)
                out[name] = POISON
            except Poisoned:
                out[name] = POISON
        return out

    def _outputs(self, x: Tensor | None, env: Env) -> dict[str, Tensor]:
        if not self.spec.outputs:
            if x is None:
                fail("E0312", "the graph leaves no value", self.spec.document.span_of("graph"))
            return {"output": x}
        out: dict[str, Tensor] = {}
        for name, decl in self.spec.outputs.items():
            try:
                if decl.when is None or self._truth(decl.when, env.at(x)):
                    out[name] = self._tensor(decl.value, env.at(x), f"output `{name}`")
            except DiagnosticError as error:
                self._note(*error.diagnostics)
            except Poisoned:
                pass
        return out

    def _finish(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> TypedGraph:
        def value(tensor: Tensor | None) -> str:
            if tensor is None:
                return ""
            return tensor.draft.name if tensor.draft else tensor.input_name

        nodes = tuple(
            Node(d.name, d.op, tuple(map(value, d.inputs)), d.frame, d.span, d.params_of) for d in self.drafts
        )
        self._check_shared(nodes)
        reads = self._reads(value)
        scopes = tuple(
            Scope(
                i,
                p.names.name,
                p.kind,
                p.is_block,
                p.parent,
                p.span,
                tuple(dict.fromkeys((*([value(p.x)] if p.x else []), *reads[i]))),
                value(p.output),
            )
            for i, p in enumerate(self.places)
        )
        types = {name: tensor.type for name, tensor in inputs.items()} | {d.name: d.type for d in self.drafts}
        graph = Graph(
            self.spec.name,
            {name: tensor.type for name, tensor in inputs.items()},
            nodes,
            {name: value(tensor) for name, tensor in outputs.items()},
            scopes,
        )
        return TypedGraph(graph, MappingProxyType(types))

    def _reads(self, value: Callable[[Tensor], str]) -> list[list[str]]:
        """For each scope, the values that its nodes read and that no node in it computes."""
        parents = [p.parent for p in self.places]
        reads: list[list[str]] = [[] for _ in self.places]
        for draft in self.drafts:
            for tensor in draft.inputs:
                above: set[int] = set()
                at: int | None = tensor.draft.frame if tensor.draft else 0
                while at is not None:
                    above.add(at)
                    at = parents[at]
                inside: int | None = draft.frame
                while inside is not None and inside not in above:
                    reads[inside].append(value(tensor))
                    inside = parents[inside]
        return reads

    def _check_shared(self, nodes: tuple[Node, ...]) -> None:
        """Shared parameters must have equal shapes."""
        seen: dict[str, tuple[tuple[int, ...], Node]] = {}
        found: list[Diagnostic] = []
        for node, draft in zip(nodes, self.drafts, strict=True):
            if node.params_of == node.name and "@" not in node.name and not draft.shared:
                continue
            for name, decl in node.op.params(*(t.type for t in draft.inputs)).items():
                shape, first = seen.setdefault(node.param_name(name), (decl.shape, node))
                if shape != decl.shape:
                    found.append(
                        Diagnostic(
                            "E0318",
                            f"`{node.param_name(name)}` is shared, but its shapes differ",
                            node.span,
                            label=f"{_by_x(decl.shape)}",
                            notes=(Note(f"it is {_by_x(shape)}", first.span),),
                        )
                    )
        if found:
            raise DiagnosticError(tuple(found))

    # Steps

    def sequence(self, body: Body, x: Tensor | None, env: Env, at: _At) -> Tensor | None:
        for step in body.steps:
            x = self.step(step, x, env, at)
        return x

    def named(
        self,
        body: Body,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        *,
        kind: str = "seq",
        shared: bool = False,
    ) -> Tensor | None:
        """A name on one step is that step's; on a list it makes a scope of numbered children."""
        if name is None:
            return self.sequence(body, x, env, at)
        if not body.is_list:
            return self.step(body.steps[0], x, env, at, name, shared=shared)
        inner = self._enter(at, kind, name, body.span, x, style="position", shared=shared)
        result = self.sequence(body, x, env, inner)
        self.places[inner.place].output = result
        return result

    def _enter(
        self, at: _At, kind: str, name: str, span: Span, x: Tensor | None, *, style: Any, shared: bool = False
    ) -> _At:
        names = at.names.child(kind, name, span, style, shared=shared)
        self.places.append(_Place("seq", False, at.place, span, names, x))
        return _At(names, len(self.places) - 1)

    def step(
        self,
        step: Step,
        x: Tensor | None,
        env: Env,
        at: _At,
        given: str | None = None,
        *,
        shared: bool = False,
    ) -> Tensor | None:
        """The value after one step. Its mistakes are noted and leave poison."""
        try:
            return self._step(step, x, env, at, given, shared)
        except _Abort:
            raise
        except DiagnosticError as error:
            self._note(*error.diagnostics)
        except Poisoned:
            pass
        self._poison_taps(step.modifiers, env)
        return POISON

    def _poison_taps(self, modifiers: Modifiers, env: Env) -> None:
        for template in (modifiers.tap, modifiers.append):
            if template and len(template.parts) == 1 and isinstance(template.parts[0], str):
                env.body[template.parts[0]] = POISON

    def _step(
        self, step: Step, x: Tensor | None, env: Env, at: _At, given: str | None, shared: bool
    ) -> Tensor | None:
        modifiers = step.modifiers
        if modifiers.source is not None:
            x = self._tensor(modifiers.source, env.at(x), "`from`")
        env = env.at(x)
        if modifiers.when is not None and not self._truth(modifiers.when, env):
            return x
        if isinstance(step, Let):
            self._let(step, env)
            return x
        if isinstance(step, For):
            result = self._for(step, x, env, at, given)
        else:
            name = self._name(modifiers, env, given, step.span)
            if modifiers.share is not None:
                name, shared = self._text(modifiers.share, env), True
            result = self._repeat(step, x, env, at, name, shared)
        if modifiers.tap is not None:
            env.body[self._text(modifiers.tap, env)] = result
        if modifiers.append is not None:
            key = self._text(modifiers.append, env)
            env.body[key] = [*env.body.get(key, []), result]
        return x if isinstance(step, Group) and step.kind == "side" else result

    def _name(self, modifiers: Modifiers, env: Env, given: str | None, span: Span) -> str | None:
        own = self._text(modifiers.name, env) if modifiers.name else None
        if own is not None and given is not None:
            fail(
                "E0309", f"one step has two names, `{given}` and `{own}`", span, help="put the step in a list"
            )
        return given if own is None else own

    def _text(self, template: Template, env: Env) -> str:
        text = template.evaluate(env)
        if not text or text.startswith(".") or text.endswith(".") or ".." in text:
            fail("E0308", f"`{text}` is no name", template.span, help="words joined by single dots")
        return text

    def _repeat(
        self,
        step: Tap | Call | Merge | Group,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        shared: bool,
    ) -> Tensor | None:
        repeat = step.modifiers.repeat
        if repeat is None:
            return self._once(step, x, env, at, name, shared, is_first=bool(step.modifiers.first))
        count = repeat.evaluate(env)
        if type(count) is not int or count < 0:
            fail("E0308", f"`repeat` is a whole number, 0 or more, found {describe(count)}", repeat.span)
        self._spend(count, repeat.span)
        start = x
        if name is not None:
            at = self._enter(at, "seq", name, step.span, start, style="position", shared=shared)
        for i in range(count):
            x = self._once(step, x, env.looping(i=i).at(x), at, None, shared, is_first=i == 0)
        if name is not None:
            self.places[at.place].output = x
        return x

    def _spend(self, iterations: int, span: Span) -> None:
        try:
            self.budget.spend(iterations)
        except ValueError as error:
            raise _Abort((Diagnostic("E0317", str(error), span).within(self.calls),)) from None

    def _once(
        self,
        step: Tap | Call | Merge | Group,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        shared: bool,
        *,
        is_first: bool,
    ) -> Tensor | None:
        if isinstance(step, Tap):
            return self._run_value(
                step.formula.evaluate(env), step, Arguments(step.span, {}), x, env, at, name, shared, is_first
            )
        if isinstance(step, Merge):
            return self._merge(step, x, env, at, name)
        if isinstance(step, Group):
            return self.named(step.body, x, env, at, name, shared=shared)
        if isinstance(step.target, Formula):
            value = step.target.evaluate(env)
            return self._run_value(value, step, step.arguments, x, env, at, name, shared, is_first)
        return self._call(step.target, step, x, env, at, name, shared, is_first)

    def _run_value(
        self,
        value: Any,
        step: Tap | Call,
        arguments: Arguments,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        shared: bool,
        is_first: bool,
    ) -> Tensor | None:
        """A formula as a step: a tensor, steps, a list of ops' names, or one name."""
        if isinstance(value, str):
            call = Call(step.span, step.modifiers, value, arguments)
            return self._call(value, call, x, env, at, name, shared, is_first)
        if arguments.entries or arguments.bare:
            fail("E0314", f"{describe(value)} takes no arguments", step.span)
        if value is None:
            return x
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Steps):
            return self.named(value.body, x, value.env.at(x), at, name, shared=shared)
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            steps = tuple(Call(step.span, Modifiers(), v, Arguments(step.span, {})) for v in value)
            return self.named(Body(steps, step.span), x, env, at, name, shared=shared)
        fail(
            "E0314",
            f"a step is a tap, steps or the name of an op or block, found {describe(value)}",
            step.span,
        )

    def _call(
        self,
        target: str,
        call: Call,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        shared: bool,
        is_first: bool,
    ) -> Tensor | None:
        block = self.blocks.get(target)
        if block is not None:
            return self._call_block(block, call, x, env, at, name, shared, is_first)
        if target not in self.ops:
            hint = did_you_mean(target, [*self.ops, *self.blocks])
            fail("E0301", f"unknown op or block `{target}`", call.span, help=hint)
        op = bind_op(target, call, env, self.defaults, is_first=is_first)
        return self._place(op, (x,), call, at, name, shared)

    def _call_block(
        self,
        block: BlockDecl,
        call: Call,
        x: Tensor | None,
        env: Env,
        at: _At,
        name: str | None,
        shared: bool,
        is_first: bool,
    ) -> Tensor | None:
        if len(self.calls) >= MAX_DEPTH:
            message = f"blocks call each other deeper than {MAX_DEPTH}"
            raise _Abort((Diagnostic("E0317", message, call.span).within(self.calls[:3]),))
        inner_env = bind_block(block, call, env, self.args, self.defaults, is_first=is_first)
        transparent = block.naming == "none"
        style: Any = "position" if block.naming == "position" else "kind"
        names = at.names if transparent else at.names.child(block.name, name, call.span, style, shared=shared)
        self.places.append(_Place(block.name, True, at.place, call.span, names, x))
        inner = _At(names, len(self.places) - 1)
        before = len(self.drafts)
        self.calls.append(Frame(block.name, call.span))
        try:
            result = self.named(block.body, x, inner_env, inner, name if transparent else None, shared=shared)
        finally:
            self.calls.pop()
        self.places[inner.place].output = result
        self.uses[block.name] += len(self.drafts) > before
        return result

    def _merge(self, step: Merge, x: Tensor | None, env: Env, at: _At, name: str | None) -> Tensor | None:
        if name is not None:
            at = self._enter(at, "seq", name, step.span, x, style="kind")
        values, spans = self._branches(step, x, env, at)
        if POISON in values:
            return POISON
        if len(values) == 1:
            result = values[0]
        elif not values:
            fail("E0405", f"`{step.kind}` has no branch left", step.span)
        else:
            call = Call(step.span, Modifiers(), step.kind, Arguments(step.span, {}))
            try:
                result = self._place(self.ops[step.kind](), tuple(values), call, at, None, shared=False)
            except DiagnosticError as error:
                notes = tuple(
                    Note(f"branch {i + 1} is {v.type}", s)
                    for i, (v, s) in enumerate(zip(values, spans, strict=True))
                )
                raise DiagnosticError(tuple(replace(d, notes=notes) for d in error.diagnostics)) from None
        if name is not None:
            self.places[at.place].output = result
        return result

    def _branches(self, step: Merge, x: Tensor | None, env: Env, at: _At) -> tuple[list[Tensor], list[Span]]:
        if isinstance(step.branches, Formula):
            listed = step.branches.evaluate(env)
            if not (isinstance(listed, list) and all(isinstance(v, Tensor) for v in listed)):
                fail(
                    "E0308",
                    f"`{step.kind}` takes a list of values, found {describe(listed)}",
                    step.branches.span,
                )
            return listed, [step.branches.span] * len(listed)
        values: list[Tensor] = []
        spans: list[Span] = []
        for branch in step.branches:
            if branch.when is None or self._truth(branch.when, env):
                values.append(self._branch(branch, x, env, at, step.kind))
                spans.append(branch.span)
        return values, spans

    def _branch(self, branch: Branch, x: Tensor | None, env: Env, at: _At, kind: str) -> Tensor:
        name = self._text(branch.name, env) if branch.name else None
        value = self.named(branch.body, x, env, at, name)
        if value is None:
            fail(
                "E0312",
                f"a branch of `{kind}` has no value",
                branch.span,
                help="start it with a tap: [=name, ...]",
            )
        return value

    def _place(
        self, op: Op, inputs: tuple[Tensor | None, ...], call: Call, at: _At, name: str | None, shared: bool
    ) -> Tensor:
        """A node of the graph, its output inferred."""
        values = tuple(v for v in inputs if v is not None)
        if len(values) < len(inputs):
            hint = "with several inputs the first step says `from: =name`"
            fail("E0312", f"`{op.kind}` has no current value to work on", call.span, help=hint)
        if POISON in values:
            return POISON
        try:
            output = op.infer(*(v.type for v in values))
        except ShapeError as error:
            raise DiagnosticError((_shape_mistake(error, call, values),)) from None
        draft = Draft(op, values, output, call.span, at.place, name, shared)
        at.names.items.append(draft)
        self.drafts.append(draft)
        if len(self.drafts) > MAX_NODES:
            raise _Abort(
                (Diagnostic("E0317", f"more than {MAX_NODES:,} nodes", call.span).within(self.calls),)
            )
        return Tensor(output, draft)

    def _let(self, step: Let, env: Env) -> None:
        for key, argument in step.values.items():
            try:
                env.body[key] = argument.value.evaluate(env)
            except (DiagnosticError, Poisoned) as error:
                env.body[key] = POISON
                if isinstance(error, DiagnosticError):
                    self._note(*error.diagnostics)

    # Loops

    def _for(self, step: For, x: Tensor | None, env: Env, at: _At, given: str | None) -> Tensor | None:
        keys, rows = self._rows(step, env)
        self._spend(len(rows), step.span)
        for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
            inner = env.looping(i=i, key=key, row=row, **row).at(x)
            name = self._name(step.modifiers, inner, given, step.span)
            x = self.named(step.body, x, inner, at, name)
        return x

    def _rows(self, step: For, env: Env) -> tuple[list[Any], list[dict[str, Any]]]:
        names = [name for name, _ in step.columns]
        if step.rows is None:
            return self._columns(step, env)
        table = step.rows.evaluate(env)
        keys = (
            list(table)
            if isinstance(table, dict)
            else list(range(len(table)))
            if isinstance(table, list)
            else []
        )
        rows = list(table.values()) if isinstance(table, dict) else table
        if not isinstance(rows, list):
            fail("E0308", f"`in` is a list of rows, found {describe(table)}", step.rows.span)
        written = step.rows.content
        places = (
            list(written.values())
            if isinstance(written, dict)
            else written
            if isinstance(written, tuple)
            else ()
        )
        for index, row in enumerate(rows):
            span = places[index].span if places else step.rows.span
            if not isinstance(row, list):
                row = rows[index] = [row]
            if len(row) != len(names):
                fail(
                    "E0311",
                    f"row {index + 1} has {len(row)} values for {len(names)} columns",
                    span,
                    label=f"columns: {', '.join(names)}",
                )
        return keys, [dict(zip(names, row, strict=True)) for row in rows]

    def _columns(self, step: For, env: Env) -> tuple[list[Any], list[dict[str, Any]]]:
        columns = {key: value.evaluate(env) for key, value in step.values.items()}
        if POISON in columns.values():
            raise Poisoned
        lengths = {key: len(value) for key, value in columns.items() if isinstance(value, list)}
        if len(set(lengths.values())) != 1:
            told = ", ".join(f"`{key}` has {n}" for key, n in lengths.items()) or "no column is a list"
            fail("E0311", f"the columns of `for` differ in length: {told}", step.span)
        count = next(iter(lengths.values()))
        rows = [{k: v[i] if isinstance(v, list) else v for k, v in columns.items()} for i in range(count)]
        return list(range(count)), rows

    # Values of modifiers

    def _truth(self, value: Value, env: Env) -> bool:
        result = value.evaluate(env)
        if result is POISON:
            raise Poisoned
        if not isinstance(result, bool):
            hint = "compare it: `!= 0`, `!= 'none'`"
            fail("E0308", f"`when` is true or false, found {describe(result)}", value.span, help=hint)
        return result

    def _tensor(self, value: Value, env: Env, what: str) -> Tensor:
        result = value.evaluate(env)
        if result is POISON:
            raise Poisoned
        if not isinstance(result, Tensor):
            hint = f"=`{result}`".replace("`", "") if isinstance(result, str) else ""
            fail("E0308", f"{what} is a value such as a tap, found {describe(result)}", value.span, help=hint)
        return result


def _input_type(shape: Any, span: Span) -> TensorType:
    fits = isinstance(shape, list) and 1 <= len(shape) <= 4
    if not fits or not all(type(d) is int and 1 <= d <= MAX_DIMENSION for d in shape):
        fail(
            "E0203",
            f"an input is one to four whole numbers from 1 to {MAX_DIMENSION:,}, found {describe(shape)}",
            span,
            help="[channels, height, width], without the batch",
        )
    return TensorType(tuple(shape))


def _by_x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _shape_mistake(error: ShapeError, call: Call, values: tuple[Tensor, ...]) -> Diagnostic:
    """A shape that does not fit, at the attribute that says so, with where the input came from."""
    span = call.span
    if error.attribute:
        argument = call.modifiers.first.get(error.attribute) or call.arguments.entries.get(error.attribute)
        span = argument.tree.span if argument else span
    notes = []
    if values and len(values) == 1:
        draft = values[0].draft
        source = f"from `{draft.kind}`" if draft else f"the input `{values[0].input_name}`"
        notes.append(Note(f"the input is {values[0].type}, {source}", draft.span if draft else None))
    return Diagnostic(error.code, error.message, span, error.label, error.help, tuple(notes))
