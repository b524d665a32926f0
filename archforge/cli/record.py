"""`archforge check --record`: the `expect` of a new spec, from what was computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from archforge import driver
from archforge.analysis.network import Network
from archforge.weights.files import written_beside

__all__ = ["record_all"]


def record_all(paths: Iterable[str]) -> None:
    """Write `expect` into each network that has none. Documented figures are never touched."""
    for path in driver.zoo_paths(paths):
        record(path)


def record(path: Path) -> None:
    """Append the computed figures of every profile to one file, unless it has `expect` already.

    Raises `DiagnosticError` if the spec is broken; the file then stays as it was.
    """
    spec = driver.open_spec(path)
    if spec.header.kind != "network":
        return
    if spec.expect is not None:
        print(f"{path.as_posix()}: has figures already, left as it is")
        return
    blocks = [_block(driver.analyse(spec, name)) for name in spec.profile_names]
    text = path.read_text(encoding="utf-8").rstrip("\n")
    with written_beside(path) as file:
        file.write("\n".join([text, "expect:", *blocks, ""]).encode())
    print(f"{path.as_posix()}: recorded {', '.join(spec.profile_names)}")


def _block(network: Network) -> str:
    """One profile's cells, as `expect` has them."""
    counts = network.counts
    cells = {
        "input": ", ".join(map(str, network.graph.graph.inputs.values())),
        "layers": counts.layers,
        "weights": counts.weights,
        "biases": counts.biases,
        "params": counts.params,
        "buffers": counts.buffers,
        "macs": counts.macs,
    }
    lines = [f"    {cell}: {v:_}" if isinstance(v, int) else f"    {cell}: {v}" for cell, v in cells.items()]
    return "\n".join([f"  {network.profile}:", "    source: computed", *lines])
