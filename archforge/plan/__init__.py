"""From a graph to something that runs: steps bound to a backend's kernels, then to weights."""

from archforge.plan.backend import Backend, Kernel, Lowering
from archforge.plan.executable import Executable, Results, load
from archforge.plan.planner import Plan, Step, plan, resolve_taps

__all__ = [
    "Backend",
    "Executable",
    "Kernel",
    "Lowering",
    "Plan",
    "Results",
    "Step",
    "load",
    "plan",
    "resolve_taps",
]
