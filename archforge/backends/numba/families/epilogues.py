"""Epilogues: what is added to the results of a call, and the activations that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine_code import address
from archforge.ops.activations import CLAMPS, Elu, Gelu, LeakyRelu
from archforge.ops.base import Array, Op
from archforge.ops.clip import Clamp
from archforge.plan import Epilogue

__all__ = ["ABSORBED", "ACTIVATIONS", "Ending", "activation_fields", "slope_fields"]

# Ops whose function in `units/activation.py` has another name.
_NAMES = {"abs": "abs_"}
ACTIVATIONS = frozenset(
    (
        *("abs", "clip", "elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "mish", "relu"),
        *("relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh"),
    )
)
ABSORBED = ACTIVATIONS | {"add"}


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a call: where it writes its results, a value that it adds to them, and their activation."""

    out: TapeValue
    residual: TapeValue | None
    activation: Op | None

    @classmethod
    def of(
        cls, out: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> Ending:
        """The end of a kernel that was called with this residual and epilogue."""
        return cls(out, residual.blocked() if residual else None, epilogue.activation if epilogue else None)

    @property
    def clamp(self) -> tuple[float, float]:
        """The least and the greatest result that a tile writes, infinite where nothing clamps."""
        op = self.activation
        return CLAMPS[op.kind] if op is not None and op.kind in CLAMPS else (-math.inf, math.inf)

    def fields(self) -> dict[str, Any]:
        """Fields of a record: the clamp, and an activation that is no clamp."""
        return {**self.clamp_fields(), **self.activation_fields()}

    def clamp_fields(self) -> dict[str, float]:
        """Fields of a record for the clamp."""
        low, high = self.clamp
        return {"low": low, "high": high}

    def activation_fields(self, name: str = "activation") -> dict[str, Any]:
        """Fields of a record for the activation unless it clamps; the field `name` is its address."""
        is_clamp = self.activation is not None and self.activation.kind in CLAMPS
        return activation_fields(None if is_clamp else self.activation, name)


def activation_fields(op: Op | None, name: str = "activation") -> dict[str, Any]:
    """Fields of a record for an activation, if there is one; the field `name` is its address."""
    if op is None:
        return {name: 0, "parameter": 0}
    function = _NAMES.get(op.kind, _function(op))
    return {name: address(UnitRecipe("activation", function)), "parameter": _parameter(op)}


def slope_fields(op: Op) -> dict[str, Any]:
    """Fields of a record for the way back through an activation."""
    function = UnitRecipe("slopes", f"{_function(op)}_slope", 4)
    return {"activation": address(function), "parameter": _parameter(op)}


def _function(op: Op) -> str:
    return "gelu_tanh" if isinstance(op, Gelu) and op.approximate == "tanh" else op.kind


def _parameter(op: Op) -> Array:
    """The numbers that the function of an activation reads."""
    if isinstance(op, Clamp):
        bounds = (-math.inf if op.min is None else op.min, math.inf if op.max is None else op.max)
        return np.array(bounds, np.float32)
    parameter = op.slope if isinstance(op, LeakyRelu) else op.alpha if isinstance(op, Elu) else 0.0
    return np.array([parameter], np.float32)
