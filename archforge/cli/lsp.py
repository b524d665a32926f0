"""`archforge lsp`: the language server for editors."""

from __future__ import annotations

import signal

from archforge.errors import fail

__all__ = ["lsp"]


def lsp() -> None:
    """Serve an editor over standard input and output, by the Language Server Protocol.

    An editor starts it by itself; docs/editors.md says how to tell it to.
    """
    try:
        from archforge.lsp.server import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        fail("E0701", f"the language server needs {error.name}", help="pip install 'archforge-zoo[lsp]'")
    # pygls would wait for the thread that reads requests, until the editor closes them.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    serve()
