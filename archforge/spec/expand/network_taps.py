"""Taps of a network within another one: values by the names of its steps, and what none of them needs left
out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from archforge.errors import MAX_REPORTED, Diagnostic, did_you_mean, fail_all, nearest_first
from archforge.spec.binding.tensors import Draft, Tensor
from archforge.spec.expand.assemble import ScopeDraft
from archforge.spec.expand.naming import NameScope, assign_names, fix_names
from archforge.spec.yaml.tree import Scalar

__all__ = ["leave_out", "tapped"]


def tapped(
    taps: Mapping[str, Scalar], drafts: Iterable[Draft], places: Collection[ScopeDraft], names: NameScope
) -> dict[str, Tensor]:
    """The value of each tap: of an op, or that which a block or a named list of steps leaves. `names` is the
    level of names of the network. Raises E0309 for equal names, E0324 for taps that are not there."""
    assign_names(names)
    # A block without a name of its own has its caller's, and stands behind it in the list.
    known = {p.names.name: p.output for p in reversed([*places]) if p.names is not names and p.output}
    known |= {draft.name: Tensor(draft.type, draft) for draft in drafts}
    missing = (step for step in taps.values() if step.value not in known)
    fail_all(
        Diagnostic(
            "E0324",
            f"the network has no step `{step.value}`",
            step.span,
            help=did_you_mean(step.value, nearest_first(step.value, known), what="steps"),
        )
        for step in islice(missing, MAX_REPORTED)
    )
    return {name: known[step.value] for name, step in taps.items()}


def leave_out(
    values: Iterable[Tensor], drafts: list[Draft], places: list[ScopeDraft], names: NameScope, place: int
) -> tuple[list[Draft], list[ScopeDraft]]:
    """The drafts that `values` need, and the scopes that still hold one; the first of `places` is that of the
    network itself, of index `place`. What stays has the names that it has in the whole network."""
    needed = {id(value.draft) for value in values}
    for draft in reversed(drafts):
        if id(draft) in needed:
            needed.update(id(value.draft) for value in draft.inputs)
    kept = [draft for draft in drafts if id(draft) in needed]
    if len(kept) == len(drafts):
        return kept, places
    fix_names(names)
    _prune(names, needed)
    gone = [draft for draft in drafts if id(draft) not in needed]
    for draft in gone:
        draft.name = ""  # one that it has in the network alone
    return kept, _renumbered(kept, {*map(id, gone)}, places, place)


def _prune(scope: NameScope, needed: Collection[int]) -> None:
    for item in scope.items:
        if isinstance(item, NameScope):
            _prune(item, needed)
    scope.items = [i for i in scope.items if (i.items if isinstance(i, NameScope) else id(i) in needed)]


def _renumbered(
    kept: Iterable[Draft], gone: Collection[int], places: list[ScopeDraft], first: int
) -> list[ScopeDraft]:
    """The scopes around the kept drafts, which then name these by their new indices. A scope of which a part
    is gone may leave no value."""
    around = {first}
    for draft in kept:
        at = draft.frame
        while at not in around:
            around.add(at)
            at = places[at - first].parent or first
    new = {old: first + count for count, old in enumerate(sorted(around))}
    for draft in kept:
        draft.frame = new[draft.frame]
    scopes = [places[old - first] for old in sorted(around)]
    for scope in scopes[1:]:
        scope.parent = new[scope.parent or first]
        scope.x = None if scope.x and id(scope.x.draft) in gone else scope.x
        scope.output = None if scope.output and id(scope.output.draft) in gone else scope.output
    return scopes
