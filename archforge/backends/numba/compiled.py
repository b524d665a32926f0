"""The functions of `units/` as recipes: their names in the cache, and their IR from Numba."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module

import llvmlite.binding as llvm

__all__ = ["SCHEDULER", "Unit"]


@dataclass(frozen=True, slots=True)
class Unit:
    """The function `name` of `units/file.py`, which takes `arguments` integers."""

    file: str
    name: str
    arguments: int = 3

    def module(self) -> llvm.ModuleRef:
        numba = import_module("numba")
        function = getattr(import_module(f"archforge.backends.numba.units.{self.file}"), self.name)
        words = [numba.types.int64] * self.arguments
        compiled = numba.cfunc(numba.types.void(*words), error_model="numpy", _nrt=False)(function)
        module = llvm.parse_bitcode(compiled._library._final_module.as_bitcode())
        _keep_only(module, compiled.native_name)
        module.get_function(compiled.native_name).name = self.name
        return module


def _keep_only(module: llvm.ModuleRef, name: str) -> None:
    """All else that the module defines becomes private, to be dropped where nothing uses it: copies of one
    helper in several modules would clash."""
    for value in [*module.functions, *module.global_variables]:
        if value.name != name and not value.is_declaration and not re.match(r"llvm\.", value.name):
            value.linkage = llvm.Linkage.internal


SCHEDULER = Unit("scheduler", "run_steps", 6)
