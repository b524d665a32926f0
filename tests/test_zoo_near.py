"""The network of the zoo that another one nearly is: named with what differs, and never a wrong one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import archforge
from archforge.data.arrays import write_arrays
from archforge.interchange.same_graph import comparable
from archforge.interchange.zoo_match import ZooMatch, zoo_matches
from archforge.interchange.zoo_near import NearMatch, nearest_of_zoo
from archforge.ir import TypedGraph, infer
from archforge.passes.fold_batch_norm import fold_batch_norm
from archforge.weights import rule_weights
from tests.conftest import TINY, Run
from tests.zoo import networks

PLAIN = """\
archforge: 1
title: Plain
input: [3, 32, 32]
graph:
  - {seq: [{conv: {out: 16, kernel: 5, padding: 2}}, sigmoid], repeat: 12}
  - global_avg_pool
  - flatten
  - {linear: 10, name: head}
"""


def graph_of(name: str, profile: str | None = None, *, folded: bool = False, **options: Any) -> TypedGraph:
    """The graph of a network as a file of another format gives it."""
    typed = archforge.load(name, profile, **options).graph
    return comparable(infer(fold_batch_norm(typed, frozenset()).graph) if folded else typed)


def nearest(typed: TypedGraph) -> NearMatch | None:
    return nearest_of_zoo(typed, networks().values())


def test_what_differs_is_told() -> None:
    found = nearest(graph_of("resnet_18", "torchvision", classes=2, folded=True))
    assert found is not None
    assert (found.network, found.profile, found.differences) == (
        "resnet_18",
        "torchvision",
        ("2 classes, not 1,000", "20 batch norms, folded into convolutions or left out"),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mobilenet_v2", {"defaults": {"bn": {"eps": 0.01}}}, "an eps of 0.01 in batch norms, not 1e-05"),
        ("mobilenet_v2", {"width": 0.5}, "other widths in "),
        ("mobilenet_v2", {"classes": 7, "input": (3, 96, 96)}, "an input of 3x96x96, not 3x224x224"),
        ("resnet_50", {"folded": True}, "53 batch norms, folded into convolutions or left out"),
        ("shufflenet_v2_x0_5", {"classes": 2, "input": (3, 64, 64)}, "an input of 3x64x64, not 3x224x224"),
    ],
)
def test_each_kind_of_difference_is_found(name: str, options: dict[str, Any], says: str) -> None:
    found = nearest(graph_of(name, "torchvision", **options))
    assert found is not None
    assert found.network == name
    assert found.differences[0].startswith(says)


@pytest.mark.parametrize("text", [TINY, PLAIN])
def test_a_network_that_is_near_none_is_called_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.yaml").write_text(text)
    assert nearest(graph_of(str(tmp_path / "net.yaml"))) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, spec in networks().items() if "classes" in spec.args])
def test_a_network_with_other_classes_is_never_taken_for_another(name: str) -> None:
    found = nearest(graph_of(name, classes=7))
    assert found is None or (found.network == name and "7 classes, not" in " ".join(found.differences))


def match(typed: TypedGraph, name: str) -> list[ZooMatch]:
    return list(zoo_matches(typed, [networks()[name]]))


def test_a_network_without_its_last_outputs_is_named_with_them() -> None:
    whole = archforge.load("inception_v1", "torchvision").graph
    outputs = dict([next(iter(whole.outputs.items()))])
    traced = TypedGraph(replace(whole.graph, outputs=outputs), whole.types).without_dead()
    for typed, folded in ((traced, 0), (infer(fold_batch_norm(traced, frozenset()).graph), 57)):
        wanted = ZooMatch("inception_v1", "torchvision", folded, without=("aux1", "aux2"))
        assert match(comparable(typed), "inception_v1") == [wanted]


def test_a_network_is_named_where_some_norms_are_folded() -> None:
    found = match(graph_of("densenet_121", "torchvision", folded=True), "densenet_121")
    assert [(m.profile, m.folded) for m in found] == [("torchvision", 59), ("timm", 59)]


def test_sums_are_the_same_in_any_order() -> None:
    typed = archforge.load("repvit_m0_9", "timm").graph
    nodes = []
    for node in typed.nodes:
        if node.op.kind == "add" and len(node.inputs) == 3:
            first, *others = node.inputs
            inner = replace(node, name=f"{node.name}_inner", inputs=tuple(reversed(others)), params_of="")
            nodes.append(inner)
            node = replace(node, inputs=(first, inner.name))
        nodes.append(node)
    assert len(nodes) > len(typed.nodes)
    spelled = infer(replace(typed.graph, nodes=tuple(nodes)))
    assert match(comparable(spelled), "repvit_m0_9") == [ZooMatch("repvit_m0_9", "timm", 0)]


def test_products_are_the_same_in_any_order() -> None:
    """Exporters of torch write a gate and then what it weighs, as torchvision's RegNets do."""
    typed = archforge.load("regnet_y_400mf", "torchvision").graph
    turned = {n.name: n.inputs[::-1] for n in typed.nodes if n.op.kind == "multiply"}
    nodes = tuple(replace(node, inputs=turned.get(node.name, node.inputs)) for node in typed.nodes)
    spelled = infer(replace(typed.graph, nodes=nodes))
    assert turned
    assert [m.profile for m in match(comparable(spelled), "regnet_y_400mf")] == ["torchvision", "timm"]


@pytest.mark.slow
def test_an_import_names_it(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    settings = ("--set", "classes=7")
    network = archforge.load("shufflenet_v2_x0_5", "torchvision", classes=7)
    write_arrays("w.npz", rule_weights(network.params))
    options = ("--to", "onnx", "-w", "w.npz", "-o", "net.onnx", "-p", "torchvision", *settings)
    assert run("export", "shufflenet_v2_x0_5", *options)[0] == 0
    code, out, _ = run("import", "net.onnx", "-o", "net.yaml")
    assert code == 0
    assert "network     nearly shufflenet_v2_x0_5, profile torchvision, but for\n" in out
    assert "            - 7 classes, not 1,000\n" in out
