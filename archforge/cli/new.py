"""`archforge new`: a commented spec to start from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from archforge.errors import fail
from archforge.resources import templates_folder

__all__ = ["new"]

STARTING_SPEC = "new_spec.yaml"
SCHEMA = "archforge.schema.json"  # what the first line of the spec names


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the network: small letters, digits and _.")
    ],
    folder: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Where to write NAME.yaml.")
    ] = ".",
) -> None:
    """Write a commented spec that builds, and beside it the schema that editors complete and check it by."""
    from archforge.atomic_files import made_folder, written_beside
    from archforge.spec.printing.scalars import write_scalar
    from archforge.spec.schema.schema import general_schema

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        fail(
            "E0001",
            f"`{name}` cannot name a spec",
            help="small letters, digits and _, a letter first: my_net_18",
        )
    spec, schema = Path(folder) / f"{name}.yaml", Path(folder) / SCHEMA
    if os.path.lexists(spec):
        fail("E0705", f"{spec.as_posix()} is there already", help="choose another name, or remove it first")
    text = (templates_folder() / STARTING_SPEC).read_text(encoding="utf-8")
    title = name.replace("_", " ").capitalize()
    texts = {spec: text.replace("TITLE", write_scalar(title, in_flow=False))}
    if not os.path.lexists(schema):
        texts[schema] = json.dumps(general_schema(), indent=2, ensure_ascii=False) + "\n"
    made_folder(spec.parent)
    for path, content in texts.items():
        with written_beside(path) as file:
            file.write(content.encode())
        print(f"wrote {path.as_posix()}")
    print(f"next: archforge build {spec.as_posix()}")
