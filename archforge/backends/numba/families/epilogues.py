"""Epilogues: activations, clamps and values to add, as fields of records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import address
from archforge.ops.activations import CLAMPS, Elu, Gelu, LeakyRelu
from archforge.ops.base import Op
from archforge.plan import Epilogue

__all__ = ["ABSORBED", "ACTIVATIONS", "activation_fields", "clamp_fields", "residual_fields"]

# Ops whose function in `units/activation.py` has another name.
_NAMES = {"abs": "abs_"}
ACTIVATIONS = frozenset(
    (
        *("abs", "elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "mish", "relu", "relu6"),
        *("selu", "sigmoid", "silu", "softplus", "softsign", "tanh"),
    )
)
ABSORBED = ACTIVATIONS | {"add"}


def clamp_fields(epilogue: Epilogue | None) -> dict[str, Any]:
    """What a tile does with its results: clamping where that is the activation, else its function."""
    op = epilogue.activation if epilogue else None
    if op is not None and op.kind in CLAMPS:
        return dict(zip(("low", "high"), CLAMPS[op.kind], strict=True))
    return {"low": -math.inf, "high": math.inf, **activation_fields(op)}


def activation_fields(op: Op | None) -> dict[str, Any]:
    if op is None:
        return {"activation": 0, "parameter": 0}
    name = _NAMES.get(op.kind, op.kind)
    if isinstance(op, Gelu) and op.approximate == "tanh":
        name = "gelu_tanh"
    parameter = op.slope if isinstance(op, LeakyRelu) else op.alpha if isinstance(op, Elu) else 0.0
    return {
        "activation": address(UnitRecipe("activation", name)),
        "parameter": np.array([parameter], np.float32),
    }


def residual_fields(residual: TapeValue | None, *, width: int) -> dict[str, Any]:
    """Where the value to add lies, `width` pixels to a row; 0 for none."""
    if residual is None:
        return {"residual": 0}
    return {
        "residual": residual.place,
        "residual_image": residual.image,
        "residual_row": width * machine().vector,
        "residual_pixel": machine().vector,
    }
