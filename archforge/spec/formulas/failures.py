"""Exceptions that end the evaluation of a formula, and the one place that catches them to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archforge.errors import Diagnostic, DiagnosticError

__all__ = ["LimitError", "Noting", "Overspent", "Poisoned"]


class Overspent(Exception):
    """Raised where the budget of a compilation is used up; the text says which."""


class Poisoned(Exception):
    """Raised where a value is needed that stands behind a mistake, which is reported already."""


class LimitError(Exception):
    """Raised where a limit is exceeded, so that there is no point in going on.

    It is no `DiagnosticError`: whoever collects mistakes to go on behind them lets it pass.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics


class Noting:
    """Context that hands the mistakes raised in it to `note`, after which the code behind it goes on.

    A `Poisoned` ends it quietly: its mistake is noted already. One object serves any number of times.
    """

    __slots__ = ("note",)

    def __init__(self, note: Callable[[Iterable[Diagnostic]], object]) -> None:
        self.note = note

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if isinstance(error, DiagnosticError):
            self.note(error.diagnostics)
            return True
        return isinstance(error, Poisoned)
