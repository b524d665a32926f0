"""`archforge lsp`: the language server for editors."""

from __future__ import annotations

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
    serve()
