"""Networks that come from listings in documents: every row of them, and the shapes that they print."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

import archforge
from archforge.analysis.network import Network
from archforge.ir import Node, Scope
from archforge.ops.conv import Conv
from archforge.ops.pool import AvgPool, MaxPool
from tests.zoo import networks, reference

LISTINGS = reference("listings")

# What the listings call an op of ours, and blocks that are one row of theirs.
OPS = {
    "adaptive_avgpool": "global_avg_pool",
    "avgpool": "avg_pool",
    "batchnorm": "bn",
    "maxpool": "max_pool",
    "upconv": "conv_transpose",
}
BLOCKS = {
    "basic_residual": "basic",
    "cell": "cell",
    "dense_block": "dense_block",
    "inception": "inception",
    "residual": "basic",
    "resnext": "bottleneck",
    "transition": "transition",
}


def as_ours(row: dict[str, Any]) -> tuple[object, ...]:
    """The content of a row of a listing: kind, output, parameters and, where it has them, attributes."""
    kind, out = row["op"], tuple(row["out"])
    if kind in BLOCKS:
        return (BLOCKS[kind], out, row["params"])
    said = [("slope", "alpha"), ("rate", "p")] if kind in ("leaky_relu", "dropout") else [("bias", "bias")]
    window = [(row[k],) * (len(out) - 1) for k in ("k", "s") if k in row]
    padding = (row.get("p", 0),) * len(window[0]) if window else None
    values = {ours: row[theirs] for ours, theirs in said if theirs in row}
    return (OPS.get(kind, kind), out, row["params"], window, padding, values)


def rows_of(network: Network) -> Iterator[tuple[object, ...]]:
    """The content of a network of ours: an op outside the blocks is a row, a block is one. A clip bounds the
    activation in front of it, in the row of that."""
    typed = network.graph
    scopes = typed.scopes
    layers = [n for n in typed.nodes if n.op.counts_as_layer and n.op.kind != "clip"]
    for block, nodes in groupby(layers, key=lambda node: block_of(scopes, node)):
        if block is None:
            yield from (describe(node, network) for node in nodes)
        else:
            params = sum(params_of(node, network) for node in nodes)
            yield (block.kind, typed.types[block.output].shape, params)


def block_of(scopes: tuple[Scope, ...], node: Node) -> Scope | None:
    """The outermost block that is a row of the listings and that the node is in."""
    found = None
    index: int | None = node.scope
    while index is not None:
        if scopes[index].kind in BLOCKS.values() and scopes[index].is_block:
            found = scopes[index]
        index = scopes[index].parent
    return found


def params_of(node: Node, network: Network) -> int:
    decls = node.op.params(*network.graph.input_types(node)).values()
    return sum(decl.size for decl in decls if decl.role != "buffer")


def describe(node: Node, network: Network) -> tuple[object, ...]:
    op, types = node.op, network.graph.input_types(node)
    window: list[object] = []
    padding = None
    if isinstance(op, Conv | MaxPool | AvgPool):
        w = op.window(*types)
        window = [w.kernel, w.stride]
        padding = tuple(before for before, _ in w.padding)
    attributes = op.attributes()
    said = {"leaky_relu": ["slope"], "dropout": ["rate"], "conv": ["bias"], "linear": ["bias"]}
    values = {name: attributes[name] for name in said.get(op.kind, [])}
    shape = network.graph.types[node.name].shape
    return (op.kind, shape, params_of(node, network), window, padding, values)


def listed_specs() -> list[str]:
    return [name for name, spec in networks().items() if "listing" in spec.profile_names]


def test_every_listing_is_a_spec() -> None:
    assert sorted(LISTINGS) == sorted(listed_specs())


@pytest.mark.parametrize("name", listed_specs())
def test_every_row_of_the_listing_is_there(name: str) -> None:
    found = [repr(row) for row in rows_of(archforge.load(name, profile="listing"))]
    assert found == [repr(as_ours(row)) for row in LISTINGS[name]["rows"]]


def test_another_padding_is_noticed() -> None:
    """Though all shapes and totals agree."""
    ours, other = archforge.load("alexnet_small"), archforge.load("alexnet_small", paddings=[0, 2, 1, 1, 1])
    assert ours.counts.params == other.counts.params
    assert [*rows_of(ours)] != [*rows_of(other)]


@pytest.mark.parametrize("name", [n for n in listed_specs() if "param_shapes" in LISTINGS[n]])
def test_parameters_have_the_shapes_that_the_document_prints(name: str) -> None:
    params = archforge.load(name, profile="listing").params
    assert [list(decl.shape) for decl in params.values()] == LISTINGS[name]["param_shapes"]


def test_vgg_11_is_cut_in_halves_as_the_document_says() -> None:
    """The document prints the chain of shapes, and the 400 MB of the first dense layer."""
    network = archforge.load("vgg_11_small")
    pools = [network.graph.types[n.name].shape for n in network.graph.nodes if n.op.kind == "max_pool"]
    assert pools == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    first = next(decl for decl in network.params.values() if decl.shape[1:] == (25088,))
    assert round(4 * math.prod(first.shape) / 1e6, -1) == 410
