"""Documented profiles against the layer lists of the documented code: every layer, and its wiring.

A layer is described by what it does and its output's shape, and gets a number that stands for this
description and the numbers of its inputs: equal numbers mean equal networks up to that layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

import archforge
from archforge.ir import Node, TypedGraph
from archforge.ops.conv import Conv
from archforge.ops.pool import AvgPool, MaxPool
from tests.zoo import DATA, networks, reference

# What makes the documented network that of the code, which is younger than these rows of the table.
AS_IN_CODE: dict[str, dict[str, Any]] = {
    "lenet_4": {"norm": False},
    "lenet_5": {"norm": False},
    "zfnet": {"classes": 1000},
}
MERGES = {"sum": "add", "hadamard": "multiply", "chcat": "concat"}
WORDS = {
    "BatchNorm2D": "bn",
    "GlobalAvgPool2D": "global_avg_pool",
    "AdaptiveAvgPool2D": "global_avg_pool",
    "HardSwish": "hard_swish",
}
TRANSPARENT = ("identity", "flatten", "reshape")

Description = tuple[Any, ...]


class Numbering:
    """Equal layers behind equal inputs get equal numbers."""

    def __init__(self) -> None:
        self._numbers: dict[Description, int] = {}
        self._merges: dict[int, tuple[str, tuple[int, ...]]] = {}

    def layer(self, description: Description, inputs: Sequence[int]) -> int:
        return self._numbers.setdefault((description, *inputs), len(self._numbers))

    def merge(self, kind: str, inputs: Iterable[int]) -> int:
        """Order counts in `concat` only, and a merge in a merge of its kind is one with it."""
        parts: list[int] = []
        for number in inputs:
            inner_kind, inner = self._merges.get(number, ("", ()))
            parts += inner if inner_kind == kind else (number,)
        ordered = tuple(parts if kind == "concat" else sorted(parts))
        number = self.layer((kind,), ordered)
        self._merges[number] = (kind, ordered)
        return number


def trimmed(shape: Sequence[int]) -> tuple[int, ...]:
    """`shape` without ones at its end: flattening a pooled map is no layer here."""
    sizes = list(shape)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def describe_layer(layer: dict[str, Any]) -> Description:
    """The work of a layer object of the documented code; its numerics are left out."""
    kind, out = layer["kind"], trimmed(layer["out"])
    window = tuple(
        (k, layer["s"], p, p) for k, p in zip(layer.get("k", ()), layer.get("pad", ()), strict=True)
    )
    match kind:
        case "Conv2D" | "DepthConv2D":
            return ("conv", window, layer["groups"], layer["bias"], out)
        case "Pool2D":
            return (f"{layer['mode']}_pool", window, out)
        case "Dense":
            return ("linear", layer["bias"], out)
        case "LocalResponseNorm":
            return ("lrn", layer["depth"], out)
        case "Dropout":
            return ("dropout", layer["rate"], out)
        case _:
            return (WORDS.get(kind, kind.lower()), out)


def describe_node(typed: TypedGraph, node: Node) -> Description:
    """The work of a node of ours, in the same words."""
    op, out = node.op, trimmed(typed.types[node.name].shape)
    values = op.attributes()
    window: Description = ()
    if isinstance(op, Conv | MaxPool | AvgPool):
        w = op.window(*typed.input_types(node))
        window = tuple((k, s, *p) for k, s, p in zip(w.kernel, w.stride, w.padding, strict=True))
    match op.kind:
        case "conv":
            return ("conv", window, values["groups"], values["bias"], out)
        case "max_pool" | "avg_pool":
            return (op.kind, window, out)
        case "linear":
            return ("linear", values["bias"], out)
        case "lrn":
            return ("lrn", values["size"], out)
        case "dropout":
            return ("dropout", values["rate"], out)
        case _:
            return (op.kind, out)


class Network:
    """Number and description of each layer of one network, in execution order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.descriptions: list[Description] = []
        self.output = 0

    def add(self, number: int, description: Description) -> None:
        self.numbers.append(number)
        self.descriptions.append(description)


def documented(layers: list[dict[str, Any]], image: list[int], numbering: Numbering) -> Network:
    network = Network()
    at = {-1: numbering.layer(("input", tuple(image)), ())}
    for index, layer in enumerate(layers):
        inputs = [at[i] for i in layer["in"]]
        if len(inputs) > 1:
            inputs = [numbering.merge(MERGES[layer["merge"]], inputs)]
        description = describe_layer(layer)
        if description[0] in TRANSPARENT:
            (at[index],) = inputs
            continue
        at[index] = numbering.layer(description, inputs)
        network.add(at[index], description)
    network.output = at[len(layers) - 1]
    return network


def ours(typed: TypedGraph, numbering: Numbering) -> Network:
    network = Network()
    at = {name: numbering.layer(("input", x.shape), ()) for name, x in typed.inputs.items()}
    for node in typed.nodes:
        inputs = [at[value] for value in node.inputs]
        description = describe_node(typed, node)
        if description[0] in TRANSPARENT:
            (at[node.name],) = inputs
        elif description[0] in MERGES.values():
            at[node.name] = numbering.merge(description[0], inputs)
        else:
            at[node.name] = numbering.layer(description, inputs)
            network.add(at[node.name], description)
    network.output = at[next(iter(typed.outputs.values()))]
    return network


def differences(theirs: Network, mine: Network) -> dict[str, list[Description]]:
    """Layers that only one of the two has; else those of ours that are wired in another way."""
    count = Counter(map(repr, mine.descriptions))
    count.subtract(map(repr, theirs.descriptions))
    known = set(theirs.numbers)
    found = {
        "only in the documented code": [d for d in theirs.descriptions if count[repr(d)] < 0],
        "only in the spec": [d for d in mine.descriptions if count[repr(d)] > 0],
    }
    if not any(found.values()):
        pairs = zip(mine.numbers, mine.descriptions, strict=True)
        found["wired differently from here on"] = [d for n, d in pairs if n not in known][:1]
    return {what: layers for what, layers in found.items() if layers}


def documented_specs() -> list[str]:
    return [name for name, spec in networks().items() if "documented" in spec.profile_names]


def compare(name: str, **settings: Any) -> tuple[Network, Network]:
    data, numbering = reference(f"luma_layers/{name}"), Numbering()
    typed = archforge.load(name, profile="documented", **settings).graph
    return documented(data["layers"], data["input"], numbering), ours(typed, numbering)


@pytest.mark.parametrize("name", documented_specs())
def test_documented_profile_is_the_documented_network(name: str) -> None:
    theirs, mine = compare(name, **AS_IN_CODE.get(name, {}))
    assert differences(theirs, mine) == {}
    assert sorted(mine.numbers) == sorted(theirs.numbers)
    assert mine.output == theirs.output


@pytest.mark.parametrize(
    "name", ["alexnet", "inception_v3", "mobilenet_v3_large", "nasnet_a_large", "resnet_50"]
)
def test_each_scope_leaves_a_value_of_its_own_or_one_that_it_reads(name: str) -> None:
    typed = archforge.load(name).graph
    known = {scope.index: {*scope.inputs} for scope in typed.scopes}
    for node in typed.nodes:
        at: int | None = node.scope
        while at is not None:
            known[at].add(node.name)
            at = typed.scopes[at].parent
    assert all(scope.output in known[scope.index] for scope in typed.scopes)


def test_no_layer_list_lies_unused() -> None:
    listed = {path.name for path in (DATA / "luma_layers").iterdir()}
    assert listed == {f"{name}.json.gz" for name in documented_specs()}


def test_a_stride_in_another_convolution_is_noticed() -> None:
    theirs, mine = compare("resnet_50", stride_in=1)
    assert "only in the spec" in differences(theirs, mine)


def test_a_norm_before_the_pool_is_noticed() -> None:
    theirs, mine = compare("alexnet", norm_before_pool=[2], norm_after_pool=[0, 1, 3, 4])
    assert differences(theirs, mine) == {}  # nothing is pooled there, so it is the same network
    theirs, mine = compare("alexnet", norm_before_pool=[0], norm_after_pool=[1, 2, 3, 4])
    assert differences(theirs, mine)


def test_equal_layers_in_another_order_are_noticed() -> None:
    data, numbering = reference("luma_layers/alexnet"), Numbering()
    theirs = documented(data["layers"], data["input"], numbering)
    layers = list(data["layers"])
    norm = next(i for i, layer in enumerate(layers) if layer["kind"] == "LocalResponseNorm" and i > 8)
    layers[norm - 1 : norm + 1] = [
        layers[norm] | {"in": layers[norm - 1]["in"]},
        layers[norm - 1] | {"in": layers[norm]["in"]},
    ]
    swapped = documented(layers, data["input"], numbering)
    assert list(differences(theirs, swapped)) == ["wired differently from here on"]


def test_order_of_branches_counts_in_concat_only() -> None:
    numbering = Numbering()
    a, b = numbering.layer(("a",), ()), numbering.layer(("b",), ())
    assert numbering.merge("add", [a, b]) == numbering.merge("add", [b, a])
    assert numbering.merge("concat", [a, b]) != numbering.merge("concat", [b, a])
    c = numbering.merge("concat", [b, a])
    assert numbering.merge("concat", [a, c]) == numbering.merge("concat", [a, b, a])
