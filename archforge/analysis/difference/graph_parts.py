"""A graph as a tree: its scopes with the nodes in them, each with a digest that leaves names out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from archforge.ir import Node, Scope, TypedGraph
from archforge.scopes import in_scopes, name_within

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
        return [GraphPart(n.name, name_within(self.name, n.name), n.op.kind, n) for n in self.nodes()]


def has_scopes(typed: TypedGraph) -> bool:
    """True if a node lies in a block or a named sequence."""
    return any(node.scope for node in typed.nodes)


def tree(typed: TypedGraph, *, flat: bool = False) -> GraphPart:
    """The whole graph as one part. flat: its nodes alone, without the scopes. Scopes that hold nothing are
    left out."""
    inside = in_scopes(typed.scopes, ((0 if flat else node.scope, node) for node in typed.nodes))

    def part(item: Node | Scope, around: str) -> GraphPart:
        label = name_within(around, item.name)
        if isinstance(item, Node):
            return GraphPart(item.name, label, item.op.kind, item)
        return GraphPart(item.name, label, item.kind, None, _parts(inside[item.index], item.name))

    def _parts(items: Sequence[Node | Scope], around: str) -> tuple[GraphPart, ...]:
        return tuple(part(item, around) for item in items)

    return GraphPart("", "", "graph", None, _parts(inside[0], ""))
