"""`archforge show`: the layers of a network, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from archforge.cli.options import (
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    network_of,
)
from archforge.cli.output import print_json, table
from archforge.errors import did_you_mean, fail
from archforge.ir import Node, TypedGraph

__all__ = ["show"]


def show(
    spec: SpecArgument,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", "-d", min=1, metavar="N", help="Join layers whose names agree in N parts."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(
            "--block", "-b", metavar="NAME", help="Only this block or scope: `bottleneck`, `layer1.0`."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every layer with its output, parameters and multiply-accumulates."""
    network = network_of(spec, profile, input, set)
    nodes = list(network.graph.nodes) if block is None else _of_block(network.graph, block)
    if as_json:
        if depth is not None:
            fail("E0001", "`--depth` does not go with `--json`", help="each row has its full name to join by")
        print_json([_row_json(network.graph, n) for n in nodes])
        return
    rows = list(_collapsed(network.graph, nodes, depth) if depth else _rows(network.graph, nodes))
    counts = network.counts
    if block is None:
        rows.append(("total", "", "", "", f"{counts.params:,}", f"{counts.macs:,}"))
    print(f"{network.spec.header.title or network.name}, profile {network.profile}")
    print(table(("name", "op", "attributes", "output", "params", "MACs"), rows, right=(4, 5)))
    beside = sum(n.op.macs(*network.graph.input_types(n)) for n in network.graph.nodes) - counts.macs
    if block is None and beside:
        print(f"the total leaves out {beside:,} MACs that the first output does not need")


def _of_block(typed: TypedGraph, block: str) -> list[Node]:
    """The nodes of the first call of a block, or of a scope by its name."""
    scopes = typed.scopes
    found = next((s for s in scopes if s.name == block or (s.is_block and s.kind == block)), None)
    if found is None:
        known = dict.fromkeys(
            [s.kind for s in scopes if s.is_block and s.parent is not None]
            + [s.name for s in scopes if s.name]
        )
        fail(
            "E0001",
            f"there is no block or scope `{block}`",
            help=did_you_mean(block, known, what="blocks and scopes"),
        )
    inside = {found.index}
    for scope in scopes[found.index + 1 :]:
        if scope.parent in inside:
            inside.add(scope.index)
    return [n for n in typed.nodes if n.scope in inside]


def _params(typed: TypedGraph, node: Node) -> int:
    """Parameters that the node owns: shared ones count where they are used first."""
    if _shares(typed, node):
        return 0
    decls = node.op.params(*typed.input_types(node)).values()
    return sum(d.size for d in decls if d.role != "buffer")


def _shares(typed: TypedGraph, node: Node) -> bool:
    return node.params_of not in ("", node.name) and bool(node.op.params(*typed.input_types(node)))


def _attributes(typed: TypedGraph, node: Node) -> str:
    """The attributes that differ from their defaults, and whose parameters the node uses."""
    op = node.op
    defaults = {n: f.default for n, f in getattr(type(op), "model_fields", {}).items()}
    given = {n: v for n, v in op.attributes().items() if v != defaults[n]}
    shared = [f"share={node.params_of}"] if _shares(typed, node) else []
    return " ".join([*(f"{n}={_short(v)}" for n, v in given.items()), *shared])


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_short, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rows(typed: TypedGraph, nodes: list[Node]) -> Iterator[tuple[str, ...]]:
    for node in nodes:
        macs = node.op.macs(*typed.input_types(node))
        params = _params(typed, node)
        yield (
            node.name,
            node.op.kind,
            _attributes(typed, node),
            str(typed.types[node.name]),
            f"{params:,}" if params else "",
            f"{macs:,}" if macs else "",
        )


def _collapsed(typed: TypedGraph, nodes: list[Node], depth: int) -> Iterator[tuple[str, ...]]:
    """One row for neighbours whose names agree in their first `depth` parts."""
    groups: list[tuple[str, list[Node]]] = []
    for node in nodes:
        key = ".".join(node.name.split(".")[:depth])
        if groups and groups[-1][0] == key:
            groups[-1][1].append(node)
        else:
            groups.append((key, [node]))
    for key, group in groups:
        if len(group) == 1:
            yield from _rows(typed, group)
            continue
        params = sum(_params(typed, n) for n in group)
        macs = sum(n.op.macs(*typed.input_types(n)) for n in group)
        layers = sum(n.op.counts_as_layer for n in group)
        yield (key, f"{layers} layers", "", str(typed.types[group[-1].name]), f"{params:,}", f"{macs:,}")


def _row_json(typed: TypedGraph, node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "op": node.op.kind,
        "attributes": node.op.attributes(),
        "inputs": list(node.inputs),
        "output": list(typed.types[node.name].shape),
        "params": _params(typed, node),
        "macs": node.op.macs(*typed.input_types(node)),
    }
