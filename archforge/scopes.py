"""Scopes of a graph, the calls of blocks and named sequences: their names, and which values lie in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from archforge.ir import Node, Scope

__all__ = [
    "in_scopes",
    "inner_scopes",
    "name_within",
    "nodes_within",
    "scope_names",
    "scope_path",
    "scopes_that_fit",
]

T = TypeVar("T")


def scope_path(scopes: Sequence[Scope], index: int) -> list[Scope]:
    """The scopes around scope `index`, and itself, outermost first; the graph itself is left out."""
    path: list[Scope] = []
    at: int | None = index
    while at is not None and scopes and scopes[at].parent is not None:
        path.append(scopes[at])
        at = scopes[at].parent
    return path[::-1]


def in_scopes(scopes: Sequence[Scope], items: Iterable[tuple[int, T]]) -> dict[int, list[T | Scope]]:
    """Items and scopes that lie directly in each scope, by its index, in the order of the items, which are
    given with the index of their scope; a scope without items is left out. 0 is the graph itself."""
    inside: dict[int, list[T | Scope]] = {0: []}
    for index, item in items:
        around = 0
        for scope in scope_path(scopes, index):
            if scope.index not in inside:
                inside[scope.index] = []
                inside[around].append(scope)
            around = scope.index
        inside[around].append(item)
    return inside


def name_within(around: str, name: str) -> str:
    """A name as it is said within a scope that is called `around`: without that scope's own."""
    return name.removeprefix(f"{around}.") if around else name


def nodes_within(scope: Scope, nodes: Iterable[Node], scopes: Sequence[Scope]) -> list[Node]:
    """The nodes that lie in a scope or in one within it."""
    inside = {scope.index}
    for other in scopes[scope.index + 1 :]:  # one comes before what lies in it
        if other.parent in inside:
            inside.add(other.index)
    return [node for node in nodes if node.scope in inside]


def scope_names(scopes: Sequence[Scope]) -> list[str]:
    """The names of the blocks that are called, and of scopes, each once."""
    blocks = (scope.kind for scope in scopes if scope.is_block and scope.parent is not None)
    return [*dict.fromkeys([*blocks, *(scope.name for scope in scopes if scope.name)])]


def scopes_that_fit(pattern: str, scopes: Sequence[Scope]) -> list[Scope]:
    """The scopes whose name or block a pattern is for, the outermost of those that lie in one another: `*`
    stands for any characters, dots too, and `?` for one."""
    found: dict[int, Scope] = {}
    for scope in scopes:  # one comes before what lies in it
        around = scope_path(scopes, scope.index)
        names = (scope.name, scope.kind if scope.is_block else "")
        is_new = around and not any(outer.index in found for outer in around)
        if is_new and any(name and fnmatchcase(name, pattern) for name in names):
            found[scope.index] = scope
    return [*found.values()]


def inner_scopes(
    nodes: Collection[Node], scopes: Sequence[Scope], outputs: Collection[str] = ()
) -> dict[str, set[int]]:
    """The scopes around each node that hold all nodes that read its value, by its name. outputs: values that
    are read from outside besides."""
    around = {node.name: {scope.index for scope in scope_path(scopes, node.scope)} for node in nodes}
    inner = {name: set() if name in outputs else {*indices} for name, indices in around.items()}
    for node in nodes:
        for value in node.inputs:
            if value in inner:
                inner[value] &= around[node.name]
    return inner
