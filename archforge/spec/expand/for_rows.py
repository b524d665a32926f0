"""Rows that a `for` runs over, from columns or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.errors import Note, Span, fail
from archforge.spec.binding.environment import Env
from archforge.spec.binding.tensors import POISON
from archforge.spec.formulas.failures import Poisoned
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.syntax_tree import For

__all__ = ["rows_of"]

Row = tuple[Any, dict[str, Any]]  # its key, and its value for each column


def rows_of(step: For, env: Env) -> list[Row]:
    """The rows in order. Raises E0308 for what is no table, E0311 for unequal lengths."""
    return _from_columns(step, env) if step.rows is None else _from_table(step, env)


def _from_columns(step: For, env: Env) -> list[Row]:
    """One row for each index; a column that is no list has the same value in all."""
    columns = {key: value.evaluate(env) for key, value in step.values.items()}
    if POISON in columns.values():
        raise Poisoned
    lengths = {key: len(value) for key, value in columns.items() if isinstance(value, list)}
    if not lengths:
        first, value = next(iter(columns.items()), ("", None))
        hint = f"{first}: =range({value})" if type(value) is int else "{for: {width: [64, 128]}, do: ...}"
        fail("E0311", "`for` needs a column that is a list", step.span, help=hint)
    count = next(iter(lengths.values()))
    other = next((key for key, length in lengths.items() if length != count), None)
    if other is not None:
        spans = dict(step.columns)
        first = next(iter(lengths))
        message = f"the columns of `for` differ in length: `{first}` has {count}, `{other}` {lengths[other]}"
        help = "equal lengths, or a single value for all rows"
        fail("E0311", message, spans[other], help=help, notes=[Note(f"`{first}` is", spans[first])])
    rows = [{k: v[i] if isinstance(v, list) else v for k, v in columns.items()} for i in range(count)]
    return list(enumerate(rows))


def _from_table(step: For, env: Env) -> list[Row]:
    """One row for each entry of a list or mapping; with one column a row may be written without [ ]."""
    assert step.rows is not None  # `rows_of` has asked
    names = [name for name, _ in step.columns]
    table = step.rows.evaluate(env)
    if not isinstance(table, list | Mapping):
        hint = "[[64, 1], [128, 2]] or {first: [64, 1], second: [128, 2]}"
        fail("E0308", f"`in` takes rows, found {describe(table)}", step.rows.span, help=hint)
    entries = list(table.items() if isinstance(table, Mapping) else enumerate(table))
    places = _places(step, len(entries))
    rows: list[Row] = []
    for index, (key, row) in enumerate(entries):
        values = row if isinstance(row, list) else [row]
        if len(values) != len(names):
            which = f"row `{key}`" if isinstance(table, Mapping) else f"row {index + 1}"
            found = f"{len(values)} value{'s' * (len(values) != 1)}"
            message = f"{which} has {found} for {len(names)} column{'s' * (len(names) != 1)}"
            fail("E0311", message, places[index], label=f"columns: {', '.join(names)}")
        rows.append((key, dict(zip(names, values, strict=True))))
    return rows


def _places(step: For, count: int) -> list[Span]:
    """Span of each row; that of the whole table where a formula gives it."""
    assert step.rows is not None
    written = step.rows.content
    if isinstance(written, dict):
        return [value.span for value in written.values()]
    if isinstance(written, tuple):
        return [value.span for value in written]
    return [step.rows.span] * count
