"""Occurrences of the same steps as these steps once, with formulas and parameters for what differs.

Source: anti-unification, Plotkin, "A note on inductive generalization" (1970).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from archforge.interchange.decompile.formulas import Formulas, Slot
from archforge.interchange.decompile.steps import TreeStep
from archforge.interchange.decompile.values import ABSENT, REQUIRED, Expression, Parameter

__all__ = ["Generalised", "generalise", "names_of"]


@dataclass(slots=True)
class Generalised:
    """Steps with formulas for attributes, LEFT_OUT where the default of a block is right. can_be_said: False
    if some rows of a loop would leave out what others give."""

    steps: list[TreeStep]
    parameters: dict[str, Parameter]
    can_be_said: bool


def generalise(
    occurrences: Sequence[Sequence[TreeStep]],
    channels: Callable[[int], int | None],
    inputs: Sequence[int | None] | None,
) -> Generalised:
    """The steps that all of `occurrences` are, which have one skeleton, and their parameters.

    channels: of a value. inputs: the channels that each occurrence receives; None for the rows of a loop,
    which see their columns alone.
    """
    slots: list[Slot] = []
    rows = [list(_entries(steps, count())) for steps in occurrences]
    for entries in zip(*rows, strict=True):
        place, name, _, step = entries[0]
        slots.append(
            Slot(
                place,
                name,
                _attribute(step, name),
                [value for _, _, value, _ in entries],
                [value is ABSENT or name in s.by_default for _, _, value, s in entries],
                [channels(s.reads[0]) if s.reads else None for _, _, _, s in entries],
                not isinstance(_default(step, name), Expression),
            )
        )
    formulas = Formulas(slots, inputs, is_joined=occurrences[0][-1].kind == "concat")
    steps = _filled(occurrences[0], iter(formulas.found))
    return Generalised(steps, formulas.ordered_parameters(), formulas.can_be_said)


def names_of(step: TreeStep) -> Sequence[str]:
    """The names of the args of a step, of a call those that its block has now."""
    return list(step.args) if isinstance(step.kind, str) else list(step.kind.parameters)


def _entries(steps: Sequence[TreeStep], places: Iterator[int]) -> Iterator[tuple[int, str, Any, TreeStep]]:
    """Each attribute of the steps, those inside of branches too."""
    for step in steps:
        here = next(places)
        for name in names_of(step):
            yield here, name, step.args.get(name, ABSENT), step
        for name, value in step.first.items():
            yield here, f"first.{name}", value, step
        if step.times is not None:
            yield here, "times", step.times, step
        for branch in step.branches:
            yield from _entries(branch.steps, places)


def _attribute(step: TreeStep, name: str) -> str:
    """The attribute that an arg stands for."""
    name = name.removeprefix("first.")
    if isinstance(step.kind, str):
        return step.form if name == "when" else name
    return step.kind.parameters[name].attribute if name in step.kind.parameters else name


def _default(step: TreeStep, name: str) -> Any:
    """The default of an arg of a call; REQUIRED for those of ops, whose defaults are looked up elsewhere."""
    if isinstance(step.kind, str) or name not in step.kind.parameters:
        return REQUIRED
    return step.kind.parameters[name].default


def _filled(steps: Sequence[TreeStep], found: Iterator[Any]) -> list[TreeStep]:
    """The steps with what was found in place of their attributes."""
    out: list[TreeStep] = []
    for step in steps:
        args = {name: next(found) for name in names_of(step)}
        first = {name: next(found) for name in step.first}
        times = None if step.times is None else next(found)
        branches = tuple(replace(b, steps=_filled(b.steps, found)) for b in step.branches)
        empty: frozenset[str] = frozenset()
        out.append(replace(step, args=args, first=first, times=times, branches=branches, by_default=empty))
    return out
