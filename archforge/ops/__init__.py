"""The registry of ops: every `Op` subclass with a name, found in this package's files."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.errors import InternalError
from archforge.ops.base import Op

__all__ = ["all_ops", "op_class"]


@cache
def all_ops() -> dict[str, type[Op]]:
    """Every op by each word that names it in a spec, in alphabetical order."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found: dict[str, type[Op]] = {}
    pending = [Op]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        words = (cls.op, *cls.aliases) if "op" in cls.__dict__ else ()
        for word in words:
            if found.setdefault(word, cls) is not cls:
                raise InternalError(f"two ops are called {word}")
    return dict(sorted(found.items()))


def op_class(kind: str) -> type[Op]:
    """The op of that name. Raises `KeyError`."""
    return all_ops()[kind]
