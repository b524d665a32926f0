"""`archforge schema`: what an editor needs to complete and check specs."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge import driver
from archforge.cli.output import print_json

__all__ = ["schema"]


def schema(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A spec whose own blocks and arguments the schema knows. Default: any spec.",
        ),
    ] = None,
) -> None:
    """Print a JSON Schema (draft-07): for all specs, or a strict one for SPEC."""
    from archforge.spec.schema.schema import general_schema, spec_schema

    print_json(general_schema() if spec is None else spec_schema(driver.open_spec(spec)))
