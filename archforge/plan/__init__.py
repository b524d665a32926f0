"""From a graph to something that runs: steps bound to a backend's kernels, then to weights."""

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
from archforge.plan.executable import Executable, Results, load
from archforge.plan.interpreter import Interpreter
from archforge.plan.other_sizes import OtherSizes, Shapes, packed_alike
from archforge.plan.planner import MEMORY_FOR_SPEED, SWITCHES, named_values, plan, resolve_taps

__all__ = [
    "MEMORY_FOR_SPEED",
    "SWITCHES",
    "Backend",
    "CodeCache",
    "Compiling",
    "Epilogue",
    "Executable",
    "Interpreter",
    "Kernel",
    "Limits",
    "Lowering",
    "OtherSizes",
    "Plan",
    "Program",
    "Results",
    "Shapes",
    "Step",
    "Tunable",
    "Watcher",
    "load",
    "named_values",
    "packed_alike",
    "plan",
    "resolve_taps",
]
