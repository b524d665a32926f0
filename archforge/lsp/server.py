"""Server: the protocol's requests, each answered by the module that it is about.

Specs are analysed in a thread of their own a moment after the last keystroke; requests are answered from what
was found last, so that they need no analysis. Positions are counted in characters everywhere but here.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from archforge import __version__
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span
from archforge.lsp.completion import completions
from archforge.lsp.definition import definition
from archforge.lsp.fixes import Fix, fixes
from archforge.lsp.hover import hover
from archforge.lsp.marks import inlay_hints, lenses
from archforge.lsp.open_specs import Analysis, OpenSpecs, file_of
from archforge.lsp.symbols import Symbol, new_name, references, symbol_at
from archforge.paths import resolved
from archforge.spec.printing.formatted import formatted
from archforge.spec.resolve.library import is_among_specs

__all__ = ["serve"]

QUIET_S = 0.15  # without a keystroke, before a text is analysed


class Asked(Protocol):
    """A request about a position in a document."""

    @property
    def text_document(self) -> types.TextDocumentIdentifier: ...
    @property
    def position(self) -> types.Position: ...


class SpecServer(LanguageServer):
    """A server with the specs that are open."""

    def __init__(self) -> None:
        super().__init__(
            "archforge", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Incremental
        )
        self.specs = OpenSpecs()
        self._lock = threading.Lock()  # one analysis at a time
        self._timers: dict[Path, threading.Timer] = {}
        # The diagnostics that are found in each open file, by the file that they stand in.
        self._told: dict[Path, dict[str, list[types.Diagnostic]]] = {}

    def changed(self, uri: str) -> None:
        """Take the text of an open file, and analyse it, and the open ones that it is a part of, once nothing
        changes for a moment."""
        path, text = path_of(uri), self.workspace.get_text_document(uri).source
        if path in self.specs.open_files or is_among_specs(path, text):
            self.specs.open(path, text)
            for file in dict.fromkeys((path, *self.specs.readers(path))):
                self._later(file)

    def closed(self, uri: str) -> None:
        path = path_of(uri)
        if timer := self._timers.pop(path, None):
            timer.cancel()
        self.specs.close(path)
        for told in self._told.pop(path, {}):
            self._publish(told)

    def saved(self) -> None:
        """Analyse every open file: one that was saved may be a template of others."""
        for path in self.specs.open_files:
            self._later(path)

    def _later(self, path: Path) -> None:
        if timer := self._timers.pop(path, None):
            timer.cancel()
        timer = threading.Timer(QUIET_S, self._analyse, (path,))
        timer.daemon = True
        self._timers[path] = timer
        timer.start()

    def _analyse(self, path: Path) -> None:
        with self._lock:
            if path not in self.specs.open_files:
                return
            found = self.specs.analyse(path)
        if self.specs.current(path) is found:
            self._tell(found)
            self._refresh()

    def _refresh(self) -> None:
        """Have the client ask again for marks within the text, if it can."""
        can = self.client_capabilities.workspace
        if can and can.inlay_hint and can.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)
        if can and can.code_lens and can.code_lens.refresh_support:
            self.workspace_code_lens_refresh(None)

    def _tell(self, found: Analysis) -> None:
        """Send diagnostics to the files where they are, and take back those of before."""
        by_uri: dict[str, list[types.Diagnostic]] = {uri_of(found.path): []}
        for diagnostic in found.diagnostics:
            file = file_of(diagnostic.span) if diagnostic.span else found.path
            by_uri.setdefault(uri_of(file), []).append(self.diagnostic(diagnostic))
        before = self._told.get(found.path, {})
        self._told[found.path] = by_uri
        for uri in before | by_uri:
            self._publish(uri)

    def _publish(self, uri: str) -> None:
        """Send what stands in a file, be it found in this one or in another that is open, each once."""
        told: list[types.Diagnostic] = []
        for by_uri in self._told.values():
            told += [diagnostic for diagnostic in by_uri.get(uri, ()) if diagnostic not in told]
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, told))

    def diagnostic(self, found: Diagnostic) -> types.Diagnostic:
        """A diagnostic as the protocol has it, with the places of its notes and of the calls before it."""
        related = [(note.message, note.span) for note in found.notes if note.span]
        related += [(f"`{frame.block}` is called here", frame.span) for frame in reversed(found.trace)]
        told = [found.message, found.label, *(n.message for n in found.notes if not n.span)]
        told += [f"help: {found.help}"] if found.help else []
        severity = types.DiagnosticSeverity
        return types.Diagnostic(
            self.range(found.span) if found.span else types.Range(START, START),
            "\n".join(filter(None, told)),
            severity=severity.Warning if found.is_warning else severity.Error,
            code=found.code,
            source="archforge",
            related_information=[
                types.DiagnosticRelatedInformation(self.location(span), text) for text, span in related
            ],
        )

    def location(self, span: Span) -> types.Location:
        """The place of a span in its file."""
        return types.Location(uri_of(file_of(span)), self.range(span))

    def range(self, span: Span) -> types.Range:
        """The place of a span in the units of the client."""
        start, end = (types.Position(span.line, span.column + n) for n in (0, span.length))
        return self.to_client(types.Range(start, end), span.source.text.split("\n"))

    def to_client(self, place: types.Range, lines: Sequence[str]) -> types.Range:
        """A range in characters as one in the units of the client."""
        return self.workspace.position_codec.range_to_client_units(list(lines), place)

    def document(self, uri: str) -> TextDocument:
        """An open document; what is asked of one that is closed by now is refused."""
        document = self.workspace.get_text_document(uri)
        if document not in self.workspace.text_documents.values():
            raise JsonRpcInvalidParams(f"{uri} is not open")
        return document

    def at(self, asked: Asked) -> tuple[TextDocument, int, int]:
        """The document, the line and the column, in characters, that a request is about."""
        document = self.document(asked.text_document.uri)
        codec = self.workspace.position_codec
        position = codec.position_from_client_units(document.lines, asked.position)
        return document, position.line, position.character

    def symbol(self, asked: Asked) -> Symbol | None:
        """The block or argument that the word at a position means."""
        document, line, column = self.at(asked)
        found = self.found(document.uri)
        return symbol_at(found, line, column) if found else None

    def found(self, uri: str) -> Analysis | None:
        """The analysis of an open file's text as it is now."""
        return self.specs.current(path_of(uri))


START = types.Position(0, 0)
server = SpecServer()


def path_of(uri: str) -> Path:
    """The path, without links, of a file; one that is not saved yet has a name of its own in the working
    folder."""
    parts = urlsplit(uri)
    path = Path(url2pathname(parts.path)) if parts.scheme == "file" else Path.cwd() / Path(parts.path).name
    return resolved(path)


def uri_of(path: Path) -> str:
    """The URI that the client has for a file: its own where the file is open."""
    for document in server.workspace.text_documents.values():
        if path_of(document.uri) == path:
            return str(document.uri)
    return str(path.as_uri())


@server.feature(types.TEXT_DOCUMENT_DID_OPEN)
def _opened(ls: SpecServer, params: types.DidOpenTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


@server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
def _changed(ls: SpecServer, params: types.DidChangeTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


@server.feature(types.TEXT_DOCUMENT_DID_SAVE)
def _saved(ls: SpecServer, params: types.DidSaveTextDocumentParams) -> None:
    ls.saved()


@server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
def _closed(ls: SpecServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.closed(params.text_document.uri)


@server.feature(
    types.TEXT_DOCUMENT_COMPLETION,
    types.CompletionOptions(trigger_characters=[" ", "{", "[", "=", ",", "."]),
)
def _completion(ls: SpecServer, params: types.CompletionParams) -> list[types.CompletionItem]:
    document, line, column = ls.at(params)
    path = path_of(document.uri)
    if path not in ls.specs.open_files:
        return []
    return completions(ls.specs.last(path), path, document.source, line, column)


@server.feature(types.TEXT_DOCUMENT_HOVER)
def _hover(ls: SpecServer, params: types.HoverParams) -> types.Hover | None:
    document, line, column = ls.at(params)
    found = ls.found(document.uri)
    told = hover(found, line, column) if found else None
    if told and told.range:
        told.range = ls.to_client(told.range, document.lines)
    return told


@server.feature(types.TEXT_DOCUMENT_DEFINITION)
def _definition(ls: SpecServer, params: types.DefinitionParams) -> types.Location | None:
    document, line, column = ls.at(params)
    found = ls.found(document.uri)
    span = definition(found, line, column) if found else None
    return ls.location(span) if span else None


@server.feature(types.TEXT_DOCUMENT_REFERENCES)
def _references(ls: SpecServer, params: types.ReferenceParams) -> list[types.Location]:
    symbol = ls.symbol(params)
    places = references(symbol, ls.specs.texts) if symbol else {}
    return [ls.location(span) for spans in places.values() for span in spans]


@server.feature(types.TEXT_DOCUMENT_RENAME)
def _rename(ls: SpecServer, params: types.RenameParams) -> types.WorkspaceEdit | None:
    symbol = ls.symbol(params)
    if symbol is None:
        return None
    try:
        places = new_name(symbol, params.new_name, ls.specs.texts)
    except DiagnosticError as error:
        raise JsonRpcInvalidParams(error.diagnostics[0].message) from None
    edits = {
        uri_of(path): [types.TextEdit(ls.range(span), params.new_name) for span in spans]
        for path, spans in places.items()
    }
    return types.WorkspaceEdit(edits)


@server.feature(types.TEXT_DOCUMENT_FORMATTING)
def _formatting(ls: SpecServer, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
    document = ls.document(params.text_document.uri)
    path, text = path_of(document.uri), document.source
    if path not in ls.specs.open_files:
        return []
    try:
        laid_out = formatted(SourceFile(path.name, text))
    except DiagnosticError:  # its diagnostics are shown already
        return []
    whole = types.Range(START, types.Position(len(document.lines) + 1, 0))
    return [types.TextEdit(whole, laid_out)] if laid_out != text else []


@server.feature(types.TEXT_DOCUMENT_INLAY_HINT)
def _inlay_hints(ls: SpecServer, params: types.InlayHintParams) -> list[types.InlayHint]:
    document = ls.document(params.text_document.uri)
    found = ls.found(document.uri)
    hints = inlay_hints(found, params.range.start.line, params.range.end.line) if found else []
    for hint in hints:
        hint.position = ls.workspace.position_codec.position_to_client_units(document.lines, hint.position)
    return hints


@server.feature(types.TEXT_DOCUMENT_CODE_LENS)
def _code_lens(ls: SpecServer, params: types.CodeLensParams) -> list[types.CodeLens]:
    found = ls.found(params.text_document.uri)
    return lenses(found) if found else []


@server.feature(
    types.TEXT_DOCUMENT_CODE_ACTION,
    types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
)
def _code_action(ls: SpecServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    found = ls.found(params.text_document.uri)
    if not found:
        return []
    lines = params.range.start.line, params.range.end.line
    return list(_actions(ls, params.text_document.uri, fixes(found, *lines)))


def _actions(ls: SpecServer, uri: str, found: Iterator[Fix]) -> Iterator[types.CodeAction]:
    document = ls.workspace.get_text_document(uri)
    for fix in found:
        start, end = types.Position(fix.line, fix.start), types.Position(fix.line, fix.end)
        place = ls.to_client(types.Range(start, end), document.lines)
        yield types.CodeAction(
            fix.title,
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[ls.diagnostic(fix.diagnostic)],
            edit=types.WorkspaceEdit({uri: [types.TextEdit(place, fix.text)]}),
            is_preferred=not fix.diagnostic.is_warning,
        )


def serve() -> None:
    """Answer an editor over standard input and output until it says that it is done."""
    # Copies of both, since pygls closes what it is given.
    requests, answers = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())
    with os.fdopen(requests, "rb") as asked, os.fdopen(answers, "wb") as told:
        server.start_io(asked, told)
