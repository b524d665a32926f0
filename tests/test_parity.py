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
from tests.zoo import DATA, family, networks

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

MERGES = ("add", "multiply", "concat")

# Taps that no value of ours is named as, and the models that have them.
# What does nothing at inference is left out of the specs.
_POOLED = ("global_pool.pool", "global_pool.flatten", "global_pool")
IDLE = [
    (("bn1.drop",), ("mobilenetv1_100", "mobilenetv3_small_100", "tf_mobilenetv3_small_100")),
    (("bn1.drop",), ("tf_mobilenetv3_large_100",)),
    (("conv_head", "bn2"), ("mobilenetv1_100",)),
    (("norm_head",), ("mobilenetv3_small_100", "tf_mobilenetv3_small_100", "tf_mobilenetv3_large_100")),
    (("bn1.drop", "bn2.drop"), ("mobilenetv2_100", "efficientnet_b0", "efficientnetv2_s")),
    (("bn1.drop", "bn2.drop"), ("tf_efficientnetv2_b0",)),
    (("norm_pre", "head.pre_logits", "head.drop"), ("convnext_tiny", "convnextv2_atto")),
    (("norm.drop", "head.drop"), ("resnetv2_18", "resnetv2_50")),
    (("final_conv", "head.drop", "head.flatten"), ("regnety_002",)),
    (("act", "head.flatten"), ("xception41",)),
    (("pre_logits.drop", "head.drop", "head.flatten"), ("vgg11_bn",)),
    (("head_drop",), ("densenet264d", "inception_v3", "nasnetalarge", "pnasnet5large")),
]
# A value that has another name, or none, in the spec: a sequence's is that of its last layer, and a
# pool without parameters needs no name.
OTHERWISE_NAMED = [
    (("stages",), ("convnext_tiny", "convnextv2_atto")),
    (("act1", *_POOLED), ("resnest50d", "resnet50", "resnet200", "seresnet18", "seresnet50")),
    (("act1", *_POOLED), ("skresnet18", "skresnext50_32x4d")),
    (_POOLED, ("densenet264d", "inception_v3")),
    (("Pool1", "Pool2"), ("inception_v3",)),
    (_POOLED[:2], ("mobilenetv3_small_100", "tf_mobilenetv3_small_100", "tf_mobilenetv3_large_100")),
    (("head.global_pool", "head"), ("vgg11_bn",)),
    (("conv0", *(f"cell_{n}.act" for n in ("stem_1", 0, 6, 12))), ("nasnetalarge",)),
    (("conv_0", "cell_stem_0.comb_iter_0_right"), ("pnasnet5large",)),
]


def compared_taps(model: str) -> list[str]:
    """The golden's taps without those that the spec has no value for."""
    absent = {
        tap
        for taps, models in (*IDLE, *OTHERWISE_NAMED)
        if model.removeprefix("timm.") in models
        for tap in taps
    }
    assert absent <= golden(model).taps.keys(), f"{model} has no such taps"
    return [tap for tap in golden(model).taps if tap not in absent]


@pytest.mark.parametrize(("name", "profile", "model"), CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_output_and_layers_equal_the_librarys(name: str, profile: str, model: str, dtype: str) -> None:
    wanted = golden(model)
    network = archforge.load(name, profile, input=wanted.input_shape[1:])
    output, taps = driver.verify(network, wanted, backend="numpy", dtype=dtype)
    assert output.distance <= TOLERANCE[dtype]
    apart = [(d.name, d.distance) for d in taps if d.distance > TOLERANCE[dtype]]
    assert not apart
    assert [d.name for d in taps] == compared_taps(model)


@pytest.mark.parametrize("library", ["torchvision", "timm", "keras"])
def test_each_family_has_a_golden_output_of_each_library(library: str) -> None:
    """Of each profile, since profiles differ in numerics: one member stands for its template."""
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
