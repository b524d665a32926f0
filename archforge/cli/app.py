"""The commands, one file each."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge import __version__
from archforge.cli import build, check, listing, new, run, schema, show, verify

__all__ = ["app"]

app = typer.Typer(
    help="Compile specs of convolutional networks: counts you can trust, checked against published tables, "
    "and a network that runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"archforge {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("build")(build.build)
app.command("check")(check.check)
app.command("show")(show.show)
app.command("list")(listing.list_zoo)
app.command("run")(run.run)
app.command("verify")(verify.verify)
app.command("new")(new.new)
app.command("schema")(schema.schema)
