"""The least that a backend can be: one kernel of its own, and the reference for all other ops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archforge.ir import TensorType
from archforge.ops.base import Array, Op
from archforge.plan import Interpreter, Kernel, Lowering, Plan, Program

__all__ = ["BACKEND"]


@dataclass(frozen=True, slots=True)
class PlainBackend:
    """Values are arrays in the axes of the reference."""

    name: str = "plain"
    dtypes: tuple[str, ...] = ("float32", "float64")

    def preference(self) -> int:
        return 0

    def require(self) -> None:
        """Raise nothing: NumPy is always there."""

    def facts(self) -> Mapping[str, str]:
        return {"version": "plain 1"}

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        return {"relu": _relu}

    def packers(self) -> int:
        return 1

    def enter(self, array: Array, dtype: str) -> Array:
        return np.asarray(array, dtype)

    def leave(self, value: Array) -> Array:
        return value

    def constant(self, array: Array, dtype: str) -> Array:
        return np.asarray(array, dtype)

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        return Interpreter(plan, params)


def _relu(op: Op, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: np.where(x > 0, x, 0).astype(x.dtype))


BACKEND = PlainBackend()
