"""Outputs equal those of the libraries, layer by layer, and a wrong setting would be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import archforge
from archforge import driver
from archforge.analysis.network import Network
from archforge.ir import Graph, Node, infer
from archforge.ops import op_class
from archforge.weights.golden import TOLERANCE, Golden, read_golden
from tests.zoo import DATA, networks

GOLDENS = {p.name.removesuffix(".json.gz"): p for p in sorted((DATA / "golden").glob("*.json.gz"))}


@cache
def golden(model: str) -> Golden:
    return read_golden(GOLDENS[model])


CASES = [
    pytest.param(name, profile.name, profile.model, id=f"{name}-{profile.name}")
    for name, spec in networks().items()
    for profile in (spec.profile(p) for p in spec.profile_names)
    if profile.model in GOLDENS
]


@pytest.mark.parametrize(("name", "profile", "model"), CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_output_and_layers_equal_the_librarys(name: str, profile: str, model: str, dtype: str) -> None:
    network = archforge.load(name, profile)
    output, taps = driver.verify(network, golden(model), backend="numpy", dtype=dtype)
    assert output.distance <= TOLERANCE[dtype]
    apart = [(d.name, d.distance) for d in taps if d.distance > TOLERANCE[dtype]]
    assert not apart
    assert len(taps) >= len(golden(model).taps) / 2, (
        "the layers are named as the library's, so most are compared"
    )


def _changed(network: Network, change: Callable[[Node], Node]) -> Network:
    """The network with every node put through `change`."""
    graph = network.graph.graph
    nodes = tuple(change(node) for node in graph.nodes)
    typed = infer(Graph(graph.name, graph.inputs, nodes, graph.outputs, graph.scopes))
    return replace(network, expansion=replace(network.expansion, graph=typed))


def _with(kind: str, **attributes: Any) -> Callable[[Node], Node]:
    """Attributes of every node of one kind."""

    def change(node: Node) -> Node:
        if node.op.kind != kind:
            return node
        return replace(node, op=op_class(kind)(**{**node.op.attributes(), **attributes}))

    return change


def _average_for_max(node: Node) -> Node:
    if node.op.kind != "max_pool":
        return node
    shared = ("kernel", "stride", "padding", "ceil")
    attributes = {k: v for k, v in node.op.attributes().items() if k in shared}
    return replace(node, op=op_class("avg_pool")(**attributes))


def _tensorflow_padding(node: Node) -> Node:
    """`same_upper` wherever a stride makes it differ from symmetric padding: shapes stay."""
    attributes = node.op.attributes()
    if node.op.kind != "conv" or attributes["stride"] != 2 or attributes["kernel"] == 1:
        return node
    return replace(node, op=op_class("conv")(**{**attributes, "padding": "same_upper"}))


def _swapped_concat(node: Node) -> Node:
    return replace(node, inputs=node.inputs[::-1]) if node.op.kind == "concat" else node


WRONG = [
    ("resnet_18", "torchvision.resnet18", _with("bn", eps=1e-4)),
    ("resnet_18", "torchvision.resnet18", _tensorflow_padding),
    ("resnet_18", "torchvision.resnet18", _average_for_max),
    ("vgg_11_bn", "torchvision.vgg11_bn", _average_for_max),
    ("vgg_11_bn", "torchvision.vgg11_bn", _with("bn", eps=1e-4)),
]


@pytest.mark.parametrize(("name", "model", "change"), WRONG)
def test_a_wrong_setting_is_seen_though_shapes_and_names_agree(
    name: str, model: str, change: Callable[[Node], Node]
) -> None:
    network = archforge.load(name, model)
    wrong = _changed(network, change)
    assert wrong.params.keys() == network.params.keys()
    output, _ = driver.verify(wrong, golden(model), backend="numpy", dtype="float64")
    assert output.distance > TOLERANCE["float32"], "no golden of this network would catch it"
