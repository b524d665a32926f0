"""Passes keep every output and every tap, and the pipeline notices one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from archforge import passes
from archforge.backends import get
from archforge.errors import DiagnosticError, InternalError
from archforge.ir import Graph, TypedGraph
from archforge.ops.base import Array
from archforge.passes import Pass, Rewrite, all_passes, optimise
from archforge.passes.channel_factors import OutputWeight
from archforge.passes.fold_batch_norm import FoldBatchNorm
from archforge.plan import GraphCompiler, Plan, Results, load
from tests.graphs import CONV, GRAPHS, WEIGHTS, evaluate, graph, inputs_of, node
from tests.small import AMPLIFYING, each_network, small_network, small_weights

EACH = [(), *((name,) for name in all_passes()), tuple(all_passes())]


def run(name: str, taps: set[str], enabled: tuple[str, ...]) -> tuple[TypedGraph, dict[str, Array]]:
    """The graph after the passes in `enabled`, and all its values on weights made by rule."""
    off = set(all_passes()) - set(enabled)
    done = optimise(GRAPHS[name], taps, without=off)
    params = dict(WEIGHTS[name])
    for transform in done.transforms:
        params |= transform.apply(params)
    return done.graph, evaluate(done.graph, params, inputs_of(done.graph))


@pytest.mark.parametrize("enabled", EACH, ids="+".join)
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_and_all_surviving_values_stay(name: str, enabled: tuple[str, ...]) -> None:
    before = GRAPHS[name]
    expected = evaluate(before, WEIGHTS[name], inputs_of(before))
    after, values = run(name, set(), enabled)
    assert after.outputs.keys() == before.outputs.keys()
    for output, value in after.outputs.items():
        assert_equal(values[value], expected[before.outputs[output]])
    for value in values.keys() & expected.keys():
        assert_equal(values[value], expected[value])


@pytest.mark.parametrize("name", GRAPHS)
def test_each_tapped_value_stays(name: str) -> None:
    before = GRAPHS[name]
    expected = evaluate(before, WEIGHTS[name], inputs_of(before))
    for tap in before.types:
        _, values = run(name, {tap}, tuple(all_passes()))
        assert_equal(values[tap], expected[tap])


def test_a_pad_that_keeps_the_shape_stays_between_permutes() -> None:
    before = graph(
        node("last", "permute", "input", order=(1, 2, 0)),
        node("shifted", "pad", "last", sides=(1, -1, -2, 2)),
        node("first", "permute", "shifted", order=(2, 0, 1)),
        node("relu", "relu", "first"),
        inputs={"input": (4, 6, 5)},
    )
    after = optimise(before).graph
    inputs = inputs_of(before)
    assert_equal(evaluate(after, {}, inputs)["relu"], evaluate(before, {}, inputs)["relu"])


def _content(plan: Plan) -> tuple[object, ...]:
    return tuple((n.name, n.op, n.inputs, n.params_of) for n in plan.graph.nodes)


@each_network
def test_networks_keep_their_outputs_and_taps(name: str, profile: str) -> None:
    typed = small_network(name, profile)
    weights, inputs = small_weights(name, profile), inputs_of(typed, batch=1)
    taps = {s.name: s.output for s in typed.scopes if s.name and s.output}
    tolerance = AMPLIFYING.get(name, 1e-11)

    def planned(enabled: tuple[str, ...], asked: dict[str, str]) -> Plan:
        without = frozenset(all_passes()) - set(enabled)
        return GraphCompiler(get("numpy"), "float64", tuple(asked), without=without).plan(typed)

    def results(enabled: tuple[str, ...], asked: dict[str, str]) -> Results:
        return load(planned(enabled, asked), weights).run(inputs)

    expected = results((), taps)
    # Passes that leave a network as it is, or as others do, need not compute it again.
    plans = {_content(plan): plan for plan in (planned(enabled, {}) for enabled in EACH)}
    del plans[_content(planned((), {}))]
    for plan in plans.values():
        for key, y in load(plan, weights).run(inputs).outputs.items():
            assert_equal(y, expected.outputs[key], tolerance)
    found = results(tuple(all_passes()), taps)
    for key, y in expected.taps.items():
        assert_equal(found.taps[key], y, tolerance)


def assert_equal(found: Array, expected: Array, tolerance: float = 1e-13) -> None:
    """Equal but for the rounding of float64: folding rounds in another order."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(float(expected.std()), 1))


FOLDED = {
    "chain": {"conv1", "conv2", "fc"},
    "residual": {"conv1", "conv2"},
    "fork": set[str](),
    "conv_is_output": set[str](),
    "two_norms": {"conv", "bn1"},
    "norm_first": set[str](),
    "transposed": {"up"},
    "grouped": {"conv"},
    "linear_over_time": set[str](),
    "shared": {"left", "right"},
    "shared_in_part": {"left"},
    "scopes": {"stem.conv"},
}


@pytest.mark.parametrize("name", FOLDED)
def test_norms_are_folded_where_nothing_else_reads_the_value_between(name: str) -> None:
    after, _ = run(name, set(), tuple(all_passes()))
    before = {n.name for n in GRAPHS[name].nodes if not n.op.passes_through(*GRAPHS[name].input_types(n))}
    assert before - {n.name for n in after.nodes} == FOLDED[name]


def test_a_tap_is_a_barrier_for_its_own_value_alone() -> None:
    names = {n.name for n in optimise(GRAPHS["chain"], {"conv1"}).graph.nodes}
    assert "conv1" in names
    assert "conv2" not in names
    assert "bn1" in {n.name for n in optimise(GRAPHS["chain"], {"bn1"}).graph.nodes}


def test_uses_that_share_parameters_share_the_folded_ones() -> None:
    done = optimise(GRAPHS["shared"])
    assert [t.makes for t in done.transforms] == [{"twin+bn.weight": (4, 4, 3, 3), "twin+bn.bias": (4,)}]
    assert list(done.graph.params()) == ["twin+bn.weight", "twin+bn.bias"]


def test_an_identity_between_convolution_and_norm_does_not_hinder_folding() -> None:
    assert [n.name for n in optimise(GRAPHS["identities"]).graph.nodes] == ["bn", "add"]
    assert optimise(GRAPHS["only_identity"]).graph.outputs == {"output": "input"}


def test_scopes_name_values_that_exist() -> None:
    scopes = optimise(GRAPHS["scopes"]).graph.scopes
    assert [(s.inputs, s.output) for s in scopes] == [
        (("input",), "relu"),
        (("input",), "bn"),
        (("input",), "bn"),
    ]


def test_folding_is_exact_in_double_precision_whatever_the_weights_come_in() -> None:
    arrays = {
        "c.weight": [[[[0.1]]], [[[3.0]]]], "c.bias": [0.2, -1.0], "n.weight": [1.5, 0.7],
        "n.bias": [0.0, 4.0], "n.running_mean": [0.3, 2.0], "n.running_var": [1e-4, 2.0],
    }  # fmt: skip
    fold = FoldBatchNorm(
        "c", "n", "c+n", tuple(arrays), OutputWeight("c.weight", (2, 1, 1, 1), 0), 2, eps=1e-5
    )
    single = {name: np.array(values, np.float32) for name, values in arrays.items()}
    made = fold.apply(single)
    wide = {name: array.astype(np.float64) for name, array in single.items()}
    factor = wide["n.weight"] / (wide["n.running_var"] + 1e-5) ** 0.5
    expected = (wide["c.bias"] - wide["n.running_mean"]) * factor + wide["n.bias"]
    assert {name: a.dtype for name, a in made.items()} == {"c+n.weight": np.float64, "c+n.bias": np.float64}
    np.testing.assert_allclose(made["c+n.bias"], expected, rtol=1e-15)
    np.testing.assert_allclose(made["c+n.weight"].ravel(), wide["c.weight"].ravel() * factor, rtol=1e-15)


def test_optimising_twice_changes_nothing_more() -> None:
    for name in GRAPHS:
        once = optimise(GRAPHS[name])
        again = optimise(once.graph)
        assert not again.transforms
        assert [n.name for n in again.graph.nodes] == [n.name for n in once.graph.nodes]


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="E0001: there is no pass `fold_bn`"):
        optimise(GRAPHS["chain"], without=["fold_bn"])


SMALL = graph(node("conv", "conv", "input", **CONV), node("bn", "bn", "conv"), node("relu", "relu", "bn"))


def _lose_a_tap(typed: TypedGraph) -> Graph:
    return typed.graph.replace_uses({"relu": "bn"})


def _change_a_type(typed: TypedGraph) -> Graph:
    pooled = (*typed.nodes[:-1], node("relu", "max_pool", "bn", kernel=2))
    return replace(typed.graph, nodes=pooled)


def _lose_an_output(typed: TypedGraph) -> Graph:
    return replace(typed.graph, outputs={})


def _read_what_is_gone(typed: TypedGraph) -> Graph:
    return replace(typed.graph, nodes=typed.nodes[1:])


def _want_another_parameter(typed: TypedGraph) -> Graph:
    return replace(typed.graph, nodes=(replace(typed.nodes[0], params_of="other"), *typed.nodes[1:]))


def _repeat_a_node(typed: TypedGraph) -> Graph:
    return replace(typed.graph, nodes=(*typed.nodes, typed.nodes[-1]))


def _leave_a_scope_behind(typed: TypedGraph) -> Graph:
    return replace(typed.graph, scopes=(replace(GRAPHS["scopes"].scopes[1], output="gone"),))


BROKEN = {
    "lost the taps relu": _lose_a_tap,
    "changed the types of relu": _change_a_type,
    "changed the outputs output": _lose_an_output,
    "conv": _read_what_is_gone,
    "parameters without a source other.weight, other.bias": _want_another_parameter,
    "two nodes of one name": _repeat_a_node,
    "scopes with values that are gone gone": _leave_a_scope_behind,
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_pass_is_our_bug(complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite: Callable[[TypedGraph], Graph] = BROKEN[complaint]
    broken = Pass("broken", 0, lambda typed, taps: Rewrite(rewrite(typed)), list)
    monkeypatch.setattr(passes, "all_passes", lambda: {"broken": broken})
    with pytest.raises(InternalError, match=complaint):
        optimise(SMALL, {"relu"})
