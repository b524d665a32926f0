"""Machine code: compiled by LLVM when first asked for, then kept in the cache; called by address.

Whoever calls an address inlines nothing, so that each function is compiled once, and a process that
finds all of them in the cache never imports Numba. Everything that leans on what Numba and llvmlite do
not promise is in this file; pyproject.toml pins both.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

import llvmlite.binding as llvm

from archforge import __version__
from archforge.backends.numba.cache import read_code, write_code
from archforge.backends.numba.machine import Machine, machine
from archforge.errors import InternalError

__all__ = ["Recipe", "address", "code_key", "compiled_here", "ir_from_numba"]

_log = logging.getLogger(__name__)


class Recipe(Protocol):
    """How to make a function. Equal names must make equal functions on one machine."""

    @property
    def name(self) -> str:
        """The function's symbol, and the first part of its file's name."""
        ...

    def module(self) -> llvm.ModuleRef:
        """LLVM IR, not optimised yet for the target, with the function of that name."""
        ...


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
        self.compiled: list[str] = []
        self.lock = RLock()
        self.key = _key(made_for)

    def address(self, recipe: Recipe) -> int:
        with self.lock:
            if recipe.name not in self.addresses:
                file = f"{recipe.name}-{self.key}.o"
                code = read_code(file)
                if not code:
                    code = self._compiled(recipe)
                    write_code(file, code)
                self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
                self.engine.finalize_object()
                self.addresses[recipe.name] = self.engine.get_function_address(recipe.name)
            if not self.addresses[recipe.name]:
                raise InternalError(f"the object code of {recipe.name} does not hold it")
            return self.addresses[recipe.name]

    def _compiled(self, recipe: Recipe) -> bytes:
        _log.info("compiling %s for this machine, once", recipe.name)
        module = recipe.module()
        module.verify()
        builder = llvm.create_pass_builder(self.target, llvm.create_pipeline_tuning_options(speed_level=3))
        builder.getModulePassManager().run(module, builder)
        self.compiled.append(recipe.name)
        code: bytes = self.target.emit_object(module)
        return code


def _yield_address() -> int:
    """The system's function that gives the rest of a time slice away."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _key(made_for: Machine) -> str:
    """What object code depends on besides its recipe's name.

    All sources of this backend and Winograd's forms, though a family's may change no code: to compile them
    all again takes seconds, and a dependence forgotten would run wrong code.
    """
    parts = [made_for.cpu, made_for.features, str(made_for.lanes), str(made_for.registers)]
    parts += [__version__, sys.version, version("llvmlite"), version("numba")]
    folder = Path(__file__).parent
    for path in (*sorted(folder.rglob("*.py")), folder.parent / "winograd.py"):
        parts.append(path.read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def code_key() -> str:
    """What machine code depends on besides its recipe, as a short name: the CPU and all versions."""
    return _library().key


@cache
def _library() -> _Library:
    return _Library(machine())


def address(recipe: Recipe) -> int:
    """Where the function is, made or read from the cache if this process has not yet."""
    return _library().address(recipe)


def compiled_here() -> list[str]:
    """The functions that this process did not find in the cache."""
    return _library().compiled


def ir_from_numba(function: Callable[..., Any], name: str, arguments: int) -> llvm.ModuleRef:
    """The IR of a Python function of so many integers, under this name, with all that it calls."""
    numba = import_module("numba")
    signature = numba.types.void(*[numba.types.int64] * arguments)
    codegen = import_module("numba.core.registry").cpu_target.target_context.codegen()
    with import_module("numba.core.compiler_lock").global_compiler_lock:
        before, codegen._library_class = codegen._library_class, _unoptimised()
        try:
            compiled = numba.cfunc(signature, error_model="numpy", _nrt=False)(function)
        finally:
            codegen._library_class = before
    module = llvm.parse_bitcode(compiled._library._final_module.as_bitcode())
    _keep_only(module, compiled.native_name)
    module.get_function(compiled.native_name).name = name
    return module


@cache
def _unoptimised() -> Any:
    """Numba's library of one function that leaves its IR as it is and makes no machine code of it: Numba
    would do both again for each function on the way to the one that is wanted."""
    base = import_module("numba.core.codegen").JITCodeLibrary

    class Unoptimised(base):  # type: ignore[misc, valid-type]
        def _optimize_functions(self, module: llvm.ModuleRef) -> None:
            module.data_layout = self._codegen._data_layout

        def _optimize_final_module(self) -> None:
            pass

        def _finalize_specific(self) -> None:
            pass

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    return Unoptimised


def _keep_only(module: llvm.ModuleRef, name: str) -> None:
    """All else that the module defines becomes private, to be dropped where nothing uses it: copies of one
    helper in several modules would clash."""
    for value in [*module.functions, *module.global_variables]:
        if value.name != name and not value.is_declaration and not re.match(r"llvm\.", value.name):
            value.linkage = llvm.Linkage.internal
