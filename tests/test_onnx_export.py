"""Our graphs in ONNX: every op and every network passes onnx's own checker, and computes the same."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from archforge import driver
from archforge.backends import get
from archforge.errors import DiagnosticError
from archforge.export import onnx as target_module
from archforge.export import target_named
from archforge.interchange.onnx import graph as onnx_graphs
from archforge.interchange.onnx.graph import onnx_graph
from archforge.interchange.onnx.model import MAX_BYTES, onnx_file
from archforge.interchange.onnx.ops import WRITTEN_OPS
from archforge.ir import TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array
from archforge.plan import load, plan
from archforge.spec.expand.expand import expand
from archforge.weights import fresh_weights, rule_weights
from tests.conftest import Run
from tests.graphs import GRAPHS, evaluate, graph, inputs_of, node, one_op
from tests.onnx_files import HAS_RUNTIME, assert_sound, model_of, run_model, stand_in
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network
from tests.zoo import networks

onnx = pytest.importorskip("onnx", reason="onnx is an extra")

WIDE_BYTES = 400_000_000
EXTRA = "pip install 'archforge-zoo[onnx]'"

# Float32: a sum of some hundred terms in another order, over the largest value.
TOLERANCE = 2e-6

# What onnx's reference evaluator fails on, or computes as something else than onnx's text and onnxruntime do:
# groups of a transposed convolution, windows over maps that are no images, an LRN of few channels, cropping
# by `Pad`, a plain recurrent layer with ReLU, and interpolation by three.
BEYOND_EVALUATOR = {
    *("conv_transpose-2-6x3x4", "transposed"),
    *("fold_batch_norm_example_1", "fold_layer_scale_example_1"),
    *("global_max_pool-2-2x6", "global_max_pool-3-2x3x2x4", "max_pool-7-3x6"),
    *("lrn-0-7x3x2", "lrn-1-4x2x3", "norms"),
    *("pad-1-2x4x5", "pad-3-2x4x3", "pad-4-3x5", "pad-5-2x3x2x2"),
    *("rnn-3-3x4", "rnn-5-3x4", "resized"),
}


def assert_equal_where_run(
    name: str, typed: TypedGraph, arrays: Mapping[str, Array], outputs: list[str] | None = None
) -> None:
    """Raises unless the graph in ONNX gives the outputs by name, as the reference kernels in float64 do."""
    written = onnx_graph(typed, arrays)
    assert list(written.outputs) == (outputs or list(typed.outputs))
    if name in BEYOND_EVALUATOR and not HAS_RUNTIME:
        return
    inputs = {name: x.astype(np.float32) for name, x in inputs_of(typed).items()}
    expected = evaluate(typed, *({n: a.astype(np.float64) for n, a in d.items()} for d in (arrays, inputs)))
    for y, value in zip(run_model(model_of(written), inputs), typed.outputs.values(), strict=True):
        assert y.dtype == np.float32
        assert y.shape == expected[value].shape
        difference = np.abs(y - expected[value]).max() / max(1, np.abs(expected[value]).max())
        assert difference < TOLERANCE


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_in_onnx_is_sound_and_equals_its_reference(example: OpExample) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    assert_sound(typed)
    arrays = {f"node.{name}" if name else "node": a for name, a in example.params("float32").items()}
    assert_equal_where_run(example.name, typed, arrays)


def test_every_op_is_written_and_no_other() -> None:
    assert set(WRITTEN_OPS) == {cls.op for cls in all_ops().values()}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_in_onnx_is_sound_and_gives_its_outputs_by_name(name: str) -> None:
    typed = GRAPHS[name]
    assert_sound(typed)
    assert_equal_where_run(name, typed, rule_weights(typed.params(), "float32"))


# Networks


@pytest.mark.slow
@each_network
def test_a_network_in_onnx_is_sound(name: str, profile: str) -> None:
    assert_sound(expand(networks()[name], profile).graph)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RUNTIME, reason="needs onnxruntime")
@pytest.mark.parametrize("name", networks())
def test_a_network_in_onnx_equals_its_plan(name: str, tmp_path: Path) -> None:
    """The plan is in float32 where float64 would take gigabytes. Weights beyond 2 GiB lie in a file of their
    own."""
    typed = small_network(name, networks()[name].profile_names[0])
    arrays = stand_in(typed)
    size = sum(array.nbytes for array in arrays.values())
    inputs = {n: x.astype(np.float32) for n, x in inputs_of(typed).items()}
    dtype = "float64" if size < WIDE_BYTES else "float32"
    expected = load(plan(typed, get("numpy"), dtype), arrays).run(inputs).outputs
    file = tmp_path / "model.onnx"
    content, data = onnx_file(onnx_graph(typed, arrays), {}, "0", "model.data" if size > MAX_BYTES else "")
    file.write_bytes(content)
    with (tmp_path / "model.data").open("wb") as beside:
        beside.writelines(data or ())
    for y, (output, wanted) in zip(run_model(file, inputs), expected.items(), strict=True):
        assert y.shape == wanted.shape
        difference = np.abs(y - wanted).max() / max(1, np.abs(wanted).max())
        assert difference < TOLERANCE * (1 if dtype == "float64" else 2), output  # where both sides round


# Files


PRINT_HASH = """
import hashlib, sys
from archforge import driver
from archforge.export import target_named
made = driver.export(driver.open_spec("lenet_5"), target_named("onnx"))
print(hashlib.sha256(made.content.file).hexdigest())
"""


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    root = str(Path(driver.__file__).parents[1])
    there = subprocess.run(
        [sys.executable, "-c", PRINT_HASH],
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    here = driver.export(driver.open_spec("lenet_5"), target_named("onnx"))
    assert there.stdout.strip() == hashlib.sha256(here.content.file).hexdigest()


def test_a_file_says_what_it_holds(run: Run, tmp_path: Path) -> None:
    assert run("export", "lenet_5", "-p", "paper", "--to", "onnx", "-o", "lenet.onnx")[0] == 0
    assert run("export", "lenet_5", "-p", "paper", "--to", "graph", "-o", "graph.json")[0] == 0
    model = onnx.load(tmp_path / "lenet.onnx")
    assert (model.ir_version, [o.version for o in model.opset_import]) == (10, [22])
    assert {p.key: p.value for p in model.metadata_props} == {
        "archforge.network": "lenet_5",
        "archforge.profile": "paper",
        "archforge.graph_sha256": hashlib.sha256((tmp_path / "graph.json").read_bytes()).hexdigest(),
    }
    (input,), (output,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in input.type.tensor_type.shape.dim] == ["batch", 1, 32, 32]
    assert [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim] == ["batch", 84]
    network = driver.load("lenet_5", "paper")
    arrays = fresh_weights(network.params, seed=0)
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), arrays.pop(tensor.name))
    assert not arrays


def test_weights_may_lie_in_a_file_beside(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("export", "lenet_5", "--to", "onnx", "-o", "lenet.onnx", "--external-data")
    assert (code, out) == (0, "wrote lenet.onnx\nwrote lenet.onnx.data\n")
    onnx.checker.check_model(str(tmp_path / "lenet.onnx"), full_check=True)
    assert run("export", "lenet_5", "--to", "onnx", "-o", "whole.onnx")[0] == 0
    beside, whole = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / file).graph.initializer}
        for file in ("lenet.onnx", "whole.onnx")
    )
    assert beside.keys() == whole.keys()
    assert all(np.array_equal(beside[name], array) for name, array in whole.items())
    told = json.loads(
        run("export", "lenet_5", "--to", "onnx", "-o", "a.onnx", "--external-data", "--json")[1]
    )
    assert (told["file"], told["data"]) == ("a.onnx", "a.onnx.data")


def test_what_is_too_large_for_a_file_needs_one_beside(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(target_module, "MAX_BYTES", 1000)
    code, out, _ = run("export", "lenet_5", "--to", "onnx", "-o", "lenet.onnx")
    assert (code, out) == (0, "wrote lenet.onnx\nwrote lenet.onnx.data\n")
    code, out, err = run("export", "lenet_5", "--to", "onnx", "-o", "-")
    assert (code, out) == (2, "")
    assert err.startswith("E0705: the weights take 0.00 GiB, and a file of ONNX holds less than 2\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--to", "graph"],
            "E0001: `graph.json` is always one file\n      help: leave out --external-data\n",
        ),
        (
            ["--to", "onnx", "-o", "-"],
            "E0001: `--external-data` makes two files, and standard output is one\n      help: -o FILE\n",
        ),
    ],
)
def test_a_second_file_that_cannot_be_is_refused(run: Run, options: list[str], message: str) -> None:
    assert run("export", "lenet_5", *options, "--external-data") == (2, "", message)


def test_all_that_onnx_lacks_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    less = {kind: write for kind, write in WRITTEN_OPS.items() if kind not in ("conv", "tanh")}
    monkeypatch.setattr(onnx_graphs, "WRITTEN_OPS", less)
    with pytest.raises(DiagnosticError) as caught:
        driver.export(driver.open_spec("lenet_5"), target_named("onnx"))
    assert [(d.code, d.message) for d in caught.value.diagnostics] == [
        ("E0704", "model.onnx has no ops for `conv`: stage1.conv and 1 more"),
        ("E0704", "model.onnx has no ops for `tanh`: stage1.tanh and 3 more"),
    ]
    assert all(d.span for d in caught.value.diagnostics)


def test_a_missing_package_is_told_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    assert run("export", "lenet_5", "--to", "onnx") == (
        2,
        "",
        f"E0705: files of ONNX need the package onnx, which is not installed\n      help: {EXTRA}\n",
    )


def test_names_that_would_be_one_in_a_file_are_told_apart() -> None:
    """A layer scale's parameter is called like its node, and an output like an input."""
    typed = graph(
        node("gamma", "layer_scale", "input"),
        node("input/output", "relu", "gamma"),
        outputs={"input": "input/output", "again": "gamma", "same": "input"},
    )
    assert_sound(typed)
    assert_equal_where_run(
        "", typed, rule_weights(typed.params(), "float32"), ["input/output", "again", "same"]
    )
