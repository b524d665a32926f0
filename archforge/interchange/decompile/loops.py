"""Calls in a row that differ in attributes alone become `repeat`, stretches of steps that do become `for`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from archforge.interchange.decompile.generalise import Generalised, generalise, names_of
from archforge.interchange.decompile.skeletons import cost, key_of
from archforge.interchange.decompile.steps import FOR, TreeBranch, TreeStep, steps_in
from archforge.interchange.decompile.values import ABSENT, LEFT_OUT, Counted, Expression

__all__ = ["looped"]

MAX_STRETCH = 8
MAX_COLUMNS = 8
MAX_SHORT = 20  # values of a table that stands on one line
MIN_INNER = 4  # rows of a table in a block or a branch
MAX_FIRST = 3  # args that may differ in the first of several repeats
WORTH, WORTH_OFTEN = 5, 1  # what a loop must save: of two turns, and more than that of several


def looped(
    steps: Sequence[TreeStep], counts: Counter[int], current: int | None, *, is_inner: bool = False
) -> list[TreeStep]:
    """The steps with loops for what is repeated, in branches too.

    counts: how often each value is read. current: the value that the steps start from. is_inner: they are
    those of a block or a branch, where two calls that differ are easier to read than a repeat.
    """
    inner = []
    for step in steps:
        branches = (replace(b, steps=looped(b.steps, counts, b.source, is_inner=True)) for b in step.branches)
        inner.append(replace(step, branches=tuple(branches)))
    return _in_loops(_repeated(inner, counts, is_inner=is_inner), counts, current, is_inner=is_inner)


# Repeats


def _repeated(steps: Sequence[TreeStep], counts: Counter[int], *, is_inner: bool) -> list[TreeStep]:
    """Runs of calls of one block as calls with `times`."""
    out: list[TreeStep] = []
    position = 0
    while position < len(steps):
        run = _run(steps[position:], counts)
        out += _grouped(run, is_inner=is_inner)
        position += len(run)
    return _alike(out)


def _run(steps: Sequence[TreeStep], counts: Counter[int]) -> Sequence[TreeStep]:
    """The first steps, if they are calls of one block each of which alone reads the one before it."""
    first, length = steps[0], 1
    if isinstance(first.kind, str) or first.shares:
        return steps[:1]
    for step in steps[1:]:
        before = steps[length - 1].value
        if step.kind is not first.kind or step.reads != (before, *first.reads[1:]) or step.shares:
            break
        if counts[before] != 1:
            break
        length += 1
    return steps[:length]


def _grouped(run: Sequence[TreeStep], *, is_inner: bool) -> list[TreeStep]:
    """Equal calls of a run, of which the first may be another, as one call each."""
    groups: list[list[TreeStep]] = []
    for step in run:
        if groups and _may_join(groups[-1], step):
            groups[-1].append(step)
        else:
            groups.append([step])
    if is_inner or not _have_a_first(groups):
        groups = [part for group in groups for part in _parts(group)]
    return [_joined(group) if len(group) > 1 else group[0] for group in groups]


def _depths(step: TreeStep) -> set[str]:
    """The args of a call that count blocks."""
    assert not isinstance(step.kind, str)
    return {name for name, parameter in step.kind.parameters.items() if parameter.attribute == "depth"}


def _starts(group: Sequence[TreeStep], name: str) -> set[Any]:
    """The numbers that an arg would have in the first of a group to rise by one with each call."""
    numbers = [(index, step.args.get(name, ABSENT)) for index, step in enumerate(group)]
    return {n - index if type(n) is int else n for index, n in numbers if n is not ABSENT}


def _differing(group: Sequence[TreeStep]) -> list[str]:
    """The args in which the first call of a group is another."""
    first, rest = _values(group[0]), _values(group[-1])
    return [name for name in first if first[name] != rest[name] and name not in _depths(group[0])]


def _have_a_first(groups: Sequence[Sequence[TreeStep]]) -> bool:
    """True if the first calls of groups stand out: several do, or one of more than two, and the others are
    alike in what the first are not."""
    others: dict[str, set[str]] = {}
    for group in groups:
        for name in _differing(group):
            others.setdefault(name, set()).add(repr(group[-1].args.get(name)))
    many = sum(len(group) > 1 for group in groups) > 1 or any(len(group) > 2 for group in groups)
    return many and all(len(values) == 1 for values in others.values())


def _parts(group: list[TreeStep]) -> list[list[TreeStep]]:
    """A group, its first call apart if that is another."""
    return [group[:1], group[1:]] if _differing(group) else [group]


def _values(step: TreeStep) -> dict[str, Any]:
    return {name: step.args.get(name, ABSENT) for name in names_of(step)}


def _may_join(group: Sequence[TreeStep], step: TreeStep) -> bool:
    """True if a call may be one more repeat of a group: it is like the last, but for numbers that count
    blocks; the second of all may be another than the first."""
    counted = _depths(step)
    if any(len(_starts([*group, step], name)) > 1 for name in counted):
        return False
    last, given = _values(group[-1]), _values(step)
    differing = [name for name in given if last[name] != given[name] and name not in counted]
    if len(group) > 1 or not differing:
        return not differing
    unknown = any(LEFT_OUT in (last[name], given[name]) for name in differing)  # what a default comes to here
    return len(differing) <= MAX_FIRST and "out" not in differing and not unknown


def _joined(group: Sequence[TreeStep]) -> TreeStep:
    """The call that stands for all of a group."""
    first, rest = _values(group[0]), _values(group[-1])
    differing = {name: first[name] for name in _differing(group)}
    by_default = frozenset.intersection(*(step.by_default for step in group[1:]))
    by_default -= {name for name in by_default - group[0].by_default if name not in differing}
    for name in _depths(group[0]):
        for start in _starts(group, name):
            rest[name] = _counted(start)
            by_default -= {name}
    return replace(
        group[-1], args=rest, reads=group[0].reads, times=len(group), first=differing, by_default=by_default
    )


def _counted(start: Any) -> Any:
    return Counted(start) if type(start) is int else start


def _alike(steps: Sequence[TreeStep]) -> list[TreeStep]:
    """Calls of a block that is repeated somewhere, all as repeats with the same names in `first`, so that
    they have one skeleton."""
    names: dict[int, set[str]] = {}
    for step in steps:
        if step.times is not None:
            names.setdefault(id(step.kind), set()).update(step.first)
    return [_as_repeat(step, names[id(step.kind)]) if id(step.kind) in names else step for step in steps]


def _as_repeat(step: TreeStep, names: set[str]) -> TreeStep:
    values, times = _values(step), step.times or 1
    first = {name: step.first.get(name, value) for name, value in values.items() if name in names}
    args = {name: ABSENT if times == 1 and name in first else value for name, value in values.items()}
    args |= {name: _counted(args[name]) for name in _depths(step)}
    return replace(step, times=times, first=first, args=args)


# Loops


def _in_loops(
    steps: list[TreeStep], counts: Counter[int], current: int | None, *, is_inner: bool
) -> list[TreeStep]:
    """Stretches that follow each other and have one skeleton as loops, those first that save most."""
    while True:
        skeletons = [_skeleton(step) for step in steps]
        befores = [current, *(step.value for step in steps)][: len(steps)]
        goes_on = [s is not None and s[1] == before for s, before in zip(skeletons, befores, strict=True)]
        is_alone = [
            on and before is not None and counts[before] == sum(ref == before for ref in step.refs())
            for on, before, step in zip(goes_on, befores, steps, strict=True)
        ]
        keys = [s and s[0] for s in skeletons]
        best: tuple[float, int, Generalised, list[list[TreeStep]]] | None = None
        for length in range(1, MAX_STRETCH + 1):
            for start in range(len(steps) - 2 * length + 1):
                if not goes_on[start] or keys[start] != keys[start + length]:
                    continue
                first = start - length  # of a turn before, with which there is a longer loop
                is_longer = first >= 0 and goes_on[first]
                if is_longer and _turns(keys, is_alone, first, length, start + length) > 1:
                    continue
                turns = _turns(keys, is_alone, start, length, len(keys))
                if turns > 1:
                    rows = [steps[start + k * length : start + (k + 1) * length] for k in range(turns)]
                    saved, found = _saved(rows, is_inner=is_inner)
                    if found and saved > (best[0] if best else WORTH_OFTEN if turns > 2 else WORTH - 1):
                        best = saved, start, found, rows
        if best is None:
            return steps
        _, start, found, rows = best
        count = len(rows) * len(rows[0])
        steps = [*steps[:start], _loop(rows, found, befores[start]), *steps[start + count :]]


def _skeleton(step: TreeStep) -> tuple[Any, int] | None:
    """The skeleton of a step in a loop, and the value that it reads; None for one that no loop holds."""
    if any(inner.shares or inner.kind == FOR for inner in steps_in([step])):
        return None
    key, reads = key_of([step])
    return ((key, step.times is not None, tuple(step.first)), reads[0]) if len(reads) == 1 else None


def _turns(keys: Sequence[Any], is_alone: Sequence[bool], start: int, length: int, end: int) -> int:
    """The number of times that a skeleton is repeated before `end`, each step the only one that reads the one
    before it."""
    stop = start + 1
    while stop < end and is_alone[stop] and (stop < start + length or keys[stop] == keys[stop - length]):
        stop += 1
    return (stop - start) // length


def _saved(rows: Sequence[Sequence[TreeStep]], *, is_inner: bool) -> tuple[float, Generalised | None]:
    """The words that a loop over these rows saves, and its steps and columns; None if they cannot be said."""
    found = generalise(rows, lambda _: None, None)
    columns = found.parameters.values()
    if is_inner and not found.parameters.keys().isdisjoint(_words(rows)):
        return 0, None
    if is_inner and len(rows) < MIN_INNER and len(columns):
        return 0, None
    if (
        not found.can_be_said
        or len(columns) > MAX_COLUMNS
        or any(_is_local(v, is_inner) for p in columns for v in p.column)
    ):
        return 0, None
    if len(columns) * len(rows) > MAX_SHORT:  # then the table takes a line for each row
        lines = sum(map(_lines, rows[0]))
        if len(rows) * (lines - 1) <= lines + 2:
            return 0, None
    before = sum(cost(step) for row in rows for step in row)
    after = sum(map(cost, rows[0])) + 1 + len(columns) * (1 + 0.5 * len(rows))
    return before - after, found


def _words(rows: Sequence[Sequence[TreeStep]]) -> set[str]:
    """The names in the formulas of steps, which a column of that name would hide."""
    steps = [step for row in rows for step in steps_in(list(row))]
    values = [value for step in steps for value in (*step.args.values(), *step.first.values(), step.times)]
    formulas = [value.text for value in values if isinstance(value, Expression)]
    return {word for text in formulas for word in re.findall(r"\w+", text)}


def _lines(step: TreeStep) -> int:
    """About how many lines a step takes."""
    own = 1 if step.times is None else 2
    return own + sum(max(1, sum(map(_lines, branch.steps))) for branch in step.branches)


def _is_local(value: Any, is_inner: bool) -> bool:
    """True for a formula that would mean something else where the loop stands, or be hard to read there."""
    return isinstance(value, Expression) and (is_inner or "x." in value.text)


def _loop(rows: Sequence[Sequence[TreeStep]], found: Generalised, before: int | None) -> TreeStep:
    assert before is not None  # a loop goes on from a value
    columns: dict[str, Any] = {p.name: p.column for p in found.parameters.values()}
    value = rows[-1][-1].value
    return TreeStep(FOR, columns, (before,), value, (TreeBranch(before, found.steps),), times=len(rows))
