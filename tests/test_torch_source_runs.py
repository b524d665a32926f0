"""Networks as source of torch, run where torch is installed: names and shapes, outputs, training, tracing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.errors import DiagnosticError
from archforge.export.module.layer_file import layer_file
from archforge.export.torch import LAYERS, TorchDialect, torch_source
from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.torch.calls import SIGNATURES
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.weights import fresh_weights, rule_weights
from archforge.weights.bind import COUNTER
from tests.graphs import GRAPHS, evaluate, inputs_of, one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network
from tests.test_torch_source import DROPPING, ODD_NAMES
from tests.test_zoo_names import DECLARED_EARLIER
from tests.zoo import family, networks, reference

torch = pytest.importorskip("torch", reason="torch is an extra")

LIMIT = 30_000_000  # parameters of a network that is run


def made(typed: TypedGraph, params: Mapping[str, Array] | None = None) -> Any:
    """The module that the source of a graph makes, in float64, with these parameters."""
    names: dict[str, Any] = {}
    exec(compile(torch_source(typed, "Net", "A test.\n"), "model_torch.py", "exec"), names)  # noqa: S102
    module = names["Net"]().double().eval()
    if params is not None:
        module.load_state_dict({name: torch.tensor(a) for name, a in params.items()}, strict=True)
    return module


def in_float64(params: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(array, np.float64) for name, array in params.items()}


def outputs(module: Any, typed: TypedGraph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    with torch.inference_mode():
        found = module(*(torch.from_numpy(x) for x in inputs.values()))
    found = found if isinstance(found, dict) else dict.fromkeys(typed.outputs, found)
    return {name: y.detach().numpy() for name, y in found.items()}


def assert_equal_to_reference(typed: TypedGraph, params: Mapping[str, Array], tolerance: float) -> None:
    params, inputs = in_float64(params), inputs_of(typed)
    values = evaluate(typed, params, inputs)
    for name, y in outputs(made(typed, params), typed, inputs).items():
        expected = values[typed.outputs[name]]
        assert y.shape == expected.shape
        scale = max(float(np.abs(expected).max()), 1e-30)
        assert float(np.abs(y - expected).max()) <= tolerance * scale


def state_of(typed: TypedGraph) -> list[tuple[str, tuple[int, ...]]]:
    names: dict[str, Any] = {}
    exec(compile(torch_source(typed, "Net", "A test.\n"), "model_torch.py", "exec"), names)  # noqa: S102
    with torch.device("meta"):
        module = names["Net"]()
    return [(k, tuple(v.shape)) for k, v in module.state_dict().items() if not k.endswith(COUNTER)]


def in_torchs_order(typed: TypedGraph) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a graph's arrays as torch lists them: a module's own before those of its parts."""
    tree: dict[str, Any] = {}
    for name, decl in typed.params().items():
        level = tree
        *path, last = name.split(".")
        for part in path:
            level = level.setdefault(part, {})
        level[last] = decl.shape

    def listed(level: dict[str, Any], before: str) -> list[tuple[str, tuple[int, ...]]]:
        own = [(before + name, shape) for name, shape in level.items() if isinstance(shape, tuple)]
        parts = (listed(v, f"{before}{name}.") for name, v in level.items() if isinstance(v, dict))
        return own + [entry for part in parts for entry in part]

    return listed(tree, "")


# Names, order and shapes


@pytest.mark.parametrize("name", networks())
def test_the_state_dict_has_the_names_order_and_shapes_of_every_profile(name: str) -> None:
    for profile in networks()[name].profile_names:
        typed = driver.analyse(networks()[name], profile).graph
        assert state_of(typed) == in_torchs_order(typed), profile


def test_all_profiles_are_held_so() -> None:
    """The number that docs/source.md tells."""
    count = sum(len(spec.profile_names) for spec in networks().values())
    page = Path(__file__).parents[1] / "docs" / "source.md"
    assert f"all {count} profiles" in page.read_text("utf-8")


def _library_profiles() -> list[tuple[str, str, str]]:
    found = []
    for name, spec in networks().items():
        for profile in spec.profile_names:
            model = driver.analyse(spec, profile).model or ""
            if model.startswith(("torchvision.", "timm.")):
                found.append((name, profile, model))
    return found


@pytest.mark.slow
def test_the_state_dict_lists_arrays_as_the_library_does() -> None:
    differ = []
    for name, profile, model in _library_profiles():
        entries = reference(f"canonical_params/{model}")["entries"]
        typed = driver.analyse(networks()[name], profile).graph
        names = [entry[0] for entry in entries]
        if [n for n, _ in in_torchs_order(typed)] != names:
            differ.append(model)
    assert {*differ} == {model for _, _, model in _library_profiles() if model.startswith(DECLARED_EARLIER)}


# Outputs


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_in_source_equals_its_reference(example: OpExample) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    params = {f"node.{name}" if name else "node": a for name, a in example.params("float64").items()}
    try:
        assert_equal_to_reference(typed, params, 1e-10)
    except DiagnosticError as refused:
        pytest.skip(str(refused))


def test_few_examples_are_refused() -> None:
    refused = []
    for example in EXAMPLES:
        try:
            torch_source(one_op(example.op, tuple(t.shape for t in example.types)), "Net", "A test.\n")
        except DiagnosticError:
            refused.append(str(example))
    assert refused == [
        "layer_norm-4-2x3x4",
        *("pad-7-2x3x4", "pad-9-2x4"),
        *("pixel_shuffle-2-12x1x2", "pixel_unshuffle-2-3x2x4"),
        *("resize-4-2x6x3", "resize-7-2x4x5"),
        *("standardized_conv-3-2x5", "standardized_conv-4-2x2x3x3"),
        *("unfold-4-2x7", "unfold-5-2x3x2x3"),
    ]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_in_source_gives_its_outputs(name: str) -> None:
    assert_equal_to_reference(GRAPHS[name], rule_weights(GRAPHS[name].params()), 1e-10)


@each_network
def test_a_network_in_source_gives_its_outputs(name: str, profile: str) -> None:
    typed = small_network(name, profile)
    if sum(d.size for d in typed.params().values()) > LIMIT:
        pytest.skip("takes minutes")
    assert_equal_to_reference(typed, fresh_weights(typed.params(), 0), 1e-5)


def test_names_that_are_no_identifiers_stay() -> None:
    assert_equal_to_reference(ODD_NAMES, rule_weights(ODD_NAMES.params()), 1e-10)


# torch's own tools, and training


def _smallest_of_each_family() -> list[Any]:
    best: dict[str, tuple[int, str, str]] = {}
    for name, spec in networks().items():
        profile = spec.profile_names[0]
        typed = driver.analyse(spec, profile).graph
        size = sum(d.size for d in typed.params().values())
        best[family(name)] = min(best.get(family(name), (size, name, profile)), (size, name, profile))
    return [(name, profile) for _, name, profile in best.values()]


@pytest.mark.filterwarnings("ignore:.torch.jit.:FutureWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("name", "profile"), _smallest_of_each_family())
def test_torch_traces_and_exports_it(name: str, profile: str) -> None:
    typed = small_network(name, profile)
    module = made(typed, in_float64(fresh_weights(typed.params(), 0)))
    inputs = tuple(torch.from_numpy(x) for x in inputs_of(typed).values())
    with torch.no_grad():
        expected = module(*inputs)
        # torch takes several outputs by name only where it is told that the names stay.
        traced = torch.jit.trace(module, inputs, strict=not isinstance(expected, dict))
        exported = torch.export.export(module, inputs)
        torch.testing.assert_close(traced(*inputs), expected)
        torch.testing.assert_close(exported.module()(*inputs), expected)


def test_training_keeps_statistics_and_drops() -> None:
    typed = DROPPING
    params = in_float64(rule_weights(typed.params()))
    module = made(typed, params).train()
    (x,) = inputs_of(typed, batch=64).values()
    y = module(torch.from_numpy(x))
    norm = next(n for n in typed.nodes if n.name == "norm")
    conv = next(n for n in typed.nodes if n.name == "conv")
    before = conv.op.reference({k: params[f"conv.{k}"] for k in ("weight", "bias")}, x)
    own = {k: params[f"norm.{k}"] for k in norm.op.params(*typed.input_types(norm))}
    forward = norm.op.train(own, before, draw=np.random.default_rng(0))
    for name, array in forward.buffers.items():
        np.testing.assert_allclose(module.state_dict()[f"norm.{name}"].numpy(), array, rtol=1e-10)
    assert module.state_dict()["norm.num_batches_tracked"] == 1
    dropped = (y.detach().numpy() == 0).all((1, 2, 3)).mean()
    assert 0.2 < dropped < 0.8
    kept = y.detach().numpy()
    full = np.maximum(forward.output, 0)
    places = kept != 0
    np.testing.assert_allclose(kept[places], 4 * full[places], rtol=1e-8)
    module.eval()
    with torch.no_grad():
        assert torch.equal(module(torch.from_numpy(x)), module(torch.from_numpy(x)))


def test_gradients_are_those_of_the_spec() -> None:
    typed = small_network("resnet_2_2_2_cifar", "listing")
    params = in_float64(fresh_weights(typed.params(), 0))
    module = made(typed, params)
    (x,) = inputs_of(typed).values()
    module(torch.from_numpy(x)).square().sum().backward()
    from archforge.interchange.torch.network import torch_network

    state = {
        k: torch.tensor(v, requires_grad=not k.startswith("running", k.rfind(".") + 1))
        for k, v in params.items()
    }
    (y,) = torch_network(typed, state)(torch.from_numpy(x))
    y.square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, state[name].grad)


# Weights there and back


def test_weights_go_into_the_source_and_come_back(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    module = made(driver.load("resnet_20_cifar").graph).float()
    safetensors.save_file(module.state_dict(), tmp_path / "there.safetensors")
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    network = archforge.compile("resnet_20_cifar", weights=tmp_path / "there.safetensors")
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-4)


# What the tables say of torch


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_torchs(name: str) -> None:
    owner, _, last = name.partition(".")
    places = {"nn": torch.nn, "F": torch.nn.functional, "torch": torch}
    called = getattr(places[owner], last)
    if not SIGNATURES[name] or last in ("RNN", "LSTM", "GRU"):
        return
    try:
        found = inspect.signature(called).parameters
    except ValueError:  # written in C++
        return
    if [*found] == ["args", "kwargs"]:  # one of several functions, which are held as layers
        return
    required = [n for n, default in SIGNATURES[name].items() if default is REQUIRED]
    theirs = [p for p in found.values() if p.name not in ("self", "input")]
    assert len(theirs) >= len(SIGNATURES[name])
    for place, argument in enumerate(required):
        assert theirs[place].name in (argument, "pad", "num_channels"), argument
    for argument, default in SIGNATURES[name].items():
        if default is not REQUIRED and argument in found:
            ours = default
            assert found[argument].default in (ours, None) or float(found[argument].default) == ours


def test_no_layer_of_ours_has_a_name_of_torchs() -> None:
    assert not [name for name in layer_file(LAYERS).layers if hasattr(torch.nn, name)]


def test_names_that_every_module_has_are_known() -> None:
    names = {name for name in dir(torch.nn.Module()) if not name.startswith("__")} - {"T_destination"}
    assert names <= TorchDialect.taken
