"""Named parts with settings, each a class in a file of its own: ops of a recipe, formats of data."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from archforge.class_vars import read_once
from archforge.errors import InternalError

__all__ = ["Part", "all_parts", "bare_setting", "changed_fields", "kind_of", "part_named", "stored_fields"]


@read_once
class Part(BaseModel):
    """A part that a spec names by `word`, with its settings as fields. Classes that set `package` are kinds:
    the modules of that package hold one part each, and are found by being there.

    elsewhere: names that other libraries have for it, for the way out of a word that does not exist.
    always_said: settings that are told even where they are as by default. never_said: those that are for
    records alone.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    what: ClassVar[str]  # a kind of part, as sentences name it: `loss`
    package: ClassVar[str]
    word: ClassVar[str]
    elsewhere: ClassVar[tuple[str, ...]] = ()
    always_said: ClassVar[tuple[str, ...]] = ()
    never_said: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """The names of the settings; a bare value stands for the first."""
        return tuple(cls.model_fields)

    def said(self) -> str:
        """The part in words, with the settings that are not as by default: `sgd (lr 0.1, nesterov true)`."""
        told = {name: getattr(self, name) for name in self.always_said} | changed_fields(self)
        words = [f"{n} {_shown(value)}" for n, value in told.items() if n not in self.never_said]
        return f"{self.word} ({', '.join(words)})" if words else self.word


def stored_fields(model: BaseModel) -> dict[str, Any]:
    """The fields of a model by name, less what JSON cannot hold."""
    return {
        name: getattr(model, name) for name, field in type(model).model_fields.items() if not field.exclude
    }


def changed_fields(model: BaseModel) -> dict[str, Any]:
    """The fields of `stored_fields` that have no default, or another value."""
    fields = type(model).model_fields
    return {
        name: value
        for name, value in stored_fields(model).items()
        if fields[name].is_required() or value != fields[name].get_default(call_default_factory=True)
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


P = TypeVar("P", bound=Part)


@cache
def all_parts(kind: type[P]) -> dict[str, type[P]]:
    """Every part of a kind by its word, in alphabetical order."""
    package = import_module(kind.package)
    for module in iter_modules(package.__path__):
        import_module(f"{kind.package}.{module.name}")
    found: dict[str, type[P]] = {}
    pending = kind.__subclasses__()
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if (
            cls.__module__.startswith(f"{kind.package}.")
            and "word" in vars(cls)
            and found.setdefault(cls.word, cls) is not cls
        ):
            raise InternalError(f"two parts are called {cls.word}")
    return dict(sorted(found.items()))


def part_named(kind: type[P], word: str) -> type[P] | None:
    """The part of a kind that specs call `word`, or None. The module of that name is tried first, so that
    reading a spec loads none of the others."""
    if word.isidentifier() and find_spec(f"{kind.package}.{word}"):
        found = vars(import_module(f"{kind.package}.{word}")).values()
        own = (cls for cls in found if isinstance(cls, type) and issubclass(cls, kind))
        for cls in own:
            if vars(cls).get("word") == word:
                return cls
    return all_parts(kind).get(word)


def kind_of(cls: type[Part]) -> type[Part]:
    """The kind that a part is of."""
    return next(base for base in cls.__mro__ if "package" in vars(base))


def bare_setting(cls: type[Part]) -> str:
    """The setting that a bare value stands for; empty for a part that has none."""
    return next(iter(cls.settings()), "")
