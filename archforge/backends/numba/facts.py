"""What this backend sees of the machine, for `archforge info`."""

from __future__ import annotations

from importlib.metadata import version

from archforge.backends.numba.cache import code_folder, code_sizes
from archforge.backends.numba.choices import kept
from archforge.backends.numba.machine import machine
from archforge.hardware import short_bytes

__all__ = ["facts"]


def facts() -> dict[str, str]:
    """In words by name. Raises E0701 for an environment that does not fit."""
    here, sizes, choices = machine(), code_sizes(), kept()
    number = f"{len(sizes)} function{'s' * (len(sizes) != 1)}"
    return {
        "version": f"numba {version('numba')}, llvmlite {version('llvmlite')}",
        "vectors": f"{here.simd}: {here.lanes} floats in each of {here.registers} registers; LLVM's name of "
        f"the CPU is {here.cpu}",
        "tuned": f"{len(choices)} kernels" if choices else "nothing: the cost model chooses kernels",
        "machine code": f"{number}, {short_bytes(sum(sizes))}, in {code_folder()}",
    }
