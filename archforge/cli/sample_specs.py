"""`archforge sample -o DIR`: each sample as a spec that builds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archforge.analysis.sampling import DrawnNetwork
from archforge.atomic_files import made_folder, written_beside
from archforge.errors import fail
from archforge.paths import resolved
from archforge.resources import zoo_folder
from archforge.spec.expand.settings import plain_settings
from archforge.spec.printing.layout import Child, Collection, Part, lines_of, written
from archforge.spec.resolve.library import SUFFIX, Library
from archforge.spec.resolve.spec import NO_PROFILE

__all__ = ["write_specs"]


def write_specs(samples: Iterable[DrawnNetwork], seed: int, library: Library, folder: str) -> None:
    """Write a spec for each sample, which extends the space, and copies of the space's own files beside them.
    seed: of what is drawn.

    Raises E0001 for a space that is no file, and E0705 for what cannot be written.
    """
    if not library.files:
        fail("E0001", "samples extend their space, which is no file here", help="save it as a file")
    to = made_folder(Path(folder))
    home = library.files[0].parent
    for path in library.files:
        if not path.is_relative_to(resolved(zoo_folder())):
            copy = to / path.relative_to(home)
            made_folder(copy.parent)
            if not (copy.is_file() and copy.samefile(path)):
                _write(copy, path.read_bytes())
    name = library.files[0].name
    for sample in samples:
        path = to / f"{sample.name}{SUFFIX}"
        _write(path, _text(sample, name.removesuffix(SUFFIX), seed).encode())
        print(path.as_posix())


def _write(path: Path, content: bytes) -> None:
    with written_beside(path, synced=False) as file:
        file.write(content)


def _text(sample: DrawnNetwork, space: str, seed: int) -> str:
    """The spec of a sample: the space with the values that were drawn, and what they give as `expect`."""
    spec, profile = sample.space.spec, sample.space.profile.name
    inputs = sample.network().graph.inputs
    given, defaults = plain_settings(sample.space.settings, spec)
    values = {**given, **sample.draw.values}
    changes: dict[str, Any] = {"with": values} if profile == NO_PROFILE else {}
    own = values if profile != NO_PROFILE else {}
    own |= {"defaults": defaults} if defaults else {}
    changes |= {"profiles": {profile: own}} if own else {}
    if sample.space.input_shape is not None:
        shapes = {key: list(type_.shape) for key, type_ in inputs.items()}
        changes["input"] = shapes if isinstance(spec.input, dict) else shapes["input"]
    title = f"{spec.header.title or spec.name}, draw {sample.draw.number} of seed {seed}"
    cells = {"source": "computed", **sample.counts.by_cell()}
    whole = {"archforge": 1, "title": title, "extends": space, **changes, "expect": {profile: cells}}
    children = tuple(Child(written(key), _part(value, flow=key != "expect")) for key, value in whole.items())
    return "\n".join(lines_of(Collection(children, is_list=False, flow=False))) + "\n"


def _part(value: Any, *, flow: bool = True) -> Part:
    """Plain data as a part of a spec's text."""
    if isinstance(value, dict):
        children = tuple(Child(written(key), _part(item)) for key, item in value.items())
        return Collection(children, is_list=False, flow=flow)
    if isinstance(value, list | tuple):
        return Collection(tuple(Child(None, _part(item)) for item in value), is_list=True)
    return written(value)
