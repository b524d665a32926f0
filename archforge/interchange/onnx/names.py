"""Names of ours for what a file names."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.errors import DiagnosticError, SourceFile, Span
from archforge.interchange.onnx.opened import NodeInFile
from archforge.spec.syntax.reserved_names import check_name

__all__ = ["name_in_spec", "node_name"]

_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def _clean(name: str) -> str:
    """A name of the file with what a name of ours cannot hold left out."""
    kept = "".join(c if c in _WORDS else "_" if c in "/:- " else c if c == "." else "" for c in name)
    parts = [part.strip("_") for part in kept.split(".")]
    joined = ".".join(part for part in parts if part)
    return joined if joined and not joined[0].isdigit() else f"n{joined}"


def name_in_spec(name: str) -> str:
    """A name that a spec can give to an input or an output."""
    name = _clean(name).replace(".", "_")
    while True:
        try:
            check_name(name, Span(SourceFile("", ""), 0, 0), "an input")
        except DiagnosticError:
            name += "_"
        else:
            return name


def node_name(node: NodeInFile, stored: Sequence[str]) -> str:
    """A name for a node: that of its weight without the end, or of the module that exporters of torch
    name."""
    for name in stored:
        before, _, last = name.rpartition(".")
        if before and last in ("weight", "bias", "running_mean", "running_var"):
            return _clean(before)
    path: list[str] = []
    for part in [part for part in node.name.split("/") if part][:-1]:
        if path and part.startswith(f"{path[-1]}."):  # features, then features.1: one step deeper
            path.pop()
        path.append(part)
    return _clean(".".join(path) or node.op.lower())
