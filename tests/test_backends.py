"""Every backend computes what the reference does, on every op and every network."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archforge.backends import all_backends, available, get, names
from archforge.driver import load as load_network
from archforge.driver import verify
from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array
from archforge.plan import Executable, GraphCompiler, load, plan, resolve_taps
from archforge.weights import rule_weights
from archforge.weights.golden import read_golden
from tests.graphs import GRAPHS, WEIGHTS, evaluate, graph, inputs_of, node, one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network, small_weights
from tests.zoo import DATA, networks

# Of the reference in float64, in standard deviations of the value: some hundred roundings of each dtype,
# whose units are 2e-16, 1e-7, 1e-3 and 8e-3.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2, "bfloat16": 0.15}
NETWORK_TOLERANCE = 1e-4  # in float32, after up to hundreds of layers
# BiT's last maps have 2x2 pixels here, so that its group norms divide by the deviations of few numbers: all
# backends are 0.8e-4 to 1.1e-4 off.
WIDER_TOLERANCE = {"bit_50x1": 3e-4}

each_dtype = pytest.mark.parametrize(
    ("backend", "dtype"), [(name, dtype) for name in available() for dtype in get(name).dtypes]
)


def assert_close(found: Array, expected: Array, tolerance: float) -> None:
    assert found.shape == expected.shape
    scale = float(expected.std() if expected.size > 1 else np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(scale, 1e-9))


def test_a_backend_has_the_name_of_its_package() -> None:
    assert [backend.name for backend in all_backends().values()] == names()


def test_the_backends_of_this_machine_are_tested() -> None:
    """`make test` installs every extra that runs here."""
    assert set(available()) == set(all_backends())


@each_dtype
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_example_of_every_op_equals_the_reference(example: OpExample, backend: str, dtype: str) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    arrays = {typed.nodes[0].param_name(name): a for name, a in example.params("float64").items()}
    run = load(plan(typed, get(backend), dtype), arrays)
    inputs = dict(zip(typed.inputs, example.inputs("float64"), strict=True))
    (y,) = run.run(inputs).outputs.values()
    assert y.dtype == ("float64" if dtype == "float64" else "float32")
    assert_close(y, example.reference("float64"), TOLERANCE[dtype])


@each_dtype
@pytest.mark.parametrize("name", GRAPHS)
def test_every_value_of_the_hand_made_graphs_equals_the_reference(
    name: str, backend: str, dtype: str
) -> None:
    typed, inputs = GRAPHS[name], inputs_of(GRAPHS[name], batch=3)
    expected = evaluate(typed, WEIGHTS[name], inputs)
    for taps in ((), tuple(typed.types)):
        planned = GraphCompiler(get(backend), dtype, taps).plan(typed)
        outputs, tapped = load(planned, WEIGHTS[name]).run(inputs)
        for key, value in typed.outputs.items():
            assert_close(outputs[key], expected[value], 2 * TOLERANCE[dtype])
        for key, array in tapped.items():
            assert_close(array, expected[key], 2 * TOLERANCE[dtype])


def damped(weights: dict[str, Array]) -> dict[str, Array]:
    """Half of each matrix: a thousand residual sums would otherwise leave the range of float32."""
    return {name: array / 2 if array.ndim > 1 else array for name, array in weights.items()}


@each_network
def test_every_network_equals_the_reference(name: str, profile: str) -> None:
    typed = small_network(name, profile)
    weights, inputs = damped(small_weights(name, profile)), inputs_of(typed, batch=1)
    taps = resolve_taps(typed, dict.fromkeys(s.name for s in typed.scopes if s.name and s.output))
    expected = load(plan(typed, get("numpy"), "float64", taps), weights).run(inputs)
    convs = (n for n in typed.nodes if n.op.kind == "conv")
    volumes = {n.op.kind for n in convs if len(typed.types[n.inputs[0]].shape) == 4}
    for backend in available():
        planned = GraphCompiler(get(backend), taps=tuple(taps)).plan(typed)
        # In a network only what a backend's table lacks falls back, and convolutions over three axes, and
        # all of that is told.
        lacking = {step.node.op.kind for step in planned.steps} - get(backend).lowerings("float32").keys()
        assert lacking <= set(planned.fallback_kinds) <= lacking | volumes
        found = load(planned, weights).run(inputs)
        for key, y in (expected.outputs | expected.taps).items():
            tolerance = WIDER_TOLERANCE.get(name, NETWORK_TOLERANCE)
            assert_close((found.outputs | found.taps)[key], y, tolerance)


GOLDEN = [
    pytest.param(name, model, marks=[] if name == "resnet_18" else [pytest.mark.slow], id=model)
    for name, spec in networks().items()
    for model in dict.fromkeys(spec.profile(profile).model for profile in spec.profile_names)
    if model and (DATA / "golden" / f"{model}.json.gz").is_file()
]


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize(("name", "model"), GOLDEN)
def test_networks_at_full_size_equal_the_library(name: str, model: str, backend: str) -> None:
    golden = read_golden(DATA / "golden" / f"{model}.json.gz")
    output, taps = verify(load_network(name, model), golden, backend=backend, dtype="float32")
    assert output.distance < NETWORK_TOLERANCE
    assert all(tap.distance < NETWORK_TOLERANCE for tap in taps)


def both(typed: TypedGraph, x: Array) -> tuple[Array, Array]:
    """The output on NumPy in float64 and on MLX."""
    weights = rule_weights(typed.params())
    first, second = (
        load(plan(typed, get(name), dtype), weights)(x)
        for name, dtype in (("numpy", "float64"), ("mlx", "float32"))
    )
    return first, second


# What is particular to MLX ----------------------------------------------------------------------------

needs_mlx = pytest.mark.skipif("mlx" not in available(), reason="mlx is not installed")


@needs_mlx
def test_mlx_has_kernels_for_all_ops_but_two() -> None:
    lacking = {cls.op for cls in all_ops().values()} - get("mlx").lowerings("float32").keys()
    assert lacking == {"standardized_conv", "window_attention"}


@needs_mlx
def test_mlx_flattens_in_the_order_of_the_reference() -> None:
    typed = graph(node("flat", "flatten", "input"), node("back", "reshape", "flat", shape=(6, 2, 12)))
    x = np.arange(2 * 4 * 6 * 6, dtype=np.float64).reshape(2, 4, 6, 6)
    ours, theirs = both(typed, x)
    np.testing.assert_array_equal(ours, x.reshape(2, 6, 2, 12))
    np.testing.assert_array_equal(theirs, ours)


@needs_mlx
def test_what_mlx_lacks_runs_on_the_reference_and_is_reported() -> None:
    typed = graph(
        node("conv", "conv", "input", out=6, kernel=(1, 2, 3), groups=2, padding=((0, 1), (1, 0), (1, 1))),
        node("relu", "relu", "conv"),
        node("up", "conv_transpose", "relu", out=4, kernel=2, groups=2),
        inputs={"input": (4, 3, 4, 5)},
    )
    (x,) = inputs_of(typed).values()
    ours, theirs = both(typed, x)
    assert_close(theirs, ours, TOLERANCE["float32"])
    planned = plan(typed, get("mlx"), "float32")
    assert [n.name for n in planned.fallbacks] == ["conv", "up"]
    with pytest.raises(DiagnosticError) as caught:
        plan(typed, get("mlx"), "float32", strict=True)
    assert [d.code for d in caught.value.diagnostics] == ["E0702", "E0702"]


CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel": 3, "padding": ((0, 2), (1, 0))},
    {"kernel": 2, "padding": "same_upper"},
    {"kernel": 3, "padding": "same_upper", "stride": 2},
    {"kernel": (5, 1), "padding": (2, 0), "stride": (2, 1), "dilation": (1, 2)},
    {"kernel": 3, "padding": 2, "dilation": 2, "groups": 4},
]


@needs_mlx
@pytest.mark.parametrize("attributes", CONVOLUTIONS, ids=str)
def test_mlx_pads_and_strides_as_the_reference(attributes: dict[str, Any]) -> None:
    typed = graph(node("conv", "conv", "input", out=8, **attributes), inputs={"input": (4, 11, 8)})
    (x,) = inputs_of(typed).values()
    ours, theirs = both(typed, x)
    assert_close(theirs, ours, TOLERANCE["float32"])


# Threads ------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("name", ["chain", "residual", "several"])
def test_threads_can_share_an_executable(name: str, backend: str, dtype: str) -> None:
    run: Executable = load(GraphCompiler(get(backend), dtype).plan(GRAPHS[name]), WEIGHTS[name])
    batches = [inputs_of(GRAPHS[name], batch) for batch in range(1, 9)]
    with ThreadPoolExecutor(2) as pool:  # first, while nothing has been computed in the thread that loaded
        together = list(pool.map(run.run, batches * 3))
    alone = [run.run(inputs).outputs for inputs in batches]
    for expected, found in zip(alone * 3, together, strict=True):
        for key, y in expected.items():
            np.testing.assert_array_equal(found.outputs[key], y)


LEAVE_EARLY = """
from threading import Thread
from archforge.backends import get
from archforge.ops import all_ops
from archforge.plan import load, plan
from tests.graphs import inputs_of, one_op

runs = [
    (load(plan(typed, get("mlx"), "float32"), {}), inputs_of(typed))
    for cls in all_ops().values() if not cls.model_fields
    for typed in [one_op(cls(), cls.examples[0].inputs)]
]
for _ in range(2):
    threads = [Thread(target=lambda: [run.run(inputs) for run, inputs in runs]) for _ in range(12)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@needs_mlx
def test_a_process_whose_threads_ran_mlx_ends_cleanly() -> None:
    """MLX's compiled functions leave a cache in each thread whose end can come after Python's."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", LEAVE_EARLY], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


# Choosing one -------------------------------------------------------------------------------------------


def test_auto_prefers_what_is_fast_here_and_can_compute_in_the_dtype(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent, present = (SimpleNamespace(is_available=lambda here=here: here) for here in (False, True))
    by_name = all_backends()
    for metal, cuda in ((absent, absent), (present, absent), (absent, present)):
        monkeypatch.setitem(sys.modules, "mlx", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "mlx.core", SimpleNamespace(metal=metal, cuda=cuda))
        has_gpu = present in (metal, cuda)
        assert (by_name["mlx"].preference() > by_name["numba"].preference()) == has_gpu
        assert by_name["numpy"].preference() > 0
        for dtype in ("float32", "float64"):
            best = max(b.preference() for b in by_name.values() if dtype in b.dtypes)
            assert get("auto", dtype).preference() == best
            assert dtype in get("auto", dtype).dtypes


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_auto_prefers_numba_to_numpy() -> None:
    assert get("numba").preference() > get("numpy").preference()


def test_a_backend_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "numpy" in available()
    for name, package in (("mlx", "mlx"), ("numba", "archforge-zoo[fast]")):
        assert name not in available()
        assert get("auto").name != name
        with pytest.raises(DiagnosticError, match=f"E0701: the backend {name} cannot run here") as caught:
            get(name)
        assert caught.value.diagnostics[0].help.startswith(f"pip install '{package}")


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="E0701: there is no backend `nunpy`") as caught:
        get("nunpy")
    assert caught.value.diagnostics[0].help == "did you mean `numpy`?"
    with pytest.raises(DiagnosticError, match="E0703: no backend here computes in int8"):
        get("auto", "int8")


def test_choosing_a_backend_imports_no_library_and_nothing_of_training() -> None:
    """`archforge list` and the like must load neither MLX nor Numba, and a first output waits for all that is
    imported."""
    unwanted = {"mlx", "numba", "archforge.plan.backward", "archforge.plan.learner"}
    code = f"import sys, archforge.backends as b; b.all_backends(); print({unwanted} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
