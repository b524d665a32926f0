"""Names of ours for nodes of ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.interchange.names import clean_name
from archforge.interchange.onnx.opened import NodeInFile

__all__ = ["node_name"]


def node_name(node: NodeInFile, stored: Sequence[str]) -> str:
    """A name for a node: that of its weight without the end, or of the module that exporters of torch
    name."""
    for name in stored:
        before, _, last = name.rpartition(".")
        if before and last in ("weight", "bias", "running_mean", "running_var"):
            return clean_name(before)
    path: list[str] = []
    for part in [part for part in node.name.split("/") if part][:-1]:
        if path and part.startswith(f"{path[-1]}."):  # features, then features.1: one step deeper
            path.pop()
        path.append(part)
    return clean_name(".".join(path) or node.op.lower())
