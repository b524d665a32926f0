"""Source of libraries whose networks are classes: one module of classes, and the layers that they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from string import Formatter
from typing import Any

from archforge.export.graph_json import graph_json
from archforge.export.module import title_text
from archforge.export.module.classes import ClassDialect, classes_of
from archforge.export.module.dialect import WrittenOp
from archforge.export.module.layer_file import layer_file
from archforge.export.module.names import input_names, is_taken
from archforge.export.render import render
from archforge.export.target import Subject
from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.layer_text import APPLY, LayerText
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Node, Op, TensorType, TypedGraph

__all__ = ["TableDialect", "class_module", "class_source"]


@dataclass(frozen=True)
class TableDialect:
    """The part that dialects share whose ops are a table of texts.

    text: the words for an op with inputs of some types, which raises `Unsupported`. signatures: arguments of
    the library's own layers and functions, with their defaults. layers: the file of `templates/` with what it
    lacks. bases: the arguments of a layer of that file which are another layer's. sizes: arguments that are
    numbers of channels or features, besides those whose names say so.
    """

    text: Callable[[Op, Sequence[TensorType]], LayerText]
    signatures: Mapping[str, Mapping[str, Any]]
    bases: Mapping[str, Mapping[str, Any]]
    sizes: frozenset[str]
    layers = ""
    apply = APPLY
    keeps_levels = True

    def lacks(self, node: Node, types: Sequence[TensorType]) -> tuple[str, str] | None:
        """The reason that the table gives."""
        try:
            self.text(node.op, types)
        except Unsupported as reason:
            return str(reason), "`archforge export --to onnx` may have it"
        return None

    def call(self, node: Node, types: Sequence[TensorType]) -> WrittenOp:
        """The layer or the function, with its arguments."""
        text = self.text(node.op, types)
        is_bare = (
            bool(text.layer) and text.args == (self.defaults(text.callee) or {}) and "{" not in text.callee
        )
        is_activation = not text.owns and is_bare and tuple(types) == (node.op.infer(*types),)
        return WrittenOp(
            text.callee,
            {} if is_activation else text.args,
            text.owns,
            is_activation,
            text.use if text.owns else "",
            text.layer,
        )

    def is_size(self, argument: str) -> bool:
        """Numbers of channels and features, by the library's names of them and ours."""
        return argument in self.sizes or argument.endswith("channels") or "channels_" in argument

    def defaults(self, callee: str) -> Mapping[str, Any] | None:
        """The arguments of the library's own, of the layers of the file, and those in a pattern."""
        if callee in self.signatures:
            return self.signatures[callee]
        if "{" not in callee:
            layer = layer_file(self.layers).layers.get(callee)
            return None if layer is None else {**self.bases.get(callee, {}), **layer.args}
        fields = {name for _, name, _, _ in Formatter().parse(callee) if name and not name.isdigit()}
        is_operator = not fields and callee.startswith("{0}") and "{1}" in callee
        return None if is_operator else dict.fromkeys(fields, REQUIRED)


def class_module(subject: Subject, dialect: ClassDialect, usage: str) -> str:
    """The module of the chosen profile, named as its title. Raises E0704 for all that the library lacks.

    usage: the example of the docstring, with `{name}` for the class.
    """
    network = subject.network
    name = _class_name(network.spec.header.title or network.name)
    digest = sha256(graph_json(subject).encode()).hexdigest()
    told = f"SHA-256 of its graph.json:\n{digest}"
    heading = [title_text(network, dialect.library), told, usage.format(name=name)]
    return class_source(network.graph, dialect, name, "\n\n".join(heading) + "\n")


def class_source(typed: TypedGraph, dialect: ClassDialect, name: str, heading: str) -> str:
    """A graph as a module, with this name of its class and this docstring. Raises E0704."""
    file = layer_file(dialect.layers)
    inputs = input_names(typed.inputs, file.layers)
    taken = {*file.layers, *(word for words in dialect.imports for word in words)}
    classes = classes_of(typed, dialect, name, taken, inputs)
    text = "\n".join(line for c in classes for line in (c.head, *c.lines))
    used = {word for word in file.layers if re.search(rf"(?<![\w.]){word}\b(?! )", text)}
    layers = [layer.text for layer in file.closure({*used, *dialect.always})]
    body = "\n".join([text, *layers])
    own, imports = (
        [text for word, text in words.items() if re.search(rf"(?<![\w.]){word}\b", body)]
        for words in dialect.imports
    )
    return render("classes.py.j2", heading=heading, own=own, imports=imports, classes=classes, layers=layers)


def _class_name(title: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", title)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if name.isidentifier() and not is_taken(name) else f"Network{name}"
