"""`model_mlx.py`: the network as a module of MLX that a reader can follow and change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.export.module.class_source import TableDialect, class_module, class_source
from archforge.export.module.dialect import channels_last
from archforge.export.module.layer_file import layer_file
from archforge.export.module.turned_axes import without_turns
from archforge.export.target import Subject, Target
from archforge.interchange.mlx.calls import SIGNATURES, mlx_text
from archforge.ir import TensorType, TypedGraph
from archforge.passes.drop_identities import without_idle

__all__ = ["TARGETS", "mlx_module", "mlx_source"]

LAYERS = "mlx_layers.py"


class MlxDialect(TableDialect):
    """Ops that own parameters as layers, others as functions of MLX; maps have the channels last."""

    file = "model_mlx.py"
    forward = "__call__"
    library, layers = "MLX", LAYERS
    always: tuple[str, ...] = ("load", "save")
    base, sequence, named_sequence = "nn.Module", "nn.Sequential", ""
    nothing, layer_list = "nn.Identity", ("", "")
    gets_odd, adds_odd = "{owner}[{name}]", ""
    imports: tuple[Mapping[str, str], Mapping[str, str]] = (
        {"math": "import math", "reduce": "from functools import reduce"},
        {"mx": "import mlx.core as mx", "nn": "from mlx import nn"},
    )
    hides = "_"
    # What every nn.Module, which is a dict, has by a name of its own.
    taken = frozenset(
        ("apply", "apply_to_modules", "children", "clear", "copy", "eval", "filter_and_map", "freeze",
         "fromkeys", "get", "is_module", "items", "keys", "leaf_modules", "load_weights", "modules",
         "named_modules", "parameters", "pop", "popitem", "save_weights", "set_dtype", "setdefault", "state",
         "train", "trainable_parameter_filter", "trainable_parameters", "training", "unfreeze", "update",
         "update_modules", "valid_child_filter", "valid_parameter_filter", "values")
    )  # fmt: skip

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without ops that do nothing, in training neither, and with few permutations."""
        return without_turns(without_idle(typed))

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """Maps have the channels last."""
        return channels_last(type_)


_SIZES = frozenset(
    ("num_features", "input_dims", "output_dims", "dims", "input_size", "hidden_size", "num_parameters")
)

# The arguments of the layers of our file that are those of MLX's layers.
LAYER_BASES: Mapping[str, Mapping[str, Any]] = {
    **{f"{kind}{base}{r}d": SIGNATURES[f"nn.{base}{r}d"]
       for kind, base in (("Padded", "Conv"), ("Cropped", "ConvTranspose")) for r in (1, 2, 3)},
    "MapBatchNorm": SIGNATURES["nn.BatchNorm"],
    **dict.fromkeys(("LSTM", "GRU", "ResetBeforeGRU"), layer_file(LAYERS).layers["Recurrent"].args),
}  # fmt: skip

MLX = MlxDialect(mlx_text, SIGNATURES, LAYER_BASES, _SIZES)


def mlx_module(subject: Subject) -> str:
    """The module of the chosen profile. Raises E0704 for all that MLX lacks, at once."""
    usage = [
        "Maps have the channels last: images are float[N, H, W, C].",
        "",
        "    model = {name}()",
        '    load(model, "weights.safetensors")  # of the spec: names and axes are turned',
        "    model.eval()",
    ]
    return class_module(subject, MLX, "\n".join(usage))


def mlx_source(typed: TypedGraph, name: str, heading: str) -> str:
    """A graph as a module of MLX, with this name of its class. Raises E0704."""
    return class_source(typed, MLX, name, heading)


TARGETS = (
    Target(
        "mlx",
        "model_mlx.py",
        "the network as source of a module of MLX: docs/source.md",
        mlx_module,
    ),
)
