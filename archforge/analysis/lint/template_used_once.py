"""W0509: a template that one spec alone extends, and that leaves nothing open."""

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
    is_whole = all(arg.default or name in spec.values for name, arg in spec.args.items())
    is_template = document.header.kind == "template"
    users = referring(Path(document.source.name)) if is_template and is_whole else []
    if len(users) == 1:
        user = users[0].name
        help = f"write what {user} says into this file, and leave out `kind: template`"
        yield Diagnostic("W0509", f"{user} alone extends this template", document.span_of("kind"), help=help)


RULE = LintRule("W0509", _find, by_default=True)
