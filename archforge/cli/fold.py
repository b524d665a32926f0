"""`archforge fold`: a network as a shorter spec of the same graph."""

from __future__ import annotations

from contextlib import ExitStack
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
from archforge.interchange.converted_weights import mapping_bytes
from archforge.interchange.decompile import fold as folded
from archforge.paths import is_there

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
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--mapping",
            metavar="FILE",
            help="A JSON file to write, by which `archforge weights convert` gives weights of SPEC their new "
            "names.",
        ),
    ] = None,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print a network as a spec with blocks, formulas and loops found in its graph alone.

    The spec is read again and proved to be the same graph, node by node. It has none of the names, arguments,
    profiles and figures of SPEC.
    """
    _refuse_to_overwrite(spec, output, mapping)
    with Progress(f"folding {spec}"):
        network = network_of(spec, profile, input, set, warnings)
        made = folded(network.graph, network.spec.header.title or network.name)
        names = {"network": network.name, "profile": network.profile, "parameters": dict(made.parameters)}
        with ExitStack() as files:
            for path, content in ((output, made.text.encode()), (mapping, mapping_bytes(names))):
                if path is not None:
                    made_folder(path.parent)
                    files.enter_context(written_beside(path)).write(content)
    nodes = len(network.graph.nodes)
    if as_json:
        print_json(
            {
                "name": network.name,
                "profile": network.profile,
                "file": None if output is None else output.as_posix(),
                "mapping": None if mapping is None else mapping.as_posix(),
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
        if mapping is not None:
            print(f"wrote {mapping.as_posix()}")
        print(f"wrote {output.as_posix()}: {nodes:,} nodes in {made.lines:,} lines, {made.blocks} blocks")


def _refuse_to_overwrite(spec: str, output: Path | None, mapping: Path | None) -> None:
    """Raises E0705 where the spec that is read would be lost, or one file is to hold two things."""
    if output is not None and output == mapping:
        fail(
            "E0705", f"{output} cannot be both the spec and its mapping", help="another name for one of them"
        )
    for path in (output, mapping):
        if path is not None and is_there(path) and is_there(Path(spec)) and path.samefile(spec):
            fail("E0705", f"{path} is the spec itself", help="another name, or print it and compare first")
