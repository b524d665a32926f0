"""The machine as its system describes it: CPU, cores, caches, memory. Variables correct wrong descriptions.

ARCHFORGE_THREADS: the number of threads that compute. ARCHFORGE_L1, ARCHFORGE_L2, ARCHFORGE_L3: the size of a
data cache, in bytes or as `48K`, `1M`.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from archforge.errors import fail

__all__ = [
    "Threads",
    "cache_bytes",
    "cpu_identity",
    "cpu_name",
    "memory_bytes",
    "physical_cores",
    "short_bytes",
    "threads",
]

CPUS = Path("/sys/devices/system/cpu")
CPU_INFO = Path("/proc/cpuinfo")
MEMORY = Path("/proc/meminfo")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Where a system does not say: what is usual, and rather too little.
USUAL = {1: 32 << 10, 2: 1 << 20, 3: 8 << 20}
APPLE = {1: "hw.perflevel0.l1dcachesize", 2: "hw.perflevel0.l2cachesize"}


class Threads(NamedTuple):
    """The number of threads that compute, and the reason for it in words."""

    number: int
    reason: str


def threads() -> Threads:
    """ARCHFORGE_THREADS if it is set, else the physical cores that this process may use. Raises E0701 for a
    value that is no number."""
    given = os.environ.get("ARCHFORGE_THREADS", "")
    if given:
        if not re.fullmatch(r"[1-9]\d{0,3}", given):
            fail("E0701", f"ARCHFORGE_THREADS={given} is no number of threads", help="ARCHFORGE_THREADS=4")
        return Threads(int(given), "ARCHFORGE_THREADS")
    cores, allowed, quota = physical_cores(), _allowed_cpus(), _quota()
    usable = len({_siblings(cpu) or str(cpu) for cpu in allowed})
    if quota and quota < min(cores, usable):
        return Threads(quota, f"this container's quota, of {cores} physical cores")
    if usable < cores:
        return Threads(usable, f"the cores that this process may use, of {cores}")
    return Threads(cores, "the physical cores")


def physical_cores() -> int:
    """The number of cores that do not share their execution units, if the system (Linux) lists them; else of
    all CPUs."""
    listed = (int(path.name[3:]) for path in CPUS.glob("cpu[0-9]*") if path.name[3:].isdigit())
    siblings = {text for cpu in listed if (text := _siblings(cpu))}
    return len(siblings) or os.cpu_count() or 1


def _allowed_cpus() -> set[int]:
    """Numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _siblings(cpu: int) -> str:
    """The list of CPUs that share a core with this one, as Linux writes it."""
    return _read(CPUS / f"cpu{cpu}/topology/thread_siblings_list")


def _quota() -> int:
    """The number of CPUs whose time a container may use, at least 1; 0 for no limit."""
    found = re.fullmatch(r"(\d+) (\d+)", _read(QUOTA))
    return max(int(found[1]) // int(found[2]), 1) if found else 0


def cache_bytes(level: int) -> int:
    """The size in bytes of the data cache of level 1, 2 or 3. Raises E0701 for a variable that is no size."""
    name = f"ARCHFORGE_L{level}"
    given = os.environ.get(name, "")
    if given:
        size = _size(given)
        if size < 1 << 10:
            fail("E0701", f"{name}={given} is no size of a cache", help=f"{name}=1M")
        return size
    for index in sorted(CPUS.glob("cpu0/cache/index*")):
        if _read(index / "level") == str(level) and _read(index / "type") != "Instruction":
            return _size(_read(index / "size")) or USUAL[level]
    told = _told_by_macos(APPLE[level]) if sys.platform == "darwin" and level in APPLE else ""
    return _size(told) or USUAL[level]


def _told_by_macos(name: str) -> str:
    """The value of a system variable of macOS; empty if there is none."""
    from subprocess import run  # which takes longer to load than all else here

    return run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def _size(text: str) -> int:
    """The bytes that `48K`, `1M` or a number stands for; 0 for other texts."""
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text)
    return int(found[1]) * UNITS[found[2]] if found else 0


def short_bytes(size: int) -> str:
    """A size in words: 1536 is `1.5 KiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def cpu_name() -> str:
    """The maker's name of the CPU if the system tells it, else the architecture."""
    found = re.search(r"model name\s*: (.*)", _read(CPU_INFO))
    return found[1] if found else platform.processor() or platform.machine()


def cpu_identity() -> str:
    """The model and the abilities of the CPU, which machine code for this very CPU depends on, as Linux lists
    them on x86; empty elsewhere."""
    first, _, _ = _read(CPU_INFO).partition("\n\n")
    names = "vendor_id|cpu family|model|model name|stepping|microcode|flags"
    lines = re.findall(rf"(?m)^(?:{names})\s*:.*", first)
    return "\n".join(lines) if any(line.startswith("flags") for line in lines) else ""


def memory_bytes() -> int:
    """The size of the machine's memory in bytes; 0 where the system does not tell it."""
    found = re.search(r"MemTotal:\s*(\d+) kB", _read(MEMORY))
    return int(found[1]) << 10 if found else 0


def _read(path: Path) -> str:
    """The text of a file without the white space around it; empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
