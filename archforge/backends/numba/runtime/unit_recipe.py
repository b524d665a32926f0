"""Recipes of units: functions of `units/` by name, with their IR from Numba."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import llvmlite.binding as llvm

__all__ = ["SCHEDULER", "UnitRecipe"]


@dataclass(frozen=True, slots=True)
class UnitRecipe:
    """The function `name` of the file `units/<file>.py`, which takes `arguments` integers."""

    file: str
    name: str
    arguments: int = 3

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.toolchain.compiler import ir_from_numba

        function = getattr(import_module(f"archforge.backends.numba.units.{self.file}"), self.name)
        return ir_from_numba(function, self.name, self.arguments)


SCHEDULER = UnitRecipe("scheduler", "run_steps", 6)
