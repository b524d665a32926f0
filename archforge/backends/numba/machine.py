"""The machine that kernels are made for: vector width, registers, threads, caches. All can be overridden.

ARCHFORGE_SIMD: `avx512`, `avx2` or `generic` (128 bits), at most what the CPU has.
ARCHFORGE_THREADS: how many threads compute, the physical cores by default.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm

from archforge.errors import fail

__all__ = ["FLOAT", "Machine", "machine"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Simd:
    """One width of vectors. `cpu` is LLVM's name for the least machine that has it, empty for this one."""

    lanes: int
    registers: int
    needs: frozenset[str]
    cpu: str = ""


LEVELS = {
    "avx512": Simd(16, 32, frozenset({"avx512f", "avx512vl", "avx512dq", "avx512bw"}), "x86-64-v4"),
    "avx2": Simd(8, 16, frozenset({"avx2", "fma"}), "x86-64-v3"),
    "generic": Simd(4, 16, frozenset(), "x86-64"),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice of tiles depends on. `cpu` and `features` are as LLVM names them."""

    simd: str
    lanes: int
    registers: int
    cpu: str
    features: str
    threads: int
    l2_bytes: int
    is_x86: bool

    @property
    def vector(self) -> int:
        """Bytes of a vector register, and of one pixel of a block of channels."""
        return self.lanes * FLOAT

    def most_pixels(self, blocks: int) -> int:
        """Rows of a register tile with `blocks` vectors a row: beside the accumulators there is a
        register for each vector of weights and one for the input."""
        return max((self.registers - blocks - 1) // blocks, 1)


@cache
def machine() -> Machine:
    """This machine, as the environment restricts it. Raises E0701 for an environment that does not fit."""
    features = {name for name, on in llvm.get_host_cpu_features().items() if on}
    able = [name for name, level in LEVELS.items() if level.needs <= features]
    wanted = os.environ.get("ARCHFORGE_SIMD", able[0])
    if wanted not in able:
        fail("E0701", f"ARCHFORGE_SIMD={wanted} is not among what this CPU has: {', '.join(able)}")
    level, is_host = LEVELS[wanted], wanted == able[0]
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return Machine(
        simd=wanted,
        lanes=level.lanes,
        # The generic form is what ARM takes, which has 32 registers of 128 bits.
        registers=level.registers if is_x86 else 32,
        cpu=llvm.get_host_cpu_name() if is_host or not is_x86 else level.cpu,
        features=llvm.get_host_cpu_features().flatten() if is_host or not is_x86 else "",
        threads=_threads(),
        l2_bytes=_l2_bytes(),
        is_x86=is_x86,
    )


def _threads() -> int:
    given = os.environ.get("ARCHFORGE_THREADS", "")
    if not given:
        return min(_physical_cores(), len(_allowed_cpus()))
    if not re.fullmatch(r"[1-9]\d{0,3}", given):
        fail("E0701", f"ARCHFORGE_THREADS={given} is no number of threads")
    return int(given)


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _physical_cores() -> int:
    """Cores that do not share their execution units, as Linux lists them; else every CPU counts."""
    listed = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    siblings = {text for path in listed if (text := _read(path))}
    return len(siblings) or os.cpu_count() or 1


def _l2_bytes() -> int:
    text = _read(Path("/sys/devices/system/cpu/cpu0/cache/index2/size"))
    return int(text[:-1]) << 10 if re.fullmatch(r"\d+K", text) else 1 << 20


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
