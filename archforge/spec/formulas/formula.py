"""Formulas and templates, what they read, and values in the words of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from archforge.errors import Span, did_you_mean, fail
from archforge.spec.formulas.ways_out import TENSOR_WORDS, name_hint
from archforge.spec.normal_form import normal_form

__all__ = [
    "Evaluate",
    "Formula",
    "Namespace",
    "Record",
    "Template",
    "describe",
    "no_attribute",
    "read_attribute",
    "unknown_name",
]


class Namespace(Protocol):
    """Meaning of the names in a formula, innermost first."""

    def lookup(self, name: str) -> Any:
        """Value of `name`. Raises `KeyError`, or `Poisoned`."""

    def names(self) -> Iterable[str]: ...

    def spend(self, items: int, span: Span) -> None:
        """Count `items` of the formula at `span` against the budget. Raises `LimitError`."""


class Record(Protocol):
    """A value with attributes that formulas may read: a tensor, a set of counts."""

    def attribute(self, name: str) -> Any:
        """Raises `KeyError` for a name that it lacks."""

    def attributes(self) -> Iterable[str]: ...


Evaluate = Callable[[Namespace], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A formula, `=source` in a spec, with the free `names` it reads and the `attributes` read of them."""

    source: str
    span: Span
    evaluate: Evaluate
    names: tuple[tuple[str, Span], ...]
    attributes: tuple[tuple[str, str, Span], ...]

    def __str__(self) -> str:
        return f"={self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Text with `{formula}` in it, for names: `layer{i+1}`."""

    parts: tuple[str | Formula, ...]
    span: Span

    def evaluate(self, names: Namespace) -> str:
        """The text. Raises E0308 where a formula gives something that is no part of a name."""
        first = self.parts[0] if len(self.parts) == 1 else None
        if isinstance(first, str):  # nearly all are: the quick way out
            return first
        names.spend(len(self.parts), self.span)
        parts = (p if isinstance(p, str) else _name_part(p, p.evaluate(names)) for p in self.parts)
        return normal_form("".join(parts))

    @property
    def text(self) -> str | None:
        """The text, if no formula is in it."""
        return "".join(map(str, self.parts)) if all(isinstance(p, str) for p in self.parts) else None


def unknown_name(name: str, known: Iterable[str]) -> tuple[str, str]:
    """Message and way out for a name that a formula cannot see."""
    return f"unknown name `{name}`", name_hint(name, dict.fromkeys(known))


def _name_part(formula: Formula, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        message = f"a name is made of words and whole numbers, found {describe(value)}"
        fail("E0308", message, formula.span)
    return str(value)


def read_attribute(record: Any, name: str, span: Span) -> Any:
    """Value of `record.name`, of a row, a tensor or a set of counts. Raises E0302 or E0305."""
    if isinstance(record, Mapping):
        if name in record:
            return record[name]
        no_attribute(name, span, map(str, record))
    if not hasattr(record, "attribute"):
        fail("E0305", f"{describe(record)} has no attributes", span)
    try:
        return record.attribute(name)
    except KeyError:
        no_attribute(name, span, record.attributes())


def no_attribute(name: str, span: Span, known: Iterable[str]) -> NoReturn:
    """Raise E0302 for an attribute that a value lacks."""
    names = list(known)
    meant = TENSOR_WORDS.get(name)
    hint = f"did you mean `{meant}`?" if meant in names else did_you_mean(name, names, what="attributes")
    if "shape" in names and name in ("rank", "ndim", "dims", "axes"):
        hint = "the number of axes is len(x.shape), without the batch"
    elif "shape" in names and name in ("batch", "n", "N", "batch_size", "dtype", "device"):
        hint = f"a graph has no {'batch' if name not in ('dtype', 'device') else name}; {hint}"
    fail("E0302", f"no attribute `{name}`", span, help=hint)


def _described_item(item: Any) -> str:
    """An item as messages print it in its list; lists of lists in it are not taken apart."""
    if isinstance(item, str):
        return item[:60]
    if isinstance(item, list | tuple) and any(isinstance(i, list | tuple) for i in item[:6]):
        return "[...]"
    return describe(item)


def describe(value: Any) -> str:
    """A value as messages print it: `the text "a"`, `3`, `true`, `[1, 2]`, `a mapping`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 60 else value[:60] + "..."}"'
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(_described_item(v) for v in value[:6])
        return f"[{shown}{', ...' if len(value) > 6 else ''}]"
    if isinstance(value, Mapping):
        return "a mapping"
    return str(value)
