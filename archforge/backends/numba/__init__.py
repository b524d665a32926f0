"""The fast backend on CPUs: its machine code is made by Numba and LLVM, without a C compiler.

Values are float32. In bfloat16, on CPUs that multiply it, convolutions and linear layers round their weights
and what they read to it, and sum in float32.

Values lie in blocks of channels as wide as a vector register; `docs/runtime_design.md` explains. Ops without
a kernel here run on the reference. Executables are re-entrant: each call at the same time has memory of its
own.

Read `program.py` first, which records a plan on a tape, then `lowerings.py`, the table of kernels. Folders
import only those before them: `toolchain/` makes machine code, `runtime/` has the tape, records and threads,
`microkernels/` and `units/` the code that computes, `families/` the kernels of ops and, in its docstring, how
to add one, `training/` what trains. `choices.py`, `info.py` and `limits.py` are for tuning, `archforge info`
and benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archforge.errors import DiagnosticError, fail
from archforge.ir import TensorType
from archforge.ops.base import Array, Op
from archforge.ops.lazy_numpy import np
from archforge.plan import Backend, CodeCache, Kernel, Limits, Lowering, Plan, Program

if TYPE_CHECKING:
    from archforge.plan.backward import TrainingPlan
    from archforge.plan.learner import Learner

__all__ = ["BACKEND"]


@dataclass(frozen=True, slots=True)
class NumbaBackend:
    """Machine code on the CPU. Values are places on a tape (`runtime/tape.py`)."""

    name: str = "numba"
    recomputes: bool = True
    # Kernels by use; None for those that are kept.
    choices: Mapping[str, str] | None = field(default=None, hash=False)

    @property
    def dtypes(self) -> tuple[str, ...]:
        try:
            has_bfloat16 = _is_installed() and _machine().machine().has_bfloat16
        except DiagnosticError:  # the environment does not fit
            has_bfloat16 = False
        return ("float32", "bfloat16") if has_bfloat16 else ("float32",)

    def preference(self) -> int:
        return 2 if _is_installed() else 0

    def require(self) -> None:
        if not _is_installed():
            fail(
                "E0701",
                "the backend numba cannot run here: numba is not installed",
                help="pip install 'archforge-zoo[fast]'",
            )

    def facts(self) -> Mapping[str, str]:
        facts: Mapping[str, str] = import_module(f"{__name__}.info").facts()
        return facts

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        table: Mapping[str, Lowering] = import_module(f"{__name__}.lowerings").lowerings(
            dtype, without, self.choices
        )
        return table

    def use_of(self, op: Op, *inputs: TensorType) -> str:
        return str(_choices().use_of(op, *inputs))

    def alternatives(self, op: Op, *inputs: TensorType) -> tuple[str, ...]:
        names: tuple[str, ...] = _choices().alternatives(op, *inputs)
        return names

    def choice_of(self, kernel: Kernel) -> str:
        return str(_choices().choice_of(kernel))

    def choosing(self, choices: Mapping[str, str]) -> Backend:
        return replace(self, choices=choices)

    def keep(self, choices: Mapping[str, str]) -> Path:
        path: Path = _choices().store(choices)
        return path

    def forget(self) -> int:
        return int(_choices().clear())

    def machine(self) -> Mapping[str, str]:
        facts: Mapping[str, str] = import_module(f"{__name__}.info").machine_facts()
        return facts

    def limits(self, threads: int) -> Limits:
        limits: Limits = import_module(f"{__name__}.limits").measure(threads)
        return limits

    def compiled(self) -> Sequence[str]:
        names: Sequence[str] = import_module(f"{__name__}.toolchain.machine_code").compiled_here()
        return names

    def code_cache(self) -> CodeCache:
        cache: CodeCache = _code_cache().code_cache()
        return cache

    def require_writable_cache(self) -> None:
        _code_cache().require_writable()

    def packers(self) -> int:
        threads: int = _machine().machine().threads
        return threads

    def enter(self, array: Array, dtype: str) -> Array:
        return np.asarray(array, np.float32)

    def leave(self, value: Array) -> Array:
        return value

    def constant(self, array: Array, dtype: str) -> Any:
        return array  # packed already, and aligned

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        program: Program = import_module(f"{__name__}.program").NumbaProgram(plan, params)
        return program

    def learner(self, plan: TrainingPlan, dtype: str) -> Learner:
        learner: Learner = import_module(f"{__name__}.training.learner").NumbaLearner(plan)
        return learner


def _machine() -> Any:
    return import_module(f"{__name__}.toolchain.machine")


def _choices() -> Any:
    return import_module(f"{__name__}.choices")


def _code_cache() -> Any:
    return import_module(f"{__name__}.toolchain.code_cache")


def _is_installed() -> bool:
    # Found, not imported: a process whose machine code is in the cache never imports Numba.
    try:
        return find_spec("numba") is not None and find_spec("llvmlite") is not None
    except ValueError:  # what stands in sys.modules is no module
        return False


BACKEND = NumbaBackend()
