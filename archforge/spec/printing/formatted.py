"""A spec's text in the one layout. It need not parse: formulas that brackets would tear get quotes first."""

from __future__ import annotations

from archforge.errors import Diagnostic, DiagnosticError, SourceFile
from archforge.spec.printing.document import print_document
from archforge.spec.yaml.tree import Tree, parse_yaml

__all__ = ["formatted"]

TORN = "E0104"  # its span is what must be quoted, its help the same in quotes


def formatted(source: SourceFile) -> str:
    """The text of a spec as `print_document` lays it out; what it says stays. Raises what makes it no YAML,
    and E0705 where a comment or a key cannot be kept."""
    return print_document(_parsed(source), as_written=True)


def _parsed(source: SourceFile) -> Tree:
    """The tree of a text, in which each formula that must be quoted is."""
    quoted = 0
    while True:
        try:
            return parse_yaml(source)
        except DiagnosticError as error:
            torn = [d for d in error.diagnostics if d.code == TORN and d.span and d.help.startswith("'")]
            if not torn or quoted >= len(source.lines) + source.text.count("="):
                raise
            source = _with_quotes(source, torn[0])
            quoted += 1


def _with_quotes(source: SourceFile, torn: Diagnostic) -> SourceFile:
    """The text with quotes around what a diagnostic says must have them."""
    assert torn.span is not None
    span = torn.span
    lines = source.text.splitlines(keepends=True)
    line = lines[span.line]
    lines[span.line] = f"{line[: span.column]}{torn.help}{line[span.column + span.length :]}"
    return SourceFile(source.name, "".join(lines))
