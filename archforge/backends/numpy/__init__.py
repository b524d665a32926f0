"""The reference: every op runs on the NumPy kernel of its own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archforge.ir import TensorType
from archforge.ops import all_ops
from archforge.ops.base import Array, Op
from archforge.ops.lazy import np
from archforge.plan import Interpreter, Kernel, Lowering, Plan, Program
from archforge.plan.backend import has_reference

__all__ = ["BACKEND"]


@dataclass(frozen=True, slots=True)
class NumpyBackend:
    """Values are arrays [N, *shape]."""

    name: str = "numpy"
    dtypes: tuple[str, ...] = ("float32", "float64")

    def preference(self) -> int:
        return 1

    def require(self) -> None:
        """NumPy is always there."""

    def facts(self) -> Mapping[str, str]:
        blas = np.show_config("dicts")["Build Dependencies"]["blas"]
        return {"version": f"numpy {np.__version__}", "BLAS": f"{blas['name']} {blas['version']}"}

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        return dict.fromkeys(all_ops(), _reference)

    def packers(self) -> int:
        return 1

    def enter(self, array: Array, dtype: str) -> Array:
        return np.asarray(array, dtype)

    def leave(self, value: Array) -> Array:
        return value

    def constant(self, array: Array, dtype: str) -> Array:
        return array

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        return Interpreter(plan, params)


def _reference(op: Op, *inputs: TensorType) -> Kernel | None:
    return Kernel(op.reference) if has_reference(op) else None


BACKEND = NumpyBackend()
