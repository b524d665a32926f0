"""From a graph to something that runs: steps bound to a backend's kernels, then to weights."""

from archforge.plan.backend import Backend, Epilogue, Kernel, Lowering, Program, Tunable
from archforge.plan.executable import Executable, Results, load
from archforge.plan.interpreter import Interpreter
from archforge.plan.planner import MEMORY_FOR_SPEED, SWITCHES, Plan, Step, plan, resolve_taps
from archforge.plan.sizes import OtherSizes, Shapes, packed_alike

__all__ = [
    "MEMORY_FOR_SPEED",
    "SWITCHES",
    "Backend",
    "Epilogue",
    "Executable",
    "Interpreter",
    "Kernel",
    "Lowering",
    "OtherSizes",
    "Plan",
    "Program",
    "Results",
    "Shapes",
    "Step",
    "Tunable",
    "load",
    "packed_alike",
    "plan",
    "resolve_taps",
]
