"""Edits of inherited steps: one of a graph or block, found by its name, is replaced or gets others beside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archforge.errors import Diagnostic, Note, did_you_mean, fail_all, nearest_first
from archforge.spec import limits
from archforge.spec.formulas.formula import Formula, Template
from archforge.spec.resolve.step_warnings import idle_edit
from archforge.spec.syntax.form_checks import Mistakes
from archforge.spec.syntax.syntax_tree import Body, Call, Edit, For, Group, Let, Merge, Step, Tap

__all__ = ["edited", "named_steps"]


def edited(body: Body, edits: Sequence[Edit], owner: str) -> tuple[Body, list[Diagnostic]]:
    """The steps of `owner`, such as "the graph", with the edits, and warnings of these.

    Raises E0325 for a step that is not there, more than once, or within another that is replaced."""
    found: defaultdict[str, list[Step]] = defaultdict(list)
    for name, step in named_steps(body):
        found[name].append(step)
    mistakes = Mistakes()
    warnings: list[Diagnostic] = []
    changes: defaultdict[int, dict[str, Edit]] = defaultdict(dict)
    for edit in edits:
        steps = found.get(edit.step) or found.get(_as_template(edit.step), [])
        if len(steps) == 1:
            changes[id(steps[0])][edit.how] = edit
            warnings += idle_edit(edit, steps[0])
        elif steps:
            mistakes.add(_several(edit, owner, steps))
        else:
            mistakes.add(_missing(edit, owner, body, found))
    mistakes.close()
    made = _Edited(changes)
    body = made.body(body)
    within = [e for key in changes.keys() - made.done for e in changes[key].values()]
    fail_all(_within(edit, owner) for edit in within)
    return body, warnings


def _missing(edit: Edit, owner: str, body: Body, known: dict[str, list[Step]]) -> Diagnostic:
    message = f"{owner} has no step `{edit.step}`"
    names = nearest_first(edit.step, known)
    notes = (Note("its steps are", body.span),)
    return Diagnostic(
        "E0325", message, edit.span, help=did_you_mean(edit.step, names, what="steps"), notes=notes
    )


def _several(edit: Edit, owner: str, steps: Sequence[Step]) -> Diagnostic:
    message = f"{owner} has {len(steps)} steps `{edit.step}`"
    notes = tuple(Note("one is", step.span) for step in steps[:4])
    help = "edit what is around them, or write it anew"
    return Diagnostic("E0325", message, edit.span, help=help, notes=notes)


def _within(edit: Edit, owner: str) -> Diagnostic:
    message = f"`{edit.step}` is within a step of {owner} that is replaced"
    return Diagnostic("E0325", message, edit.span, help="write it into the other replacement")


class _Edited:
    """Steps with their changes; `done` has the `id` of each step that had one."""

    def __init__(self, changes: dict[int, dict[str, Edit]]) -> None:
        self.changes = changes
        self.done: set[int] = set()

    def body(self, body: Body) -> Body:
        steps: list[Step] = []
        for step in body.steps:
            change = self.changes.get(id(step), {})
            if change:
                self.done.add(id(step))
            steps += change["before"].body.steps if "before" in change else ()
            steps += change["replace"].body.steps if "replace" in change else (self.step(step),)
            steps += change["after"].body.steps if "after" in change else ()
        return Body(tuple(steps), body.span, body.is_list or len(steps) != 1)

    def step(self, step: Step) -> Step:
        if isinstance(step, Group | For):
            return step._replace(body=self.body(step.body))
        if isinstance(step, Merge) and not isinstance(step.branches, Formula):
            branches = (branch._replace(body=self.body(branch.body)) for branch in step.branches)
            return step._replace(branches=tuple(branches))
        return step


# Names of steps as they are written


class _StepNames(NamedTuple):
    """A level of names: the steps on it with the names that they have, or with their kinds."""

    named: list[tuple[str, Step]]
    unnamed: list[tuple[str, Step]]


def named_steps(body: Body, path: str = "") -> Iterator[tuple[str, Step]]:
    """Every step of a body with its name: its own, or its kind, numbered from 1 if there are several. Before
    those in a named list stand the name of the list and a dot; lists with longer names than steps may have
    are left out."""
    level = _StepNames([], [])
    inner: list[tuple[str, Body]] = []
    _look(body, level, inner)
    kinds = Counter(kind for kind, _ in level.unnamed)
    seen: Counter[str] = Counter()
    for name, step in level.named:
        yield path + name, step
    for kind, step in level.unnamed:
        seen[kind] += 1
        yield f"{path}{kind}{seen[kind] if kinds[kind] > 1 else ''}", step
    for name, part in inner:
        if len(path) + len(name) > limits.NAME.most:
            continue
        yield from named_steps(part, f"{path}{name}.")


def _look(body: Body, level: _StepNames, inner: list[tuple[str, Body]], given: str = "") -> None:
    """Note the steps of a body on a level, and the named lists among them. `given`: the name of the body."""
    if given and body.is_list:
        inner.append((given, body))
        return
    for step in body.steps:
        own = step.modifiers.name or step.modifiers.share
        name = (_text(own) if own else "") or given
        if name:
            level.named.append((name, step))
        elif not isinstance(step, Let):
            level.unnamed.append((_kind(step), step))
        if isinstance(step, Group | For) and (step.body.is_list or not name):
            _look(step.body, level, inner, name)
        elif isinstance(step, Merge) and not isinstance(step.branches, Formula):
            for branch in step.branches if not name else ():
                _look(branch.body, level, inner, _text(branch.name) if branch.name else "")
            if name:
                steps = tuple(s for branch in step.branches for s in branch.body.steps)
                inner.append((name, Body(steps, step.span)))


def _kind(step: Step) -> str:
    if isinstance(step, Tap):
        return f"={step.formula.source}"
    if isinstance(step, Call):
        return step.target if isinstance(step.target, str) else f"={step.target.source}"
    return "for" if isinstance(step, For) else step.kind if isinstance(step, Group | Merge) else "let"


def _text(template: Template) -> str:
    """A name as it is written, its formulas in braces."""
    return "".join(part if isinstance(part, str) else f"{{{part.source}}}" for part in template.parts)


def _as_template(name: str) -> str:
    return f"{{{name[1:]}}}" if name.startswith("=") else name
