"""Facts that this backend tells of itself and of the machine, in words by name."""

from __future__ import annotations

import os
from collections.abc import Sized
from importlib.metadata import version

from archforge.backends.numba.choices import kept
from archforge.backends.numba.toolchain.code_cache import code_cache, limit_bytes
from archforge.backends.numba.toolchain.machine import machine
from archforge.errors import DiagnosticError
from archforge.hardware import short_bytes

__all__ = ["facts", "machine_facts"]


def facts() -> dict[str, str]:
    """Versions, vectors, tuning and machine code, for `archforge info`. Raises E0701 for an environment
    that does not fit."""
    here, choices = machine(), kept()
    return {
        "version": f"numba {version('numba')}, llvmlite {version('llvmlite')}",
        "vectors": f"{here.simd}: {here.lanes} floats in each of {here.registers} registers; LLVM's name of "
        f"the CPU is {here.cpu}",
        "bfloat16": "products of convolutions and linear layers, with sums in float32"
        if here.has_bfloat16
        else f"takes AVX-512 with avx512_bf16, which {_lacking(here.simd)}",
        "tuned": _counted(choices, "kernel") if choices else "nothing: the cost model chooses kernels",
        "machine code": _machine_code(limit_bytes()),
    }


def _lacking(simd: str) -> str:
    """The words for who lacks it: the CPU, or the environment that names narrower vectors."""
    return f"ARCHFORGE_SIMD={simd} leaves out" if os.environ.get("ARCHFORGE_SIMD") else "this CPU lacks"


def _machine_code(most_bytes: int) -> str:
    """Machine code that is kept, and where, or the reason why none is."""
    try:
        cache = code_cache()
    except DiagnosticError as error:
        return f"no cache: {error.diagnostics[0].message}"
    if cache.hindrance and not cache.function_bytes:
        return f"no cache: nothing can be kept in {cache.folder}: {cache.hindrance}"
    size, most = short_bytes(sum(cache.function_bytes)), short_bytes(most_bytes)
    functions = f"{_counted(cache.function_bytes, 'function')}, {size} of at most {most}, in {cache.folder}"
    return f"{functions}; nothing more can be kept: {cache.hindrance}" if cache.hindrance else functions


def machine_facts() -> dict[str, str]:
    """Vectors and cache that kernels are made for, to be printed with measurements. Raises E0701 for an
    environment that does not fit."""
    here = machine()
    return {
        "vectors": f"{here.simd}, {here.lanes} floats; LLVM calls the CPU {here.cpu}",
        "L2 cache": f"{here.l2_bytes >> 10} KiB",
    }


def _counted(things: Sized, word: str) -> str:
    """A number of things with their name, in the plural unless there is one."""
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
