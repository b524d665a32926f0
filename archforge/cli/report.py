"""`archforge report`: networks as a page to work with."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge.analysis.difference.networks import compare_networks
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
from archforge.difference import Side
from archforge.errors import fail, in_order

__all__ = ["report"]


def report(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC", help="Specs: files, names in the shipped zoo, SPEC@PROFILE, SPEC:BLOCK, or -."
        ),
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
    documented figures with their sources, every layer in a table, search, keys. Of two specs the page shows
    first what changed from one to the other, both pictures beside each other, as `archforge diff` does.
    """
    from archforge.atomic_files import written_beside
    from archforge.export.network_page import difference_page, network_page

    path = output_file(output, "report", (".html",))
    with Progress("reading specs") as progress:
        sides = [_side(spec, profile, input, set) for spec in specs]
        of_specs = [side.networks(every=True) for side in sides]
        networks = [network for found in of_specs for network in found]
        with progress.paused():
            heed(in_order(w for network in networks for w in network.warnings), warnings)
        if len(specs) == 2:
            titles = sides[0].title(of_specs[0][0]), sides[1].title(of_specs[1][0])
            found = compare_networks(of_specs[0][0], of_specs[1][0], titles)
            content = difference_page(found, networks)
        else:
            content = network_page(networks)
    with written_beside(path) as file:
        file.write(content.encode())
    print(f"wrote {path.as_posix()}")


def _side(spec: str, profile: str | None, input: str | None, set: list[str] | None) -> Side:
    """The side that an argument names. Raises E0001 where it and `--profile` both name a profile."""
    side = Side(spec, profile, settings(set), input_shape(input))
    if profile and side.is_marked:
        fail("E0001", f"`--profile {profile}` changes nothing for `{spec}`", help="leave one of the two out")
    return side
