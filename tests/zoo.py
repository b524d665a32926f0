"""The shipped networks and the reference data that stands beside the tests."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from archforge.resources import zoo_folder
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.resolve import resolve
from archforge.spec.resolve.spec import Spec

__all__ = ["DATA", "expected", "family", "networks", "reference", "unpacked", "write_packed"]

DATA = Path(__file__).parent / "data"
PACKED = ".json.gz"


@cache
def networks() -> dict[str, Spec]:
    """Every network of the zoo by name; templates and files of blocks are left out."""
    library = Library()
    specs = (resolve(library.read(path), library, path.stem) for path in spec_files(zoo_folder()))
    return {spec.name: spec for spec in specs if spec.header.kind == "network"}


def family(name: str) -> str:
    """The template of a network, through the networks that it extends; its own name if it has none."""
    base = networks()[name].document.header.extends
    return family(base) if base in networks() else base or name


def expected(name: str, profile: str) -> dict[str, Any]:
    """The content of `profile` in the `expect` of a spec, as plain data."""
    expect = networks()[name].expect
    assert expect is not None
    cells = expect.entries[profile].value.plain()
    assert isinstance(cells, dict)
    return cells


def reference(path: str) -> dict[str, Any]:
    """The packed JSON at `path` below the data folder. Fails with the way out if it is missing."""
    data = unpacked(path)
    assert data is not None, f"the spec needs data/{path}{PACKED}, see data/README.md"
    return data


def unpacked(path: str) -> dict[str, Any] | None:
    """The packed JSON at `path` below the data folder, if it is there."""
    file = DATA / f"{path}{PACKED}"
    if not file.is_file():
        return None
    data: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return data


def write_packed(path: str, content: dict[str, Any]) -> None:
    """JSON at `path` below the data folder, packed: the same content gives the same bytes."""
    with (DATA / f"{path}{PACKED}").open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as pack:
        pack.write(json.dumps(content, separators=(",", ":")).encode())
