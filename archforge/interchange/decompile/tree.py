"""A typed graph as a tree of steps, the form that a spec has: lists of steps, some of which are merges of
branches.

Each value that is read once stands inside the step that reads it. One that is read several times stands in
the list before the merge where all ways on from it meet again, its immediate post-dominator: so a fork is
right in front of its merge, and what no nesting can say is a tap. Every graph has one such tree.

Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001), with the edges turned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from archforge.interchange.decompile.decay import decay_of
from archforge.interchange.decompile.steps import TreeBranch, TreeStep
from archforge.ir import TypedGraph
from archforge.spec.printing.graph_steps import MAX_NESTING

__all__ = ["Source", "steps_of"]


class Source:
    """A graph with its values by number: inputs first, then nodes in their order."""

    def __init__(self, typed: TypedGraph) -> None:
        self.typed = typed
        names = [*typed.inputs, *(node.name for node in typed.nodes)]
        self.numbers = {name: number for number, name in enumerate(names)}
        self.inputs = len(typed.inputs)
        self.current = 0 if list(typed.inputs) == ["input"] else None  # the value that the first step finds
        self.reads = [tuple(self.numbers[v] for v in node.inputs) for node in typed.nodes]
        self.outputs = [self.numbers[value] for value in typed.outputs.values()]
        self.shapes = [typed.types[name].shape for name in names]
        users = Counter(node.params_of for node in typed.nodes)
        shared = [owner for owner, count in users.items() if count > 1]
        self.shared = {owner: number for number, owner in enumerate(shared)}
        self.uses = [users[owner] for owner in shared]
        self.depths = decay_of(typed)

    def channels(self, value: int) -> int | None:
        """Channels of a value; None for one that is not there."""
        return self.shapes[value][0] if 0 <= value < len(self.shapes) and self.shapes[value] else None

    def owns(self, value: int) -> bool:
        """True if the node of that value has parameters."""
        node = self.typed.nodes[value - self.inputs]
        return bool(node.op.params(*self.typed.input_types(node)))

    def step(self, value: int, branches: Sequence[TreeBranch] = ()) -> TreeStep:
        """The step of a node."""
        node = self.typed.nodes[value - self.inputs]
        shares = (self.shared[node.params_of],) if node.params_of in self.shared and self.owns(value) else ()
        reads = () if branches else self.reads[value - self.inputs]
        args = {n: self.depths.get(v, v) if n == "rate" else v for n, v in node.op.attributes().items()}
        return TreeStep(node.op.kind, args, reads, value, tuple(branches), shares=shares)


def steps_of(source: Source) -> list[TreeStep]:
    """The steps of a whole graph; each node is in one of them."""
    return _Structure(source).steps()


class _Structure:
    """The place of each value: inside its only reader, or in the list before the node `meets`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.end = len(source.shapes)  # the number of a node behind all, which reads the outputs
        readers: list[list[int]] = [[] for _ in range(self.end)]
        for index, reads in enumerate(source.reads):
            for value in reads:
                readers[value].append(source.inputs + index)
        for value in source.outputs:
            readers[value].append(self.end)
        self.is_inside = [
            len(found) == 1 and found[0] < self.end and value >= source.inputs
            for value, found in enumerate(readers)
        ]
        self.before: dict[int, list[int]] = {}  # the values in front of each node that are read several times
        for value, meets in enumerate(self._meeting(readers)):
            if value >= source.inputs and not self.is_inside[value]:
                self.before.setdefault(meets, []).append(value)
        for value, merge in self._too_deep():
            self._move(value, merge)
        for meets in list(self.before):
            self._keep_order(meets)

    def _meeting(self, readers: Sequence[Sequence[int]]) -> list[int]:
        """The first node, for each value, that every way from it to the end passes."""
        meets, depth = [self.end] * (self.end + 1), [0] * (self.end + 1)
        for value in reversed(range(self.end)):
            found = readers[value][0] if readers[value] else self.end
            for other in readers[value][1:]:
                while found != other:
                    found, other = (
                        (meets[found], other) if depth[found] >= depth[other] else (found, meets[other])
                    )
            meets[value], depth[value] = found, depth[found] + 1
        return meets[: self.end]

    def _move(self, value: int, meets: int) -> None:
        """Take a value out of the step that reads it, into the list before `meets`."""
        self.is_inside[value] = False
        self.before.setdefault(meets, []).append(value)

    def _keep_order(self, meets: int) -> None:
        """Move what would be computed behind values of the list that the graph computes later."""
        roots = sorted(self.before[meets])
        for earlier, root in pairwise(roots):
            value = root
            while not self.is_merge(value):
                (value,) = self.source.reads[value - self.source.inputs]
                if not self.is_inside_of(value):
                    break
                if value < earlier:
                    self._move(value, meets)
                    break

    def is_merge(self, value: int) -> bool:
        return self.source.typed.nodes[value - self.source.inputs].op.arity is None

    def _too_deep(self) -> Iterator[tuple[int, int]]:
        """Branches, each with its merge, that shall stand in front of it: those that would nest too deep, and
        long ways around which a value is joined to the end by `concat`, as in a U-Net, of several of which
        one holds the other."""
        inputs = self.source.inputs
        nesting = [0] * self.end  # of the list that leads to each value
        around: list[tuple[int, int] | None] = [None] * self.end  # the last such way, and its merge
        moved: dict[int, int] = {}
        for value in range(inputs, self.end):
            reads = self.source.reads[value - inputs]
            inside = [v for v in reads if v >= inputs and self.is_inside[v]]
            lists = [*inside, *self.before.get(value, ())]
            around[value] = next((around[v] for v in lists if v != value and around[v]), None)
            nesting[value] = max((nesting[v] for v in lists if v != value), default=0)
            if not self.is_merge(value):
                continue
            kind = self.source.typed.nodes[value - inputs].op.kind
            if kind == "concat" and len(inside) == 1:
                held = around[inside[0]]
                if held:
                    moved |= dict([held, (inside[0], value)])
                around[value] = inside[0], value
            for branch in inside:
                if nesting[branch] >= MAX_NESTING:
                    moved[branch] = value
                elif branch not in moved:
                    nesting[value] = max(nesting[value], nesting[branch] + 1)
        yield from moved.items()

    def steps(self) -> list[TreeStep]:
        return self._list(sorted(self.before.get(self.end, ())))

    def _list(self, roots: Sequence[int]) -> list[TreeStep]:
        """The steps that end in each of `roots`, one after the other."""
        backwards: list[TreeStep] = []
        pending = list(roots)
        while pending:
            value = pending.pop()
            pending += sorted(self.before.get(value, ()))
            reads = self.source.reads[value - self.source.inputs]
            if self.is_merge(value):
                backwards.append(self.source.step(value, [self._branch(v) for v in reads]))
            else:
                backwards.append(self.source.step(value))
                pending += [v for v in reads if self.is_inside_of(v)]
        return backwards[::-1]

    def is_inside_of(self, value: int) -> bool:
        return value >= self.source.inputs and self.is_inside[value]

    def _branch(self, value: int) -> TreeBranch:
        if not self.is_inside_of(value):
            return TreeBranch(value, [])
        steps = self._list([value])
        return TreeBranch(_start(steps), steps)


def _start(steps: Sequence[TreeStep]) -> int:
    """The value that a list of steps starts from: the first that it reads and does not make itself."""
    first = steps[0]
    return first.reads[0] if first.reads else first.branches[0].source
