"""Ownership of memory: an executable keeps nothing that others can change, and gives away what it returns."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.backends import all_backends
from archforge.data.arrays import write_arrays
from archforge.errors import DiagnosticError
from archforge.ops.base import Array
from archforge.plan import GraphCompiler
from archforge.weights import rule_weights


def runnable() -> Iterator[tuple[str, str]]:
    """Every backend that runs here, in each of its dtypes that NumPy has."""
    for name, backend in all_backends().items():
        try:
            backend.require()
        except DiagnosticError:
            continue
        for dtype in {"float32", "float64"}.intersection(backend.dtypes):
            yield name, dtype


on_each_backend = pytest.mark.parametrize(("backend", "dtype"), sorted(runnable()))

# Graphs whose outputs are inputs, views, or the value of a tap.
GRAPHS: dict[str, list[Any]] = {
    "identity": ["identity"],
    "view": ["flatten"],
    "view of a view": ["flatten", "identity", "dropout"],
    "view of a tap": [{"conv": 4}, "flatten"],
    "fused": [{"conv": 4}, "bn", "relu", {"add": [{"conv": 4}, []]}],
    "fallback": [{"lrn": 3}, "flatten", {"linear": 5}],
}


def made(graph: list[Any], backend: str, dtype: str, weights: Any = None, **options: Any) -> Any:
    spec = {"archforge": 1, "input": [3, 8, 8], "graph": graph}
    return archforge.compile(spec, backend=backend, dtype=dtype, weights=weights, **options)


def results(model: Any, x: Array) -> dict[str, Array]:
    """Outputs and taps by name."""
    outputs, taps = model.run({"input": x})
    return {**outputs, **{f"tap {name}": value for name, value in taps.items()}}


@on_each_backend
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_what_is_returned_shares_no_memory(graph: list[Any], backend: str, dtype: str) -> None:
    network = archforge.load({"archforge": 1, "input": [3, 8, 8], "graph": graph})
    weights = rule_weights(network.params, dtype)
    kept = {name: array.copy() for name, array in weights.items()}
    for array in kept.values():
        array.setflags(write=False)
    taps = list(network.graph.types)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(dtype)
    given = x.copy()
    for taken, own in ((taps, weights), (taps, kept), ([], weights), (taps[-1:], kept)):
        model = made(graph, backend, dtype, own, taps=taken)
        first = results(model, x)
        for (one, a), (other, b) in combinations([*first.items(), ("input", x), *own.items()], 2):
            assert one in own or not np.shares_memory(a, b), f"{one} and {other}"
        expected = {name: array.copy() for name, array in first.items()}
        for array in first.values():
            array[...] = np.nan
        np.testing.assert_array_equal(x, given)
        for name, array in results(model, x).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_two_outputs_of_one_value_are_two_arrays() -> None:
    typed = archforge.load({"archforge": 1, "input": [3, 8, 8], "graph": ["relu", "flatten"]}).graph
    outputs = {"one": "flatten", "two": "flatten", "in": "input"}
    doubled = replace(typed, graph=replace(typed.graph, outputs=outputs))
    for backend, dtype in runnable():
        compiler = GraphCompiler(all_backends()[backend], dtype)
        model = compiler.executable(doubled, dict, lambda shapes: doubled)
        found = model.run({"input": np.ones((1, 3, 8, 8), dtype)}).outputs
        found["one"][...] = 7
        np.testing.assert_array_equal(found["two"], 1)
        np.testing.assert_array_equal(found["in"], 1)


X = np.random.default_rng(1).standard_normal((1, 3, 8, 8))
LARGER = np.random.default_rng(1).standard_normal((1, 3, 11, 9))
NET: list[Any] = [
    {"conv": {"out": 8, "kernel": 3, "padding": 1}},
    "bn",
    "relu",
    {"conv": {"out": 5, "kernel": 3}},
    "global_avg_pool",
    "flatten",
    {"linear": 4},
]


def net_weights(dtype: str, seed: float = 0) -> dict[str, Array]:
    network = archforge.load({"archforge": 1, "input": [3, 8, 8], "graph": NET})
    return {name: array + seed for name, array in rule_weights(network.params, dtype).items()}


@on_each_backend
def test_arrays_that_a_caller_writes_to_later_change_nothing(backend: str, dtype: str) -> None:
    weights = net_weights(dtype)
    model = made(NET, backend, dtype, weights)
    expected = [made(NET, backend, dtype, net_weights(dtype))(x.astype(dtype)) for x in (X, LARGER)]
    for array in weights.values():
        array[...] = 9
    for x, y in zip((X, LARGER), expected, strict=True):
        np.testing.assert_array_equal(model(x.astype(dtype)), y)


def _overwrite(path: Path) -> None:
    write_arrays(path.with_name(f"other{path.suffix}"), net_weights("float32", 1.0))
    with path.open("r+b") as file:
        file.write(path.with_name(f"other{path.suffix}").read_bytes())


def _replace(path: Path) -> None:
    write_arrays(path, net_weights("float32", 1.0))


CHANGES: Mapping[str, Callable[[Path], object]] = {
    "overwritten": _overwrite,
    "replaced": _replace,
    "truncated": lambda path: os.truncate(path, 100),
    "removed": Path.unlink,
}


@on_each_backend
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_later_changes_nothing(
    change: str, suffix: str, backend: str, dtype: str, tmp_path: Path
) -> None:
    path = tmp_path / f"w{suffix}"
    write_arrays(path, net_weights("float32"))
    model = made(NET, backend, dtype, path)
    expected = model(X.astype(dtype))
    larger = made(NET, backend, dtype, path)(LARGER.astype(dtype))
    CHANGES[change](path)
    np.testing.assert_array_equal(model(X.astype(dtype)), expected)
    try:
        y = model(LARGER.astype(dtype))
    except DiagnosticError as error:
        assert "E0601: " in str(error)  # noqa: PT017  where all is packed alike, nothing is read again
    else:
        np.testing.assert_array_equal(y, larger)
    np.testing.assert_array_equal(model(X.astype(dtype)), expected)


@on_each_backend
def test_no_map_of_a_file_is_left(backend: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_arrays(path, net_weights(dtype))
    model = made(NET, backend, dtype, path)
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(path) not in maps.read_text()
    assert model(LARGER.astype(dtype)).shape == (1, 4)
    assert not maps.exists() or str(path) not in maps.read_text()


@on_each_backend
def test_an_executable_can_be_copied_and_pickled(backend: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_arrays(path, net_weights(dtype))
    for weights in (None, net_weights(dtype), path):
        model = made(NET, backend, dtype, weights, seed=3, taps=["relu"])
        assert copy.deepcopy(model) is copy.copy(model) is model
        again = pickle.loads(pickle.dumps(model))
        for x in (X.astype(dtype), LARGER.astype(dtype)):
            expected = results(model, x)
            for name, array in results(pickle.loads(pickle.dumps(again)), x).items():
                np.testing.assert_array_equal(array, expected[name])
    path.unlink()
    with pytest.raises(DiagnosticError, match="E0601"):
        pickle.loads(pickle.dumps(model))


POOL = """
import multiprocessing, numpy as np, archforge
if __name__ == "__main__":
    model = archforge.compile("lenet_5", "modern", backend="numpy", seed=4)
    inputs = [np.full((1, 1, 32, 32), i, "float32") for i in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(all(np.array_equal(model(x), y) for x, y in zip(inputs, pool.map(model, inputs))))
"""


def test_a_pool_of_processes_takes_an_executable(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    done = subprocess.run([sys.executable, tmp_path / "pool.py"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_an_executable_without_a_recipe_says_what_to_do() -> None:
    network = archforge.load({"archforge": 1, "input": [3, 8, 8], "graph": ["relu"]})
    compiler = GraphCompiler(all_backends()["numpy"])
    model = compiler.executable(network.graph, dict, lambda shapes: network.graph)
    with pytest.raises(TypeError, match="compile it in each process"):
        pickle.dumps(model)
