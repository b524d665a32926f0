"""`archforge fold`: a network as a shorter spec of the same graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archforge.atomic_files import made_folder, written_beside
from archforge.cli.options import (
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    network_of,
)
from archforge.cli.output import print_json
from archforge.cli.progress import Progress
from archforge.errors import fail
from archforge.interchange.decompile import fold as folded

__all__ = ["fold"]


def fold(
    spec: SpecArgument,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write the spec. Default: standard output."
        ),
    ] = None,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print a network as a spec with blocks, formulas and loops found in its graph alone.

    The spec is read again and proved to be the same graph, node by node. It has none of the names, arguments,
    profiles and figures of SPEC.
    """
    if output is not None and output.exists() and Path(spec).exists() and output.samefile(spec):
        fail("E0705", f"{output} is the spec itself", help="another name, or print it and compare first")
    with Progress(f"folding {spec}"):
        network = network_of(spec, profile, input, set, warnings)
        made = folded(network.graph, network.spec.header.title or network.name)
        if output is not None:
            made_folder(output.parent)
            with written_beside(output) as file:
                file.write(made.text.encode())
    nodes = len(network.graph.nodes)
    if as_json:
        print_json(
            {
                "name": network.name,
                "profile": network.profile,
                "file": None if output is None else output.as_posix(),
                "nodes": nodes,
                "lines": made.lines,
                "blocks": made.blocks,
                "spec": made.text if output is None else None,
                "ok": True,
            }
        )
    elif output is None:
        print(made.text, end="")
    else:
        print(f"wrote {output.as_posix()}: {nodes:,} nodes in {made.lines:,} lines, {made.blocks} blocks")
