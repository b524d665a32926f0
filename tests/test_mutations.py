"""A network that is built wrong is noticed: by its counts, by its shapes, or by its golden output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import archforge
from archforge import driver
from archforge.analysis.checks import check_cells
from archforge.analysis.counts import count
from archforge.analysis.network import Network
from archforge.errors import InternalError
from archforge.ir import Graph, Node, TypedGraph, infer
from archforge.ops import op_class
from archforge.weights.golden import TOLERANCE
from tests.test_parity import GOLDENS, golden
from tests.zoo import expected, networks


@cache
def families() -> dict[str, list[str]]:
    """The networks of each family (those that extend one template, or stand alone): those whose
    multiply-accumulates are documented first, the smaller before the larger."""
    members: dict[str, list[str]] = {}
    for name, spec in networks().items():
        members.setdefault(spec.document.header.extends or name, []).append(name)
    return {family: sorted(names, key=_rank) for family, names in members.items()}


def _rank(name: str) -> tuple[bool, int]:
    """A stride moves no parameter, so that only a `macs` cell sees it where a global pool follows."""
    spec = networks()[name]
    without_macs = not any("macs" in expected(name, profile) for profile in spec.profile_names)
    return without_macs, len(archforge.load(name).graph.nodes)


def _profiles(name: str) -> list[Network]:
    return [archforge.load(name, profile) for profile in networks()[name].profile_names]


def _changed(network: Network, change: Callable[[Graph], Graph | None]) -> Network | None:
    """The network after `change`, analysed anew; None if its shapes no longer fit."""
    changed = change(network.graph.graph)
    assert changed is not None, "the profiles of a network have the same kinds of ops"
    try:
        typed: TypedGraph = infer(changed)
    except InternalError:  # a shape that does not fit: expansion would have refused it
        return None
    expansion = replace(network.expansion, graph=typed)
    counts = count(typed)
    return Network(expansion, counts, check_cells(expansion, counts))


def _swap(graph: Graph, old: Node, new: Node) -> Graph:
    nodes = tuple(new if node is old else node for node in graph.nodes)
    return Graph(graph.name, graph.inputs, nodes, graph.outputs, graph.scopes)


def _with(node: Node, **attributes: Any) -> Node:
    return replace(node, op=op_class(node.op.kind)(**{**node.op.attributes(), **attributes}))


def _middle(graph: Graph, kind: str, fits: Callable[[Node], bool] = lambda node: True) -> Node | None:
    found = [n for n in graph.nodes if n.op.kind == kind and n.params_of == n.name and fits(n)]
    return found[len(found) // 2] if found else None


def shallower(graph: Graph) -> Graph | None:
    """One convolution or linear layer less."""
    node = _middle(graph, "conv") or _middle(graph, "linear")
    return graph.replace_uses({node.name: node.inputs[0]}) if node else None


def wider(graph: Graph) -> Graph | None:
    node = _middle(graph, "conv") or _middle(graph, "linear")
    return _swap(graph, node, _with(node, out=2 * node.op.attributes()["out"])) if node else None


def larger_kernel(graph: Graph) -> Graph | None:
    node = _middle(graph, "conv")
    return _swap(graph, node, _with(node, kernel=9, padding="same")) if node else None


def other_stride(graph: Graph) -> Graph | None:
    node = _middle(graph, "conv", lambda n: n.op.attributes()["stride"] == 2)
    return _swap(graph, node, _with(node, stride=1)) if node else None


def other_bias(graph: Graph) -> Graph | None:
    node = _middle(graph, "conv") or _middle(graph, "linear")
    return _swap(graph, node, _with(node, bias=not node.op.attributes()["bias"])) if node else None


COUNTED = [shallower, wider, larger_kernel, other_stride, other_bias]


CASES = [
    pytest.param(names[0], change, id=f"{family}-{change.__name__}")
    for family, names in sorted(families().items())
    for change in COUNTED
    if change(archforge.load(names[0]).graph.graph) is not None
]


@pytest.mark.parametrize(("name", "change"), CASES)
def test_a_change_of_structure_moves_a_count_or_breaks_a_shape(
    name: str, change: Callable[[Graph], Graph | None]
) -> None:
    results = [_changed(network, change) for network in _profiles(name)]
    assert any(result is None or not result.ok for result in results)


def merged_wrongly(network: Network) -> Iterator[Graph]:
    """Sums that became products, and joined maps in another order, on the way to the first output: all counts
    stay."""
    typed = network.graph
    seen = typed.needed_by([*typed.outputs.values()][:1])
    for kind, other in (("add", "multiply"), ("multiply", "add")):
        node = _middle(
            typed.graph, kind, lambda n: n.name in seen and len({typed.types[v] for v in n.inputs}) == 1
        )
        if node:
            yield _swap(typed.graph, node, replace(node, op=op_class(other)()))
    node = _middle(typed.graph, "concat", lambda n: n.name in seen and len({*n.inputs}) > 1)
    if node:
        yield _swap(typed.graph, node, replace(node, inputs=node.inputs[::-1]))


def _with_golden(names: list[str]) -> Iterator[tuple[str, str]]:
    """The profiles that have a golden output, as (name, model)."""
    for name in names:
        spec = networks()[name]
        models = (spec.profile(profile).model for profile in spec.profile_names)
        yield from ((name, model) for model in models if model in GOLDENS)


MERGING = [found for names in families().values() if (found := next(_with_golden(names), None))]


@pytest.mark.parametrize(("name", "model"), MERGING)
def test_a_wrong_merge_moves_the_golden_output(name: str, model: str) -> None:
    wanted = golden(model)
    network = archforge.load(name, model, input=wanted.input_shape[1:])
    for graph in merged_wrongly(network):
        wrong = replace(network, expansion=replace(network.expansion, graph=infer(graph)))
        if wrong.params.keys() != network.params.keys() or wrong.params != network.params:
            continue  # the shapes of parameters tell
        output, _ = driver.verify(wrong, wanted, backend="numpy", dtype="float32")
        assert output.distance > TOLERANCE["float32"]
