"""`archforge report`: networks as a page to work with."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge import driver
from archforge.analysis.network import Network
from archforge.cli.options import (
    InputOption,
    SetOption,
    Warnings,
    WarningsOption,
    heed,
    input_shape,
    output_file,
    settings,
)
from archforge.cli.progress import Progress
from archforge.errors import in_order

__all__ = ["report"]


def report(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC", help="Specs: files, names in the shipped zoo, SPEC:BLOCK, or -."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The .html to write.")],
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", metavar="NAME", help="Only this profile. Default: all of them."),
    ] = None,
    input: InputOption = None,
    set: SetOption = None,
    warnings: WarningsOption = Warnings.DEFAULT,
) -> None:
    """Write a page of HTML that shows networks, and needs nothing beside it.

    Blocks open and close, a click gives attributes, counts and the line of the spec; bars over depth,
    documented figures with their sources, every layer in a table, search, keys.
    """
    from archforge.atomic_files import written_beside
    from archforge.export.network_page import network_page

    path = output_file(output, "report", (".html",))
    with Progress("reading specs") as progress:
        networks = [network for spec in specs for network in _networks(spec, profile, input, set)]
        with progress.paused():
            heed(in_order(w for network in networks for w in network.warnings), warnings)
        content = network_page(networks).encode()
    with written_beside(path) as file:
        file.write(content)
    print(f"wrote {path.as_posix()}")


def _networks(
    spec: str, profile: str | None, input: str | None, set: list[str] | None
) -> tuple[Network, ...]:
    opened = driver.open_spec(spec)
    return driver.networks_of(opened, profile, settings=settings(set), input_shape=input_shape(input))
