"""Plain NumPy. In float64 it is the reference: every op runs on the kernel of its own file. In float32 it has
kernels that spend their time in NumPy's matrix products; `docs/runtime_design.md` explains them.

Read `lowerings.py`, the table, then `conv.py` with `bands.py` and `epilogues.py`, which the other files of
kernels use too; `program.py` runs a plan in the memory of `call_memory.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from archforge.hardware import require_addresses
from archforge.ir import TensorType
from archforge.ops import OP_WORDS
from archforge.ops.base import Array, Op
from archforge.ops.lazy_numpy import np
from archforge.plan import Interpreter, Kernel, Lowering, Plan, Program

if TYPE_CHECKING:
    from archforge.plan.backward import TrainingPlan
    from archforge.plan.learner import Learner

__all__ = ["BACKEND"]


# OpenBLAS takes 32 MiB for its first product, and as much for each thread, or ends the process.
BLAS_BUFFERS = 64 << 20


@dataclass(frozen=True, slots=True)
class NumpyBackend:
    """The backend of NumPy. Values are arrays: [N, *shape] in float64, [N, *spatial, C] in float32."""

    name: str = "numpy"
    recomputes: bool = True
    dtypes: tuple[str, ...] = ("float32", "float64")

    def preference(self) -> int:
        return 1

    def require(self) -> None:
        require_addresses(BLAS_BUFFERS, "the buffers of BLAS")

    def facts(self) -> Mapping[str, str]:
        blas = np.show_config("dicts")["Build Dependencies"]["blas"]
        return {"version": f"numpy {np.__version__}", "BLAS": f"{blas['name']} {blas['version']}"}

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        if dtype == "float64":
            return dict.fromkeys(OP_WORDS, _reference)
        table: Mapping[str, Lowering] = import_module(f"{__name__}.lowerings").lowerings(without)
        return table

    def packers(self) -> int:
        return 1

    def enter(self, array: Array, dtype: str) -> Array:
        return np.asarray(array, dtype)

    def leave(self, value: Array) -> Array:
        return value

    def constant(self, array: Array, dtype: str) -> Array:
        return array

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        if plan.dtype == "float64":
            return Interpreter(plan, params)
        program: Program = import_module(f"{__name__}.program").NumpyProgram(plan, params)
        return program

    def learner(self, plan: TrainingPlan, dtype: str) -> Learner:
        from archforge.plan.learner import ReferenceLearner

        _let_memory_be_kept()
        return ReferenceLearner(plan)


def _reference(op: Op, *inputs: TensorType) -> Kernel | None:
    return Kernel(op.reference) if op.has_reference else None


def _let_memory_be_kept() -> None:
    """Have the allocator keep the memory of arrays for the next ones, where it is that of glibc: once a block
    of nearly 32 MiB is free again, smaller ones come from the heap, of which it gives back what is beyond
    twice that. Each step would otherwise have its pages mapped anew. Source: mallopt(3), M_MMAP_THRESHOLD."""
    np.empty((32 << 20) - (64 << 10), np.uint8)


BACKEND = NumpyBackend()
