"""Steps, the parts of a list or a branch, and blocks, which steps call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from archforge.interchange.decompile.values import Parameter

__all__ = [
    "FOR",
    "LAYERS",
    "MERGE",
    "PROJECTION",
    "SKIP",
    "Block",
    "TreeBranch",
    "TreeStep",
    "calls_in",
    "counts_of",
    "layers_in",
    "leaves_of",
    "lists_of",
    "steps_in",
]

FOR = "for"  # the kind of a loop: its args are columns, its branch holds the steps
MERGE, PROJECTION, SKIP = "", "projection", "skip"  # forms of a merge: one of its branches may be missing
LAYERS = frozenset({"conv", "conv_transpose", "linear", "rnn", "lstm", "gru"})


@dataclass(slots=True, eq=False)
class TreeBranch:
    """Steps of a merge. source: the value that they start from, and are if there are none."""

    source: int
    steps: list[TreeStep]


@dataclass(slots=True, eq=False)
class TreeStep:
    """One use of an op or a block.

    kind: an op's, or the block. args: every attribute. reads: the values that it goes on from, none of a
    merge, whose branches say so. value: the number of the value that it leaves; negative if the step is not
    there. form: of a merge, whether its branch number `optional` may be missing; `when` among its args then
    says if it is there. shares: the parameters, by number, that it has in common with other steps. items: the
    steps that a call stands for. by_default: the args of a call that its block's defaults give. times, first:
    how often a call is repeated, and what differs in the first.
    """

    kind: str | Block
    args: dict[str, Any]
    reads: tuple[int, ...]
    value: int
    branches: tuple[TreeBranch, ...] = ()
    form: str = MERGE
    optional: int = 1
    shares: tuple[int, ...] = ()
    items: list[TreeStep] = field(default_factory=list)
    by_default: frozenset[str] = frozenset()
    times: Any = None
    first: dict[str, Any] = field(default_factory=dict)

    def refs(self) -> Iterator[int]:
        """Every value that it goes on from, as often as it does; of a branch without steps the one that it
        is."""
        yield from self.reads
        for branch in self.branches:
            if not branch.steps:
                yield branch.source
            for step in branch.steps:
                yield from step.refs()


class Block:
    """Steps under a name. calls: each occurrence of them, with the steps that it stands for; body: the steps
    with formulas for attributes. A call reads the value that the block goes on from, and then those that it
    takes as arguments."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[TreeStep] = []
        self.parameters: dict[str, Parameter] = {}
        self.body: list[TreeStep] = []
        self.name = ""


def lists_of(steps: list[TreeStep], source: int | None = None) -> Iterator[tuple[int | None, list[TreeStep]]]:
    """A list of steps and those of the branches in it, each with the value that it starts from."""
    yield source, steps
    for step in steps:
        for branch in step.branches:
            yield from lists_of(branch.steps, branch.source)


def steps_in(steps: list[TreeStep]) -> Iterator[TreeStep]:
    """Steps of a list and of the branches in it."""
    for _, listed in lists_of(steps):
        yield from listed


def leaves_of(step: TreeStep) -> Iterator[TreeStep]:
    """The uses of ops in a step, a merge behind its branches, in the order in which they are computed."""
    if step.items:
        for item in step.items:
            yield from leaves_of(item)
        return
    for branch in step.branches:
        for item in branch.steps:
            yield from leaves_of(item)
    if step.value >= 0 and not (step.form == SKIP and step.args["when"] is False):
        yield step


def calls_in(steps: list[TreeStep]) -> Iterator[TreeStep]:
    """The calls of blocks in steps and their branches."""
    return (step for step in steps_in(steps) if not isinstance(step.kind, str))


def layers_in(steps: Sequence[TreeStep]) -> int:
    """The number of ops with weights in steps, norms left out."""
    return sum(leaf.kind in LAYERS for step in steps for leaf in leaves_of(step))


def counts_of(steps: Sequence[TreeStep], outputs: Sequence[int]) -> Counter[int]:
    """The number of times that each value is read, by steps or as one of `outputs`."""
    counts = Counter(value for step in steps for value in step.refs())
    counts.update(outputs)
    return counts
