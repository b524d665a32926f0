"""The layers that generated modules are made of: the functions of a file of `templates/`, as text.

Their signatures say how each is called, so that no table of ops has to be kept beside them.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from archforge.interchange.decompile.values import REQUIRED
from archforge.resources import templates_folder

__all__ = ["KernelFile", "ModuleKernel", "kernel_file", "kernel_name", "names_in", "with_needs"]

FILE = "kernels.py"
_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


@dataclass(frozen=True, slots=True)
class ModuleKernel:
    """One layer of generated modules: a function of the file, a class, or a function that it imports.

    source: its text. takes_params: its first arguments are `p, name` or `name`. keywords: its keyword
    arguments with their defaults. needs: all names that it uses. heading: the comment that opens its part of
    the file. package: where it is imported from, else empty.
    """

    name: str
    source: str
    takes_params: bool
    keywords: Mapping[str, Any]
    needs: frozenset[str]
    heading: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class KernelFile:
    """The functions of the file by name, in order; its import statements by the name that they bind."""

    kernels: Mapping[str, ModuleKernel]
    imports: Mapping[str, str]

    def closure(self, names: Iterable[str]) -> list[ModuleKernel]:
        """The kernels of these names and all that they use, in the order of the file."""
        return with_needs(self.kernels, names)

    def imports_of(self, kernels: Iterable[ModuleKernel]) -> list[str]:
        """The import statements that these kernels need."""
        used = frozenset[str]().union(*(k.needs for k in kernels))
        return [text for name, text in self.imports.items() if name in used]


class Needing(Protocol):
    """A part of a file that uses others by their names."""

    @property
    def needs(self) -> frozenset[str]: ...


Part = TypeVar("Part", bound=Needing)


def with_needs(parts: Mapping[str, Part], names: Iterable[str]) -> list[Part]:
    """The parts of these names and all that they use, in the order of `parts`."""
    found: set[str] = set()
    pending = [name for name in names if name in parts]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [need for need in parts[name].needs if need in parts]
    return [part for name, part in parts.items() if name in found]


def names_in(statement: ast.AST) -> frozenset[str]:
    """All names that a statement uses."""
    return frozenset(n.id for n in ast.walk(statement) if isinstance(n, ast.Name))


def kernel_name(kind: str) -> str:
    """The name of the function for an op of that kind."""
    taken = keyword.iskeyword(kind) or hasattr(builtins, kind)
    return f"{kind}_" if taken else kind


@cache
def kernel_file(name: str = FILE) -> KernelFile:
    """The kernels of a file of `templates/`."""
    text = (templates_folder() / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    kernels: dict[str, ModuleKernel] = {}
    imports: dict[str, str] = {}
    heading, end = "", 0
    for statement in ast.parse(text).body:
        comments = [line for line in lines[end : statement.lineno - 1] if line.startswith("#")]
        heading = "\n".join(comments) or heading
        end = statement.end_lineno or statement.lineno
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            source = "\n".join(lines[statement.lineno - 1 : end])
            kernels[statement.name] = _kernel(statement, source, heading)
        elif isinstance(statement, ast.ImportFrom):
            package = statement.module or ""
            kernels |= {a.name: _imported(a.name, package) for a in statement.names}
        elif isinstance(statement, ast.Import):
            imports |= {a.asname or a.name: ast.unparse(statement) for a in statement.names}
    return KernelFile(kernels, imports)


def _imported(name: str, package: str) -> ModuleKernel:
    return ModuleKernel(name, "", False, {}, frozenset(), "", package)


def _kernel(function: ast.FunctionDef | ast.ClassDef, source: str, heading: str) -> ModuleKernel:
    args = function.args if isinstance(function, ast.FunctionDef) else _NO_ARGUMENTS
    defaults = (REQUIRED if d is None else ast.literal_eval(d) for d in args.kw_defaults)
    return ModuleKernel(
        name=function.name,
        source=source,
        takes_params=bool(args.args) and args.args[0].arg in ("p", "name"),
        keywords=dict(zip((a.arg for a in args.kwonlyargs), defaults, strict=True)),
        needs=names_in(function),
        heading=heading,
    )
