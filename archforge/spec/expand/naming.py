"""Names of nodes: those of the scopes around them, with dots between. docs/language.md has the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from archforge.errors import Diagnostic, DiagnosticError, Note, Span
from archforge.spec.binding.tensors import Draft

__all__ = ["NameScope", "assign_names"]

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


def assign_names(root: NameScope) -> None:
    """Name every draft and scope below `root`. Raises E0309 with both places for equal names."""
    clashes: list[Diagnostic] = []
    _assign(root, "", "", clashes)
    if clashes:
        raise DiagnosticError(tuple(clashes))


def _assign(scope: NameScope, path: str, params_path: str, clashes: list[Diagnostic]) -> None:
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
        if isinstance(item, NameScope):
            _assign(item, f"{path}{own}.", f"{params_path}{name}.", clashes)
        else:
            item.params_of = params_path + name


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


def _clash(name: str, item: Draft | NameScope, other: Draft | NameScope) -> Diagnostic:
    notes = (Note("the other is", other.span),) if other.span else ()
    return Diagnostic(
        "E0309",
        f"two steps are named `{name}`",
        item.span,
        help="give one another name, or both `share: NAME` to use the same parameters",
        notes=notes,
    )
