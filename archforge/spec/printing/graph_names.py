"""Names in a flat spec: the sequences that some come from, and those that its steps are given.

A step may have any dotted path as its name, but a merge is called by its kind, and the second use of shared
parameters is `NAME@2`. So `layer1.0.add` needs a sequence named `layer1.0`, and `tower@2.conv` one that
shares `tower`. A graph made by hand may have names that no spec gives; these nodes get the language's, their
parameters keep theirs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archforge.errors import fail
from archforge.ir import Node
from archforge.spec.normal_form import normal_form

__all__ = ["Leaf", "NamedSteps", "named_steps", "names_in_spec"]

_COPY = re.compile(r"@[0-9]+(?=\.|$)")  # the number of a further use of shared parameters


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A node as a step. `given` is the name to write, None if it comes by itself."""

    node: Node
    given: str | None
    shared: bool


@dataclass(frozen=True, slots=True, eq=False)
class NamedSteps:
    """A sequence of steps under a name; that of the whole graph has none."""

    items: tuple[Leaf | NamedSteps, ...]
    given: str = ""
    shared: bool = False


def named_steps(nodes: Sequence[Node]) -> NamedSteps:
    """The steps of a whole graph. Raises E0705 for a name that no step can have."""
    paths = names_in_spec(nodes)
    for path in paths:
        words = path.split(".")
        if not all(words) or re.search(r"[\s{}]|^=", path) or list(map(normal_form, words)) != words:
            help = "words with single dots between, without braces, in Unicode's form NFKC"
            fail("E0705", f"`{path}` cannot name a step", help=help)
    return NamedSteps(tuple(_Namer(nodes, paths).items(0, len(nodes), "")))


def names_in_spec(nodes: Sequence[Node]) -> list[str]:
    """The names of nodes; of those that share parameters under another name, the one that a spec gives."""
    uses: Counter[str] = Counter()
    names: list[str] = []
    for node in nodes:
        uses[node.params_of] += 1
        use = uses[node.params_of]
        shared = node.params_of if use == 1 else f"{node.params_of}@{use}"
        names.append(node.name if _COPY.sub("", node.name) == node.params_of else shared)
    return names


class _Namer:
    """Splits nodes, whose names are `paths`, into regions."""

    def __init__(self, nodes: Sequence[Node], paths: Sequence[str]) -> None:
        self.nodes, self.paths = nodes, paths
        # Paths whose parameters are used again, and those that must be sequences somewhere.
        self.copied = {_COPY.sub("", p[: c.end()]) for p in paths for c in _COPY.finditer(p)}
        self.needed = {prefix for path in paths for prefix in _prefixes(path) if self.is_shared(prefix)}
        self.needed |= {path.rpartition(".")[0] for i, path in enumerate(paths) if self.is_merge(i)}

    def is_shared(self, path: str) -> bool:
        return _COPY.sub("", path) in self.copied

    def is_merge(self, index: int) -> bool:
        """True for a merge whose name is its scope and its kind, perhaps numbered."""
        op, name = self.nodes[index].op, self.paths[index].rpartition(".")[2]
        return op.arity is None and re.fullmatch(rf"{op.kind}[0-9]*", name) is not None

    def items(self, start: int, stop: int, region: str) -> Iterator[Leaf | NamedSteps]:
        """The steps of nodes whose names all begin with that of the `region`."""
        parts = list(self.parts(start, stop, region))
        unnamed = self.numbered_by_kind([first for first, _, inner in parts if not inner], region)
        position = 0  # by which the steps of a sequence are called, merges left out
        for first, last, inner in parts:
            path = inner or self.paths[first]
            given, shared = _COPY.sub("", path[len(region) :].removeprefix(".")), self.is_shared(path)
            if inner:
                yield NamedSteps(tuple(self.items(first, last, inner)), given, shared)
            elif self.nodes[first].op.arity is None:
                yield Leaf(self.nodes[first], None, shared=False)
                continue
            else:
                by_itself = not shared and (given == str(position) if region else first in unnamed)
                yield Leaf(self.nodes[first], None if by_itself else given, shared)
            position += 1

    def parts(self, start: int, stop: int, region: str) -> Iterator[tuple[int, int, str]]:
        """First and last but one node of each step in a `region`, with the path of a region inside it."""
        while start < stop:
            last, inner = start + 1, ""
            for prefix in _prefixes(self.paths[start]):
                if len(prefix) > len(region) and prefix in self.needed:
                    end = next((i for i in range(start, stop) if self.outside(i, prefix)), stop)
                    if self.is_sequence(prefix, start, end):
                        last, inner = end, prefix
                        break
            yield start, last, inner
            start = last

    def outside(self, index: int, path: str) -> bool:
        return not self.paths[index].startswith(f"{path}.")

    def is_sequence(self, path: str, start: int, stop: int) -> bool:
        """True if these nodes, whose names begin with `path`, cannot have them as dotted ones."""
        merges = (self.paths[i].rpartition(".")[0] for i in range(start, stop) if self.is_merge(i))
        return self.is_shared(path) or path in merges

    def numbered_by_kind(self, nodes: Sequence[int], region: str) -> set[int]:
        """The nodes of the graph itself that need no name: of each kind all whose names are that kind, or are
        numbered from 1, if nothing is left out."""
        found: dict[str, list[int]] = {}
        for index in nodes if not region else ():
            kind = self.nodes[index].op.kind
            if re.fullmatch(rf"{kind}[0-9]*", self.paths[index]) and not self.is_shared(self.paths[index]):
                found.setdefault(kind, []).append(index)
        unnamed: set[int] = set()
        for kind, indices in found.items():
            names = [self.paths[index] for index in indices]
            if names == [kind] or (len(names) > 1 and names == [f"{kind}{i + 1}" for i in range(len(names))]):
                unnamed.update(indices)
        return unnamed


def _prefixes(path: str) -> list[str]:
    """The paths of the scopes around a name, the outermost first."""
    return [path[: dot.start()] for dot in re.finditer(r"\.", path)]
