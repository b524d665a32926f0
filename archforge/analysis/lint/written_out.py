"""W0502: steps that are written out several times, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.syntax_tree import MERGES
from archforge.spec.yaml.tree import Mapping, Tree
from archforge.spec.yaml.tree import Sequence as SequenceTree

__all__ = ["RULE", "Row", "lists_of_steps", "rows"]

TIMES = 3  # from which on a repeat is shorter than what it repeats
LONGEST = 12  # steps of what is repeated


class Row(NamedTuple):
    """Steps that stand several times behind each other: where the first ones start, and how many are one."""

    start: int
    length: int
    times: int


def lists_of_steps(spec: Spec) -> Iterator[Sequence[Tree]]:
    """The lists of a graph and of blocks in which some item is no plain word, but for lists of branches."""
    tree = spec.document.tree
    for key in ("graph", "blocks"):
        if (part := tree.get(key)) is not None:
            yield from _below(part)


def _below(tree: Tree, key: str = "") -> Iterator[Sequence[Tree]]:
    if isinstance(tree, Mapping):
        for entry in tree:
            if entry.key != "expect":
                yield from _below(entry.value, entry.key)
    elif isinstance(tree, SequenceTree):
        if key not in MERGES and any(isinstance(item, Mapping) for item in tree.items):
            yield tree.items
        for item in tree.items:
            yield from _below(item)


def rows(steps: Sequence[str]) -> Iterator[Row]:
    """The first row of equal steps, by their texts, if there is one: of as few as possible."""
    for length in range(1, min(LONGEST, len(steps) // TIMES) + 1):
        for start in range(len(steps) - TIMES * length + 1):
            row = steps[start : start + length]
            times = 1
            while steps[start + times * length : start + (times + 1) * length] == row:
                times += 1
            if times >= TIMES and any(step.startswith(("{", "[")) for step in row):
                yield Row(start, length, times)
                return


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for items in lists_of_steps(spec):
        for start, length, times in rows([repr(item.plain()) for item in items]):
            steps = "this step stands" if length == 1 else f"these {length} steps stand"
            help = f"repeat: {times} beside the step, or beside `seq` with the steps"
            yield Diagnostic("W0502", f"{steps} {times} times in a row", items[start].span, help=help)


RULE = LintRule("W0502", _find, by_default=True)
