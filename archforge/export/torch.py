"""`model_torch.py`: the network as a module of torch that a reader can follow and change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.export.module.class_source import TableDialect, class_module, class_source
from archforge.export.target import Subject, Target
from archforge.interchange.torch.calls import SIGNATURES, torch_text
from archforge.ir import TensorType, TypedGraph
from archforge.passes.drop_identities import without_idle

__all__ = ["TARGETS", "torch_module", "torch_source"]

LAYERS = "torch_layers.py"


class TorchDialect(TableDialect):
    """Ops that own parameters as layers, others as functions of torch."""

    file = "model_torch.py"
    forward = "forward"
    library, layers = "torch", LAYERS
    always: tuple[str, ...] = ()
    base, sequence, named_sequence = "nn.Module", "nn.Sequential", "OrderedDict"
    nothing, layer_list = "nn.Identity", ("nn.ModuleList(", ")")
    gets_odd, adds_odd = "getattr({owner}, {name})", "add_module"
    imports: tuple[Mapping[str, str], Mapping[str, str]] = (
        {"math": "import math", "OrderedDict": "from collections import OrderedDict"},
        {
            "torch": "import torch",
            "nn": "from torch import nn",
            "F": "from torch.nn import functional as F",
        },
    )
    hides = "__"
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
         "to_empty", "train", "training", "type", "xpu", "zero_grad",
         "_apply", "_backward_hooks", "_backward_pre_hooks", "_buffers", "_call_impl", "_compiled_call_impl",
         "_forward_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs",
         "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_get_backward_hooks",
         "_get_backward_pre_hooks", "_get_name", "_is_full_backward_hook", "_load_from_state_dict",
         "_load_state_dict_post_hooks", "_load_state_dict_pre_hooks", "_maybe_warn_non_full_backward_hook",
         "_modules", "_named_members", "_non_persistent_buffers_set", "_parameters",
         "_register_load_state_dict_pre_hook", "_register_state_dict_hook", "_replicate_for_data_parallel",
         "_save_to_state_dict", "_slow_forward", "_state_dict_hooks", "_state_dict_pre_hooks", "_version",
         "_wrapped_call_impl")
    )  # fmt: skip

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without ops that do nothing, in training neither."""
        return without_idle(typed)

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """The extents in the order of the spec."""
        return type_.shape


_SIZES = frozenset(
    ("num_features", "in_features", "out_features", "input_size", "hidden_size", "num_parameters",
     "normalized_shape")
)  # fmt: skip

# The arguments of the layers of our file that are those of torch's layers.
LAYER_BASES: Mapping[str, Mapping[str, Any]] = {
    **{f"{kind}{base}{r}d": SIGNATURES[f"nn.{base}{r}d"]
       for kind, base in (("Same", "Conv"), ("Padded", "Conv"), ("Cropped", "ConvTranspose"),
                          ("Centered", "BatchNorm"), ("Scaled", "BatchNorm"))
       for r in (1, 2, 3)},
    **{f"OneBias{layer}": SIGNATURES[f"nn.{layer}"] for layer in ("RNN", "LSTM", "GRU")},
    "ChannelLayerNorm": SIGNATURES["nn.LayerNorm"],
    "StandardizedConv2d": SIGNATURES["nn.Conv2d"],
}  # fmt: skip

TORCH = TorchDialect(torch_text, SIGNATURES, LAYER_BASES, _SIZES)


def torch_module(subject: Subject) -> str:
    """The module of the chosen profile. Raises E0704 for all that torch lacks, at once."""
    return class_module(
        subject,
        TORCH,
        '    model = {name}()\n    model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))',
    )


def torch_source(typed: TypedGraph, name: str, heading: str) -> str:
    """A graph as a module of torch, with this name of its class. Raises E0704."""
    return class_source(typed, TORCH, name, heading)


TARGETS = (
    Target(
        "torch",
        "model_torch.py",
        "the network as source of a module of torch: docs/source.md",
        torch_module,
    ),
)
