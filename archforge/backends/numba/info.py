"""What this backend sees of the machine, for `archforge info`."""

from __future__ import annotations

from collections.abc import Sized
from importlib.metadata import version

from archforge.backends.numba.choices import kept
from archforge.backends.numba.toolchain.code_cache import code_folder, code_sizes, limit_bytes
from archforge.backends.numba.toolchain.machine import machine
from archforge.hardware import short_bytes

__all__ = ["facts"]


def facts() -> dict[str, str]:
    """In words by name. Raises E0701 for an environment that does not fit."""
    here, sizes, choices = machine(), code_sizes(), kept()
    size, most = short_bytes(sum(sizes)), short_bytes(limit_bytes())
    return {
        "version": f"numba {version('numba')}, llvmlite {version('llvmlite')}",
        "vectors": f"{here.simd}: {here.lanes} floats in each of {here.registers} registers; LLVM's name of "
        f"the CPU is {here.cpu}",
        "tuned": _counted(choices, "kernel") if choices else "nothing: the cost model chooses kernels",
        "machine code": f"{_counted(sizes, 'function')}, {size} of at most {most}, in {code_folder()}",
    }


def _counted(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
