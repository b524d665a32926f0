"""What commands print: colour on a terminal only, tables that stay plain elsewhere."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from archforge.errors import Diagnostic

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["MARKS", "console", "paint", "print_diagnostics", "print_json", "table"]

MARKS = {
    "ok": ("✓", "green"),
    "explained": ("≈", "yellow"),
    "mismatch": ("✗", "red"),
    "not_applicable": ("-", "bright_black"),
}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bright_black": 90, "bold": 1}


def coloured(stream: TextIO) -> bool:
    """Whether `stream` shows colours: a terminal, and NO_COLOR is not set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where the stream shows colours."""
    if not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def console() -> Console:
    """A console for tables and progress; it does not cut lines when it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), no_color=not coloured(sys.stdout))


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Diagnostics on standard error, a blank line between them."""
    for index, diagnostic in enumerate(diagnostics):
        text = diagnostic.render()
        if coloured(sys.stderr):
            text = re.sub(r"\bE\d{4}\b", lambda m: paint(m[0], "red", sys.stderr), text, count=1)
            text = re.sub(r"\^+", lambda m: paint(m[0], "red", sys.stderr), text, count=1)
        print(("\n" if index else "") + text, file=sys.stderr)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Columns of text, two blanks apart; those in `right` are aligned to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    to_right = set(right)

    def line(row: Sequence[str]) -> str:
        parts = (
            c.rjust(w) if i in to_right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(parts).rstrip()

    first, *rest = (line(row) for row in cells)
    return "\n".join([paint(first, "bold"), *rest])
