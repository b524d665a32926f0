"""`archforge serve`: a spec as a page that follows while it is edited."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from archforge.cli.options import InputOption, ProfileOption, SetOption, SpecArgument
from archforge.errors import fail, fail_all
from archforge.spec.resolve.sources import STDIN

__all__ = ["serve"]


def serve(
    spec: SpecArgument,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="The port; 0 for a free one.")
    ] = 8765,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
) -> None:
    """Show a spec in the browser while it is edited: the page of `archforge report`, on this machine alone.

    A file that is saved is read again within a second: mistakes stand at their lines above the picture, which
    stays as it was when the spec was last right. Ctrl-C ends it.
    """
    from archforge.cli.live_page import LivePage, PageServer

    if spec == STDIN:
        fail("E0001", "standard input cannot be edited", help="name a file")
    page = LivePage(spec, profile, input, set)
    page.refresh()
    if profile is not None and any(mistake.code == "E0315" for mistake in page.mistakes):
        fail_all(page.mistakes)
    with PageServer(page, port) as server:
        print(f"{spec} is shown at http://127.0.0.1:{server.port}/ until Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
