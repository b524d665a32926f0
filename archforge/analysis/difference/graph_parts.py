"""A graph as a tree: its scopes with the nodes in them, each with a digest that leaves names out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from archforge.ir import Node, TypedGraph
from archforge.scopes import scope_path

__all__ = ["GraphPart", "has_scopes", "tree"]


@dataclass(frozen=True, eq=False)
class GraphPart:
    """A node, or a scope with the parts in it, in the order of the graph. `label` is what its name adds to
    that of the scope around it; `kind` is the op, or the block."""

    name: str
    label: str
    kind: str
    node: Node | None
    children: tuple[GraphPart, ...] = ()

    @cached_property
    def digest(self) -> int:
        """A number that parts have alike if their ops, attributes and scopes are, whatever their names."""
        if self.node is not None:
            return hash((self.node.op.kind, repr(self.node.op.attributes())))
        return hash(tuple(child.digest for child in self.children))

    @cached_property
    def kinds(self) -> Counter[str]:
        """The ops within, each with how often it is there."""
        return Counter(node.op.kind for node in self.nodes())

    @cached_property
    def ops(self) -> Counter[int]:
        """The digests of the nodes within, each with how often it is there."""
        if self.node is not None:
            return Counter([self.digest])
        return sum((child.ops for child in self.children), Counter())

    def nodes(self) -> Iterator[Node]:
        """The nodes within, in order."""
        if self.node is not None:
            yield self.node
        for child in self.children:
            yield from child.nodes()

    def leaves(self) -> list[GraphPart]:
        """The nodes within as parts of this one."""
        return [GraphPart(n.name, _label(n.name, self.name), n.op.kind, n) for n in self.nodes()]


def has_scopes(typed: TypedGraph) -> bool:
    """True if a node lies in a block or a named sequence."""
    return any(node.scope for node in typed.nodes)


def tree(typed: TypedGraph, *, flat: bool = False) -> GraphPart:
    """The whole graph as one part. flat: its nodes alone, without the scopes. Scopes that hold nothing are
    left out."""
    inside: dict[int, list[Node | int]] = {0: []}
    for node in typed.nodes:
        path = [0] if flat else [0, *(scope.index for scope in scope_path(typed.scopes, node.scope))]
        for outer, inner in pairwise(path):
            if inner not in inside:
                inside[inner] = []
                inside[outer].append(inner)
        inside[path[-1]].append(node)

    def part(item: Node | int, around: str) -> GraphPart:
        if isinstance(item, Node):
            return GraphPart(item.name, _label(item.name, around), item.op.kind, item)
        scope = typed.scopes[item]
        return GraphPart(
            scope.name, _label(scope.name, around), scope.kind, None, _parts(inside[item], scope.name)
        )

    def _parts(items: Sequence[Node | int], around: str) -> tuple[GraphPart, ...]:
        return tuple(part(item, around) for item in items)

    return GraphPart("", "", "graph", None, _parts(inside[0], ""))


def _label(name: str, around: str) -> str:
    return name.removeprefix(f"{around}.") if around else name
