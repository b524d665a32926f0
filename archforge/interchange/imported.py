"""A network as it comes out of a file of another format: our graph, its arrays, and what was met on the
way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archforge.ir import TypedGraph
from archforge.ops.base import Array

__all__ = ["Imported", "Origin", "Problem"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The value of the file that a value of ours is. axes: for each of the file's axes that of ours, where
    the batch is axis 0; None for one of extent 1 that ours lacks."""

    name: str
    axes: tuple[int | None, ...]


LONGEST_WORDS = 200  # characters of a name or a reason that messages repeat


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be said: the op, the reason if the op is known, and where it is first met."""

    op: str
    reason: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.places) - 1} more" if self.places[1:] else ""
        reason = f", {self.reason}" if self.reason else ""
        return f"`{_cut(self.op)}`{_cut(reason)}: {_cut(self.places[0])}{more}"


def _cut(text: str) -> str:
    """The beginning of a text that a file may have made as long as it likes."""
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}..."


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A graph with its arrays by full name, and the file that it comes from.

    origins: of values, by their names. nodes_in_file: how many ops the file has. notes: remarks for a user.
    has_weights: false where the file has none, and the arrays are zeros in their place.
    """

    file: str
    graph: TypedGraph
    arrays: Mapping[str, Array]
    origins: Mapping[str, Origin]
    nodes_in_file: int
    notes: tuple[str, ...] = ()
    has_weights: bool = True
