"""W0502: steps that are written out several times, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec
from archforge.spec.yaml.tree import Mapping, Tree
from archforge.spec.yaml.tree import Sequence as SequenceTree

__all__ = ["RULE"]

TIMES = 3  # from which on a repeat is shorter than what it repeats
LONGEST = 12  # steps of what is repeated


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    tree = spec.document.tree
    for key in ("graph", "blocks"):
        if (part := tree.get(key)) is not None:
            yield from _below(part)


def _below(tree: Tree) -> Iterator[Diagnostic]:
    if isinstance(tree, Mapping):
        for entry in tree:
            if entry.key != "expect":
                yield from _below(entry.value)
    elif isinstance(tree, SequenceTree):
        if any(isinstance(item, Mapping) for item in tree.items):
            yield from _in_list(tree.items)
        for item in tree.items:
            yield from _below(item)


def _in_list(items: Sequence[Tree]) -> Iterator[Diagnostic]:
    """The first steps that stand several times behind each other, the shortest such row."""
    texts = [repr(item.plain()) for item in items]
    for length in range(1, min(LONGEST, len(items) // TIMES) + 1):
        for start in range(len(items) - TIMES * length + 1):
            row = texts[start : start + length]
            times = 1
            while texts[start + times * length : start + (times + 1) * length] == row:
                times += 1
            if times >= TIMES and any(isinstance(item, Mapping) for item in items[start : start + length]):
                steps = "this step stands" if length == 1 else f"these {length} steps stand"
                help = f"repeat: {times} beside the step, or beside `seq` with the steps"
                yield Diagnostic("W0502", f"{steps} {times} times in a row", items[start].span, help=help)
                return


RULE = LintRule("W0502", _find, by_default=True)
