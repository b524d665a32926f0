"""Open specs: those that an editor has open, and what was last found in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from archforge import driver
from archforge.analysis.network import Network, Report
from archforge.errors import Diagnostic, Span
from archforge.ir import Node, Scope
from archforge.paths import resolved
from archforge.spec.resolve.family import refers_to, text_of
from archforge.spec.resolve.library import SUFFIX, Library
from archforge.spec.resolve.spec import Spec
from archforge.spec.schema.schema import general_schema, spec_schema
from archforge.spec.schema.values import Json

__all__ = ["Analysis", "OpenSpecs", "file_of"]

# What ends a line in YAML, but for \n and \r\n, which alone do so here.
_RARE_ENDS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


def file_of(span: Span) -> Path:
    """The file that a span lies in: messages name those below the working folder from there."""
    return Path.cwd() / span.source.name


@dataclass(eq=False)
class Analysis:
    """A text of a spec, and what was found in it.

    network: the first profile, or for a template that of a network which extends it; None where there is
    none. spec, schema: those of this text, or of the last one that was well formed before it.
    """

    path: Path
    text: str
    diagnostics: tuple[Diagnostic, ...]
    spec: Spec | None
    schema: Json
    network: Network | None
    files: frozenset[Path]

    @cached_property
    def nodes(self) -> dict[tuple[int, int], list[Node]]:
        """The nodes of the network by the line and column where this file says them."""
        found: dict[tuple[int, int], list[Node]] = {}
        for node in self.network.graph.nodes if self.network else ():
            if node.span and self.holds(node.span):
                found.setdefault((node.span.line, node.span.column), []).append(node)
        return found

    @cached_property
    def scopes(self) -> dict[tuple[int, int], list[Scope]]:
        """The calls of blocks of the network by the line and column where this file says them."""
        found: dict[tuple[int, int], list[Scope]] = {}
        for scope in self.network.graph.scopes if self.network else ():
            if scope.span and scope.is_block and self.holds(scope.span):
                found.setdefault((scope.span.line, scope.span.column), []).append(scope)
        return found

    def prepare(self) -> None:
        """Work out what answers need, so that none of them waits for it."""
        if self.network:
            _ = self.nodes, self.scopes, self.network.ledger

    def holds(self, span: Span) -> bool:
        """True if a span lies in this file."""
        return file_of(span) == self.path


class OpenSpecs:
    """Texts of open specs over those on the disk. Paths are absolute, without links."""

    def __init__(self) -> None:
        self._texts: dict[Path, str] = {}
        self._found: dict[Path, Analysis] = {}

    def open(self, path: Path, text: str) -> None:
        """Take the text of a file that is open, in place of what is on the disk."""
        self._texts[path] = _RARE_ENDS.sub("\n", text)

    def close(self, path: Path) -> None:
        self._texts.pop(path, None)
        self._found.pop(path, None)

    @property
    def texts(self) -> Mapping[Path, str]:
        """The texts of open files."""
        return dict(self._texts)

    def readers(self, path: Path) -> list[Path]:
        """The open files that a file was read for: what it says is in what was found in them."""
        return [
            reader for reader in self._texts if (found := self._found.get(reader)) and path in found.files
        ]

    @property
    def open_files(self) -> tuple[Path, ...]:
        return tuple(self._texts)

    def last(self, path: Path) -> Analysis | None:
        """The last analysis, perhaps of an earlier text."""
        return self._found.get(path)

    def current(self, path: Path) -> Analysis | None:
        """The analysis of the text as it is now; None until there is one."""
        found = self._found.get(path)
        return found if found and found.text == self._texts.get(path) else None

    def analyse(self, path: Path) -> Analysis:
        """Check an open file, each profile of it, and keep what is found."""
        text, library = self._texts[path], Library(dict(self._texts))
        report = driver.report(path, library)
        networks, diagnostics = report.networks, [*_all(report)]
        if report.spec and report.spec.header.kind != "network":
            child = _child(path, library, self._texts)
            networks = child.networks if child else ()
            diagnostics += [d for d in _all(child) if d.span and file_of(d.span) == path] if child else []
        before = self._found.get(path)
        spec = report.spec or (before.spec if before else None)
        schema = spec_schema(report.spec) if report.spec else before.schema if before else general_schema()
        network, files = next(iter(networks), None), frozenset(library.files)
        found = Analysis(path, text, tuple(diagnostics), spec, schema, network, files)
        found.prepare()
        self._found[path] = found
        return found


def _all(report: Report) -> Iterator[Diagnostic]:
    yield from report.diagnostics
    yield from report.failures
    yield from report.warnings


def _child(path: Path, library: Library, texts: dict[Path, str]) -> Report | None:
    """A report on a spec of the same folder that extends or imports a file: of those that are open first."""
    beside = sorted(path.parent.glob(f"*{SUFFIX}"))
    for candidate in (*texts, *beside):
        real = resolved(candidate)
        if real != path and real.parent == path.parent and refers_to(text_of(real, texts), [path.stem]):
            found = driver.report(real, library)
            if found.networks or found.diagnostics:
                return found
    return None
