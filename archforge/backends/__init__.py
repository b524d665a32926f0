"""Backends: each is a package in this one's path that holds its `BACKEND`, and is found by being there."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from archforge.errors import Diagnostic, DiagnosticError, Note, did_you_mean, fail
from archforge.python_values import require_text

if TYPE_CHECKING:
    from archforge.plan import Backend, Compiling
    from archforge.plan.learner import Learning

__all__ = [
    "AUTO",
    "all_backends",
    "available",
    "compiling",
    "get",
    "get_compiling",
    "get_learning",
    "names",
    "preferred",
]

AUTO = "auto"


def names() -> list[str]:
    """The names of all backends, installed or not: those of their packages, none of which is imported."""
    return [module.name for module in iter_modules(__path__) if module.ispkg]


def all_backends() -> dict[str, Backend]:
    """Every backend by name, installed or not; each imports its library when it is first used."""
    return {name: _named(name) for name in names()}


@cache
def _named(name: str) -> Backend:
    backend: Backend = import_module(f"{__name__}.{name}").BACKEND
    return backend


def available() -> list[str]:
    """The names of the backends that can run here."""
    return [name for name, backend in all_backends().items() if not _hindrances(backend)]


def preferred() -> list[Backend]:
    """The backends that `auto` may take here, the best first."""
    able = [backend for backend in all_backends().values() if backend.preference() > 0]
    return sorted(able, key=lambda backend: -backend.preference())


def compiling() -> list[Compiling]:
    """The backends that compile machine code and can run here, the best first."""
    able = [backend for backend in _all_compiling() if not _hindrances(backend)]
    return sorted(able, key=lambda backend: -backend.preference())


def get_compiling() -> Compiling:
    """The best backend that compiles machine code. Raises E0701 if none can run here, with the reasons."""
    able = compiling()
    if not able:
        reasons = [reason for backend in _all_compiling() for reason in _hindrances(backend)]
        fail(
            "E0701",
            "no backend that compiles machine code can run here",
            notes=[Note(reason.message) for reason in reasons],
            help=" or ".join(reason.help for reason in reasons if reason.help),
        )
    return able[0]


def _all_compiling() -> list[Compiling]:
    from archforge.plan import Compiling

    return [backend for backend in all_backends().values() if isinstance(backend, Compiling)]


def _hindrances(backend: Backend) -> tuple[Diagnostic, ...]:
    """Reasons why the backend cannot run here; none if it can."""
    try:
        backend.require()
    except DiagnosticError as error:
        return error.diagnostics
    return ()


def get_learning(name: str = AUTO, dtype: str = "float32") -> Learning:
    """The backend of that name to train on; `auto` stands for the best that trains in `dtype` here. Raises
    E0701 for one that does not train, E0703 for a dtype that it lacks."""
    from archforge.plan.contract import require_dtype
    from archforge.plan.learner import Learning

    if dtype == "bfloat16":  # parameters and their updates are arrays of NumPy, which lacks it
        fail("E0703", f"nothing trains in {dtype}", help="--dtype float32")
    able = [b for b in preferred() if isinstance(b, Learning) and dtype in b.dtypes]
    if name == AUTO and able:
        return able[0]
    found = get(name, dtype)
    learning = ", ".join(n for n, b in all_backends().items() if isinstance(b, Learning))
    if not isinstance(found, Learning):
        fail("E0701", f"the backend {found.name} does not train", help=f"those that do: {learning}")
    require_dtype(found, dtype)
    return found


def get(name: str | Backend = AUTO, dtype: str = "float32") -> Backend:
    """The backend of that name; `auto` stands for the preferred one of those that can run here in `dtype`. A
    backend stands for itself.

    Raises E0701 for an unknown name and for a backend that cannot run here, E0703 if `auto` finds none.
    """
    from archforge.plan import Backend

    if isinstance(name, Backend):
        return name
    require_text("backend", name)
    if name == AUTO:
        backends = all_backends()
        able = [b for b in preferred() if dtype in b.dtypes]
        if not able:
            others = [name for name, b in backends.items() if dtype in b.dtypes]
            if others:
                message = f"`auto` takes no backend here that computes in {dtype}"
                fail("E0703", message, help=f"name one that does: {', '.join(others)}")
            dtypes = sorted({d for b in backends.values() for d in b.dtypes})
            fail("E0703", f"no backend here computes in {dtype}", help=f"dtypes: {', '.join(dtypes)}")
        return able[0]
    if name not in names():
        help = did_you_mean(name, [AUTO, *names()], what="backends")
        fail("E0701", f"there is no backend `{name}`", help=help)
    backend = _named(name)  # no other is imported
    backend.require()
    return backend
