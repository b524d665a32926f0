"""Steps inside others: the bodies of a step, arguments that are steps included, and the names they set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakKeyDictionary

from archforge.errors import DiagnosticError
from archforge.spec.formulas.formula import Formula, Template
from archforge.spec.syntax.parse_steps import parse_body
from archforge.spec.syntax.syntax_tree import Argument, Body, Call, For, Group, Let, Merge, Step

__all__ = ["bodies_in", "columns_in", "names_set", "steps_of"]

_PARSED: WeakKeyDictionary[Argument, Body] = WeakKeyDictionary()


def steps_of(argument: Argument) -> Body:
    """The steps that an argument holds, parsed once. Raises all their mistakes of form at once."""
    body = _PARSED.get(argument)
    if body is None:
        body = _PARSED[argument] = parse_body(argument.tree)
    return body


def bodies_in(step: Step) -> Iterator[Body]:
    """The bodies written inside `step`, steps in arguments included."""
    if isinstance(step, Group | For):
        yield step.body
    elif isinstance(step, Merge) and not isinstance(step.branches, Formula):
        yield from (branch.body for branch in step.branches)
    elif isinstance(step, Call):
        given = (*step.arguments.entries.values(), *step.modifiers.first.values())
        bare = (step.arguments.bare,) if step.arguments.bare else ()
        yield from (steps_of(argument) for argument in (*given, *bare) if argument.looks_like_steps)


def columns_in(body: Body) -> Iterator[str]:
    """The columns of all loops in `body`, as far as its steps parse."""
    for step in body.steps:
        if isinstance(step, For):
            yield from (name for name, _ in step.columns)
        with suppress(DiagnosticError):
            for inner in bodies_in(step):
                yield from columns_in(inner)


def names_set(step: Step) -> Iterator[Template | str]:
    """The taps and lets of `step` and of the bodies inside it."""
    modifiers = step.modifiers
    yield from (template for template in (modifiers.tap, modifiers.append) if template)
    yield from modifiers.kept
    if isinstance(step, Let):
        yield from step.values
    for body in bodies_in(step):
        for inner in body.steps:
            yield from names_set(inner)
