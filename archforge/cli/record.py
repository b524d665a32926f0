"""`archforge check --record`: the `expect` of a new spec, from what was computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from archforge import driver
from archforge.analysis.network import Network
from archforge.atomic_files import rewrite
from archforge.errors import DiagnosticError, SourceFile, fail
from archforge.spec.printing.document import append_section
from archforge.spec.printing.layout import Atom, Child, Collection, written
from archforge.spec.resolve.sources import STDIN

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
        if "expect" not in spec.document.tree.entries:
            _append(path, Collection(tuple(map(_cells, networks)), is_list=False, flow=False))
            said = f"recorded {', '.join(spec.profile_names)}"
        elif spec.expect is None:
            said = "has an empty `expect`: take it out to record one"
        else:
            said = "has `expect` already, left as it is"
        print(f"{path.as_posix()}: {said}", file=sys.stderr if quiet else sys.stdout)


def _append(path: Path, expect: Collection) -> None:
    """Write the file anew with `expect` at its end, with its own line ends."""
    rewrite(path, append_section(SourceFile(path.name, path.read_bytes().decode()), "expect", expect))


def _cells(network: Network) -> Child:
    """The figures of one profile, as `expect` has them."""
    counts = {cell: f"{count:_}" for cell, count in network.counts.by_cell().items()}
    texts = {"source": "computed", "input": str(network.figures["input"]), **counts}
    cells = (Child(written(cell), Atom(text, text)) for cell, text in texts.items())
    return Child(written(network.profile), Collection(tuple(cells), is_list=False, flow=False))
