"""`archforge draw`: a network as a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge.cli.options import (
    InputOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    network_of,
    output_file,
)
from archforge.errors import fail
from archforge.export.target import DrawingOptions, Level

__all__ = ["draw"]

SVG, PNG = ".svg", ".png"


def draw(
    spec: SpecArgument,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="An .svg, or a .png, which takes an installed Chromium."
        ),
    ],
    level: Annotated[
        Level,
        typer.Option(
            "--level", help="What is a box: a call of a block, equal calls in a row, or each layer."
        ),
    ] = Level.BLOCK,
    counts: Annotated[
        bool, typer.Option("--counts", help="Say the parameters and MACs of each box.")
    ] = False,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale", min=1, max=8, metavar="N", help="Pixels of a .png in one of the .svg. Default: 2."
        ),
    ] = None,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    warnings: WarningsOption = Warnings.DEFAULT,
) -> None:
    """Draw a network: its blocks as nested boxes, equal ones in a row as one, and every edge with its shape.

    What skips boxes is drawn in a colour of its own, and dashed where it comes from inside of a block.
    """
    from archforge.atomic_files import written_beside
    from archforge.export.svg import drawn

    path = output_file(output, "picture", (SVG, PNG))
    if scale is not None and path.suffix == SVG:
        fail("E0001", "`--scale` is for a .png", help="an .svg is sharp at every size")
    picture = drawn(network_of(spec, profile, input, set, warnings), DrawingOptions(level, counts))
    content = picture.text.encode()
    if path.suffix == PNG:
        from archforge.export.browser import png_of

        content = png_of(picture.text, picture.width, picture.height, 2 if scale is None else scale)
    with written_beside(path) as file:
        file.write(content)
    print(f"wrote {path.as_posix()}")
