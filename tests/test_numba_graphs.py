"""Chains of kernels on the numba backend: values whose blocks hold any axis, joins, gates, and numbers that
are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.backends import available, get
from archforge.errors import DiagnosticError
from archforge.ir import Node, ShapeError, TensorType, TypedGraph
from archforge.plan import SWITCHES, load, plan
from archforge.weights import rule_weights
from tests.deviation import deviation
from tests.graphs import graph, node, one_op
from tests.op_examples import EXAMPLES, OpExample

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

CHANNELS = (1, 3, 5, 16, 20, 33)
TOLERANCE = 1e-4  # of the largest number, after up to six steps

# Any graph ----------------------------------------------------------------------------------------------

few, small = st.integers(1, 3), st.integers(0, 2)


def an_axis(x: TensorType) -> st.SearchStrategy[int]:
    return st.integers(-len(x.shape), len(x.shape) - 1)


def each(x: TensorType, one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One for each spatial axis."""
    return st.tuples(*(one for _ in x.spatial))


# What a step can be: its attributes for a value, drawn.
STEPS: dict[str, Callable[[TensorType], dict[str, st.SearchStrategy[Any]]]] = {
    "adaptive_avg_pool": lambda x: {"size": each(x, st.integers(1, 4))},
    "add": lambda x: {},
    "bn": lambda x: {},
    "concat": lambda x: {"axis": st.sampled_from([0, 0, -1])},
    "conv": lambda x: {"out": st.sampled_from(CHANNELS), "kernel": st.just(3), "padding": st.just(1)},
    "conv_transpose": lambda x: {"out": st.sampled_from(CHANNELS), "kernel": few, "stride": few},
    "global_avg_pool": lambda x: {"keep": st.booleans()},
    "global_max_pool": lambda x: {"keep": st.booleans()},
    "global_response_norm": lambda x: {"axis": an_axis(x), "eps": st.just(0.1)},
    "layer_norm": lambda x: {"axis": an_axis(x), "eps": st.just(0.1), "affine": st.booleans()},
    "linear": lambda x: {"out": st.sampled_from(CHANNELS), "axis": an_axis(x)},
    "log_softmax": lambda x: {"axis": an_axis(x)},
    "lrn": lambda x: {"size": st.integers(1, 9), "alpha": st.just(0.5), "k": st.just(2.0)},
    "max_pool": lambda x: {"kernel": st.just(3), "stride": few, "padding": st.just(1), "ceil": st.booleans()},
    "multiply": lambda x: {},
    "pad": lambda x: {
        "sides": st.tuples(*[st.integers(-2, 3)] * (2 * len(x.spatial))),
        "value": st.just(-1.5),
    },
    "permute": lambda x: {"order": st.permutations(range(len(x.shape))).map(tuple)},
    "prelu": lambda x: {"per_channel": st.booleans()},
    "reshape": lambda x: {"shape": st.sampled_from([(-1,), (x.shape[-1], -1), (1, -1), (-1, 1)])},
    "shuffle": lambda x: {"groups": st.sampled_from([n for n in (1, 3, 4, 5) if x.channels % n == 0])},
    "silu": lambda x: {},
    "slice": lambda x: {"axis": an_axis(x), "start": small, "end": st.just(None)},
    "softmax": lambda x: {"axis": an_axis(x)},
    "subtract": lambda x: {},
    "upsample": lambda x: {
        "factor": each(x, few),
        "mode": st.sampled_from(["nearest", {1: "linear", 2: "bilinear"}.get(len(x.spatial), "nearest")]),
    },
}


@st.composite
def graphs(draw: st.DrawFn) -> TypedGraph:
    """Up to six steps, each of values before it: the last few are outputs."""
    shape = (
        draw(st.sampled_from(CHANNELS)),
        *draw(st.tuples(*[st.integers(1, 7)] * draw(st.integers(0, 2)))),
    )
    inputs = {"input": shape, "other": shape}
    types = {name: TensorType(s) for name, s in inputs.items()}
    nodes: list[Node] = []
    for i in range(draw(st.integers(1, 6))):
        read = [draw(st.sampled_from([*types][-3:]))]
        kind = draw(st.sampled_from([*STEPS]))
        if kind in ("add", "concat", "multiply", "subtract"):
            read += draw(st.lists(st.sampled_from([*types]), max_size=2))
        with suppress(ShapeError):
            attributes = {name: draw(s) for name, s in STEPS[kind](types[read[0]]).items()}
            made = node(f"n{i}", kind, *read, **attributes)
            types[made.name] = made.op.infer(*(types[v] for v in read))
            nodes.append(made)
    if not nodes:
        nodes = [node("sum", "add", "input", "other")]
    wanted = draw(st.lists(st.sampled_from(nodes), max_size=1))
    outputs = {"output": nodes[-1].name} | {f"also {n.name}": n.name for n in wanted}
    return graph(*nodes, inputs=inputs, outputs=outputs)


@given(graphs(), st.integers(1, 3), st.sets(st.sampled_from(SWITCHES)))
@settings(max_examples=150)
def test_any_graph_equals_the_reference(typed: TypedGraph, batch: int, without: set[str]) -> None:
    distance, planned = deviation(typed, batch, without=without)
    assert distance < TOLERANCE * math.sqrt(max(t.size for t in typed.types.values()))
    assert not planned.fallbacks


def shuffled_unit(x: str, name: str) -> tuple[Node, ...]:
    """A unit of 36 channels, half of which pass by a convolution before all are shuffled."""
    return (
        node(f"{name}_by", "slice", x, end=18),
        node(f"{name}_in", "slice", x, start=18),
        node(f"{name}_conv", "conv", f"{name}_in", out=18, kernel=1),
        node(f"{name}_both", "concat", f"{name}_by", f"{name}_conv"),
        node(name, "shuffle", f"{name}_both", groups=2),
    )


# Hand-made ones that something was wrong with, or could be.
CHAINS: dict[str, TypedGraph] = {
    # As inside ConvNeXt: between the permutations the channels come last.
    "channels last": graph(
        node("mix", "conv", "input", out=20, kernel=7, padding=3, groups=20),
        node("last", "permute", "mix", order=(1, 2, 0)),
        node("norm", "layer_norm", "last"),
        node("wide", "linear", "norm", out=80, axis=-1),
        node("gelu", "gelu", "wide"),
        node("narrow", "linear", "gelu", out=20, axis=-1),
        node("first", "permute", "narrow", order=(2, 0, 1)),
        node("scale", "layer_scale", "first", init=0.5),
        node("sum", "add", "scale", "input"),
        inputs={"input": (20, 5, 6)},
    ),
    "a value with its channels last in a concatenation": graph(
        node("wide", "linear", "input", out=16, axis=-1),
        node("joint", "concat", "wide", "input"),
        inputs={"input": (16, 16, 16)},
    ),
    "a residual in another order": graph(
        node("turned", "permute", "input", order=(2, 1, 0)),
        node("wide", "linear", "turned", out=6, axis=0),
        node("sum", "add", "wide", "turned"),
        inputs={"input": (5, 4, 6)},
    ),
    "a sum of one": graph(
        node("conv", "conv", "input", out=3, kernel=1),
        node("sum", "add", "conv"),
        node("relu", "relu", "sum"),
    ),
    "a factor for all": graph(
        node("one", "linear", "input", out=1),
        node("product", "multiply", "one", "input"),
        inputs={"input": (40,)},
    ),
    "a gate without axes before a map of one pixel": graph(
        node("gate", "global_avg_pool", "input", keep=False),
        node("kept", "global_avg_pool", "input"),
        node("product", "multiply", "gate", "kept"),
    ),
    "a gate over positions": graph(
        node("gate", "conv", "input", out=1, kernel=1),
        node("product", "multiply", "gate", "input"),
        node("sum", "add", "product", "input"),
    ),
    "cropped and padded": graph(
        node("pad", "pad", "input", sides=(-2, 3, 3, -2), value=-1.5), inputs={"input": (6, 1, 1)}
    ),
    # As inside ShuffleNetV2, of two units, and a whole that is read behind them.
    "orders of channels": graph(
        node("stem", "conv", "input", out=36, kernel=1),
        *shuffled_unit("stem", "one"),
        *shuffled_unit("one", "two"),
        node("whole", "conv", "two", out=7, kernel=1),
        node("pool", "global_avg_pool", "two"),
        inputs={"input": (3, 18, 17)},
        outputs={"output": "whole", "pool": "pool"},
    ),
    "a stretch of channels": graph(
        node("stem", "conv", "input", out=48, kernel=1),
        node("part", "slice", "stem", start=16, end=48),
        node("conv", "conv", "part", out=7, kernel=1),
        node("reversed", "concat", "part", "stem", "part"),
        node("sum", "add", "reversed", "reversed"),
        outputs={"output": "conv", "sum": "sum"},
    ),
    "normed where nothing varies": graph(
        node("flat", "layer_norm", "input", axis=-1),
        node("wide", "linear", "flat", out=5, axis=1, bias=False),
        node("norm", "layer_norm", "wide", axis=0),
        inputs={"input": (3, 1, 1)},
    ),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_equal_the_reference(name: str, batch: int) -> None:
    distance, planned = deviation(CHAINS[name], batch)
    assert distance < TOLERANCE / 10
    assert not planned.fallbacks


def test_moving_the_channels_last_and_back_moves_nothing() -> None:
    from archforge.backends.numba.program import NumbaProgram
    from archforge.backends.numba.runtime.tape import TapeCall

    typed = CHAINS["channels last"]
    run = load(plan(typed, get("numba"), "float32"), rule_weights(typed.params()))
    assert isinstance(run.program, NumbaProgram)
    calls = run.program.recorded(2).tape.calls
    units = [call.unit.name for call in calls if isinstance(call, TapeCall)]
    assert units == ["pool", "layer_norm", "conv", "conv", "pool"]


def test_slices_shuffles_and_concatenations_move_what_is_read_behind_them_alone() -> None:
    from archforge.backends.numba.program import NumbaProgram
    from archforge.backends.numba.runtime.tape import TapeCall

    typed = CHAINS["orders of channels"]
    run = load(plan(typed, get("numba"), "float32"), rule_weights(typed.params()))
    assert isinstance(run.program, NumbaProgram)
    calls = [c for c in run.program.recorded(1).tape.calls if isinstance(c, TapeCall)]
    moved = [c.fields["channels"] for c in calls if c.unit.file == "moves"]
    assert moved == [18, 18, 36]  # what each unit's convolution reads, then the whole, once for both readers


# What is left to the reference --------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_what_has_no_kernel_is_left_to_the_reference_and_strict_refuses_it(example: OpExample) -> None:
    # docs/coverage.md holds how many examples of each op that are.
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    lowering = get("numba").lowerings("float32").get(example.op.kind)
    is_left = lowering is None or lowering(example.op, *example.types) is None
    assert bool(plan(typed, get("numba"), "float32").fallbacks) == is_left
    with pytest.raises(DiagnosticError, match="E0702") if is_left else nullcontext():
        plan(typed, get("numba"), "float32", strict=True)


# Numbers that are not finite ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_what_is_not_finite_is_not_lost_and_touches_neither_other_images_nor_later_calls(
    example: OpExample, number: float
) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    weights = {typed.nodes[0].param_name(name): a for name, a in example.params("float64").items()}
    run = load(plan(typed, get("numba"), "float32"), weights)
    reference = load(plan(typed, get("numpy"), "float32"), weights)
    inputs = dict(zip(typed.inputs, example.inputs("float32"), strict=True))
    before = run.run(inputs).outputs["output"]
    spoilt = {name: x.copy() for name, x in inputs.items()}
    next(iter(spoilt.values()))[0].flat[-1] = number
    with np.errstate(all="ignore"):
        found, expected = (r.run(spoilt).outputs["output"] for r in (run, reference))
    assert not (np.isfinite(found) & ~np.isfinite(expected)).any()
    np.testing.assert_array_equal(found[1], before[1])
    np.testing.assert_array_equal(run.run(inputs).outputs["output"], before)


def test_lanes_beyond_the_last_channel_stay_finite_where_memory_was_not() -> None:
    """Buffers share their places, and another call left there what is not finite."""
    typed = graph(
        node("wide", "conv", "input", out=32, kernel=1),
        node("norm", "bn", "wide"),
        node("part", "slice", "norm", end=5),
        node("mixed", "shuffle", "part", groups=5),
        node("flat", "flatten", "mixed"),
        node("fc", "linear", "flat", out=3),
        inputs={"input": (3, 2, 3)},
    )
    run = load(plan(typed, get("numba"), "float32"), rule_weights(typed.params()))
    x = np.random.default_rng(0).standard_normal((1, 3, 2, 3)).astype(np.float32)
    before = run(x)
    with np.errstate(all="ignore"):
        run(np.full_like(x, math.nan))
    np.testing.assert_array_equal(run(x), before)
