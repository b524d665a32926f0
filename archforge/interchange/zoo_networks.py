"""The networks of the zoo, which a graph is looked for among, and what they are documented to have."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.resources import zoo_folder
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.sources import open_spec
from archforge.spec.resolve.spec import Spec

__all__ = ["documented_params", "zoo_networks"]


def zoo_networks() -> Iterator[Spec]:
    """Every network of the zoo, in order of names."""
    library = Library()
    specs = (open_spec(path, library) for path in spec_files(zoo_folder()))
    return (spec for spec in specs if spec.header.kind == "network")


def documented_params(spec: Spec, profile: str) -> object:
    """The parameters of a profile by `expect`: a number, a figure in words, or None where it says nothing."""
    entries = spec.expect.entries if spec.expect else {}
    cells = entries[profile].value.plain() if profile in entries else {}
    return cells.get("params") if isinstance(cells, dict) else None
