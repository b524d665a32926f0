"""The machine that kernels are made for: vector width, registers, threads, caches. All can be overridden.

ARCHFORGE_SIMD: `avx512`, `avx2` or `generic` (128 bits), at most what the CPU has. For threads and caches
see `archforge.hardware`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, version

from archforge.backends.numba.toolchain.code_cache import read_code, write_code
from archforge.errors import fail
from archforge.hardware import cache_bytes, cpu_identity, threads

__all__ = ["FLOAT", "Machine", "host", "installed_version", "machine"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Simd:
    """A width of vectors. `cpu` is LLVM's name for the least machine that has it; empty for this machine."""

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
    """Properties of a machine on which tiles depend. `cpu` and `features` are as LLVM names them."""

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

    @property
    def has_bfloat16(self) -> bool:
        """True if its vectors are multiplied in bfloat16 (AVX512_BF16)."""
        return "+avx512bf16" in self.features.split(",")

    def most_pixels(self, blocks: int) -> int:
        """The most rows of a register tile with `blocks` vectors a row. Beside the accumulators there is a
        register for each vector of weights and one for the input."""
        return max((self.registers - blocks - 1) // blocks, 1)


@cache
def machine() -> Machine:
    """The machine here, as the environment restricts it. Raises E0701 for an environment that does not
    fit."""
    cpu, features = host()
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    able = [name for name, level in LEVELS.items() if level.needs <= has]
    wanted = os.environ.get("ARCHFORGE_SIMD", "") or able[0]
    if wanted not in able:
        fail("E0701", f"ARCHFORGE_SIMD={wanted} is not among what this CPU has: {', '.join(able)}")
    level, is_host = LEVELS[wanted], wanted == able[0]
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return Machine(
        simd=wanted,
        lanes=level.lanes,
        # The generic form is what ARM takes, which has 32 registers of 128 bits.
        registers=level.registers if is_x86 else 32,
        cpu=cpu if is_host or not is_x86 else level.cpu,
        features=features if is_host or not is_x86 else "",
        threads=threads().number,
        l2_bytes=cache_bytes(2),
        is_x86=is_x86,
    )


def installed_version(distribution: str) -> str:
    """The version of an installed library, by the one line of its metadata: to parse all of it takes ten
    times as long. Raises `PackageNotFoundError`."""
    text = Distribution.from_name(distribution).read_text("METADATA") or ""
    found = re.search(r"^Version: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else version(distribution)


def host() -> tuple[str, str]:
    """LLVM's name for this CPU, and all features that it knows: `+avx2,-sse4a,...`.

    LLVM's answer is kept beside the machine code, since its library alone takes 40 MiB.
    """
    identity = cpu_identity()
    made_from = f"{identity}\0{installed_version('llvmlite')}"
    file = f"cpu-{hashlib.sha256(made_from.encode()).hexdigest()[:20]}"
    kept = read_code(file).decode() if identity else ""
    if kept:
        cpu, features = kept.split()
        return cpu, features
    import llvmlite.binding as llvm

    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if identity:
        write_code(file, f"{cpu} {features}".encode())
    return cpu, features
