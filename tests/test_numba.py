"""What is particular to the numba backend: odd shapes, Winograd, threads, widths of vectors, the cache."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.backends import available, get
from archforge.driver import compile
from archforge.driver import load as load_network
from archforge.ir import Node, TensorType, TypedGraph
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.passes import optimise
from archforge.plan import SWITCHES, Executable, Plan, load, plan
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, WEIGHTS, graph, inputs_of, node

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
winograd = pytest.importorskip("archforge.backends.numba.families.winograd")

TOLERANCE = 1e-5  # of the reference in float64, for values of about 1: some hundred roundings of float32
WINOGRAD_TOLERANCE = 1e-4  # its transforms subtract what they then sum

ROOT = Path(__file__).parents[1]


def deviation(typed: TypedGraph, batch: int, seed: int = 0) -> tuple[float, Plan]:
    """The largest difference from the reference in float64, for values of about 1, and the plan."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.standard_normal(d.shape) / math.sqrt(math.prod(d.shape[1:]))
        for name, d in typed.params().items()
    }
    inputs = {n: rng.standard_normal((batch, *t.shape)) for n, t in typed.graph.inputs.items()}
    expected = load(plan(typed, get("numpy"), "float64"), weights).run(inputs).outputs["output"]
    planned = plan(typed, get("numba"), "float32")
    found = load(planned, weights).run(inputs).outputs["output"]
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max()), planned


# Odd shapes ---------------------------------------------------------------------------------------------

sides = st.integers(0, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A convolution of any geometry, with or without a sum and an activation behind it, and a batch."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 16, 20]))
    channels = groups * draw(st.sampled_from([1, 2, 3, 7, 16, 17, 33] if groups < 5 else [1, 1, 2, 4]))
    out = groups * draw(st.sampled_from([1, 3, 8, 16, 37] if groups < 5 else [1, 1, 2, 3]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(max(1, r - sum(p)), 13)) for r, p in zip(reach, padding, strict=True)]
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    conv = node(
        "conv",
        "conv",
        "input",
        out=out,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, conv, (channels, *size)), draw(st.integers(1, 3))


def with_epilogue(draw: st.DrawFn, first: Node, shape: tuple[int, ...]) -> TypedGraph:
    """The node, then perhaps a sum with a second input, then perhaps an activation."""
    inputs = {"input": shape}
    nodes = [first]
    if draw(st.booleans()):
        inputs["other"] = graph(first, inputs=inputs).types[first.name].shape
        nodes.append(node("add", "add", first.name, "other"))
    activation = draw(st.sampled_from(["", "relu", "relu6", "hard_swish", "silu"]))
    if activation:
        nodes.append(node("act", activation, nodes[-1].name))
    return graph(*nodes, inputs=inputs)


@given(convolutions())
@settings(max_examples=80)
def test_convolutions_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@st.composite
def pools(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    attributes: dict[str, Any] = {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel),
        "ceil": draw(st.booleans()),
    }
    kind = draw(st.sampled_from(["max_pool", "avg_pool"]))
    if kind == "avg_pool":
        attributes["count_include_pad"] = draw(st.booleans())
    shape = (draw(st.sampled_from([1, 5, 16, 18])), *(k + draw(st.integers(0, 9)) for k in kernel))
    return graph(node("pool", kind, "input", **attributes), inputs={"input": shape}), draw(st.integers(1, 3))


@given(pools())
@settings(max_examples=40)
def test_pools_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("features", "out"), [(1, 1), (7, 40), (64, 16), (100, 1000)])
def test_linear_layers_equal_the_reference(features: int, out: int, batch: int) -> None:
    typed = graph(
        node("fc", "linear", "input", out=out), node("relu", "relu", "fc"), inputs={"input": (features,)}
    )
    distance, planned = deviation(typed, batch)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1


# Winograd -----------------------------------------------------------------------------------------------

FAMILY = "archforge.backends.numba.families.winograd"


def first_form(op: Conv, x: TensorType) -> Any:
    """Takes the first tile of Winograd, whether it pays or not."""
    return next(winograd.forms(op, x), None)


def last_form(op: Conv, x: TensorType) -> Any:
    return [*winograd.forms(op, x), None][-2]


@st.composite
def tiled(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """Convolutions of stride 1 whose maps are no multiple of a tile."""
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 7), (7, 1), (3, 1), (1, 2), (5, 5), (4, 2), (6, 1)]))
    size = [draw(st.integers(k, 19)) for k in kernel]
    padding = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k - 1))) for k in kernel)
    out = draw(st.sampled_from([1, 16, 40]))
    conv = node("conv", "conv", "input", out=out, kernel=kernel, padding=padding)
    return with_epilogue(draw, conv, (draw(st.sampled_from([9, 16, 35])), *size)), draw(st.integers(1, 3))


@pytest.mark.parametrize("choice", [first_form, last_form])
@given(case=tiled())
@settings(max_examples=40)
def test_winograd_equals_the_reference_whether_it_pays_or_not(
    choice: Callable[[Conv, TensorType], Any], case: tuple[TypedGraph, int]
) -> None:
    with mock.patch(f"{FAMILY}.form_of", choice):
        distance, planned = deviation(*case)
    assert distance < WINOGRAD_TOLERANCE
    assert len(planned.steps) == 1


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_winograd_computes_the_same_in_chunks_and_stage_by_stage(chunks: int) -> None:
    typed = graph(node("conv", "conv", "input", out=33, kernel=3, padding=1), inputs={"input": (20, 18, 21)})
    with mock.patch(f"{FAMILY}.form_of", last_form), mock.patch(f"{FAMILY}._chunks", return_value=chunks):
        assert deviation(typed, 2)[0] < WINOGRAD_TOLERANCE


def test_the_cost_model_takes_winograd_for_large_maps_and_not_for_large_weights() -> None:
    conv = Conv(out=512, kernel=3, padding=1)
    assert str(winograd.form_of(conv, TensorType((512, 28, 28)))) == "4of3x4of3"
    assert str(winograd.form_of(conv, TensorType((512, 7, 7)))) != "4of3x4of3"
    wide = Conv(out=160, kernel=(1, 7), padding=((0, 0), (3, 3)))
    assert str(winograd.form_of(wide, TensorType((160, 17, 17)))) == "1of1x6of7"
    assert not winograd.form_of(Conv(out=512, kernel=3, stride=2, padding=1), TensorType((512, 28, 28)))
    assert not winograd.form_of(Conv(out=512, kernel=3, padding=1, groups=2), TensorType((512, 28, 28)))
    assert not winograd.form_of(Conv(out=512, kernel=1), TensorType((512, 28, 28)))


# Planning -----------------------------------------------------------------------------------------------

WITH_BRANCHES = graph(
    node("stem", "conv", "input", out=32, kernel=3, padding=1),
    node("left", "conv", "stem", out=16, kernel=1),
    node("left_relu", "relu", "left"),
    node("pool", "max_pool", "stem", kernel=3, stride=1, padding=1),
    node("inner", "conv", "pool", out=16, kernel=3, padding=1),
    node("narrow", "conv", "stem", out=5, kernel=1),
    node("both", "concat", "inner", "narrow"),
    node("joint", "concat", "left_relu", "stem", "both"),
    node("mix", "conv", "joint", out=69, kernel=1),
    node("sum", "add", "joint", "mix"),
    node("end", "relu6", "sum"),
    inputs={"input": (20, 9, 8)},
)


@pytest.mark.parametrize("switch", ["", *SWITCHES])
@pytest.mark.parametrize("name", [*GRAPHS, "branches"])
def test_outputs_stay_whatever_part_of_planning_is_left_out(name: str, switch: str) -> None:
    typed = WITH_BRANCHES if name == "branches" else GRAPHS[name]
    weights = rule_weights(typed.params()) if name == "branches" else WEIGHTS[name]
    done = optimise(typed)
    run = load(plan(done.graph, get("numba"), "float32", without=[switch]), weights, done.transforms)
    expected = load(plan(typed, get("numpy"), "float64"), weights)
    inputs = inputs_of(typed, batch=2)
    for key, y in expected.run(inputs).outputs.items():
        np.testing.assert_allclose(run.run(inputs).outputs[key], y, rtol=0, atol=2 * TOLERANCE * y.std())


def recorded(typed: TypedGraph, without: tuple[str, ...] = ()) -> Any:
    """The tape of a batch of one."""
    from archforge.backends.numba.program import NumbaProgram

    run = load(plan(typed, get("numba"), "float32", without=without), rule_weights(typed.params()))
    assert isinstance(run.program, NumbaProgram)
    return run.program.recorded(1).tape


def test_what_planning_does_shows_in_the_number_of_calls_and_the_memory() -> None:
    from archforge.plan.memory import lay_out

    whole = recorded(WITH_BRANCHES)
    assert len(recorded(WITH_BRANCHES, ("fuse_epilogues",)).calls) == len(whole.calls) + 3
    # `joint` lies in place but for `stem`, which two others read too and which it can hold all the same.
    assert len(recorded(WITH_BRANCHES, ("concat_in_place",)).calls) == len(whole.calls) + 5
    assert lay_out(whole.lifetimes())[1] < lay_out(whole.lifetimes(), share=False)[1]


def test_low_memory_packs_weights_once_over_and_outputs_stay() -> None:
    network = load_network("resnet_18", "torchvision", input=(3, 65, 65))
    weights, x = rule_weights(network.params), np.ones((1, 3, 65, 65), np.float32)
    fast = compile(network, backend="numba", weights=weights)
    small = compile(network, backend="numba", weights=weights, low_memory=True)
    own = sum(array.size * 4 for array in weights.values())
    assert packed_bytes(small) < 1.01 * own < packed_bytes(fast)
    direct = compile(network, backend="numba", weights=weights, without=["winograd"])
    np.testing.assert_array_equal(small(x), direct(x))
    np.testing.assert_allclose(small(x), fast(x), rtol=0, atol=WINOGRAD_TOLERANCE * fast(x).std())


def packed_bytes(run: Executable) -> int:
    return sum(array.nbytes for params in run.params for array in params.values())


# Processes and threads ----------------------------------------------------------------------------------


def python(code: str, **environment: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


DIGEST = """
import hashlib, numpy, sys, archforge
from archforge.driver import compile, load
from archforge.weights import rule_input, rule_weights
network = load("resnet_18", "torchvision", input=(3, 65, 65))
run = compile(network, backend="numba", weights=rule_weights(network.params))
print(hashlib.sha256(run(rule_input((2, 3, 65, 65)).astype("float32")).tobytes()).hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    assert len({python(DIGEST, ARCHFORGE_THREADS=n) for n in ("1", "2", "5")}) == 1


@pytest.mark.parametrize("simd", ["avx2", "generic"])
def test_narrower_vectors_compute_the_same(simd: str) -> None:
    code = """
import sys, pytest
names = ["test_convolutions", "test_pools", "test_winograd", "test_linear"]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/test_numba.py", "-k", " or ".join(names)]))
"""
    from archforge.backends.numba.machine import LEVELS, machine

    if [*LEVELS].index(simd) < [*LEVELS].index(machine().simd):
        pytest.skip(f"this CPU lacks {simd}")
    if machine().simd == simd:
        pytest.skip(f"{simd} is what runs here")
    python(code, ARCHFORGE_SIMD=simd)


def test_an_environment_that_does_not_fit_is_refused() -> None:
    code = """
from archforge.backends.numba.machine import machine
from archforge.errors import DiagnosticError
try: machine()
except DiagnosticError as error: print(error)
"""
    assert "ARCHFORGE_SIMD=sse9 is not among what this CPU has" in python(code, ARCHFORGE_SIMD="sse9")
    assert "ARCHFORGE_THREADS=none is no number" in python(code, ARCHFORGE_THREADS="none")


def test_a_forked_process_computes_the_same() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    code = (
        DIGEST
        + """
import os, warnings
warnings.simplefilter("ignore")
x = rule_input((1, 3, 65, 65)).astype("float32")
y = run(x)
child = os.fork()
if not child: os._exit(0 if (run(x) == y).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert python(code).splitlines()[-1] == "0"


# The cache ----------------------------------------------------------------------------------------------

COMPUTES = """
import sys, numpy
from archforge.backends import get
from archforge.plan import load, plan
from tests.graphs import GRAPHS, WEIGHTS, inputs_of
run = load(plan(GRAPHS["residual"], get("numba"), "float32"), WEIGHTS["residual"])
y = run.run(inputs_of(GRAPHS["residual"])).outputs["output"]
print("numba" in sys.modules, float(abs(y).sum()))
"""


def damage_nothing(folder: Path) -> None:
    """The next process finds all that it needs."""


def cut_short(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(("change", "compiles"), [(damage_nothing, False), (cut_short, True), (remove, True)])
def test_a_second_process_compiles_only_what_the_cache_lacks(
    change: Callable[[Path], None], compiles: bool, tmp_path: Path
) -> None:
    first = python(COMPUTES, ARCHFORGE_CACHE=str(tmp_path))
    assert first.startswith("True")
    change(tmp_path)
    again = python(COMPUTES, ARCHFORGE_CACHE=str(tmp_path))
    assert again.split() == [str(compiles), first.split()[1]]


def test_a_cache_that_cannot_be_written_hinders_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert python(COMPUTES, ARCHFORGE_CACHE=str(file / "folder")).startswith("True")


def test_a_batch_of_any_size_runs_on_one_executable() -> None:
    network = load_network("resnet_18", "torchvision", input=(3, 33, 33))
    run = compile(network, backend="numba", weights=rule_weights(network.params))
    x: Array = np.random.default_rng(0).standard_normal((6, 3, 33, 33)).astype(np.float32)
    whole = run(x)
    for size in (1, 2, 3, 5, 6):
        np.testing.assert_allclose(run(x[:size]), whole[:size], rtol=0, atol=1e-5 * whole.std())
