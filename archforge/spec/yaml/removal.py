"""Removal of an entry or an item from a YAML text, with all else as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

__all__ = ["without"]

_COMMENT = re.compile(r"(?:^|\s)#", re.MULTILINE)


class _Placed(NamedTuple):
    """An entry or an item with its neighbours, as nodes from its first to its last."""

    nodes: tuple[yaml.Node, ...]
    before: tuple[yaml.Node, ...]
    behind: tuple[yaml.Node, ...]

    @property
    def is_alone(self) -> bool:
        return not (self.before or self.behind)

    def starts_at(self, line: int, column: int) -> bool:
        marks = (node.start_mark for node in self.nodes)
        return any((mark.line, mark.column) == (line, column) for mark in marks)


def without(text: str, line: int, column: int) -> Iterator[str]:
    """The texts without an entry or item whose key or value begins at a place, the innermost first; if
    nothing else is in a collection, without that.

    One that a comment is about, on its lines or above them, stays. The text must be well formed.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader) if not text.startswith("\ufeff") else None
    for way in [*_ways(root, line, column)][::-1] if root else ():
        part = next((part for part in reversed(way) if not part.is_alone), None)
        shorter = _cut(text, part) if part else None
        if shorter is not None:
            yield shorter


def _ways(
    node: yaml.Node, line: int, column: int, way: tuple[_Placed, ...] = ()
) -> Iterator[tuple[_Placed, ...]]:
    """The parts around and at a place, from the outermost on, for each part that begins there."""
    children = [(item,) for item in node.value] if isinstance(node, yaml.SequenceNode) else node.value
    if isinstance(node, yaml.ScalarNode):
        return
    for index, nodes in enumerate(children):
        before = tuple(children[index - 1]) if index else ()
        behind = tuple(children[index + 1]) if index + 1 < len(children) else ()
        part = _Placed(tuple(nodes), before, behind)
        if part.starts_at(line, column):
            yield (*way, part)
        yield from _ways(nodes[-1], line, column, (*way, part))


def _cut(text: str, part: _Placed) -> str | None:
    """The text without a part; None where a comment is about it."""
    start, end = part.nodes[0].start_mark.index, _end(text, part.nodes)
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end) if "\n" in text[end:] else len(text)
    above = text[text.rfind("\n", 0, max(line_start - 1, 0)) + 1 : line_start]
    if above.lstrip().startswith("#") or _COMMENT.search(text[start:line_end]):
        return None
    if not (text[line_start:start].strip() or text[end:line_end].strip()):  # it has its lines for itself
        first, last = line_start, line_end + 1
    elif part.behind:
        first, last = start, part.behind[0].start_mark.index
    else:
        first, last = _end(text, part.before), end
    return None if _COMMENT.search(text[first:last]) else text[:first] + text[last:]


def _end(text: str, nodes: Sequence[yaml.Node]) -> int:
    """The index behind the last character of a part: a collection without brackets ends as its last part
    does, a text of lines before the line breaks that follow."""
    node = nodes[-1]
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last if isinstance(last, tuple) else (last,))
    end: int = node.end_mark.index
    return len(text[:end].rstrip())
