"""Warnings of what a profile says of classes and pictures, and its network has none such."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.data.class_names import class_names
from archforge.errors import Diagnostic
from archforge.spec.expand.expand import Expansion
from archforge.spec.yaml.tree import Mapping, Tree

__all__ = ["profile_warnings"]

CHANNELS = (1, 3)  # of a picture


def profile_warnings(expansion: Expansion) -> Iterator[Diagnostic]:
    """W0201: `labels` for another number of classes, and `preprocess` for what is no picture. Nothing is told
    of a network with settings, or of a profile that is inherited."""
    profile = expansion.spec.document.profiles.get(expansion.profile)
    if profile is None or expansion.settings or not (profile.labels or profile.preprocess):
        return
    graph = expansion.graph
    tree: Tree | None = expansion.spec.document.tree
    for key in ("profiles", profile.name):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    spans = {entry.key: entry.key_span for entry in tree} if isinstance(tree, Mapping) else {}
    output = graph.types[next(iter(graph.outputs.values()))]
    if profile.labels and output.shape[0] != (classes := len(class_names(profile.labels))):
        message = f"`labels` are for {classes:,} classes, and the output is {output}"
        yield Diagnostic("W0201", message, spans["labels"], help="remove it")
    inputs = [graph.types[name] for name in graph.inputs]
    if profile.preprocess and not any(len(x.shape) == 3 and x.channels in CHANNELS for x in inputs):
        message = f"`preprocess` is for pictures, and the input is {inputs[0]}"
        yield Diagnostic("W0201", message, spans["preprocess"], help="remove it")
