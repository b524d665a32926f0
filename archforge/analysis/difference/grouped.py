"""Changes that are alike, joined: one value of an attribute in many layers, blocks that were added side by
side, names that moved on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archforge.analysis.difference.changes import Change, Effect, around

__all__ = ["ChangeGroup", "grouped"]

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """Changes of one kind. details: of each attribute its values before and after, with how many layers have
    changed so."""

    what: str
    changes: tuple[Change, ...]
    details: Mapping[str, Mapping[tuple[Any, Any], int]]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Names that it is about, before and after, each once."""
        return [*dict.fromkeys(change.name for change in self.changes)]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [*dict.fromkeys(change.kind for change in self.changes)]

    @property
    def effect(self) -> Effect:
        return sum((change.effect for change in self.changes), Effect())

    @property
    def layers(self) -> int:
        return sum(change.layers for change in self.changes)


def grouped(changes: Sequence[Change], most: int | None = None) -> list[ChangeGroup]:
    """The changes in as few groups as `most`, if one of three ways to join them gives so few: first those
    that are equal, then those of one op or block, then those of one sort of change."""
    groups: list[ChangeGroup] = []
    for key in (_equal, _of_one_kind, _of_one_sort):
        groups = _joined(changes, key)
        if most is None or len(groups) <= most:
            break
    return groups


def _joined(changes: Iterable[Change], key: Callable[[Change], Key]) -> list[ChangeGroup]:
    found: dict[Key, list[Change]] = {}
    for change in changes:
        found.setdefault((change.what, *key(change)), []).append(change)
    return _of_same_layers([_group(part) for part in found.values()])


def _group(changes: Sequence[Change]) -> ChangeGroup:
    details: dict[str, Counter[tuple[Any, Any]]] = {}
    for change in changes:
        details.setdefault(change.attribute, Counter())[_frozen(change.values)] += 1
    return ChangeGroup(changes[0].what, tuple(changes), details)


def _of_same_layers(groups: Iterable[ChangeGroup]) -> list[ChangeGroup]:
    """Groups with those joined that are about the same layers."""
    joined: dict[Key, ChangeGroup] = {}
    for group in groups:
        key = (group.what, *group.names)
        other = joined.get(key)
        if other is None:
            joined[key] = group
        else:
            joined[key] = replace(
                other, changes=other.changes + group.changes, details={**other.details, **group.details}
            )
    return [*joined.values()]


def _frozen(value: Any) -> Any:
    """A value that can be a key: as it is, but for lists and mappings."""
    if isinstance(value, tuple | list):
        return tuple(map(_frozen, value))
    if isinstance(value, Mapping):
        return tuple((name, _frozen(item)) for name, item in value.items())
    return value


def _equal(change: Change) -> Key:
    """A key that changes have alike which say the same."""
    if change.what == "changed":
        return (change.kind, change.attribute, repr(change.values))
    if change.what in ("added", "removed"):
        return (change.kind, *map(around, change.name))
    if change.what == "replaced":
        return change.kind
    if change.what == "renamed":
        return tuple(name.rpartition(".")[2] for name in change.name)
    if change.what == "stated":
        return (change.name,)
    return () if change.what == "renumbered" else (change.name,)


def _of_one_kind(change: Change) -> Key:
    """A key that changes of one op or block have alike."""
    if change.what == "stated":
        return (change.name,)
    return () if change.what == "renamed" else (change.kind,)


def _of_one_sort(change: Change) -> Key:
    """A key that changes of one sort have alike; those of values, if their op is one too."""
    return (change.kind,) if change.what == "changed" else ()
