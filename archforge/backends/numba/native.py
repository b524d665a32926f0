"""Machine code: compiled by LLVM when first asked for, then kept in a file; called by address.

Whoever calls an address inlines nothing, so that each function is compiled once, and a process that
finds all of them in the cache never imports Numba. Everything that leans on what Numba and llvmlite do
not promise is in this file; pyproject.toml pins both.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import Protocol

import llvmlite.binding as llvm

from archforge.backends.numba.machine import Machine, machine
from archforge.errors import DiagnosticError, InternalError
from archforge.weights.files import written_beside

__all__ = ["Recipe", "address", "cache_folder", "cached_sizes"]

_DIGEST = 32  # bytes of SHA-256 before the object code


class Recipe(Protocol):
    """How to make a function. Equal names must make equal functions on one machine."""

    @property
    def name(self) -> str:
        """The function's symbol, and the first part of its file's name."""
        ...

    def module(self) -> llvm.ModuleRef:
        """LLVM IR, not optimised yet for the target, with the function of that name."""
        ...


def cache_folder() -> Path:
    """ARCHFORGE_CACHE, or the user's cache folder."""
    given = os.environ.get("ARCHFORGE_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "archforge"


def cached_sizes() -> list[int]:
    """Bytes of each function that the cache holds, those for other machines and versions too."""
    sizes = []
    for path in cache_folder().glob("*.o"):
        with suppress(OSError):  # another process has just removed it
            sizes.append(path.stat().st_size)
    return sizes


class _Library:
    """Functions loaded into this process."""

    def __init__(self, made_for: Machine) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.add_symbol("archforge_yield", _yield_address())
        self.target = llvm.Target.from_default_triple().create_target_machine(
            cpu=made_for.cpu, features=made_for.features, opt=3, codemodel="jitdefault"
        )
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.target)
        self.addresses: dict[str, int] = {}
        self.lock = RLock()
        self.key = _key(made_for)

    def address(self, recipe: Recipe) -> int:
        with self.lock:
            if recipe.name not in self.addresses:
                code = self._stored(recipe) or self._compiled(recipe)
                self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
                self.engine.finalize_object()
                self.addresses[recipe.name] = self.engine.get_function_address(recipe.name)
            if not self.addresses[recipe.name]:
                raise InternalError(f"the object code of {recipe.name} does not hold it")
            return self.addresses[recipe.name]

    def _path(self, recipe: Recipe) -> Path:
        return cache_folder() / f"{recipe.name}-{self.key}.o"

    def _stored(self, recipe: Recipe) -> bytes:
        """The object code of an earlier compilation; empty if there is none or it is damaged."""
        try:
            data = self._path(recipe).read_bytes()
        except OSError:
            return b""
        digest, code = data[:_DIGEST], data[_DIGEST:]
        return code if hashlib.sha256(code).digest() == digest else b""

    def _compiled(self, recipe: Recipe) -> bytes:
        module = recipe.module()
        module.verify()
        builder = llvm.create_pass_builder(self.target, llvm.create_pipeline_tuning_options(speed_level=3))
        builder.getModulePassManager().run(module, builder)
        code: bytes = self.target.emit_object(module)
        path = self._path(recipe)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(path) as file:
                file.write(hashlib.sha256(code).digest() + code)
        except (OSError, DiagnosticError):
            pass  # a cache that cannot be written is no reason not to run
        return code


def _yield_address() -> int:
    """The system's function that gives the rest of a time slice away."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _key(made_for: Machine) -> str:
    """What object code depends on besides its recipe's name."""
    parts = [made_for.cpu, made_for.features, str(made_for.lanes), str(made_for.registers)]
    parts += [sys.version, version("llvmlite"), version("numba")]
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        parts.append(path.read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@cache
def _library() -> _Library:
    return _Library(machine())


def address(recipe: Recipe) -> int:
    """Where the function is, made or read from the cache if this process has not yet."""
    return _library().address(recipe)
