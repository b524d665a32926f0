"""Names of ours for what a file of another format names."""

from __future__ import annotations

from archforge.errors import DiagnosticError, SourceFile, Span
from archforge.spec.syntax.reserved_names import check_name

__all__ = ["clean_name", "name_in_spec"]

_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def clean_name(name: str) -> str:
    """A name of the file with what a name of ours cannot hold left out."""
    kept = "".join(c if c in _WORDS else "_" if c in "/:- " else c if c == "." else "" for c in name)
    parts = [part.strip("_") for part in kept.split(".")]
    joined = ".".join(part for part in parts if part)
    return joined if joined and not joined[0].isdigit() else f"n{joined}"


def name_in_spec(name: str) -> str:
    """A name that a spec can give to an input or an output."""
    name = clean_name(name).replace(".", "_")
    while True:
        try:
            check_name(name, Span(SourceFile("", ""), 0, 0), "an input")
        except DiagnosticError:
            name += "_"
        else:
            return name
