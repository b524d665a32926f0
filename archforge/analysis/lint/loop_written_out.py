"""W0506: steps that differ in numbers alone, one behind the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.lint.written_out import lists_of_steps, rows
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec
from archforge.spec.yaml.tree import Mapping, Scalar, Tree
from archforge.spec.yaml.tree import Sequence as SequenceTree

__all__ = ["RULE"]

NAMES = ("name", "as")  # keys behind which a number in a text counts up


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for items in lists_of_steps(spec):
        texts = [repr(item.plain()) for item in items]
        for start, length, times in rows([repr(_form(item)) for item in items]):
            if any(texts[start + i] != texts[start + length + i] for i in range(length)):
                steps = "this step stands" if length == 1 else f"these {length} steps stand"
                message = f"{steps} {times} times in a row, with other numbers"
                help = (
                    "for: {width: [16, 32, 64]} with the steps behind `do`, in which `=width` is the number"
                )
                yield Diagnostic("W0506", message, items[start].span, help=help)


def _form(tree: Tree, key: str = "") -> object:
    """A step without its numbers."""
    if isinstance(tree, Mapping):
        return [(entry.key, _form(entry.value, entry.key)) for entry in tree]
    if isinstance(tree, SequenceTree):
        return [_form(item) for item in tree.items]
    if isinstance(tree, Scalar) and type(tree.value) in (int, float):
        return 0
    value = tree.plain()
    return re.sub("[0-9]+", "0", value) if key in NAMES and isinstance(value, str) else value


RULE = LintRule("W0506", _find, by_default=True)
