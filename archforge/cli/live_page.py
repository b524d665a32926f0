"""The page of a spec that is being edited: read again when a file of it changes, and given to browsers of
this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from archforge import driver
from archforge.analysis.network import Network
from archforge.atomic_files import reason_of
from archforge.cli.options import input_shape, settings
from archforge.errors import Diagnostic, DiagnosticError, fail, in_order
from archforge.export.network_page import network_page, page_data
from archforge.spec.resolve.library import Library

__all__ = ["LivePage", "PageServer"]

HOST = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_Signature = dict[Path, tuple[int, int]]


class LivePage:
    """The networks of a spec as its files are now, or as they were when they were last right, and its
    mistakes.

    version: a number that grows with each change.
    """

    def __init__(
        self,
        spec: str,
        profile: str | None = None,
        input: str | None = None,
        given: Sequence[str] | None = None,
    ) -> None:
        self.spec, self.profile = spec, profile
        self.shape, self.settings = input_shape(input), settings(given)
        self.version = 0
        self.networks: tuple[Network, ...] = ()
        self.mistakes: tuple[Diagnostic, ...] = ()
        self._files: set[Path] = set()
        self._seen: _Signature | None = None  # as the files were before they were read
        self._lock = Lock()

    def refresh(self) -> None:
        """Read the spec again if one of its files is another than at the last time. Raises E0002 for a spec
        that was never there."""
        with self._lock:
            if (now := self._signature()) == self._seen:
                return
            self._seen = now
            library = Library()
            try:
                self.networks = self._read(library)
                self._files = {*library.files}
                found = [d for n in self.networks for d in (*n.problems, *n.warnings)]
                self.mistakes = tuple(in_order(found))
            except DiagnosticError as error:
                self._files |= {*library.files}
                if not self._files:
                    raise
                self.mistakes = error.diagnostics
            self._seen = {path: now.get(path, state) for path, state in self._signature().items()}
            self.version += 1

    def _read(self, library: Library) -> tuple[Network, ...]:
        spec = driver.open_spec(self.spec, library)
        return driver.networks_of(spec, self.profile, settings=self.settings, input_shape=self.shape)

    def _signature(self) -> _Signature:
        """The files with when they were last written and their sizes; 0 for what is not there."""
        found = {}
        for path in self._files:
            try:
                status = path.stat()
            except OSError:
                found[path] = 0, 0
            else:
                found[path] = status.st_mtime_ns, status.st_size
        return found

    def html(self) -> str:
        state = self.state()  # first: a version that is too old is asked for again, and one too new is not
        return network_page(self.networks, title=self.spec, live=state)

    def state(self) -> dict[str, Any]:
        """The version and the mistakes as they are printed."""
        return {"version": self.version, "mistakes": "\n\n".join(d.render() for d in self.mistakes)}

    def changes(self, have: int) -> dict[str, Any] | None:
        """The state, with the data of the page, for a browser that has an older version; None for the
        newest."""
        return None if have == self.version else self.state() | page_data(self.networks)


class PageServer(ThreadingHTTPServer):
    """A server of one page for browsers of this machine. Raises E0001 for a port that it cannot have."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, page: LivePage, port: int) -> None:
        try:
            super().__init__((HOST, port), partial(_Handler, page))
        except OSError as error:
            fail(
                "E0001",
                f"`--port {port}` cannot be had: {reason_of(error)}",
                help="--port 0 takes a free one",
            )
        self.port: int = self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    """Answers to this machine's browsers, asked by the page itself: another site's page can reach a server on
    this machine too, also under a name of its own."""

    server: PageServer

    def __init__(self, page: LivePage, *arguments: Any) -> None:
        self.page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        hosts = {f"{host}:{self.server.port}" for host in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        is_own = origin is None or origin.removeprefix("http://") in hosts
        if self.headers.get("Host") not in hosts or not is_own or site not in ("none", "same-origin"):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "asked from another origin\n")
            return
        url = urlsplit(self.path)
        self.page.refresh()
        if url.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.page.html())
        elif url.path == "/changes":
            changes = self.page.changes(_number(parse_qs(url.query).get("have", [""])[0]))
            if changes is None:
                self._answer(HTTPStatus.NO_CONTENT, "application/json", "")
            else:
                self._answer(HTTPStatus.OK, "application/json", json.dumps(changes))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is only /\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
