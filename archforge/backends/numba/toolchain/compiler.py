"""Compiler from Python functions to machine code: Numba makes LLVM IR, LLVM optimises it for this machine.

Only a process that must compile imports this file, and one whose object code `linker.py` refuses. All that
relies on what Numba and llvmlite do not promise is here; pyproject.toml pins both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import llvmlite.binding as llvm

from archforge.backends.numba.toolchain.machine import Machine

__all__ = ["LlvmCompiler", "ir_from_numba"]


class LlvmCompiler:
    """LLVM for a machine: its optimiser, and its loader, whose code may call these `symbols`."""

    def __init__(self, made_for: Machine, symbols: Mapping[str, int]) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for name, address in symbols.items():
            llvm.add_symbol(name, address)
        self._target = llvm.Target.from_default_triple().create_target_machine(
            cpu=made_for.cpu, features=made_for.features, opt=3, codemodel="jitdefault"
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._target)

    def object_code(self, module: llvm.ModuleRef) -> bytes:
        """The optimised machine code of a module, as an ELF, Mach-O or COFF file."""
        module.verify()
        builder = llvm.create_pass_builder(self._target, llvm.create_pipeline_tuning_options(speed_level=3))
        builder.getModulePassManager().run(module, builder)
        code: bytes = self._target.emit_object(module)
        return code

    def load(self, code: bytes, function: str) -> int:
        """The address of a function of this object code, 0 if there is none."""
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        address: int = self._engine.get_function_address(function)
        return address


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
    """A class of Numba, its library of one function, that neither optimises IR nor makes machine code.

    Numba would do both again for each function on the way to the one that is wanted.
    """
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
    """Make all else that the module defines private, so that unused parts are dropped: copies of one helper
    in several modules would clash."""
    for value in [*module.functions, *module.global_variables]:
        if value.name != name and not value.is_declaration and not re.match(r"llvm\.", value.name):
            value.linkage = llvm.Linkage.internal
