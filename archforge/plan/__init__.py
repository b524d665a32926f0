"""From a graph to something that runs: steps bound to a backend's kernels, then to weights."""

from archforge.plan.backend import Backend, Epilogue, Kernel, Lowering, Program
from archforge.plan.executable import Executable, Results, load
from archforge.plan.interpreter import Interpreter
from archforge.plan.planner import SWITCHES, Plan, Step, plan, resolve_taps

__all__ = [
    "SWITCHES",
    "Backend",
    "Epilogue",
    "Executable",
    "Interpreter",
    "Kernel",
    "Lowering",
    "Plan",
    "Program",
    "Results",
    "Step",
    "load",
    "plan",
    "resolve_taps",
]
