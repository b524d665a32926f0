"""Repeated statements as loops: neighbours that are equal but for numbers within names.

Nothing has to be known of what statements do: a loop runs the same statements in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

__all__ = ["Loop", "LoopReference", "Parts", "is_run", "roll", "split_name"]

MAX_BODY = 64  # statements of a loop's body; a longer one is found by nobody who reads it

_NUMBER = re.compile(r"(0|[1-9][0-9]*)(?![0-9])")


@dataclass(frozen=True, slots=True)
class LoopReference:
    """The variable of a loop plus `offset`, as a part of a name; `depth` 0 is the innermost loop around."""

    depth: int
    offset: int


Parts = tuple[str | int | LoopReference, ...]
Item = Any  # a frozen dataclass with a field `parts`, or a Loop


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop: the body once for each value, in order."""

    values: tuple[int, ...]
    body: tuple[Item, ...]
    uses_value: bool


@dataclass(frozen=True, slots=True)
class _Number:
    """A number within a name, and the parts of the name before it."""

    value: int
    before: Parts


Numbers = tuple[_Number, ...]


def split_name(name: str) -> Parts:
    """A name as its text and its numbers; what has leading zeros is text."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple(int(p) if _NUMBER.fullmatch(p) else p for p in pieces if p)


def roll(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items with their repetitions rolled into loops, where that makes them fewer."""
    rest = list(items)
    while True:
        rolled = _pass(rest)
        if len(rolled) == len(rest):
            return tuple(rolled)
        rest = rolled


def _pass(items: list[Item]) -> list[Item]:
    table = _RepeatFinder(items)
    out: list[Item] = []
    at = 0
    while at < len(items):
        length, times = table.best(at)
        if times:
            rounds = [items[at + t * length : at + (t + 1) * length] for t in range(times)]
            out.append(_loop(rounds))
        else:
            out.append(items[at])
        at += max(length * times, 1)
    return out


class _RepeatFinder:
    """The search for repetitions in a list of items; what is compared of each is worked out once."""

    def __init__(self, items: list[Item]) -> None:
        ids: dict[Any, int] = {}
        self.keys = [ids.setdefault(_key(item), len(ids)) for item in items]
        self.numbers = [tuple(_numbers(item)) for item in items]
        # The first and the last item whose name starts as far as a number: the extent of its scope.
        self.extent: dict[_Number, tuple[int, int]] = {}
        for index, numbers in enumerate(self.numbers):
            for number in numbers:
                first, _ = self.extent.get(number, (index, index))
                self.extent[number] = (first, index)

    def best(self, at: int) -> tuple[int, int]:
        """Length and number of rounds of the loop from `at` that saves the most lines; (0, 0): none."""
        best, saved = (0, 0), 0
        for length in range(1, min(MAX_BODY, (len(self.keys) - at) // 2) + 1):
            times = self._rounds(at, length)
            if times * length - (length + 1) > saved:
                best, saved = (length, times), times * length - (length + 1)
        return best

    def _rounds(self, at: int, length: int) -> int:
        """The number of rounds in which the `length` items from `at` repeat plainly; 0 for none."""
        if self.keys[at : at + length] != self.keys[at + length : at + 2 * length]:
            return 0
        first = self.numbers[at : at + length]
        moving: list[set[int]] | None = None
        times = 1
        for start in range(at + length, len(self.keys) - length + 1, length):
            if self.keys[start : start + length] != self.keys[at : at + length]:
                break
            moves = _moves(first, self.numbers[start : start + length])
            if moves is None or (moving is not None and moves != moving):
                break
            if moving is None and not (self._is_whole(at, moves) and _is_plain(first, moves)):
                break
            if not self._is_whole(start, moves):
                break
            moving = moves
            times += 1
        return times if times > 1 else 0

    def _is_whole(self, start: int, moves: list[set[int]]) -> bool:
        """True if a round holds all of the scopes whose number moves: no loop may cut one in two."""
        extents = [
            self.extent[self.numbers[start + i][place]] for i, places in enumerate(moves) for place in places
        ]
        return all(first >= start and last < start + len(moves) for first, last in extents)


def _moves(first: Sequence[Numbers], here: Sequence[Numbers]) -> list[set[int]] | None:
    """The numbers of each item that differ between two rounds; None unless by the same amount."""
    amounts: set[int] = set()
    moves: list[set[int]] = []
    for before, after in zip(first, here, strict=True):
        differ = {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a.value != b.value}
        amounts.update(after[i].value - before[i].value for i in differ)
        if len(amounts) > 1:
            return None
        moves.append(differ)
    return moves


def _is_plain(first: Sequence[Numbers], moving: Sequence[set[int]]) -> bool:
    """True if the first item moves, no name has two numbers that do, and they are equal or stand
    behind the same text: `features.0` and `features.2`, not `layer1.1` and `layer2.0`."""
    moved = [item[i] for item, places in zip(first, moving, strict=True) for i in places]
    if moved and (not moving[0] or any(len(places) > 1 for places in moving)):
        return False
    return len({n.value for n in moved}) <= 1 or len({n.before for n in moved}) == 1


def _loop(rounds: list[list[Item]]) -> Loop:
    """One loop for rounds that `_rounds` has found to agree."""
    numbers = [[n.value for item in r for n in _numbers(item)] for r in rounds]
    moving = [i for i, (a, b) in enumerate(zip(numbers[0], numbers[1], strict=True)) if a != b]
    if not moving:
        return Loop(tuple(range(len(rounds))), roll(rounds[0]), uses_value=False)
    base = numbers[0][moving[0]]
    offsets = iter(LoopReference(0, n - base) if i in set(moving) else None for i, n in enumerate(numbers[0]))
    body = [_referring(item, offsets, 0) for item in rounds[0]]
    common = [_without_comment(item, [r[i] for r in rounds]) for i, item in enumerate(body)]
    return Loop(tuple(n[moving[0]] for n in numbers), roll(common), uses_value=True)


def _without_comment(item: Item, alike: list[Item]) -> Item:
    """The item, without a comment that is not true of each round."""
    comments = {getattr(other, "comment", "") for other in alike}
    return item if len(comments) == 1 else replace(item, comment="")


def _key(item: Item) -> Any:
    """The part of an item that is equal in each round: everything but numbers and comments."""
    if isinstance(item, Loop):
        return item.values, tuple(map(_key, item.body))
    blank = replace(item, parts=tuple(0 if isinstance(p, int) else p for p in item.parts))
    return replace(blank, comment="") if hasattr(item, "comment") else blank


def _numbers(item: Item) -> Iterator[_Number]:
    if isinstance(item, Loop):
        for inner in item.body:
            yield from _numbers(inner)
        return
    for index, part in enumerate(item.parts):
        if isinstance(part, int):
            yield _Number(part, item.parts[:index])


def _referring(item: Item, refs: Iterator[LoopReference | None], depth: int) -> Item:
    """The item with each of its numbers replaced by the next of `refs`, where that is one."""
    if isinstance(item, Loop):
        return replace(item, body=tuple(_referring(inner, refs, depth + 1) for inner in item.body))
    parts = []
    for part in item.parts:
        if isinstance(part, LoopReference) and part.depth >= depth:
            part = LoopReference(part.depth + 1, part.offset)  # it means a loop farther out
        ref = next(refs) if isinstance(part, int) else None
        parts.append(LoopReference(depth, ref.offset) if ref else part)
    return replace(item, parts=tuple(parts))


def is_run(values: Sequence[int]) -> bool:
    """True if each value is one more than the last."""
    return all(b == a + 1 for a, b in pairwise(values))
