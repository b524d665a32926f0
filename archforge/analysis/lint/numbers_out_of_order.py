"""W0507: numbers in names that go neither up nor down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic, Note
from archforge.ir import Node
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]

_NUMBERED = re.compile(r"(.*?)([0-9]+)")


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network in networks:
        for stem, numbers in _counted(network.graph.nodes).items():
            steps = [*pairwise(numbers)]
            up = sum(a < b for a, b in steps)
            if not 0 < up < len(steps):
                continue
            wrong = next((a, b) for a, b in steps if (a < b) != (2 * up >= len(steps)))
            before, node = (numbers[number] for number in wrong)
            names = tuple(f"{stem}{number}" for number in wrong)
            notes = (Note(f"`{names[0]}`", before.span),) if before.span else ()
            help = "libraries keep parameters in the order of numbers: give numbers in the order of the steps"
            yield Diagnostic(
                "W0507", f"`{names[1]}` stands behind `{names[0]}`", node.span, help=help, notes=notes
            )


def _counted(nodes: Sequence[Node]) -> dict[str, dict[int, Node]]:
    """The numbers behind each beginning of a name, in the order of execution, each with its first node."""
    found: dict[str, dict[int, Node]] = {}
    for node in nodes:
        parts = node.name.split(".")
        for end, part in enumerate(parts):
            if (numbered := _NUMBERED.fullmatch(part)) and node.span is not None:
                stem = ".".join([*parts[:end], numbered[1]])
                found.setdefault(stem, {}).setdefault(int(numbered[2]), node)
    return found


RULE = LintRule("W0507", _find, by_default=True)
