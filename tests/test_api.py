"""The Python API: load, compile, and weights from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import DiagnosticError, driver
from archforge.data.arrays import write_arrays
from archforge.ir import ParamDecl, TypedGraph
from archforge.weights.rule_made import rule_weights
from tests.zoo import networks

SMALL: dict[str, Any] = {"input": (3, 32, 32), "backend": "numpy"}


def zeros(name: str, profile: str) -> dict[str, Any]:
    """Weights of a profile, all zero: cheap, and names and shapes are what counts."""
    params = archforge.load(name, profile).params
    return {n: np.broadcast_to(np.float32(0), d.shape) for n, d in params.items()}


def test_load_gives_graph_counts_and_cells() -> None:
    network = archforge.load("resnet_50", profile="torchvision.resnet50")
    assert network.profile == "torchvision"
    assert network.counts.params == sum(d.size for d in network.params.values() if d.role != "buffer")
    assert {c.status for c in network.cells} == {"ok"}
    assert network.graph.types[network.graph.outputs["output"]].shape == (1000,)


def test_load_takes_a_path_a_text_and_a_mapping(tmp_path: Path) -> None:
    spec = {"archforge": 1, "input": [3, 4, 4], "graph": ["relu", "flatten", {"linear": 2}]}
    text = "archforge: 1\ninput: [3, 4, 4]\ngraph: [relu, flatten, {linear: 2}]\n"
    (tmp_path / "net.yaml").write_text(text)
    assert {archforge.load(s).counts for s in (spec, text, tmp_path / "net.yaml")} == {
        archforge.load(text).counts
    }


def test_arguments_change_the_network_and_its_cells_do_not_apply() -> None:
    network = archforge.load("resnet_18", "torchvision", classes=10)
    assert network.counts.params == 11_689_512 - 990 * 513
    assert {c.status for c in network.cells} == {"not_applicable"}


def test_fresh_weights_come_from_the_seed() -> None:
    x = np.ones((1, 3, 32, 32), "float32")
    first, same, other = (archforge.compile("resnet_18", seed=s, **SMALL)(x) for s in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)


def test_taps_come_beside_the_output() -> None:
    model = archforge.compile("resnet_18", "torchvision", taps=["layer1", "layer4.1.bn2"], **SMALL)
    y, taps = model(np.ones((2, 3, 32, 32), "float32"))
    assert y.shape == (2, 1000)
    assert {k: v.shape for k, v in taps.items()} == {"layer1": (2, 64, 8, 8), "layer4.1.bn2": (2, 512, 1, 1)}


@pytest.mark.parametrize("name", ["resnet_18", "vgg_11", "alexnet", "lenet_5"])
def test_weights_choose_the_profile_that_they_fit(name: str) -> None:
    for profile in networks()[name].profile_names:
        model = archforge.compile(name, weights=zeros(name, profile), backend="numpy")
        used = {s.node.param_name(n): d for s in model.plan.steps for n, d in s.params.items()}
        declared = archforge.load(name, profile).params
        assert all(declared[n].shape == d.shape for n, d in used.items() if n in declared)


def test_the_parameters_of_a_profile_are_not_listed_anew_for_each_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed, made = TypedGraph.params, 0

    def counted(graph: TypedGraph) -> dict[str, ParamDecl]:
        nonlocal made
        made += 1
        return listed(graph)

    weights, spec = zeros("resnet_18", "torchvision"), driver.open_spec("resnet_18")
    monkeypatch.setattr(TypedGraph, "params", counted)
    assert driver.fitting_profile(spec, weights).profile == "torchvision"
    assert made < len(weights)


def test_weights_that_fit_no_profile_say_how_each_differs() -> None:
    weights = zeros("vgg_16", "torchvision")
    with pytest.raises(DiagnosticError) as caught:
        archforge.compile("resnet_18", weights=weights)
    (found,) = caught.value.diagnostics
    assert found.code == "E0606"
    assert "torchvision: `conv1.weight` is not in the weights" in found.message


def test_weights_that_nearly_fit_a_profile_say_what_keeps_them_from_it() -> None:
    weights = zeros("resnet_18", "torchvision")
    del weights["layer4.1.bn2.bias"]
    with pytest.raises(DiagnosticError) as caught:
        archforge.compile("resnet_18", weights=weights)
    with pytest.raises(DiagnosticError) as of_the_profile:
        archforge.compile("resnet_18", "torchvision", weights=weights)
    first, *others = caught.value.diagnostics
    assert (first.code, "`torchvision`" in first.message) == ("E0606", True)
    assert others == list(of_the_profile.value.diagnostics)


@pytest.mark.parametrize(
    ("name", "profile"), [("resnet_18", "torchvision"), ("inception_v3", "torchvision"), ("lenet_5", None)]
)
def test_weights_of_other_classes_name_the_setting_that_takes_them(name: str, profile: str | None) -> None:
    network = archforge.load(name, profile, classes=7)
    weights = {key: np.zeros(decl.shape, np.float32) for key, decl in network.params.items()}
    for wanted in (None, network.profile):
        with pytest.raises(DiagnosticError, match="they fit with --set classes=7"):
            archforge.compile(name, wanted, weights=weights, backend="numpy")
    archforge.compile(name, weights=weights, backend="numpy", classes=7)


def test_weights_that_fit_several_networks_of_a_spec_are_refused() -> None:
    spec = """
    archforge: 1
    title: Two
    input: [3, 8, 8]
    args: {stride: 1}
    profiles: {a: {}, b: {stride: 2}}
    graph:
      - {conv: {out: 4, kernel: 3, stride: =stride}, name: stem}
    """
    weights = {key: np.zeros(d.shape, np.float32) for key, d in archforge.load(spec).params.items()}
    with pytest.raises(DiagnosticError, match=r"E0606: the weights fit several profiles of .*: `a`, `b`"):
        archforge.compile(spec, weights=weights, backend="numpy")
    archforge.compile(spec, "b", weights=weights, backend="numpy")


def test_a_setting_is_named_only_where_it_makes_the_weights_fit() -> None:
    weights = zeros("resnet_18", "torchvision")
    weights["fc.weight"] = np.zeros((7, 512), np.float32)
    with pytest.raises(DiagnosticError) as caught:
        archforge.compile("resnet_18", weights=weights)
    assert "--set" not in str(caught.value)


def test_counters_of_batches_are_ignored_and_anything_else_is_not() -> None:
    weights = zeros("resnet_18", "torchvision") | {"bn1.num_batches_tracked": np.array(7)}
    archforge.compile("resnet_18", "torchvision", weights=weights, backend="numpy")
    weights["fc.wieght"] = weights.pop("fc.weight")
    with pytest.raises(DiagnosticError) as caught:
        archforge.compile("resnet_18", "torchvision", weights=weights, backend="numpy")
    assert {d.code for d in caught.value.diagnostics} == {"E0602", "E0603"}


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_weights_from_a_file_give_the_same_output(tmp_path: Path, suffix: str) -> None:
    network = archforge.load("lenet_5", "modern")
    weights = rule_weights(network.params, "float32")
    path = tmp_path / f"lenet.{suffix}"
    write_arrays(path, weights)
    x = np.linspace(-1, 1, 1024, dtype="float32").reshape(1, 1, 32, 32)
    from_file = archforge.compile("lenet_5", "modern", weights=path, backend="numpy")(x)
    assert np.array_equal(from_file, archforge.compile(network, weights=weights, backend="numpy")(x))


def test_nothing_that_is_given_is_passed_over() -> None:
    network = archforge.load("lenet_5")
    for given in ({"profile": "modern"}, {"input": (1, 40, 40)}, {"classes": 3}):
        with pytest.raises(DiagnosticError, match="a loaded network is compiled as it is"):
            archforge.compile(network, **given)
    with pytest.raises(DiagnosticError, match="has no input `image`"):
        archforge.load("lenet_5", input={"image": (1, 32, 32)})
    with pytest.raises(DiagnosticError, match="E0308"):
        archforge.load("resnet_18", classes=object())
    with pytest.raises(DiagnosticError, match="E0001: a spec is"):
        archforge.load(3)  # type: ignore[arg-type]


ROWS = {"archforge": 1, "input": [3], "graph": [{"embedding": {"entries": 4, "out": 2}}]}


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_numbers_of_rows_may_be_integers(dtype: str) -> None:
    model = archforge.compile(ROWS, backend="numpy")
    x = np.array([[0, 3, 1]])
    table = model(np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])).reshape(-1, 2)
    np.testing.assert_array_equal(model(x.astype(dtype))[0], table[[0, 3, 1]])


def test_integers_that_name_no_row_or_hold_values_are_refused() -> None:
    model = archforge.compile(ROWS, backend="numpy")
    for number in (-1, 4):
        with pytest.raises(
            DiagnosticError, match=f"E0607: the input `input` has the number {number}, and the"
        ):
            model(np.array([[0, number, 1]]))
    read_twice = {
        **ROWS,
        "graph": [{"concat": [[{"embedding": {"entries": 4, "out": 1}}], [{"reshape": [3, 1]}]]}],
    }
    with pytest.raises(DiagnosticError, match="int64, expected floating-point numbers"):
        archforge.compile(read_twice, backend="numpy")(np.array([[0, 1, 1]]))


def test_a_value_that_stands_twice_is_no_alias() -> None:
    pair = (1,)
    spec: dict[str, Any] = {"archforge": 1, "input": [3, 8, 8], "args": {"each": "list"}}
    spec |= {"graph": [{"conv": {"out": 2, "kernel": "=each[0][0]", "padding": "=each[1][0]"}}]}
    assert archforge.load(spec, each=(pair, pair)).graph.types["conv"].shape == (2, 10, 10)
    steps: list[Any] = ["relu"]
    twice = {"archforge": 1, "input": [3, 8, 8], "graph": [{"add": [steps, steps]}]}
    assert [node.op.kind for node in archforge.load(twice).graph.nodes] == ["relu", "relu", "add"]


def test_a_value_within_itself_or_too_large_is_refused() -> None:
    steps: list[Any] = ["relu"]
    steps.append(steps)
    with pytest.raises(DiagnosticError, match="E0203"):
        archforge.load({"archforge": 1, "input": [3, 8, 8], "graph": steps})
    large: list[Any] = [0] * 10
    for _ in range(9):
        large = [large] * 10
    with pytest.raises(DiagnosticError, match="E0308"):
        archforge.load("lenet_5", classes=large)


def test_what_means_one_thing_is_taken() -> None:
    assert (
        archforge.load("resnet_18", classes=np.int64(10)).counts
        == archforge.load("resnet_18", classes=10).counts
    )
    assert archforge.compile("lenet_5", backend="numpy", taps="stage1").plan.taps.keys() == {"stage1"}
    assert [r.name for r in archforge.check("lenet_5")] == ["lenet_5"]
    assert repr(archforge.load("resnet_50", "timm")) == "<network resnet_50, profile timm: 25,557,032 params>"


def test_importing_archforge_loads_nothing_heavy() -> None:
    heavy = {"numpy", "pydantic", "yaml", "typer", "jinja2"}
    program = f"import archforge, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FIRST_OUTPUT = """
import sys, numpy, archforge
run = archforge.compile("lenet_5", backend="numpy", weights=sys.argv[1])
run(numpy.zeros((1, *run.plan.inputs["input"].shape), "float32"))
idle = {"numpy.ma", "numpy.random", "archforge.recipe", "archforge.data.frameworks.torch"}
print(sorted(idle & set(sys.modules)))
"""


def test_a_first_output_loads_only_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = archforge.load("lenet_5")
    write_arrays(path, rule_weights(network.graph.params()))
    done = subprocess.run(
        [sys.executable, "-c", FIRST_OUTPUT, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


TWINS = """
archforge: 1
args: {width: 4, bias: true}
input: [3, 8, 8]
profiles:
  plain: {width: 8}
  twin: {model: other.model, width: 8}
  block: {width: 8, blocks: {unit: {body: relu}}}
  bare: {width: 8, bias: false}
  norm: {width: 8, defaults: {conv: {padding: same}}}
blocks: {unit: {body: {conv: {out: =width, kernel: 3, bias: =bias}}}}
graph: [unit]
expect: {plain: {source: s, params: 224}, twin: {source: s, params: 1}, block: {}, bare: {}, norm: {}}
"""


def test_profiles_that_say_the_same_share_a_graph_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "twins.yaml"
    path.write_text(TWINS)
    (report,) = driver.check(path)
    plain, twin, *others = report.networks
    assert twin.graph is plain.graph
    assert [c.status for n in (plain, twin) for c in n.cells] == ["ok", "mismatch"]
    assert len({id(n.graph) for n in (plain, *others)}) == 4
    for network in report.networks:
        alone = archforge.load(path, network.profile)
        assert (alone.counts, alone.profile) == (network.counts, network.profile)
        assert [c.status for c in alone.cells] == [c.status for c in network.cells]


OF_NO_KIND: dict[str, Any] = {
    "taps": [3, None, ["stem", 3]],
    "without": [3, None, [3]],
    "seed": ["x", 1.5, -1, None],
    "strict": ["no", 1, None],
    "low_memory": ["yes", 0],
    "accuracy": [3, [], None],
    "backend": [3, None],
    "profile": [3, [], b"torchvision"],
    "input": [3, "3x8x8", (3,), (3, 8.0, 8)],
    "defaults": [3, {"bn": 3}, {3: {}}],
    "weights": [3, [], True, {3: 1}],
    "prefix": [3, "x"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(n, v, id=f"{n}={v!r:.20}") for n, values in OF_NO_KIND.items() for v in values],
)
def test_values_of_no_kind_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DiagnosticError) as refused:
        archforge.compile("lenet_5", **{"backend": "numpy"} | {name: value})
    assert name in str(refused.value) or str(value) in str(refused.value)


def test_numbers_of_numpy_are_whole_numbers() -> None:
    spec = "archforge: 1\ninput: [3, 4, 4]\ngraph: [{conv: 2}]\n"
    x = np.ones((1, 3, 6, 6), np.float32)
    plain: dict[str, Any] = {"seed": 2, "input": (3, 6, 6)}
    numpys = {"seed": np.int64(2), "input": np.array([3, 6, 6])}
    outputs = [archforge.compile(spec, backend="numpy", **given)(x) for given in (plain, numpys)]
    assert np.array_equal(*outputs)


def test_what_is_no_name_or_path_cannot_be_checked() -> None:
    for paths in (3, 1.5):
        with pytest.raises(DiagnosticError, match="specs to check are names or paths"):
            list(archforge.check(paths))  # type: ignore[arg-type]
    with pytest.raises(DiagnosticError, match="`profile` is a text"):
        list(archforge.check("lenet_5", 3))  # type: ignore[arg-type]
