"""The stages from a graph to a spec, and what is given where they do not reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from archforge.interchange.decompile.blocks import Blocks
from archforge.interchange.decompile.loops import looped
from archforge.interchange.decompile.names import name_blocks
from archforge.interchange.decompile.proof import DiffersError, prove
from archforge.interchange.decompile.steps import (
    Block,
    TreeBranch,
    TreeStep,
    calls_in,
    counts_of,
    leaves_of,
    steps_in,
)
from archforge.interchange.decompile.tree import Source, steps_of
from archforge.interchange.decompile.writing import body_lines, text_of
from archforge.ir import TypedGraph
from archforge.spec.printing.graph import print_graph

__all__ = ["Folded", "fold"]


@dataclass(frozen=True, slots=True)
class Folded:
    """A graph as the text of a spec.

    order: the numbers of the graph's nodes in the order in which the text has them. parameters: the names
    that parameters have in the spec, each with that in the graph. blocks: how many the text has.
    """

    text: str
    order: tuple[int, ...]
    parameters: Mapping[str, str]
    blocks: int

    @property
    def lines(self) -> int:
        """Lines of the text that are not empty."""
        return sum(map(bool, self.text.splitlines()))


def fold(typed: TypedGraph, title: str) -> Folded:
    """A spec of the graph `typed`, as short as it was found, read again and proved to be the same graph.

    Nodes and parameters have the names that a spec without names gives. Where the text would be another
    graph, a flatter one is given, at last one of a step for each node. Raises E0705 where no spec gives it.
    """
    source = Source(typed)
    for text, order, blocks in _texts(source, title):
        with suppress(DiffersError):
            return Folded(text, tuple(order), prove(typed, order, text), blocks)
    flat, as_it_is = print_graph(typed, title), range(len(typed.nodes))
    return Folded(flat, tuple(as_it_is), prove(typed, as_it_is, flat), 0)


def _texts(source: Source, title: str) -> Iterator[tuple[str, Sequence[int], int]]:
    """Texts of a graph, the shortest first, each with the order of its nodes and the number of its blocks."""
    root = steps_of(source)
    order = [leaf.value - source.inputs for step in root for leaf in leaves_of(step)]
    blocks = Blocks(root, source)
    yield _text(source, title, blocks), order, len(blocks.found)
    yield text_of(source, title, steps_of(source), ()), order, 0


def _text(source: Source, title: str, blocks: Blocks) -> str:
    """The text of a graph whose blocks were found, without those that take more lines than they spare."""
    while True:
        name_blocks(blocks.found)
        for block in blocks.found:
            call = block.calls[0]
            counts = counts_of(block.body, [call.value])
            block.body = looped(block.body, counts, call.reads[0], is_inner=True)
        root = looped(blocks.root, counts_of(blocks.root, source.outputs), source.current)
        idle = _idle(root, blocks.found)
        if idle is None:
            return text_of(source, title, root, blocks.found)
        blocks.open(idle)


def _idle(root: list[TreeStep], blocks: Sequence[Block]) -> Block | None:
    """The block without which the text would have the fewest lines, None if it needs all."""
    texts = (root, *(block.body for block in blocks))
    conditional = [id(b.steps[0]) for steps in texts for b in _conditional(steps) if len(b.steps) == 1]
    best, least = None, 0
    for block in blocks:
        calls = [call for steps in texts for call in calls_in(steps) if call.kind is block]
        if any(call.times is not None or len(call.reads) > 1 for call in calls):
            continue
        lines = body_lines(block)
        more = len(calls) * (lines - 1) + 2 * sum(id(call) in conditional for call in calls)
        more -= lines + 2 + bool(block.parameters)
        if more < least:
            best, least = block, more
    return best


def _conditional(steps: list[TreeStep]) -> Iterator[TreeBranch]:
    """The branches of steps that are there at times."""
    return (step.branches[step.optional] for step in steps_in(steps) if step.form and step.branches)
