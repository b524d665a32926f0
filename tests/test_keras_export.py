"""Source of Keras: whole, as people would write it, and with Keras equal to the reference."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from archforge import driver
from archforge.backends import get
from archforge.errors import DiagnosticError
from archforge.export import Subject
from archforge.export.keras import LAYERS, keras_source, keras_text
from archforge.export.module.kernels import kernel_file, kernel_name
from archforge.export.module.python_text import WIDTH
from archforge.ir import Scope, TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array
from archforge.passes.example_graphs import graph, node
from archforge.plan import load, plan
from archforge.spec.expand.expand import expand
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, evaluate, inputs_of, one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network
from tests.zoo import networks

needs_keras = pytest.mark.skipif(
    not importlib.util.find_spec("keras"), reason="needs keras, `make test-interchange`"
)

# Float32: a sum of some hundred terms in another order, over the largest value.
TOLERANCE = 1e-5


def refusals(typed: TypedGraph) -> list[str]:
    """The reasons why a graph is refused; none if it is not."""
    try:
        keras_source(typed, "A test.")
    except DiagnosticError as error:
        return [d.message for d in error.diagnostics if d.code == "E0704"]
    return []


def module_tree(source: str) -> ast.Module:
    """The syntax of a module, which may import Keras, NumPy and Python's own packages only."""
    tree = ast.parse(source)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            assert {a.name for a in statement.names} <= {"keras", "numpy", "json", "math", "sys"}
        if isinstance(statement, ast.ImportFrom):
            assert statement.module == "keras.activations"
    return tree


LIMIT = 70_000_000  # parameters of a network that is run


def module(source: str) -> ModuleType:
    """The module of that text."""
    made = ModuleType("model")
    exec(compile(module_tree(source), "model_keras.py", "exec"), made.__dict__)  # noqa: S102
    return made


def last(x: Array) -> Array:
    """A map with the channels last."""
    return np.moveaxis(x, 1, -1) if x.ndim > 3 else x


def assert_equal_to_reference(typed: TypedGraph, params: Mapping[str, Array] | None = None) -> None:
    """Raises unless the model gives what the reference kernels in float64 do."""
    params = rule_weights(typed.params(), "float32") if params is None else params
    inputs = inputs_of(typed)
    values = evaluate(typed, {name: array.astype(np.float64) for name, array in params.items()}, inputs)
    assert_equal(typed, params, inputs, {name: values[v] for name, v in typed.outputs.items()})


def assert_equal(
    typed: TypedGraph, params: Mapping[str, Array], inputs: Mapping[str, Array], expected: Mapping[str, Array]
) -> None:
    """Raises unless the model has as many parameters as the graph, and gives the expected outputs."""
    made = module(keras_source(typed, "A test."))
    model: Any = made.build()
    made.assign(model, params)
    trained = sum(decl.size for decl in typed.params().values() if decl.role != "buffer")
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trained
    arrays = [last(x.astype(np.float32)) for x in inputs.values()]
    given = model(arrays[0] if len(arrays) == 1 else arrays, training=False)
    found = given if len(typed.outputs) > 1 else dict.fromkeys(typed.outputs, given)
    assert list(found) == list(typed.outputs)
    for name, want in expected.items():
        got = np.asarray(importlib.import_module("keras").ops.convert_to_numpy(found[name]))
        assert got.shape == last(want).shape
        assert np.abs(got - last(want)).max() <= TOLERANCE * max(1, np.abs(want).max()), name


# What it computes


@needs_keras
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_each_layer_is_its_ops_reference(example: OpExample) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    if not refusals(typed):
        arrays = {f"node.{name}" if name else "node": a for name, a in example.params("float32").items()}
        assert_equal_to_reference(typed, arrays)


@needs_keras
@pytest.mark.parametrize("name", GRAPHS)
def test_small_graphs_are_their_reference(name: str) -> None:
    if not refusals(GRAPHS[name]):
        assert_equal_to_reference(GRAPHS[name])


@needs_keras
@pytest.mark.slow
@pytest.mark.parametrize("name", networks())
def test_networks_are_their_plan(name: str) -> None:
    """The plan is of float32, since float64 takes gigabytes for some."""
    typed = small_network(name, networks()[name].profile_names[0])
    if sum(decl.size for decl in typed.params().values()) > LIMIT:
        pytest.skip("takes minutes")
    params = rule_weights(typed.params(), "float32")
    inputs = {n: x.astype(np.float32) for n, x in inputs_of(typed).items()}
    assert_equal(
        typed, params, inputs, load(plan(typed, get("numpy"), "float32"), params).run(inputs).outputs
    )


@needs_keras
def test_arrays_that_do_not_fit_are_refused_by_name_and_change_nothing() -> None:
    typed = GRAPHS["chain"]
    params = rule_weights(typed.params(), "float32")
    made = module(keras_source(typed, "A test."))
    model: Any = made.build()
    before = [np.array(v) for v in model.get_weights()]
    first, *_, name = params
    for wrong, said in (
        ({k: v for k, v in params.items() if k != name}, name.rpartition(".")[0].replace(".", "_")),
        (params | {"other.weight": np.zeros(1)}, "other_weight"),
        (params | {first: np.zeros(5, np.float32)}, first.rpartition(".")[0].replace(".", "_")),
    ):
        with pytest.raises(ValueError, match=said):
            made.assign(model, wrong)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# What is refused

REFUSED = {("lstm_text", "torch"), ("rnn_text", "torch")}


def assert_written(name: str, profile: str) -> None:
    """Raises unless a network is written, or refused for the two biases of its recurrent layer."""
    typed = expand(networks()[name], profile).graph
    found = refusals(typed)
    assert bool(found) is ((name, profile) in REFUSED)
    assert all("with two biases; it adds them up to one" in message for message in found)
    if not found:
        source = keras_source(typed, "A test.")
        module_tree(source)
        assert max(map(len, source.splitlines())) <= WIDTH


@pytest.mark.parametrize("name", ["resnet_18", "skresnet_18", "gru_text", "unet", "inception_v3", "alexnet"])
def test_a_network_is_written(name: str) -> None:
    assert_written(name, networks()[name].profile_names[0])


@pytest.mark.slow
@each_network
def test_every_network_but_those_with_two_biases_is_written(name: str, profile: str) -> None:
    assert_written(name, profile)


def test_all_that_keras_lacks_comes_at_once() -> None:
    typed = graph(
        node("a.b", "linear", "input", out=4),
        node("a_b", "linear", "a.b", out=4),
        node("again", "linear", "a_b", out=4, params_of="a.b"),
        node("rnn", "rnn", "sequence", hidden=3),
        node("gru", "gru", "rnn", hidden=3, biases=1),
        inputs={"input": (4,), "sequence": (2, 3)},
        outputs={"output": "again", "states": "gru"},
    )
    assert refusals(typed) == [
        "model_keras.py has no `rnn` with two biases; it adds them up to one: rnn",
        "model_keras.py has no `gru` with 1 biases and linear_before_reset=True: gru",
        "model_keras.py has one name for the layers `a.b` and `a_b`",
        "model_keras.py has no shared parameters: again, those of a.b",
    ]


# The text


def test_a_network_too_deep_for_pythons_recursion_raises_its_limit() -> None:
    deep, usual = (keras_source(expand(networks()[n]).graph, "") for n in ("resnet_1001_cifar", "resnet_18"))
    assert "sys.setrecursionlimit(13_356)" in deep
    assert "setrecursionlimit" not in usual


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_each_example_is_refused_or_written(example: OpExample) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    if not refusals(typed):
        module_tree(keras_source(typed, "A test."))


def test_no_layer_is_there_for_nothing() -> None:
    """Each function of keras_layers.py is an op's, or one of those needs it."""
    kernels = kernel_file(LAYERS)
    named = {kernel_name(kind) for kind in all_ops()} | {"depthwise_conv", "dilated_conv", "layer_name"}
    assert {kernel.name for kernel in kernels.closure(named)} == set(kernels.kernels)


@pytest.mark.parametrize("name", ['a"b', "a{b}", "a\\b", "ünï", "keras", "def", "inputs"])
def test_hostile_names_stay_names(name: str) -> None:
    typed = graph(
        node(name, "linear", "input", out=4, scope=1),
        node(f"{name}.relu", "relu", name, scope=1),
        node("last", "linear", f"{name}.relu", out=2),
        inputs={"input": (4,)},
        scopes=(
            Scope(0, "", "graph", True, None, None),
            Scope(1, name, f"block {name}", True, 0, None, ("input",), f"{name}.relu"),
        ),
    )
    source = keras_source(typed, "A test.")
    strings = {n.value for n in ast.walk(module_tree(source)) if isinstance(n, ast.Constant)}
    assert name in strings


def test_permutations_around_layers_of_any_axis_are_gone() -> None:
    source = keras_source(expand(networks()["convnext_tiny"], "torchvision").graph, "A test.")
    assert "permute(" not in source
    assert 'layer_norm(f"{name}.block.2", y, axis=0, eps=1e-06)' in source


def test_resnet_18_reads_as_people_would_write_it() -> None:
    source = keras_text(Subject(driver.analyse(networks()["resnet_18"], "torchvision"), ()))
    assert source.split("# The network")[1].split("# Layers")[0].strip() == RESNET_18.strip()


RESNET_18 = '''
def build():
    """The network as a model with fresh parameters."""
    x = inputs = keras.Input((224, 224, 3), name="input")
    x = conv("conv1", x, out=64, kernel=7, stride=2, padding=3, bias=False)
    x = relu(bn("bn1", x))
    x = max_pool(x, kernel=3, stride=2, padding=1)  # 56x56x64
    x = basic("layer1.0", x, out_channels=64)
    x = basic("layer1.1", x, out_channels=64)
    x = basic("layer2.0", x, out_channels=128, stride=2, downsample=True)  # 28x28x128
    x = basic("layer2.1", x, out_channels=128)
    x = basic("layer3.0", x, out_channels=256, stride=2, downsample=True)  # 14x14x256
    x = basic("layer3.1", x, out_channels=256)
    x = basic("layer4.0", x, out_channels=512, stride=2, downsample=True)  # 7x7x512
    x = basic("layer4.1", x, out_channels=512)
    x = flatten(global_avg_pool(x))  # 512
    x = linear("fc", x, out=1000)  # 1000
    return keras.Model(inputs, x)


def basic(name, x, *, out_channels, stride=1, downsample=False):
    """Block basic: layer1.0 and 7 more."""
    y = conv(
        f"{name}.conv1",
        x,
        out=out_channels,
        kernel=3,
        stride=stride,
        padding=1,
        bias=False,
    )
    y = relu(bn(f"{name}.bn1", y))
    y = conv(f"{name}.conv2", y, out=out_channels, kernel=3, padding=1, bias=False)
    y = bn(f"{name}.bn2", y)
    if downsample:
        x = project(f"{name}.downsample", x, out_channels=out_channels)
    return relu(y + x)


def project(name, x, *, out_channels):
    """Block project: layer2.0.downsample and 2 more."""
    x = conv(f"{name}.0", x, out=out_channels, kernel=1, stride=2, bias=False)
    return bn(f"{name}.1", x)
'''
