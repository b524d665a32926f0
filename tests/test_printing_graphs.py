"""Graphs printed as flat specs: the expansion is the same graph, node by node."""

from __future__ import annotations

from random import Random
from textwrap import dedent

import pytest

import archforge
from archforge.errors import DiagnosticError
from archforge.ir import Node, TypedGraph
from archforge.spec.expand.expand import expand
from archforge.spec.printing.document import print_document
from archforge.spec.printing.graph import print_graph
from tests.graphs import GRAPHS, graph, node
from tests.test_printing import read
from tests.zoo import networks

# Of each kind of network one: chains, residuals, gates, dense, grids, cells with taps, heads, sequences.
QUICK = (
    "alexnet",
    "densenet_121",
    "efficientnet_b0",
    "inception_v3",
    "inception_v1",
    "lenet_5",
    "nasnet_a_large",
    "pnasnet_5_large",
    "regnet_y_400mf",
    "resnet_50",
    "shufflenet_v2_x1_0",
    "squeezenet_1_0",
)


def facts(typed: TypedGraph) -> list[object]:
    """Nodes as values are named by their position."""
    places = {name: i for i, name in enumerate((*typed.inputs, *(n.name for n in typed.nodes)))}
    nodes = [(n.op, [places[v] for v in n.inputs], sorted(params(typed, n))) for n in typed.nodes]
    outputs = {name: places[value] for name, value in typed.outputs.items()}
    return [dict(typed.inputs), nodes, list(outputs.items())]


def params(typed: TypedGraph, n: Node) -> list[str]:
    return [n.param_name(name) for name in n.op.params(*typed.input_types(n))]


def check(typed: TypedGraph) -> str:
    text = print_graph(typed, "Printed")
    assert facts(archforge.load(text).graph) == facts(typed)
    assert print_document(read(text)) == text
    return text


def named(typed: TypedGraph) -> list[tuple[str, str]]:
    return [(n.name, n.params_of) for n in typed.nodes]


def check_profiles(name: str) -> None:
    """Every profile of a network that has a graph of its own, names of merges included."""
    spec = networks()[name]
    for profile in {spec.profile(name).changes(): name for name in spec.profile_names}.values():
        typed = expand(spec, profile).graph
        assert named(archforge.load(check(typed)).graph) == named(typed)


@pytest.mark.parametrize("name", QUICK)
def test_networks_of_the_zoo_are_printed_node_by_node(name: str) -> None:
    check_profiles(name)


@pytest.mark.parametrize("name", ["densenet_121", "regnet_y_400mf", "resnet_50", "squeezenet_1_0"])
def test_branches_that_no_spec_has_to_name_are_printed_without_a_name(name: str) -> None:
    """Residuals, gates and parallel branches: their specs name no value, and so does what is printed."""
    text = print_graph(expand(networks()[name], None).graph, "Printed")
    assert " as: " not in text
    assert " from: " not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*networks()} - {*QUICK}))
def test_every_network_of_the_zoo_is_printed_node_by_node(name: str) -> None:
    check_profiles(name)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_made_by_hand_are_printed_node_by_node(name: str) -> None:
    check(GRAPHS[name])


def random_graph(random: Random) -> TypedGraph:
    """Nodes that read any values before them, with names and scopes of all kinds, and shared parameters."""
    inputs = random.choice((("input",), ("image",), ("a", "b")))
    values, nodes = list(inputs), list[Node]()
    for number in range(random.randrange(1, 14)):
        kind = random.choice(("conv", "relu", "bn", "add", "multiply", "subtract", "identity"))
        scope = random.choice(("", "", "s.", "s.", "t.0.", "t.1.", "v."))
        if not values[-1].startswith(scope) and any(v.startswith(scope) for v in values):
            scope = "w."  # the nodes of a scope follow each other, as in every spec
        own = f"{scope}{random.choice((kind, f'{kind}{number}', str(number), f'x{number}'))}"
        name = own if own not in values else f"n{number}"
        recent = values[-4:]
        if kind in ("add", "multiply", "subtract"):
            nodes.append(node(name, kind, *random.choices(recent, k=random.choice((2, 2, 3)))))
        else:
            attributes = {"out": 4, "kernel": 3, "padding": 1} if kind == "conv" else {}
            twin = random.choice([n.name for n in nodes if n.op.kind == kind] or [name])
            params_of = random.choice((name, name, name, twin))
            source = random.choice((values[-1], random.choice(recent)))
            nodes.append(node(name, kind, source, params_of=params_of, **attributes))
        values.append(name)
    ends = {f"o{i}": random.choice(values) for i in range(3)}
    ends = random.choice((ends, {"output": values[-1]}))
    return graph(*nodes, inputs=dict.fromkeys(inputs, (4, 6, 6)), outputs=ends)


def test_random_graphs_are_printed_node_by_node_or_refused() -> None:
    refused = 0
    for seed in range(300):
        typed = random_graph(Random(seed))
        try:
            check(typed)
        except DiagnosticError as error:
            assert {d.code for d in error.diagnostics} == {"E0705"}  # noqa: PT017
            refused += 1
    assert refused < 30


# The text


def test_a_graph_as_text() -> None:
    spec = """
    archforge: 1
    title: Printed
    input: {left: [1, 12, 12], right: [1, 12, 12]}
    graph:
      - share: tower
        seq:
          - {conv: {out: 4, kernel: 5}, name: conv, from: =left}
          - {relu: {}, name: relu, as: tower_relu}
      - share: tower
        seq:
          - {conv: {out: 4, kernel: 5}, name: conv, from: =right}
          - {relu: {}, name: relu}
      - subtract:
          - =tower_relu
          - []
      - name: gated
        seq:
          - multiply:
              - []
              - - {global_avg_pool: {keep: false}, name: pool}
                - {linear: 4, name: fc}
                - {sigmoid: {}, name: gate, as: gated_gate}
          - {bn: {eps: 0.001}, name: bn}
      - flatten
      - {linear: 1, name: head}
    outputs:
      distance: =x
      gate: =gated_gate
    """
    text = dedent(spec).lstrip()
    assert check(archforge.load(text).graph) == text


def test_attributes_are_written_as_the_language_reads_them() -> None:
    text = print_graph(GRAPHS["fold_batch_norm_example_0"], "yes: it's [1]")
    assert text.splitlines()[:4] == [
        "archforge: 1",
        'title: "yes: it\'s [1]"',
        "input: [4, 6, 6]",
        "graph:",
    ]
    assert "padding: [[0, 2], [3, 1]]" in text
    merged = print_graph(graph(node("a", "concat", "input", "input", axis=1)), "Printed")
    assert merged.splitlines()[-1] == "      axis: 1"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (graph(node("{x}", "relu", "input")), "`{x}` cannot name a step"),
        (graph(node("a b", "relu", "input")), "`a b` cannot name a step"),
        (graph(node("=x", "relu", "input")), "`=x` cannot name a step"),
        (graph(node("a", "add", "input")), "no step gives `a`, `add` of 1 values"),
        (graph(node("a@2", "conv", "input", out=1)), "`a@2` would be `a`"),
        (graph(node("a", "relu", "input"), inputs={"relu": (1,), "input": (1,)}), "it is"),
        (graph(node("add", "relu", "input"), node("b", "add", "add", "input")), "two steps are named `add`"),
        (graph(node("a", "relu", "input"), inputs={"input": (1, 1, 1, 1, 1)}), "one to four whole numbers"),
    ],
)
def test_a_graph_that_no_spec_gives_is_refused(typed: TypedGraph, said: str) -> None:
    with pytest.raises(DiagnosticError, match=r"^E0705: ") as caught:
        print_graph(typed, "Printed")
    assert said in str(caught.value)
