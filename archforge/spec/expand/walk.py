"""The walk over the steps of a graph: each op is inferred as it is placed.

Formulas read shapes (`=input.channels`), so expansion and inference walk together. A mistake is
noted, the value behind it is poison, and the walk goes on: all mistakes of a graph come at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

from archforge.errors import Diagnostic, DiagnosticError, Frame, Note, Span, fail
from archforge.ir import ShapeError, TensorType
from archforge.ops import OP_WORDS
from archforge.ops.base import Op
from archforge.spec import limits
from archforge.spec.binding.calls import OpCall, bind_block, shape_mistake, unknown_output, unknown_target
from archforge.spec.binding.environment import Env, Steps
from archforge.spec.binding.modifier_checks import (
    check_count,
    check_label,
    check_output,
    check_tensor,
    check_truth,
)
from archforge.spec.binding.tensors import POISON, Draft, FoldedDraft, FoldedSection, Tensor
from archforge.spec.expand.assemble import ScopeDraft
from archforge.spec.expand.for_rows import rows_of
from archforge.spec.expand.graph_warnings import idle_op, said_twice
from archforge.spec.expand.naming import NameScope, Style
from archforge.spec.expand.networks import NetworkSurroundings, surrounded, walk_network
from archforge.spec.formulas.failures import MISTAKES, LimitError, Poisoned, mistakes_in
from archforge.spec.formulas.formula import Formula, Template, describe
from archforge.spec.resolve.spec import NetworkBlock
from archforge.spec.syntax.inner_steps import names_set
from archforge.spec.syntax.reserved_names import check_name
from archforge.spec.syntax.syntax_tree import (
    CONSTANTS,
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
    OutputDecl,
    Step,
    Tap,
    Value,
)

__all__ = ["At", "Walk"]

MAX_MISTAKES = 100  # over and over in a loop
MAX_BRANCHES_TOLD = 8
MAX_BODIES, MAX_SCOPES = limits.BODIES.most, limits.SCOPES.most  # looked up at every step
INPUT = 4  # steps that an input of a merge counts for: every file of a build names it
COPIED_AT_ONCE = 64  # values that are copied in the time that a formula takes for one

Flow = Tensor | None  # the current value, if there is one


@dataclass(slots=True, eq=False)  # not frozen: thousands are made, and a frozen one takes twice as long
class At:
    """Position of a step: its level of names, the index of its scope, and the name that its surroundings give
    it, if any. `shared`: its parameters are those of another step of that name."""

    names: NameScope
    place: int
    given: str | None = None
    shared: bool = False

    def named(self, name: str | None, *, shared: bool = False) -> At:
        return (
            self if name is self.given and shared is self.shared else At(self.names, self.place, name, shared)
        )


class Walk:
    """Drafts of nodes and scopes, and mistakes, of one expansion."""

    def __init__(self, blocks: Mapping[str, BlockDecl], defaults: Defaults, spec: Env) -> None:
        self.blocks = blocks
        self.defaults = defaults
        self.spec = spec
        self.drafts: list[Draft] = []
        self.places: list[ScopeDraft] = []
        self.uses: Counter[str] = Counter()
        self.calls: list[Frame] = []
        self.inferred: dict[tuple[int, tuple[TensorType, ...]], TensorType] = {}  # by the `id` of an op
        self.op_calls: dict[tuple[str, int, bool], OpCall] = {}
        self.found: dict[tuple[str, Span | None, str], Diagnostic] = {}
        self.leaves_values = False  # a step that does not go on from the value in front of it
        self.has_dotted = False  # a name that holds dots of its own
        self.warnings: list[Diagnostic] = []
        # Defaults of the caller, and of the profile with their places, until a call takes them.
        self.untaken: dict[tuple[str, str], Span | None] = {}
        self.set_ops: Defaults = {}  # defaults of ops that the caller sets
        self.left_out: list[Draft] = []
        self.budget = spec.budget
        self.steps_left = self.budget.steps
        self.nodes_left = min(self.budget.nodes, limits.NODES.most)
        self.bodies = 0  # in each other, where the walk is
        # Where nobody asks for names: the first call of each block, by arguments and the type of its input.
        self.folds: dict[tuple[Any, ...], FoldedSection] | None = None
        self.shares = False  # a step shares its parameters
        self.steps_run = 0  # arguments that are steps
        self.folded_nodes = 0
        self.mistakes_made = 0
        self.left: Mapping[str, Any] | None = None  # outputs of the block that was called last
        # Of networks that are blocks, by the `id` of these: their blocks, defaults, and calls of ops.
        self.networks: dict[int, tuple[Mapping[str, BlockDecl], Defaults, dict[Any, OpCall]]] = {}
        self.homes: dict[int, NetworkSurroundings] = {}  # by the `id` of the arguments that steps see there
        self.set_by: dict[int, list[Template | str]] = {}  # names by the `id` of the step that sets them

    def note(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep each mistake once, with the calls that led to it the first time."""
        for diagnostic in diagnostics:
            self.mistakes_made += 1
            key = (diagnostic.code, diagnostic.span, diagnostic.message if diagnostic.span is None else "")
            self.found.setdefault(key, diagnostic.within(self.calls))

    def enter(self, at: At, name: str, span: Span, x: Flow, style: Style) -> At:
        """A named scope below `at`."""
        names = at.names.child("seq", name, span, style, shared=at.shared)
        self.open("seq", False, at, span, names, x)
        return At(names, len(self.places) - 1)

    def open(self, kind: str, is_block: bool, at: At, span: Span, names: NameScope, x: Flow) -> None:
        """Begin a scope in that of `at`."""
        depth = self.places[at.place].depth + 1
        if depth > MAX_SCOPES:
            self.stop(limits.SCOPES, span)
        self.places.append(ScopeDraft(kind, is_block, at.place, span, names, x, depth))

    def count(self, span: Span, work: int = 1) -> None:
        """Count work against the budget: steps, iterations, arguments of calls, branches alike."""
        self.steps_left -= work
        if self.steps_left < 0:
            self.stop(limits.ALL_STEPS, span)

    def settle(self) -> None:
        """Take from the budget what was used of it."""
        self.budget.steps = self.steps_left
        self.budget.nodes -= len(self.drafts)

    def stop(self, limit: limits.Limit, span: Span) -> NoReturn:
        raise LimitError(Diagnostic(limit.code, limit.told(), span))

    # Bodies and steps

    def body(self, body: Body, x: Flow, env: Env, at: At) -> Flow:
        """Value after `body`. A given name is that of a single step; on a list it makes a scope of numbered
        children. Mistakes of a step are noted, and the value behind it is poison."""
        outer = at
        if at.given is not None and body.is_list:
            at = self.enter(at, at.given, body.span, x, "position")
        depth = self.bodies = self.bodies + 1
        if depth > MAX_BODIES:
            self.stop(limits.BODIES, body.span)
        for step in body.steps:
            try:
                x = self._step(step, x, env, at)
            except MISTAKES as error:
                self.bodies = depth
                x = self._mistaken(step, env, error)
        self.bodies = depth - 1
        if at is not outer:
            self.places[at.place].output = x
        return x

    def _mistaken(self, step: Step, env: Env, error: DiagnosticError | Poisoned) -> Tensor:
        """Note the step's mistakes, and return poison, which all that it would have set is too."""
        self.note(mistakes_in(error))
        if self.mistakes_made > MAX_MISTAKES:
            raise LimitError
        self._poison(step, env)
        return POISON

    def _poison(self, step: Step, env: Env) -> None:
        """Give poison to what the step would have set."""
        own = (step.modifiers.tap, step.modifiers.append)
        names = self.set_by.get(id(step))
        if names is None:
            names = self.set_by[id(step)] = list(names_set(step))
        self.count(step.span, len(names))
        for name in names:
            text = name.text if isinstance(name, Template) else name
            is_own = name in own or name in step.modifiers.kept
            if text is not None and (is_own or text not in env.body):
                env.body[text] = POISON

    def _step(self, step: Step, x: Flow, env: Env, at: At) -> Flow:
        self.count(step.span)
        modifiers = step.modifiers
        env = env.at(x)
        if modifiers.when is not None and not self._holds(modifiers.when, env):
            return x
        before = x
        if modifiers.source is not None:
            self.leaves_values = True
            x = check_tensor(modifiers.source.evaluate(env), modifiers.source.span, "`from`", env.names)
            env = env.at(x)
        if isinstance(step, Let):
            self._let(step, env)
            return before
        if isinstance(step, For):
            result = self._for(step, x, env, at)
        else:
            self.left = None
            at = self._named(modifiers, env, at)
            if modifiers.repeat is None:
                result = self._once(step, x, env, at, is_first=False)
            else:
                result = self._repeat(modifiers.repeat, step, x, env, at)
        if modifiers.tap is not None:
            env.body[self._tap(modifiers.tap, env)] = result
        if modifiers.kept:
            self._keep(step, result, env)
        if modifiers.append is not None:
            self._append(modifiers.append, result, env)
        if isinstance(step, Group) and step.kind == "side":
            self.leaves_values = True
            return before
        return result

    def _holds(self, when: Value, env: Env) -> bool:
        return check_truth(when.evaluate(env), when.span, env.names)

    def _keep(self, step: Step, result: Flow, env: Env) -> None:
        """Keep outputs of the block that the step has called. Raises E0324 for one that it does not leave."""
        left = {} if self.left is None else self.left
        for name, output in step.modifiers.kept.items():
            if result is not POISON and output.value not in left:
                target = step.target if isinstance(step, Call) and isinstance(step.target, str) else ""
                block = self.blocks.get(target)
                raise DiagnosticError((unknown_output(target, output, left, block),))
            env.body[name] = POISON if result is POISON else left[output.value]

    def _append(self, template: Template, result: Flow, env: Env) -> None:
        key = self._tap(template, env)
        items = env.body.get(key, [])
        if items is POISON:
            return
        if not isinstance(items, list):
            fail("E0308", f"`append` makes a list, but `{key}` is {describe(items)}", template.span)
        if len(items) >= limits.APPENDED.most:
            self.stop(limits.APPENDED, template.span)
        env.spend(len(items) // COPIED_AT_ONCE, template.span)
        env.body[key] = [*items, result]

    def _tap(self, template: Template, env: Env) -> str:
        name = template.evaluate(env)
        if template.text is None:  # else the parser has checked it
            check_name(name, template.span, "a tap")
        return name

    def _label(self, template: Template, env: Env) -> str:
        label = check_label(template.evaluate(env), template.span)
        self.has_dotted |= "." in label
        return label

    def _let(self, step: Let, env: Env) -> None:
        self.count(step.span, len(step.values))
        for key, argument in step.values.items():
            try:
                env.body[key] = argument.value.evaluate(env)
            except MISTAKES as error:
                self.note(mistakes_in(error))
                env.body[key] = POISON

    def _named(self, modifiers: Modifiers, env: Env, at: At) -> At:
        """Position `at` under the step's own name, if it has one."""
        own = modifiers.name or modifiers.share
        if own is None:
            return at
        self.shares |= modifiers.share is not None
        name = self._label(own, env)
        if at.given is not None:
            message = f"one step has two names, `{at.given}` and `{name}`"
            fail("E0309", message, own.span, help="put the step in a list")
        return at.named(name, shared=at.shared or modifiers.share is not None)

    def _repeat(self, times: Value, step: Tap | Call | Merge | Group, x: Flow, env: Env, at: At) -> Flow:
        """A step several times; under a name as its numbered children."""
        count = check_count(times.evaluate(env), times.span, env.names)
        outer = at
        if at.given is not None:
            at = self.enter(at, at.given, step.span, x, "position")
        for i in range(count):
            self.count(step.span, 1 + len(env.loop))
            x = self._once(step, x, env.looping(i=i).at(x), at, is_first=i == 0)
            if x is POISON:
                break
        if at is not outer:
            self.places[at.place].output = x
        return x

    def _for(self, step: For, x: Flow, env: Env, at: At) -> Flow:
        for i, (key, row) in enumerate(rows_of(step, env)):
            self.count(step.span, 1 + len(row) + len(env.loop))
            inner = env.looping(i=i, key=key, row=row, **row).at(x)
            name = self._label(step.modifiers.name, inner) if step.modifiers.name else None
            if name is not None and at.given is not None:
                message = f"one loop has two names, `{at.given}` and `{name}`"
                fail("E0309", message, step.span, help="put the loop in a list")
            x = self.body(step.body, x, inner, at if name is None else at.named(name, shared=at.shared))
        return x

    def _once(self, step: Tap | Call | Merge | Group, x: Flow, env: Env, at: At, *, is_first: bool) -> Flow:
        if isinstance(step, Call):
            if isinstance(step.target, Formula):
                return self._run(step.target.evaluate(env), step, x, env, at, is_first=is_first)
            return self._call(step.target, step, x, env, at, is_first=is_first)
        if isinstance(step, Merge):
            return self._merge(step, x, env, at)
        if isinstance(step, Group):
            return self.body(step.body, x, env, at)
        call = Call(step.span, step.modifiers, step.formula, Arguments(step.span, {}))
        return self._run(step.formula.evaluate(env), call, x, env, at, is_first=is_first)

    # Calls

    def _run(self, value: Any, call: Call, x: Flow, env: Env, at: At, *, is_first: bool) -> Flow:
        """A formula as a step: a tensor, steps, a list of ops' names, or one name."""
        if isinstance(value, str):
            return self._call(value, call, x, env, at, is_first=is_first)
        if call.arguments.entries or call.arguments.bare or call.modifiers.first:
            fail("E0314", f"{describe(value)} takes no arguments", call.span)
        if value is None or value is POISON:
            return x if value is None else POISON
        if isinstance(value, Tensor):
            self.leaves_values = True
            return value
        if isinstance(value, Steps):
            self.steps_run += 1
            home = self.homes.get(id(value.env.spec)) if self.homes else None
            with nullcontext() if home is None else surrounded(self, home):
                x = self.body(value.body, x, value.env.at(x), at)
            self.left = None  # which blocks in it have set
            return x
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            self.count(call.span, len(value))
            steps = tuple(Call(call.span, Modifiers(), v, Arguments(call.span, {})) for v in value)
            x = self.body(Body(steps, call.span), x, env, at)
            self.left = None
            return x
        message = f"a step is a tap, steps or the name of an op or block, found {describe(value)}"
        fail("E0314", message, call.span)

    def _call(self, target: str, call: Call, x: Flow, env: Env, at: At, *, is_first: bool) -> Flow:
        block = self.blocks.get(target)
        self.count(call.span, len(block.args if block else call.arguments.entries))
        if block is not None:
            return self._call_block(block, call, x, env, at, is_first=is_first)
        if target not in OP_WORDS:
            found = unknown_target(target, call.span, self.blocks, env.names())
            if isinstance(call.target, Formula):
                found = replace(found, notes=tuple(env.origins(call.target)))
            raise DiagnosticError((found,))
        op_call = self._op_call(target, call, is_first=is_first)
        return self._place(op_call.bind(env, self.spec), (x,), call.span, env, at, op_call)

    def _op_call(self, kind: str, call: Call, *, is_first: bool) -> OpCall:
        """The call as one of op `kind`, which a formula may have named."""
        key = (kind, id(call), is_first)
        found = self.op_calls.get(key)
        if found is None:  # which holds the call, so that its id is no other's
            found = self.op_calls[key] = OpCall(kind, call, self.defaults, is_first=is_first)
            if self.untaken:
                self._take(found.op.op, found.defaults, found.written.given)
        return found

    def _call_block(self, block: BlockDecl, call: Call, x: Flow, env: Env, at: At, *, is_first: bool) -> Flow:
        if len(self.calls) >= limits.CALLS.most:
            self.stop(limits.CALLS, call.span)
        inner_env = bind_block(block, call, env, self.spec, self.defaults, is_first=is_first)
        if self.untaken:
            self._take(block.name, block.args, inner_env.args.given)
        has_outputs = block.outputs or block.network is not None
        key = None if self.folds is None or has_outputs else _fold_key(block, inner_env.args.values, x)
        if key is None:
            return self._block_body(block, call, x, inner_env, at)
        return self._folded(key, block, call, x, inner_env, at)

    def _folded(
        self, key: tuple[Any, ...], block: BlockDecl, call: Call, x: Flow, inner_env: Env, at: At
    ) -> Flow:
        """A call of a block whose nodes are walked the first time only. A body sees its arguments and the
        spec's, so that nothing else can make a difference."""
        assert self.folds is not None
        section = self.folds.get(key)
        if section is not None:
            self.folded_nodes += section.nodes - 1
            return self._again(section, x, call.span, at)
        before = len(self.drafts), self.folded_nodes, self.steps_run, self.mistakes_made
        result = self._block_body(block, call, x, inner_env, at)
        start, folded, *others = before
        made = self.drafts[start:]
        is_own = result is not None and any(result.draft is draft for draft in reversed(made))
        if is_own and others == [self.steps_run, self.mistakes_made]:
            nodes = len(made) + self.folded_nodes - folded
            self.folds[key] = FoldedSection(start, len(self.drafts), nodes, cast("Tensor", result))
        return result

    def _again(self, section: FoldedSection, x: Flow, span: Span, at: At) -> Tensor:
        """The value behind the nodes of a section, once more."""
        self._refuse_more_nodes(span)
        output = section.output
        assert output.draft is not None  # else it were no section
        inputs = (cast("Tensor", x),)
        draft = FoldedDraft(output.draft.op, inputs, output.type, span, at.place, section=section)
        self.drafts.append(draft)
        return Tensor(output.type, draft)

    def _block_body(self, block: BlockDecl, call: Call, x: Flow, inner_env: Env, at: At) -> Flow:
        transparent = block.naming == "none"
        style: Style = "position" if block.naming == "position" else "kind"
        names = at.names
        if not transparent:
            names = names.child(block.name, at.given, call.span, style, shared=at.shared)
        self.open(block.name, True, at, call.span, names, x)
        inner = At(names, len(self.places) - 1, at.given if transparent else None, at.shared and transparent)
        before = len(self.drafts)
        self.calls.append(Frame(block.name, call.span))
        try:
            if isinstance(block, NetworkBlock):
                result, left = walk_network(self, block, call, x, inner_env, inner)
            else:
                result = self.body(block.body, x, inner_env, inner)
                left = self.outputs(block.outputs, inner_env.at(result)) if block.outputs else {}
        except LimitError as error:
            if any(d.trace for d in error.diagnostics):
                raise
            raise LimitError(*(d.within(self.calls) for d in error.diagnostics)) from None
        finally:
            self.calls.pop()
        self.places[inner.place].output = result
        self.uses[block.name] += len(self.drafts) > before
        self.left = left
        return result

    def outputs(self, declared: Mapping[str, OutputDecl], env: Env) -> dict[str, Tensor | list[Tensor]]:
        """The outputs of a block or the graph, but those that their `when` leaves out. Notes E0308."""
        found: dict[str, Tensor | list[Tensor]] = {}
        for name, decl in declared.items():
            try:
                if decl.when is None or self._holds(decl.when, env):
                    what = f"output `{name}`"
                    found[name] = check_output(decl.value.evaluate(env), decl.value.span, what, env.names)
            except MISTAKES as error:
                self.note(mistakes_in(error))
                found[name] = POISON
        return found

    def _take(self, target: str, names: Iterable[str], given: Container[str]) -> None:
        """Note the defaults that a call of an op or block takes: those that it does not give itself."""
        for name in names:
            if name not in given:
                self.untaken.pop((target, name), None)

    # Merges and ops

    def _merge(self, step: Merge, x: Flow, env: Env, at: At) -> Flow:
        outer = at
        if at.given is not None:
            at = self.enter(at, at.given, step.span, x, "kind")
        result = self._merged(step, x, env, at)
        if at is not outer:
            self.places[at.place].output = result
        return result

    def _merged(self, step: Merge, x: Flow, env: Env, at: At) -> Tensor:
        if isinstance(step.branches, Formula):
            self.leaves_values = True
            values = [(v, step.branches.span) for v in self._listed(step.kind, step.branches, env)]
        else:
            self.count(step.span, INPUT * len(step.branches))
            values = [
                (self._branch(branch, x, env, at, step.kind), branch.span)
                for branch in step.branches
                if branch.when is None or self._holds(branch.when, env)
            ]
        if any(value is POISON for value, _ in values):
            return POISON
        if not values:
            hint = "at least one branch must be there"
            fail("E0405", f"`{step.kind}` has no branch left", step.span, help=hint)
        if len(values) == 1:
            return values[0][0]
        try:
            call = self._op_call(step.kind, step.call, is_first=False)
            op = call.bind(env, self.spec)
            return self._place(op, tuple(v for v, _ in values), step.span, env, at, call)
        except DiagnosticError as error:
            told = enumerate(values[:MAX_BRANCHES_TOLD])
            notes = tuple(Note(f"branch {i + 1} is {v.type}", s) for i, (v, s) in told)
            found = (replace(d, notes=(*d.notes, *notes)) for d in error.diagnostics)
            raise DiagnosticError(tuple(found)) from None

    def _listed(self, kind: str, branches: Formula, env: Env) -> list[Tensor]:
        """Branches that a formula lists, as in `concat: =taps`."""
        listed = branches.evaluate(env)
        if isinstance(listed, list) and all(isinstance(v, Tensor) for v in listed):
            self.count(branches.span, INPUT * len(listed))
            return listed
        hint = "[[=a], [=b]] or a list that `append` made"
        fail("E0308", f"`{kind}` takes a list of values, found {describe(listed)}", branches.span, help=hint)

    def _branch(self, branch: Branch, x: Flow, env: Env, at: At, kind: str) -> Tensor:
        name = self._label(branch.name, env) if branch.name else None
        value = self.body(branch.body, x, env, at.named(name))
        if value is None:
            hint = "start it with a tap: [=name, ...]"
            fail("E0312", f"a branch of `{kind}` has no value", branch.span, help=hint)
        return value

    def _place(
        self, op: Op, inputs: tuple[Flow, ...], span: Span, env: Env, at: At, call: OpCall | None = None
    ) -> Tensor:
        """A node of the graph, its output inferred."""
        if None in inputs:
            hint = "with several inputs the first step says `from: =name`"
            fail("E0312", f"`{op.kind}` has no current value to work on", span, help=hint)
        if POISON in inputs:
            return POISON
        values = cast("tuple[Tensor, ...]", inputs)
        types = (values[0].type,) if len(values) == 1 else tuple([v.type for v in values])
        known = (id(op), types)
        output = self.inferred.get(known)
        if output is None:
            output = self._inferred(op, values, span, env, call)
            # A name may be what a step is there for.
            if op.is_idle and call is not None and call.bound is op and at.given is None:
                self.warnings.append(idle_op(op, span))
        self._refuse_more_nodes(span)
        before = values[0].draft
        if before is not None and before.frame == at.place and op.leaves(before.op):
            self.warnings.append(said_twice(op, span, before))
        draft = Draft(op, values, output, span, at.place, at.given, at.shared)
        at.names.items.append(draft)
        self.drafts.append(draft)  # which holds the op, so that its id is no other's
        self.inferred[known] = output
        return Tensor(output, draft)

    def _refuse_more_nodes(self, span: Span) -> None:
        if len(self.drafts) + self.folded_nodes >= self.nodes_left:
            self.stop(limits.NODES if self.nodes_left == limits.NODES.most else limits.ALL_NODES, span)

    def _inferred(
        self, op: Op, values: tuple[Tensor, ...], span: Span, env: Env, call: OpCall | None
    ) -> TensorType:
        """The type of an op's output."""
        try:
            output = op.infer(*[v.type for v in values])
        except ShapeError as error:
            raise DiagnosticError((shape_mistake(op, error, span, values, env, call),)) from None
        # Most ops return the type of their input, which was looked at where it arose.
        if output is not values[0].type and max(output.shape, default=0) > limits.AXIS.most:
            hint = "a smaller input, or smaller factors"
            what = f"`{op.kind}` gives {output}, and an axis has at most {limits.AXIS.most:,}"
            fail(limits.AXIS.code, what, span, help=hint)
        return output


def _fold_key(block: BlockDecl, arguments: Mapping[str, Any], x: Flow) -> tuple[Any, ...] | None:
    """All that the body of a block depends on besides the spec's own arguments; None where it is handed
    steps or values of the graph."""
    if x is None or x is POISON:
        return None
    values = tuple(map(_key_of, arguments.values()))
    return None if None in values else (id(block), x.type, values)


def _key_of(value: Any) -> Any:
    """A plain value with its type, so that 1, 1.0 and true are three; None for another."""
    if value.__class__ in CONSTANTS:
        return value.__class__, value
    if not isinstance(value, list):
        return None
    items = tuple(map(_key_of, value))
    return None if None in items else items
