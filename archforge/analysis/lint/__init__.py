"""Rules of practice that `archforge lint` holds, besides the warnings of every check.

Each is in a file of its own that ends with its `RULE`; it is found by being there. What its code means is in
`codes.py`, its page in `code_pages.yaml`, and a comment `# meant: CODE` says that it is not for a line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec
from archforge.spec.yaml.meant_comments import unmeant

__all__ = ["LintRule", "all_rules", "lint"]


@cache
def all_rules() -> dict[str, LintRule]:
    """Every rule by its code, in order."""
    modules = [import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)]
    found: list[LintRule] = [m.RULE for m in modules if hasattr(m, "RULE")]
    return {rule.code: rule for rule in sorted(found, key=lambda rule: rule.code)}


def lint(spec: Spec, networks: Sequence[Network], codes: Collection[str]) -> tuple[Diagnostic, ...]:
    """Diagnostics that the rules of these codes find in a spec and the networks of its profiles, each place
    once for each rule; those that a comment says are meant are left out."""
    found: dict[tuple[object, ...], Diagnostic] = {}
    for code, rule in all_rules().items():
        for diagnostic in rule.find(spec, networks) if code in codes else ():
            found.setdefault((code, diagnostic.span), diagnostic)
    return unmeant(found.values())
