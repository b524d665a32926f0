"""A network in a few rows: calls of one block in a row are one, and so is a layer with what follows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from archforge.analysis.ledger import LedgerRow, ledger
from archforge.ir import TypedGraph, by_x

__all__ = ["Stage", "stages_of"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Neighbours of a network. `says` is what they are, `output` the shape of their last value."""

    name: str
    says: str
    output: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """An outermost block call with all in it, or a layer by itself (`block` empty)."""

    block: str
    name: str
    parent: str
    rows: tuple[LedgerRow, ...]

    @property
    def output(self) -> tuple[int, ...]:
        return self.rows[-1].output


def stages_of(typed: TypedGraph) -> list[Stage]:
    """The stages in order."""
    return [_stage(group) for group in _groups(_units(typed))]


def _units(typed: TypedGraph) -> Iterator[_Unit]:
    blocks = {(s.kind, s.name) for s in typed.graph.scopes if s.is_block}

    def key(row: LedgerRow) -> tuple[str, str, str]:
        """Kind and name of the outermost block call around a row, and what that stands in."""
        parent = ""
        for kind, name in row.blocks:
            if (kind, name) in blocks:
                return kind, name, parent
            parent = name
        return "", row.name, parent

    for (block, name, parent), rows in groupby(ledger(typed).rows, key):
        yield _Unit(block, name, parent, tuple(rows))


def _groups(units: Iterator[_Unit]) -> Iterator[list[_Unit]]:
    group: list[_Unit] = []
    for unit in units:
        if group and not _belongs(unit, group[-1]):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _belongs(unit: _Unit, last: _Unit) -> bool:
    """Whether a unit goes with the one before: the same block in the same place with the same output,
    or after a layer one that keeps its shape and multiplies nothing."""
    if (unit.block, unit.parent, unit.output) != (last.block, last.parent, last.output):
        return False
    return bool(unit.block) or not unit.rows[0].macs


def _stage(units: list[_Unit]) -> Stage:
    first, last = units[0], units[-1]
    rows = [row for unit in units for row in unit.rows]
    if first.block:
        says = f"{len(units)} x {first.block}" if len(units) > 1 else first.block
        name = first.name if first is last else f"{first.name} ... {last.name}"
    else:
        says, name = ", ".join(map(_layer, rows)), first.name
    params = sum(row.weights + row.biases for row in rows)
    return Stage(name, says, last.output, params, sum(row.macs for row in rows))


def _layer(row: LedgerRow) -> str:
    """An op with its window, where it has one: `conv 3x3 / 2`."""
    kernel, stride = row.attributes.get("kernel"), row.attributes.get("stride")
    if kernel is None:
        return row.op
    sides = kernel if isinstance(kernel, tuple) else (kernel,) * (len(row.output) - 1)
    words = [row.op, by_x(sides)]
    if stride not in (None, 1):
        words.append(f"/ {'x'.join(map(str, stride)) if isinstance(stride, tuple) else stride}")
    return " ".join(words)
