"""The table of rules in docs/lint.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from archforge.analysis.lint import all_rules
from archforge.codes import CODES

__all__ = ["LINT_PARTS"]

HOLDS = {True: "yes", False: "if selected"}


def lint_rules() -> str:
    """A row for each rule: its code, what it finds, and whether it holds by default."""
    rows = [
        f"| [{code}](errors.md#{code.lower()}) | {CODES[code]} | {HOLDS[rule.by_default]} |"
        for code, rule in all_rules().items()
    ]
    return "\n".join(["| rule | it finds | by default |", "| --- | --- | --- |", *rows])


LINT_PARTS: Mapping[str, Callable[[], str]] = {"lint_rules": lint_rules}
