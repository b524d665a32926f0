"""Outputs equal those of the libraries, layer by layer, and a wrong setting would be seen."""

from __future__ import annotations

import math
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
from tests.zoo import DATA, expected, family, networks

GOLDENS = {p.name.removesuffix(".json.gz"): p for p in sorted((DATA / "golden").glob("*.json.gz"))}


@cache
def golden(model: str) -> Golden:
    return read_golden(GOLDENS[model])


def golden_name(name: str, profile: str) -> str:
    """The library's model; else the spec and its profile, whose golden is written from the document."""
    return networks()[name].profile(profile).model or f"{name}.{profile}"


CASES = [
    pytest.param(name, profile, golden_name(name, profile), id=f"{name}-{profile}")
    for name, spec in networks().items()
    for profile in spec.profile_names
    if golden_name(name, profile) in GOLDENS
]

LARGE = 500_000  # elements of an input whose outputs take seconds
_LARGE_INPUTS = {case.id for case in CASES if math.prod(golden(str(case.values[2])).input_shape) > LARGE}

MANY_PARAMS = 133_000_000  # take seconds: those of VGG-13 and above, for which VGG-11 stands


def _has_many_params(name: str, profile: str) -> bool:
    params = expected(name, profile).get("params") if networks()[name].expect else None
    return isinstance(params, int) and params > MANY_PARAMS


# One dtype tells whether the graph is the library's. float32 is here for the kernels of its own, which the
# laws of backends hold in every network: one network of each family stands for the others.
# Some are left to float64: under weights by rule they amplify the roundings of float32, StarNet beyond its
# output (`AMPLIFYING` in small.py), the others on the pictures of their golden outputs: FocalNet to 1.4e-4,
# RepViT to 1.8e-3 and Visformer, whose attention saturates, to 0.8 of a standard deviation.
_ONLY_WIDE = {"focalnet", "repvit", "starnet", "visformer"}
_FIRST = {family(str(case.values[0])): case.id for case in reversed(CASES)}
CASES_BY_DTYPE = [
    pytest.param(
        *case.values,
        dtype,
        id=f"{dtype}-{case.id}",
        marks=[pytest.mark.slow]
        if case.id in _LARGE_INPUTS
        or (
            case.id not in _FIRST.values()
            and (dtype == "float32" or _has_many_params(*map(str, case.values[:2])))
        )
        else [],
    )
    for dtype in ("float64", "float32")
    for case in CASES
    if dtype == "float64" or family(str(case.values[0])) not in _ONLY_WIDE
]

MERGES = ("add", "multiply", "concat")


@pytest.mark.parametrize(("name", "profile", "model", "dtype"), CASES_BY_DTYPE)
def test_output_and_layers_equal_the_librarys(name: str, profile: str, model: str, dtype: str) -> None:
    wanted = golden(model)
    network = archforge.load(name, profile, input=wanted.input_shape[1:])
    output, taps = driver.verify(network, wanted, backend="numpy", dtype=dtype)
    assert output.distance <= TOLERANCE[dtype]
    apart = [(d.name, d.distance) for d in taps if d.distance > TOLERANCE[dtype]]
    assert not apart
    assert not wanted.missing({d.name for d in taps}), "see `aliases` in data/README.md"


@pytest.mark.parametrize("library", ["torchvision", "timm", "keras"])
def test_each_family_has_a_golden_output_of_each_library(library: str) -> None:
    """Each profile has one, since profiles differ in numerics: one member stands for its template."""
    models: dict[tuple[str, str], set[str]] = {}
    for name, spec in networks().items():
        for profile in (spec.profile(p) for p in spec.profile_names):
            if (profile.model or "").startswith(f"{library}."):
                models.setdefault((family(name), profile.name), set()).add(profile.model or "")
    assert [pair for pair, known in models.items() if not known & GOLDENS.keys()] == []


def test_each_network_of_a_listing_that_merges_has_a_golden_output() -> None:
    merging = [
        f"{name}.listing"
        for name, spec in networks().items()
        if "listing" in spec.profile_names
        and any(node.op.kind in MERGES for node in archforge.load(name, "listing").graph.nodes)
    ]
    assert merging
    assert [name for name in merging if name not in GOLDENS] == []


def test_no_golden_lies_unused() -> None:
    assert {case.values[2] for case in CASES} == GOLDENS.keys()


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
