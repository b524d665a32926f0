"""Names of nodes: those of the scopes around them, with dots between. docs/language.md has the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, fail_all
from archforge.spec import limits
from archforge.spec.binding.tensors import Draft, Tensor

__all__ = ["NameScope", "assign_names", "check_full_names", "fix_names"]

LONGEST = limits.NAME.most  # looked up at every name
Style = Literal["kind", "position"]


@dataclass(slots=True, eq=False)
class NameScope:
    """A level of names: its unnamed children are called by kind, or numbered by position."""

    kind: str
    given: str | None
    span: Span | None
    style: Style = "kind"
    shared: bool = False
    items: list[Draft | NameScope] = field(default_factory=list)
    name: str = ""

    def child(
        self, kind: str, given: str | None, span: Span, style: Style = "kind", *, shared: bool = False
    ) -> NameScope:
        scope = NameScope(kind, given, span, style, shared)
        self.items.append(scope)
        return scope


def assign_names(root: NameScope) -> list[Draft | NameScope]:
    """Name every draft and scope below `root`, and tell those that should share their parameters where their
    step never does: a step in a loop may be called once by one block, and often by another. Raises E0309 with
    both places for equal names."""
    clashes: list[Diagnostic] = []
    alone: list[Draft | NameScope] = []
    together: set[Span | None] = set()
    _assign(root, "", "", clashes, alone, together)
    if clashes:
        raise DiagnosticError(tuple(clashes))
    return [item for item in alone if item.span not in together]


def _assign(
    scope: NameScope,
    path: str,
    params_path: str,
    clashes: list[Diagnostic],
    alone: list[Draft | NameScope],
    together: set[Span | None],
) -> None:
    taken: dict[str, Draft | NameScope] = {}
    copies: dict[str, int] = {}
    for name, item in _named(scope):
        other = taken.setdefault(name, item)
        own = name
        if other is not item:
            if not (item.shared and other.shared):
                clashes.append(_clash(path + name, item, other))
                continue
            copies[name] = copies.get(name, 1) + 1
            own = f"{name}@{copies[name]}"  # the same parameters, used again
        item.name = path + own
        if len(item.name) > LONGEST:
            limits.NAME.refuse(item.span, len(item.name))
        if isinstance(item, NameScope):
            _assign(item, f"{path}{own}.", f"{params_path}{name}.", clashes, alone, together)
        else:
            item.params_of = params_path + name
    alone += (item for name, item in taken.items() if item.shared and name not in copies)
    together.update(taken[name].span for name in copies)


def fix_names(scope: NameScope) -> None:
    """Give every draft and scope below `scope` the name that it has now, whatever is left out beside it."""
    for name, item in [*_named(scope)]:
        item.given = name
        if isinstance(item, NameScope):
            fix_names(item)


def _named(scope: NameScope) -> Iterator[tuple[str, Draft | NameScope]]:
    """Children of a scope with their own names. Merges do not count in positions: they hold no parameters."""
    uses: dict[str, int] = {}  # of each kind, among the unnamed
    for item in scope.items:
        if item.given is None:
            kind = item.kind
            uses[kind] = uses.get(kind, 0) + 1
    seen: dict[str, int] = {}
    position = 0
    for item in scope.items:
        merges = isinstance(item, Draft) and not item.op.counts_as_layer
        if item.given is not None:
            name = item.given
        elif scope.style == "position" and not merges:
            name = str(position)
        else:
            name = kind = item.kind
            if uses[kind] > 1:
                seen[kind] = seen.get(kind, 0) + 1
                name = f"{kind}{seen[kind]}"
        position += not merges
        yield name, item


def check_full_names(
    inputs: Mapping[str, Tensor], drafts: Sequence[Draft], scopes: Iterable[NameScope]
) -> None:
    """Raise E0309 with both places where names of different levels are equal once they are joined: those of
    values, of scopes and of parameters. Only names with dots, and those of inputs, can be."""
    found: list[Diagnostic] = []
    taken: dict[str, Draft | NameScope] = {}
    items: tuple[Draft | NameScope, ...] = (*drafts, *scopes)
    for item in items:
        other = taken.setdefault(item.name, item)
        if isinstance(item, Draft) and item.name in inputs:
            help = "give the step another name"
            found.append(
                Diagnostic("E0309", f"a step and an input are named `{item.name}`", item.span, help=help)
            )
        elif other is not item:
            found.append(_clash(item.name, item, other))
    for draft in drafts:
        above = taken.get(draft.params_of.rpartition(".")[0])
        if isinstance(above, Draft) and (name := _joint_param(draft, above)):
            message = f"two parameters are named `{name}`"
            notes = (Note("the other is of the step", above.span),)
            found.append(
                Diagnostic("E0309", message, draft.span, help="give the step another name", notes=notes)
            )
    fail_all(found)


def _joint_param(draft: Draft, above: Draft) -> str:
    """The full name of a parameter that both nodes have; empty if there is none."""
    own, other = (
        {
            f"{d.params_of}.{name}" if name else d.params_of
            for name in d.op.params(*(t.type for t in d.inputs))
        }
        for d in (draft, above)
    )
    return min(own & other, default="")


def _clash(name: str, item: Draft | NameScope, other: Draft | NameScope) -> Diagnostic:
    if item.span == other.span:
        help = (
            "name what runs it again: `name: stage{i}` beside `for`, `name: stage` beside `repeat` or a call"
        )
        return Diagnostic(
            "E0309", f"this step runs more than once, each time as `{name}`", item.span, help=help
        )
    notes = (Note("the other is", other.span),) if other.span else ()
    return Diagnostic(
        "E0309",
        f"two steps are named `{name}`",
        item.span,
        help="give one another name, or both `share: NAME` to use the same parameters",
        notes=notes,
    )
