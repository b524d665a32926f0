"""`archforge new`: a commented spec to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from archforge.errors import fail
from archforge.resources import templates_folder

__all__ = ["new"]

STARTING_SPEC = "new_spec.yaml"


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the network: small letters, digits and _.")
    ],
    folder: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Where to write NAME.yaml.")
    ] = ".",
) -> None:
    """Write a commented spec that builds, to start from."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        fail(
            "E0001",
            f"`{name}` cannot name a spec",
            help="small letters, digits and _, a letter first: my_net_18",
        )
    path = Path(folder) / f"{name}.yaml"
    if path.exists():
        fail("E0705", f"{path.as_posix()} is there already", help="choose another name, or remove it first")
    text = (templates_folder() / STARTING_SPEC).read_text(encoding="utf-8")
    title = name.replace("_", " ").capitalize()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("TITLE", title), encoding="utf-8")
    except OSError as error:
        fail("E0705", f"{path.as_posix()} cannot be written: {error.strerror}")
    print(f"wrote {path.as_posix()}; next: archforge build {path.as_posix()}")
