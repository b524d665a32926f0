"""Specs found in graphs: they are the same graph, node by node, and read as a person would write them.

`data/folded.json` holds how many lines each network of the zoo takes; one that is not quick is folded by
a slow test alone.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from textwrap import dedent

import numpy as np
import pytest
import yaml

import archforge
from archforge import driver
from archforge.data.arrays import write_arrays
from archforge.errors import DiagnosticError
from archforge.interchange.decompile import Folded, fold
from archforge.interchange.decompile.folding import _texts
from archforge.interchange.decompile.proof import DiffersError, prove
from archforge.interchange.decompile.tree import Source
from archforge.ir import Node, TypedGraph
from archforge.ops import all_ops
from archforge.spec.expand.expand import expand
from archforge.spec.printing.graph import print_graph
from archforge.spec.resolve.sources import open_spec
from archforge.weights import rule_input, rule_weights
from tests.conftest import Run
from tests.graphs import GRAPHS, graph, node, one_op
from tests.pages import REGENERATE
from tests.test_printing_graphs import random_graph
from tests.zoo import DATA, networks

LINES = DATA / "folded.json"
MAX_MEAN = 9_000 / 167  # lines of a network
BARS = {
    "densenet_121": 33,
    "inception_v3": 80,
    "mobilenet_v2": 31,
    "nasnet_a_large": 150,
    "resnet_50": 33,
    "vgg_16": 23,
}
# Those with a bar, and of each other kind of network one: gates, U-Net, split channels, sequences, outputs.
QUICK = (
    *BARS,
    "convnext_tiny",
    "efficientnet_b0",
    "gru_text",
    "inception_v1",
    "mlp_mnist",
    "regnet_y_400mf",
    "resnest_50d",
    "resnet_18",
    "resnet_v2_18",
    "shufflenet_v2_x1_0",
    "skresnet_18",
    "unet",
    "xception",
)


@cache
def folded(name: str) -> Folded:
    return fold(expand(networks()[name], None).graph, name)


def folded_text() -> str:
    """The text that `data/folded.json` must hold."""
    return json.dumps({name: folded(name).lines for name in sorted(networks())}, indent=0) + "\n"


def stored_lines() -> dict[str, int]:
    lines: dict[str, int] = json.loads(LINES.read_text())
    return lines


def check(typed: TypedGraph, title: str = "Folded") -> Folded:
    """The graph's spec, whose graph has the same nodes in the order that it tells."""
    made = fold(typed, title)
    nodes = tuple(typed.nodes[number] for number in made.order)
    assert facts_of(archforge.load(made.text).graph) == facts_of(typed, nodes)
    assert max(map(len, made.text.splitlines())) <= 120
    assert made.text.isascii()
    return made


def facts_of(typed: TypedGraph, nodes: tuple[Node, ...] | None = None) -> list[object]:
    """Inputs, outputs and nodes: values by their place, those that share parameters by the first of them."""
    nodes = nodes or typed.nodes
    places = {name: i for i, name in enumerate((*typed.inputs, *(n.name for n in nodes)))}
    owners = {n.params_of: i for i, n in reversed(list(enumerate(nodes))) if owns(typed, n)}
    rows = [(n.op, [places[v] for v in n.inputs], owners.get(n.params_of)) for n in nodes]
    return [dict(typed.inputs), rows, {name: places[value] for name, value in typed.outputs.items()}]


def owns(typed: TypedGraph, n: Node) -> bool:
    return bool(n.op.params(*typed.input_types(n)))


def of_steps(steps: str, shape: str = "[4, 12, 12]") -> TypedGraph:
    """The graph of a spec's steps."""
    return archforge.load(f"archforge: 1\ninput: {shape}\ngraph:\n{dedent(steps)}").graph


def body(text: str) -> str:
    """A spec's text behind its title and input."""
    return "".join(text.splitlines(keepends=True)[3:])


# The zoo


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in sorted(networks())],
)
def test_a_network_is_the_same_graph_in_as_many_lines_as_before(name: str) -> None:
    typed = expand(networks()[name], None).graph
    made = check(typed)
    assert made.lines == stored_lines()[name], REGENERATE
    assert made.text == next(_texts(Source(typed), "Folded"))[0]  # no flatter one


def test_the_zoo_takes_few_lines() -> None:
    lines = stored_lines()
    assert lines.keys() == networks().keys(), REGENERATE
    assert sum(lines.values()) / len(lines) <= MAX_MEAN
    assert {name: lines[name] for name in BARS if lines[name] > BARS[name]} == {}


@pytest.mark.parametrize("name", QUICK)
def test_what_is_found_is_no_mistake_of_an_author(name: str) -> None:
    assert driver.analyse(open_spec(folded(name).text)).warnings == ()


@pytest.mark.parametrize("name", ["resnet_50", "nasnet_a_large", "skresnet_18"])
def test_what_was_folded_is_folded_to_the_same_text(name: str) -> None:
    again = archforge.load(folded(name).text).graph
    assert fold(again, name).text == folded(name).text


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2", "resnet_50"])
def test_no_block_holds_the_stem_and_more(name: str) -> None:
    """The first convolution is in a block of one layer, or in none."""
    made = archforge.load(folded(name).text).graph
    outermost = made.nodes[0].scope
    while made.scopes[outermost].parent:
        outermost = made.scopes[outermost].parent or 0
    assert made.scopes[outermost].kind in {"conv_bn", "conv_bn_relu6", "conv_bn_silu"}


# Any graph


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_made_by_hand_are_the_same(name: str) -> None:
    check(GRAPHS[name])


@pytest.mark.parametrize("kind", sorted({op.op for op in all_ops().values()}))
def test_every_op_is_said_with_all_its_attributes(kind: str) -> None:
    """Each example twice in a row where it takes what it gives, so that attributes become parameters."""
    for example in all_ops()[kind].examples:
        op = all_ops()[kind](**example.attributes)
        typed = one_op(op, example.inputs)
        if op.arity is not None or len(example.inputs) > 1:
            check(typed)


def test_random_graphs_are_the_same() -> None:
    for seed in range(150):
        typed = random_graph(Random(seed))
        check(typed)


def test_attributes_of_all_kinds_become_arguments() -> None:
    """Blocks of two ops whose attributes differ from use to use, in type too."""
    for kind in sorted({op.op for op in all_ops().values() if op.arity is not None}):
        cases = [e for e in all_ops()[kind].examples if len(e.inputs[0]) == 3]
        nodes, inputs = [], {}
        for index, example in enumerate(cases * 2):
            inputs[f"x{index}"] = example.inputs[0]
            nodes.append(node(f"a{index}", "relu", f"x{index}"))
            nodes.append(node(f"b{index}", kind, f"a{index}", **example.attributes))
        outputs = {f"y{index}": f"b{index}" for index in range(len(cases) * 2)}
        if cases:
            check(graph(*nodes, inputs=inputs, outputs=outputs))


def test_shared_parameters_inputs_and_outputs_survive() -> None:
    spec = """
    archforge: 1
    input: {left: [1, 28, 28], right: [1, 28, 28]}
    blocks:
      tower:
        body: [{conv: {out: 8, kernel: 5}}, relu, {conv: {out: 16, kernel: 5}}, relu, flatten, {linear: 64}]
    graph:
      - subtract:
          - {tower: {}, from: =left, share: tower}
          - {tower: {}, from: =right, share: tower}
      - abs
      - {linear: 1, as: distance}
      - {linear: 1, share: same, from: =distance, as: one}
      - {linear: 1, share: same}
    outputs: {last: =x, distance: =distance, one: =one}
    """
    made = check(archforge.load(dedent(spec)).graph)
    assert "share: shared_" in made.text
    assert made.text.count("kernel: 5") == 2  # so the tower is there once


HEADS = """
- repeat: 3
  seq:
    - conv: {out: 8, kernel: 3, padding: 1}
    - concat:
        - [{slice: {end: 4}}, {conv: {out: 4, kernel: 5, padding: 2}, share: heads}]
        - [{slice: {start: 4, end: 8}}, {conv: {out: 4, kernel: 5, padding: 2}, share: heads}]
    - relu
"""


def test_each_call_of_a_block_shares_parameters_of_its_own() -> None:
    spec = {
        "archforge": 1,
        "input": [8, 12, 12],
        "blocks": {"pool": {"body": yaml.safe_load(HEADS)[0]["seq"]}},
    }
    made = check(archforge.load(yaml.safe_dump(spec | {"graph": [{"pool": {}, "repeat": 3}]})).graph)
    assert made.text.count("share: shared_1") == 2
    assert check(of_steps(HEADS)).text.count("share: shared_1") == 6  # one convolution of all


def test_a_loop_goes_on_from_a_value_that_is_not_in_front_of_it() -> None:
    steps = """
    - {conv: 4, as: first}
    - conv: 4
    - concat:
        - conv: {out: 4, kernel: 7}
        - conv: {out: 4, kernel: 7}
        - from: =first
          seq: [{repeat: 3, seq: [{conv: {out: 4, kernel: 3}}, bn, relu]}]
    """
    made = check(of_steps(steps))
    assert "from: =conv_1" in made.text
    assert "repeat: 3" in made.text


def test_a_value_that_others_read_too_stands_in_no_sum_that_may_lack_one() -> None:
    unit = "{conv: {out: 8, kernel: 3, padding: 1}}, relu, {conv: {out: 4, kernel: 3, padding: 1}}, bn"
    steps = f"""
    - add: [[{unit}], []]
    - add: [[{unit}], []]
    - seq: [{unit.replace("relu", "{relu: {}, as: wide}")}]
    - concat: [=wide, [], relu]
    """
    made = check(of_steps(steps))
    assert "repeat: 2" in made.text
    assert "as: relu_1" in made.text


def test_a_graph_that_no_spec_gives_is_refused() -> None:
    with pytest.raises(DiagnosticError, match=r"^E0705: no step gives `a`, `add` of 1 values"):
        fold(graph(node("a", "add", "input")), "Folded")


def test_a_text_that_says_another_graph_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage may go wrong: what is given then is the flatter text, at last that of single steps."""
    typed = expand(networks()["resnet_18"], None).graph
    places = "archforge.interchange.decompile.folding"
    real = fold(typed, "T")
    with monkeypatch.context() as broken:
        broken.setattr(f"{places}._text", lambda *_: real.text.replace("stride: 2", "stride: 1", 1))
        flatter = check(typed, "T")
    assert (flatter.blocks, real.blocks) == (0, 2)
    with monkeypatch.context() as broken:
        broken.setattr(f"{places}._text", lambda *_: "no spec")
        broken.setattr(f"{places}.text_of", lambda *_: real.text.replace("- relu\n", "- silu\n", 1))
        assert check(typed, "T").text == print_graph(typed, "T")


PROVED = """
archforge: 1
title: Proved
input: {left: [4, 6, 6], right: [4, 6, 6]}
graph:
  - {conv: {out: 4, kernel: 3, padding: 1}, from: =left, share: one, as: a}
  - {conv: {out: 4, kernel: 3, padding: 1}, from: =right, share: one}
  - subtract: [=a, []]
  - {bn: {}, as: b}
  - {bn: {}, as: c}
outputs: {first: =b, second: =c}
"""


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("bn: {}, as: b", "bn: {eps: 1e-3}, as: b"),
        ("bn: {}, as: b", "relu: {}, as: b"),
        ("subtract: [=a, []]", "subtract: [[], =a]"),
        ("subtract", "add"),
        ("from: =right", "from: =a"),
        (", share: one}", "}"),
        ("bn: {}", "bn: {}, share: two"),
        ("first: =b, second: =c", "first: =c, second: =b"),
        ("first: =b, second: =c", "second: =c, first: =b"),
        ("first: =b, second: =c", "second: =c"),
        ("right: [4, 6, 6]", "right: [4, 6, 6], more: [1]"),
        ("left: [4, 6, 6], right: [4, 6, 6]", "right: [4, 6, 6], left: [4, 6, 6]"),
        ("  - {bn: {}, as: c}\n", "  - {bn: {}, as: c}\n  - side: [relu]\n"),
        ("graph:", "graf:"),
    ],
)
def test_what_says_another_graph_is_not_proved(written: str, instead: str) -> None:
    typed = archforge.load(PROVED).graph
    order = range(len(typed.nodes))
    assert len(prove(typed, order, PROVED)) == 2 + 2 * 4
    assert written in PROVED
    with pytest.raises(DiffersError):
        prove(typed, order, PROVED.replace(written, instead))


# The text


def test_residuals_become_a_block_with_mined_formulas() -> None:
    spec = """
    - conv: {out: 8, kernel: 3, padding: 1}
    - for: {width: [8, 16, 32], stride: [1, 2, 2]}
      do:
        - repeat: 2
          seq:
            - let: {out: =width, s: =stride if i == 0 else 1}
            - add:
                - - {conv: {out: =out, kernel: 3, stride: =s, padding: 1}}
                  - relu
                  - {conv: {out: =out, kernel: 3, padding: 1}}
                - [{conv: {out: =out, stride: =s}, when: =s != 1 or x.channels != out}]
            - relu
    - global_avg_pool
    """
    expected = """\
    blocks:
      residual:
        args: {out: =input.channels, stride: 1}
        body:
          - add:
              - - conv: {out: =out, kernel: 3, stride: =stride, padding: 1}
                - relu
                - conv: {out: =out, kernel: 3, padding: 1}
              - [{conv: {out: =out, stride: 2}, when: =input.channels != out}]
          - relu
    graph:
      - conv: {out: 8, kernel: 3, padding: 1}
      - for: {out: [8, 16, 32], stride: [1, 2, 2]}
        do: {residual: =out, repeat: 2, first: {stride: =stride}}
      - global_avg_pool
    """
    assert body(check(of_steps(spec)).text) == dedent(expected)


def test_rates_that_rise_from_block_to_block_are_a_formula() -> None:
    text = folded("efficientnet_b0").text
    assert "rate: =0.2 * depth / 16" in text
    assert "depth: =i + depth" in text


def test_equal_numbers_of_other_meaning_are_no_formula() -> None:
    """A dilation is not its padding, nor a kernel the number of channels."""
    steps = "".join(
        f"- conv: {{out: {n}, kernel: {n}, padding: {n // 2 * n}, dilation: {n}}}\n- bn\n- relu\n"
        for n in (3, 5, 7, 5, 3)
    )
    text = check(of_steps(steps, "[3, 190, 190]")).text
    assert "dilation: =dilation" in text
    assert "padding: =dilation * (kernel // 2)" in text
    assert "kernel: =kernel" in text


def test_a_value_that_is_read_again_is_a_tap_and_a_cell_takes_it_as_an_argument() -> None:
    branches = "[{conv: {out: 4, kernel: 3, padding: 1}}, bn, relu], [{bn: {}, from: =BEFORE}, relu]"
    cell = f"- add: [{branches}]\n  as: NOW\n"
    values = ["one", "two", "three", "four", "five", "six"]
    steps = "- {conv: 4, as: one}\n- {conv: 4, as: two}\n"
    for before, now in zip(values, values[2:], strict=False):
        steps += cell.replace("BEFORE", before).replace("NOW", now)
    made = check(of_steps(steps))
    assert "args: {before: tensor}" in made.text
    assert "cell: {before: =" in made.text


# The command


def test_a_network_is_printed_or_written(run: Run) -> None:
    code, printed, _ = run("fold", "lenet_5")
    assert code == 0
    assert archforge.load(printed).counts == archforge.load("lenet_5").counts
    code, told, _ = run("fold", "lenet_5", "-o", "made/lenet.yaml")
    assert (code, told) == (
        0,
        f"wrote made/lenet.yaml: 18 nodes in {len(printed.splitlines())} lines, 0 blocks\n",
    )
    assert Path("made/lenet.yaml").read_text() == printed
    code, out, _ = run("fold", "lenet_5", "--json")
    assert json.loads(out)["spec"] == printed


@pytest.mark.parametrize("name", ["lenet_5", "resnet_20_cifar"])
def test_weights_get_the_names_of_the_new_spec(name: str, run: Run) -> None:
    """Outputs stay, to the last bit."""
    network = archforge.load(name)
    weights = rule_weights(network.params)
    write_arrays(Path("old.safetensors"), weights)
    assert run("fold", name, "-o", "new.yaml", "--mapping", "map.json")[0] == 0
    moved = ("--to", "new.yaml", "--mapping", "map.json", "-o", "new.safetensors")
    assert run("weights", "convert", "old.safetensors", *moved)[0] == 0
    (shape,) = [t.shape for t in network.graph.inputs.values()]
    x = rule_input((2, *shape))
    before = archforge.compile(network, weights=weights, backend="numpy", dtype="float64")(x)
    after = archforge.compile("new.yaml", weights="new.safetensors", backend="numpy", dtype="float64")(x)
    np.testing.assert_array_equal(before, after)


def test_a_spec_is_not_overwritten_by_its_own_graph(run: Run) -> None:
    text = "archforge: 1\ninput: [3, 8, 8]\nargs: {width: 8}\ngraph: [{conv: =width}]\n"
    Path("mine.yaml").write_text(text)
    for option in ("-o", "--mapping"):
        code, _, told = run("fold", "mine.yaml", option, "./mine.yaml")
        assert (code, Path("mine.yaml").read_text()) == (2, text)
        assert "mine.yaml is the spec itself" in told
    code, _, told = run("fold", "mine.yaml", "-o", "new", "--mapping", "new")
    assert (code, Path("new").exists()) == (2, False)
    assert "new cannot be both the spec and its mapping" in told


@pytest.mark.parametrize("folder", [".", "..", "/", "made"])
def test_a_folder_is_no_file_to_write(folder: str, run: Run) -> None:
    Path("made").mkdir()
    for option in ("-o", "--mapping"):
        code, _, told = run("fold", "lenet_5", option, folder)
        assert (code, told.splitlines()[0]) == (2, f"E0705: cannot write {folder}: it is a folder")


def test_nothing_is_written_of_a_spec_with_a_mistake(run: Run) -> None:
    Path("bad.yaml").write_text("archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: {out: 8, kernel: 9}}]\n")
    code, out, told = run("fold", "bad.yaml", "-o", "made.yaml")
    assert (code, out) == (2, "")
    assert "bad.yaml:3:" in told
    assert not Path("made.yaml").exists()
