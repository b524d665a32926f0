"""`archforge sample --format parquet`: samples as a table in a file of Parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from archforge.analysis.sampling import DrawnNetwork
from archforge.errors import fail

__all__ = ["print_parquet", "require_parquet"]


def require_parquet() -> None:
    """Raises E0701 where pyarrow is missing, and E0705 where the bytes would go to a terminal."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        fail("E0701", "Parquet needs pyarrow", help="pip install 'archforge-zoo[parquet]'")
    if sys.stdout.isatty():
        fail("E0705", "a file of Parquet is no text for a terminal", help="... > samples.parquet")


def print_parquet(samples: Iterable[DrawnNetwork]) -> None:
    """Print the bytes of a table with a row for each sample. An argument whose values have no type in common
    is a column of JSON."""
    import pyarrow
    from pyarrow import parquet

    rows = [sample.row() for sample in samples]
    columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), buffer)
    sys.stdout.buffer.write(buffer.getvalue())


def _column(values: list[Any]) -> Any:
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return pyarrow.array([json.dumps(value) for value in values])
