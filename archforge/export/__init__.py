"""Export targets, each in a module of its own with its `TARGETS`; they are found by being there."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.errors import Diagnostic, DiagnosticError, InternalError
from archforge.export.target import Subject, Target

__all__ = ["Subject", "Target", "all_targets", "export"]


@cache
def all_targets() -> dict[str, Target]:
    """Every target by the name of its file, in alphabetical order."""
    modules = [import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)]
    found: list[Target] = [t for m in modules for t in getattr(m, "TARGETS", ())]
    by_file = {t.file: t for t in sorted(found, key=lambda t: t.file)}
    if len(by_file) < len(found):
        raise InternalError("two export targets write one file")
    return by_file


def export(subject: Subject) -> dict[str, str]:
    """The text of each file of a build. Raises what all targets refuse, together; nothing is written."""
    texts: dict[str, str] = {}
    refused: list[Diagnostic] = []
    for file, target in all_targets().items():
        try:
            texts[file] = target.render(subject)
        except DiagnosticError as error:
            refused += error.diagnostics
    if refused:
        raise DiagnosticError(tuple(refused))
    return texts
