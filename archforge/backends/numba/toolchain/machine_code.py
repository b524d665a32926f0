"""Machine code: compiled by LLVM when first asked for, then kept in the cache; called by address.

A caller by address inlines nothing, so that each function is compiled once, and a process that finds all of
them in the cache imports neither Numba nor, where `linker.py` can load them, LLVM.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import sys
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from threading import RLock, Thread, main_thread
from typing import TYPE_CHECKING, Protocol

from archforge import __version__
from archforge.backends.numba.toolchain.code_cache import is_kept, read_code, write_code
from archforge.backends.numba.toolchain.linker import CodeRefused, Linker
from archforge.backends.numba.toolchain.machine import Machine, installed_version, machine
from archforge.errors import InternalError, fail
from archforge.hardware import refuse_for_memory

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.toolchain.compiler import LlvmCompiler

__all__ = ["Recipe", "address", "begin", "code_key", "compiled_here"]

_log = logging.getLogger(__name__)


class Recipe(Protocol):
    """A way to make a function. Equal names must make equal functions on one machine."""

    @property
    def name(self) -> str:
        """The function's symbol, and the first part of its file's name."""
        ...

    def module(self) -> llvm.ModuleRef:
        """LLVM IR, not optimised yet for the target, with the function of that name."""
        ...


class _LoadedCode:
    """Functions loaded into this process."""

    def __init__(self, made_for: Machine) -> None:
        self.machine = made_for
        self.symbols = {"archforge_yield": _yield_address()}
        self.linker = Linker(self.symbols)
        self.addresses: dict[str, int] = {}
        self.compiled: list[str] = []
        self.lock = RLock()  # of what follows
        self.making: dict[str, RLock] = {}  # by function
        self.begun: set[str] = set()
        self.waiting: list[Recipe] = []  # for the thread that makes functions beforehand
        self.key = _key(made_for)

    @cached_property
    def compiler(self) -> LlvmCompiler:
        from archforge.backends.numba.toolchain.compiler import LlvmCompiler

        return LlvmCompiler(self.machine, self.symbols)

    def address(self, recipe: Recipe) -> int:
        with self.lock:
            making = self.making.setdefault(recipe.name, RLock())
        with making:
            if recipe.name not in self.addresses:
                code = read_code(self._file(recipe))
                if not code:
                    code = self._compiled(recipe)
                    write_code(self._file(recipe), code)
                self.addresses[recipe.name] = self._loaded(code, recipe.name)
            return self.addresses[recipe.name]

    def begin(self, recipe: Recipe) -> None:
        """Have a thread make the function if the cache lacks it."""
        if recipe.name in self.begun:
            return
        with self.lock:
            self.begun.add(recipe.name)
            if recipe.name in self.addresses or is_kept(self._file(recipe)):
                return
            self.waiting.append(recipe)
            if len(self.waiting) == 1:
                Thread(target=self._make_waiting, name="archforge-compiler").start()

    def _make_waiting(self) -> None:
        """Make the functions that wait, until none does or the process ends."""
        while True:
            if main_thread().is_alive():
                with suppress(Exception):  # whoever needs the function meets the reason again
                    self.address(self.waiting[0])
            with self.lock:
                del self.waiting[0]
                if not self.waiting:
                    return

    def _file(self, recipe: Recipe) -> str:
        return f"{recipe.name}-{self.key}.o"

    def _compiled(self, recipe: Recipe) -> bytes:
        _log.info("compiling %s for this machine, once", recipe.name)
        try:
            with self.lock:
                compiler = self.compiler
            code = compiler.object_code(recipe.module())
        except Exception as error:
            _refuse_environment(error)
            raise
        self.compiled.append(recipe.name)
        return code

    def _loaded(self, code: bytes, name: str) -> int:
        try:
            address = self.linker.load(code, name)
        except CodeRefused as reason:
            _log.debug("%s is loaded by LLVM: %s", name, reason)
            address = self.compiler.load(code, name)
        if not address:
            raise InternalError(f"the object code of {name} does not hold it")
        return address


def _refuse_environment(error: Exception) -> None:
    """Raises E0701 where Numba fails for what is around it: its own variables, a broken installation, a
    working folder that was deleted; E0706 for want of memory."""
    refuse_for_memory(error, "Numba cannot be loaded")
    given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    if not given and not isinstance(error, ImportError | OSError):
        return
    reason = (str(error) or type(error).__name__).splitlines()[0]
    under = f" under {' '.join(given)}" if given else ""
    fail("E0701", f"Numba cannot compile here{under}: {reason}", help="--backend numpy")


def _yield_address() -> int:
    """The system's function that gives the rest of a time slice away."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _key(made_for: Machine) -> str:
    """A digest of all that object code depends on besides the name of its recipe.

    It covers all sources of this backend and Winograd's forms, though a family's may change no code: to
    compile them all again takes seconds, and a dependence forgotten would run wrong code.
    """
    parts = [made_for.cpu, made_for.features, str(made_for.lanes), str(made_for.registers)]
    parts += [__version__, sys.version, installed_version("llvmlite"), installed_version("numba")]
    folder = Path(__file__).parents[1]
    for path in (*sorted(folder.rglob("*.py")), folder.parent / "winograd_forms.py"):
        parts.append(path.read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def code_key() -> str:
    """A short digest of all that machine code depends on besides its recipe: CPU, versions, sources."""
    return _library().key


@cache
def _library() -> _LoadedCode:
    return _LoadedCode(machine())


def address(recipe: Recipe) -> int:
    """The address of a function, which is made or read from the cache if this process lacks it."""
    return _library().address(recipe)


def begin(recipe: Recipe) -> None:
    """Have another thread make a function that will soon be asked for, unless the cache has it.

    Units are made in Python for the most part, microkernels by LLVM, which needs no GIL, so that both can be
    made at once. Where one thread alone may compute, it makes all in turn.
    """
    if machine().threads > 1:
        _library().begin(recipe)


def compiled_here() -> list[str]:
    """The functions that this process did not find in the cache."""
    return _library().compiled
