"""Warnings that show in one step as it is written, a function for each. Nothing is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from archforge.errors import Diagnostic, Note, Span
from archforge.ir import Op
from archforge.ops import find_op
from archforge.ops.identity import Identity
from archforge.spec.formulas.formula import Formula
from archforge.spec.syntax.parse_steps import NONE
from archforge.spec.syntax.syntax_tree import (
    Branch,
    Call,
    Edit,
    For,
    Group,
    Merge,
    Modifiers,
    Step,
    Tap,
    Value,
)

__all__ = [
    "branches_like_steps",
    "idle_edit",
    "idle_first",
    "idle_group",
    "idle_loop",
    "idle_merge",
    "idle_name",
    "idle_tap",
    "idle_when",
    "no_kernel",
    "of_modifiers",
    "replaced_name",
]


def branches_like_steps(step: Merge) -> Iterator[Diagnostic]:
    """W0302: a dash too few, so that the steps of one branch are branches of their own.

    An op that works element by element stands alone in a branch beside another step alone, or two equal
    steps alone beside the value itself. Branches that are lists, or have names, are meant as they are; so is
    a gate of two activations.
    """
    if isinstance(step.branches, Formula):
        return
    calls = [_alone(branch) for branch in step.branches]
    has_itself = any(not branch.body.steps for branch in step.branches)
    for first, second in pairwise(calls):
        if first is None or second is None:
            continue
        light = _is_elementwise(first) + _is_elementwise(second)
        gate = light == 2 and len(calls) == 2
        if (light and not gate) or (has_itself and _equal(first, second)):
            odd = second if _is_elementwise(second) or not light else first
            message = f"`{odd.target}` is a branch of `{step.kind}` by itself, as is the step beside it"
            listed = f"{step.kind}: [[{first.target}, {second.target}, ...], []]"
            hint = f"steps of one branch stand in a list: {listed}"
            yield Diagnostic("W0302", message, odd.span, help=hint)
            return


def idle_merge(step: Merge) -> Iterator[Diagnostic]:
    """W0305: a merge with nothing to merge: a residual without its shortcut is no residual."""
    if not isinstance(step.branches, Formula) and len(step.branches) == 1:
        hint = f"`[]` is a branch that leaves the value as it is: {step.kind}: [[...], []]"
        yield Diagnostic("W0305", f"`{step.kind}` has one branch, and is that branch", step.span, help=hint)


def _alone(branch: Branch) -> Call | None:
    """The op or block that is all of a branch without a name and outside of a list."""
    if branch.body.is_list or branch.name or branch.when:
        return None
    step = branch.body.steps[0]
    return step if isinstance(step, Call) and isinstance(step.target, str) else None


def _is_elementwise(call: Call) -> bool:
    op = find_op(call.target)
    return op is not None and op.reach is Op.reach and op is not Identity


def _equal(first: Call, second: Call) -> bool:
    return first.target == second.target and _written(first) == _written(second)


def _written(call: Call) -> object:
    bare = call.arguments.bare
    return {k: a.tree.plain() for k, a in call.arguments.entries.items()}, bare and bare.tree.plain()


def of_modifiers(modifiers: Modifiers) -> Iterator[Diagnostic]:
    """The warnings of what stands beside an op."""
    if modifiers.repeat is not None:
        yield from _last_only(modifiers)
        yield from _always_zero(modifiers)
        yield from _idle_repeat(modifiers, modifiers.repeat)
    if modifiers.when is not None:
        yield from idle_when(modifiers.when)
    if modifiers.source is not None:
        yield from _idle_source(modifiers.source)


def _last_only(modifiers: Modifiers) -> Iterator[Diagnostic]:
    """W0303: a value that is kept once, behind the last of several repeats."""
    for word, template in (("as", modifiers.tap), ("append", modifiers.append)):
        if template is not None:
            message = f"`{word}` keeps the value behind the last repeat only"
            hint = f"to keep each: {{seq: [{{..., {word}: {template.text or '...'}}}], repeat: ...}}"
            yield Diagnostic("W0303", message, template.span, help=hint)


def _always_zero(modifiers: Modifiers) -> Iterator[Diagnostic]:
    """W0304: the number of an iteration where it is always 0."""
    for argument in modifiers.first.values():
        content = argument.value.content
        if isinstance(content, Formula):
            for name, span in content.names:
                if name == "i":
                    hint = "`first` is for the first repeat; `=a if i == 0 else b` goes below the op"
                    yield Diagnostic("W0304", "`i` is always 0 in `first`", span, help=hint)


def _idle_source(source: Value) -> Iterator[Diagnostic]:
    """W0305: a start from the value that a step starts from anyway."""
    if isinstance(source.content, Formula) and source.content.source == "x":
        yield Diagnostic("W0305", "a step starts from `x` anyway", source.span, help="remove `from`")


def idle_first(call: Call) -> Iterator[Diagnostic]:
    """W0305: another value for the first of several repeats, and it is that of the others."""
    for name, argument in call.modifiers.first.items():
        same = call.arguments.entries.get(name)
        if same is not None and same.tree.plain() == argument.tree.plain():
            message = f"`{name}` in `first` is that of the other repeats"
            yield Diagnostic("W0305", message, argument.key_span, help="remove it")


def no_kernel(call: Call) -> Iterator[Diagnostic]:
    """W0402: what stands beside a kernel, and the kernel was forgotten. A padding or dilation of 1x1 windows
    is allowed, and hardly meant."""
    entries = call.arguments.entries
    if "kernel" in entries or not ("padding" in entries or "dilation" in entries):
        return
    op = find_op(call.target)
    kernel = op.model_fields.get("kernel") if op is not None else None
    if kernel is None or kernel.is_required():
        return
    for name, idle in (("padding", 0), ("dilation", 1)):
        argument = entries.get(name)
        if argument is not None and argument.value.content not in (idle, "valid"):
            message = f"`{name}` without `kernel`, which is {kernel.default} by default"
            yield Diagnostic("W0402", message, argument.key_span, help="say the size: kernel: 3")
            return


def _idle_repeat(modifiers: Modifiers, repeat: Value) -> Iterator[Diagnostic]:
    """W0305: a number of repeats that is no repeat."""
    times = repeat.content
    if times == 0 and times is not False:
        yield Diagnostic(
            "W0305", "a step that is repeated 0 times is left out", repeat.span, help="remove it"
        )
    elif times == 1 and times is not True and modifiers.name is None:
        yield Diagnostic(
            "W0305", "a step that is repeated once is that step", repeat.span, help="remove `repeat`"
        )


def idle_when(when: Value) -> Iterator[Diagnostic]:
    """W0305: a condition that is always the same."""
    content = when.content
    if isinstance(content, Formula) and not content.names:
        message = "`when` reads no name, and is always the same"
        yield Diagnostic("W0305", message, when.span, help="remove it, or what it stands beside")
    if isinstance(content, bool):
        effect = "it changes nothing" if content else "what it stands beside is left out"
        message = f"`when` is always {str(content).lower()}: {effect}"
        hint = f"remove {'`when`' if content else 'both'}"
        yield Diagnostic("W0305", message, when.span, help=hint)


def idle_group(step: Group) -> Iterator[Diagnostic]:
    """W0305: a list of steps without steps."""
    if not step.body.steps:
        yield Diagnostic("W0305", f"`{step.kind}` has no steps", step.span, help="remove it")


def idle_loop(step: For) -> Iterator[Diagnostic]:
    """W0305: a loop over no rows."""
    for value in (*step.values.values(), *((step.rows,) if step.rows else ())):
        if value.content in ((), {}):
            yield Diagnostic("W0305", "a loop over no rows is left out", value.span, help="remove it")
            return


def idle_edit(edit: Edit, step: Step) -> Iterator[Diagnostic]:
    """W0305: an edit of a step that puts nothing beside it, or an equal one in its place."""
    if edit.how != "replace" and not edit.body.steps:
        hint = "remove it; `replace` with `[]` leaves the step out"
        yield Diagnostic("W0305", f"nothing is put {edit.how} `{edit.step}`", edit.span, help=hint)
    if edit.how == "replace" and len(edit.body.steps) == 1 and _equal_steps(step, edit.body.steps[0]):
        yield Diagnostic("W0305", f"`{edit.step}` is replaced by itself", edit.span, help="remove it")


def _equal_steps(first: Step, second: Step) -> bool:
    """True for two calls that are written alike, without modifiers."""
    if not (isinstance(first, Call) and isinstance(second, Call) and isinstance(first.target, str)):
        return False
    return first.modifiers == NONE == second.modifiers and _equal(first, second)


def idle_tap(step: Tap) -> Iterator[Diagnostic]:
    """W0305: a step that goes on with the value that is there."""
    if step.formula.source == "x" and step.modifiers == NONE:
        yield Diagnostic("W0305", "`=x` as a step goes on with what is there", step.span, help="remove it")


def replaced_name(what: str, name: str, span: Span, by: Span) -> Diagnostic:
    """W0301: something with a name that another of that name replaces before anybody uses it."""
    message = f"the {what} `{name}` is replaced before anything reads it"
    notes = (Note("it is replaced", by),)
    return Diagnostic("W0301", message, span, help="remove it, or give it a name of its own", notes=notes)


def idle_name(what: str, name: str, span: Span) -> Diagnostic:
    """W0301: something with a name that nobody uses."""
    return Diagnostic("W0301", f"nothing {what} `{name}`", span, help="remove it, or use it")
