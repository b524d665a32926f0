"""The machine as its system describes it: CPU, cores, caches, memory. Variables correct wrong descriptions.

ARCHFORGE_THREADS: the number of threads that compute. ARCHFORGE_L1, ARCHFORGE_L2, ARCHFORGE_L3: the size of a
data cache, in bytes or as `48K`, `1M`.
"""

from __future__ import annotations

import mmap
import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from archforge.errors import Diagnostic, DiagnosticError, fail

__all__ = [
    "MOST_THREADS",
    "MemoryLimit",
    "Threads",
    "cache_bytes",
    "cpu_identity",
    "cpu_name",
    "data_bytes",
    "lacks_memory",
    "memory_bytes",
    "memory_limit",
    "no_memory",
    "physical_cores",
    "refuse_for_memory",
    "require_addresses",
    "require_memory",
    "require_numpy",
    "short_bytes",
    "size_bytes",
    "threads",
]

CPUS = Path("/sys/devices/system/cpu")
CPU_INFO = Path("/proc/cpuinfo")
MEMORY = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")
GROUPS = Path("/proc/self/cgroup")
GROUP_FOLDER = Path("/sys/fs/cgroup")
GROUP_FILES = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}  # of version 2, of version 1
QUOTA = Path("/sys/fs/cgroup/cpu.max")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MOST_THREADS = 9_999
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
        if not re.fullmatch(r"[1-9]\d{0,8}", given) or int(given) > MOST_THREADS:
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
        size = size_bytes(given)
        if size < 1 << 10:
            fail("E0701", f"{name}={given} is no size of a cache", help=f"{name}=1M")
        return size
    for index in sorted(CPUS.glob("cpu0/cache/index*")):
        if _read(index / "level") == str(level) and _read(index / "type") != "Instruction":
            return size_bytes(_read(index / "size")) or USUAL[level]
    told = _told_by_macos(APPLE[level]) if sys.platform == "darwin" and level in APPLE else ""
    return size_bytes(told) or USUAL[level]


def _told_by_macos(name: str) -> str:
    """The value of a system variable of macOS; empty if there is none."""
    from subprocess import run  # which takes longer to load than all else here

    return run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def size_bytes(text: str) -> int:
    """The bytes that `48K`, `1M` or a number stands for; 0 for other texts."""
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text)
    return int(found[1]) * UNITS[found[2]] if found else 0


def short_bytes(size: int) -> str:
    """A size in words: 1536 is `1.5 KiB`."""
    for power, name in ((60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >> power:
            return f"{size / (1 << power):.3g} {name}"
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


class MemoryLimit(NamedTuple):
    """The most bytes that this process can have, and what sets that limit, in words."""

    bytes: int
    reason: str

    @property
    def way_out(self) -> str:
        """The help line of a diagnostic; empty where nothing can be set."""
        return "a higher limit (ulimit -v)" if self.reason == OF_PROCESS else ""


NUMPY_ADDRESSES = 112 << 20  # 120 with two threads of OpenBLAS, measured; its buffers are the most of it
OF_PROCESS = "the limit of this process (ulimit)"
LITTLE = 64 << 20  # bytes that are always tried: to look takes longer than to fail


def require_memory(size: int, what: str) -> None:
    """Raises E0706 where `size` bytes for `what`, beside what this process holds already, are more than the
    system can ever give it. To be asked before memory is taken: Linux promises any amount, and kills who uses
    it."""
    if size < LITTLE:
        return
    most, held = memory_limit(), _held_bytes()
    if size + held > most.bytes:
        beside = f" beside the {short_bytes(held)} in use" if held >= LITTLE else ""
        needed = f"{short_bytes(size)} are needed for {what}{beside}"
        fail("E0706", f"{needed}, and there are {_words(most)}", help=most.way_out)


def require_addresses(size: int, what: str) -> None:
    """Raises E0706 where the system refuses `size` bytes for `what`, which are given back at once. To be
    asked for what would end the process without them."""
    try:
        mmap.mmap(-1, size).close()
    except OSError as error:
        refuse_for_memory(error, f"{short_bytes(size)} are needed for {what}")
        raise


def require_numpy() -> None:
    """Raises E0706 where there are no addresses for NumPy, whose BLAS would end the process."""
    require_addresses(NUMPY_ADDRESSES, "NumPy and its BLAS")


def refuse_for_memory(error: BaseException, words: str) -> None:
    """Raises E0706, in these words, if an error comes of an allocation that the system refused."""
    if lacks_memory(error):
        raise DiagnosticError((no_memory(MemoryError(words)),)) from error


# What CPython says where something failed and no exception tells of it, and of a thread that has no room.
_UNSAID = ("without exception set", "without setting an exception", "can't start new thread")


def lacks_memory(error: BaseException | None) -> bool:
    """True if an error comes of an allocation that the system refused: Python's, one of the loader of shared
    libraries, which has words alone for it, or under a limit one that a library did not look at."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "failed to map segment" in text or "cannot allocate" in text:
            return True
        is_unsaid = isinstance(error, RuntimeError | SystemError) and any(words in text for words in _UNSAID)
        if is_unsaid and _process_limits():
            return True
        error = error.__cause__ or error.__context__
    return False


def no_memory(error: BaseException) -> Diagnostic:
    """The diagnostic of an allocation that the system refused."""
    wanted = f": {text[:1].lower()}{text[1:]}" if (text := str(error)) else ""
    limit = memory_limit()
    message = f"the memory does not suffice{wanted}; there are {_words(limit)}"
    return Diagnostic("E0706", message, help=limit.way_out)


def _words(limit: MemoryLimit) -> str:
    return f"{short_bytes(limit.bytes)}, {limit.reason}"


def memory_limit() -> MemoryLimit:
    """The least of what this machine has, its swap space included, and what this process may use of it."""
    found = [MemoryLimit(sys.maxsize, "the addresses of a process")]
    if has := memory_bytes():
        found.append(MemoryLimit(has + _swap_bytes(), "the memory of this machine"))
    if given := _group_bytes():
        found.append(MemoryLimit(given + _swap_bytes(), "the limit of this container"))
    found += (MemoryLimit(most, OF_PROCESS) for most in _process_limits())
    return min(found)


def _process_limits() -> list[int]:
    """The limits on addresses and on data that this process has, in bytes."""
    if os.name != "posix":
        return []
    import resource

    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return [most for most in limits if most != resource.RLIM_INFINITY]


def _swap_bytes() -> int:
    found = re.search(r"SwapTotal:\s*(\d+) kB", _read(MEMORY))
    return int(found[1]) << 10 if found else 0


def _group_bytes() -> int:
    """The least limit on memory of the control groups around this process, of either version; 0 for none."""
    found = []
    for line in _read(GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in GROUP_FILES:
            continue
        file = GROUP_FOLDER / GROUP_FILES[controllers]
        group = file.parent / path.lstrip("/")
        # A container may see its own group as the root, whatever its path is called.
        around = (folder for folder in (group, *group.parents) if folder.is_relative_to(file.parent))
        found += [_read(folder / file.name) for folder in around]
    return min((int(text) for text in found if text.isdigit()), default=0)


def _held_bytes() -> int:
    """The bytes that this process has filled and the system cannot drop; 0 where it does not tell."""
    return sum(int(size) << 10 for size in re.findall(r"(?:RssAnon|VmSwap):\s*(\d+) kB", _read(STATUS)))


def data_bytes() -> int:
    """The bytes of data that this process may fill, as RLIMIT_DATA counts them; 0 where the system does not
    tell it."""
    found = re.search(r"VmData:\s*(\d+) kB", _read(STATUS))
    return int(found[1]) << 10 if found else 0


def _read(path: Path) -> str:
    """The text of a file without the white space around it; empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
