"""Plans: steps that compute a graph, each on a kernel of a backend, and executables, plans with weights.

In the order of reading: `contract` says what a backend, a plan and a program are. `graph_compiler` leads
from a graph to an executable by way of `passes`, `planner` (which asks `fusion` for chains of nodes),
`packing` and the backend's program, `interpreter` for the simplest ones. `concat_in_place`,
`image_by_image` and `arena` help the backends that lay out memory. `backward` plans training.
"""

from archforge.plan.contract import (
    Backend,
    CodeCache,
    Compiling,
    Epilogue,
    Kernel,
    Limits,
    Lowering,
    Plan,
    Program,
    Step,
    Tunable,
    Watcher,
)
from archforge.plan.executable import Executable, Results, Shapes, load
from archforge.plan.graph_compiler import GraphCompiler
from archforge.plan.interpreter import Interpreter
from archforge.plan.last_used import LastUsed
from archforge.plan.planner import (
    ACCURACY_FOR_SPEED,
    MEMORY_FOR_SPEED,
    SWITCHES,
    named_values,
    plan,
    resolve_taps,
)
from archforge.plan.reference_kinds import kinds_on_reference

__all__ = [
    "ACCURACY_FOR_SPEED",
    "MEMORY_FOR_SPEED",
    "SWITCHES",
    "Backend",
    "CodeCache",
    "Compiling",
    "Epilogue",
    "Executable",
    "GraphCompiler",
    "Interpreter",
    "Kernel",
    "LastUsed",
    "Limits",
    "Lowering",
    "Plan",
    "Program",
    "Results",
    "Shapes",
    "Step",
    "Tunable",
    "Watcher",
    "kinds_on_reference",
    "load",
    "named_values",
    "plan",
    "resolve_taps",
]
