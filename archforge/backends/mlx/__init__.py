"""Apple's MLX: on Metal, on CUDA, or on a slow but exact CPU. Its library is imported when it is first used.

Values lie channels-last, [N, *spatial, C], as MLX's convolutions want them: `channels_last.py` has the rule,
`lowerings.py` the table of kernels, of which the larger families have files of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from archforge.errors import fail
from archforge.hardware import refuse_for_memory
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan import Interpreter, Lowering, Plan, Program

if TYPE_CHECKING:
    from archforge.plan.backward import TrainingPlan
    from archforge.plan.learner import Learner

__all__ = ["BACKEND"]

# Plain `mlx` has no library to load on Linux.
PACKAGE = "mlx" if sys.platform == "darwin" else "mlx[cpu]"


@dataclass(frozen=True, slots=True)
class MlxBackend:
    """The backend of MLX. Values are lazy `mlx.core.array`s until they leave."""

    name: str = "mlx"
    recomputes: bool = False
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")

    def preference(self) -> int:
        """3 where there is a GPU, above NumPy; else 0, since MLX on the CPU is some twenty times slower."""
        try:
            mx = import_module("mlx.core")
        except ImportError:
            return 0
        return 3 if mx.metal.is_available() or mx.cuda.is_available() else 0

    def require(self) -> None:
        try:
            import_module("mlx.core")
        except ImportError as error:
            refuse_for_memory(error, "MLX cannot be loaded")
            reason = str(error).splitlines()[0]
            help = f"pip install '{PACKAGE}'"
            fail("E0701", f"the backend mlx cannot run here: {reason}", help=help)

    def facts(self) -> Mapping[str, str]:
        mx = import_module("mlx.core")
        device = "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else "CPU"
        return {"version": f"mlx {version('mlx')}", "device": device}

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        table: Mapping[str, Lowering] = import_module(f"{__name__}.lowerings").LOWERINGS
        return table

    def packers(self) -> int:
        return 1

    def enter(self, array: Array, dtype: str) -> Any:
        return self.constant(np.moveaxis(array, 1, -1), dtype)

    def leave(self, value: Any) -> Array:
        mx = import_module("mlx.core")
        wide = np.array(value.astype(mx.float32))
        return np.ascontiguousarray(np.moveaxis(wide, -1, 1))

    def constant(self, array: Array, dtype: str) -> Any:
        mx = import_module("mlx.core")
        # In C order: on the CPU a product with a matrix that is turned by its strides takes twice as long.
        value = mx.array(np.ascontiguousarray(array, np.float32)).astype(getattr(mx, dtype))
        # What is still lazy belongs to the thread that made it, and any thread may call.
        mx.eval(value)
        return value

    def learner(self, plan: TrainingPlan, dtype: str) -> Learner:
        learner: Learner = import_module(f"{__name__}.learner").MlxLearner(plan, dtype)
        return learner

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        return Interpreter(plan, params, import_module("mlx.core").eval)


BACKEND = MlxBackend()
