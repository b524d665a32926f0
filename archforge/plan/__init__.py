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
from archforge.plan.executable import Executable, Results, Shapes, load
from archforge.plan.graph_compiler import GraphCompiler
from archforge.plan.interpreter import Interpreter
from archforge.plan.last_used import LastUsed
from archforge.plan.planner import MEMORY_FOR_SPEED, SWITCHES, named_values, plan, resolve_taps

__all__ = [
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
    "load",
    "named_values",
    "plan",
    "resolve_taps",
]
