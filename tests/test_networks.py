"""Networks within networks, and outputs of blocks: what is built of them, and within which bounds."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import archforge
from archforge.ir import TypedGraph
from archforge.spec import limits
from archforge.weights import rule_input, rule_weights
from tests.test_language import expanded, mistakes, refused, wires

INNER = """
    archforge: 1
    title: Inner
    input: [3, 8, 8]
    args: {width: 4, tail: [relu]}
    defaults: {conv: {bias: false}, bn: {eps: 1e-3}}
    profiles: {narrow: {}, wide: {width: 8, defaults: {bn: {eps: 1e-4}}}}
    blocks: {unit: {body: [{conv: {out: =width, kernel: 3, padding: 1}}, bn, =tail]}}
    graph:
      - unit
      - {unit: {}, name: middle}
      - unit
      - flatten
      - linear: 10
"""
OUTER = """
    defaults: {conv: {bias: true}, bn: {eps: 0.5}}
    blocks:
      unit: {body: [sigmoid]}
      inner: {network: inner, profile: wide, taps: {early: unit1.bn, late: middle}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner.yaml").write_text(dedent(INNER), "utf-8")
    return tmp_path


def built(text: str, folder: Path) -> TypedGraph:
    return expanded(dedent(text), folder=folder).graph


def test_a_network_has_its_own_blocks_defaults_and_arguments(folder: Path) -> None:
    graph = built(OUTER + "    graph: [{inner: {}, as: [early]}, unit, {concat: '=[x, early]'}]", folder)
    assert [(node.name, node.inputs) for node in graph.nodes] == [
        ("inner.unit1.conv", ("input",)),
        ("inner.unit1.bn", ("inner.unit1.conv",)),
        ("inner.unit1.relu", ("inner.unit1.bn",)),
        ("inner.middle.conv", ("inner.unit1.relu",)),
        ("inner.middle.bn", ("inner.middle.conv",)),
        ("inner.middle.relu", ("inner.middle.bn",)),
        ("unit.sigmoid", ("inner.middle.relu",)),
        ("concat", ("unit.sigmoid", "inner.unit1.bn")),
    ]
    of = {node.name: node.op.attributes() for node in graph.nodes}
    assert (of["inner.middle.conv"]["out"], of["inner.middle.conv"]["bias"]) == (8, False)
    assert of["inner.middle.bn"]["eps"] == 1e-4


def test_a_call_gives_arguments_and_steps_of_its_own(folder: Path) -> None:
    text = (
        OUTER
        + """
    graph:
      - {inner: {width: =x.channels, tail: [{unit: {}}]}, name: a}
      - {inner: {tail: []}, name: b}
    """
    )
    graph = built(text, folder)
    assert [(n.name, n.op.attributes().get("out")) for n in graph.nodes][:3] == [
        ("a.unit1.conv", 3),
        ("a.unit1.bn", None),
        ("a.unit1.unit.sigmoid", None),  # as the place where the steps are written sees it
    ]
    assert [n.op.attributes()["out"] for n in graph.nodes if n.op.kind == "conv"] == [3, 3, 8, 8]
    assert not any(n.name.startswith("b.") and n.op.kind in ("relu", "sigmoid") for n in graph.nodes)


def test_defaults_that_a_caller_sets_reach_into_networks(folder: Path) -> None:
    (folder / "outer.yaml").write_text(
        dedent("archforge: 1\ntitle: Outer\ninput: [3, 8, 8]" + OUTER).replace("\n    ", "\n")
        + "graph: [{inner: {}, as: [early]}, bn, {concat: '=[x, early]'}]\n"
    )
    network = archforge.load(folder / "outer.yaml", defaults={"bn": {"eps": 0.25}})
    assert {n.op.attributes()["eps"] for n in network.graph.nodes if n.op.kind == "bn"} == {0.25}
    network = archforge.load(folder / "outer.yaml", defaults={"flatten": {}, "inner": {"width": 2}})
    assert [n.op.attributes()["out"] for n in network.graph.nodes if n.op.kind == "conv"] == [2, 2]


def test_a_part_of_a_network_has_the_names_and_the_values_of_the_whole() -> None:
    whole = archforge.load("resnet_18", "torchvision", input=(3, 32, 32))
    text = """
    archforge: 1
    input: [3, 32, 32]
    blocks:
      part:
        network: resnet_18
        profile: torchvision
        taps: {first: layer1.0.relu2, second: layer2, third: layer3.0}
    graph: {part: {}, as: [first, second, third]}
    outputs: {first: =first, second: =second, third: =third}
    """
    part = archforge.load(dedent(text))
    weights = rule_weights(whole.params)
    assert [name.removeprefix("part.") for name in part.params] == [
        name for name in whole.params if not name.startswith(("layer3.1", "layer4", "fc"))
    ]
    x = {"input": rule_input((1, 3, 32, 32))}
    taps = ["layer1.0.relu2", "layer2", "layer3.0"]
    runs = archforge.compile(whole, weights=weights, dtype="float64", backend="numpy", taps=taps)
    expected = runs.run(x).taps
    given = {f"part.{name}": array for name, array in weights.items() if f"part.{name}" in part.params}
    found = archforge.compile(part, weights=given, dtype="float64", backend="numpy").run(x).outputs
    for array, tap in zip(found.values(), taps, strict=True):
        np.testing.assert_array_equal(array, expected[tap])


def test_any_network_of_the_zoo_can_be_a_block_and_stays_what_it_is() -> None:
    for name in ("googlenet_small", "lenet_5", "unet", "lstm_text"):
        inner = archforge.load(name)
        profile = inner.profile
        (shape,) = inner.graph.inputs.values()
        blocks = f"blocks: {{part: {{network: {name}, profile: {profile}}}}}\n"
        text = f"archforge: 1\ninput: {list(shape.shape)}\n{blocks}graph: part\n"
        graph = archforge.load(text).graph
        assert [(n.name, n.op) for n in graph.nodes] == [(f"part.{n.name}", n.op) for n in inner.graph.nodes]
        assert list(graph.params()) == [f"part.{n}" for n in inner.params]


def test_a_network_of_several_inputs_takes_them_as_arguments(folder: Path) -> None:
    (folder / "pair.yaml").write_text(
        "archforge: 1\ninput: {left: [3, 8, 8], right: [3, 8, 8]}\n"
        "graph: [{subtract: [[=left], [=right]]}, abs]\noutputs: {apart: =x, first: =left}\n"
    )
    text = """
    blocks: {pair: {network: pair}}
    graph: [{relu: {}, as: r}, {pair: {left: =input, right: =r}, as: [first]}, {concat: '=[x, first]'}]
    """
    assert {n.name: n.inputs for n in built(text, folder).nodes} == {
        "relu": ("input",),
        "pair.subtract": ("input", "relu"),
        "pair.abs": ("pair.subtract",),
        "concat": ("pair.abs", "input"),
    }


def test_a_profile_and_a_child_may_have_another_network(folder: Path) -> None:
    (folder / "base.yaml").write_text(
        "archforge: 1\nkind: template\ninput: [3, 8, 8]\nblocks: {part: {network: inner}}\ngraph: part\n"
    )
    text = """
    extends: base
    profiles: {own: {}, wide: {blocks: {part: {network: inner, profile: wide}}}}
    """
    widths = [
        [n.op.attributes()["out"] for n in expanded(text, profile, folder).graph.nodes if n.op.kind == "conv"]
        for profile in ("own", "wide")
    ]
    assert widths == [[4, 4, 4], [8, 8, 8]]


# Outputs of blocks


def test_a_call_keeps_outputs_under_their_names_or_others() -> None:
    text = """
    blocks:
      split:
        args: {out: int}
        body: [{conv: =out, as: low}, {conv: =out}, relu]
        outputs: {low: =low, high: =x, both: '=[low, x]'}
    graph:
      - {split: 4, as: {first: low}}
      - {split: 8, as: [high, both]}
      - concat: =[x, high, first] + both
    """
    assert wires(text)["concat"] == (
        *("split2.relu", "split2.relu", "split1.conv1"),
        *("split2.conv1", "split2.relu"),
    )


def test_outputs_are_those_of_the_last_repeat_and_of_the_block_that_a_formula_names() -> None:
    text = """
    args: {block: unit}
    blocks: {unit: {body: [relu, {conv: 4, as: beside}], outputs: {beside: =beside}}}
    graph: [{=block: {}, repeat: 2, as: [beside]}, {conv: 4, name: last}, {add: '=[x, beside]'}]
    """
    assert wires(text)["add"] == ("last", "unit2.conv")


def test_outputs_that_a_step_does_not_leave_are_refused() -> None:
    blocks = "blocks: {unit: {body: relu, outputs: {a: =x, b: {value: =x, when: false}}}}\n"
    assert refused(blocks + "graph: [{unit: {}, as: [b]}, {concat: '=[x, b]'}]") == ["E0324"]
    assert refused(blocks + "graph: [{unit: {}, as: [a], repeat: 0}, {concat: '=[x, a]'}]") == ["E0324"]
    assert refused("args: {op: relu}\ngraph: [{=op: {}, as: [a]}, {concat: '=[x, a]'}]") == ["E0324"]
    tail = "args: {tail: [unit]}\n" + blocks + "graph: [{=tail: {}, as: [a]}, {concat: '=[x, a]'}]"
    assert refused(tail) == ["E0324"]


def test_an_output_of_the_graph_may_be_a_list() -> None:
    text = """
    graph: [{conv: 4, append: maps}, {conv: 8, append: maps}]
    outputs: {main: =x, maps: =maps}
    """
    outputs = expanded(text).graph.outputs
    assert outputs == {"main": "conv2", "maps.0": "conv1", "maps.1": "conv2"}
    assert refused(text.replace("main: =x", "maps.1: =x")) == ["E0309"]


# Bounds


def test_networks_in_each_other_are_bounded(folder: Path) -> None:
    for i in range(60):
        inside = f"blocks: {{next: {{network: n{i + 1}}}}}\ngraph: next" if i < 59 else "graph: relu"
        (folder / f"n{i}.yaml").write_text(f"archforge: 1\ninput: [3, 8, 8]\n{inside}\n")
    found = mistakes("blocks: {n: {network: n0}}\ngraph: n", folder=folder)
    assert [d.code for d in found] == ["E0316"]
    assert limits.CHAIN.of in found[0].message
    names = expanded("blocks: {n: {network: n50}}\ngraph: n", folder=folder).graph.nodes
    assert [n.name for n in names] == ["n" + ".next" * 9 + ".relu"]


@pytest.mark.parametrize("count", [1, 3])
def test_circles_of_networks_templates_and_imports_are_told(folder: Path, count: int) -> None:
    for i in range(count):
        inside = f"blocks: {{next: {{network: c{(i + 1) % count}}}}}\ngraph: next\n"
        (folder / f"c{i}.yaml").write_text(f"archforge: 1\ninput: [3, 8, 8]\n{inside}")
    assert refused("blocks: {n: {network: c0}}\ngraph: n", folder=folder) == ["E0316"]
    (folder / "t.yaml").write_text("archforge: 1\nkind: template\nblocks: {n: {network: spec}}\ngraph: n\n")
    assert refused("input: [3, 8, 8]\nextends: t", folder=folder) == ["E0316"]


def test_what_taps_leave_out_counts_against_the_budget(folder: Path) -> None:
    (folder / "long.yaml").write_text(
        "archforge: 1\ninput: [3, 8, 8]\n"
        "graph: [{relu: {}, name: first}, {sigmoid: {}, repeat: 9_000, name: rest}]\n"
    )
    text = "blocks: {long: {network: long, taps: [first]}}\ngraph: [{long: {}, repeat: 10_000, name: r}]"
    (found,) = mistakes(text, folder=folder)
    assert found.code == "E0317"


def test_names_of_a_network_clash_with_none_beside_it(folder: Path) -> None:
    text = "blocks: {n: {network: inner}}\ngraph: [{n: {}, name: a}, {flatten: {}, name: a.linear}]"
    assert refused(text, folder=folder) == ["E0309"]
    assert refused("blocks: {n: {network: inner}}\ngraph: [n, {n: {}, name: n}]", folder=folder)[0] == "E0401"


def test_mistakes_in_a_network_are_told_at_their_place(folder: Path) -> None:
    (folder / "bad.yaml").write_text("archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: {out: 4, kernl: 3}}]\n")
    (found,) = mistakes("blocks: {n: {network: bad}}\ngraph: n", folder=folder)
    assert (found.code, found.span and Path(found.span.source.name).name) == ("E0406", "bad.yaml")
    assert "network of block `n`" in found.notes[-1].message
    found = mistakes("blocks: {n: {network: inner}}\ngraph: [{max_pool: 8}, n, {conv: 5}]", folder=folder)[0]
    assert found.trace == ()
