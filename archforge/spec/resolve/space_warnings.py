"""Warnings that show in the text of a space: ranges and constraints that leave its draws as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError, Span
from archforge.spec import limits
from archforge.spec.formulas.failures import LimitError
from archforge.spec.formulas.formula import Formula
from archforge.spec.syntax.form_checks import mapping_of
from archforge.spec.syntax.ranges import Range, parse_range
from archforge.spec.syntax.syntax_tree import Argument, ProfileDecl, SpecDocument, formulas_in

__all__ = ["space_warnings"]

MOST_TRIED = 200  # values of a constraint's arguments together


def space_warnings(document: SpecDocument, chain: Sequence[SpecDocument]) -> Iterator[Diagnostic]:
    """W0305: what a space says and no draw shows. `chain` is what it extends and itself."""
    yield from _single_values(document)
    written: dict[str, list[Argument]] = {}
    for name, argument in _arguments(chain):
        written.setdefault(name, []).append(argument)
    drawn = _drawn(written)
    tried = _Tried(limits.ALL_ITEMS.most // 10)
    for constraints in (document.constraints, *(p.constraints for p in document.profiles.values())):
        seen: set[str] = set()
        for constraint in constraints:
            names = {name for name, _ in constraint.names}
            if constraint.source in seen:
                yield _idle("the constraint stands there twice", constraint.span)
            elif not names & drawn:
                yield _idle("the constraint reads nothing that is drawn", constraint.span)
            elif (ranges := _ranges(names, written)) and tried.always(constraint, ranges):
                yield _idle("every value of the range meets the constraint", constraint.span)
            seen.add(constraint.source)


def _idle(message: str, span: Span) -> Diagnostic:
    return Diagnostic("W0305", message, span, help="remove it")


def _single_values(document: SpecDocument) -> Iterator[Diagnostic]:
    for _, argument in _arguments((document,)):
        if argument.is_range and _range(argument).size == 1:
            message = f"the range of `{argument.key}` has one value"
            yield Diagnostic("W0305", message, argument.key_span, help="write the value, or a wider range")


def _arguments(chain: Iterable[SpecDocument]) -> Iterator[tuple[str, Argument]]:
    """Every value that an argument of the spec is given, by its name."""
    for document in chain:
        owners: tuple[SpecDocument | ProfileDecl, ...] = (document, *document.profiles.values())
        defaults = {name: decl.default for name, decl in document.args.items() if decl.default}
        for values in (defaults, *(owner.values for owner in owners)):
            yield from values.items()


def _range(argument: Argument) -> Range:
    return parse_range(mapping_of(argument.tree, "a range"))


def _drawn(written: Mapping[str, Sequence[Argument]]) -> set[str]:
    """The arguments that are drawn, and those that may follow from them."""
    found = {name for name, given in written.items() if any(a.is_range for a in given)}
    reads = {
        name: {
            word
            for argument in given
            if not argument.is_range and not argument.looks_like_steps
            for formula in formulas_in(argument.value)
            for word, _ in formula.names
        }
        for name, given in written.items()
    }
    while more := {name for name, words in reads.items() if name not in found and words & found}:
        found |= more
    return found


def _ranges(names: Iterable[str], written: Mapping[str, Sequence[Argument]]) -> dict[str, Range]:
    """The range of each name, if each has one alone, and few values together."""
    given = {name: written.get(name, ()) for name in names}
    if not all(len(found) == 1 and found[0].is_range for found in given.values()):
        return {}
    ranges = {name: _range(found[0]) for name, found in given.items()}
    sizes = [range.size or MOST_TRIED + 1 for range in ranges.values()]
    return ranges if prod(sizes) <= MOST_TRIED else {}


@dataclass
class _Tried:
    """Names of constraints while all values are tried. `items`: those that formulas may still go through."""

    items: int

    def always(self, constraint: Formula, ranges: Mapping[str, Range]) -> bool:
        """True if the constraint holds for all values of its ranges, as far as that is found."""
        try:
            for values in product(*(range.values() for range in ranges.values())):
                self.given: Mapping[str, Any] = dict(zip(ranges, values, strict=True))
                if constraint.evaluate(self) is not True:
                    return False
        except (DiagnosticError, LimitError):  # a draw tells of it
            return False
        return True

    def lookup(self, name: str) -> Any:
        return self.given[name]

    def names(self) -> Iterable[str]:
        return self.given

    def spend(self, items: int, span: Span) -> None:
        self.items -= items
        if self.items < 0:
            raise LimitError(Diagnostic(limits.ALL_ITEMS.code, limits.ALL_ITEMS.told(), span))
