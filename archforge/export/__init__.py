"""Export targets, each in a module of its own with its `TARGETS`; they are found by being there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.errors import DiagnosticError, InternalError, did_you_mean, fail
from archforge.export.target import BuildFiles, ExportContent, Refusal, Subject, Target

__all__ = [
    "BuildFiles",
    "ExportContent",
    "Refusal",
    "Subject",
    "Target",
    "all_targets",
    "export",
    "files_of",
    "target_named",
]


@cache
def all_targets() -> dict[str, Target]:
    """Every target by its name, in the alphabetical order of their files."""
    modules = [import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)]
    found: list[Target] = [t for m in modules for t in getattr(m, "TARGETS", ())]
    by_name = {t.name: t for t in sorted(found, key=lambda t: t.file)}
    if len(by_name) < len(found) or len({t.file for t in found}) < len(found):
        raise InternalError("two export targets have one name, or write one file")
    return by_name


def target_named(name: str) -> Target:
    """The target of that name. Raises E0001."""
    targets = all_targets()
    if name not in targets:
        writer = next((t.name for t in targets.values() if t.file == name), None)
        help = f"`{writer}` writes it" if writer else did_you_mean(name, sorted(targets), what="targets")
        fail("E0001", f"there is no export target `{name}`", help=help)
    return targets[name]


def files_of(targets: Iterable[Target]) -> dict[str, str]:
    """The files that `archforge build` writes by these targets, each with what it is."""
    return {t.file: t.says for t in targets if t.by_default}


def export(subject: Subject) -> BuildFiles:
    """The content of each file of a build. A target that refuses the network keeps no other from being
    written, and no file names the one that it would have been."""
    targets = [t for t in all_targets().values() if t.by_default]
    refused: tuple[Refusal, ...] = ()
    while True:
        told = replace(subject, files=files_of(targets))
        files: dict[str, bytes] = {}
        found: list[Refusal] = []
        for target in targets:
            try:
                files[target.file] = target.content(told)
            except DiagnosticError as error:
                found.append(Refusal(target, error.diagnostics))
        if not found:
            return BuildFiles(files, refused)
        refused += tuple(found)
        targets = [t for t in targets if t.file in files]
