"""What this backend sees of the machine, for `archforge info`."""

from __future__ import annotations

from importlib.metadata import version

from archforge.backends.numba.cache import code_folder, code_sizes
from archforge.backends.numba.machine import machine
from archforge.hardware import short_bytes

__all__ = ["facts"]


def facts() -> dict[str, str]:
    """In words by name. Raises E0701 for an environment that does not fit."""
    here, kept = machine(), code_sizes()
    number = f"{len(kept)} function{'s' * (len(kept) != 1)}"
    return {
        "version": f"numba {version('numba')}, llvmlite {version('llvmlite')}",
        "vectors": f"{here.simd}: {here.lanes} floats in each of {here.registers} registers; LLVM's name of "
        f"the CPU is {here.cpu}",
        "machine code": f"{number}, {short_bytes(sum(kept))}, in {code_folder()}",
    }
