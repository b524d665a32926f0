"""Exceptions that end the evaluation of a formula, and those of them behind which the work goes on."""

from __future__ import annotations

from archforge.errors import Diagnostic, DiagnosticError

__all__ = ["MISTAKES", "LimitError", "Poisoned", "mistakes_in"]


class Poisoned(Exception):
    """Raised where a value is needed that stands behind a mistake, which is reported already."""


class LimitError(Exception):
    """Raised where a limit is exceeded, so that there is no point in going on.

    It is no `DiagnosticError`: whoever collects mistakes to go on behind them lets it pass.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics


# Raised by a mistake, behind which the work can go on: `except MISTAKES as error`, then `mistakes_in(error)`.
MISTAKES = (DiagnosticError, Poisoned)


def mistakes_in(error: DiagnosticError | Poisoned) -> tuple[Diagnostic, ...]:
    """The diagnostics of a caught mistake; none for `Poisoned`, whose mistake is noted already."""
    return error.diagnostics if isinstance(error, DiagnosticError) else ()
