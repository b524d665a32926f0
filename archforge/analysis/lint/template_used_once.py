"""W0509: a template that one spec alone extends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.family import referring
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    document = spec.document
    users = referring(Path(document.source.name)) if document.header.kind == "template" else []
    if len(users) == 1:
        user = users[0].name
        help = f"write what {user} says into this file, and leave out `kind: template`"
        yield Diagnostic("W0509", f"{user} alone extends this template", document.span_of("kind"), help=help)


RULE = LintRule("W0509", _find, by_default=False)
