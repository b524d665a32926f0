"""Facts about the machine and about what changes its speed, printed with every measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from archforge import __version__, backends
from archforge.errors import did_you_mean
from archforge.hardware import cpu_name, memory_bytes

__all__ = ["OWN", "environment", "load_average", "misnamed", "variables"]

# Prefixes of variables that change how fast networks run, besides those of the backends' libraries: of
# matrix products and threads, archforge, onnxruntime, openvino, the memory's allocator.
PREFIXES = ("OPENBLAS_", "OMP_", "MKL_", "GOTO_", "ARCHFORGE_", "ORT_", "OV_", "MALLOC_")

# The variables that archforge itself reads.
OWN = frozenset(f"ARCHFORGE_{name}" for name in ("CACHE", "CACHE_LIMIT", "L1", "L2", "L3", "SIMD", "THREADS"))


def environment(threads: int) -> dict[str, str]:
    """The facts by name, in words. threads: how many compute."""
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
    """Environment variables that are set and change how fast networks run, in the order of their names."""
    prefixes = (*PREFIXES, *(f"{name.upper()}_" for name in backends.names()))
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(prefixes)}


def misnamed() -> dict[str, str]:
    """Variables that are set, begin as those of archforge do, and that it does not read, each with a hint."""
    set_here = sorted(name for name in os.environ if name.startswith("ARCHFORGE_") and name not in OWN)
    return {name: did_you_mean(name, OWN, what="there are") for name in set_here}


def load_average() -> str:
    """The mean number of processes that wanted to run, over the last 1, 5 and 15 minutes."""
    return " ".join(f"{x:.2f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def _kernels() -> Mapping[str, str]:
    """Properties of the machine that compiled kernels are made for; none if no backend here compiles."""
    return next((backend.machine() for backend in backends.compiling()), {})
