"""W0501: figures whose source is the computation that they are to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.spec.resolve.spec import Spec
from archforge.spec.yaml.tree import Mapping, Scalar

__all__ = ["RULE"]

NO_SOURCES = ("computed", "archforge", "unknown", "todo", "?")


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for entry in spec.expect or ():
        source = entry.value.get("source") if isinstance(entry.value, Mapping) else None
        if isinstance(source, Scalar) and str(source.value).strip().lower() in NO_SOURCES:
            message = f"the figures of `{entry.key}` are their own source"
            help = "who says so, and where: a paper with its table, a library with its version"
            yield Diagnostic("W0501", message, source.span, help=help)


RULE = LintRule("W0501", _find, by_default=True)
