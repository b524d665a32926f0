"""Printing for commands: colour on a terminal only, and nothing that the stream cannot show."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from archforge.errors import Diagnostic

if TYPE_CHECKING:
    from archforge.analysis.checks import Status

    Sign = Status | Literal["warned"]

__all__ = [
    "adapt_streams",
    "can_show",
    "counted",
    "mark",
    "paint",
    "print_diagnostics",
    "print_json",
    "print_json_line",
    "table",
    "with_fallbacks",
]

# The mark of a status for streams that lack the sign, and its colour.
_PLAIN: dict[Sign, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "explained": ("~", "yellow"),
    "mismatch": ("FAIL", "red"),
    "not_applicable": ("-", "bright_black"),
    "warned": ("!", "yellow"),
}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bright_black": 90, "bold": 1}


def adapt_streams() -> None:
    """Make the standard streams safe: each is there, input is UTF-8, and output escapes what it cannot
    write."""
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # a wrong byte is a diagnostic
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    return Path(os.devnull).open(mode, encoding="utf-8")


def coloured(stream: TextIO) -> bool:
    """True if `stream` shows colours: a terminal that can, and NO_COLOR is not set (no-color.org)."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def counted(number: int, word: str) -> str:
    """Number and noun: `1 layer`, `18 layers`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def with_fallbacks(backend: str, kinds: Iterable[str]) -> str:
    """The backend, and in brackets the kinds of ops that it leaves to the reference kernels."""
    told = ", ".join(kinds)
    return f"{backend} ({told} on reference kernels)" if told else backend


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where the stream shows colours."""
    if not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def mark(status: Sign) -> str:
    """The sign of a cell's status, or of a spec with warnings, painted."""
    from archforge.analysis.checks import MARKS  # which the help of all commands does without

    sign = "!" if status == "warned" else MARKS[status]
    plain, colour = _PLAIN[status]
    return paint(sign if can_show(sign) else plain, colour)


def can_show(text: str) -> bool:
    """True if standard output can write a text as it is."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_json(data: Any) -> None:
    """Print data as JSON that is indented."""
    _print_json(data, indent=2)


def print_json_line(data: Any) -> None:
    """Print data as JSON on a line of its own."""
    _print_json(data, indent=None)


def _print_json(data: Any, indent: int | None) -> None:
    import json

    text = json.dumps(data, indent=indent, ensure_ascii=False)
    print(text if can_show(text) else json.dumps(data, indent=indent))


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics to standard error, a blank line between them."""
    sys.stdout.flush()  # what came before stays before
    for index, diagnostic in enumerate(diagnostics):
        text = diagnostic.render()
        if coloured(sys.stderr):
            colour = "yellow" if diagnostic.is_warning else "red"
            for part in (rf"\b{diagnostic.code}\b", r"\^+"):
                text = re.sub(part, lambda m: paint(m[0], colour, sys.stderr), text, count=1)  # noqa: B023
        try:
            print(("\n" if index else "") + text, file=sys.stderr)
        except BrokenPipeError:
            raise
        except OSError:  # a full disk: the exit code has to tell
            return


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Columns of text, two blanks apart. right: the indices of columns that are aligned to the right."""
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
