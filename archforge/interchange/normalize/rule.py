"""Rules of the normaliser: functions that see one node with what is before it, and say what it is better
called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archforge.ir import Graph, Node, Op, TensorType, TypedGraph, infer
from archforge.ops import op_class
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.ops.parameter import FreeParameter

__all__ = ["ForeignGraph", "Replacement", "Rule", "Sight", "draft", "step"]


@dataclass(frozen=True, slots=True, eq=False)
class ForeignGraph:
    """A graph with its arrays, which may have ops that specs do not have."""

    graph: TypedGraph
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """An op that computes the same value from these inputs, with its arrays by their own names.

    params_of: whose arrays it has, where it keeps those of a node; its own otherwise. before: nodes that are
    put in front, with `arrays` by full names.
    """

    op: Op
    inputs: tuple[str, ...]
    params: Mapping[str, Array] = field(default_factory=dict)
    params_of: str = ""
    before: tuple[Node, ...] = ()
    arrays: Mapping[str, Array] = field(default_factory=dict)


class Sight:
    """The view that a rule has of a graph: who makes a value, who reads it, what it holds."""

    def __init__(self, draft: ForeignGraph) -> None:
        self.draft = draft
        typed = draft.graph
        self._makers = {node.name: node for node in typed.nodes}
        self._uses = Counter(value for node in typed.nodes for value in node.inputs)
        self._uses.update(typed.outputs.values())
        self._owners = Counter(node.params_of for node in typed.nodes)
        self._concats: dict[str, list[Node]] = {}
        for node in typed.nodes:
            if node.op.kind == "concat":
                self._concats.setdefault(node.inputs[0], []).append(node)
        self._depths: dict[str, int] = {}
        for node in typed.nodes:
            read = () if isinstance(node.op, FreeParameter) else node.inputs
            self._depths[node.name] = 1 + max((self._depths.get(v, 0) for v in read), default=0)

    def maker(self, value: str, *kinds: str) -> Node | None:
        """The node that makes a value, if it is of one of `kinds`."""
        node = self._makers.get(value)
        return node if node is not None and node.op.kind in kinds else None

    def only(self, value: str, *kinds: str) -> Node | None:
        """The node that makes a value, if it is of one of `kinds` and nothing else sees the value."""
        node = self.maker(value, *kinds)
        return node if node is not None and self._uses[value] == 1 else None

    def types(self, node: Node) -> tuple[TensorType, ...]:
        """The types of the values that a node reads."""
        return self.draft.graph.input_types(node)

    def type(self, value: str) -> TensorType:
        return self.draft.graph.types[value]

    def params(self, node: Node) -> dict[str, Array]:
        """The arrays of a node by their own names."""
        return {own: self.draft.arrays[node.param_name(own)] for own in node.op.params(*self.types(node))}

    def is_shared(self, node: Node) -> bool:
        """True if another node has the same arrays."""
        return self._owners[node.params_of] > 1

    def depth(self, value: str) -> int:
        """The number of nodes on the longest way to a value; 0 for an input. A free parameter begins one."""
        return self._depths.get(value, 0)

    def concats_before(self, node: Node) -> list[Node]:
        """The concatenations that begin with the same value as a node and come before it."""
        found = self._concats.get(node.inputs[0], [])
        return found[: found.index(node)]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite of single nodes. Rules are tried by rising rank, then by name.

    note: what a user is told if the rule was used, with {n} for how often. examples: drafts that the rule
    changes; tests hold their outputs to be the same.
    """

    name: str
    rank: int
    apply: Callable[[Node, Sight], Replacement | None]
    examples: Callable[[], Iterable[ForeignGraph]]
    note: str = ""


def step(name: str, op: str | Op, *inputs: str, **attributes: Any) -> Node:
    """A node of an example: of an op by its name, or of one that specs do not have."""
    bound = op_class(op)(**attributes) if isinstance(op, str) else op
    return Node(name, bound, inputs, 0, None, name)


def draft(*nodes: Node, shape: tuple[int, ...] = (4, 6, 5)) -> ForeignGraph:
    """An example: nodes over one input called `x`, the last of which is the output; arrays of random
    numbers."""
    typed = infer(Graph("example", {"x": TensorType(shape)}, nodes, {"output": nodes[-1].name}))
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(0.5, 1.5, decl.shape) for name, decl in typed.params().items()}
    return ForeignGraph(typed, arrays)
