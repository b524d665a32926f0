"""The machine, and what changes its speed: printed with every measurement."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping

from archforge import __version__
from archforge.hardware import cpu_name, memory_bytes

__all__ = ["environment", "load_average", "variables"]

VARIABLES = re.compile("OPENBLAS_|OMP_|MKL_|GOTO_|ARCHFORGE_|ORT_|OV_|NUMBA_|MALLOC_")


def environment(threads: int) -> dict[str, str]:
    """Facts by name, in words."""
    facts = {"cpu": cpu_name(), "threads": f"{threads} of {os.cpu_count()} CPUs"}
    return {
        **facts,
        **_kernels(),
        "memory": f"{size / 2**30:.0f} GiB" if (size := memory_bytes()) else "unknown",
        "load": load_average(),
        "variables": " ".join(f"{k}={v}" for k, v in variables().items())
        or "no OPENBLAS_*, OMP_*, ARCHFORGE_*",
        "system": platform.platform(),
        "python": platform.python_version(),
        "archforge": __version__,
    }


def variables() -> dict[str, str]:
    """What is set of that which changes how fast networks run."""
    return {name: value for name, value in sorted(os.environ.items()) if VARIABLES.match(name)}


def load_average() -> str:
    """Processes that wanted to run, over the last 1, 5 and 15 minutes."""
    return " ".join(f"{x:.2f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def _kernels() -> Mapping[str, str]:
    """Properties of the machine that compiled kernels are made for; none if no backend here compiles."""
    from archforge.backends import compiling

    return next((backend.machine() for backend in compiling()), {})
