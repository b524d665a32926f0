"""Source of MLX: names and shapes of the spec, outputs of the reference, training, weights there and back."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.backends import available, get
from archforge.errors import DiagnosticError
from archforge.export import Subject, mlx
from archforge.export.mlx import LAYERS, MlxDialect, mlx_module, mlx_source
from archforge.export.module.layer_file import layer_file
from archforge.interchange import layer_text
from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.mlx import calls
from archforge.interchange.mlx.calls import CALLS, SIGNATURES
from archforge.ir import TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array
from archforge.plan import load, plan
from archforge.weights import fresh_weights, rule_weights
from tests.formatted import assert_well_formed
from tests.graphs import GRAPHS, evaluate, graph, inputs_of, node, one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network
from tests.test_torch_source import DROPPING, ODD_NAMES, first_of_each_family
from tests.zoo import networks

needs_mlx = pytest.mark.skipif("mlx" not in available(), reason="mlx is not installed")

LIMIT = 30_000_000  # parameters of a network that is run
TOLERANCE = 1e-5  # float32: a sum of some hundred terms in another order, over the largest value

REFUSED = {
    "channel_dropout-0-2x6": "`channel_dropout` over maps of one axis",
    "conv_transpose-2-6x3x4": "`conv_transpose` in groups",
    "layer_norm-3-2x3x4": "`layer_norm` along several axes",
    "layer_norm-4-2x3x4": "`layer_norm` along several axes",
    "layer_norm-5-2x3x4": "`layer_norm` along several axes",
    "lrn-3-3x4": "`lrn` over maps of one axis",
    "rms_norm-3-2x3x4": "`rms_norm` without weight",
    "shuffle-1-6x4": "`shuffle` over maps of one axis",
}


def source_of(spec: str | Mapping[str, Any], profile: str | None = None) -> str:
    network = driver.load(spec, profile=profile)
    return mlx_module(Subject(network, (network,)))


def refusals(typed: TypedGraph) -> list[str]:
    """The reasons why a graph is refused; none if it is not."""
    try:
        mlx_source(typed, "Net", "A test.\n")
    except DiagnosticError as error:
        return [d.message.removeprefix("model_mlx.py has no ").partition(":")[0] for d in error.diagnostics]
    return []


def made(typed: TypedGraph) -> tuple[Any, dict[str, Any]]:
    """The model that the source of a graph makes, and all that its module has."""
    names: dict[str, Any] = {}
    exec(compile(mlx_source(typed, "Net", "A test.\n"), "model_mlx.py", "exec"), names)  # noqa: S102
    model = names["Net"]()
    model.eval()
    return model, names


def shapes_of(typed: TypedGraph) -> dict[str, tuple[int, ...]]:
    """The shape of each array of the model as a file of the spec has it."""
    model, names = made(typed)
    shapes = {}
    for name, (layer, key) in names["arrays_of"](model).items():
        target, place = names["turn"](layer, layer[key])
        shape = [*layer[key].shape]
        shape.insert(target, shape.pop(place))
        shapes[name] = tuple(shape)
    return shapes


def last(x: Array) -> Array:
    """A map with the channels last."""
    return np.moveaxis(x, 1, -1) if x.ndim > 3 else x


def assert_equal(
    typed: TypedGraph,
    params: Mapping[str, Array],
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    folder: Path,
) -> None:
    """Raises unless the model gives the expected outputs, and its weights come back as they went in."""
    import mlx.core as mx

    model, names = made(typed)
    arrays = {name: mx.array(np.asarray(array, np.float32)) for name, array in params.items()}
    mx.save_safetensors(str(folder / "there.safetensors"), arrays)
    names["load"](model, folder / "there.safetensors")
    names["save"](model, folder / "back.safetensors")
    back = mx.load(str(folder / "back.safetensors"))
    assert isinstance(back, dict)
    assert back.keys() == arrays.keys()
    assert all(mx.array_equal(array, arrays[name]) for name, array in back.items())
    given = model(*(mx.array(last(x.astype(np.float32))) for x in inputs.values()))
    found = given if isinstance(given, dict) else dict.fromkeys(typed.outputs, given)
    assert list(found) == list(typed.outputs)
    for name, want in expected.items():
        got = np.asarray(found[name])
        assert got.shape == last(want).shape
        assert np.abs(got - last(want)).max() <= TOLERANCE * max(1, np.abs(want).max()), name


def assert_equal_to_reference(typed: TypedGraph, params: Mapping[str, Array], folder: Path) -> None:
    inputs = inputs_of(typed)
    values = evaluate(typed, {name: array.astype(np.float64) for name, array in params.items()}, inputs)
    assert_equal(typed, params, inputs, {n: values[v] for n, v in typed.outputs.items()}, folder)


# What it computes


@needs_mlx
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_in_source_equals_its_reference(example: OpExample, tmp_path: Path) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    if str(example) not in REFUSED and not refusals(typed):
        params = {f"node.{name}" if name else "node": a for name, a in example.params("float32").items()}
        assert_equal_to_reference(typed, params, tmp_path)


@needs_mlx
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_in_source_gives_its_outputs(name: str, tmp_path: Path) -> None:
    if not refusals(GRAPHS[name]):
        assert_equal_to_reference(GRAPHS[name], rule_weights(GRAPHS[name].params(), "float32"), tmp_path)


@needs_mlx
@pytest.mark.slow
@each_network
def test_a_network_in_source_is_its_plan(name: str, profile: str, tmp_path: Path) -> None:
    """The plan is of float32, since float64 takes gigabytes for some."""
    typed = small_network(name, profile)
    if sum(decl.size for decl in typed.params().values()) > LIMIT:
        pytest.skip("takes minutes")
    if found := refusals(typed):
        pytest.skip(f"refused: {found}")
    params = fresh_weights(typed.params(), 0)
    inputs = {n: x.astype(np.float32) for n, x in inputs_of(typed).items()}
    expected = load(plan(typed, get("numpy"), "float32"), params).run(inputs).outputs
    assert_equal(typed, params, inputs, expected, tmp_path)


# Names and shapes


@needs_mlx
@pytest.mark.parametrize(("name", "profile"), first_of_each_family())
def test_arrays_have_the_names_and_shapes_of_the_spec(name: str, profile: str) -> None:
    typed = driver.analyse(networks()[name], profile).graph
    if not refusals(typed):
        assert shapes_of(typed) == {n: tuple(decl.shape) for n, decl in typed.params().items()}


@needs_mlx
@pytest.mark.slow
@pytest.mark.parametrize("name", networks())
def test_arrays_of_all_profiles_have_them_too(name: str) -> None:
    for profile in networks()[name].profile_names:
        typed = driver.analyse(networks()[name], profile).graph
        if not refusals(typed):
            assert shapes_of(typed) == {n: tuple(decl.shape) for n, decl in typed.params().items()}, profile


@needs_mlx
def test_names_that_are_no_identifiers_stay(tmp_path: Path) -> None:
    assert_equal_to_reference(ODD_NAMES, rule_weights(ODD_NAMES.params(), "float32"), tmp_path)


# Training, and files


@needs_mlx
def test_training_keeps_statistics_and_drops() -> None:
    import mlx.core as mx

    model, _ = made(DROPPING)
    (x,) = (mx.array(last(x.astype(np.float32))) for x in inputs_of(DROPPING, batch=64).values())
    assert mx.array_equal(model(x), model(x))
    model.train()
    y = np.asarray(model(x))
    before = np.asarray(model.conv(x))
    np.testing.assert_allclose(model.norm.running_mean, 0.25 * before.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    variances = 0.75 + 0.25 * before.reshape(-1, 4).var(0, ddof=1)
    np.testing.assert_allclose(model.norm.running_var, variances, rtol=1e-4)
    assert 0.2 < (y == 0).all((1, 2, 3)).mean() < 0.9
    assert {*model.trainable_parameters()["norm"]} == {"weight", "bias"}


@needs_mlx
def test_arrays_that_do_not_fit_are_refused_by_name_and_change_nothing(tmp_path: Path) -> None:
    import mlx.core as mx

    typed = GRAPHS["chain"]
    model, names = made(typed)
    params = {n: mx.array(a) for n, a in rule_weights(typed.params(), "float32").items()}
    before = {n: np.asarray(layer[key]) for n, (layer, key) in names["arrays_of"](model).items()}
    first, *_, name = params
    for wrong, said in (
        ({k: v for k, v in params.items() if k != name}, name),
        (params | {"other.weight": mx.zeros(1)}, "other.weight"),
        (params | {first: mx.zeros(5)}, first),
    ):
        mx.save_safetensors(str(tmp_path / "wrong.safetensors"), wrong)
        with pytest.raises(ValueError, match=said):
            names["load"](model, tmp_path / "wrong.safetensors")
    places = names["arrays_of"](model)
    assert all(np.array_equal(before[n], layer[key]) for n, (layer, key) in places.items())


@needs_mlx
def test_weights_of_a_model_run_in_archforge(tmp_path: Path) -> None:
    import mlx.core as mx

    model, names = made(driver.load("resnet_20_cifar").graph)
    names["save"](model, tmp_path / "fresh.safetensors")
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    network = archforge.compile("resnet_20_cifar", weights=tmp_path / "fresh.safetensors")
    np.testing.assert_allclose(network(x), model(mx.array(last(x))), rtol=1e-4, atol=1e-4)


# What is refused


def test_these_examples_are_refused() -> None:
    reasons = {str(e): refusals(one_op(e.op, tuple(t.shape for t in e.types))) for e in EXAMPLES}
    words = {name: found for name, (found, *_) in ((n, r) for n, r in reasons.items() if r)}
    written = {cls.op for cls in all_ops().values() if cls.op in CALLS}
    assert {n: w for n, w in words.items() if n.partition("-")[0] in written} == REFUSED


def test_all_that_mlx_lacks_comes_at_once() -> None:
    typed = graph(
        node("up", "conv_transpose", "input", out=4, kernel=2, groups=2),
        node("norm", "layer_norm", "up", axis=(0, 1)),
        inputs={"input": (4, 6, 6)},
    )
    assert refusals(typed) == ["`conv_transpose` in groups", "`layer_norm` along several axes"]


@pytest.mark.parametrize(
    ("word", "why"), [("update", "every layer has already"), ("_conv", "would be hidden")]
)
def test_a_name_that_every_layer_has_is_refused(word: str, why: str) -> None:
    spec = {"archforge": 1, "input": [3, 8, 8], "graph": [{"conv": 4, "name": word}]}
    with pytest.raises(DiagnosticError, match=f"no room for a layer named `{word}`, which {why}"):
        source_of(spec)


# The text


def test_source_is_as_the_formatter_would_have_it(tmp_path: Path) -> None:
    assert_well_formed(tmp_path, source_of, first_of_each_family()[::6])


@pytest.mark.slow
def test_source_of_all_profiles_is_so_too(tmp_path: Path) -> None:
    assert_well_formed(
        tmp_path, source_of, [(n, p) for n, spec in networks().items() for p in spec.profile_names]
    )


@pytest.mark.parametrize("name", ["padded", "load", "mx", "reduce"])
def test_inputs_and_layers_hide_no_function(name: str) -> None:
    typed = graph(
        node(name, "linear", f"in_{name}", out=4),
        node("more", "linear", f"in_{name}", out=4),
        node("end", "add", name, "more"),
        inputs={f"in_{name}": (4,)},
    )
    tree = ast.parse(mlx_source(typed, "Net", "A test.\n"))
    (net,) = (c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == "Net")
    bound = {n.id for n in ast.walk(net) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert bound.isdisjoint({"mx", "nn", *layer_file(LAYERS).layers})


# What the tables say of MLX


@needs_mlx
@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_mlx(name: str) -> None:
    import mlx.core as mx
    from mlx import nn

    owner, _, word = name.partition(".")
    called = getattr({"nn": nn, "mx": mx}[owner], word)
    if not SIGNATURES[name] or owner == "mx":
        return
    found = inspect.signature(called).parameters
    for argument, default in SIGNATURES[name].items():
        theirs = found[argument].default
        assert theirs == (inspect.Parameter.empty if default is REQUIRED else default), argument
    required = [n for n, default in SIGNATURES[name].items() if default is REQUIRED]
    assert [n for n in found if n not in ("x", "self")][: len(required)] == required


@needs_mlx
def test_names_that_every_module_has_are_known() -> None:
    nn: Any = importlib.import_module("mlx.nn")
    assert {name for name in dir(nn.Module()) if not name.startswith("_")} <= MlxDialect.taken


def test_no_layer_is_there_for_nothing() -> None:
    """Each class and function of mlx_layers.py is called by the table, or by one that is."""
    file = layer_file(LAYERS)
    written = [mlx_source(one_op(e.op, tuple(t.shape for t in e.types)), "Net", "") for e in _written()]
    table = "".join(map(inspect.getsource, (calls, layer_text, mlx)))
    named = {name for name in file.layers if f'"{name}"' in table or any(name in s for s in written)}
    ranks = {f"{name[:-2]}{rank}d" for name in named for rank in "123" if name.endswith("d")}
    assert {layer.name for layer in file.closure((named | ranks) & file.layers.keys())} == {*file.layers}


def _written() -> list[OpExample]:
    return [e for e in EXAMPLES if not refusals(one_op(e.op, tuple(t.shape for t in e.types)))]
