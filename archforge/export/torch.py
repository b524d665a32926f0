"""`model_torch.py`: the network as a module of torch that a reader can follow and change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from string import Formatter
from typing import Any

from archforge.export.graph_json import graph_json
from archforge.export.module import title_text
from archforge.export.module.classes import classes_of
from archforge.export.module.dialect import WrittenOp
from archforge.export.module.layer_file import layer_file
from archforge.export.module.names import input_names, is_taken
from archforge.export.render import render
from archforge.export.target import Subject, Target
from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.layer_text import APPLY
from archforge.interchange.torch.calls import SIGNATURES, torch_text
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Node, TensorType, TypedGraph
from archforge.passes.drop_identities import without_idle

__all__ = ["TARGETS", "torch_module", "torch_source"]

LAYERS = "torch_layers.py"


class TorchDialect:
    """Ops that own parameters as layers, others as functions of torch."""

    file = "model_torch.py"
    keeps_levels = True
    apply, forward = APPLY, "forward"
    base, sequence, nothing, layer_list = "nn.Module", "nn.Sequential", "nn.Identity", "nn.ModuleList"
    # What every nn.Module has by a name of its own.
    taken = frozenset(
        ("add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile", "cpu",
         "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer",
         "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "load_state_dict", "modules",
         "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters",
         "register_backward_hook", "register_buffer", "register_forward_hook",
         "register_forward_pre_hook", "register_full_backward_hook", "register_full_backward_pre_hook",
         "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook", "register_module",
         "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
         "requires_grad_", "set_extra_state", "set_submodule", "share_memory", "state_dict", "to",
         "to_empty", "train", "training", "type", "xpu", "zero_grad")
    )  # fmt: skip

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without ops that do nothing, in training neither."""
        return without_idle(typed)

    def lacks(self, node: Node, types: Sequence[TensorType]) -> tuple[str, str] | None:
        """The reason that the table of torch's layers gives."""
        try:
            torch_text(node.op, types)
        except Unsupported as reason:
            return str(reason), "`archforge export --to onnx` may have it"
        return None

    def call(self, node: Node, types: Sequence[TensorType]) -> WrittenOp:
        """The layer or the function, with its arguments."""
        text = torch_text(node.op, types)
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

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """Those of the spec."""
        return type_.shape

    def is_size(self, argument: str) -> bool:
        """Numbers of channels and features, by torch's names of them and ours."""
        return argument in _SIZES or argument.endswith("channels") or "channels_" in argument

    def defaults(self, callee: str) -> Mapping[str, Any] | None:
        """The arguments of torch's own, of the layers of our file, and those in a pattern."""
        if callee in SIGNATURES:
            return SIGNATURES[callee]
        if "{" not in callee:
            layer = layer_file(LAYERS).layers.get(callee)
            return None if layer is None else {**LAYER_BASES.get(callee, {}), **layer.args}
        fields = {name for _, name, _, _ in Formatter().parse(callee) if name and not name.isdigit()}
        is_operator = not fields and callee.startswith("{0}") and "{1}" in callee
        return None if is_operator else dict.fromkeys(fields, REQUIRED)


_SIZES = frozenset(
    ("num_features", "in_features", "out_features", "input_size", "hidden_size", "num_parameters",
     "normalized_shape")
)  # fmt: skip

# The arguments of the layers of our file that are those of torch's layers.
LAYER_BASES: Mapping[str, Mapping[str, Any]] = {
    **{f"{kind}{base}{r}d": SIGNATURES[f"nn.{base}{r}d"]
       for kind, base in (("Same", "Conv"), ("Padded", "Conv"), ("Cropped", "ConvTranspose"),
                          ("Centered", "BatchNorm"))
       for r in (1, 2, 3)},
    **{f"OneBias{layer}": SIGNATURES[f"nn.{layer}"] for layer in ("RNN", "LSTM", "GRU")},
    "ChannelLayerNorm": SIGNATURES["nn.LayerNorm"],
}  # fmt: skip

TORCH = TorchDialect()


def torch_module(subject: Subject) -> str:
    """The module of the chosen profile. Raises E0704 for all that torch lacks, at once."""
    network = subject.network
    name = _class_name(network.spec.header.title or network.name)
    digest = sha256(graph_json(subject).encode()).hexdigest()
    usage = (
        f'    model = {name}()\n    model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))'
    )
    heading = [title_text(network, "torch"), f"SHA-256 of its graph.json:\n{digest}", usage]
    return torch_source(network.graph, name, "\n\n".join(heading) + "\n")


def torch_source(typed: TypedGraph, name: str, heading: str) -> str:
    """A graph as a module of torch, with this name of its class. Raises E0704."""
    file = layer_file(LAYERS)
    inputs = input_names(typed.inputs, ())
    classes, used = classes_of(typed, TORCH, name, {*file.layers, "OrderedDict"}, inputs)
    layers = [layer.text for layer in file.closure(used)]
    body = "\n".join([line for c in classes for line in (c.head, *c.lines)] + layers)
    return render(
        "torch.py.j2",
        heading=heading,
        imports=[text for word, text in IMPORTS.items() if re.search(rf"(?<![\w.]){word}\b", body)],
        torch_imports=[
            text for word, text in TORCH_IMPORTS.items() if re.search(rf"(?<![\w.]){word}\b", body)
        ],
        classes=classes,
        layers=layers,
    )


IMPORTS = {"math": "import math", "OrderedDict": "from collections import OrderedDict"}
TORCH_IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
}


def _class_name(title: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", title)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if name.isidentifier() and not is_taken(name) else f"Network{name}"


TARGETS = (
    Target(
        "torch",
        "model_torch.py",
        "the network as source of a module of torch: docs/source.md",
        torch_module,
    ),
)
