"""The machine, and what changes its speed: printed with every measurement."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from archforge import __version__
from archforge.hardware import cpu_name

__all__ = ["environment", "load_average", "variables"]

VARIABLES = re.compile("OPENBLAS_|OMP_|MKL_|GOTO_|ARCHFORGE_|ORT_|OV_|NUMBA_|MALLOC_")


def environment(threads: int) -> dict[str, str]:
    """Facts by name, in words."""
    facts = {"cpu": cpu_name(), "threads": f"{threads} of {os.cpu_count()} CPUs"}
    return {
        **facts,
        **_kernels(),
        "memory": _memory(),
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


def _kernels() -> dict[str, str]:
    """What the backend numba makes its kernels for, where it is installed."""
    from archforge.backends import available

    if "numba" not in available():
        return {}
    from archforge.backends.numba.machine import machine

    here = machine()
    return {
        "vectors": f"{here.simd}, {here.lanes} floats; LLVM calls the CPU {here.cpu}",
        "L2 cache": f"{here.l2_bytes >> 10} KiB",
    }


def _memory() -> str:
    found = re.search(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    return f"{int(found[1]) / 2**20:.0f} GiB" if found else "unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
