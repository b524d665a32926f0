"""`archforge check --record`: the `expect` of a new spec, from what was computed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from archforge import driver
from archforge.analysis.network import Network
from archforge.atomic_files import written_beside
from archforge.errors import DiagnosticError, SourceFile, fail
from archforge.spec.resolve.sources import STDIN
from archforge.spec.yaml.tree import parse_yaml

__all__ = ["record_all"]


def record_all(paths: Sequence[str], *, quiet: bool) -> None:
    """Write `expect` into each network that has none. Documented figures are never touched.

    A broken spec is passed over: the check that follows says what is wrong with it.
    Raises E0001 unless the specs are named, E0705 for one that cannot be written.
    """
    if not paths or STDIN in paths:
        fail("E0001", "`--record` writes into specs: name their files or folders")
    for path in driver.zoo_paths(paths):
        try:
            spec = driver.open_spec(path)
            if spec.header.kind != "network":
                continue
            networks = [driver.analyse(spec, name) for name in spec.profile_names]
        except DiagnosticError:
            continue
        if spec.expect is None:
            _append(path, "\n".join(["expect:", *map(_block, networks)]))
            said = f"recorded {', '.join(spec.profile_names)}"
        else:
            said = "has `expect` already, left as it is"
        print(f"{path.as_posix()}: {said}", file=sys.stderr if quiet else sys.stdout)


def _append(path: Path, expect: str) -> None:
    """Write the file anew with `expect` at its end, with its own line ends and permissions."""
    path = path.resolve()  # a link stays one
    old = path.read_bytes().decode()
    new = old.rstrip() + "\n" + expect + "\n"
    if "\r\n" in old:
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    if not _adds(new, old):
        fail(
            "E0705",
            f"`expect` cannot be appended to {path.name}: another key does not fit behind its end",
            help="write the keys of the spec on lines of their own, without `...` or `---`",
        )
    with written_beside(path) as file:
        shutil.copymode(path, file.name)
        file.write(new.encode())


def _adds(new: str, old: str) -> bool:
    """True if the text `new` says what `old` says, and `expect` besides."""
    try:
        now, before = (parse_yaml(SourceFile("", text)).plain() for text in (new, old))
    except DiagnosticError:
        return False
    return isinstance(now, dict) and now.pop("expect", None) is not None and now == before


def _block(network: Network) -> str:
    """One profile's cells, as `expect` has them."""
    shapes = ", ".join(map(str, network.graph.inputs.values()))
    cells = {"input": shapes, **network.counts.by_cell()}
    lines = [f"    {cell}: {v:_}" if isinstance(v, int) else f"    {cell}: {v}" for cell, v in cells.items()]
    return "\n".join([f"  {network.profile}:", "    source: computed", *lines])
