"""The history of a run as files: a line for each epoch, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archforge.atomic_files import written_beside
from archforge.data.opened_files import opened

__all__ = ["Row", "history_csv", "history_lines", "read_history", "write_text"]

Row = Mapping[str, float]


def history_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line of names, then one for each epoch, or whatever has rows; empty where a row lacks a figure."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def history_lines(rows: Sequence[Row]) -> str:
    """A JSON object for each epoch, on a line of its own."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a file that `history_lines` made; none for a file that is not there. Raises E0601."""
    if not path.exists():
        return []
    with opened(path, "history of a run") as file:
        return [json.loads(line) for line in file.read().decode().splitlines()]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises E0705."""
    with written_beside(path) as file:
        file.write(text.encode())
